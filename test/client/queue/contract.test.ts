// What the queue promises on every disk, whoever holds the bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidEditError, QueueClosedError, QueueFullError } from '../../../client/queue/errors.ts';
import { versionOf } from '../../../protocol/versions.ts';
import { applied, DISKS, NOW, rejected, settleNext, World } from './queues.ts';

const OTHER = 'ffffffffffffffff';

for (const [name, open] of Object.entries(DISKS)) {
  test(`${name}: an acknowledged append survives a crash and is counted as recovered`, async (t) => {
    const world = new World();
    const before = open(t);
    const queue = world.open(before.disk);
    assert.equal(queue.recovered, 0);
    const receipt = await world.put(queue, 'n1', { text: 'hello' });
    const after = world.open(before.killed().disk);
    assert.equal(after.recovered, 1);
    const { version } = receipt;
    assert.deepEqual(after.get('notes', 'n1'), { payload: { text: 'hello' }, version, pending: true });
    assert.notEqual(after.session, queue.session);
    assert.equal(after.fileId, queue.fileId);
    const operation = { ...receipt, collection: 'notes', id: 'n1', kind: 'put', payload: { text: 'hello' } };
    assert.deepEqual(after.nextBatch()?.operations, [operation]);
    after.close();
  });

  test(`${name}: operations keep session and sequence for life; the next opening counts anew`, async (t) => {
    const world = new World();
    const before = open(t);
    const queue = world.open(before.disk);
    const receipts = [await world.put(queue, 'a', 1), await world.put(queue, 'b', 2)];
    assert.deepEqual(
      receipts.map(({ sequence }) => sequence),
      [1, 2],
    );
    const after = world.open(before.killed().disk);
    const third = await world.put(after, 'c', 3);
    assert.equal(third.session, after.session);
    assert.equal(third.sequence, 1);
    const sent = after.nextBatch()?.operations.map(({ session, sequence }) => ({ session, sequence }));
    assert.deepEqual(
      sent,
      [...receipts, third].map(({ session, sequence }) => ({ session, sequence })),
    );
    after.close();
  });

  test(`${name}: an edit is based on the unsettled one before it, then on what is held (5.1)`, async (t) => {
    const world = new World();
    const queue = world.open(open(t).disk);
    const first = await world.put(queue, 'n1', 1);
    const second = await world.remove(queue, 'n1');
    const batch = settleNext(queue);
    assert.deepEqual(
      batch.operations.map(({ base }) => base),
      [undefined, first.version],
    );
    assert.equal(queue.get('notes', 'n1'), undefined);
    await world.put(queue, 'n1', 3);
    assert.equal(settleNext(queue).operations[0]?.base, second.version);
    assert.equal(queue.get('notes', 'n1')?.pending, false);
    queue.close();
  });

  test(`${name}: the clock never runs backwards, not over a crash and not with the machine's`, async (t) => {
    const world = new World();
    const before = open(t);
    const queue = world.open(before.disk);
    const first = await world.put(queue, 'n1', 1);
    world.nowMs -= 3_600_000;
    const after = world.open(before.killed().disk);
    const second = await world.put(after, 'n2', 2);
    assert.ok(second.version > first.version);
    after.close();
  });

  test(`${name}: a key is in one batch at a time; others go on`, async (t) => {
    const world = new World();
    const queue = world.open(open(t).disk);
    for (const [id, payload] of [
      ['a', 1],
      ['a', 2],
      ['b', 3],
      ['a', 4],
    ] as const)
      await world.put(queue, id, payload);
    const first = queue.nextBatch({ operationsMax: 1 });
    assert.deepEqual(
      first?.operations.map(({ sequence }) => sequence),
      [1],
    );
    const second = queue.nextBatch();
    assert.deepEqual(
      second?.operations.map(({ sequence }) => sequence),
      [3],
    );
    assert.equal(queue.nextBatch(), undefined);
    if (first) queue.release(first);
    assert.deepEqual(
      queue.nextBatch()?.operations.map(({ sequence }) => sequence),
      [1, 2, 4],
    );
    queue.close();
  });

  test(`${name}: a batch keeps to its limits, leaves out excluded keys, and is never empty for want of room`, async (t) => {
    const world = new World();
    const queue = world.open(open(t).disk);
    for (const id of ['a', 'b', 'c']) await world.put(queue, id, 'x'.repeat(1_000));
    const sent = (limits: Parameters<typeof queue.nextBatch>[0]) => {
      const batch = queue.nextBatch(limits);
      if (batch) queue.release(batch);
      return batch?.operations.map(({ id }) => id);
    };
    assert.deepEqual(sent({ excluded: new Set(['notes/a']) }), ['b', 'c']);
    assert.deepEqual(sent({ bytesMax: 3_000 }), ['a', 'b']);
    assert.deepEqual(sent({ bytesMax: 10 }), ['a']);
    const batch = queue.nextBatch({ bytesMax: 3_000 });
    assert.ok(JSON.stringify({ operations: batch?.operations }).length <= 3_000);
    queue.close();
  });

  test(`${name}: what is rejected waits in quarantine with its reason and blocks nothing`, async (t) => {
    const world = new World();
    const before = open(t);
    const queue = world.open(before.disk);
    const first = await world.put(queue, 'n1', { bad: true });
    const second = await world.put(queue, 'n1', { good: true });
    const batch = queue.nextBatch({ operationsMax: 1 });
    assert.ok(batch?.operations[0]);
    const settlement = queue.settle({ verdicts: [rejected(batch.operations[0])], restoreEpoch: 0 });
    queue.release(batch);
    assert.equal(settlement?.rejected[0]?.detail, 'the test says so');
    const after = world.open(before.killed().disk);
    assert.equal(after.quarantined, 1);
    const [quarantined] = after.quarantine();
    const { session, sequence, version } = first;
    const edit = { kind: 'put', collection: 'notes', id: 'n1', payload: { bad: true } };
    const reason = { reason: 'invalid', detail: 'the test says so', at: NOW };
    assert.deepEqual(quarantined, { session, sequence, edit, version, ...reason });
    // 5.4: what follows keeps its base.
    assert.deepEqual(
      after.nextBatch()?.operations.map((it) => [it.sequence, it.base]),
      [[second.sequence, version]],
    );
    after.close();
  });

  test(`${name}: resubmitting from quarantine makes a new operation, once`, async (t) => {
    const world = new World();
    const before = open(t);
    const queue = world.open(before.disk);
    const { session, sequence } = await world.put(queue, 'n1', { a: 1 });
    settleNext(queue, rejected);
    const again = [queue.resubmit(session, sequence), queue.resubmit(session, sequence)];
    const settled = Promise.allSettled(again);
    world.endTurn();
    const [first, second] = await settled;
    assert.equal(first?.status === 'fulfilled' && first.value.sequence, 2);
    assert.ok(second?.status === 'rejected' && second.reason instanceof InvalidEditError);
    assert.equal(queue.quarantined, 0);
    await assert.rejects(queue.resubmit(session, sequence), InvalidEditError);
    const after = world.open(before.killed().disk);
    assert.deepEqual(
      after.nextBatch()?.operations.map((it) => [it.sequence, it.kind]),
      [[2, 'put']],
    );
    after.close();
  });

  test(`${name}: a quarantined operation can be resubmitted changed, or discarded`, async (t) => {
    const world = new World();
    const queue = world.open(open(t).disk);
    const one = await world.put(queue, 'n1', 1);
    const two = await world.put(queue, 'n2', 2);
    settleNext(queue, rejected);
    const again = queue.resubmit(one.session, one.sequence, {
      kind: 'put',
      collection: 'notes',
      id: 'n1',
      payload: 3,
    });
    world.endTurn();
    await again;
    queue.discard(two.session, two.sequence);
    assert.equal(queue.quarantined, 0);
    assert.deepEqual(queue.get('notes', 'n1')?.payload, 3);
    assert.throws(() => queue.discard(two.session, two.sequence), InvalidEditError);
    queue.verify();
    queue.close();
  });

  test(`${name}: a clock ahead re-stamps the whole key and corrects the offset for what follows (5.4)`, async (t) => {
    const world = new World();
    const before = open(t);
    const queue = world.open(before.disk);
    await world.put(queue, 'n1', 1);
    await world.put(queue, 'n1', 2);
    const serverTimeMs = NOW - 3_600_000;
    const batch = queue.nextBatch({ operationsMax: 1 });
    assert.ok(batch);
    const { session, sequence } = batch.operations[0] as { session: string; sequence: number };
    queue.settle({
      verdicts: [{ session, sequence, verdict: 'clock_ahead', serverTimeMs }],
      restoreEpoch: 0,
    });
    queue.release(batch);
    await world.put(queue, 'n2', 3);
    const after = world.open(before.killed().disk);
    const at = (counter: number) => versionOf({ ms: serverTimeMs, counter }, after.fileId);
    assert.deepEqual(
      after.nextBatch()?.operations.map((it) => [it.sequence, it.version, it.base]),
      [
        [1, at(0), undefined],
        [2, at(1), at(0)],
        [3, at(2), undefined],
      ],
    );
    assert.equal(after.nowMs, serverTimeMs);
    after.close();
  });

  test(`${name}: settling what is deferred writes nothing and forgets nothing`, async (t) => {
    const world = new World();
    const queue = world.open(open(t).disk);
    await world.put(queue, 'n1', 1);
    const batch = queue.nextBatch();
    assert.ok(batch?.operations[0]);
    const { session, sequence } = batch.operations[0];
    const verdicts = [{ session, sequence, verdict: 'deferred', reason: 'no_quorum' } as const];
    assert.equal(queue.settle({ verdicts, restoreEpoch: 0 })?.counts.deferred, 1);
    queue.release(batch);
    assert.equal(queue.pending, 1);
    queue.close();
  });

  test(`${name}: a late verdict on an operation no longer in flight changes nothing`, async (t) => {
    const world = new World();
    const queue = world.open(open(t).disk);
    await world.put(queue, 'n1', 1);
    const batch = settleNext(queue);
    const late = {
      ...applied(batch.operations[0] as never),
      version: versionOf({ ms: NOW, counter: 9 }, OTHER),
    };
    assert.equal(queue.settle({ verdicts: [late], restoreEpoch: 0 })?.counts.applied, 0);
    assert.equal(queue.kept, 1);
    queue.close();
  });

  test(`${name}: appends of one turn share a commit, at most 100 of them`, async (t) => {
    const world = new World();
    let commits = 0;
    const { disk } = open(t);
    const counted = new Proxy(disk, {
      get(target, property) {
        if (property === 'commit') commits++;
        const member: unknown = Reflect.get(target, property, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const queue = world.open(counted);
    commits = 0;
    const all = Array.from({ length: 250 }, (_, n) =>
      queue.append({ kind: 'put', collection: 'notes', id: `n${n}`, payload: n }),
    );
    assert.equal(queue.pending, 0);
    world.endTurn();
    const receipts = await Promise.all(all);
    assert.equal(commits, 3);
    assert.deepEqual(
      receipts.map(({ sequence }) => sequence),
      Array.from({ length: 250 }, (_, n) => n + 1),
    );
    queue.close();
  });

  test(`${name}: past its limit it refuses new work; sending and settling go on and make room`, async (t) => {
    const world = new World();
    const warnings: string[] = [];
    const limits = {
      bytesMax: 10_000,
      keptBytesMax: 0,
      onWarning: (it: { reason: string }) => warnings.push(it.reason),
    };
    const queue = world.open(open(t).disk, limits);
    let taken = 0;
    const fill = async () => {
      for (;;) await world.put(queue, `n${taken % 3}`, 'x'.repeat(500)).then(() => taken++);
    };
    await assert.rejects(fill(), (error) => error instanceof QueueFullError && error.reason === 'limit');
    assert.ok(taken >= 10, `expected at least 10 edits to fit, got ${taken}`);
    assert.deepEqual(warnings, ['limit']);
    assert.equal(queue.pending, taken);
    assert.ok(queue.get('notes', 'n0'));
    while (queue.pending > 0) settleNext(queue);
    await world.put(queue, 'n0', 'again');
    queue.verify();
    queue.close();
  });

  test(`${name}: an edit the server would refuse is refused at once, and a closed queue refuses all`, async (t) => {
    const world = new World();
    const queue = world.open(open(t).disk);
    await assert.rejects(
      queue.append({ kind: 'put', collection: 'no tes', id: 'a', payload: 1 }),
      InvalidEditError,
    );
    await assert.rejects(queue.append({ kind: 'delete', collection: 'notes', id: '.a' }), InvalidEditError);
    const last = queue.append({ kind: 'put', collection: 'notes', id: 'a', payload: 1 });
    queue.close();
    assert.equal((await last).sequence, 1);
    queue.close();
    await assert.rejects(queue.append({ kind: 'delete', collection: 'notes', id: 'a' }), QueueClosedError);
    assert.throws(() => queue.nextBatch(), QueueClosedError);
  });
}
