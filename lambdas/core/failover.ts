// Whether the service leaves its active region (DESIGN §4): how an observer counts what it saw and casts its vote, and
// what follows from the votes of all. Pure: what it is told is all it knows, and every answer says why in words.
import { DRAIN_MS, HOLD_DOWN_MS, VOTE_AGE_MS_MAX } from '../../protocol/limits.ts';
import type { ObserverReport, RoutingState, Vote, Watched } from '../../protocol/routing.ts';
import { activeRegionOf, epochOf } from './routing.ts';

/** Of a probe of a serving region. */
export type ProbeOutcome =
  | { readonly kind: 'ready' }
  /** Any other answer, or none in time. `answered`: HTTP came back, so that whoever asked is not cut off. */
  | { readonly kind: 'not_ready'; readonly why: string; readonly answered: boolean }
  /** Not even reached, however often that was tried: refused, reset, no such name. */
  | { readonly kind: 'unreachable'; readonly why: string };

/** Whether an observer reaches anything besides itself and what it watches. */
export type Control = { readonly reachable: true } | { readonly reachable: false; readonly why: string };

/** One observer's look at the serving regions. */
export interface Look {
  readonly observer: string;
  readonly slotMs: number;
  readonly nowMs: number;
  /** By serving region. */
  readonly outcomes: Readonly<Record<string, ProbeOutcome>>;
  readonly routing: RoutingState | undefined;
  readonly primaryRegion: string;
  /** Asked for where {@link needsControl}. Without it there is no vote then. */
  readonly control?: Control | undefined;
  readonly probeIntervalMs: number;
  /** In a row, that make a vote. */
  readonly probeFailures: number;
}

/** A report further ahead than this was made by a clock that stepped: it is as if there were none. */
export const REPORT_AHEAD_MS_MAX = 300_000;
/** So many of the three observers move the service. */
const VOTES_MIN = 2;
/** A drain that takes so long was left by whoever began it, and what must run once runs nowhere. */
const DRAIN_MS_MAX = 10 * DRAIN_MS;

/** Whether what came of a look leaves open which of the two is cut off, the region or whoever looked. */
export function needsControl(outcome: ProbeOutcome | undefined): boolean {
  if (outcome === undefined || outcome.kind === 'ready') return false;
  return outcome.kind === 'unreachable' || !outcome.answered;
}

/**
 * What the observer reports after a look. A second look of one `slotMs`, or one that comes late, counts nothing: what
 * stands is the answer, to which it adds at most that it abstains. A look of a moment later in the same slot
 * ({@link isCalled}) takes its place, and may vote, but makes no row longer.
 */
export function look(standing: ObserverReport | undefined, it: Look): ObserverReport {
  const { observer, slotMs, nowMs, outcomes, routing, probeFailures } = it;
  const active = activeRegionOf(routing, it.primaryRegion);
  const outcome = outcomes[active];
  const abstains = whyAbstained(active, outcome, it.control);
  const previous = standing && standing.slotMs <= slotMs + REPORT_AHEAD_MS_MAX ? standing : undefined;
  if (previous && previous.slotMs >= slotMs)
    return abstains === undefined ? previous : { ...previous, abstains };

  const watched = Object.fromEntries(
    Object.entries(outcomes).map(([region, seen]) => [region, watchedAfter(previous, region, seen, it)]),
  );
  const report: ObserverReport = { observer, slotMs, at: nowMs, watched };
  if (abstains !== undefined) return { ...report, abstains };
  if (!outcome || outcome.kind === 'ready') return report;
  const failures = watched[active]?.failures ?? 0;
  const emergency = outcome.kind === 'unreachable';
  if (!emergency && failures < probeFailures) return report;
  const why = `${emergency ? 'unreachable' : `not ready ${failures} times in a row`}: ${outcome.why}`;
  return {
    ...report,
    vote: { observer, against: active, epoch: epochOf(routing), at: nowMs, emergency, why },
  };
}

/** One that reaches nothing else either may be what is wrong itself. */
function whyAbstained(
  active: string,
  outcome: ProbeOutcome | undefined,
  control: Control | undefined,
): string | undefined {
  if (!needsControl(outcome) || control?.reachable) return undefined;
  return `${active} is not ready, but neither is anything else reached: ${control?.why ?? 'nothing else was tried'}`;
}

function watchedAfter(
  previous: ObserverReport | undefined,
  region: string,
  outcome: ProbeOutcome,
  { slotMs, nowMs, probeIntervalMs }: Look,
): Watched {
  const before = previous?.watched[region];
  if (outcome.kind === 'ready')
    return { failures: 0, since: before?.failures === 0 ? before.since : nowMs, why: 'ready' };
  const slotOf = (ms: number) => Math.floor(ms / probeIntervalMs);
  const slotsOn = previous ? slotOf(slotMs) - slotOf(previous.slotMs) : Number.POSITIVE_INFINITY;
  return before && before.failures > 0 && slotsOn <= 1
    ? { failures: before.failures + slotsOn, since: before.since, why: outcome.why }
    : { failures: 1, since: nowMs, why: outcome.why };
}

/** What one observer knows when it decides. */
export interface Scene {
  /** Its own report after this look. */
  readonly own: ObserverReport;
  /** Those that stand in the table, its own too. */
  readonly reports: readonly ObserverReport[];
  /** The regions whose observers have a vote. */
  readonly observers: readonly string[];
  /** What it saw itself, just now. */
  readonly outcomes: Readonly<Record<string, ProbeOutcome>>;
  readonly routing: RoutingState | undefined;
  readonly regions: { readonly primary: string; readonly standby: string };
  readonly nowMs: number;
}

export type Decision =
  | { readonly act: 'stay'; readonly why: string }
  /** Somebody has to look at it, and nobody moves. */
  | { readonly act: 'page'; readonly why: string }
  | {
      readonly act: 'move';
      readonly why: string;
      readonly from: string;
      readonly to: string;
      readonly votes: readonly Vote[];
    };

/**
 * Two of three votes move the service from the primary to a ready standby, and nothing moves it back but an operator:
 * a failover is latched.
 */
export function decide(scene: Scene): Decision {
  const { own, observers, outcomes, routing, regions, nowMs } = scene;
  const active = activeRegionOf(routing, regions.primary);
  if (own.abstains !== undefined) return { act: 'page', why: `no vote: ${own.abstains}` };
  const votes = countedVotes(scene);
  const of = `${votes.length} of ${observers.length} observers would leave ${active}`;
  const why = `${of}${votes.map((vote) => `; ${vote.observer}: ${vote.why}`).join('')}`;
  // Nobody leaves what it finds ready now on what others saw before: they look again before their votes are too old.
  const isReadyNow = outcomes[active]?.kind === 'ready';
  if (votes.length >= VOTES_MIN && !isReadyNow) return leave(scene, active, votes, why);

  const draining = routing?.draining;
  if (draining && nowMs - draining.since > DRAIN_MS_MAX)
    return {
      act: 'page',
      why: `a drain from ${active} to ${draining.to} began at ${timeOf(draining.since)} and never ended: finish it or give it up`,
    };
  if (isReadyNow) return { act: 'stay', why: `${active} is ready now. ${why}` };
  if (votes.some(({ observer }) => observer === own.observer) && voicesIn(scene) < VOTES_MIN)
    return {
      act: 'page',
      why: `no other observer has been heard for ${VOTE_AGE_MS_MAX} ms, and one alone moves nothing. ${why}`,
    };
  return { act: 'stay', why };
}

/** Enough observers would: a drain by an operator leads to the same place, and whoever began it may be gone. */
function leave(
  { outcomes, routing, regions, nowMs }: Scene,
  active: string,
  votes: readonly Vote[],
  why: string,
): Decision {
  const page = (because: string): Decision => ({ act: 'page', why: `${because}. ${why}` });
  const to = regions.standby;
  if (active !== regions.primary)
    return page(`${active} took over and only an operator moves the service from there`);
  if (routing && nowMs - routing.since < HOLD_DOWN_MS)
    return page(
      `the service was moved to ${active} at ${timeOf(routing.since)}, less than ${HOLD_DOWN_MS} ms ago`,
    );
  const target = outcomes[to];
  if (target?.kind !== 'ready')
    return page(`${to} is not ready either: ${target?.why ?? 'it was not asked'}`);
  return { act: 'move', why, from: active, to, votes };
}

/**
 * One per observer, against the active region, cast under the present epoch, not too old. An observer whose clock is far
 * ahead has none either: nothing says when it looked.
 */
export function countedVotes({
  reports,
  observers,
  routing,
  regions,
  nowMs,
}: Pick<Scene, 'reports' | 'observers' | 'routing' | 'regions' | 'nowMs'>): readonly Vote[] {
  const active = activeRegionOf(routing, regions.primary);
  return observers.flatMap((observer) => {
    const report = reports.find((it) => it.observer === observer);
    const vote = report?.abstains === undefined ? report?.vote : undefined;
    const counts =
      vote?.observer === observer &&
      vote.against === active &&
      vote.epoch === epochOf(routing) &&
      isFresh(vote, nowMs);
    return counts ? [vote] : [];
  });
}

/** How many observers could vote: itself, and whoever reported lately and does not abstain. */
function voicesIn({ own, reports, observers, nowMs }: Scene): number {
  return observers.filter(
    (observer) =>
      observer === own.observer ||
      reports.some((it) => it.observer === observer && it.abstains === undefined && isFresh(it, nowMs)),
  ).length;
}

/**
 * Whether another observer could not even reach the active region since this one last looked: then it looks at once,
 * instead of in its next slot.
 */
export function isCalled(observer: string, scene: Parameters<typeof countedVotes>[0]): boolean {
  const lookedAt = scene.reports.find((it) => it.observer === observer)?.at ?? Number.NEGATIVE_INFINITY;
  return countedVotes(scene).some(
    (vote) => vote.emergency && vote.observer !== observer && vote.at > lookedAt,
  );
}

function isFresh({ at }: { readonly at: number }, nowMs: number): boolean {
  return Math.abs(nowMs - at) <= VOTE_AGE_MS_MAX;
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
