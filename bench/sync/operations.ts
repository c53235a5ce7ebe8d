// What is written: small notes, each on a record of its own, as a client's queue would send them.
import type { PutOperation } from '../../protocol/operations.ts';
import { versionOf } from '../../protocol/versions.ts';

export const TENANT = 'bench';
export const COLLECTION = 'notes';
const FILE = '0123456789abcdef';

/** Keys in order, so that its JSON is canonical; about 130 bytes. */
export function noteOf(index: number) {
  return {
    at: 1_732_000_000_000 + index,
    author: `someone-${index % 97}`,
    tags: ['field', 'durable'],
    text: `measured at station ${index % 13}, reading ${index}`,
  };
}

/** Ids of notes that no other run has. */
export function idOf(run: string, index: number): string {
  return `${run}-${index}`;
}

/** `session`: 32 hex digits, different every time. */
export function operationsOf(session: string, count: number, nowMs: number): readonly PutOperation[] {
  return Array.from({ length: count }, (_, index) => ({
    kind: 'put',
    session,
    sequence: index + 1,
    collection: COLLECTION,
    id: idOf(session.slice(0, 12), index),
    version: versionOf({ ms: nowMs, counter: index }, FILE),
    payload: noteOf(index),
  }));
}
