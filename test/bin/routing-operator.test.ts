// What stands around leaving a region: looking before, refusing, and who is asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { carriedOut, type Undertaking } from '../../bin/routing/operator.ts';
import { planEvacuation, planFailback } from '../../bin/routing/plan.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import { failedOver, type Overrides, PRIMARY, STANDBY } from './routing-facts.ts';
import { another, follows, portsOf, type World, worldOf } from './routing-world.ts';

const asked = { reason: 'storm ahead', force: false, giveUp: false, yes: true, json: false };
const run = (
  world: World,
  what: 'evacuate' | 'failback',
  { region = PRIMARY, ...flags }: Partial<typeof asked> & { readonly region?: string } = {},
) => {
  const undertaking: Undertaking = {
    asked: { ...asked, ...flags },
    where: { name: 'here' },
    planOf: what === 'evacuate' ? (looks) => planEvacuation(region, looks) : planFailback,
  };
  return carriedOut(undertaking, portsOf(world));
};

test('an evacuation of the primary looks twice, what goes back to it three times, before anything is written', async () => {
  const world = worldOf();
  assert.equal((await run(world, 'evacuate')).ending, 'moved');
  assert.deepEqual(
    world.said.filter((line) => line.startsWith('look')),
    [
      'look: look 1 of 2: /ready of us-west-2 answers 200, ready',
      'look: look 2 of 2: /ready of us-west-2 answers 200, ready',
    ],
  );
  for (const what of ['failback', 'evacuate'] as const) {
    const back = worldOf({ routing: failedOver() });
    assert.equal((await run(back, what, { region: STANDBY })).ending, 'moved');
    assert.equal(back.said.filter((line) => line.startsWith('look')).length, 3);
  }
});

test('a refusal writes nothing and says how to insist; insisting is recorded', async () => {
  const facts = (_: number, routing: RoutingState | undefined): Overrides => ({
    ...follows(0, routing),
    ready: { [STANDBY]: routing?.activeRegion === STANDBY ? 'ready' : 'not_ready' },
  });
  const world = worldOf({ facts });
  const outcome = await run(world, 'evacuate');
  assert.equal(outcome.ending, 'refused');
  assert.match(outcome.why, /us-west-2 is not ready: .*\(--force does it all the same\)/);
  assert.deepEqual(world.written, []);
  assert.equal((await run(world, 'evacuate', { force: true })).ending, 'moved');
  assert.equal(world.routing?.changes[0]?.forced, true);
});

test('nothing to do is said after one look; to give up a drain too', async () => {
  const world = worldOf({ routing: failedOver() });
  assert.equal((await run(world, 'evacuate')).ending, 'already');
  assert.deepEqual(world.said, []);
  another('drain')(world);
  assert.equal((await run(world, 'failback', { giveUp: true })).ending, 'drain_ended');
  assert.equal(world.routing?.draining, undefined);
});

test('it does not begin when no replica can be read, or when interrupted while looking', async () => {
  const deaf = worldOf({ facts: () => ({ silent: ['us-east-2', 'us-west-2', 'us-east-1'] }) });
  await assert.rejects(run(deaf, 'evacuate'), /no replica answers a consistent read \(us-west-2: timed out/);
  const world = worldOf();
  world.events.set(3_000, () => world.interruption.abort());
  assert.equal((await run(world, 'evacuate')).ending, 'interrupted');
  assert.deepEqual(world.written, []);
});
