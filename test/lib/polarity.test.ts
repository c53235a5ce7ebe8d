// Polarity and wiring of failover, played from the templates. A check the wrong way round would hold everybody on a dead
// Region, and nobody would know before the day.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeOutcome } from '../../lambdas/core/failover.ts';
import { readObserved, readPlace } from '../../lambdas/env.ts';
import type { Telemetry } from '../../lambdas/telemetry.ts';
import { createWatch, type WatchParts } from '../../lambdas/watch.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import { DEV, ofType, only, type Resource, type Stack, stackNamed } from './assembly.ts';
import { type AlarmState, type Minute, type Point, play } from './failover-model.ts';
import {
  ALARM,
  BOTH,
  CHECK,
  emittedWhile,
  environmentOf,
  FAILOVER,
  observers,
  PROMISES,
} from './failover-promises.ts';
import { TURNS, type Turn } from './failover-turns.ts';

for (const [what, holds] of Object.entries(PROMISES)) test(what, () => holds(FAILOVER));

/** The evacuated alarm and its check all in the primary's Region, consistently. */
const OWNED_BY_PRIMARY = (stacks: readonly Stack[]): void => {
  const traffic = stackNamed(stacks, 'eden-field-dev-traffic');
  const { id, ...resource } = only(traffic, ALARM);
  const home = stackNamed(stacks, 'eden-field-dev-service-primary').template.Resources as Record<
    string,
    Resource
  >;
  home[id] = resource;
  delete (traffic.template.Resources as Record<string, Resource>)[id];
  for (const [, { Properties }] of ofType(traffic, CHECK)) {
    const { AlarmIdentifier } = Properties.HealthCheckConfig;
    if (AlarmIdentifier) AlarmIdentifier.Region = DEV.regions.primary;
  }
};

/** The first promise that these templates do not keep. */
function brokenIn(stacks: readonly Stack[]): string | undefined {
  return Object.entries(PROMISES).find(([, holds]) => {
    try {
      holds(stacks);
      return false;
    } catch (error) {
      if (!(error instanceof assert.AssertionError)) throw error;
      return true;
    }
  })?.[0];
}

function turned({ turn }: Turn): readonly Stack[] {
  const stacks = structuredClone(FAILOVER);
  turn((layer, type, where) => only(stackNamed(stacks, `eden-field-dev-${layer}`), type, where).Properties);
  assert.notDeepEqual(stacks, FAILOVER, 'the turn changes something');
  return stacks;
}

test('whatever part is turned round, a promise breaks', () => {
  assert.equal(brokenIn(structuredClone(FAILOVER)), undefined);
  const survived = TURNS.filter((it) => brokenIn(turned(it)) === undefined).map(({ what }) => what);
  assert.deepEqual(survived, []);
});

test('nor may the primary’s Region own the alarm that speaks against it', () => {
  const stacks = structuredClone(FAILOVER);
  OWNED_BY_PRIMARY(stacks);
  assert.ok(brokenIn(stacks));
});

// The other end of the alarms: the observer's own code, in the environment its stack gives it, feeds the very metrics
// that they watch.

const NOW_MS = 1_800_000_000_000;
const PAGE = 'eden-field-dev-failover-page';
const SILENT = 'eden-field-dev-observer-silent';
const EVACUATED = 'us-west-2 eden-field-dev-evacuated';

const AFTER_A_FAILOVER: RoutingState = {
  activeRegion: DEV.regions.standby,
  epoch: NOW_MS - 3_600_000,
  since: NOW_MS - 3_600_000,
  reason: 'a drill',
  restoreEpoch: 0,
  changes: [],
};
const NEVER_MOVED: RoutingState = { ...AFTER_A_FAILOVER, activeRegion: DEV.regions.primary };

interface Scene {
  readonly routing: () => Promise<RoutingState | undefined>;
  readonly probe: ProbeOutcome;
}

/** What one look of each observer gives to CloudWatch. */
async function lookOf(stack: Stack, { routing, probe }: Scene): Promise<readonly Point[]> {
  const environment = environmentOf(stack);
  const observed = readObserved(environment);
  assert.ok(observed, `${stack.name} observes`);
  const store: WatchParts['store'] = {
    routing,
    changeRouting: async () => assert.fail('nobody moves here'),
    observerReports: async () => [],
    saveObserverReport: async () => true,
    generation: async () => ({ status: 'open', restoreEpoch: 0 }),
  };
  return emittedWhile(stack, async (telemetry: Telemetry) => {
    const watch = createWatch({
      place: readPlace(environment),
      store,
      telemetry: { ...telemetry, warn: () => {}, error: () => {} },
      now: () => NOW_MS,
      random: () => 0,
      wait: async () => {},
      observed,
      prober: { ready: async () => probe, control: async () => ({ reachable: true }) },
      archive: async () => {},
    });
    await watch.look(Math.floor(NOW_MS / watch.everyMs) * watch.everyMs);
  });
}

async function alarmsAfter(scene: Scene): Promise<Readonly<Record<string, AlarmState>>> {
  const points: Point[] = [];
  for (const stack of observers) points.push(...(await lookOf(stack, scene)));
  const minute: Minute = { answering: BOTH, points };
  return play(FAILOVER, [minute])[0]?.alarms ?? assert.fail('no minute was played');
}

const pagesIn = (alarms: Readonly<Record<string, AlarmState>>, name = PAGE) =>
  observers.map(({ region }) => alarms[`${region} ${name}`]);

test('a look at a service that is well clears every alarm', async () => {
  const alarms = await alarmsAfter({ routing: async () => NEVER_MOVED, probe: { kind: 'ready' } });
  assert.equal(alarms[EVACUATED], 'OK');
  for (const name of [PAGE, SILENT]) assert.deepEqual(pagesIn(alarms, name), ['OK', 'OK', 'OK']);
});

test('a look after a failover sets the alarm that DNS follows, and wakes nobody again', async () => {
  const alarms = await alarmsAfter({ routing: async () => AFTER_A_FAILOVER, probe: { kind: 'ready' } });
  assert.equal(alarms[EVACUATED], 'ALARM');
  assert.deepEqual(pagesIn(alarms), ['OK', 'OK', 'OK']);
});

test('a look that cannot read the routing state wakes somebody in every Region, and leaves DNS as it is', async () => {
  const routing = async () => {
    throw new Error('no majority');
  };
  const alarms = await alarmsAfter({ routing, probe: { kind: 'ready' } });
  assert.equal(alarms[EVACUATED], 'INSUFFICIENT_DATA', 'nothing was said');
  assert.deepEqual(pagesIn(alarms), ['ALARM', 'ALARM', 'ALARM']);
});
