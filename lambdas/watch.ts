// One observer's part in a failover (DESIGN §4): it looks at the serving regions, writes down what it saw, reads what
// all observers saw, and carries out what follows. What to think of it is decided in core/failover.ts; here is what may
// fail on the way, and whatever does wakes somebody and moves nobody.
import { isDeepStrictEqual } from 'node:util';
import { VOTE_AGE_MS_MAX } from '../protocol/limits.ts';
import { METRICS } from '../protocol/metrics.ts';
import { nextRouting, type ObserverReport, type RoutingState } from '../protocol/routing.ts';
import { type Decision, decide, isCalled, look, needsControl, type ProbeOutcome } from './core/failover.ts';
import { activeRegionOf, isEvacuated } from './core/routing.ts';
import type { Observed } from './env.ts';
import type { Prober } from './probe.ts';
import type { Service } from './service.ts';
import { type Store, StoreUnavailableError } from './store/store.ts';
import { within } from './within.ts';

export interface WatchParts extends Pick<Service, 'place' | 'telemetry' | 'now' | 'random' | 'wait'> {
  readonly store: Pick<
    Store,
    'routing' | 'changeRouting' | 'observerReports' | 'saveObserverReport' | 'generation'
  >;
  readonly observed: Observed;
  readonly prober: Prober;
  /** Of changes of the routing state; never rejects. */
  readonly archive: (routing: RoutingState | undefined) => Promise<void>;
  /**
   * From its turn to what follows. Whoever takes longer has a table that does not answer, and a decision that is older,
   * or rests on a look older than votes may be, is not carried out: an environment can be frozen at any point and go on
   * minutes later. @default 15 s
   */
  readonly judgeMsMax?: number;
}

export interface Watch {
  readonly everyMs: number;
  /** Of the slot that begins then. Never rejects. */
  look(slotMs: number): Promise<void>;
  /** Between looks: one more, of that moment, where another observer's emergency calls for it. Never rejects. */
  heed(atMs: number): Promise<void>;
}

type Outcomes = Readonly<Record<string, ProbeOutcome>>;
type Move = Extract<Decision, { act: 'move' }>;

/** What came of a look. */
interface Judged {
  readonly report: ObserverReport;
  readonly decision: Decision;
  readonly moved: boolean;
  readonly routing: RoutingState | undefined;
}

const JUDGE_MS_MAX = 15_000;
/** A write that met another region's, or a busy table, was refused and is worth trying again: reports and changes are
 * conditional, so that one which landed all the same is found out. */
const WRITE_ATTEMPTS_MAX = 3;
const WRITE_BACKOFF_MS_MAX = 200;

export function createWatch(parts: WatchParts): Watch {
  const {
    place,
    store,
    telemetry,
    now,
    random,
    wait,
    observed,
    prober,
    archive,
    judgeMsMax = JUDGE_MS_MAX,
  } = parts;
  const { region, role, regions } = place;
  const observers = Object.values(regions);
  /** The look before: a count goes on from what it wrote. */
  let before: Promise<unknown> = Promise.resolve();
  let underWay = 0;

  async function probe(): Promise<Outcomes> {
    const probes = Object.entries(observed.endpoints).map(
      async ([watched, endpoint]) => [watched, await prober.ready(endpoint)] as const,
    );
    return Object.fromEntries(await Promise.all(probes));
  }

  async function judge(slotMs: number, seenMs: number, outcomes: Outcomes): Promise<Judged> {
    const untilMs = Math.min(now() + judgeMsMax, seenMs + VOTE_AGE_MS_MAX);
    const [routing, generation, [standing]] = await Promise.all([
      store.routing(),
      store.generation(),
      store.observerReports([region]),
    ]);
    if (!generation) return { ...notOpened(slotMs, seenMs), routing };
    const active = activeRegionOf(routing, regions.primary);
    const control = needsControl(outcomes[active]) ? await prober.control(controlsFor(active)) : undefined;
    const report = look(standing, {
      observer: region,
      slotMs,
      nowMs: seenMs,
      outcomes,
      routing,
      primaryRegion: regions.primary,
      control,
      probeIntervalMs: observed.probeIntervalMs,
      probeFailures: observed.probeFailures,
    });
    if (report !== standing) await written(() => store.saveObserverReport(report));
    const reports = await store.observerReports(observers);
    const decision = decide({ own: report, reports, observers, outcomes, routing, regions, nowMs: now() });
    if (decision.act !== 'move') return { report, decision, moved: false, routing };
    return { report, ...(await carryOut(decision, routing, generation.restoreEpoch, untilMs)) };
  }

  /** A first deployment: the primary stands last, and until somebody opens the table there is nothing to move. */
  function notOpened(slotMs: number, at: number) {
    const report: ObserverReport = { observer: region, slotMs, at, watched: {} };
    const decision: Decision = { act: 'stay', why: 'the table was never opened: npm run open opens it' };
    return { report, decision, moved: false };
  }

  /** Something that answers in every region but this one and the one in question. */
  function controlsFor(watched: string): readonly string[] {
    const elsewhere = Object.entries(observed.controls).filter(([at]) => at !== region && at !== watched);
    return elsewhere.map(([, url]) => url);
  }

  async function carryOut(
    move: Move,
    routing: RoutingState | undefined,
    restoreEpoch: number,
    untilMs: number,
  ) {
    const { from, to, why, votes } = move;
    const next = nextRouting(
      routing,
      { what: 'move', from, to, by: 'observers', reason: why, votes, forced: false },
      { nowMs: now(), restoreEpoch },
    );
    let failure: unknown;
    try {
      const change = async () => {
        if (now() >= untilMs) throw new Error('the decision is too old to be carried out');
        return store.changeRouting(routing, next);
      };
      if (await written(change)) return { decision: move, moved: true, routing: next };
    } catch (error) {
      failure = error;
    }
    // It may have landed all the same, and its answer got lost: then the change that stands is its own.
    const standing = await store.routing();
    if (isDeepStrictEqual(standing?.changes[0], next.changes[0]))
      return { decision: move, moved: true, routing: standing };
    if (failure !== undefined) throw failure;
    const decision: Decision = { act: 'stay', why: `another changed the routing state first. ${why}` };
    return { decision, moved: false, routing: standing };
  }

  async function written(write: () => Promise<boolean>): Promise<boolean> {
    for (let tried = 1; ; tried += 1)
      try {
        return await write();
      } catch (error) {
        const again = error instanceof StoreUnavailableError && error.retryable && tried < WRITE_ATTEMPTS_MAX;
        if (!again) throw error;
        await wait(random() * WRITE_BACKOFF_MS_MAX);
      }
  }

  function tell(outcomes: Outcomes, { report, decision, moved, routing }: Judged): void {
    const { act, why } = decision;
    if (act !== 'stay') telemetry.warn(moved ? 'the service was moved' : 'nobody moves the service', { why });
    const evacuated = isEvacuated(routing, regions.primary, regions.primary);
    telemetry.measure(
      [
        ...healthSamples(outcomes),
        { name: METRICS.failoverVotes, value: report.vote ? 1 : 0 },
        { name: METRICS.failoverPages, value: act === 'page' ? 1 : 0 },
        { name: METRICS.failovers, value: moved ? 1 : 0 },
        // What the alarm that keeps an evacuated primary out of DNS is fed with.
        ...(role === 'standby' ? [{ name: METRICS.evacuated, value: evacuated ? 1 : 0 }] : []),
      ],
      { act, why },
    );
  }

  /** Says nothing of the evacuation, which is not known: silence keeps the latch in DNS where it is. */
  function tellFailure(outcomes: Outcomes, error: unknown): void {
    telemetry.error('nobody moves the service: the routing state cannot be read or written', error);
    telemetry.measure([
      ...healthSamples(outcomes),
      { name: METRICS.failoverVotes, value: 0 },
      { name: METRICS.failoverPages, value: 1 },
      { name: METRICS.failovers, value: 0 },
    ]);
  }

  async function observe(slotMs: number): Promise<void> {
    let outcomes: Outcomes = {};
    const turn = before;
    const inTurn = async () => {
      outcomes = await probe();
      const seenMs = now();
      // However long the look before is probing: a report that is overtaken counts nothing.
      await turn;
      return within(judgeMsMax, judge(slotMs, seenMs, outcomes), 'not done');
    };
    const judging = inTurn();
    before = judging.catch(() => {});
    underWay += 1;
    try {
      const judged = await judging;
      tell(outcomes, judged);
      await archive(judged.routing);
    } catch (error) {
      tellFailure(outcomes, error);
    } finally {
      underWay -= 1;
    }
  }

  async function heed(atMs: number): Promise<void> {
    // A look that is under way sees for itself.
    if (underWay > 0) return;
    try {
      const reading = Promise.all([store.routing(), store.observerReports(observers)]);
      const [routing, reports] = await within(judgeMsMax, reading, 'not read');
      if (underWay > 0 || !isCalled(region, { reports, observers, routing, regions, nowMs: now() })) return;
    } catch (error) {
      // Looks say so to whoever is to be woken.
      telemetry.error('whether another observer saw an emergency cannot be read', error);
      return;
    }
    await observe(atMs);
  }

  return { everyMs: observed.probeIntervalMs, look: observe, heed };
}

function healthSamples(outcomes: Outcomes) {
  const all = Object.values(outcomes);
  return [
    { name: METRICS.healthChecks, value: all.length },
    { name: METRICS.healthCheckFailures, value: all.filter(({ kind }) => kind !== 'ready').length },
  ];
}
