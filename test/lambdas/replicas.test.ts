// The store over every region's replica: who is asked when one fails, is slow, refuses or is cut off, and what is never
// done twice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { READ_CIRCUIT, WRITE_CIRCUIT } from '../../lambdas/core/circuit.ts';
import { createStampClock } from '../../lambdas/core/clock.ts';
import { ATTEMPTS_START_MS_MAX } from '../../lambdas/settle.ts';
import { createReplicatedStore, REPLICA_ATTEMPTS } from '../../lambdas/store/replicas.ts';
import { WRITE_ATTEMPT_MS_MAX } from '../../protocol/limits.ts';
import { startTable } from '../../rehearsal/aws/start-table.ts';
import { storeContract } from '../contracts/store.ts';
import { KEY, type Mood, OWN, page, REGIONS, Regions, unavailable } from './regions.ts';

storeContract('over every region’s replica', async () => {
  const running = await startTable({ itemLag: { min: 0, max: 3 }, indexLag: { min: 0, max: 10 } });
  return {
    tableName: running.tableName,
    regions: running.regions,
    clientConfig: (region) => ({
      endpoint: running.endpoint,
      region,
      credentials: running.credentials(region),
    }),
    over: (replicas) => createReplicatedStore({ replicas, now: () => performance.now() }),
    close: () => running.close(),
  };
});

test('while its own replica is well, a region asks no other, and asks once', async () => {
  const on = new Regions();
  for (let n = 0; n < 30; n += 1) {
    await on.store.read(KEY);
    await on.write();
  }
  assert.equal(on.calls.length, 60);
  assert.ok(on.calls.every((call) => call.startsWith(OWN)));
  assert.deepEqual([on.elsewhere, on.avoided], [[], []]);
});

for (const mood of ['down', 'silent', 'busy'] as const)
  test(`a read that meets a replica that is ${mood} is answered by the next within the call`, async () => {
    const on = new Regions();
    on.moods[OWN] = mood;
    assert.deepEqual(await on.asked(() => on.store.generation()), [OWN, 'us-west-2']);
    assert.deepEqual(on.elsewhere, ['us-west-2']);
    on.moods['us-west-2'] = mood;
    assert.deepEqual(await on.asked(() => on.store.read(KEY)), [...REGIONS]);
  });

test('after three failures in a row reads go to the next region at once', async () => {
  const on = new Regions();
  on.moods[OWN] = 'down';
  for (let n = 0; n < 3; n += 1) await on.store.read(KEY);
  assert.deepEqual(on.avoided, [`${OWN} reads`]);
  assert.deepEqual(await on.asked(() => on.store.read(KEY)), ['us-west-2']);
});

test('a replica that is busy is asked again every time', async () => {
  const on = new Regions();
  on.moods[OWN] = 'busy';
  for (let n = 0; n < 20; n += 1) {
    assert.deepEqual(await on.asked(() => on.store.read(KEY)), [OWN, 'us-west-2']);
    assert.deepEqual(
      await on.asked(() => assert.rejects(on.write(), { retryable: true, mayHaveLanded: false })),
      [OWN],
    );
  }
  assert.deepEqual(on.avoided, []);
});

test('what is our own fault, and what the item itself says, is no reason to ask another region', async () => {
  for (const [mood, error] of [
    ['denied', { retryable: false, mayHaveLanded: false }],
    ['full', { name: 'RecordFullError' }],
  ] as const) {
    const on = new Regions();
    on.moods[OWN] = mood;
    for (let n = 0; n < 5; n += 1) {
      assert.deepEqual(await on.asked(() => assert.rejects(on.write(), error)), [OWN]);
      assert.deepEqual(await on.asked(() => assert.rejects(on.store.read(KEY), error)), [OWN]);
    }
    assert.deepEqual(on.avoided, []);
  }
});

for (const mood of ['down', 'silent'] as const)
  test(`a write is attempted once; its failure on a replica that is ${mood} sends the next attempt elsewhere`, async () => {
    const on = new Regions();
    on.moods[OWN] = mood;
    const failure = {
      name: 'StoreUnavailableError',
      message: /^us-east-2: /,
      retryable: true,
      mayHaveLanded: true,
    };
    assert.deepEqual(await on.asked(() => assert.rejects(on.write(), failure)), [OWN]);
    assert.deepEqual(await on.asked(() => on.settle()), ['us-west-2']);
    on.moods['us-west-2'] = mood;
    assert.deepEqual(await on.asked(() => on.settle()), ['us-west-2', 'us-east-1']);
    assert.equal(new Set(on.stamps).size, on.stamps.length);
  });

test('with all regions silent every attempt goes to the one left alone longest', async () => {
  const on = new Regions();
  for (const region of REGIONS) on.moods[region] = 'silent';
  const asked = await on.asked(() => assert.rejects(on.settle(6), { retryable: true, mayHaveLanded: true }));
  assert.deepEqual(asked, [...REGIONS, ...REGIONS]);
});

test('without another region a write that timed out is not worth another attempt', async () => {
  const store = createReplicatedStore({
    replicas: [
      {
        region: OWN,
        store: { ...new Regions().store, write: () => Promise.reject(unavailable(false, true)) },
      },
    ],
    now: () => 0,
  });
  const version = createStampClock('d'.repeat(16)).stamp(1);
  const write = {
    key: KEY,
    version,
    content: { deleted: true },
    base: undefined,
    commitVersion: version,
  } as const;
  await assert.rejects(store.write(write), { retryable: false, mayHaveLanded: true });
  assert.throws(() => createReplicatedStore({ replicas: [], now: () => 0 }), RangeError);
});

test('writes keep away from a region whose last read failed, until a read works again', async () => {
  const on = new Regions();
  on.moods[OWN] = 'down';
  await on.store.read(KEY);
  assert.deepEqual(await on.asked(() => on.write()), ['us-west-2']);
  on.moods[OWN] = 'well';
  assert.deepEqual(await on.asked(() => on.write()), ['us-west-2']);
  await on.store.read(KEY);
  assert.deepEqual(await on.asked(() => on.write()), [OWN]);
});

test('every decision, trim and sweep is attempted once too', async () => {
  const on = new Regions();
  for (const method of ['trim', 'sweep'] as const) {
    on.moods[OWN] = 'down';
    on.nowMs += 1e6;
    const version = createStampClock('d'.repeat(16)).stamp(1);
    const call = () =>
      method === 'trim'
        ? on.store.trim(KEY, version, [])
        : on.store.sweep({ key: KEY, commitVersion: version });
    assert.deepEqual(await on.asked(() => assert.rejects(call(), { retryable: true })), [OWN]);
    assert.deepEqual(await on.asked(call), ['us-west-2']);
  }
});

test('after its pause one read tries the region again, and the rest stay away until that one is back', async () => {
  const on = new Regions();
  on.moods[OWN] = 'down';
  await assert.rejects(on.write());
  for (let n = 0; n < 3; n += 1) await on.store.read(KEY);
  on.nowMs += READ_CIRCUIT.pauseMs.first;
  const crowd = () => Promise.all(Array.from({ length: 10 }, () => on.store.read(KEY)));
  const tries = async () => (await on.asked(crowd)).filter((region) => region === OWN).length;
  assert.equal(await tries(), 1);
  assert.equal(await tries(), 0, 'the trial failed');
  on.moods[OWN] = 'well';
  on.nowMs += READ_CIRCUIT.pauseMs.first * 2;
  // A write is no trial.
  assert.deepEqual(await on.asked(() => on.write()), ['us-west-2']);
  assert.equal(await tries(), 1);
  assert.equal(await tries(), 10);
  assert.deepEqual(await on.asked(() => on.write()), [OWN]);
});

test('a replica that takes reads but no writes costs one attempt a pause, and the pauses grow', async () => {
  const on = new Regions();
  let failures = 0;
  for (; on.nowMs < 60_000; on.nowMs += 100) {
    on.moods[OWN] = 'well';
    await on.store.read(KEY);
    on.moods[OWN] = 'down';
    failures += (await on.settle()) - 1;
  }
  assert.ok(failures > 1 && failures <= 10, `${failures} failed attempts in a minute`);
  assert.ok(WRITE_CIRCUIT.pauseMs.max <= 10_000);
});

test('a replica that answers, but slowly, is left for the next; back when it answers in time', async () => {
  const on = new Regions();
  on.moods[OWN] = 'slow';
  for (let n = 0; n < READ_CIRCUIT.slowMax; n += 1)
    assert.deepEqual(await on.asked(() => on.store.read(KEY)), [OWN]);
  assert.deepEqual(await on.asked(() => on.store.read(KEY)), ['us-west-2']);
  assert.deepEqual(await on.asked(() => on.write()), ['us-west-2']);
  on.moods[OWN] = 'well';
  on.nowMs += READ_CIRCUIT.pauseMs.first;
  assert.deepEqual(await on.asked(() => on.store.read(KEY)), [OWN]);
});

test('a large read that takes too long is answered elsewhere, and not held against the region', async () => {
  const on = new Regions();
  on.moods[OWN] = 'silent';
  for (let n = 0; n < 5; n += 1)
    assert.deepEqual(await on.asked(() => on.store.readMany([KEY], 1)), [OWN, 'us-west-2']);
  on.moods[OWN] = 'slow';
  for (let n = 0; n < 15; n += 1) await on.store.readMany([KEY], 1);
  assert.deepEqual(on.avoided, []);
  on.moods[OWN] = 'down';
  for (let n = 0; n < 3; n += 1) await on.store.readMany([KEY], 1);
  assert.deepEqual(on.avoided, [`${OWN} reads`]);
});

test('a large read that is the trial and takes too long fails it', async () => {
  const on = new Regions();
  on.moods[OWN] = 'silent';
  for (let n = 0; n < 3; n += 1) await on.store.read(KEY);
  on.nowMs += READ_CIRCUIT.pauseMs.first;
  assert.deepEqual(await on.asked(() => on.store.readMany([KEY], 1)), [OWN, 'us-west-2']);
  on.moods[OWN] = 'well';
  on.nowMs += READ_CIRCUIT.pauseMs.first * 2;
  assert.deepEqual(await on.asked(() => on.store.read(KEY)), [OWN], 'it is tried again');
});

test('what speaks for the own region, and index reads outside of a page, stay with the own replica', async () => {
  const on = new Regions();
  on.moods[OWN] = 'down';
  const feed = { tenant: 'acme', shard: 0, after: '', limit: 1 };
  const version = createStampClock('d'.repeat(16)).stamp(1);
  for (let n = 0; n < 5; n += 1)
    for (const call of [
      () => on.store.beat(OWN, 1),
      () => on.store.beats(),
      () => on.store.probe(OWN, 1),
      () => on.store.saveFeedStatus(OWN, { checkedAt: 1 }, undefined),
      () => on.store.feed(feed),
      () => on.store.tombstones(0, version, 1),
    ])
      assert.deepEqual(await on.asked(() => assert.rejects(call())), [OWN]);
  assert.deepEqual(on.elsewhere, []);
});

test('a page of a feed comes from one region: status, index and records', async () => {
  const on = new Regions();
  assert.equal(await page(on), OWN);
  assert.equal(new Set(await on.asked(() => page(on))).size, 1);
  on.moods[OWN] = 'down';
  for (let n = 0; n < 3; n += 1) assert.equal(await page(on), 'us-west-2');
  assert.equal(new Set(await on.asked(() => page(on))).size, 1);
});

test('a page that fails half-way begins anew in the next region', async () => {
  const on = new Regions();
  const from: string[] = [];
  const found = await on.store.atOneReplica(async (replica, region) => {
    from.push(region);
    await replica.feedStatus(region);
    if (region === OWN) on.moods[OWN] = 'down';
    await replica.readMany([KEY], 1);
    return region;
  });
  assert.deepEqual([found, from], ['us-west-2', [OWN, 'us-west-2']]);
});

test('a region whose feed is not known to be complete leaves the page to the next; none may be left', async () => {
  const on = new Regions();
  assert.equal(await page(on, (region) => region !== OWN), 'us-west-2');
  assert.equal(await page(on, (region) => region === 'us-east-1'), 'us-east-1');
  assert.equal(await page(on, () => false), undefined);
  on.moods['us-west-2'] = 'down';
  assert.equal(await page(on, () => false), undefined);
  assert.deepEqual(on.avoided, []);
});

test('what a page throws by itself is no failure of the region', async () => {
  const on = new Regions();
  const failure = new Error('the cursor is too old');
  await assert.rejects(
    on.store.atOneReplica(() => Promise.reject(failure)),
    failure,
  );
  assert.deepEqual([on.calls, on.avoided], [[], []]);
});

test('a region that is cut off answers from its index, which does not make it well', async () => {
  const on = new Regions();
  on.moods[OWN] = 'isolated';
  const indexFirst = () =>
    on.store.atOneReplica(async (replica, region) => {
      await replica.feed({ tenant: 'acme', shard: 0, after: '', limit: 1 });
      await replica.read(KEY);
      return region;
    });
  for (let n = 0; n < 3; n += 1) assert.equal(await indexFirst(), 'us-west-2');
  assert.deepEqual(on.avoided, [`${OWN} reads`]);
  assert.deepEqual(await on.asked(() => on.store.read(KEY)), ['us-west-2']);
});

test('when no region answers a read fails in every one of them; the first that is back is found', async () => {
  const on = new Regions();
  for (const region of REGIONS) on.moods[region] = 'down';
  await assert.rejects(on.store.read(KEY), { name: 'StoreUnavailableError', message: /^us-east-1: / });
  for (let n = 0; n < 10; n += 1) {
    await assert.rejects(on.store.read(KEY));
    await assert.rejects(on.settle(3));
    on.nowMs += 1;
  }
  assert.equal((await on.asked(() => assert.rejects(on.store.read(KEY)))).length, 3);
  on.moods['us-east-1'] = 'well';
  await on.store.read(KEY);
  await on.settle(3);
});

test('an attempt of each region fits into the time in which a request starts attempts', () => {
  const { own, other } = REPLICA_ATTEMPTS;
  assert.ok(own.writeAttemptMs + 2 * other.writeAttemptMs <= ATTEMPTS_START_MS_MAX);
  for (const { writeAttemptMs } of [own, other]) assert.ok(writeAttemptMs <= WRITE_ATTEMPT_MS_MAX);
});

test('as long as one region works, reads are answered, writes settle, and no stamp is used twice', async () => {
  // Without `busy`: a region that refuses is not left.
  const mood = fc.constantFrom<Mood>('well', 'slow', 'down', 'silent', 'isolated');
  const moment = fc.record({
    moods: fc.tuple(mood, mood, mood),
    well: fc.nat(2),
    waitMs: fc.oneof(fc.nat(50), fc.nat(15_000)),
    calls: fc.array(fc.constantFrom('read', 'page', 'write'), { minLength: 1, maxLength: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(moment, { maxLength: 15 }), async (moments) => {
      const on = new Regions();
      for (const { moods, well, waitMs, calls } of moments) {
        for (const [at, region] of REGIONS.entries())
          on.moods[region] = at === well ? 'well' : (moods[at] ?? 'well');
        on.nowMs += waitMs;
        const before = on.calls.length;
        await Promise.all(
          calls.map(async (call) => {
            if (call === 'read') await on.store.read(KEY);
            if (call === 'page') assert.ok(await page(on));
            if (call === 'write') await on.settle();
          }),
        );
        assert.ok(on.calls.length - before <= calls.length * 20);
      }
      assert.equal(new Set(on.stamps).size, on.stamps.length);
    }),
    { numRuns: 150 },
  );
});
