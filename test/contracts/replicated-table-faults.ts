// What a table with multi-Region strong consistency promises while its network or its replicas are broken.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BatchGetItemCommand, BatchWriteItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import {
  eventually,
  failure,
  itemOf,
  keyOf,
  newKey,
  operationsOn,
  type TableUnderTest,
  timed,
} from './replicated-table-subject.ts';

/** To be called within a suite that opens the table before its first case. */
export function faultCases(subject: () => TableUnderTest): void {
  const { put, create, step, read, indexed } = operationsOn(subject);
  const faults = () => {
    const found = subject().faults;
    assert.ok(found);
    return found;
  };
  const isolate = (region: string, cut: boolean) => {
    for (const other of subject().regions) if (other !== region) faults().link([region, other], { cut });
  };
  const heal = () => {
    const [a, b, c] = subject().regions;
    for (const between of [
      [a, b],
      [b, c],
      [a, c],
    ] as const)
      faults().link(between, { cut: false, delayMs: 0 });
    for (const region of subject().regions) faults().replica(region, true);
  };
  /** Runs where faults can be made, and leaves the network whole. */
  const faulty = (title: string, run: () => Promise<void>) =>
    test(title, async (t) => {
      if (!subject().faults) return t.skip('this adapter has no network to break');
      try {
        await run();
      } finally {
        heal();
      }
    });
  const assertRefused = async (promise: Promise<unknown>) => {
    const { name: error, $metadata } = await failure(promise);
    assert.equal(error, 'InternalServerError');
    assert.equal($metadata.httpStatusCode, 500); // which SDKs retry
  };

  faulty('a region on its own refuses writes and consistent reads', async () => {
    const [primary, standby] = subject().regions;
    const pk = newKey();
    await put(primary, pk, 1);
    isolate(primary, true);
    await assertRefused(put(primary, pk, 2));
    await assertRefused(step(primary, pk, 2));
    await assertRefused(read(primary, pk, true));
    const batch = { [subject().tableName]: { Keys: [keyOf(pk)], ConsistentRead: true } };
    await assertRefused(
      subject()
        .client(primary)
        .send(new BatchGetItemCommand({ RequestItems: batch })),
    );
    const requests = { [subject().tableName]: [{ PutRequest: { Item: itemOf(pk, 2) } }] };
    await assertRefused(
      subject()
        .client(primary)
        .send(new BatchWriteItemCommand({ RequestItems: requests })),
    );
    await step(standby, pk, 2);
    assert.equal(await read(subject().regions[2], pk, true), 2);
  });

  faulty('a refused write is never seen, by nobody, not even after healing', async () => {
    const [primary, standby] = subject().regions;
    const pk = newKey();
    isolate(primary, true);
    await assertRefused(put(primary, pk, 1));
    await assertRefused(create(primary, pk, 1));
    assert.equal(await read(primary, pk, false), undefined);
    assert.equal(await read(standby, pk, true), undefined);
    heal();
    for (const region of subject().regions) assert.equal(await read(region, pk, true), undefined);
    await create(standby, pk, 2);
    for (const region of subject().regions) {
      assert.equal(await read(region, pk, true), 2);
      await eventually(() => indexed(region, pk), [2]);
    }
  });

  faulty('a write whose region is cut off while it is under way is refused and never seen', async () => {
    const [primary, standby, quorum] = subject().regions;
    const pk = newKey();
    for (const other of [standby, quorum]) faults().link([primary, other], { delayMs: 60 });
    const writing = failure(put(primary, pk, 1));
    await sleep(90);
    isolate(primary, true);
    assert.equal((await writing).name, 'InternalServerError');
    assert.equal(await read(standby, pk, true), undefined);
    heal();
    for (const region of subject().regions) assert.equal(await read(region, pk, true), undefined);
  });

  faulty('a write whose nearest peer is lost while it is under way goes through the other', async () => {
    const [primary, standby, quorum] = subject().regions;
    const pk = newKey();
    faults().link([primary, quorum], { delayMs: 20 });
    faults().link([primary, standby], { delayMs: 30 });
    const writing = put(primary, pk, 1);
    await sleep(25);
    faults().link([primary, quorum], { cut: true });
    await writing;
    assert.equal(await read(quorum, pk, true), 1);
  });

  faulty('an isolated region answers other reads and index queries from a frozen copy', async () => {
    const [primary, standby] = subject().regions;
    const pk = newKey();
    await put(standby, pk, 1);
    await eventually(() => read(primary, pk, false), 1);
    await eventually(() => indexed(primary, pk), [1]);
    isolate(primary, true);
    await put(standby, pk, 2);
    await eventually(() => indexed(subject().regions[2], pk), [2]);
    await sleep(50);
    assert.equal(await read(primary, pk, false), 1);
    assert.deepEqual(await indexed(primary, pk), [1]);
    heal();
    await eventually(() => read(primary, pk, false), 2);
    await eventually(() => indexed(primary, pk), [2]);
  });

  faulty('a healed region catches up in order', async () => {
    const [primary, standby, quorum] = subject().regions;
    const [first, second] = [newKey(), newKey()];
    isolate(primary, true);
    for (let n = 1; n <= 20; n++) {
      await put(standby, first, n);
      await put(quorum, second, n);
    }
    for (const other of [standby, quorum]) faults().link([primary, other], { cut: false, delayMs: 5 });
    let seen = 0;
    for (const deadline = Date.now() + 5_000; seen < 20 && Date.now() < deadline; ) {
      const late = (await read(primary, second, false)) ?? 0;
      const early = (await read(primary, first, false)) ?? 0;
      assert.ok(early >= late, `write ${late} of the second item came before that of the first, at ${early}`);
      assert.ok(late >= seen, `went back from ${seen} to ${late}`);
      seen = late;
    }
    assert.equal(seen, 20);
    assert.equal(await read(primary, first, true), 20);
  });

  faulty('the table works on with one replica dead, and the dead one catches up', async () => {
    const [primary, standby, quorum] = subject().regions;
    const pk = newKey();
    faults().replica(quorum, false);
    await put(primary, pk, 1);
    await step(standby, pk, 2);
    assert.equal(await read(primary, pk, true), 2);
    faults().replica(quorum, true);
    assert.equal(await read(quorum, pk, true), 2);
    await eventually(() => read(quorum, pk, false), 2);
  });

  faulty('nothing is written or read consistently with two replicas dead', async () => {
    const [primary, standby, quorum] = subject().regions;
    const pk = newKey();
    await put(primary, pk, 1);
    await eventually(() => read(primary, pk, false), 1);
    for (const region of [standby, quorum]) faults().replica(region, false);
    await assertRefused(put(primary, pk, 2));
    await assertRefused(read(primary, pk, true));
    assert.equal(await read(primary, pk, false), 1);
  });

  faulty(
    'a second region writing an item meanwhile is turned away, and succeeds when it tries again',
    async () => {
      const [primary, standby, quorum] = subject().regions;
      const pk = newKey();
      await put(primary, pk, 0);
      for (const between of [
        [primary, quorum],
        [primary, standby],
      ] as const)
        faults().link(between, { delayMs: 40 });
      faults().link([standby, quorum], { delayMs: 1 });
      const first = put(primary, pk, 1);
      await sleep(15);
      assert.equal((await failure(put(standby, pk, 2))).name, 'ReplicatedWriteConflictException');
      const again = new PutItemCommand({ TableName: subject().tableName, Item: itemOf(pk, 3) });
      await subject().client(standby, { maxAttempts: 6 }).send(again);
      await first;
      assert.equal(await read(quorum, pk, true), 3);
    },
  );

  faulty(
    'writes and consistent reads take the round trip to the nearest peer, other reads none',
    async () => {
      const [primary, standby, quorum] = subject().regions;
      const pk = newKey();
      await put(primary, pk, 0);
      faults().link([primary, quorum], { delayMs: 30 });
      faults().link([primary, standby], { delayMs: 60 });
      const writing = await timed(() => put(primary, pk, 1));
      assert.ok(writing >= 58 && writing < 110, `write took ${writing} ms of 60`);
      const reading = await timed(() => read(primary, pk, true));
      assert.ok(reading >= 58 && reading < 110, `consistent read took ${reading} ms of 60`);
      const local = await timed(() => read(primary, pk, false));
      assert.ok(local < 40, `eventually consistent read took ${local} ms`);
      faults().link([primary, quorum], { cut: true });
      const around = await timed(() => put(primary, pk, 2));
      assert.ok(around >= 118, `write through the farther peer took ${around} ms of 120`);
    },
  );
}
