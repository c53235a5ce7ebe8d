// The part of the store's contract that votes and tombstones rest on: copies of every region, decisions, the outbox,
// and what the sweeper finds and removes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentOf } from '../../lambdas/core/canonical.ts';
import { type AuditState, type Copy, NO_AUDIT } from '../../lambdas/core/record.ts';
import { SETTLED_SESSIONS_MAX } from '../../lambdas/core/settled-room.ts';
import type { DecisionWrite, RecordWrite, Tombstone } from '../../lambdas/store/store.ts';
import { ATTRIBUTES, recordPk, STATE, settledAttribute, sweepShardOf } from '../../protocol/items.ts';
import { OUTBOX_BYTES_MAX, PAYLOAD_BYTES_MAX } from '../../protocol/limits.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { eventually, type StoreSubject, session, text } from './store-subject.ts';

const TRAIL: AuditState = { sequence: 1, head: 'a'.repeat(64), outbox: ['{"first":1}'] };
const shardOf = (key: RecordKey) => Number.parseInt(sweepShardOf(key).split('#')[1] as string, 16);

export function storeDecisionCases(on: StoreSubject): void {
  /** A decision on `before` with everything in order, won by the edit; `over` replaces parts of it. */
  const decisionOn = (before: RecordWrite, over: Partial<DecisionWrite> = {}): DecisionWrite => ({
    key: before.key,
    decidedOn: before.commitVersion,
    commitVersion: on.commit(),
    winner: { version: on.version(), content: text('winner') },
    deleted: false,
    settles: { session: session(9), sequence: 3, atMs: 7 },
    audit: TRAIL,
    forget: [],
    ...over,
  });
  const decided = async (decision: DecisionWrite) => {
    assert.deepEqual(await on.store.decide(decision), { written: true });
    return decision;
  };
  /** Of the key's shard, oldest first, with their commit versions. */
  const tombstonesBefore = async (key: RecordKey, before = on.commit()) =>
    (await on.store.tombstones(shardOf(key), before, 1_000)).filter(
      (found) => recordPk(found.key) === recordPk(key),
    );
  const buried = async (key = on.newKey()): Promise<Tombstone> => {
    const { commitVersion } = await on.written(on.writeOf(key, { content: { deleted: true } }));
    return { key, commitVersion };
  };

  test('a write may bring the trail of a record that begins with an entry, and later ones leave it', async () => {
    const key = on.newKey();
    const first = await on.written(on.writeOf(key, { audit: TRAIL }));
    assert.deepEqual((await on.store.read(key))?.audit, TRAIL);
    await on.written(on.writeOf(key, { base: first.version }));
    assert.deepEqual((await on.store.read(key))?.audit, TRAIL);
  });

  test('a decision for the edit writes state, trail and settled sequence together', async () => {
    const before = await on.written(
      on.writeOf(on.newKey(), { settles: { session: session(1), sequence: 1, atMs: 5 } }),
    );
    const decision = await decided(decisionOn(before));
    assert.deepEqual(await on.store.read(before.key), {
      ...decision.winner,
      commitVersion: decision.commitVersion,
      settled: new Map([
        [session(1), { sequence: 1, atMs: 5 }],
        [session(9), { sequence: 3, atMs: 7 }],
      ]),
      audit: TRAIL,
    });
  });

  test('a decision for what is stored leaves it the state, under a new commit version', async () => {
    const before = await on.written(on.writeOf(on.newKey()));
    const decision = await decided(decisionOn(before, { winner: undefined }));
    const stored = await on.store.read(before.key);
    assert.deepEqual([stored?.version, stored?.content], [before.version, before.content]);
    assert.equal(stored?.commitVersion, decision.commitVersion);
    assert.equal(stored?.settled.get(session(9))?.sequence, 3);
    assert.deepEqual(stored?.audit, TRAIL);
  });

  test('a decision on another commit version than the stored one writes nothing, and gives what is stored', async () => {
    const first = await on.written(on.writeOf(on.newKey()));
    const second = await on.written(on.writeOf(first.key, { base: first.version }));
    const outcome = await on.store.decide(decisionOn(first));
    assert.ok(!outcome.written);
    assert.equal(outcome.stored?.commitVersion, second.commitVersion);
    assert.deepEqual(await on.store.read(first.key), outcome.stored);
    assert.deepEqual(outcome.stored?.audit, NO_AUDIT);
    const nothing = await on.store.decide(decisionOn({ ...first, key: on.newKey() }));
    assert.deepEqual(nothing, { written: false, stored: undefined });
  });

  test('of many decisions on one commit version exactly one is taken', async () => {
    const before = await on.written(on.writeOf(on.newKey()));
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        on.store.decide(decisionOn(before, { settles: { session: session(n), sequence: 1, atMs: 1 } })),
      ),
    );
    assert.equal(outcomes.filter(({ written }) => written).length, 1);
    assert.equal((await on.store.read(before.key))?.settled.size, 1);
  });

  test('a decision forgets the sessions it was told to', async () => {
    const before = await on.written(
      on.writeOf(on.newKey(), { settles: { session: session(1), sequence: 1, atMs: 5 } }),
    );
    await decided(decisionOn(before, { forget: [session(1)] }));
    assert.deepEqual([...((await on.store.read(before.key))?.settled.keys() ?? [])], [session(9)]);
  });

  test('as many sessions as may be remembered can be forgotten at once, by a write and by a decision', async () => {
    const many = Array.from({ length: SETTLED_SESSIONS_MAX }, (_, n) => session(n + 100));
    const remembering = async () => {
      const write = on.writeOf(on.newKey());
      await on.putItem(
        { pk: recordPk(write.key), sk: STATE },
        {
          [ATTRIBUTES.version]: { S: write.version },
          [ATTRIBUTES.commitVersion]: { S: write.commitVersion },
          [ATTRIBUTES.deleted]: { BOOL: true },
          ...Object.fromEntries(
            many.map((each) => [settledAttribute(each), { M: { s: { N: '1' }, t: { N: '1' } } }]),
          ),
        },
      );
      return write;
    };
    const settles = { session: session(9), sequence: 1, atMs: 7 };
    const before = await remembering();
    const forget = { sessions: many, commitVersion: before.commitVersion };
    await on.written(on.writeOf(before.key, { base: before.version, settles, forget, audit: TRAIL }));
    const conflicted = await remembering();
    await decided(decisionOn(conflicted, { forget: many, settles }));
    for (const { key } of [before, conflicted])
      assert.deepEqual([...((await on.store.read(key))?.settled.keys() ?? [])], [session(9)]);
  });

  test('the feed shows a decided record at its new commit, whoever won', async () => {
    const key = on.newKey('deciding');
    const before = await on.written(on.writeOf(key));
    const { commitVersion } = await decided(decisionOn(before, { winner: undefined }));
    await eventually(async () => {
      const page = await on.store.feed({ tenant: 'deciding', shard: shardOf(key), after: '', limit: 10 });
      assert.deepEqual(
        page.rows.map(({ position }) => position.split('#')[0]),
        [commitVersion],
      );
    });
  });

  test('the largest payload, a full outbox and as many sessions as may be remembered fit together', async () => {
    const key: RecordKey = { tenant: 't'.repeat(63), collection: 'c'.repeat(63), id: 'i'.repeat(255) };
    const first = on.writeOf(key, { content: { deleted: true } });
    const sessions = Array.from({ length: SETTLED_SESSIONS_MAX - 1 }, (_, n) => [
      settledAttribute(session(n + 100)),
      { M: { s: { N: String(Number.MAX_SAFE_INTEGER) }, t: { N: '1700000000123' } } },
    ]);
    await on.putItem(
      { pk: recordPk(key), sk: STATE },
      {
        [ATTRIBUTES.version]: { S: first.version },
        [ATTRIBUTES.commitVersion]: { S: first.commitVersion },
        [ATTRIBUTES.deleted]: { BOOL: true },
        ...Object.fromEntries(sessions),
      },
    );
    const content = contentOf('x'.repeat(PAYLOAD_BYTES_MAX - 2));
    const outbox = Array.from({ length: 128 }, () => 'y'.repeat(OUTBOX_BYTES_MAX / 128));
    const audit = { sequence: 1_000_000, head: 'a'.repeat(64), outbox };
    const settles = { session: session(9), sequence: Number.MAX_SAFE_INTEGER, atMs: 1_700_000_000_123 };
    await decided(decisionOn(first, { winner: { version: on.version(), content }, audit, settles }));
    const stored = await on.store.read(key);
    assert.deepEqual(stored?.audit, audit);
    assert.equal(stored?.settled.size, SETTLED_SESSIONS_MAX);
    assert.deepEqual(stored?.content, content);
  });

  test('trimming keeps the entries it is given and changes nothing else, the commit version neither', async () => {
    const outbox = ['1', '2', '3'];
    const before = await on.written(on.writeOf(on.newKey(), { audit: { ...TRAIL, sequence: 3, outbox } }));
    const stored = await on.store.read(before.key);
    assert.equal(await on.store.trim(before.key, before.commitVersion, ['3']), true);
    assert.deepEqual(await on.store.read(before.key), {
      ...stored,
      audit: { ...stored?.audit, outbox: ['3'] },
    });
    assert.equal(await on.store.trim(before.key, before.commitVersion, []), true);
    assert.deepEqual((await on.store.read(before.key))?.audit.outbox, []);
    await decided(decisionOn(before));
  });

  test('trimming after the commit version changed, or where nothing is, does nothing', async () => {
    const first = await on.written(on.writeOf(on.newKey(), { audit: TRAIL }));
    await on.written(on.writeOf(first.key, { base: first.version }));
    assert.equal(await on.store.trim(first.key, first.commitVersion, []), false);
    assert.deepEqual((await on.store.read(first.key))?.audit, TRAIL);
    const nowhere = on.newKey();
    assert.equal(await on.store.trim(nowhere, first.commitVersion, []), false);
    assert.equal(await on.store.read(nowhere), undefined);
  });

  test('every region gives its copy, and of a record that is not there, that it is not', async () => {
    const before = await on.written(on.writeOf(on.newKey(), { audit: TRAIL }));
    const record = await on.store.read(before.key);
    assert.deepEqual(
      await on.store.copies(before.key),
      on.engine.regions.map((region) => ({ region, answered: true, record })),
    );
    assert.deepEqual(
      await on.store.copies(on.newKey()),
      on.engine.regions.map((region) => ({ region, answered: true, record: undefined })),
    );
  });

  test('a copy that cannot be read is one that did not answer', async () => {
    const key = on.newKey();
    await on.putItem({ pk: recordPk(key), sk: STATE }, { [ATTRIBUTES.version]: { S: 'no version' } });
    for (const copy of await on.store.copies(key)) {
      assert.ok(!copy.answered);
      assert.match(copy.why, /version/);
    }
  });

  test('a region that is cut off gives no copy, and the others do', async (t) => {
    const { isolate, regions } = on.engine;
    if (!isolate) return t.skip('nothing to cut');
    const before = await on.written(on.writeOf(on.newKey()));
    const away = regions[2] as string;
    isolate(away, true);
    try {
      const copies = await on.store.copies(before.key);
      assert.deepEqual(
        copies.map(({ region, answered }) => [region, answered]),
        regions.map((region) => [region, region !== away]),
      );
    } finally {
      isolate(away, false);
    }
  });

  test('when the copies that came are enough, one that does not come is not waited for', async (t) => {
    const { isolate, regions } = on.engine;
    if (!isolate) return t.skip('nothing to cut');
    const before = await on.written(on.writeOf(on.newKey()));
    const away = regions[2] as string;
    const answered = (copies: readonly Copy[]) => copies.filter((copy) => copy.answered).length;
    isolate(away, true);
    try {
      const startedAt = performance.now();
      const some = await on.store.copies(before.key, (copies) => answered(copies) >= 2);
      const someMs = performance.now() - startedAt;
      const all = await on.store.copies(before.key);
      const allMs = performance.now() - startedAt - someMs;
      assert.deepEqual([answered(some), answered(all)], [2, 2]);
      assert.ok(someMs < allMs, `expected less than ${allMs} ms, got ${someMs} ms`);
    } finally {
      isolate(away, false);
    }
  });

  test('a tombstone is found in its shard below a commit version, oldest first, and a live record is not', async () => {
    const key = on.newKey();
    const live = await on.written(on.writeOf(key));
    const before = on.commit();
    const gone = await on.written(on.writeOf(key, { base: live.version, content: { deleted: true } }));
    await eventually(async () =>
      assert.deepEqual(await tombstonesBefore(key), [{ key, commitVersion: gone.commitVersion }]),
    );
    assert.deepEqual(await tombstonesBefore(key, before), []);
    assert.deepEqual(await tombstonesBefore(key, gone.commitVersion), []);
    await on.written(on.writeOf(key, { base: gone.version }));
    await eventually(async () => assert.deepEqual(await tombstonesBefore(key), []));
  });

  test('no more tombstones are given than asked for, and those the oldest', async () => {
    const first = await buried();
    const sameShard: Tombstone[] = [first];
    while (sameShard.length < 4) {
      const key = on.newKey();
      if (shardOf(key) === shardOf(first.key)) sameShard.push(await buried(key));
    }
    const found = async (limit: number) =>
      (await on.store.tombstones(shardOf(first.key), on.commit(), limit)).map(
        ({ commitVersion }) => commitVersion,
      );
    await eventually(async () =>
      assert.deepEqual(
        (await found(1_000)).slice(-4),
        sameShard.map(({ commitVersion }) => commitVersion),
      ),
    );
    const all = await found(1_000);
    assert.deepEqual(await found(2), all.slice(0, 2));
    assert.deepEqual(all, [...all].sort());

    const [, second, third, fourth] = sameShard as [Tombstone, Tombstone, Tombstone, Tombstone];
    const behind = (after: Tombstone, limit: number, before = on.commit()) =>
      on.store.tombstones(shardOf(first.key), before, limit, after);
    assert.deepEqual(await behind(second, 1_000), [third, fourth]);
    assert.deepEqual(await behind(first, 1), [second]);
    assert.deepEqual(await behind(first, 1_000, fourth.commitVersion), [second, third]);
    assert.equal(await on.store.sweep(second), true);
    assert.deepEqual(await behind(second, 1), [third], 'whether it is still there or not');
  });

  test('a decision keeps the tombstones true: at the new commit when one stays or comes, gone when one is won over', async () => {
    const stays = await buried();
    const on1 = { ...on.writeOf(stays.key), commitVersion: stays.commitVersion };
    const { commitVersion } = await decided(decisionOn(on1, { winner: undefined, deleted: true }));
    await eventually(async () =>
      assert.deepEqual(await tombstonesBefore(stays.key), [{ key: stays.key, commitVersion }]),
    );
    const wonOver = { ...on1, commitVersion };
    const { commitVersion: live } = await decided(decisionOn(wonOver));
    await eventually(async () => assert.deepEqual(await tombstonesBefore(stays.key), []));
    const winner = { version: on.version(), content: { deleted: true } } as const;
    const comes = await decided(decisionOn({ ...on1, commitVersion: live }, { winner, deleted: true }));
    await eventually(async () =>
      assert.deepEqual(await tombstonesBefore(stays.key), [
        { key: stays.key, commitVersion: comes.commitVersion },
      ]),
    );
  });

  test('a tombstone is swept once', async () => {
    const tombstone = await buried();
    assert.equal(await on.store.sweep(tombstone), true);
    assert.equal(await on.store.read(tombstone.key), undefined);
    assert.equal(await on.store.sweep(tombstone), false);
    await eventually(async () => assert.deepEqual(await tombstonesBefore(tombstone.key), []));
    await on.written(on.writeOf(tombstone.key));
  });

  test('a tombstone is not swept with an entry in its outbox, at another commit, or when it is none any more', async () => {
    const key = on.newKey();
    const full = await on.written(on.writeOf(key, { content: { deleted: true }, audit: TRAIL }));
    assert.equal(await on.store.sweep(full), false);
    assert.equal(await on.store.trim(key, full.commitVersion, []), true);
    assert.equal(await on.store.sweep({ key, commitVersion: on.commit() }), false);
    const live = await on.written(on.writeOf(key, { base: full.version }));
    assert.equal(await on.store.sweep(full), false);
    assert.equal(await on.store.sweep(live), false);
    assert.equal((await on.store.read(key))?.version, live.version);
  });
}
