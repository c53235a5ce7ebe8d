// When tombstones may be removed (PROTOCOL 7), and which are old enough.
import { SWEEP_AFTER_RESTORE_MS, TOMBSTONE_AGE_MS_MIN } from '../../protocol/limits.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';
import type { Generation } from './admission.ts';

export type Sweeping =
  | { readonly allowed: true; readonly restoreEpoch: number }
  | { readonly allowed: false; readonly why: string };

/** What the table itself has to say; where it may run is the fence's to say. */
export function sweepingIn(generation: Generation | undefined, nowMs: number): Sweeping {
  if (generation?.status !== 'open') return { allowed: false, why: 'the table is not open' };
  const { restoreEpoch } = generation;
  // A restored tombstone may be all that stands against an edit which clients are about to send again.
  if (!(nowMs - restoreEpoch >= SWEEP_AFTER_RESTORE_MS))
    return { allowed: false, why: `the last restore, or the opening, was at ${restoreEpoch}` };
  return { allowed: true, restoreEpoch };
}

/** Tombstones committed below this are old enough. */
export function sweepBefore(nowMs: number): Version {
  return versionOf({ ms: nowMs - TOMBSTONE_AGE_MS_MIN, counter: 0 }, '0'.repeat(16));
}

/** The shards in turn, beginning with another one every hour: a run that ends early is not always early on the same. */
export function shardsInTurn(nowMs: number, shards: number): readonly number[] {
  const first = Math.floor(nowMs / 3_600_000);
  return Array.from({ length: shards }, (_, index) => (first + index) % shards);
}
