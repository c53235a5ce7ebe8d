// The second half of the store's contract: the feed, the control items, and what happens between regions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDynamoDBClient } from '../../lambdas/store/attempts.ts';
import { createDynamoDBStore } from '../../lambdas/store/dynamodb-store.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { feedShardOf, GENERATION_KEY } from '../../protocol/items.ts';
import { FEED_SHARDS } from '../../protocol/limits.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { eventually, type StoreSubject, text } from './store-subject.ts';

const shardOf = (key: RecordKey) => Number.parseInt(feedShardOf(key).split('#')[2] as string, 16);

export function storeFeedCases(on: StoreSubject): void {
  const feedRows = async (tenant: string, shard: number) => {
    const page = await on.store.feed({ tenant, shard, after: '', limit: 1_000 });
    assert.equal(page.next, undefined);
    return page.rows.map(({ key }) => key);
  };

  test('the feed shows every record once, at its last commit, tombstones too, in commit order', async () => {
    const tenant = 'feeding';
    const all = Array.from({ length: 30 }, () => on.newKey(tenant));
    for (const key of all) await on.written(on.writeOf(key));
    const again = all[3] as RecordKey;
    const { version: base } = (await on.store.read(again)) ?? assert.fail();
    await on.written(on.writeOf(again, { base, content: { deleted: true } }));
    const expected = [...all.filter((key) => key !== again), again];
    await eventually(async () => {
      for (let shard = 0; shard < FEED_SHARDS; shard += 1)
        assert.deepEqual(
          await feedRows(tenant, shard),
          expected.filter((key) => shardOf(key) === shard),
        );
    });
    assert.deepEqual(await feedRows('feedin', 0), []);
  });

  test('the feed is read page by page, and a page ends where the next begins', async () => {
    const tenant = 'paging';
    const all = Array.from({ length: 40 }, () => on.newKey(tenant));
    for (const key of all) await on.written(on.writeOf(key));
    const busiest = Array.from({ length: FEED_SHARDS }, (_, shard) =>
      all.filter((key) => shardOf(key) === shard),
    )
      .sort((a, b) => b.length - a.length)
      .at(0) as RecordKey[];
    const shard = shardOf(busiest[0] as RecordKey);
    await eventually(async () => assert.deepEqual(await feedRows(tenant, shard), busiest));
    const seen: RecordKey[] = [];
    let after: string | undefined = '';
    while (after !== undefined) {
      const page = await on.store.feed({ tenant, shard, after, limit: 2 });
      assert.ok(page.rows.length <= 2);
      seen.push(...page.rows.map(({ key }) => key));
      after = page.next;
    }
    assert.deepEqual(seen, busiest);
  });

  test('the feed of one collection leaves the others out, those with the same beginning too', async () => {
    const tenant = 'filter';
    for (const collection of ['note', 'notes', 'notes-2'])
      for (let n = 0; n < 10; n += 1) await on.written(on.writeOf({ tenant, collection, id: `i${n}` }));
    await eventually(async () => {
      const found: RecordKey[] = [];
      for (let shard = 0; shard < FEED_SHARDS; shard += 1)
        found.push(
          ...(await on.store.feed({ tenant, shard, after: '', limit: 100, collection: 'notes' })).rows.map(
            ({ key }) => key,
          ),
        );
      assert.deepEqual(
        found.map(({ collection, id }) => `${collection}/${id}`).sort(),
        Array.from({ length: 10 }, (_, n) => `notes/i${n}`),
      );
    });
  });

  test('a tenant whose name continues another stays apart', async () => {
    const ids = { collection: 'notes', id: 'same' };
    await on.written(on.writeOf({ tenant: 'a', ...ids }));
    assert.equal(await on.store.read({ tenant: 'a-b', ...ids }), undefined);
    assert.equal(await on.store.read({ tenant: 'b', ...ids }), undefined);
  });

  test('ids may hold every character that their pattern allows', async () => {
    const key = { tenant: 'a-1', collection: 'C_d-9', id: `9.~_-${'x'.repeat(250)}` };
    const { version: stored } = await on.written(on.writeOf(key));
    assert.equal((await on.store.read(key))?.version, stored);
  });

  test('no generation item means undefined, then what an operator wrote', async () => {
    assert.equal(await on.store.generation(), undefined);
    for (const status of ['open', 'restoring'] as const) {
      await on.putItem(GENERATION_KEY, { status: { S: status }, restoreEpoch: { N: '1700000000000' } });
      assert.deepEqual(await on.store.generation(), { status, restoreEpoch: 1_700_000_000_000 });
    }
    await on.putItem(GENERATION_KEY, { status: { S: 'something else' }, restoreEpoch: { N: '1' } });
    assert.equal((await on.store.generation())?.status, 'restoring');
  });

  test('a feed status is replaced only by whoever read the one before', async () => {
    const region = 'status-region';
    assert.equal(await on.store.feedStatus(region), undefined);
    const first = { checkedAt: 1_000, steadySince: 900 };
    assert.equal(await on.store.saveFeedStatus(region, first, undefined), true);
    assert.deepEqual(await on.store.feedStatus(region), first);
    assert.equal(await on.store.saveFeedStatus(region, { checkedAt: 2_000 }, undefined), false);
    assert.equal(await on.store.saveFeedStatus(region, { checkedAt: 2_000 }, first), true);
    assert.deepEqual(await on.store.feedStatus(region), { checkedAt: 2_000 });
    assert.equal(await on.store.saveFeedStatus(region, { checkedAt: 3_000 }, first), false);
  });

  test('a beat only goes forward, and the index shows the last one of each region', async () => {
    assert.equal(await on.store.beat('r-1', 5_000), true);
    assert.equal(await on.store.beat('r-1', 5_000), false);
    assert.equal(await on.store.beat('r-1', 4_000), false);
    assert.equal(await on.store.beat('r-1', 1_700_000_000_000), true);
    assert.equal(await on.store.beat('r-2', 1_700_000_005_000), true);
    await eventually(async () =>
      assert.deepEqual(await on.store.beats(), [
        { region: 'r-1', atMs: 1_700_000_000_000 },
        { region: 'r-2', atMs: 1_700_000_005_000 },
      ]),
    );
  });

  test('probes as often as asked', async () => {
    await on.store.probe('r-1', 1);
    await on.store.probe('r-1', 1);
  });

  test('a table that does not exist is unavailable, and not worth another try', async () => {
    const missing = createDynamoDBStore({ client: on.client, tableName: 'no-such-table' });
    const wanted = { name: 'StoreUnavailableError', retryable: false, mayHaveLanded: false };
    await assert.rejects(missing.read(on.newKey()), wanted);
    await assert.rejects(missing.write(on.writeOf(on.newKey())), wanted);
  });

  test('nobody at the endpoint is unavailable, and worth another try', async () => {
    const nobody = on.track(
      createDynamoDBClient({
        ...on.engine.clientConfig(on.engine.regions[0] as string),
        endpoint: 'http://127.0.0.1:9',
      }),
    );
    const dead = createDynamoDBStore({ client: nobody, tableName: on.engine.tableName });
    await assert.rejects(dead.write(on.writeOf(on.newKey())), { retryable: true, mayHaveLanded: true });
    await assert.rejects(dead.feedStatus('r'), StoreUnavailableError);
  });

  test('writers in different regions never both win, and a refusal says that nothing landed', async (t) => {
    if (on.engine.regions.length < 2) return t.skip('one region only');
    const stores = on.engine.regions.map((region) => on.storeIn(region));
    for (let round = 0; round < 10; round += 1) {
      const key = on.newKey();
      const outcomes = await Promise.allSettled(
        stores.map((each, n) => each.write(on.writeOf(key, { content: text(`region ${n}`) }))),
      );
      const won = outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value.written);
      assert.equal(won.length, 1);
      for (const outcome of outcomes)
        if (outcome.status === 'rejected')
          assert.deepEqual(
            { retryable: outcome.reason.retryable, mayHaveLanded: outcome.reason.mayHaveLanded },
            { retryable: true, mayHaveLanded: false },
          );
      for (const each of stores) assert.deepEqual(await each.read(key), await on.store.read(key));
    }
  });

  test('a region cut off from the others takes no writes and answers no consistent reads', async (t) => {
    const { isolate } = on.engine;
    if (!isolate) return t.skip('nothing to cut');
    const [home, other] = on.engine.regions as readonly [string, string];
    const key = on.newKey();
    const first = await on.written(on.writeOf(key));
    const cutOff = on.storeIn(other);
    isolate(other, true);
    try {
      await assert.rejects(cutOff.write(on.writeOf(key, { base: first.version })), StoreUnavailableError);
      await assert.rejects(cutOff.read(key), StoreUnavailableError);
      assert.equal((await on.storeIn(home).read(key))?.version, first.version);
    } finally {
      isolate(other, false);
    }
    await eventually(async () => assert.equal((await cutOff.read(key))?.version, first.version));
  });
}
