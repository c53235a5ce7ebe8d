// Facts as an operator's command would have gathered them, all well unless said otherwise.
import type { Facts } from '../../bin/routing/facts.ts';
import type { HealthLook, ReadyLook } from '../../bin/routing/looks.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import type { FeedStatus } from '../../protocol/steadiness.ts';

export const PRIMARY = 'us-east-2';
export const STANDBY = 'us-west-2';
export const QUORUM = 'us-east-1';
/** Now, in Unix ms. */
export const AT = 1_700_000_000_000;

export interface Overrides {
  readonly at?: number;
  /** @default none, nothing ever moved */
  readonly routing?: Partial<RoutingState> & Pick<RoutingState, 'activeRegion'>;
  readonly health?: Readonly<Record<string, HealthLook['outcome']>>;
  readonly ready?: Readonly<Record<string, ReadyLook['outcome']>>;
  /** Replicas that do not answer. */
  readonly silent?: readonly string[];
  /** Replicas that are at another epoch than the state's. */
  readonly epochs?: Readonly<Record<string, number | undefined>>;
  /** Of the primary. */
  readonly feed?: FeedStatus | undefined;
  /** Ages of heartbeats by who sees them and whose they are; NaN for none. @default 3 s */
  readonly beats?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly dns?: string | undefined;
}

const REGIONS = [STANDBY, QUORUM, PRIMARY];
const HEALTH_SAYS = { ok: 'answers 200', evacuated: 'answers 503, evacuated', failing: 'answers 500' };
const READY_SAYS = { ready: 'answers 200, ready', not_ready: 'answers 503 (read: no)' };

export function seen(given: Overrides = {}): Facts {
  const { at = AT, silent = [], epochs = {}, beats = {}, health = {}, ready = {} } = given;
  const routing = given.routing && stateOf(given.routing);
  const feed = 'feed' in given ? given.feed : { checkedAt: at - 5_000, steadySince: at - 600_000 };
  const replicas = REGIONS.map((region) => {
    if (silent.includes(region)) return { region, why: 'timed out', tookMs: 4_000 };
    const own =
      region in epochs
        ? epochs[region] === undefined
          ? undefined
          : { ...stateOf(given.routing ?? { activeRegion: PRIMARY }), epoch: epochs[region] }
        : routing;
    const ages = REGIONS.map((from) => ({ region: from, age: beats[region]?.[from] ?? 3_000 }));
    const answer = {
      routing: own,
      restoreEpoch: 7,
      feed,
      beats: ages
        .filter(({ age }) => !Number.isNaN(age))
        .map((it) => ({ region: it.region, at: at - it.age })),
    };
    return { region, answer, why: '', tookMs: 5 };
  });
  return {
    at,
    primary: PRIMARY,
    standby: STANDBY,
    replicas,
    routing,
    heard: silent.length < REGIONS.length,
    restoreEpoch: 7,
    health: looksOf(health, 'ok', HEALTH_SAYS),
    ready: looksOf(ready, 'ready', READY_SAYS),
    dns:
      'dns' in given
        ? { region: given.dns, ttlS: 20, why: 'asked' }
        : { region: undefined, ttlS: undefined, why: 'there is no failover name' },
  };
}

function looksOf<Outcome extends string>(
  given: Readonly<Record<string, Outcome>>,
  well: Outcome,
  says: Readonly<Record<string, string>>,
): Readonly<Record<string, { readonly outcome: Outcome; readonly why: string }>> {
  return Object.fromEntries(
    [PRIMARY, STANDBY].map((region) => {
      const outcome = given[region] ?? well;
      return [region, { outcome, why: says[outcome] ?? 'no answer: ECONNREFUSED' }];
    }),
  );
}

export function looks(...given: readonly Overrides[]): readonly Facts[] {
  return given.map(seen);
}

function stateOf(given: NonNullable<Overrides['routing']>): RoutingState {
  return { epoch: 5, since: 0, reason: 'two votes', restoreEpoch: 7, changes: [], ...given };
}

/** The standby took over 20 minutes ago. */
export function failedOver(changed: Partial<RoutingState> = {}): RoutingState {
  const at = AT - 1_200_000;
  const move = {
    epoch: at,
    at,
    what: 'move',
    from: PRIMARY,
    to: STANDBY,
    by: 'observers',
    reason: 'two votes',
    votes: [],
    forced: false,
    restoreEpoch: 7,
  } as const;
  return stateOf({ activeRegion: STANDBY, epoch: at, since: at, changes: [move], ...changed });
}
