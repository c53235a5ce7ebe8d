// Conditional requests (RFC 9110 §13) on records, for writers that send no idempotency key: what they say about the
// record as they know it decides, without a vote, whether they may write (DESIGN §3).
import { isVersion, type Version } from '../../protocol/versions.ts';
import type { StoredRecord } from './record.ts';

export type Precondition =
  | { readonly kind: 'none' }
  /** `If-None-Match: *` */
  | { readonly kind: 'absent' }
  /** `If-Match: *` */
  | { readonly kind: 'present' }
  /** `If-Match: "<version>"`; whatever is no version never matches. */
  | { readonly kind: 'version'; readonly version: string };

export type Decision =
  | { readonly kind: 'write'; readonly base: Version | undefined }
  | {
      readonly kind: 'refuse';
      readonly code: 'not_found' | 'precondition_failed' | 'precondition_required';
      readonly detail: string;
    };

/** Throws a `RangeError` saying what was expected. */
export function parsePrecondition(
  ifMatch: string | undefined,
  ifNoneMatch: string | undefined,
): Precondition {
  if (ifMatch !== undefined && ifNoneMatch !== undefined)
    throw new RangeError('expected If-Match or If-None-Match, got both');
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== '*') throw new RangeError('If-None-Match: a write takes * only');
    return { kind: 'absent' };
  }
  if (ifMatch === undefined) return { kind: 'none' };
  if (ifMatch.trim() === '*') return { kind: 'present' };
  const tags = entityTags(ifMatch);
  if (tags?.length !== 1) throw new RangeError('If-Match: expected one entity tag, "<version>", or *');
  // A weak tag never matches here (RFC 9110 §13.1.1).
  return { kind: 'version', version: tags[0] as string };
}

/** The version in an `If-Match` that must hold exactly one; undefined when it does not. */
export function parseBase(ifMatch: string): Version | undefined {
  const tags = entityTags(ifMatch);
  const [version] = tags ?? [];
  return tags?.length === 1 && isVersion(version) ? version : undefined;
}

/** Whether a reader's `If-None-Match` names the stored version; weak tags count (RFC 9110 §13.1.2). */
export function isKnown(ifNoneMatch: string, version: Version): boolean {
  return (
    ifNoneMatch.trim() === '*' ||
    (entityTags(ifNoneMatch) ?? []).some((tag) => tag.replace(/^W\//, '') === version)
  );
}

/** What a writer without a key may do to what is stored; a tombstone counts as nothing being there. */
export function decideWrite(
  precondition: Precondition,
  kind: 'put' | 'delete',
  stored: StoredRecord | undefined,
): Decision {
  const live = stored !== undefined && !stored.content.deleted;
  const write: Decision = { kind: 'write', base: stored?.version };
  switch (precondition.kind) {
    case 'absent':
      return live ? failed(`the record exists, at version ${stored.version}`) : write;
    case 'present':
      return live ? write : failed('there is no such record');
    case 'version':
      if (!live) return failed('there is no such record');
      return stored.version === precondition.version
        ? write
        : failed(`the record is at version ${stored.version}`);
    case 'none':
      if (live)
        return {
          kind: 'refuse',
          code: 'precondition_required',
          detail: 'the record exists: send If-Match: "<version>" to change that version, or * to change any',
        };
      if (kind === 'delete') return { kind: 'refuse', code: 'not_found', detail: 'there is no such record' };
      return write;
  }
}

function failed(detail: string): Decision {
  return { kind: 'refuse', code: 'precondition_failed', detail };
}

/** Entity tags without their quotes, weak ones with `W/` in front; undefined when the header is malformed. */
function entityTags(header: string): string[] | undefined {
  const tags: string[] = [];
  for (const part of header.split(',')) {
    const [, weak = '', tag] = /^\s*(W\/)?"([\x21\x23-\x7e]*)"\s*$/.exec(part) ?? [];
    if (tag === undefined) return undefined;
    tags.push(`${weak}${tag}`);
  }
  return tags;
}
