// Whether a region's feed is complete (PROTOCOL 6.2). An isolated region's index stands still, a healed one's catches
// up with gaps; the heartbeats of other regions, read through that very index, tell.
import { HEARTBEAT_AGE_MS_MAX, HEARTBEAT_GAP_MS_MAX } from '../../protocol/limits.ts';
import { beatAgeMs, type FeedStatus, unsteadinessOf } from '../../protocol/steadiness.ts';

export interface Beat {
  readonly region: string;
  readonly atMs: number;
}

/**
 * The next status. `previous` is the last one, `beats` what the index shows, `nowMs` from before the index was read.
 * Steady goes on while every check finds another region's beat at most 20 s old and checks are at most 35 s apart:
 * what happened in a longer gap nobody saw.
 */
export function checkFeed(
  previous: FeedStatus | undefined,
  beats: readonly Beat[],
  region: string,
  nowMs: number,
): FeedStatus {
  const ageMs = freshestAgeMs(beats, region, nowMs);
  if (ageMs === undefined || ageMs > HEARTBEAT_AGE_MS_MAX) return { checkedAt: nowMs };
  const goesOn = previous?.steadySince !== undefined && nowMs - previous.checkedAt <= HEARTBEAT_GAP_MS_MAX;
  return { checkedAt: nowMs, steadySince: goesOn ? (previous.steadySince as number) : nowMs };
}

/** Age of the freshest beat of another region. */
export function freshestAgeMs(beats: readonly Beat[], region: string, nowMs: number): number | undefined {
  const others = beats.filter((beat) => beat.region !== region);
  return beatAgeMs(
    others.map(({ atMs }) => atMs),
    nowMs,
  );
}

/**
 * Until when a region's feed is complete where replicas only follow each other: the other region's last beat that its
 * index shows, since what that region wrote before has come too, or is stamped again when it does. Undefined while it
 * shows none. An isolated region goes on serving what it has, and no checkpoint passes what it lacks.
 */
export function completeUntilMs(beats: readonly Beat[], region: string): number | undefined {
  const others = beats.filter((beat) => beat.region !== region).map(({ atMs }) => atMs);
  return others.length === 0 ? undefined : Math.min(...others);
}

/** Whether a pull may trust the feed now. */
export function isSteady(status: FeedStatus | undefined, nowMs: number): boolean {
  return unsteadinessOf(status, nowMs) === undefined;
}
