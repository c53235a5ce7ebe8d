// What a reconciler makes of one change, and what it would write: each case by itself, on records made by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentOf } from '../../lambdas/core/canonical.ts';
import { concernOf, planFor } from '../../lambdas/core/reconciling.ts';
import { NO_AUDIT, type StoredRecord } from '../../lambdas/core/record.ts';
import { SETTLED_SESSIONS_MAX } from '../../lambdas/core/settled-room.ts';
import { reconciliationOf } from '../../lambdas/store/record-items.ts';
import { type AuditEntry, lostElsewhere } from '../../protocol/audit.ts';
import { FEED_SETTLE_MS, LOST_INLINE_BYTES_MAX, TOMBSTONE_AGE_MS_MIN } from '../../protocol/limits.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';
import { KEY } from './two-replicas.ts';

const START_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const REGION = 'us-gov-west-1';
const versionAt = (ms: number) => versionOf({ ms, counter: 0 }, 'f'.repeat(16));

function recordAt(ms: number, over: Partial<StoredRecord> = {}): StoredRecord {
  const version = versionAt(ms);
  return {
    version,
    commitVersion: version,
    content: contentOf({ at: ms }),
    settled: new Map(),
    audit: NO_AUDIT,
    through: new Map([[REGION, version]]),
    ...over,
  };
}

const kindOf = (
  before: StoredRecord | undefined,
  after: StoredRecord | undefined,
  atMs: number,
  restoreEpoch = 0,
) => concernOf({ key: KEY, before, after, atMs }, REGION, restoreEpoch)?.kind;

test('what a change has to be put right for', () => {
  const [first, second] = [recordAt(START_MS), recordAt(START_MS + 1_000)];
  const foreign = (ms: number, own?: Version) =>
    recordAt(ms, { through: new Map(own === undefined ? [] : [[REGION, own]]) });
  const soon = START_MS + 2_000;
  const old = START_MS + TOMBSTONE_AGE_MS_MIN;
  const tombstone = { ...first, content: { deleted: true } as const };
  const cases: readonly (readonly [string, string | undefined, string | undefined])[] = [
    ['a new record', kindOf(undefined, first, soon), undefined],
    ['a local write', kindOf(first, second, soon), undefined],
    ['a trim', kindOf(first, { ...first, audit: { ...NO_AUDIT, sequence: 1 } }, soon), undefined],
    [
      'a successor from elsewhere',
      kindOf(first, foreign(START_MS + 500, first.commitVersion), soon),
      undefined,
    ],
    ['a stranger', kindOf(first, foreign(START_MS + 500), soon), 'left_out'],
    ['a stranger with a higher version', kindOf(first, foreign(START_MS + 1_900), soon), 'left_out'],
    ['an older write, trimmed elsewhere', kindOf(second, first, soon), 'left_out'],
    [
      'what came from elsewhere, and its successor',
      kindOf(foreign(START_MS), foreign(START_MS + 1), soon),
      undefined,
    ],
    ['a removal', kindOf(first, undefined, old), 'left_out'],
    ['a young tombstone removed', kindOf(tombstone, undefined, old - 1), 'left_out'],
    ['a sweep', kindOf(tombstone, undefined, old), undefined],
    ['an arrival in time', kindOf(undefined, first, START_MS + FEED_SETTLE_MS / 2), undefined],
    ['a late arrival', kindOf(undefined, first, START_MS + FEED_SETTLE_MS / 2 + 1), 'late'],
    [
      'what a reader has, stamped again, late',
      kindOf(foreign(START_MS), { ...foreign(START_MS), commitVersion: versionAt(START_MS + 1) }, old),
      undefined,
    ],
    ['a late trim', kindOf(first, { ...first, settled: new Map() }, old), undefined],
    ['a change before the last restore', kindOf(first, foreign(START_MS), soon, soon + 1), undefined],
    ['what a restore loaded', kindOf(second, foreign(START_MS + 500), soon, START_MS + 501), undefined],
    ['a stranger after a restore', kindOf(first, foreign(soon), soon, soon), 'left_out'],
  ];
  for (const [what, got, expected] of cases) assert.equal(got, expected, what);
});

test('what came late is stamped again though the same version was written again elsewhere meanwhile', () => {
  const elsewhere = { through: new Map([['us-gov-east-1', versionAt(START_MS)]]) };
  const late = recordAt(START_MS, elsewhere);
  const scene = { ...SCENE, atMs: START_MS + DAY_MS };
  const kindOver = (current: StoredRecord | undefined) =>
    planFor(KEY, { kind: 'late', after: late }, current, scene).kind;
  const again = { ...late, commitVersion: versionAt(START_MS + 1) };
  assert.equal(kindOver(late), 'write');
  assert.equal(kindOver(again), 'write', 'whose own change is none to put right');
  const here = { ...again, through: new Map(elsewhere.through).set(REGION, again.commitVersion) };
  assert.equal(kindOver(here), 'nothing', 'it was stamped here since');
  assert.equal(
    kindOver(recordAt(START_MS + 1, elsewhere)),
    'nothing',
    'another version, which is its own concern',
  );
  assert.equal(kindOver(undefined), 'nothing');
});

const settledAt = (count: number, name: string, fromMs: number) =>
  new Map(
    Array.from({ length: count }, (_, n) => [`${name}${n}`, { sequence: 1, atMs: fromMs + n }] as const),
  );
const SCENE = {
  region: REGION,
  atMs: START_MS,
  commitVersion: versionAt(START_MS + 2 * DAY_MS),
  emptied: false,
};

function planOf(before: StoredRecord, current: StoredRecord | undefined, scene = SCENE) {
  const plan = planFor(KEY, { kind: 'left_out', before }, current, scene);
  assert.ok(plan.kind === 'write', plan.kind);
  return plan;
}

test('a record with no room for all sessions keeps the latest', () => {
  const before = recordAt(START_MS, { settled: settledAt(20, 'b', START_MS) });
  const current = recordAt(START_MS + DAY_MS, {
    settled: settledAt(SETTLED_SESSIONS_MAX - 5, 'c', START_MS),
    through: new Map(),
  });
  const { write } = planOf(before, current);
  assert.deepEqual([...write.settled.keys()].sort(), ['b15', 'b16', 'b17', 'b18', 'b19']);
});

test('however many sessions a record has, one write takes them up: the latest, in an expression of 4 KB', () => {
  // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
  const EXPRESSION_BYTES_MAX = 4_096;
  const settled = settledAt(SETTLED_SESSIONS_MAX, 'x'.repeat(30), START_MS);
  const full = recordAt(START_MS + DAY_MS, {
    settled,
    audit: { sequence: 1, head: 'a'.repeat(64), outbox: [] },
    takenUp: [versionAt(1)],
  });
  const stranger = { through: new Map<string, Version>() };
  const known = settledAt(SETTLED_SESSIONS_MAX, 'x'.repeat(30), 0);
  const outdated = new Map([...known].map(([session]) => [session, { sequence: 0, atMs: 0 }]));
  const currents = [
    undefined,
    recordAt(START_MS, stranger),
    recordAt(START_MS, { ...stranger, settled: outdated }),
    recordAt(START_MS, { ...stranger, content: { deleted: true } }),
  ];
  for (const current of currents) {
    const { write } = planOf(full, current);
    assert.deepEqual([...write.settled].sort(), [...settled].slice(-write.settled.size).sort());
    assert.ok(write.settled.size >= 150, `only ${write.settled.size}`);
    const { UpdateExpression = '' } = reconciliationOf(write);
    assert.ok(
      Buffer.byteLength(UpdateExpression) <= EXPRESSION_BYTES_MAX,
      `${UpdateExpression.length} bytes`,
    );
  }
});

/** Its hash says something else. */
function damagedAt(ms: number, payload: string, over: Partial<StoredRecord> = {}): StoredRecord {
  return recordAt(ms, { content: { deleted: false, payload, sha256: 'd'.repeat(64) }, ...over });
}

const entryIn = ({ write }: ReturnType<typeof planOf>) =>
  JSON.parse(write.audit?.outbox.at(-1) ?? assert.fail('expected an entry')) as AuditEntry;
const STRANGER = { through: new Map<string, Version>() };

test('what lost and is damaged is named by its hash, and holds nothing up', () => {
  for (const payload of ['"other"', JSON.stringify('x'.repeat(LOST_INLINE_BYTES_MAX))])
    for (const [what, plan] of [
      ['stored', planOf(recordAt(START_MS + 1), damagedAt(START_MS, payload, STRANGER))],
      ['incoming', planOf(damagedAt(START_MS, payload), recordAt(START_MS + 1, STRANGER))],
    ] as const) {
      const entry = entryIn(plan);
      assert.deepEqual(
        [plan.corrupt, plan.payload, entry.outcome, entry.damaged, entry.lost, lostElsewhere(entry)],
        [true, undefined, what, true, undefined, undefined],
      );
      const lost = what === 'stored' ? entry.incoming : entry.stored;
      assert.equal(lost?.sha256, 'd'.repeat(64));
      assert.deepEqual(plan.write.content, recordAt(START_MS + 1).content);
    }
});

test('what won and is damaged stays as it is, and what lost is in an entry all the same', () => {
  const before = recordAt(START_MS);
  const current = damagedAt(START_MS + 1, '"other"', STRANGER);
  const plan = planOf(before, current);
  const { outcome, lost, damaged } = entryIn(plan);
  assert.deepEqual(
    [plan.corrupt, outcome, lost, damaged],
    [true, 'incoming', '{"at":1800000000000}', undefined],
  );
  assert.deepEqual(plan.write.content, current.content);
  const dropped = planFor(
    KEY,
    { kind: 'left_out', before: damagedAt(START_MS, '"other"') },
    undefined,
    SCENE,
  );
  assert.equal(dropped.kind, 'corrupt', 'but nothing damaged is put back');
});

test('of one version on both sides the copy that is whole is kept', () => {
  const whole = recordAt(START_MS);
  const damaged = {
    ...whole,
    content: { deleted: false as const, payload: '"other"', sha256: 'd'.repeat(64) },
  };
  const other = { through: new Map<string, Version>(), commitVersion: versionAt(START_MS + 1) };
  for (const [before, current, content] of [
    [whole, { ...damaged, ...other }, whole.content],
    [damaged, { ...whole, ...other }, whole.content],
    [damaged, { ...damaged, ...other }, damaged.content],
  ] as const) {
    const plan = planOf(before, current);
    assert.deepEqual([plan.corrupt, plan.write.content, plan.write.audit], [true, content, NO_AUDIT]);
  }
  assert.equal(planOf(whole, { ...whole, ...other }).corrupt, false);
});

test('a branch that is left is handed out to be archived, and the entry names its end', () => {
  const trail = (sequence: number, head: string, outbox: readonly string[] = []) => ({
    audit: { sequence, head: head.repeat(64), outbox },
  });
  const left = trail(1, 'b', ['{}']);
  const plan = planOf(recordAt(START_MS, trail(2, 'a')), recordAt(START_MS + 1, { ...STRANGER, ...left }));
  assert.deepEqual(plan.leaves, left.audit);
  assert.deepEqual(entryIn(plan).merges, { sequence: 1, hash: 'b'.repeat(64) });
  assert.equal(planOf(recordAt(START_MS), recordAt(START_MS + 1, STRANGER)).leaves, undefined);
});
