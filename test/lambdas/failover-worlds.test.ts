// The decision to fail over in whole worlds of probes, partitions, clocks, races and operators: what holds in all of them,
// and that they are wild enough to tell when it would not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countedVotes, type Scene } from '../../lambdas/core/failover.ts';
import { HEARTBEAT_EVERY_MS, VOTE_AGE_MS_MAX } from '../../protocol/limits.ts';
import type { Vote } from '../../protocol/routing.ts';
import {
  FailoverWorld,
  type Seen,
  type Segment,
  SKEW_MS_MAX,
  SLOT_MS,
  START,
  type View,
  type Wrong,
} from './failover-world.ts';
import { REGIONS } from './functions.ts';

const { primary: P, standby: S } = REGIONS;

const seen = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Seen>('ready') },
  { weight: 1, arbitrary: fc.constant<Seen>('not_ready') },
  { weight: 1, arbitrary: fc.constant<Seen>('silent') },
  { weight: 2, arbitrary: fc.constant<Seen>('unreachable') },
);
const mostly = fc.oneof(
  { weight: 5, arbitrary: fc.constant(true) },
  { weight: 1, arbitrary: fc.constant(false) },
);
const view: fc.Arbitrary<View> = fc.record({
  looks: fc.oneof(
    { weight: 1, arbitrary: fc.constant<0>(0) },
    { weight: 6, arbitrary: fc.constant<1>(1) },
    { weight: 1, arbitrary: fc.constant<2>(2) },
  ),
  primary: seen,
  standby: fc.oneof({ weight: 2, arbitrary: fc.constant<Seen>('ready') }, { weight: 1, arbitrary: seen }),
  control: mostly,
  table: mostly,
  skewMs: fc.integer({ min: -SKEW_MS_MAX, max: SKEW_MS_MAX }),
});
const segment: fc.Arbitrary<Segment> = fc.record({
  slots: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 5 }) },
    { weight: 1, arbitrary: fc.integer({ min: 20, max: 45 }) },
  ),
  views: fc.tuple(view, view, view),
  operator: fc.oneof(
    { weight: 4, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.constant<'move'>('move') },
    { weight: 1, arbitrary: fc.constantFrom<'drain' | 'drain_given_up'>('drain', 'drain_given_up') },
  ),
});
const world = fc.tuple(fc.array(segment, { minLength: 1, maxLength: 10 }), fc.nat());

test('over any world: one move per hold-down, never to a region that is not ready, never on one observer’s word; and who should act does', () => {
  let moved = 0;
  let pages = 0;
  fc.assert(
    fc.property(world, ([segments, seed]) => {
      const { violations, moves, pages: paged } = new FailoverWorld(segments, seed);
      assert.deepEqual(violations, []);
      moved += moves.filter(({ automatic }) => automatic).length;
      pages += paged;
    }),
    { numRuns: 500 },
  );
  assert.ok(moved > 50 && pages > 50, `the worlds were dull: ${moved} moves, ${pages} pages`);
});

/** What an observer that has not reported lately would say, were it well. */
const silentOnes = ({ observers, reports, nowMs }: Scene) =>
  observers
    .filter((observer) => !reports.some((it) => it.observer === observer && nowMs - it.at <= VOTE_AGE_MS_MAX))
    .map((observer) => ({ observer, slotMs: nowMs }));

const revoted = (scene: Scene, over: (vote: Vote) => Partial<Vote>): Scene => ({
  ...scene,
  reports: scene.reports.map(({ vote, ...report }) => ({
    ...report,
    ...(vote && { vote: { ...vote, ...over(vote) } }),
  })),
});

for (const [what, wrong] of [
  [
    'one vote is enough',
    {
      scene: (scene) => ({
        ...scene,
        reports: scene.observers.flatMap((observer) => {
          const vote = countedVotes(scene)[0];
          return vote ? [{ ...scene.own, observer, vote: { ...vote, observer } }] : [];
        }),
      }),
    },
  ],
  [
    'the standby need not be ready',
    { scene: (scene) => ({ ...scene, outcomes: { ...scene.outcomes, [S]: { kind: 'ready' } } }) },
  ],
  [
    'there is no hold-down',
    { scene: (scene) => ({ ...scene, routing: scene.routing && { ...scene.routing, since: 0 } }) },
  ],
  [
    'votes of any epoch count',
    { scene: (scene) => revoted(scene, () => ({ epoch: scene.routing?.epoch ?? 0 })) },
  ],
  ['votes of any age count', { scene: (scene) => revoted(scene, () => ({ at: scene.nowMs })) }],
  [
    'whoever is cut off decides all the same',
    { scene: ({ own: { abstains: _, ...own }, ...scene }) => ({ ...scene, own }) },
  ],
  ['control probes are ignored', { controlIsIgnored: true }],
  ['a region that answers "not ready" is taken for one that is cut off', { answersAreSilence: true }],
  [
    'a drain holds up the failover to where it leads',
    { scene: (scene) => (scene.routing?.draining ? { ...scene, reports: [] } : scene) },
  ],
  [
    'one that is alone with what it saw waits for the others for ever',
    {
      scene: (scene) => ({
        ...scene,
        reports: [
          ...scene.reports,
          ...silentOnes(scene).map((it) => ({ ...it, at: scene.nowMs, watched: {} })),
        ],
      }),
    },
  ],
  [
    'a drain that was left behind wakes nobody',
    {
      scene: ({ routing, ...scene }) => {
        if (!routing) return { ...scene, routing };
        const { draining: _, ...rest } = routing;
        return { ...scene, routing: rest };
      },
    },
  ],
  [
    'the standby fails back by itself',
    {
      scene: (scene) =>
        scene.routing?.activeRegion === S ? { ...scene, regions: { primary: S, standby: P } } : scene,
    },
  ],
  [
    'a slot without a look does not end the row',
    {
      standing: (report, slotMs) =>
        report.slotMs < slotMs ? { ...report, slotMs: slotMs - SLOT_MS } : report,
    },
  ],
  [
    'a second look in a slot counts again',
    {
      standing: (report, slotMs) =>
        report.slotMs === slotMs ? { ...report, slotMs: slotMs - SLOT_MS } : report,
    },
  ],
  [
    'a look at once makes the row longer',
    {
      standing: (report, slotMs) =>
        report.slotMs < slotMs && Math.floor(report.slotMs / SLOT_MS) === Math.floor(slotMs / SLOT_MS)
          ? { ...report, slotMs: slotMs - SLOT_MS }
          : report,
    },
  ],
  ['the routing state is overwritten, whatever stands', { changesAreUnconditional: true }],
] as const satisfies readonly (readonly [string, Wrong])[])
  test(`the worlds find out when ${what}`, () => {
    const { failed } = fc.check(
      fc.property(
        world,
        ([segments, seed]) => new FailoverWorld(segments, seed, wrong).violations.length === 0,
      ),
      { numRuns: 3_000, seed: 5, endOnFailure: true },
    );
    assert.ok(failed, 'expected a violation, found none');
  });

/** From the first emergency vote of two observers who see one to the move. */
function heeded(seed: number, wrong: Wrong = {}): number {
  const down: View = { ...calm, primary: 'unreachable' };
  const views: Segment['views'] = [{ ...down, looks: 0 }, down, down];
  const { emergencyAtMs, moves } = new FailoverWorld([{ slots: 3, views }], seed, wrong);
  return (moves[0]?.atMs ?? Number.POSITIVE_INFINITY) - (emergencyAtMs ?? assert.fail('no emergency'));
}

test('an emergency that one observer saw is looked at by the others at once, not in their next slot', () => {
  const seeds = Array.from({ length: 100 }, (_, seed) => seed);
  assert.ok(Math.max(...seeds.map((seed) => heeded(seed))) <= HEARTBEAT_EVERY_MS + 3_000);
  const deaf = seeds.map((seed) => heeded(seed, { nobodyHeeds: true }));
  assert.ok(Math.max(...deaf) > 2 * HEARTBEAT_EVERY_MS, 'the worlds find out when nobody does');
});

const calm: View = { looks: 1, primary: 'ready', standby: 'ready', control: true, table: true, skewMs: 0 };

test('of a partition between one observer and the primary, nothing comes', () => {
  for (const primary of ['not_ready', 'silent', 'unreachable'] as const)
    for (const cut of [0, 1, 2]) {
      const views = [0, 1, 2].map((n) => (n === cut ? { ...calm, primary } : calm)) as [View, View, View];
      const before: Segment = { slots: 1, views: [calm, calm, calm] };
      const { moves, pages } = new FailoverWorld([before, { slots: 40, views }], cut);
      assert.deepEqual([moves, pages], [[], 0]);
    }
});

test('of one observer that is alone with a dead primary, no move comes, but somebody is woken', () => {
  const gone: View = { ...calm, looks: 0 };
  const views: Segment['views'] = [gone, { ...calm, primary: 'unreachable' }, gone];
  const before: Segment = { slots: 3, views: [calm, calm, calm] };
  const { moves, pages } = new FailoverWorld([before, { slots: 12, views }], 3);
  assert.equal(moves.length, 0);
  assert.ok(pages >= 8, `${pages} pages`);
});

test('a drain that was left behind does not hold up the failover to where it leads', () => {
  const down: View = { ...calm, primary: 'unreachable' };
  const segments: Segment[] = [
    { slots: 2, views: [calm, calm, calm], operator: 'drain' },
    { slots: 2, views: [down, down, down] },
  ];
  const { moves, routing } = new FailoverWorld(segments, 2);
  assert.deepEqual([moves.length, routing?.activeRegion, routing?.draining], [1, S, undefined]);
});

test('observers who race for a dead primary move the service once, and within the time promised', () => {
  for (const [primary, withinMs] of [
    ['unreachable', SLOT_MS],
    ['not_ready', 3 * SLOT_MS],
    ['silent', 3 * SLOT_MS],
  ] as const)
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const down = { ...calm, primary };
        const gone = { ...down, table: false };
        const views: Segment['views'] = [gone, down, down];
        const { moves, violations } = new FailoverWorld([{ slots: 60, views }], seed);
        assert.deepEqual([moves.length, violations], [1, []]);
        assert.ok((moves[0]?.atMs ?? 0) - START <= withinMs + 3_000);
      }),
      { numRuns: 50 },
    );
});

test('a primary that comes and goes every 20 s is left once, and not come back to', () => {
  const flapping = Array.from({ length: 15 }, (_, n): Segment => {
    const flap: View = { ...calm, primary: n % 2 === 0 ? 'unreachable' : 'ready' };
    return { slots: n % 3 === 0 ? 2 : 1, views: [flap, flap, flap] };
  });
  const { moves, routing } = new FailoverWorld(flapping, 1);
  assert.deepEqual([moves.length, routing?.activeRegion], [1, S]);
});

test('with both regions bad nobody moves, and it pages', () => {
  const bad: View = { ...calm, primary: 'not_ready', standby: 'not_ready' };
  const { moves, pages } = new FailoverWorld([{ slots: 20, views: [bad, bad, bad] }], 1);
  assert.equal(moves.length, 0);
  assert.ok(pages > 0);
});
