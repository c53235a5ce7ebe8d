// A daily backup holds the table as it was at midnight UTC, so a drill that needs one sets its rehearsal's clock a little
// before some midnight. Times are Unix ms.
import { DAY_MS } from '../../../protocol/backups.ts';

/** The start of the day after. */
export function midnightAfter(atMs: number): number {
  return (Math.floor(atMs / DAY_MS) + 1) * DAY_MS;
}

/** How far ahead a clock is set so that a midnight comes in `leadMs`; whole ms, below a day. */
export function aheadOfMachine(nowMs: number, leadMs: number): number {
  return Math.round((((midnightAfter(nowMs) - leadMs - nowMs) % DAY_MS) + DAY_MS) % DAY_MS);
}
