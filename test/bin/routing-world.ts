// A routing state in memory, a clock that sleeping moves, and whatever else an operator's command meets: what comes
// between is up to the test.
import type { Ports } from '../../bin/routing/leave.ts';
import type { Written } from '../../bin/routing/table.ts';
import { nextRouting, type RoutingState } from '../../protocol/routing.ts';
import { AT, type Overrides, PRIMARY, STANDBY, seen } from './routing-facts.ts';

export interface World {
  nowMs: number;
  routing: RoutingState | undefined;
  /** What every look sees beside the routing state, by how many ms have passed. */
  readonly facts: (passedMs: number, routing: RoutingState | undefined) => Overrides;
  /** Runs once when so many ms have passed. */
  readonly events: Map<number, (world: World) => void>;
  readonly said: string[];
  readonly written: RoutingState[];
  /** Answers to writes in place of the world's own, in order. */
  readonly answers: (Written | 'lands, but nobody says so' | undefined)[];
  readonly interruption: AbortController;
}

export function worldOf(given: Partial<World> = {}): World {
  return {
    nowMs: AT,
    routing: undefined,
    facts: follows,
    events: new Map(),
    said: [],
    written: [],
    answers: [],
    interruption: new AbortController(),
    ...given,
  };
}

/** Health and DNS do what the routing state says, at once. */
export function follows(_: number, routing: RoutingState | undefined): Overrides {
  const active = routing?.activeRegion ?? PRIMARY;
  return { dns: active, health: { [PRIMARY]: active === PRIMARY ? 'ok' : 'evacuated' } };
}

export function portsOf(world: World): Ports {
  const pass = (ms: number) => {
    world.nowMs += ms;
    for (const [at, event] of world.events)
      if (world.nowMs - AT >= at) {
        world.events.delete(at);
        event(world);
      }
  };
  return {
    now: () => world.nowMs,
    sleep: async (ms: number) => pass(world.interruption.signal.aborted ? 0 : ms),
    async observe() {
      const { routing, nowMs } = world;
      return seen({ at: nowMs, ...(routing && { routing }), ...world.facts(nowMs - AT, routing) });
    },
    async change(previous: RoutingState | undefined, next: RoutingState): Promise<Written> {
      const answer = world.answers.shift();
      if (answer && typeof answer !== 'string') return answer;
      if (world.routing?.epoch !== previous?.epoch) return { kind: 'lost', current: world.routing };
      world.routing = next;
      world.written.push(next);
      return answer ? { kind: 'failed', why: 'timed out' } : { kind: 'written', region: STANDBY };
    },
    latchCommands: async () => ({ lift: 'disable the check', restore: 'enable the check' }),
    say: ({ step, says }: { readonly step: string; readonly says: string }) => {
      world.said.push(`${step}: ${says}`);
    },
    interrupted: world.interruption.signal,
  };
}

export const whats = ({ written }: World) => written.map(({ changes }) => changes[0]?.what);
/** By another operator, on whatever stands. */
export const another = (what: 'drain' | 'drain_given_up' | 'move') => (world: World) => {
  const from = world.routing?.activeRegion ?? PRIMARY;
  const to = from === PRIMARY ? STANDBY : PRIMARY;
  const step = { what, from, to, by: 'operator', reason: 'mine', votes: [], forced: false } as const;
  world.routing = nextRouting(world.routing, step, { nowMs: world.nowMs, restoreEpoch: 7 });
};
