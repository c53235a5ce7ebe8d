// How payloads are kept: as canonical JSON text (RFC 8785) with the SHA-256 of its UTF-8 bytes, so that every copy
// and every voter can tell whether it is whole.
import { hash } from 'node:crypto';
import canonicalize from 'canonicalize';
import type { Json } from '../../protocol/operations.ts';
import type { Content } from './record.ts';

/** Throws for what JSON cannot say (NaN, undefined); a parsed body has none of it. */
export function contentOf(payload: Json): Extract<Content, { deleted: false }> {
  const text = canonicalize(payload);
  if (text === undefined) throw new TypeError(`expected a JSON value, got ${typeof payload}`);
  return { deleted: false, payload: text, sha256: sha256Of(text) };
}

export function sha256Of(text: string): string {
  return hash('sha256', text, 'hex');
}

/** Whether a stored copy is what was written. */
export function isWhole(content: Content): boolean {
  return content.deleted || sha256Of(content.payload) === content.sha256;
}
