// One observer's part in a failover (DESIGN §4): it looks at the serving regions, writes down what it saw, reads what
// all observers saw, and carries out what follows. What to think of it is decided in core/failover.ts; here is what may
// fail on the way, and whatever does wakes somebody and moves nobody.
import { METRICS } from '../protocol/metrics.ts';
import { nextRouting, type ObserverReport, type RoutingState } from '../protocol/routing.ts';
import { type Decision, decide, look, type ProbeOutcome } from './core/failover.ts';
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
   * From what was seen to what follows. Whoever takes longer has a table that does not answer, and a decision that is
   * older is not carried out: an environment can be frozen at any point and go on minutes later. @default 15 s
   */
  readonly judgeMsMax?: number;
}

export interface Watch {
  readonly everyMs: number;
  /** Of the slot that begins then. Never rejects. */
  look(slotMs: number): Promise<void>;
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
/** A change that met another region's write was refused, and is worth trying again to learn who was first. */
const CHANGE_ATTEMPTS_MAX = 3;
const CHANGE_BACKOFF_MS_MAX = 200;

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

  async function probe(): Promise<Outcomes> {
    const probes = Object.entries(observed.endpoints).map(
      async ([watched, endpoint]) => [watched, await prober.ready(endpoint)] as const,
    );
    return Object.fromEntries(await Promise.all(probes));
  }

  async function judge(slotMs: number, seenMs: number, outcomes: Outcomes): Promise<Judged> {
    const untilMs = now() + judgeMsMax;
    const [routing, generation, [standing]] = await Promise.all([
      store.routing(),
      store.generation(),
      store.observerReports([region]),
    ]);
    if (!generation) return { ...notOpened(slotMs, seenMs), routing };
    const active = activeRegionOf(routing, regions.primary);
    const control =
      outcomes[active]?.kind === 'ready' ? undefined : await prober.control(controlsFor(active));
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
    if (report !== standing) await store.saveObserverReport(report);
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
    if (await change(routing, next, untilMs)) return { decision: move, moved: true, routing: next };
    const decision: Decision = { act: 'stay', why: `another changed the routing state first. ${why}` };
    return { decision, moved: false, routing: await store.routing() };
  }

  async function change(
    previous: RoutingState | undefined,
    next: RoutingState,
    untilMs: number,
  ): Promise<boolean> {
    for (let tried = 1; ; tried += 1)
      try {
        if (now() >= untilMs) throw new Error('the decision is too old to be carried out');
        return await store.changeRouting(previous, next);
      } catch (error) {
        const again =
          error instanceof StoreUnavailableError && error.retryable && tried < CHANGE_ATTEMPTS_MAX;
        if (!again) throw error;
        await wait(random() * CHANGE_BACKOFF_MS_MAX);
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
    try {
      outcomes = await probe();
      const seenMs = now();
      const judging = before.then(() => within(judgeMsMax, judge(slotMs, seenMs, outcomes), 'not done'));
      before = judging.catch(() => {});
      const judged = await judging;
      tell(outcomes, judged);
      await archive(judged.routing);
    } catch (error) {
      tellFailure(outcomes, error);
    }
  }

  return { everyMs: observed.probeIntervalMs, look: observe };
}

function healthSamples(outcomes: Outcomes) {
  const all = Object.values(outcomes);
  return [
    { name: METRICS.healthChecks, value: all.length },
    { name: METRICS.healthCheckFailures, value: all.filter(({ kind }) => kind !== 'ready').length },
  ];
}
