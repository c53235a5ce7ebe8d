// Room for `w#` attributes (PROTOCOL 2): together at most 32 KB of an item, so that the largest payload and a full
// outbox always fit beside them. Sessions silent for 93 days make room; their operations are refused as too old.
import { SETTLED_BYTES_MAX, TOMBSTONE_AGE_MS_MIN } from '../../protocol/limits.ts';
import type { StoredRecord } from './record.ts';

/** One `w#` attribute: its name (34), a map of two numbers (3 + 2 × (1 name + 1 type + ≤ 9 digits)), rounded up.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html */
const SETTLED_ATTRIBUTE_BYTES = 64;
/** Sessions that may have edited one record within 93 days. */
export const SETTLED_SESSIONS_MAX = Math.floor(SETTLED_BYTES_MAX / SETTLED_ATTRIBUTE_BYTES);

export type Room =
  /** Sessions to forget in the same write; often none. */
  { readonly fits: true; readonly forget: readonly string[] } | { readonly fits: false };

/** Whether `session` can be remembered on this record beside those that are. */
export function roomFor(session: string, stored: StoredRecord, nowMs: number): Room {
  if (stored.settled.has(session) || stored.settled.size < SETTLED_SESSIONS_MAX)
    return { fits: true, forget: [] };
  const forget = [...stored.settled]
    .filter(([, { atMs }]) => nowMs - atMs > TOMBSTONE_AGE_MS_MIN)
    .map(([silent]) => silent);
  return stored.settled.size - forget.length < SETTLED_SESSIONS_MAX
    ? { fits: true, forget }
    : { fits: false };
}
