// What drills say of the system's own decisions: each line passes on what should be, and misses its target on what must
// not be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RoutingChange } from '../../protocol/routing.ts';
import type { OperationEntry } from '../../rehearsal/drills/failover/history.ts';
import type { FailoverPlan } from '../../rehearsal/drills/failover/scenario.ts';
import type { Look, Seen } from '../../rehearsal/drills/failover/seen.ts';
import {
  activeLine,
  drainsLine,
  epochsLine,
  forcedLine,
  healthLine,
  heldLines,
  latchLines,
  latchTakenAwayLines,
  memorylessLines,
  minorityLines,
  movedLine,
  movesLine,
  orderLines,
  pagingLines,
  refusedLine,
  verifiedLine,
} from '../../rehearsal/drills/failover/verdicts.ts';
import { BOTH_REGIONS_BAD } from '../../rehearsal/drills/scenarios/both-regions-bad.ts';
import { DATA_CENTRE_OUTAGE } from '../../rehearsal/drills/scenarios/data-centre-outage.ts';
import { FAILBACK } from '../../rehearsal/drills/scenarios/failback.ts';
import { FLAPPING } from '../../rehearsal/drills/scenarios/flapping.ts';
import { GRAY_FAILURE } from '../../rehearsal/drills/scenarios/gray-failure.ts';
import { LONE_OBSERVER } from '../../rehearsal/drills/scenarios/lone-observer.ts';
import { NETWORK_PARTITION } from '../../rehearsal/drills/scenarios/network-partition.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';
import { change, FAULT, look, order, passed, seen, verdictsOf } from './planted-seen.ts';

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

const HELD = { heldAfterMs: 20_000, learnsWithinMs: 5_000 };
const FLAPS = { changes: [change(10_000)], revivals: [FAULT + 40_000, FAULT + 60_000] };

test('a region that is up and down is held out of DNS, and says so itself whenever it has had the time to learn', () => {
  const down = { leadsTo: 'west', health: { east: 'failing', west: 'ok' } } as const;
  const early = look(30_000, { leadsTo: 'east' });
  const looks = [early, look(35_000, down), look(41_000, { leadsTo: 'west' }), look(46_000, AWAY)];
  assert.deepEqual(verdictsOf(heldLines(seen({ ...FLAPS, looks }), HELD)), [true, true, true]);
});

for (const [what, over, expected] of [
  ['DNS leads back', { looks: [look(50_000, { ...AWAY, leadsTo: 'east' })] }, [false, true, true]],
  ['it is never seen alive', { looks: [look(50_000, { leadsTo: 'west', health: {} })] }, [true, false, true]],
  ['it forgets', { looks: [look(46_000, { leadsTo: 'west' }), look(70_000, AWAY)] }, [true, true, false]],
  ['nobody moved', { changes: [], looks: [look(50_000, AWAY)] }, [false, false, true]],
] as const)
  test(`a region that is up and down is found not to be held when ${what}`, () => {
    assert.deepEqual(verdictsOf(heldLines(seen({ ...FLAPS, ...over }), HELD)), expected);
  });

test('what comes back without memory says 200, and DNS must not follow that once the alarm has to hold', () => {
  const over = { changes: [change(5_000)], revivals: [FAULT + 20_000, FAULT + 60_000] };
  const need = { heldAfterMs: 25_000, looksMin: 3 };
  const well = [31_000, 40_000, 59_000].map((afterMs) => look(afterMs, { leadsTo: 'west' }));
  const verdicts = (...looks: readonly Look[]) => verdictsOf(memorylessLines(seen({ ...over, looks }), need));
  assert.deepEqual(verdicts(...well), [true, true]);
  assert.deepEqual(verdicts(...well, look(58_000, { leadsTo: 'east' })), [true, false]);
  assert.deepEqual(verdicts(...well, look(29_000, { leadsTo: 'east' })), [true, true], 'the alarm had time');
  assert.deepEqual(verdicts(...well.slice(1), look(50_000, AWAY)), [false, true], 'it knew too early');
  assert.deepEqual(verdicts(look(61_000), look(29_000)), [false, false], 'nobody looked');
  const early = memorylessLines(seen({ ...over, looks: [look(29_000, { leadsTo: 'east' })] }), need)[0];
  assert.equal(early?.text, '1 of 1');
  assert.deepEqual(verdictsOf(memorylessLines(seen({ ...over, changes: [], looks: well }), need)), [
    false,
    false,
  ]);
});

const LIFT = `disable its check now: curl -X PUT -d '{"disabled":true}' http://x`;

test('DNS follows a failback from a cut-off standby when its latch is taken away, and stays when it is put back', () => {
  const back = change(10_000, { from: 'west', to: 'east', by: 'operator' });
  const told = [order('failback', 0, 0, `watch\n ${LIFT}\ndone`)];
  const at = { latchDisabledAt: FAULT + 40_000, latchEnabledAt: FAULT + 70_000 };
  const verdicts = (looks: readonly Look[], over: Partial<Seen> = {}) =>
    verdictsOf(latchTakenAwayLines(seen({ changes: [back], orders: told, ...at, looks, ...over }), 20_000));
  const held = look(39_000, { leadsTo: 'west' });
  const good = [held, look(55_000), look(80_000)];
  assert.deepEqual(verdicts(good), [true, true, true, true]);
  assert.deepEqual(verdicts([look(39_000), ...good]), [false, true, true, true], 'it followed by itself');
  assert.deepEqual(verdicts(good, { orders: [order('failback', 0, 0, 'done')] }), [true, false, true, true]);
  assert.deepEqual(verdicts([held, look(65_000), look(80_000)]), [true, true, false, true]);
  assert.deepEqual(verdicts([...good, held, look(90_000, { leadsTo: 'west' })]), [true, true, true, false]);
  assert.deepEqual(verdictsOf(latchTakenAwayLines(seen(), 20_000)), [false, false, false, false]);
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
  const west = seen({ looks: [look(1, { active: 'west' })] });
  assert.deepEqual([passed(activeLine(west, 'west')), passed(activeLine(west, 'east'))], [true, false]);
});

const HOLD_DOWN = 'the active region changed 50 s ago (drill): nobody moves it again for another 9 min';
const INSISTING = '(--force does it all the same)';
const TOO_SOON = `   0.1 s  look 1 of 3\n   9.1 s  refused: ${HOLD_DOWN} ${INSISTING}\n`;

test('a refused order ended as refused, for the hold-down and nothing else, and changed nothing', () => {
  const refused = { orders: [order('failback', 0, 1, TOO_SOON), order('failback', 10_000, 0)] };
  assert.ok(passed(refusedLine(seen(refused), 'failback')));
  assert.equal(refusedLine(seen(refused), 'failback').text, 'refused');
  const changed = seen({ ...refused, changes: [change(1_000, { what: 'drain' })] });
  assert.ok(!passed(refusedLine(changed, 'failback')));
  const otherwise = (code: number | null, said: string) =>
    refusedLine(seen({ orders: [order('failback', 0, code, said)] }), 'failback');
  for (const code of [0, 2, null]) assert.ok(!passed(otherwise(code, TOO_SOON)));
  for (const said of [
    '',
    TOO_SOON.replace(HOLD_DOWN, 'us-east-2 is not ready: /ready answers 503'),
    TOO_SOON.replace(INSISTING, `; us-east-2 is not ready: it was not asked ${INSISTING}`),
    TOO_SOON.replace('refused: ', 'refused: the replica in us-west-2 gives no consistent read: x; '),
  ]) {
    assert.ok(!passed(otherwise(1, said)), said);
    assert.match(otherwise(1, said).text, /ended with 1, 0 changes, not for the hold-down alone/);
  }
  assert.ok(!passed(refusedLine(seen(), 'failback')));
});

test('what the last move was forced over has to be the hold-down alone', () => {
  const forced = (reason: string) => forcedLine({ changes: [change(0), change(1, { reason })] });
  assert.ok(passed(forced('drill; forced over: the hold-down')));
  for (const reason of [
    'drill',
    'drill; forced over: the hold-down; the replica in x is silent',
    'drill; forced over: y',
  ])
    assert.ok(!passed(forced(reason)), reason);
  assert.ok(!passed(forcedLine({ changes: [] })));
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

const PLANS = [
  DATA_CENTRE_OUTAGE,
  NETWORK_PARTITION,
  LONE_OBSERVER,
  GRAY_FAILURE,
  FLAPPING,
  BOTH_REGIONS_BAD,
  FAILBACK,
];

const variantsOf = (plans: readonly FailoverPlan[]) =>
  plans.flatMap(({ name, variants, ...plan }) =>
    variants.map((variant) => ({
      name: `${name}, ${variant.name},`,
      file: variant.name,
      limits: variant.limits ?? plan.limits,
      follow: variant.follow ?? plan.follow,
    })),
  );

for (const plan of variantsOf(PLANS))
  test(`${plan.name} promises that nothing acknowledged is lost, and says what it saw of the routing state`, () => {
    const config = stageConfig('dev');
    assert.equal(plan.limits(config).acknowledgedWritesLost, 0);
    const lines = plan.follow?.(seen(), config) ?? [];
    assert.ok(lines.some(({ label }) => label === 'routing changes'));
    assert.equal(new Set(lines.map(({ label }) => label)).size, lines.length, 'a label names one line');
    assert.match(plan.file, /^[a-z-]+$/, 'names stand in file names');
  });

for (const plan of variantsOf(PLANS))
  test(`${plan.name} misses a target when nothing happened at all`, () => {
    const lines = plan.follow?.(seen(), stageConfig('dev')) ?? [];
    assert.ok(verdictsOf(lines).includes(false));
  });

test('flapping keeps its targets on one move that holds, and misses them on a second move and on none', () => {
  const held = look(119_000, { ...AWAY, active: 'west' });
  const verdicts = (...changes: readonly RoutingChange[]) =>
    verdictsOf(FLAPPING.follow?.(seen({ changes, looks: [held] }), stageConfig('dev')) ?? []);
  assert.deepEqual(verdicts(change(1)), [true, true, true, true, true]);
  assert.deepEqual(verdicts(change(1), change(2)), [false, true, true, true, true]);
  assert.deepEqual(verdicts(), [false, false, false, true, true]);
});
