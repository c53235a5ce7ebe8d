// Leaving the active region: drain, look all the while whether it still may be left, move, watch. Each change is written
// under the condition that the one before still stands, so whoever else changes something meanwhile is noticed and wins.
import { DRAIN_MS } from '../../protocol/limits.ts';
import { nextRouting, type RoutingChange, type RoutingState } from '../../protocol/routing.ts';
import type { Facts } from './facts.ts';
import type { LatchCommands } from './latch.ts';
import {
  activeIn,
  findingsAfter,
  isHeldInDns,
  type Leaving,
  latestChange,
  overriddenInWords,
  type Refusal,
  type RefusalKind,
  standingRefusals,
} from './plan.ts';
import type { Written } from './table.ts';
import { lasting } from './words.ts';

export interface Ports {
  /** Unix ms. */
  now(): number;
  /** Resolves after so many ms, or at once when interrupted. */
  sleep(ms: number): Promise<unknown>;
  observe(): Promise<Facts>;
  change(previous: RoutingState | undefined, next: RoutingState): Promise<Written>;
  /** What a person types where DNS does not let go of an evacuated primary; see latch.ts. */
  latchCommands(): Promise<LatchCommands | undefined>;
  /** Progress, for people and programs. */
  say(step: Step): void;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
}

export interface Step {
  readonly step: 'look' | 'plan' | 'drain' | 'move' | 'watch' | 'give_up';
  readonly says: string;
}

export interface Order {
  readonly reason: string;
  /** What was refused, and is done all the same. */
  readonly overridden: readonly Refusal[];
  /** What the plan was made from. */
  readonly facts: Facts;
}

/**
 * `moved`: and everything is as it should be. `moved_but`: the move stands, something else does not follow it.
 * `given_up`: the active region is what it was. `drain_ended`: as asked with `--give-up`. `lost`: somebody else changed
 * the state first; `by_another`: to what was wanted. `unknown`: a change was asked for, nobody says whether it is written.
 */
export type Ending =
  | 'moved'
  | 'moved_but'
  | 'given_up'
  | 'drain_ended'
  | 'lost'
  | 'by_another'
  | 'interrupted'
  | 'unknown';

export interface Outcome {
  readonly ending: Ending;
  readonly why: string;
  /** As far as known. */
  readonly routing: RoutingState | undefined;
}

const LOOK_EVERY_MS = 5_000;
/** Before a single bad look during a drain counts. */
const LOOK_AGAIN_MS = 1_000;
/** All must be well in so many looks in a row; DNS takes a metric's minute, three checks and a TTL to follow. */
const WATCH_LOOKS = 3;
const WATCH_MS_MAX = 240_000;

export async function leave(plan: Leaving, order: Order, ports: Ports): Promise<Outcome> {
  const run = new Run(plan, order, ports);
  if (!plan.drains) {
    ports.say({ step: 'drain', says: `${plan.from} does not answer: nothing to drain` });
    return run.move(order.facts.routing);
  }
  return run.drain();
}

/** Ends a drain that a killed run left behind; moves nothing. */
export async function giveUpDrain(
  { facts, reason }: Pick<Order, 'facts' | 'reason'>,
  ports: Pick<Ports, 'now' | 'change' | 'say'>,
): Promise<Outcome> {
  const { routing } = facts;
  if (!routing?.draining) return { ending: 'drain_ended', why: 'nothing drains', routing };
  const { activeRegion, draining } = routing;
  const step = stepOf('drain_given_up', activeRegion, draining.to, reason, false);
  const next = nextRouting(routing, step, { nowMs: ports.now(), restoreEpoch: facts.restoreEpoch });
  const written = await ports.change(routing, next);
  if (written.kind === 'lost') return lost(written.current, facts, ports.now());
  if (written.kind === 'failed')
    return { ending: 'unknown', why: `the drain may still stand: ${written.why}`, routing };
  ports.say({ step: 'give_up', says: `written through ${written.region}, epoch ${next.epoch}` });
  return {
    ending: 'drain_ended',
    why: `the drain is given up: ${activeRegion} stays active`,
    routing: next,
  };
}

class Run {
  readonly #plan: Leaving;
  readonly #order: Order;
  readonly #ports: Ports;
  readonly #overridden: ReadonlySet<RefusalKind>;
  /** Said once, from when on it is to be typed. */
  #latch: LatchCommands | undefined;

  constructor(plan: Leaving, order: Order, ports: Ports) {
    this.#plan = plan;
    this.#order = order;
    this.#ports = ports;
    this.#overridden = new Set(order.overridden.map(({ kind }) => kind));
  }

  async drain(): Promise<Outcome> {
    const { from, to } = this.#plan;
    const { facts } = this.#order;
    if (this.#ports.interrupted.aborted) return this.#untouched(facts.routing);
    const before = facts.routing;
    const draining = this.#next(before, 'drain', this.#reason());
    const written = await this.#ports.change(before, draining);
    if (written.kind !== 'written') return this.#notWritten(written, before);
    if (before?.draining) this.#say('drain', 'the drain that was under way is taken over');
    this.#say(
      'drain',
      `${from} drains, through ${written.region}: ${lasting(DRAIN_MS)} until ${to} takes over`,
    );
    const stopped = await this.#wait(draining);
    return stopped ?? this.move(draining);
  }

  /** Undefined when the drain is over and nothing speaks against the move. */
  async #wait(draining: RoutingState): Promise<Outcome | undefined> {
    const { now, sleep, interrupted } = this.#ports;
    const endsAt = now() + DRAIN_MS;
    for (;;) {
      await sleep(Math.min(LOOK_EVERY_MS, Math.max(0, endsAt - now())));
      if (interrupted.aborted) return this.#giveUp(draining, 'interrupted', 'interrupted by the operator');
      // A single look proves little: what is wrong has to be so twice.
      let seen = await this.#look(draining);
      if (seen.against.length > 0 && !seen.taken) {
        await sleep(LOOK_AGAIN_MS);
        seen = await this.#look(draining);
      }
      if (seen.taken) return lost(seen.facts.routing, seen.facts, now(), this.#plan.to);
      if (interrupted.aborted) return this.#giveUp(draining, 'interrupted', 'interrupted by the operator');
      if (seen.against.length > 0)
        return this.#giveUp(draining, 'given_up', seen.against.map(({ why }) => why).join('; '));
      const leftMs = endsAt - now();
      if (leftMs <= 0) return undefined;
      this.#say('drain', `${lasting(leftMs)} to go; ${this.#plan.to} is as it should be`);
    }
  }

  async #look(draining: RoutingState): Promise<{
    readonly facts: Facts;
    readonly against: readonly Refusal[];
    /** Somebody else changed the state. */
    readonly taken: boolean;
  }> {
    const facts = await this.#ports.observe();
    const against = standingRefusals(this.#plan.to, facts).filter(({ kind }) => !this.#overridden.has(kind));
    for (const { why } of against) this.#say('drain', why);
    return { facts, against, taken: facts.heard && (facts.routing?.epoch ?? 0) > draining.epoch };
  }

  /** `tried` is a move that nobody said was written; it may have been. */
  async #giveUp(
    draining: RoutingState,
    ending: 'given_up' | 'interrupted',
    why: string,
    tried?: RoutingState,
  ): Promise<Outcome> {
    const { from } = this.#plan;
    const next = this.#next(draining, 'drain_given_up', why);
    const written = await this.#ports.change(draining, next);
    if (written.kind === 'lost' && tried && written.current?.epoch === tried.epoch) return this.#watch(tried);
    if (written.kind === 'lost')
      return lost(written.current, this.#order.facts, this.#ports.now(), this.#plan.to);
    if (written.kind === 'failed')
      return {
        ending: 'unknown',
        why: `${why}; and the drain of ${from} could not be given up (${written.why}): run this again with --give-up`,
        routing: draining,
      };
    this.#say('give_up', `the drain is given up, through ${written.region}: ${from} stays active`);
    return { ending, why: `${from} stays active: ${why}`, routing: next };
  }

  /** From a state that is drained, or need not be. */
  async move(before: RoutingState | undefined): Promise<Outcome> {
    const { from, to, drains } = this.#plan;
    if (this.#ports.interrupted.aborted)
      return drains && before
        ? this.#giveUp(before, 'interrupted', 'interrupted by the operator')
        : this.#untouched(before);
    const next = this.#next(before, 'move', this.#reason());
    const written = await this.#ports.change(before, next);
    if (written.kind === 'failed' && drains && before)
      return this.#giveUp(before, 'given_up', `the move could not be written (${written.why})`, next);
    if (written.kind !== 'written') return this.#notWritten(written, before);
    this.#say('move', `${to} is active instead of ${from}, through ${written.region}, epoch ${next.epoch}`);
    return this.#watch(next);
  }

  async #watch(moved: RoutingState): Promise<Outcome> {
    const { now, sleep, observe, interrupted } = this.#ports;
    const { to } = this.#plan;
    const beganAt = now();
    let inARow = 0;
    let last = '';
    for (;;) {
      const facts = await observe();
      if (facts.heard && activeIn(facts) !== to && (facts.routing?.epoch ?? 0) > moved.epoch)
        return {
          ending: 'moved_but',
          why: `it was moved again: ${latestChange(facts.routing, now())}`,
          routing: facts.routing,
        };
      const findings = findingsAfter(to, moved.epoch, facts);
      const missing = findings.filter(({ ok }) => !ok);
      inARow = missing.length === 0 ? inARow + 1 : 0;
      const says = findings.map(({ ok, why }) => `${ok ? '' : 'NOT YET '}${why}`).join('; ');
      if (says !== last) this.#say('watch', says);
      last = says;
      if (isHeldInDns(to, now() - beganAt, facts)) await this.#sayLatch(facts);
      if (inARow >= WATCH_LOOKS)
        return { ending: 'moved', why: `${to} is active and ready${this.#unlatched()}`, routing: moved };
      if (interrupted.aborted)
        return { ending: 'moved_but', why: `${to} is active; the watch was interrupted`, routing: moved };
      if (now() - beganAt >= WATCH_MS_MAX)
        return {
          ending: 'moved_but',
          why: `${to} is active, but after ${lasting(WATCH_MS_MAX)}: ${missing.map(({ why }) => why).join('; ') || 'not steadily'}${this.#unlatched()}`,
          routing: moved,
        };
      await sleep(LOOK_EVERY_MS);
    }
  }

  async #sayLatch({ primary, standby }: Facts): Promise<void> {
    if (this.#latch) return;
    this.#latch = await this.#ports.latchCommands();
    if (this.#latch)
      this.#say(
        'watch',
        `an alarm that only the observer of ${standby} feeds holds DNS off ${primary}. If ${standby} is cut off, disable its check now: ${this.#latch.lift}`,
      );
  }

  /** What is not to be forgotten, where there is such a thing. */
  #unlatched(): string {
    const { restore } = this.#latch ?? {};
    return restore === undefined
      ? ''
      : `; if the check of the alarm was disabled, enable it when the alarm is OK again: ${restore}`;
  }

  #notWritten(written: Exclude<Written, { kind: 'written' }>, before: RoutingState | undefined): Outcome {
    return written.kind === 'lost'
      ? lost(written.current, this.#order.facts, this.#ports.now(), this.#plan.to)
      : {
          ending: 'unknown',
          why: `no replica took the change (${written.why}); see npm run status before you run this again`,
          routing: before,
        };
  }

  #untouched(routing: RoutingState | undefined): Outcome {
    return { ending: 'interrupted', why: 'interrupted: nothing was changed', routing };
  }

  #reason(): string {
    const { reason, overridden } = this.#order;
    return overridden.length === 0
      ? reason
      : `${reason}; forced over: ${overridden.map(overriddenInWords).join('; ')}`;
  }

  #next(previous: RoutingState | undefined, what: RoutingChange['what'], reason: string): RoutingState {
    const { from, to } = this.#plan;
    const step = stepOf(what, from, to, reason, this.#overridden.size > 0);
    const { restoreEpoch } = this.#order.facts;
    return nextRouting(previous, step, { nowMs: this.#ports.now(), restoreEpoch });
  }

  #say(step: Step['step'], says: string): void {
    this.#ports.say({ step, says });
  }
}

function stepOf(what: RoutingChange['what'], from: string, to: string, reason: string, forced: boolean) {
  return { what, from, to, by: 'operator', reason, votes: [], forced } as const;
}

/** `wanted` is the region that was to become active, where there was one. */
function lost(current: RoutingState | undefined, facts: Facts, nowMs: number, wanted?: string): Outcome {
  const active = activeIn({ routing: current, primary: facts.primary });
  const draining = current?.draining ? `, being left for ${current.draining.to}` : '';
  return {
    ending: active === wanted ? 'by_another' : 'lost',
    why: `somebody else changed the routing state first: ${latestChange(current, nowMs)}; ${active} is active now${draining}`,
    routing: current,
  };
}
