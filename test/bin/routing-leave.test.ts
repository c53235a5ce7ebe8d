// Draining, moving and watching, over a routing state in memory and a clock that sleeping moves: what is written when,
// and what becomes of it when something, or somebody, comes between.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { giveUpDrain, leave, type Outcome } from '../../bin/routing/leave.ts';
import { type Leaving, planEvacuation, planFailback } from '../../bin/routing/plan.ts';
import { DRAIN_MS } from '../../protocol/limits.ts';
import { AT, failedOver, type Overrides, PRIMARY, STANDBY } from './routing-facts.ts';
import { another, follows, portsOf, type World, whats, worldOf } from './routing-world.ts';

/** From the plan that a first look gives. */
async function left(
  world: World,
  what: 'evacuate' | 'failback' = 'evacuate',
  force = false,
): Promise<Outcome> {
  const ports = portsOf(world);
  const facts = await ports.observe();
  const plan =
    what === 'evacuate'
      ? planEvacuation(facts.routing?.activeRegion ?? PRIMARY, [facts])
      : planFailback([facts]);
  assert.ok(plan.kind === 'leave');
  const overridden = force ? plan.refusals : [];
  return leave(plan as Leaving, { reason: 'storm ahead', overridden, facts }, ports);
}

test('an evacuation drains for 30 s, moves, and is done when everything follows', async () => {
  const world = worldOf();
  const outcome = await left(world);
  assert.deepEqual([outcome.ending, outcome.why], ['moved', 'us-west-2 is active and ready']);
  assert.deepEqual(whats(world), ['drain', 'move']);
  const [drain, move] = world.written;
  assert.deepEqual(drain?.draining, { to: STANDBY, since: AT });
  assert.equal(drain?.activeRegion, PRIMARY);
  assert.equal(move?.activeRegion, STANDBY);
  assert.equal(move?.draining, undefined);
  assert.equal(move?.since, AT + DRAIN_MS);
  const { at, by, reason, forced, restoreEpoch } = move?.changes[0] ?? assert.fail();
  assert.deepEqual(
    [at, by, reason, forced, restoreEpoch],
    [AT + DRAIN_MS, 'operator', 'storm ahead', false, 7],
  );
  assert.ok(world.said.some((line) => line.startsWith('drain: 15 s to go')));
  assert.ok(world.nowMs - AT < DRAIN_MS + 15_000);
});

test('a region that does not answer is left without a drain', async () => {
  const world = worldOf({ facts: () => ({ health: { [PRIMARY]: 'silent' }, silent: [PRIMARY] }) });
  const outcome = await left(world);
  assert.equal(outcome.ending, 'moved');
  assert.deepEqual(whats(world), ['move']);
});

test('a failback drains, moves, and waits until the primary serves and DNS leads there', async () => {
  const world = worldOf({
    routing: failedOver(),
    facts: (passedMs, routing) =>
      routing?.activeRegion === PRIMARY && passedMs >= 70_000
        ? { dns: PRIMARY }
        : { dns: STANDBY, health: { [PRIMARY]: 'evacuated' } },
  });
  const outcome = await left(world, 'failback');
  assert.equal(outcome.ending, 'moved');
  assert.deepEqual(whats(world), ['drain', 'move']);
  assert.ok(world.said.some((line) => line.includes('NOT YET DNS leads to us-west-2')));
  assert.ok(world.nowMs - AT >= 80_000);
});

for (const [what, gone, fromMs] of [
  ['a standby that is cut off', [STANDBY], 0],
  ['a standby that is not', [], 170_000],
] as const)
  test(`a failback from ${what} says how to take the latch in DNS away, once, and not to leave it so`, async () => {
    let saidAt: number | undefined;
    const world = worldOf({
      routing: failedOver(),
      facts: (_, routing) => {
        saidAt ??= world.said.some((line) => line.includes('disable the check')) ? world.nowMs : undefined;
        const dns = saidAt !== undefined && world.nowMs - saidAt >= 20_000 ? PRIMARY : STANDBY;
        const active = routing?.activeRegion === PRIMARY;
        return { dns, silent: gone, health: { [PRIMARY]: active ? 'ok' : 'evacuated' } };
      },
    });
    const outcome = await left(world, 'failback', true);
    assert.equal(outcome.ending, 'moved');
    assert.match(outcome.why, /^us-east-2 is active and ready; if .* was disabled, .*: enable the check$/);
    const told = world.said.filter((line) => line.includes('disable the check'));
    assert.deepEqual(told.length, 1);
    assert.match(
      told[0] ?? '',
      /observer of us-west-2 feeds holds DNS off us-east-2\. If us-west-2 is cut off/,
    );
    const afterMs = (saidAt ?? 0) - AT - DRAIN_MS;
    assert.ok(afterMs >= fromMs && afterMs <= fromMs + 10_000, `said after ${afterMs} ms`);
  });

test('a latch that nobody takes away leaves the move as one that DNS does not follow, and says what to do', async () => {
  const world = worldOf({
    routing: failedOver(),
    facts: (_, routing) => ({
      dns: STANDBY,
      health: { [PRIMARY]: routing?.activeRegion === PRIMARY ? 'ok' : 'evacuated' },
    }),
  });
  const outcome = await left(world, 'failback');
  assert.equal(outcome.ending, 'moved_but');
  assert.match(outcome.why, /after 4 min: DNS leads to us-west-2; if the check of the alarm was disabled/);
});

const STOPS_BEING_TRUE: readonly (readonly [string, Overrides, RegExp])[] = [
  ['the primary stops being ready', { ready: { [PRIMARY]: 'not_ready' } }, /us-east-2 is not ready/],
  ['a replica falls silent', { silent: ['us-east-1'] }, /us-east-1 gives no consistent read/],
  ['the feed stops being steady', { feed: { checkedAt: AT } }, /not steady/],
  ['heartbeats stop', { beats: { [PRIMARY]: { [STANDBY]: 40_000 } } }, /heartbeat of us-west-2 40 s old/],
];
for (const [name, then, why] of STOPS_BEING_TRUE)
  test(`a failback gives the drain up when ${name}`, async () => {
    const world = worldOf({ routing: failedOver(), facts: (passedMs) => (passedMs >= 12_000 ? then : {}) });
    const outcome = await left(world, 'failback');
    assert.equal(outcome.ending, 'given_up');
    assert.match(outcome.why, new RegExp(`us-west-2 stays active: .*${why.source}`));
    assert.deepEqual(whats(world), ['drain', 'drain_given_up']);
    assert.equal(world.routing?.activeRegion, STANDBY);
    assert.equal(world.routing?.draining, undefined);
    assert.match(world.routing?.reason ?? '', why);
    assert.equal(world.routing?.since, failedOver().since);
  });

test('one bad look in between is not enough to give up', async () => {
  let bad = 0;
  const world = worldOf({
    routing: failedOver(),
    facts: (passedMs, routing) => {
      if (passedMs < 10_000 || bad > 0) return follows(passedMs, routing);
      bad += 1;
      return { silent: ['us-east-1'] };
    },
  });
  assert.equal((await left(world, 'failback')).ending, 'moved');
  assert.equal(bad, 1);
});

test('it is looked once more at the very end of the drain', async () => {
  const world = worldOf({
    facts: (passedMs) => (passedMs >= DRAIN_MS ? { ready: { [STANDBY]: 'silent' } } : {}),
  });
  assert.equal((await left(world)).ending, 'given_up');
  assert.deepEqual(whats(world), ['drain', 'drain_given_up']);
});

test('what was overridden stays overridden and is recorded, what comes later is not', async () => {
  const recent = failedOver({ since: AT - 60_000 });
  const world = worldOf({
    routing: recent,
    facts: (_, routing) => ({ ...follows(0, routing), silent: ['us-east-1'] }),
  });
  assert.equal((await left(world, 'failback', true)).ending, 'moved');
  for (const { changes } of world.written) assert.equal(changes[0]?.forced, true);
  assert.match(
    world.routing?.reason ?? '',
    /^storm ahead; forced over: the hold-down; the replica in us-east-1 gives no/,
  );

  const worse = worldOf({
    routing: recent,
    facts: (passedMs) => (passedMs >= 12_000 ? { ready: { [PRIMARY]: 'silent' } } : {}),
  });
  assert.equal((await left(worse, 'failback', true)).ending, 'given_up');
});

test('Ctrl-C during the drain gives it up', async () => {
  const world = worldOf();
  world.events.set(10_000, () => world.interruption.abort());
  const outcome = await left(world);
  assert.deepEqual(
    [outcome.ending, outcome.why],
    ['interrupted', 'us-east-2 stays active: interrupted by the operator'],
  );
  assert.deepEqual(whats(world), ['drain', 'drain_given_up']);
});

test('Ctrl-C before anything was written changes nothing; after the move it ends the watch', async () => {
  const world = worldOf();
  world.interruption.abort();
  assert.equal((await left(world)).ending, 'interrupted');
  const silent = worldOf({ facts: () => ({ health: { [PRIMARY]: 'silent' } }) });
  silent.interruption.abort();
  assert.equal((await left(silent)).ending, 'interrupted');
  assert.deepEqual([world.written, silent.written], [[], []]);
  const moved = worldOf({ facts: () => ({ dns: PRIMARY }) });
  moved.events.set(DRAIN_MS + 10_000, () => moved.interruption.abort());
  const outcome = await left(moved);
  assert.deepEqual(
    [outcome.ending, outcome.why],
    ['moved_but', 'us-west-2 is active; the watch was interrupted'],
  );
  assert.equal(moved.routing?.activeRegion, STANDBY);
});

const RACES: readonly (readonly [string, 'drain' | 'drain_given_up' | 'move', string, RegExp])[] = [
  [
    'takes the drain over',
    'drain',
    'lost',
    /first: a drain of us-east-2 to us-west-2 by an operator .* mine; us-east-2 is active now, being left/,
  ],
  ['gives the drain up', 'drain_given_up', 'lost', /a drain given up .* us-east-2 is active now$/],
  ['moves first', 'move', 'by_another', /a move from us-east-2 to us-west-2 .* us-west-2 is active now$/],
];
for (const [name, what, ending, why] of RACES)
  test(`another operator who ${name} wins, and nothing more is written`, async () => {
    for (const atMs of [10_000, DRAIN_MS]) {
      const world = worldOf();
      world.events.set(atMs, another(what));
      const outcome = await left(world);
      assert.equal(outcome.ending, ending);
      assert.match(outcome.why, why);
      assert.deepEqual(whats(world), ['drain']);
    }
  });

test('a race lost at the first write ends there, a race lost at the last one too', async () => {
  const first = worldOf();
  const ports = portsOf(first);
  const facts = await ports.observe();
  another('move')(first);
  const plan = planEvacuation(PRIMARY, [facts]) as Leaving;
  const outcome = await leave(plan, { reason: 'r', overridden: [], facts }, ports);
  assert.equal(outcome.ending, 'by_another');
  assert.deepEqual(first.written, []);

  const last = worldOf();
  last.answers.push(undefined, { kind: 'lost', current: failedOver() });
  assert.equal((await left(last)).ending, 'by_another');
});

test('a move that nobody takes ends with the drain given up', async () => {
  const world = worldOf();
  world.answers.push(undefined, { kind: 'failed', why: 'us-west-2: refused' });
  const outcome = await left(world);
  assert.deepEqual([outcome.ending, whats(world)], ['given_up', ['drain', 'drain_given_up']]);
  assert.match(outcome.why, /the move could not be written \(us-west-2: refused\)/);
});

test('a move that landed without anybody saying so is found out', async () => {
  const world = worldOf();
  world.answers.push(undefined, 'lands, but nobody says so');
  assert.equal((await left(world)).ending, 'moved');
  assert.deepEqual(whats(world), ['drain', 'move']);
});

test('when nothing can be written any more it says what to do', async () => {
  const failed = { kind: 'failed', why: 'us-west-2: timed out' } as const;
  const none = worldOf({ answers: [failed] });
  assert.match((await left(none)).why, /no replica took the change .* see npm run status/);
  const stuck = worldOf({ answers: [undefined, failed, failed] });
  const outcome = await left(stuck);
  assert.equal(outcome.ending, 'unknown');
  assert.match(outcome.why, /could not be given up .* run this again with --give-up/);
});

test('a move that not everything follows says what does not; one that is undone says by whom', async () => {
  const world = worldOf({ facts: () => ({ dns: PRIMARY, health: { [PRIMARY]: 'evacuated' } }) });
  const outcome = await left(world);
  assert.deepEqual(
    [outcome.ending, outcome.why],
    ['moved_but', 'us-west-2 is active, but after 4 min: DNS leads to us-east-2'],
  );
  const undone = worldOf({ facts: () => ({ dns: PRIMARY }) });
  undone.events.set(DRAIN_MS + 20_000, another('move'));
  const then = await left(undone);
  assert.equal(then.ending, 'moved_but');
  assert.match(then.why, /it was moved again: a move from us-west-2 to us-east-2/);
});

test('a drain that a killed run left behind is taken over by the next run, or given up', async () => {
  const world = worldOf();
  another('drain')(world);
  world.nowMs += 121_000;
  assert.equal((await left(world)).ending, 'moved');
  assert.ok(world.said.includes('drain: the drain that was under way is taken over'));
  assert.deepEqual(whats(world), ['drain', 'move']);

  const other = worldOf();
  another('drain')(other);
  const ports = portsOf(other);
  const facts = await ports.observe();
  const ended = await giveUpDrain({ facts, reason: 'not today' }, ports);
  assert.equal(ended.ending, 'drain_ended');
  assert.deepEqual([other.routing?.draining, other.routing?.reason], [undefined, 'not today']);
  assert.equal((await giveUpDrain({ facts, reason: 'again' }, ports)).ending, 'lost');
  const now = await ports.observe();
  assert.match((await giveUpDrain({ facts: now, reason: 'again' }, ports)).why, /nothing drains/);
});
