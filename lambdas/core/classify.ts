// Why a conditional write was not taken, in the one order that is right (PROTOCOL 3.2). The restore epoch, first in
// that order, is judged before every attempt (admission.ts).
import { compareVersions, makerOf, type Version } from '../../protocol/versions.ts';
import type { Edit, StoredRecord } from './record.ts';

export type Finding =
  /** Settled before; `version` is what is stored now. */
  | { readonly kind: 'duplicate'; readonly version: Version }
  /** Nothing is stored. With a base that is a conflict to log, and the write goes on without one (PROTOCOL 7). */
  | { readonly kind: 'missing' }
  /** The commit stamp is not above the stored one. */
  | { readonly kind: 'stamp_again'; readonly stored: StoredRecord }
  /** The stored version was made by the same file: it counts as the base, no vote. */
  | { readonly kind: 'own'; readonly stored: StoredRecord }
  /** The same file's stored version is not below the edit's. */
  | { readonly kind: 'clock_ahead'; readonly version: Version }
  | { readonly kind: 'conflict'; readonly stored: StoredRecord };

/** `stored` is `ALL_OLD` of the failed condition; `commit` the stamp of the attempt. */
export function classify(edit: Edit, stored: StoredRecord | undefined, commit: Version): Finding {
  if (!stored) return { kind: 'missing' };
  if (isSettled(edit, stored)) return { kind: 'duplicate', version: stored.version };
  if (compareVersions(stored.commitVersion, commit) >= 0) return { kind: 'stamp_again', stored };
  if (makerOf(stored.version) !== makerOf(edit.version)) return { kind: 'conflict', stored };
  return compareVersions(edit.version, stored.version) > 0
    ? { kind: 'own', stored }
    : { kind: 'clock_ahead', version: stored.version };
}

/** Whether this operation, or a later one of its session on this record, took effect before. */
export function isSettled(
  { session, sequence }: Pick<Edit, 'session' | 'sequence'>,
  stored: StoredRecord,
): boolean {
  return sequence <= (stored.settled.get(session)?.sequence ?? 0);
}
