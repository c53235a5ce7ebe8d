// The routing state: what a change makes of it, and that items and reports come back from the table as they went in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ROUTING_KEY } from '../../protocol/items.ts';
import {
  nextRouting,
  type ObserverReport,
  ROUTING_CHANGES_MAX,
  ROUTING_REASON_CHARS_MAX,
  type RoutingChange,
  type RoutingState,
  type RoutingStep,
  routingChangeKey,
  type Vote,
} from '../../protocol/routing.ts';
import {
  DamagedItemError,
  type PlainItem,
  reportItemOf,
  reportOf,
  routingChangeOf,
  routingItemOf,
  routingStateOf,
  routingUpdateOf,
} from '../../protocol/routing-items.ts';

const T = 1_800_000_000_000;
const [A, B] = ['us-east-2', 'us-west-2'];

const region = fc.constantFrom(A, B, 'us-east-1');
const time = fc.integer({ min: 0, max: 2 ** 45 });
const plain = { noNullPrototype: true } as const;
const vote: fc.Arbitrary<Vote> = fc.record(
  { observer: region, against: region, epoch: time, at: time, emergency: fc.boolean(), why: fc.string() },
  plain,
);
const change: fc.Arbitrary<RoutingChange> = fc.record(
  {
    epoch: time,
    at: time,
    what: fc.constantFrom('drain', 'drain_given_up', 'move'),
    from: region,
    to: region,
    by: fc.constantFrom('observers', 'operator'),
    reason: fc.string(),
    votes: fc.array(vote, { maxLength: 3 }),
    forced: fc.boolean(),
    restoreEpoch: time,
  },
  plain,
);
const state: fc.Arbitrary<RoutingState> = fc.record(
  {
    activeRegion: region,
    epoch: time,
    since: time,
    reason: fc.string({ unit: 'binary' }),
    restoreEpoch: time,
    draining: fc.record({ to: region, since: time }, plain),
    changes: fc.array(change, { maxLength: 3 }),
  },
  { requiredKeys: ['activeRegion', 'epoch', 'since', 'reason', 'restoreEpoch', 'changes'], ...plain },
);
const report: fc.Arbitrary<ObserverReport> = fc.record(
  {
    observer: region,
    slotMs: time,
    at: time,
    watched: fc.dictionary(
      region,
      fc.record({ failures: fc.nat(), since: time, why: fc.string() }, plain),
      plain,
    ),
    abstains: fc.string(),
    vote,
  },
  { requiredKeys: ['observer', 'slotMs', 'at', 'watched'], ...plain },
);

test('a routing state, its changes and an observer’s report come back as they went in', () => {
  fc.assert(fc.property(state, (it) => assert.deepEqual(routingStateOf(routingItemOf(it)), it)));
  fc.assert(fc.property(report, (it) => assert.deepEqual(reportOf(reportItemOf(it)), it)));
  fc.assert(
    fc.property(change, (it) => assert.deepEqual(routingChangeOf(JSON.parse(JSON.stringify(it))), it)),
  );
});

test('an item from before there were reasons is read: since ever, no changes', () => {
  assert.deepEqual(routingStateOf({ activeRegion: { S: B }, epoch: { N: '12' } }), {
    activeRegion: B,
    epoch: 12,
    since: 0,
    reason: '',
    restoreEpoch: 0,
    changes: [],
  });
});

const STEP: RoutingStep = {
  what: 'move',
  from: A,
  to: B,
  by: 'observers',
  reason: 'two of three',
  votes: [{ observer: B, against: A, epoch: 0, at: T, emergency: true, why: 'ECONNREFUSED' }],
  forced: false,
};
const WHOLE = routingItemOf(nextRouting(undefined, STEP, { nowMs: T, restoreEpoch: 7 }));
const changed = (over: object) => ({
  changes: { L: [{ S: JSON.stringify({ ...STEP, epoch: 1, at: 1, restoreEpoch: 1, ...over }) }] },
});

for (const [what, damage, said] of [
  ['names no region', { activeRegion: { S: '' } }, /activeRegion not to be empty/],
  ['has a number for a region', { activeRegion: { N: '1' } }, /activeRegion to be a text, got nothing/],
  [
    'has no number for an epoch',
    { epoch: { S: '12' } },
    /epoch to be a whole number from 0, got \{"S":"12"\}/,
  ],
  ['has an epoch that is no number', { epoch: { N: 'x' } }, /epoch to be a whole number/],
  ['has half an epoch', { epoch: { N: '1.5' } }, /epoch to be a whole number from 0, got 1\.5/],
  ['was active since before time', { since: { N: '-1' } }, /since to be a whole number/],
  ['drains in no JSON', { draining: { S: 'soon' } }, /its draining: expected JSON, got "soon"/],
  ['drains to nowhere', { draining: { S: '{"since":1}' } }, /its draining: expected to to be a text/],
  ['drains in a list', { draining: { S: '[]' } }, /its draining: expected an object/],
  ['has one change for a list', { changes: { S: '{}' } }, /changes to be a list/],
  ['has a change that is none', changed({ what: 'flip' }), /one of drain, drain_given_up, move, got "flip"/],
  ['has a change by nobody', changed({ by: undefined }), /one of observers, operator, got nothing/],
  ['has votes that are none', changed({ votes: 2 }), /a list of votes, got 2/],
  ['has a vote of nobody', changed({ votes: [{}] }), /a vote: expected observer to be a text/],
  ['was forced a little', changed({ forced: 1 }), /forced to be true or false, got 1/],
] as const)
  test(`a routing item that ${what} is refused, and the error says where to look`, () => {
    const item: PlainItem = { ...WHOLE, ...damage } as PlainItem;
    assert.throws(
      () => routingStateOf(item),
      (error) =>
        error instanceof DamagedItemError && said.test(error.message) && /audit bucket/.test(error.message),
    );
  });

test('a report that is none is refused', () => {
  const whole = { observer: A, slotMs: 1, at: 1, watched: {} };
  for (const damaged of [
    {},
    { report: { S: 'null' } },
    { report: { S: '{' } },
    ...[
      { watched: [] },
      { watched: { [A]: { failures: -1 } } },
      { vote: 'yes' },
      { observer: '' },
      { at: '1' },
    ].map((over) => ({ report: { S: JSON.stringify({ ...whole, ...over }) } })),
  ])
    assert.throws(() => reportOf(damaged), DamagedItemError, JSON.stringify(damaged));
});

test('every change raises the epoch to at least now, and never lowers it, however clocks step', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 2 ** 42 }), { minLength: 1, maxLength: 60 }), (clocks) => {
      let now: RoutingState | undefined;
      for (const nowMs of clocks) {
        const from = now?.activeRegion ?? A;
        const before = now;
        now = nextRouting(before, { ...STEP, from, to: from === A ? B : A }, { nowMs, restoreEpoch: 1 });
        assert.equal(now.epoch, Math.max((before?.epoch ?? 0) + 1, nowMs));
        assert.notEqual(now.activeRegion, from);
        assert.equal(now.since, nowMs);
        assert.ok(now.changes.length <= ROUTING_CHANGES_MAX);
        assert.deepEqual(now.changes.slice(1), (before?.changes ?? []).slice(0, ROUTING_CHANGES_MAX - 1));
        assert.equal(now.changes[0]?.epoch, now.epoch);
      }
    }),
  );
});

test('a drain leaves who is active and since when alone; a move or giving it up ends it', () => {
  const at = (nowMs: number) => ({ nowMs, restoreEpoch: 1 });
  const moved = nextRouting(undefined, STEP, at(T));
  const drain: RoutingStep = { ...STEP, what: 'drain', from: B, to: A, by: 'operator', votes: [] };
  const draining = nextRouting(moved, drain, at(T + 5));
  assert.deepEqual(
    [draining.activeRegion, draining.since, draining.draining],
    [B, T, { to: A, since: T + 5 }],
  );
  const givenUp = nextRouting(draining, { ...drain, what: 'drain_given_up' }, at(T + 6));
  assert.deepEqual([givenUp.activeRegion, givenUp.since, givenUp.draining], [B, T, undefined]);
  const back = nextRouting(draining, { ...drain, what: 'move' }, at(T + 7));
  assert.deepEqual([back.activeRegion, back.since, back.draining], [A, T + 7, undefined]);
  assert.deepEqual(
    back.changes.map(({ what, at }) => [what, at]),
    [
      ['move', T + 7],
      ['drain', T + 5],
      ['move', T],
    ],
  );
  assert.equal(nextRouting(undefined, { ...drain, from: A, to: B }, at(T)).activeRegion, A);
});

test('a change that does not start from the active region, or goes nowhere, is none', () => {
  const moved = nextRouting(undefined, STEP, { nowMs: T, restoreEpoch: 1 });
  const after = { nowMs: T + 1, restoreEpoch: 1 };
  assert.throws(() => nextRouting(moved, STEP, after), /from the active region us-west-2, got us-east-2/);
  assert.throws(
    () => nextRouting(moved, { ...STEP, from: B, to: B }, after),
    /another region than us-west-2/,
  );
  assert.throws(
    () => nextRouting(moved, { ...STEP, what: 'drain_given_up', from: B, to: A }, after),
    /a drain given up: expected one towards us-east-2, got none/,
  );
});

test('no reason, however long, makes the item too large', () => {
  const long = 'é'.repeat(10_000);
  let it: RoutingState | undefined;
  for (let n = 0; n < 30; n += 1) {
    const from = it?.activeRegion ?? A;
    it = nextRouting(
      it,
      { ...STEP, reason: long, from, to: from === A ? B : A },
      { nowMs: T + n, restoreEpoch: 1 },
    );
  }
  assert.equal(it?.reason.length, ROUTING_REASON_CHARS_MAX);
  assert.ok(JSON.stringify(it).length < 100_000);
});

test('the write asks for the epoch it was decided on, and takes away a drain that is over', () => {
  const moved = nextRouting(undefined, STEP, { nowMs: T, restoreEpoch: 1 });
  const first = routingUpdateOf(undefined, moved);
  assert.deepEqual(first.Key, { pk: { S: ROUTING_KEY.pk }, sk: { S: ROUTING_KEY.sk } });
  assert.equal(first.ConditionExpression, 'attribute_not_exists(#epoch)');
  assert.match(first.UpdateExpression, /REMOVE #draining$/);
  const drain: RoutingStep = { ...STEP, what: 'drain', from: B, to: A };
  const draining = nextRouting(moved, drain, { nowMs: T + 1, restoreEpoch: 1 });
  const second = routingUpdateOf(moved, draining);
  assert.equal(second.ConditionExpression, '#epoch = :previous');
  assert.deepEqual(second.ExpressionAttributeValues[':previous'], { N: String(moved.epoch) });
  assert.doesNotMatch(second.UpdateExpression, /REMOVE/);
});

test('changes sort by their keys in a bucket as they happened', () => {
  assert.equal(routingChangeKey({ epoch: T }), 'routing/001800000000000.json');
  assert.ok(routingChangeKey({ epoch: 12 }) < routingChangeKey({ epoch: T }));
});
