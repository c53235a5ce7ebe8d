// What verdicts, pulls and restores make of the records held and of what is kept (PROTOCOL 5, 6.4, 8.2).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Queue } from '../../../client/queue/queue.ts';
import { TOMBSTONE_AGE_MS_MIN } from '../../../protocol/limits.ts';
import type { Change, PullResponse } from '../../../protocol/messages.ts';
import type { Json, Operation } from '../../../protocol/operations.ts';
import { type Version, versionOf } from '../../../protocol/versions.ts';
import { MemoryDisk } from './memory-disk.ts';
import { applied, NOW, rejected, settleNext, World } from './queues.ts';

const OTHER = 'ffffffffffffffff';
const DAY = 86_400_000;

function foreign(msFromNow: number): Version {
  return versionOf({ ms: NOW + msFromNow, counter: 0 }, OTHER);
}

function change(id: string, version: Version, payload?: Json): Change {
  return {
    collection: 'notes',
    id,
    version,
    ...(payload === undefined ? { deleted: true } : { deleted: false, payload }),
  };
}

function page(changes: readonly Change[], more: Partial<PullResponse> = {}): PullResponse {
  return { changes, cursor: 'next', more: false, resync: false, ...more };
}

function payloadOf(queue: Queue, id: string): Json | undefined {
  return queue.get('notes', id)?.payload;
}

test('a superseded edit is kept for a restore but not held: what was known before shows until the next pull', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk());
  queue.applyPull(page([change('n1', foreign(-10), 'theirs')]), 0);
  await world.put(queue, 'n1', 'mine');
  const stored = foreign(5);
  const batch = queue.nextBatch();
  assert.ok(batch?.operations[0]);
  const { session, sequence, version } = batch.operations[0];
  const verdicts = [{ session, sequence, verdict: 'superseded', version: stored } as const];
  const settlement = queue.settle({ verdicts, restoreEpoch: 0 });
  queue.release(batch);
  const lost = { session, sequence, version, collection: 'notes', id: 'n1', kind: 'put', stored };
  assert.deepEqual(settlement?.superseded, [lost]);
  assert.equal(payloadOf(queue, 'n1'), 'theirs');
  assert.equal(queue.kept, 1);
  // 5.1: the version known only from the verdict is no base.
  await world.put(queue, 'n1', 'again');
  assert.equal(queue.nextBatch()?.operations[0]?.base, foreign(-10));
});

test('a duplicate is held when it may be the state or a pull will replace it, and never at a version only a verdict named', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk());
  const receipts = [
    await world.put(queue, 'a', 1),
    await world.put(queue, 'b', 2),
    await world.put(queue, 'c', 3),
  ];
  const stored = [receipts[0]?.version, foreign(60_000), foreign(-60_000)];
  settleNext(queue, ({ session, sequence }) => ({
    session,
    sequence,
    verdict: 'duplicate',
    version: stored[sequence - 1] as Version,
  }));
  assert.equal(payloadOf(queue, 'a'), 1);
  assert.equal(queue.get('notes', 'b')?.version, receipts[1]?.version);
  assert.equal(queue.get('notes', 'c'), undefined);
  queue.applyPull(page([change('b', foreign(60_000), 'newer'), change('c', foreign(-60_000), 'older')]), 0);
  assert.equal(payloadOf(queue, 'b'), 'newer');
  assert.equal(payloadOf(queue, 'c'), 'older');
});

test('versions seen advance the clock past them (1.1)', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk());
  queue.applyPull(page([change('n1', foreign(30_000), 1)]), 0);
  assert.ok((await world.put(queue, 'n2', 2)).version > foreign(30_000));
});

test('what was applied under an earlier stamp is held at that stamp, so that later edits of others are not hidden', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk());
  const { session, sequence, version } = await world.put(queue, 'n1', 1);
  const batch = queue.nextBatch();
  assert.ok(batch);
  // One copy of the batch met a region whose clock is behind, the other one that took it.
  const ahead = { session, sequence, verdict: 'clock_ahead', serverTimeMs: NOW + 50 } as const;
  queue.settle({ verdicts: [ahead], restoreEpoch: 0 });
  queue.settle({ verdicts: [{ session, sequence, verdict: 'applied', version }], restoreEpoch: 0 });
  queue.release(batch);
  assert.equal(queue.get('notes', 'n1')?.version, version);
  queue.applyPull(page([change('n1', foreign(10), 'theirs')]), 0);
  assert.equal(payloadOf(queue, 'n1'), 'theirs');
  queue.raiseRestoreEpoch(1);
  assert.equal(queue.nextBatch()?.operations[0]?.version, version);
});

test('a pull moves the checkpoint with its data and never hides an own edit that waits', async () => {
  const world = new World();
  const disk = new MemoryDisk();
  const queue = world.open(disk);
  await world.put(queue, 'n1', 'mine');
  queue.applyPull(
    page([change('n1', foreign(1), 'theirs'), change('n2', foreign(2), 'new')], { cursor: 'c1' }),
    0,
  );
  assert.equal(payloadOf(queue, 'n1'), 'mine');
  const after = world.open(disk.afterKill());
  assert.equal(after.cursor, 'c1');
  assert.equal(payloadOf(after, 'n2'), 'new');
  // The window read again (6.3): the same and older rows change nothing.
  assert.deepEqual(
    after.applyPull(page([change('n2', foreign(2), 'new'), change('n2', foreign(1), 'old')]), 0),
    {
      applied: 0,
      dropped: 0,
    },
  );
  settleNext(after, rejected);
  assert.equal(payloadOf(after, 'n1'), 'theirs');
});

test('a resync accepts lower versions, drops what it did not return and keeps queued operations (6.4)', async () => {
  const world = new World();
  const disk = new MemoryDisk();
  let queue = world.open(disk);
  queue.applyPull(
    page([change('a', foreign(5), 'a5'), change('b', foreign(5), 'b5'), change('c', foreign(5), 'c5')]),
    0,
  );
  await world.put(queue, 'q', 'queued');
  queue.restartPull();
  assert.equal(queue.cursor, null);
  queue.applyPull(page([change('a', foreign(1), 'a1')], { resync: true, more: true, cursor: 'p1' }), 0);
  // A crash in the middle: it goes on from the page's cursor.
  queue = world.open(disk.afterKill());
  assert.equal(queue.cursor, 'p1');
  assert.equal(payloadOf(queue, 'b'), 'b5');
  await world.put(queue, 'd', 'applied meanwhile');
  settleNext(queue);
  const last = page([change('a', foreign(0), 'a0'), change('b', foreign(2), 'b2')], {
    resync: true,
    cursor: 'p2',
  });
  assert.deepEqual(queue.applyPull(last, 0), { applied: 1, dropped: 1 });
  assert.equal(payloadOf(queue, 'a'), 'a1', 'what the resync returned is not lowered by its own later pages');
  assert.equal(payloadOf(queue, 'b'), 'b2');
  assert.equal(payloadOf(queue, 'c'), undefined);
  assert.equal(payloadOf(queue, 'd'), 'applied meanwhile');
  assert.equal(payloadOf(queue, 'q'), 'queued');
  queue.verify();
});

test('an own write settled before a resync begins outlives an index that lags behind it, but no restore (6.4)', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk(), { keptBytesMax: 0 });
  await world.put(queue, 'new', 'mine');
  await world.put(queue, 'old', 'mine');
  settleNext(queue);
  // The index knows nothing yet of the one, and of the other what was there before.
  const lagging = page([change('old', foreign(-1), 'theirs')], { resync: true });
  assert.deepEqual(queue.applyPull(lagging, 0), { applied: 0, dropped: 0 });
  assert.equal(payloadOf(queue, 'new'), 'mine');
  assert.equal(payloadOf(queue, 'old'), 'mine');

  queue.raiseRestoreEpoch(1);
  await world.put(queue, 'later', 'mine');
  settleNext(queue);
  queue.raiseRestoreEpoch(2);
  assert.deepEqual(queue.applyPull(page([change('old', foreign(-1), 'theirs')], { resync: true }), 2), {
    applied: 1,
    dropped: 2,
  });
  assert.equal(payloadOf(queue, 'old'), 'theirs');
  assert.equal(payloadOf(queue, 'later'), undefined, 'settled before the second restore');
  queue.verify();
});

test('what a resync returned before a crash is not dropped by the rest of it (6.4)', async () => {
  const world = new World();
  const disk = new MemoryDisk();
  let queue = world.open(disk);
  const { version } = await world.put(queue, 'own', 'mine');
  settleNext(queue);
  const first = page([change('own', version, 'mine')], { resync: true, more: true });
  queue.applyPull(first, 0);
  queue = world.open(disk.afterKill());
  assert.equal(queue.applyPull(page([], { resync: true }), 0)?.dropped, 0);
  assert.equal(payloadOf(queue, 'own'), 'mine');
  queue.verify();
});

test('a first pull long after an own write was settled takes its absence for a sweep (6.4, 7)', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk());
  await world.put(queue, 'gone', 'mine');
  settleNext(queue);
  world.nowMs += 95 * 86_400_000;
  await world.put(queue, 'fresh', 'mine');
  settleNext(queue);
  assert.deepEqual(queue.applyPull(page([], { resync: true }), 0), { applied: 0, dropped: 1 });
  assert.equal(payloadOf(queue, 'gone'), undefined);
  assert.equal(payloadOf(queue, 'fresh'), 'mine');
  queue.verify();
});

test('a higher restore epoch queues all kept operations again, marked, first and in the order made (8.2)', async () => {
  const world = new World();
  const disk = new MemoryDisk();
  const queue = world.open(disk);
  for (const [id, payload] of [
    ['a', 1],
    ['b', 2],
    ['a', 3],
  ] as const)
    await world.put(queue, id, payload);
  const verdictOf = (operation: Operation) =>
    operation.id === 'b' ? rejected(operation) : applied(operation);
  const first = settleNext(queue, verdictOf);
  await world.put(queue, 'c', 4);
  await world.put(queue, 'a', 5);
  assert.equal(queue.raiseRestoreEpoch(7), 2);
  const after = world.open(disk.afterKill());
  assert.equal(after.restoreEpoch, 7);
  assert.equal(after.cursor, null);
  assert.equal(after.kept, 0);
  const batch = after.nextBatch();
  assert.deepEqual(
    batch?.operations.map(({ id, sequence, replayed }) => [id, sequence, replayed]),
    [
      ['a', 1, true],
      ['a', 3, true],
      ['c', 4, undefined],
      ['a', 5, undefined],
    ],
  );
  const [replayed] = batch?.operations ?? [];
  assert.deepEqual({ ...replayed, replayed: undefined }, { ...first.operations[0], replayed: undefined });
  assert.equal(after.raiseRestoreEpoch(7), 0);
});

test('a second restore replays what the first replay settled in the order made, before what still waits', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk());
  for (const id of ['a', 'b', 'a']) await world.put(queue, id, id);
  settleNext(queue);
  queue.raiseRestoreEpoch(1);
  const batch = queue.nextBatch({ operationsMax: 1 });
  assert.ok(batch?.operations[0]);
  queue.settle({ verdicts: [applied(batch.operations[0])], restoreEpoch: 1 });
  queue.release(batch);
  assert.equal(queue.raiseRestoreEpoch(2), 1);
  assert.deepEqual(
    queue.nextBatch()?.operations.map(({ sequence }) => sequence),
    [1, 2, 3],
  );
  queue.verify();
});

test('an answer of a lower restore epoch is ignored, one of a higher one raises it first (8.2)', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk());
  queue.raiseRestoreEpoch(5);
  const { session, sequence, version } = await world.put(queue, 'n1', 1);
  const verdicts = [{ session, sequence, verdict: 'applied', version } as const];
  const batch = queue.nextBatch();
  assert.ok(batch);
  assert.equal(queue.settle({ verdicts, restoreEpoch: 4 }), undefined);
  assert.equal(queue.applyPull(page([change('x', foreign(1), 1)]), 4), undefined);
  assert.equal(queue.pending, 1);
  assert.equal(queue.applyPull(page([change('x', foreign(1), 1)], { cursor: 'old' }), 6), undefined);
  assert.equal(queue.restoreEpoch, 6);
  assert.equal(queue.cursor, null);
  assert.equal(queue.settle({ verdicts, restoreEpoch: 6 })?.counts.applied, 1);
});

test('settled operations are kept for a day, then go, however the rest is stuck', async () => {
  const world = new World();
  const disk = new MemoryDisk();
  const queue = world.open(disk);
  await world.put(queue, 'stuck', 'x'.repeat(100));
  for (let n = 0; n < 20; n++) await world.put(queue, `n${n}`, n);
  queue.nextBatch({ operationsMax: 1 });
  settleNext(queue);
  world.nowMs += DAY - 1;
  queue.compact();
  assert.equal(queue.kept, 20);
  world.nowMs += 1;
  queue.compact();
  assert.equal(queue.kept, 0);
  // The stuck one, and one gap that carries the chain across.
  assert.equal([...disk.readGroups()].length, 2);
  await world.put(queue, 'later', 1);
  const after = world.open(disk.afterKill());
  assert.deepEqual(
    settleNext(after).operations.map(({ id }) => id),
    ['stuck', 'later'],
  );
  world.nowMs += DAY;
  after.compact();
  assert.ok(after.usedBytes < 5_000, `expected only records to be left, got ${after.usedBytes} bytes`);
  after.verify();
});

test('kept operations are bounded by bytes, the oldest go first; a stuck one holds no more than twice its own', async () => {
  const world = new World();
  const disk = new MemoryDisk();
  const queue = world.open(disk, { keptBytesMax: 5_000 });
  const edits = Array.from({ length: 100 }, (_, n) =>
    queue.append({ kind: 'put', collection: 'notes', id: `n${n}`, payload: 'x'.repeat(100) }),
  );
  world.endTurn();
  await Promise.all(edits);
  const stuck = queue.nextBatch({ operationsMax: 1 });
  settleNext(queue);
  assert.ok(queue.kept > 10 && queue.kept < 40, `expected some of 99 kept, got ${queue.kept}`);
  queue.raiseRestoreEpoch(1);
  const replayed = [...(queue.nextBatch()?.operations ?? [])];
  assert.equal(replayed.at(-1)?.sequence, 100);
  const [group] = disk.readGroups();
  assert.ok(
    (group?.body.length ?? 0) < 10_000,
    `expected a thinned group, got ${group?.body.length} characters`,
  );
  if (stuck) queue.release(stuck);
  queue.verify();
});

test('what is only kept makes way for new work at the limit', async () => {
  const world = new World();
  const queue = world.open(new MemoryDisk(), { bytesMax: 20_000, keptBytesMax: 19_000 });
  for (let n = 0; n < 100; n++) {
    await world.put(queue, 'n1', 'x'.repeat(500));
    settleNext(queue);
  }
  assert.ok(queue.usedBytes <= 20_000);
  assert.ok(queue.kept > 10);
});

test('tombstones are forgotten when the server has swept them (7)', async () => {
  const world = new World();
  const disk = new MemoryDisk();
  const queue = world.open(disk);
  queue.applyPull(page([change('gone', foreign(0)), change('here', foreign(0), 1)]), 0);
  assert.equal(queue.get('notes', 'gone'), undefined);
  assert.equal([...disk.readRecords()].length, 2);
  world.nowMs += TOMBSTONE_AGE_MS_MIN;
  const after = world.open(disk.afterKill());
  after.verify();
  await world.put(after, 'gone', 1);
  assert.equal(after.nextBatch()?.operations[0]?.base, undefined);
  assert.equal(payloadOf(after, 'here'), 1);
});
