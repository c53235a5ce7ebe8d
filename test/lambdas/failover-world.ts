// Three observers, an operator and the table between them, played out over slots: what each observer sees is given, the
// conditional writes are as the store's contract has them, and every move is held to what the log of looks says, which
// knows nothing of how votes are counted.
import {
  type Decision,
  decide,
  isCalled,
  look,
  type ProbeOutcome,
  type Scene,
} from '../../lambdas/core/failover.ts';
import { DRAIN_MS, HEARTBEAT_EVERY_MS, HOLD_DOWN_MS, VOTE_AGE_MS_MAX } from '../../protocol/limits.ts';
import {
  nextRouting,
  type ObserverReport,
  type RoutingState,
  type RoutingStep,
} from '../../protocol/routing.ts';
import { REGIONS } from './functions.ts';

export const START = 1_800_000_000_000;
export const SLOT_MS = 15_000;
const FAILURES = 3;
const OBSERVERS: readonly string[] = [REGIONS.primary, REGIONS.standby, REGIONS.quorum];
/** How far observers' clocks are from the true time at most. */
export const SKEW_MS_MAX = 10_000;

/** `not_ready` says so, `silent` does not answer: only the first shows that whoever asked is not cut off. */
export type Seen = ProbeOutcome['kind'] | 'silent';

/** What one observer meets during a segment. */
export interface View {
  /** Looks in a slot: none, one, or one and a late duplicate of it. */
  readonly looks: 0 | 1 | 2;
  readonly primary: Seen;
  readonly standby: Seen;
  readonly control: boolean;
  /** Whether it reaches the table. */
  readonly table: boolean;
  /** Its clock against the true time. */
  readonly skewMs: number;
}

export interface Segment {
  readonly slots: number;
  /** In the order of {@link OBSERVERS}. */
  readonly views: readonly [View, View, View];
  /** Done by an operator as the segment begins, where it is possible. */
  readonly operator?: RoutingStep['what'] | undefined;
}

/** Wrong turns, each of which some world must bring to light. */
export interface Wrong {
  /** What an observer takes for its standing report. */
  readonly standing?: (report: ObserverReport, slotMs: number) => ObserverReport;
  readonly controlIsIgnored?: true;
  /** What it decides on. */
  readonly scene?: (scene: Scene) => Scene;
  readonly changesAreUnconditional?: true;
  /** An answer that says "not ready" is taken for silence. */
  readonly answersAreSilence?: true;
  /** Nobody asks between looks whether another saw an emergency. */
  readonly nobodyHeeds?: true;
}

interface Logged {
  readonly slotMs: number;
  /** On the observer's clock. */
  readonly at: number;
  readonly seen: Readonly<Record<string, Seen>>;
  readonly control: boolean;
  readonly epoch: number;
  readonly active: string;
}

/** An observer's, on its way to the table. */
interface Attempt {
  readonly observer: string;
  readonly view: View;
  /** How many observers had reason enough when it was decided. */
  readonly witnesses: number;
  readonly previous: RoutingState | undefined;
  readonly next: RoutingState;
}

interface Event {
  readonly atMs: number;
  run(): void;
}

export class FailoverWorld {
  routing: RoutingState | undefined;
  /** True times of moves, and whether observers made them. */
  readonly moves: { readonly atMs: number; readonly automatic: boolean }[] = [];
  /** True time of the first look that saw an emergency and voted. */
  emergencyAtMs: number | undefined;
  readonly violations: string[] = [];
  pages = 0;
  readonly #reports = new Map<string, ObserverReport>();
  readonly #log = new Map<string, Logged[]>();
  readonly #events: Event[] = [];
  readonly #wrong: Wrong;
  #dice: number;

  constructor(segments: readonly Segment[], seed: number, wrong: Wrong = {}) {
    this.#wrong = wrong;
    this.#dice = seed;
    let slotMs = START;
    for (const { slots, views, operator } of segments) {
      const startMs = slotMs;
      if (operator) this.#at(startMs, () => this.#operate(operator, startMs));
      for (let n = 0; n < slots; n += 1, slotMs += SLOT_MS)
        for (const [index, view] of views.entries()) this.#plan(OBSERVERS[index] as string, view, slotMs);
    }
    for (let next = this.#events.shift(); next; next = this.#events.shift()) next.run();
  }

  #at(atMs: number, run: () => void): void {
    this.#events.push({ atMs, run });
    this.#events.sort((a, b) => a.atMs - b.atMs);
  }

  /** 0 ≤ n < below, the same for the same seed. */
  #draw(below: number): number {
    this.#dice = (Math.imul(this.#dice, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#dice / 2 ** 32) * below);
  }

  #plan(observer: string, view: View, slotMs: number): void {
    for (let n = 0; n < view.looks; n += 1) {
      const atMs = slotMs + this.#draw(SLOT_MS) + n * this.#draw(SLOT_MS);
      this.#at(atMs, () => this.#look(observer, view, slotMs, atMs));
    }
    if (view.looks === 0 || this.#wrong.nobodyHeeds) return;
    for (let afterMs = HEARTBEAT_EVERY_MS; afterMs < SLOT_MS; afterMs += HEARTBEAT_EVERY_MS)
      this.#at(slotMs + afterMs, () => this.#heed(observer, view, slotMs + afterMs));
  }

  #heed(observer: string, view: View, atMs: number): void {
    const { routing } = this;
    const reports = [...this.#reports.values()];
    const nowMs = atMs + view.skewMs;
    if (view.table && isCalled(observer, { reports, observers: OBSERVERS, routing, regions: REGIONS, nowMs }))
      this.#look(observer, view, atMs, atMs);
  }

  #look(observer: string, view: View, slotMs: number, atMs: number): void {
    if (!view.table) return;
    const nowMs = atMs + view.skewMs;
    const outcomes = {
      [REGIONS.primary]: this.#outcomeOf(view.primary),
      [REGIONS.standby]: this.#outcomeOf(view.standby),
    };
    const { routing } = this;
    const stored = this.#reports.get(observer);
    const standing = stored && (this.#wrong.standing?.(stored, slotMs) ?? stored);
    const report = look(standing, {
      observer,
      slotMs,
      nowMs,
      outcomes,
      routing,
      primaryRegion: REGIONS.primary,
      control:
        view.control || this.#wrong.controlIsIgnored
          ? { reachable: true }
          : { reachable: false, why: 'nothing answers' },
      probeIntervalMs: SLOT_MS,
      probeFailures: FAILURES,
    });
    if (report !== standing && (this.#wrong.standing || !stored || stored.slotMs < slotMs)) {
      this.#reports.set(observer, report);
      const log = this.#log.get(observer) ?? [];
      const seen = { [REGIONS.primary]: view.primary, [REGIONS.standby]: view.standby };
      const active = routing?.activeRegion ?? REGIONS.primary;
      const epoch = routing?.epoch ?? 0;
      log.push({ slotMs, at: nowMs, seen, control: view.control, epoch, active });
      this.#log.set(observer, log);
      if (report.vote?.emergency) this.emergencyAtMs ??= atMs;
    }
    const scene: Scene = {
      own: report,
      reports: [...this.#reports.values()],
      observers: OBSERVERS,
      outcomes,
      routing,
      regions: REGIONS,
      nowMs,
    };
    const decision = decide(this.#wrong.scene?.(scene) ?? scene);
    this.#mustAct(observer, view, decision, nowMs);
    if (decision.act === 'page') this.pages += 1;
    if (decision.act !== 'move') return;
    const { from, to, votes, why } = decision;
    const step: RoutingStep = { what: 'move', from, to, by: 'observers', reason: why, votes, forced: false };
    const next = nextRouting(routing, step, { nowMs, restoreEpoch: 0 });
    const tolerance = VOTE_AGE_MS_MAX + SKEW_MS_MAX;
    const witnesses = OBSERVERS.filter((it) => this.#saw(it, atMs, tolerance)).length;
    const landsAtMs = atMs + this.#draw(3_000);
    this.#at(landsAtMs, () =>
      this.#change({ observer, view, witnesses, previous: routing, next }, landsAtMs),
    );
  }

  #change(attempt: Attempt, atMs: number): void {
    const { previous, next } = attempt;
    if (this.routing?.epoch !== previous?.epoch && !this.#wrong.changesAreUnconditional) return;
    this.#hold(attempt, atMs);
    this.routing = next;
    this.moves.push({ atMs, automatic: true });
  }

  /** What must be so of any move, told from the state it changes and the log of looks. */
  #hold({ observer, view, witnesses, next }: Attempt, atMs: number): void {
    const expect = (holds: boolean, what: string) => {
      if (!holds) this.violations.push(`${observer} at ${atMs - START} ms: ${what}`);
    };
    const before = this.routing;
    const active = before?.activeRegion ?? REGIONS.primary;
    const last = this.moves.at(-1);
    expect(active === REGIONS.primary && next.activeRegion === REGIONS.standby, `moved from ${active}`);
    expect(next.epoch > (before?.epoch ?? 0), 'the epoch ran backwards');
    expect((before?.draining?.to ?? REGIONS.standby) === REGIONS.standby, 'moved against a drain');
    const tolerance = 2 * SKEW_MS_MAX + 3_000;
    expect(!last || atMs - last.atMs >= HOLD_DOWN_MS - tolerance, 'moved twice within a hold-down');
    expect(view.standby === 'ready', 'moved to a region that it did not see ready');
    expect(!isCutOff(view.primary, view.control), 'moved by an observer that was cut off');
    expect(witnesses >= 2, `moved on what ${witnesses} observers saw`);
  }

  /** What must come of a look, told from the state it found and the log of looks. */
  #mustAct(observer: string, view: View, { act }: Decision, nowMs: number): void {
    const { routing } = this;
    const active = routing?.activeRegion ?? REGIONS.primary;
    const expect = (holds: boolean, what: string) => {
      if (!holds) this.violations.push(`${observer} at ${nowMs - START} ms on its clock: ${what}`);
    };
    const sight = active === REGIONS.primary ? view.primary : view.standby;
    const voices = OBSERVERS.filter((it) => it === observer || this.#isHeard(it, nowMs));
    if (isCutOff(sight, view.control) || !this.#isHeard(observer, nowMs, Number.POSITIVE_INFINITY)) return;
    const witnesses = OBSERVERS.filter((it) => this.#saw(it, nowMs, VOTE_AGE_MS_MAX));
    const mayMove =
      active === REGIONS.primary && (!routing || nowMs - routing.since >= HOLD_DOWN_MS) && sight !== 'ready';
    if (mayMove && witnesses.length >= 2 && view.standby === 'ready')
      expect(act === 'move', 'two saw it, and nobody moved');
    if (witnesses.includes(observer) && sight !== 'ready' && voices.length < 2)
      expect(act === 'page', 'it is alone with what it saw, and nobody was woken');
    if (routing?.draining && nowMs - routing.draining.since > 10 * DRAIN_MS)
      expect(act !== 'stay', 'a drain was left behind, and nobody was woken');
  }

  /** Whether an observer reported lately, and was not cut off. */
  #isHeard(observer: string, nowMs: number, ageMsMax = VOTE_AGE_MS_MAX): boolean {
    const latest = this.#log.get(observer)?.at(-1);
    if (!latest || Math.abs(nowMs - latest.at) > ageMsMax) return false;
    return !isCutOff(latest.seen[latest.active] ?? 'ready', latest.control);
  }

  /** Whether an observer's latest look is a good reason to leave the active region: fresh, of this epoch, from the network. */
  #saw(observer: string, atMs: number, ageMsMax: number): boolean {
    const region = this.routing?.activeRegion ?? REGIONS.primary;
    const log = this.#log.get(observer) ?? [];
    const latest = log.at(-1);
    if (!latest || latest.epoch !== (this.routing?.epoch ?? 0)) return false;
    const seen = latest.seen[region] ?? 'ready';
    if (seen === 'ready' || isCutOff(seen, latest.control) || Math.abs(atMs - latest.at) > ageMsMax)
      return false;
    if (seen === 'unreachable') return true;
    // Back through the row: every look of it failed, and no slot of it is without one.
    const slotOf = ({ slotMs }: Logged) => Math.floor(slotMs / SLOT_MS);
    const slots = new Set<number>();
    for (const it of log.toReversed()) {
      const isNext = slots.size === 0 || Math.min(...slots) - slotOf(it) <= 1;
      if (it.seen[region] === 'ready' || !isNext) break;
      slots.add(slotOf(it));
    }
    return slots.size >= FAILURES;
  }

  #outcomeOf(seen: Seen): ProbeOutcome {
    const outcome = outcomeOf(seen);
    return outcome.kind === 'not_ready' && this.#wrong.answersAreSilence
      ? { ...outcome, answered: false }
      : outcome;
  }

  #operate(what: RoutingStep['what'], atMs: number): void {
    const { routing } = this;
    const from = routing?.activeRegion ?? REGIONS.primary;
    const to =
      what === 'drain_given_up'
        ? routing?.draining?.to
        : from === REGIONS.primary
          ? REGIONS.standby
          : REGIONS.primary;
    if (to === undefined) return;
    const step: RoutingStep = { what, from, to, by: 'operator', reason: '', votes: [], forced: true };
    this.routing = nextRouting(routing, step, { nowMs: atMs, restoreEpoch: 0 });
    if (what === 'move') this.moves.push({ atMs, automatic: false });
  }
}

export function outcomeOf(kind: Seen): ProbeOutcome {
  if (kind === 'ready') return { kind };
  if (kind === 'unreachable') return { kind, why: 'connect ECONNREFUSED' };
  return kind === 'silent'
    ? { kind: 'not_ready', why: 'no answer within 5000 ms', answered: false }
    : { kind, why: 'status 503', answered: true };
}

/** Whether an observer with this sight of the active region cannot tell which of the two is cut off. */
function isCutOff(seen: Seen, control: boolean): boolean {
  return !control && (seen === 'silent' || seen === 'unreachable');
}
