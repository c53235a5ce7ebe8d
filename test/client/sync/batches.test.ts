// What the queue hands out to send (PROTOCOL 5.2): a key to one batch at a time, and quickly however long its chain is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk } from '../queue/memory-disk.ts';
import { settleNext, World } from '../queue/queues.ts';

async function chains(keys: number, length: number) {
  const world = new World();
  const queue = world.open(new MemoryDisk());
  const receipts = Array.from({ length: keys * length }, (_, index) =>
    queue.append({ kind: 'put', collection: 'notes', id: `n${index % keys}`, payload: index }),
  );
  world.endTurn();
  await Promise.all(receipts);
  return queue;
}

test('a batch says whether it is as large as allowed', async () => {
  const queue = await chains(5, 1);
  const sized = (operationsMax: number, bytesMax?: number) => {
    const batch = queue.nextBatch({ operationsMax, ...(bytesMax ? { bytesMax } : {}) });
    assert.ok(batch);
    queue.release(batch);
    return [batch.operations.length, batch.full];
  };
  assert.deepEqual(sized(6), [5, false]);
  assert.deepEqual(sized(5), [5, true]);
  assert.deepEqual(sized(2), [2, true]);
  assert.deepEqual(sized(100, 700), [2, true]);
});

test('with every key under way or excluded there is no batch, and no look at what waits behind them', async () => {
  const queue = await chains(3, 700);
  const first = queue.nextBatch({ operationsMax: 2 });
  assert.ok(first && first.keys.size === 2);
  const excluded = new Set(['notes/n2', 'notes/unknown', 'notes/n0']);
  assert.equal(queue.nextBatch({ excluded }), undefined);
  assert.deepEqual(queue.nextBatch()?.keys, new Set(['notes/n2']));
  assert.equal(queue.nextBatch(), undefined);
  queue.release(first);
  assert.deepEqual(queue.nextBatch()?.keys, new Set(['notes/n0', 'notes/n1']));
});

test('a key settled to its end counts no longer: what another key has is found', async () => {
  const queue = await chains(1, 1);
  settleNext(queue);
  assert.equal(queue.nextBatch({ excluded: new Set(['notes/n0']) }), undefined);
  const world = new World(2);
  const other = world.open(new MemoryDisk());
  await world.put(other, 'a', 1);
  const batch = other.nextBatch();
  assert.ok(batch);
  other.settle({
    verdicts: batch.operations.map(({ session, sequence, version }) => ({
      session,
      sequence,
      verdict: 'applied',
      version,
    })),
    restoreEpoch: 0,
  });
  // Not released yet: the key is in flight, but nothing of it waits.
  await world.put(other, 'b', 2);
  assert.deepEqual(other.nextBatch()?.keys, new Set(['notes/b']));
});
