// What all measuring here agrees on: the moment, the header that carries it between processes, and what a percentile is.
import { clockAheadMs } from './ahead.ts';

/** Of a region's front: when it had the whole head of the request, in Unix ms with fractions. */
export const RECEIVED_AT_HEADER = 'x-rehearsal-received-at';

/** Unix milliseconds with fractions, from a clock that never goes back; as far ahead of the machine as `Date` is. */
export function preciseNow(): number {
  return momentOf(performance.now());
}

/** What {@link preciseNow} said when `performance.now()` said this. */
export function momentOf(performanceMs: number): number {
  return performance.timeOrigin + performanceMs + clockAheadMs();
}

/** The value that a share of all, from 0 to below 1, lies below; NaN without values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
