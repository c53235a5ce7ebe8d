// Whether the active region may be left, and when leaving it is done: pure decisions over what was seen. Every refusal
// names its kind, so that `--force` overrides what was there to be seen when it was given, and nothing that comes later.
import { DRAIN_MS, FEED_STEADY_MS_MIN, HEARTBEAT_AGE_MS_MAX, HOLD_DOWN_MS } from '../../protocol/limits.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import { beatAgeMs, type FeedStatus, unsteadinessOf } from '../../protocol/steadiness.ts';
import type { Facts } from './facts.ts';
import type { ReadyLook } from './looks.ts';
import type { Beat } from './table.ts';
import { lasting, since } from './words.ts';

export type RefusalKind =
  | 'clock_off'
  | 'hold_down'
  | 'drain_under_way'
  | 'target_not_ready'
  | 'replica_silent'
  | 'replica_behind'
  | 'feed_unsteady'
  | 'heartbeats_old';

export interface Refusal {
  readonly kind: RefusalKind;
  readonly why: string;
}

/** As recorded when it was overridden. What quotes an earlier reason goes without, or reasons would grow and grow. */
export function overriddenInWords({ kind, why }: Refusal): string {
  if (kind === 'hold_down') return 'the hold-down';
  return kind === 'drain_under_way' ? "somebody else's drain" : why;
}

export type Plan =
  | { readonly kind: 'already'; readonly why: string }
  | {
      readonly kind: 'leave';
      readonly from: string;
      readonly to: string;
      /** False when the region that is left does not answer at all: nothing is there to drain. */
      readonly drains: boolean;
      /** None: it may go on. */
      readonly refusals: readonly Refusal[];
    };

export type Leaving = Extract<Plan, { kind: 'leave' }>;

/** A drain older than this was left behind by a run that was killed; whoever runs again takes it over. */
export const DRAIN_ABANDONED_MS = 4 * DRAIN_MS;

/** Looks at the target before it is trusted, more of them at the primary, which was left for a reason. */
export const LOOKS_BEFORE: Readonly<Record<'primary' | 'standby', number>> = { standby: 2, primary: 3 };
/** How far apart: `/ready` shares an answer for 2 s (DESIGN §1). */
export const LOOKS_APART_MS = 3_000;

/** The minute of the alarm in which the move fell, the next one, and what Route 53 and a TTL take. */
const DNS_FOLLOWS_MS_MAX = 170_000;

export function activeIn({ routing, primary }: Pick<Facts, 'routing' | 'primary'>): string {
  return routing?.activeRegion ?? primary;
}

/** What follows from looks in a row, the latest last, at least one of them; `region` is one of the two that serve. */
export function planEvacuation(region: string, looks: readonly Facts[]): Plan {
  const facts = latest(looks);
  const active = activeIn(facts);
  if (active !== region)
    return { kind: 'already', why: `${region} is not active: ${active} is${moved(facts)}` };
  return leavingOf(looks);
}

export function planFailback(looks: readonly Facts[]): Plan {
  const facts = latest(looks);
  const { primary } = facts;
  const active = activeIn(facts);
  if (active === primary) {
    const leaving = facts.routing?.draining;
    return {
      kind: 'already',
      why: `${primary}, the primary, is active${moved(facts)}${leaving ? `, and being left for ${leaving.to}` : ''}`,
    };
  }
  return leavingOf(looks);
}

/** The way to the primary is one, whichever command takes it: what was left has to have caught up. */
function leavingOf(looks: readonly Facts[]): Leaving {
  const facts = latest(looks);
  const from = activeIn(facts);
  const to = from === facts.primary ? facts.standby : facts.primary;
  return {
    kind: 'leave',
    from,
    to,
    drains: looks.some(({ health }) => health[from]?.outcome !== 'silent'),
    refusals: [...onlyAtFirst(facts), ...notReady(to, looks), ...notCaughtUp(to, facts)],
  };
}

function moved({ routing, at }: Facts): string {
  return routing === undefined || routing.since === 0
    ? ', and nothing ever moved'
    : ` since ${since(routing.since, at)} (${reasonOfMove(routing)})`;
}

/** Why the active region is the one it is: a drain since then has a reason of its own. */
export function reasonOfMove({ changes, reason }: RoutingState): string {
  return (changes.find(({ what }) => what === 'move')?.reason ?? reason) || 'no reason given';
}

/** What must stay true until the very move. */
export function standingRefusals(to: string, facts: Facts): readonly Refusal[] {
  return [...notReady(to, [facts]), ...notCaughtUp(to, facts)];
}

function onlyAtFirst(facts: Facts): readonly Refusal[] {
  const { routing, at } = facts;
  const refusals: Refusal[] = clockOff(facts);
  const movedMs = at - (routing?.since ?? 0);
  if (routing !== undefined && routing.since > 0 && movedMs < HOLD_DOWN_MS)
    refusals.push({
      kind: 'hold_down',
      why: `the active region changed ${lasting(movedMs)} ago (${reasonOfMove(routing)}): nobody moves it again for another ${lasting(HOLD_DOWN_MS - movedMs)}`,
    });
  const draining = routing?.draining;
  if (draining && at - draining.since < DRAIN_ABANDONED_MS)
    refusals.push({
      kind: 'drain_under_way',
      why: `${routing.activeRegion} is being left for ${draining.to} by somebody else since ${lasting(at - draining.since)}; one that was left behind is taken over after ${lasting(DRAIN_ABANDONED_MS)}`,
    });
  return refusals;
}

/**
 * Times in the routing state are this machine's: an epoch far ahead of everybody's time would stay there for good, and a
 * hold-down would seem to be over. Three regions beat every few seconds, so one fresh beat vouches for the clock; where
 * none was ever seen nothing speaks against it.
 */
function clockOff({ replicas, at }: Facts): Refusal[] {
  const beats = replicas.flatMap(({ answer }) => answer?.beats ?? []);
  const offs = beats.map((beat) => at - beat.at).toSorted((a, b) => Math.abs(a) - Math.abs(b));
  const [least] = offs;
  if (least === undefined || Math.abs(least) <= HEARTBEAT_AGE_MS_MAX) return [];
  const off = `${lasting(Math.abs(least))} ${least > 0 ? 'behind' : 'ahead of'} the clock here`;
  return [
    {
      kind: 'clock_off',
      why: `the heartbeats of all regions are at least ${off}, expected at most ${lasting(HEARTBEAT_AGE_MS_MAX)}: set the clock of this machine; if it is right, no observer runs anywhere`,
    },
  ];
}

function notReady(region: string, looks: readonly Facts[]): readonly Refusal[] {
  const seen = looks.map(({ ready }) => ready[region]);
  const bad = seen.findLast((look) => look?.outcome !== 'ready');
  if (seen.every((look) => look?.outcome === 'ready')) return [];
  return [{ kind: 'target_not_ready', why: `${region} is not ready: ${whyNot(bad)}` }];
}

function whyNot(look: ReadyLook | undefined): string {
  if (look === undefined) return 'it was not asked';
  return look.outcome === 'not_asked' ? `${look.why}; name it with --url` : `/ready ${look.why}`;
}

/** Replication: every replica gives the same state, and the primary's feed is complete (PROTOCOL 6.2). Asked of the
 * primary only: a standby is gone to in haste. */
function notCaughtUp(to: string, { replicas, routing, primary, at }: Facts): readonly Refusal[] {
  if (to !== primary) return [];
  const refusals: Refusal[] = [];
  for (const { region, answer, why } of replicas) {
    if (!answer)
      refusals.push({
        kind: 'replica_silent',
        why: `the replica in ${region} gives no consistent read: ${why}`,
      });
    else if (answer.routing?.epoch !== routing?.epoch)
      refusals.push({
        kind: 'replica_behind',
        why: `the replica in ${region} is at routing epoch ${answer.routing?.epoch ?? 'none'}, another at ${routing?.epoch}`,
      });
  }
  const answer = replicas.find(({ region }) => region === primary)?.answer;
  if (!answer) return refusals;
  const unsteady = whyUnsteady(answer.feed, at);
  if (unsteady)
    refusals.push({ kind: 'feed_unsteady', why: `the feed of ${primary} is not steady: ${unsteady}` });
  for (const { region } of replicas) {
    const ageMs = ageOfBeats(answer.beats, region, at);
    if (ageMs === undefined || ageMs > HEARTBEAT_AGE_MS_MAX)
      refusals.push({
        kind: 'heartbeats_old',
        why: `${primary} sees ${ageMs === undefined ? 'no heartbeat' : `the latest heartbeat`} of ${region}${ageMs === undefined ? '' : ` ${lasting(ageMs)} old`}: at most ${lasting(HEARTBEAT_AGE_MS_MAX)} is fresh`,
      });
  }
  return refusals;
}

/** By the rule that pulls follow (PROTOCOL 6.2); undefined when it is steady. */
export function whyUnsteady(feed: FeedStatus | undefined, nowMs: number): string | undefined {
  const unsteadiness = unsteadinessOf(feed, nowMs);
  switch (unsteadiness?.kind) {
    case undefined:
      return undefined;
    case 'never_checked':
      return 'it was never checked';
    case 'checked_long_ago':
      return `last checked ${lasting(unsteadiness.agoMs)} ago`;
    case 'no_fresh_beat':
      return 'the last check found no fresh heartbeat';
    case 'steady_too_short':
      return `only for ${lasting(unsteadiness.forMs)}, expected ${lasting(FEED_STEADY_MS_MIN)}`;
  }
}

/** Of one region's beats; undefined where there is none. */
export function ageOfBeats(beats: readonly Beat[], region: string, nowMs: number): number | undefined {
  const own = beats.filter((beat) => beat.region === region);
  return beatAgeMs(
    own.map(({ at }) => at),
    nowMs,
  );
}

export interface Finding {
  readonly what: 'routing' | 'health' | 'ready' | 'dns';
  readonly ok: boolean;
  readonly why: string;
}

/** Of a watch after the move that made `epoch`. What nobody can be asked about is not in it. */
export function findingsAfter(to: string, epoch: number, facts: Facts): readonly Finding[] {
  const { primary, replicas, health, ready, dns } = facts;
  const read = replicas.filter(({ answer }) => answer);
  const behind = read.filter(({ answer }) => (answer?.routing?.epoch ?? 0) < epoch);
  const silent = replicas.filter(({ answer }) => !answer).map(({ region }) => region);
  const unheard = silent.length > 0 ? `; ${silent.join(', ')} silent` : '';
  const findings: Finding[] = [
    {
      what: 'routing',
      ok: read.length > 0 && behind.length === 0,
      why:
        behind.length > 0
          ? `${behind.map(({ region }) => region).join(', ')} not at epoch ${epoch} yet${unheard}`
          : `read back from ${read.map(({ region }) => region).join(', ') || 'no replica'}${unheard}`,
    },
  ];
  const look = health[primary];
  if (look && look.outcome !== 'not_asked')
    findings.push({
      what: 'health',
      // One that says nothing serves nobody, and its health check is red for that.
      ok: to === primary ? look.outcome === 'ok' : look.outcome === 'evacuated' || look.outcome === 'silent',
      why: `/health of ${primary} ${look.why}`,
    });
  const target = ready[to];
  if (target && target.outcome !== 'not_asked')
    findings.push({ what: 'ready', ok: target.outcome === 'ready', why: `/ready of ${to} ${target.why}` });
  if (dns.region !== undefined)
    findings.push({ what: 'dns', ok: dns.region === to, why: `DNS leads to ${dns.region}` });
  return findings;
}

/**
 * Whether DNS keeps clients away from the primary that `to` is, `afterMs` after the move: for good where the standby's
 * replica says nothing, since its observer then cannot say that the evacuation is over; else when it takes too long.
 */
export function isHeldInDns(to: string, afterMs: number, facts: Facts): boolean {
  const { primary, standby, dns, replicas } = facts;
  if (to !== primary || dns.region === undefined || dns.region === to) return false;
  const hears = replicas.some(({ region, answer }) => region === standby && answer !== undefined);
  return !hears || afterMs >= DNS_FOLLOWS_MS_MAX;
}

/** Who changed the state last, in words. */
export function latestChange(routing: RoutingState | undefined, nowMs: number): string {
  const [change] = routing?.changes ?? [];
  if (!change) return 'nothing is recorded of it';
  const { what, from, to, by, reason } = change;
  const action = { drain: 'a drain of', drain_given_up: 'a drain given up of', move: 'a move from' }[what];
  return `${action} ${from} to ${to} by ${by === 'operator' ? 'an operator' : by} ${lasting(nowMs - change.at)} ago: ${reason}`;
}

function latest(looks: readonly Facts[]): Facts {
  const facts = looks.at(-1);
  if (!facts) throw new RangeError('expected at least one look, got none');
  return facts;
}
