// Whether a region's feed may be trusted (PROTOCOL 6.2), for the pulls of that region and for whoever asks before sending
// clients there: one rule, and why it does not hold.
import { FEED_CHECK_AGE_MS_MAX, FEED_STEADY_MS_MIN } from './limits.ts';

/** A region's status item. Unix ms; without `steadySince` the check found no fresh beat. */
export interface FeedStatus {
  readonly checkedAt: number;
  readonly steadySince?: number;
}

export type Unsteadiness =
  | { readonly kind: 'never_checked' }
  | { readonly kind: 'checked_long_ago'; readonly agoMs: number }
  | { readonly kind: 'no_fresh_beat' }
  /** At the last check. */
  | { readonly kind: 'steady_too_short'; readonly forMs: number };

/** Undefined for a feed that was checked at most 60 s ago, and had been steady for 20 s at that check. */
export function unsteadinessOf(status: FeedStatus | undefined, nowMs: number): Unsteadiness | undefined {
  if (status === undefined) return { kind: 'never_checked' };
  const { checkedAt, steadySince } = status;
  const agoMs = nowMs - checkedAt;
  if (agoMs > FEED_CHECK_AGE_MS_MAX) return { kind: 'checked_long_ago', agoMs };
  if (steadySince === undefined) return { kind: 'no_fresh_beat' };
  const forMs = checkedAt - steadySince;
  return forMs < FEED_STEADY_MS_MIN ? { kind: 'steady_too_short', forMs } : undefined;
}

/** Of the freshest of some beats, by its distance, so that one from the future is as far off as one from the past;
 * undefined of none. */
export function beatAgeMs(beatsAtMs: readonly number[], nowMs: number): number | undefined {
  return beatsAtMs.length === 0 ? undefined : Math.min(...beatsAtMs.map((at) => Math.abs(nowMs - at)));
}
