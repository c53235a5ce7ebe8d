// Whether the active region may be left, decided over facts written by hand: every refusal there is, and what is not one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  activeIn,
  DRAIN_ABANDONED_MS,
  findingsAfter,
  isHeldInDns,
  latestChange,
  type Plan,
  planEvacuation,
  planFailback,
  standingRefusals,
} from '../../bin/routing/plan.ts';
import { lasting, since } from '../../bin/routing/words.ts';
import { HOLD_DOWN_MS } from '../../protocol/limits.ts';
import { AT, failedOver, looks, type Overrides, PRIMARY, QUORUM, STANDBY, seen } from './routing-facts.ts';

const kindsOf = (plan: Plan) => (plan.kind === 'leave' ? plan.refusals.map(({ kind }) => kind) : plan.kind);

test('a healthy primary is evacuated to a ready standby, and drained first', () => {
  const plan = planEvacuation(PRIMARY, looks({}, {}));
  assert.deepEqual(plan, {
    kind: 'leave',
    from: PRIMARY,
    to: STANDBY,
    drains: true,
    refusals: [],
  });
});

test('an active standby is evacuated to the primary', () => {
  const plan = planEvacuation(STANDBY, looks({ routing: failedOver() }));
  assert.ok(plan.kind === 'leave');
  assert.deepEqual([plan.to, plan.refusals], [PRIMARY, []]);
});

test('evacuating the standby is a failback: refused for the same, and gone on with under the same conditions', () => {
  const facts = looks({
    routing: failedOver(),
    silent: [QUORUM],
    beats: { [PRIMARY]: { [STANDBY]: 40_000 } },
  });
  assert.deepEqual(planEvacuation(STANDBY, facts), planFailback(facts));
  assert.deepEqual(kindsOf(planEvacuation(STANDBY, facts)), ['replica_silent', 'heartbeats_old']);
});

test('a region that is not active is evacuated already, so that saying it twice is safe', () => {
  const plan = planEvacuation(PRIMARY, looks({ routing: failedOver() }));
  assert.ok(plan.kind === 'already');
  assert.match(plan.why, /us-east-2 is not active: us-west-2 is since .*, 20 min ago \(two votes\)/);
  const unmoved = planEvacuation(STANDBY, looks({}));
  assert.match(unmoved.kind === 'already' ? unmoved.why : '', /us-east-2 is, and nothing ever moved$/);
});

test('a region that answers nothing at all is not drained; one that answers anything is', () => {
  const drains = (...outcomes: readonly ('ok' | 'failing' | 'silent' | 'not_asked')[]) => {
    const of = (region: string, routing?: Overrides['routing']) =>
      looks(...outcomes.map((outcome) => ({ health: { [region]: outcome }, ...(routing && { routing }) })));
    const plan = planEvacuation(PRIMARY, of(PRIMARY));
    const back = planFailback(of(STANDBY, failedOver()));
    assert.equal(back.kind === 'leave' && back.drains, plan.kind === 'leave' && plan.drains);
    return plan.kind === 'leave' && plan.drains;
  };
  assert.deepEqual(
    [drains('silent', 'silent'), drains('silent', 'failing'), drains('ok', 'silent'), drains('not_asked')],
    [false, true, true, true],
  );
});

/** As every replica has them, of every region, so old by the clock here. */
function allBeats(ageMs: number): Overrides {
  const ages = { [PRIMARY]: ageMs, [STANDBY]: ageMs, [QUORUM]: ageMs };
  return { beats: { [PRIMARY]: ages, [STANDBY]: ages, [QUORUM]: ages } };
}

test('one fresh heartbeat vouches for the clock here, and where none was ever seen nothing speaks against it', () => {
  const { beats = {} } = allBeats(3_600_000);
  const one = { ...beats, [QUORUM]: { ...beats[QUORUM], [STANDBY]: -20_000 } };
  assert.deepEqual(kindsOf(planEvacuation(PRIMARY, looks({ beats: one }))), []);
  assert.deepEqual(kindsOf(planEvacuation(PRIMARY, looks(allBeats(Number.NaN)))), []);
});

const EVACUATION_REFUSED: readonly (readonly [string, readonly Overrides[], readonly string[], RegExp])[] = [
  [
    'a standby not ready in the last look',
    [{}, { ready: { [STANDBY]: 'not_ready' } }],
    ['target_not_ready'],
    /us-west-2 is not ready: \/ready answers 503/,
  ],
  [
    'a standby ready only in the last look',
    [{ ready: { [STANDBY]: 'silent' } }, {}],
    ['target_not_ready'],
    /\/ready no answer/,
  ],
  [
    'a standby nobody knows how to ask',
    [{ ready: { [STANDBY]: 'not_asked' } }],
    ['target_not_ready'],
    /name it with --url/,
  ],
  [
    'a move a moment ago',
    [{ routing: { activeRegion: PRIMARY, since: AT - 60_000 } }],
    ['hold_down'],
    /changed 1 min ago \(two votes\): nobody moves it again for another 9 min/,
  ],
  [
    'a drain by somebody else',
    [{ routing: { activeRegion: PRIMARY, since: 0, draining: { to: STANDBY, since: AT - 10_000 } } }],
    ['drain_under_way'],
    /being left for us-west-2 by somebody else since 10 s/,
  ],
  [
    'a clock that is ahead',
    [allBeats(20_001)],
    ['clock_off'],
    /at least 20 s behind the clock here, .* set the clock/,
  ],
  ['a clock that is behind', [allBeats(-3_600_000)], ['clock_off'], /at least 1 h ahead of the clock here/],
];
for (const [name, given, kinds, why] of EVACUATION_REFUSED)
  test(`an evacuation is refused for ${name}`, () => {
    const plan = planEvacuation(PRIMARY, looks(...given));
    assert.deepEqual(kindsOf(plan), kinds);
    assert.match(plan.kind === 'leave' ? (plan.refusals[0]?.why ?? '') : '', why);
  });

test('a failback goes to a primary that is ready and caught up', () => {
  const plan = planFailback(looks({ routing: failedOver() }, { routing: failedOver() }));
  assert.ok(plan.kind === 'leave');
  assert.deepEqual([plan.from, plan.to, plan.drains, plan.refusals], [STANDBY, PRIMARY, true, []]);
});

test('there is nothing to fail back from while the primary is active', () => {
  const plan = planFailback(looks({}));
  assert.match(
    plan.kind === 'already' ? plan.why : '',
    /us-east-2, the primary, is active, and nothing ever moved/,
  );
  const left = planFailback(
    looks({ routing: { activeRegion: PRIMARY, draining: { to: STANDBY, since: AT } } }),
  );
  assert.match(left.kind === 'already' ? left.why : '', /being left for us-west-2/);
});

const beats = (change: Readonly<Record<string, number>>) => ({ beats: { [PRIMARY]: change } });
const FAILBACK_REFUSED: readonly (readonly [string, Overrides, readonly string[], RegExp])[] = [
  [
    'the hold-down',
    { routing: failedOver({ since: AT - HOLD_DOWN_MS + 1 }) },
    ['hold_down'],
    /nobody moves it again/,
  ],
  [
    'a drain by another operator',
    { routing: failedOver({ draining: { to: PRIMARY, since: AT } }) },
    ['drain_under_way'],
    /somebody else/,
  ],
  [
    'a primary that is not ready',
    { ready: { [PRIMARY]: 'not_ready' } },
    ['target_not_ready'],
    /us-east-2 is not ready/,
  ],
  [
    'a silent replica',
    { silent: [QUORUM] },
    ['replica_silent'],
    /us-east-1 gives no consistent read: timed out/,
  ],
  ['a silent primary replica', { silent: [PRIMARY] }, ['replica_silent'], /us-east-2 gives no/],
  [
    'a replica at an older epoch',
    { epochs: { [QUORUM]: 3 } },
    ['replica_behind'],
    /us-east-1 is at routing epoch 3, another at 1699998800000/,
  ],
  ['a replica that knows of no move', { epochs: { [PRIMARY]: undefined } }, ['replica_behind'], /epoch none/],
  ['a feed never checked', { feed: undefined }, ['feed_unsteady'], /never checked/],
  [
    'a feed check long ago',
    { feed: { checkedAt: AT - 60_001, steadySince: AT - 600_000 } },
    ['feed_unsteady'],
    /last checked 1 min ago/,
  ],
  ['a feed without heartbeats', { feed: { checkedAt: AT } }, ['feed_unsteady'], /no fresh heartbeat/],
  [
    'a feed steady only just now',
    { feed: { checkedAt: AT, steadySince: AT - 19_999 } },
    ['feed_unsteady'],
    /only for 20 s, expected 20 s/,
  ],
  [
    'an old heartbeat',
    beats({ [STANDBY]: 20_001 }),
    ['heartbeats_old'],
    /latest heartbeat of us-west-2 20 s old/,
  ],
  [
    'a heartbeat never seen',
    beats({ [QUORUM]: Number.NaN }),
    ['heartbeats_old'],
    /no heartbeat of us-east-1/,
  ],
  ['a heartbeat from the future', beats({ [PRIMARY]: -30_000 }), ['heartbeats_old'], /30 s old/],
];
for (const [name, given, kinds, why] of FAILBACK_REFUSED)
  test(`a failback is refused for ${name}`, () => {
    const plan = planFailback(looks({ routing: failedOver(), ...given }));
    assert.deepEqual(kindsOf(plan), kinds);
    assert.match(plan.kind === 'leave' ? (plan.refusals[0]?.why ?? '') : '', why);
  });

test('at the very limits nothing is refused', () => {
  const edge = seen({
    routing: failedOver({
      since: AT - HOLD_DOWN_MS,
      draining: { to: PRIMARY, since: AT - DRAIN_ABANDONED_MS },
    }),
    feed: { checkedAt: AT - 60_000, steadySince: AT - 80_000 },
    ...beats({ [PRIMARY]: 20_000, [STANDBY]: 20_000, [QUORUM]: -20_000 }),
  });
  assert.deepEqual(kindsOf(planFailback([edge])), []);
});

test('whatever was seen, a failback without refusals is to a ready primary, long enough after the last move', () => {
  const outcome = fc.constantFrom('ready', 'not_ready', 'silent', 'not_asked' as const);
  const given = fc.record({
    movedAgoMs: fc.integer({ min: 0, max: 2 * HOLD_DOWN_MS }),
    ready: fc.array(outcome, { minLength: 1, maxLength: 3 }),
    silent: fc.subarray([PRIMARY, STANDBY, QUORUM]),
  });
  fc.assert(
    fc.property(given, ({ movedAgoMs, ready, silent }) => {
      const routing = failedOver({ since: AT - movedAgoMs });
      const facts = looks(...ready.map((it) => ({ routing, silent, ready: { [PRIMARY]: it } })));
      const may = facts.at(-1)?.heard ? kindsOf(planFailback(facts)).length === 0 : false;
      const should = movedAgoMs >= HOLD_DOWN_MS && silent.length === 0 && ready.every((it) => it === 'ready');
      assert.equal(may, should);
    }),
  );
});

test('during a drain only what can still change is looked at', () => {
  const draining = failedOver({ since: AT - 1, draining: { to: PRIMARY, since: AT } });
  assert.deepEqual(standingRefusals(PRIMARY, seen({ routing: draining })), []);
  const bad = seen({ routing: draining, ready: { [PRIMARY]: 'silent' }, silent: [QUORUM] });
  assert.deepEqual(
    standingRefusals(PRIMARY, bad).map(({ kind }) => kind),
    ['target_not_ready', 'replica_silent'],
  );
  assert.deepEqual(standingRefusals(STANDBY, bad), []);
});

test('a move is complete when every replica that answers has it, the primary says so, the target is ready, DNS follows', () => {
  const wrong = (to: string, given: Overrides) =>
    findingsAfter(to, 9, seen({ routing: { activeRegion: to, epoch: 9 }, ...given }))
      .filter(({ ok }) => !ok)
      .map(({ what }) => what);
  const left = { health: { [PRIMARY]: 'evacuated' }, dns: STANDBY } as const;
  assert.deepEqual(wrong(STANDBY, left), []);
  assert.deepEqual(wrong(STANDBY, { ...left, health: { [PRIMARY]: 'silent' }, silent: [PRIMARY] }), []);
  assert.deepEqual(wrong(STANDBY, { ...left, health: { [PRIMARY]: 'ok' } }), ['health']);
  assert.deepEqual(wrong(STANDBY, { ...left, health: { [PRIMARY]: 'failing' } }), ['health']);
  assert.deepEqual(wrong(STANDBY, { ...left, epochs: { [QUORUM]: 8 } }), ['routing']);
  assert.deepEqual(wrong(STANDBY, { ...left, silent: [PRIMARY, STANDBY, QUORUM] }), ['routing']);
  assert.deepEqual(wrong(STANDBY, { ...left, ready: { [STANDBY]: 'not_ready' } }), ['ready']);
  assert.deepEqual(wrong(STANDBY, { ...left, dns: PRIMARY }), ['dns']);
  assert.deepEqual(wrong(STANDBY, { ...left, dns: undefined }), []);
  assert.deepEqual(wrong(PRIMARY, { dns: PRIMARY }), []);
  assert.deepEqual(wrong(PRIMARY, { dns: PRIMARY, health: { [PRIMARY]: 'evacuated' } }), ['health']);
  assert.deepEqual(wrong(PRIMARY, { dns: PRIMARY, health: { [PRIMARY]: 'silent' } }), ['health']);
  assert.deepEqual(
    wrong(PRIMARY, { health: { [PRIMARY]: 'not_asked' }, ready: { [PRIMARY]: 'not_asked' } }),
    [],
  );
});

test('DNS is held off the primary for good when the standby says nothing, else when it has not followed in time', () => {
  const held = (afterMs: number, given: Overrides, to = PRIMARY) => isHeldInDns(to, afterMs, seen(given));
  assert.equal(held(0, { dns: STANDBY, silent: [STANDBY] }), true);
  assert.deepEqual([held(169_999, { dns: STANDBY }), held(170_000, { dns: STANDBY })], [false, true]);
  assert.equal(held(240_000, { dns: PRIMARY, silent: [STANDBY] }), false);
  assert.equal(held(240_000, { dns: undefined, silent: [STANDBY] }), false, 'nobody knows');
  assert.equal(held(240_000, { dns: PRIMARY }, STANDBY), false, 'nothing holds it off the standby');
});

test('who is active and what came last, in words', () => {
  assert.equal(activeIn({ routing: undefined, primary: PRIMARY }), PRIMARY);
  assert.equal(latestChange(undefined, AT), 'nothing is recorded of it');
  assert.match(
    latestChange(failedOver(), AT),
    /a move from us-east-2 to us-west-2 by observers 20 min ago: two votes/,
  );
});

test('durations in words', () => {
  const cases: readonly (readonly [number, string])[] = [
    [-5, '0 s'],
    [400, '0 s'],
    [59_600, '1 min'],
    [192_000, '3 min 12 s'],
    [7_500_000, '2 h 5 min'],
    [86_400_000, '1 d'],
    [90_061_000, '1 d 1 h'],
    [86_460_000, '1 d'],
  ];
  for (const [ms, words] of cases) assert.equal(lasting(ms), words);
  assert.equal(since(0, 5_000), '1970-01-01T00:00:00Z, 5 s ago');
});
