// What drills say of the system's own decisions: each line passes on what should be, and misses its target on what must
// not be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RoutingChange } from '../../protocol/routing.ts';
import type { OperationEntry } from '../../rehearsal/drills/failover/history.ts';
import type { Look, Ordered, Seen } from '../../rehearsal/drills/failover/seen.ts';
import {
  activeLine,
  drainsLine,
  epochsLine,
  healthLine,
  latchLines,
  minorityLines,
  movedLine,
  movesLine,
  orderLines,
  pagingLines,
  refusedLine,
  verifiedLine,
} from '../../rehearsal/drills/failover/verdicts.ts';
import { keeps, type Line } from '../../rehearsal/drills/lines.ts';
import { BOTH_REGIONS_BAD } from '../../rehearsal/drills/scenarios/both-regions-bad.ts';
import { DATA_CENTRE_OUTAGE } from '../../rehearsal/drills/scenarios/data-centre-outage.ts';
import { FAILBACK } from '../../rehearsal/drills/scenarios/failback.ts';
import { FLAPPING } from '../../rehearsal/drills/scenarios/flapping.ts';
import { GRAY_FAILURE } from '../../rehearsal/drills/scenarios/gray-failure.ts';
import { NETWORK_PARTITION } from '../../rehearsal/drills/scenarios/network-partition.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';

const FAULT = 1_000_000;
const REVIVED = FAULT + 60_000;
const END = FAULT + 120_000;

function look(afterMs: number, over: Partial<Look> = {}): Look {
  return { at: FAULT + afterMs, leadsTo: 'east', health: { east: 'ok', west: 'ok' }, paging: [], ...over };
}

function change(afterMs: number, over: Partial<RoutingChange> = {}): RoutingChange {
  const at = FAULT + afterMs;
  return {
    epoch: at,
    at,
    what: 'move',
    from: 'east',
    to: 'west',
    by: 'observers',
    reason: 'three failed',
    votes: [],
    forced: false,
    restoreEpoch: 0,
    ...over,
  };
}

function order(command: Ordered['command'], afterMs: number, code: number | null): Ordered {
  const at = FAULT + afterMs;
  return { command, args: [], at, endedAt: at + 5_000, code, said: '' };
}

function seen(over: Partial<Seen> = {}): Seen {
  return {
    region: 'east',
    other: 'west',
    observers: ['east', 'west', 'third'],
    faultAt: FAULT,
    revivedAt: REVIVED,
    endedAt: END,
    history: [],
    looks: [],
    changes: [],
    orders: [],
    ...over,
  };
}

const passed = (line: Line | undefined) => line?.promise !== undefined && keeps(line.promise);
/** Of several lines, which keep their promises; those that promise nothing are left out. */
const verdictsOf = (lines: readonly Line[]) => lines.flatMap((it) => (it.promise ? [keeps(it.promise)] : []));

test('routing changes are moves; a drain is none', () => {
  const both = seen({ changes: [change(0, { what: 'drain' }), change(30_000)] });
  assert.ok(passed(movesLine(both, '=', 1)));
  assert.equal(movesLine(both, '=', 1).text, '1 by observers');
  assert.ok(!passed(movesLine(seen(), '=', 1)));
  assert.ok(!passed(movesLine(seen({ changes: [change(1), change(2)] }), '≤', 1)));
  assert.ok(!passed(movesLine(both, '=', 0)));
});

test('the time to a move ends with the first one, and a move that never came has missed its target', () => {
  const moved = seen({ changes: [change(1_000, { what: 'drain' }), change(45_000), change(90_000)] });
  assert.equal(movedLine(moved, 60_000).promise?.measured, 45);
  assert.ok(passed(movedLine(moved, 60_000)));
  assert.ok(!passed(movedLine(moved, 45_000)), 'below, not at');
  assert.deepEqual([movedLine(seen(), 60_000).text, passed(movedLine(seen(), 60_000))], ['never', false]);
});

test('a standby that was never found ready twice has missed, as has one that nobody asked', () => {
  assert.ok(passed(verifiedLine(seen({ verifiedAt: FAULT + 70_000 }), 300_000)));
  assert.ok(!passed(verifiedLine(seen({ verifiedAt: null }), 300_000)));
  assert.ok(!passed(verifiedLine(seen(), 300_000)));
});

const EVACUATED = { east: 'evacuated', west: 'ok' } as const;
const AWAY = { leadsTo: 'west', health: EVACUATED };

test('the latch holds when the revived region soon says that it is evacuated, goes on saying so, and DNS stays', () => {
  const early = look(61_000, { leadsTo: 'west' });
  const held = [early, look(62_000, AWAY), look(90_000, AWAY), look(110_000, AWAY)];
  assert.deepEqual(verdictsOf(latchLines(seen({ looks: held }), 15_000)), [true, true]);
  const [learned] = latchLines(seen({ looks: held }), 15_000);
  assert.equal(learned?.text, '2.0 s');
});

for (const [what, looks, expected] of [
  ['DNS leads back', [look(62_000, AWAY), look(90_000, { ...AWAY, leadsTo: 'east' })], [true, false]],
  ['it forgets', [look(62_000, AWAY), look(90_000, { leadsTo: 'west' })], [true, false]],
  ['it never learns', [look(62_000, { leadsTo: 'west' })], [false, false]],
  ['it learns late', [look(62_000, { leadsTo: 'west' }), look(80_000, AWAY)], [false, true]],
  ['nobody looked', [look(10_000, AWAY)], [false, false]],
] as const)
  test(`the latch is found broken when ${what}`, () => {
    assert.deepEqual(verdictsOf(latchLines(seen({ looks }), 15_000)), expected);
  });

test('a failing region that is quiet for a moment after its revival has not come back', () => {
  const failing = look(70_000, { leadsTo: 'west', health: { east: 'failing', west: 'ok' } });
  const looks = [look(62_000, AWAY), failing, look(80_000, AWAY)];
  assert.deepEqual(verdictsOf(latchLines(seen({ looks }), 15_000)), [true, true]);
});

test('gray is a region whose health answers until it is evacuated', () => {
  const gray = [look(-1_000), look(1_000), look(40_000), look(50_000, AWAY), look(55_000, AWAY)];
  assert.equal(healthLine(seen({ looks: gray })).text, '2 of 2 looks');
  assert.ok(passed(healthLine(seen({ looks: gray }))));
  const red = [look(1_000), look(2_000, { health: { east: 'failing', west: 'ok' } })];
  assert.ok(!passed(healthLine(seen({ looks: red }))));
  assert.ok(!passed(healthLine(seen())), 'no look, no verdict');
});

function put(region: string, sentAfterMs: number, over: Partial<OperationEntry> = {}): OperationEntry {
  const startedAt = FAULT + sentAfterMs;
  return {
    client: 'library',
    operation: 'put',
    key: 'drill/1',
    scheduledAt: startedAt,
    endedAt: startedAt + 30,
    ok: true,
    status: 200,
    region,
    receivedAt: startedAt + 8,
    attempts: [{ region, kind: 'first', startedAt, outcome: 'settled', status: 200 }],
    ...over,
  };
}

test('a minority that accepts a write is found, and so is one that was never asked for any', () => {
  const refused = put('west', 100, {
    attempts: [
      { region: 'east', kind: 'first', startedAt: FAULT + 100, outcome: 'failed' },
      { region: 'west', kind: 'fallback', startedAt: FAULT + 150, outcome: 'settled', status: 200 },
    ],
  });
  const history = [put('east', -500), refused, put('east', 61_000)];
  assert.deepEqual(verdictsOf(minorityLines(seen({ history }))), [true, true]);
  const accepted = [...history, put('east', 30_000)];
  assert.deepEqual(verdictsOf(minorityLines(seen({ history: accepted }))), [true, false]);
  assert.deepEqual(verdictsOf(minorityLines(seen({ history: [put('west', 100)] }))), [false, true]);
});

test('what the cut-off region received before the cut was still its to accept', () => {
  const history = [put('east', -5, { endedAt: FAULT + 20, receivedAt: FAULT - 1 }), put('east', 61_000)];
  assert.ok(passed(minorityLines(seen({ history }))[1]));
});

test('every observer has to page, and all have to stop', () => {
  const all = look(50_000, { paging: ['east', 'west', 'third'] });
  const verdicts = (...looks: readonly Look[]) =>
    verdictsOf(pagingLines(seen({ looks }), { clearedWithinMs: 60_000 }));
  assert.deepEqual(verdicts(all, look(65_000, { paging: ['east'] }), look(100_000)), [true, true]);
  assert.deepEqual(verdicts(look(50_000, { paging: ['east', 'west'] }), look(100_000)), [false, true]);
  assert.deepEqual(verdicts(all, look(100_000, { paging: ['third'] })), [true, false]);
  assert.deepEqual(verdicts(look(-5, { paging: ['east', 'west', 'third'] })), [false, false]);
});

test('who is active in the end is the last that was seen; without any routing state, the primary', () => {
  assert.equal(activeLine(seen({ looks: [look(1, { active: 'west' })] })).text, 'west');
  assert.equal(activeLine(seen({ looks: [look(1)] })).text, 'east');
});

test('a refused order ended as refused and changed nothing', () => {
  const refused = { orders: [order('failback', 0, 1), order('failback', 10_000, 0)] };
  assert.ok(passed(refusedLine(seen(refused), 'failback')));
  assert.equal(refusedLine(seen(refused), 'failback').text, 'refused');
  const changed = seen({ ...refused, changes: [change(1_000, { what: 'drain' })] });
  assert.ok(!passed(refusedLine(changed, 'failback')));
  for (const code of [0, 2, null])
    assert.ok(!passed(refusedLine(seen({ orders: [order('failback', 0, code)] }), 'failback')));
  assert.ok(!passed(refusedLine(seen(), 'failback')));
});

test('the last order of each kind has to be carried out', () => {
  const done = seen({ orders: [order('evacuate', 0, 0), order('failback', 1, 1), order('failback', 2, 0)] });
  assert.deepEqual(verdictsOf(orderLines(done)), [true, true]);
  assert.deepEqual(verdictsOf(orderLines(seen({ orders: [order('evacuate', 0, 1)] }))), [false, false]);
});

test('a move without the drain before it, or with a shorter one, is found', () => {
  const drained = (ms: number) => [change(0, { what: 'drain' }), change(ms)];
  assert.ok(passed(drainsLine({ changes: drained(30_000) }, 30_000)));
  assert.ok(!passed(drainsLine({ changes: drained(29_900) }, 30_000)));
  assert.ok(!passed(drainsLine({ changes: [...drained(30_000), change(90_000)] }, 30_000)));
  assert.ok(!passed(drainsLine({ changes: [] }, 30_000)));
});

test('epochs have to rise with every change, and not to be behind their time', () => {
  assert.ok(passed(epochsLine({ changes: [change(0), change(1)] })));
  assert.ok(!passed(epochsLine({ changes: [change(1), change(2, { epoch: FAULT + 1 })] })));
  assert.ok(!passed(epochsLine({ changes: [change(5, { epoch: FAULT })] })));
  assert.ok(!passed(epochsLine({ changes: [] })));
});

const PLANS = [DATA_CENTRE_OUTAGE, NETWORK_PARTITION, GRAY_FAILURE, FLAPPING, BOTH_REGIONS_BAD, FAILBACK];

for (const plan of PLANS)
  test(`${plan.name} promises that nothing acknowledged is lost, and says what it saw of the routing state`, () => {
    const config = stageConfig('dev');
    assert.equal(plan.limits(config).acknowledgedWritesLost, 0);
    const lines = plan.follow?.(seen(), config) ?? [];
    assert.ok(lines.some(({ label }) => label === 'routing changes'));
    assert.equal(new Set(lines.map(({ label }) => label)).size, lines.length, 'a label names one line');
    assert.match(plan.variants.map(({ name }) => name).join(''), /^[a-z-]+$/, 'names stand in file names');
  });

for (const plan of PLANS.filter(({ name }) => name !== FLAPPING.name))
  test(`${plan.name} misses a target when nothing happened at all`, () => {
    const lines = plan.follow?.(seen(), stageConfig('dev')) ?? [];
    assert.ok(verdictsOf(lines).includes(false));
  });

test('flapping misses its target on a second move', () => {
  const lines = FLAPPING.follow?.(seen({ changes: [change(1), change(2)] }), stageConfig('dev')) ?? [];
  assert.deepEqual(verdictsOf(lines), [false]);
});
