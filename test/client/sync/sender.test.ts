// What leaves when, in which company, and what verdicts make of it (PROTOCOL §5).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Version, versionOf } from '../../../protocol/versions.ts';
import { applied, NOW, rejected } from '../queue/queues.ts';
import { acceptAll, deferred, idsOf, setting, settled, verdicts } from './world.ts';

const OTHERS = versionOf({ ms: NOW + 5, counter: 0 }, 'ffffffffffffffff');

test('a batch leaves when 100 operations wait', async () => {
  const { wire, sender, putMany, put } = setting();
  sender.start();
  await putMany(99);
  assert.equal(wire.pushes.length, 0);
  await put('last');
  assert.equal(wire.pushes.length, 1);
  assert.equal(wire.lastPush.call.operations.length, 100);
});

test('a batch leaves when its oldest operation has waited 5 s, whatever came after it', async () => {
  const { wire, time, sender, put } = setting();
  sender.start();
  await put('n1');
  await time.advance(3_000);
  await put('n2');
  await time.advance(1_999);
  assert.equal(wire.pushes.length, 0);
  await time.advance(1);
  assert.deepEqual(idsOf(wire.lastPush.call), ['n1', 'n2']);
});

test('what a crash left leaves at once', async () => {
  const { sender, wire, queue, writer } = setting();
  await writer.put(queue, 'n1', 1);
  sender.start();
  await settled();
  assert.equal(wire.pushes.length, 1);
});

test('without start and flush nothing leaves', async () => {
  const { wire, time, putMany } = setting();
  await putMany(250);
  await time.advance(60_000);
  assert.equal(wire.pushes.length, 0);
  assert.equal(time.timers, 0);
});

test('flush sends at once, until nothing waits, and counts each verdict', async () => {
  const { wire, queue, sender, put, putMany } = setting();
  await putMany(3);
  const flushed = sender.flush();
  const [first, second, third] = wire.lastPush.call.operations;
  assert.ok(first && second && third);
  // Appended meanwhile: it is waited for too.
  await put('late');
  const { session, sequence } = second;
  const lost = { session, sequence, verdict: 'superseded', version: OTHERS } as const;
  await wire.pushes[0]?.answer({
    kind: 'verdicts',
    verdicts: [applied(first), lost, rejected(third)],
    restoreEpoch: 0,
  });
  wire.onPush = acceptAll;
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.deepEqual(await flushed, {
    applied: 2,
    duplicate: 0,
    superseded: 1,
    deferred: 0,
    rejected: 1,
    clock_ahead: 0,
  });
  assert.equal(queue.pending, 0);
  assert.equal(queue.quarantined, 1);
});

test('flush with nothing to send resolves at once', async () => {
  const { sender, wire, heard } = setting();
  assert.equal((await sender.flush()).applied, 0);
  assert.equal(wire.pushes.length, 0);
  assert.equal(heard.idle, 0);
});

test('several batches are under way at once, of different keys and no more than allowed', async () => {
  const { wire, sender, putMany } = setting();
  await putMany(700);
  void sender.flush();
  assert.equal(wire.pushes.length, 4);
  const keys = wire.pushes.flatMap(({ call }) => idsOf(call));
  assert.equal(new Set(keys).size, 400);
  await wire.pushes[2]?.answer(acceptAll(wire.pushes[2].call));
  assert.equal(wire.pushes.length, 5);
});

test('a key is never in two batches at once: its next operations leave when the verdicts on the first are durable', async () => {
  const { wire, sender, put } = setting({ options: { batchOperationsMax: 2 } });
  await put('n1', 1);
  await put('n1', 2);
  await put('n1', 3);
  await put('n2', 1);
  void sender.flush();
  assert.deepEqual(
    wire.pushes.map(({ call }) => idsOf(call)),
    [['n1', 'n1'], ['n2']],
  );
  await wire.pushes[1]?.answer(acceptAll(wire.pushes[1].call));
  assert.equal(wire.pushes.length, 2);
  await wire.pushes[0]?.answer(acceptAll(wire.pushes[0].call));
  const [third] = wire.lastPush.call.operations;
  assert.equal(third?.kind === 'put' && third.payload, 3);
  assert.equal(third?.base, wire.pushes[0]?.call.operations[1]?.version);
});

test('a deferred operation waits by itself, its chain behind it and other keys not', async () => {
  const { wire, time, sender, put } = setting();
  await put('stuck', 1);
  await put('stuck', 2);
  await put('free');
  const flushed = sender.flush();
  await wire.lastPush.answer(
    verdicts(wire.lastPush.call.operations, (operation) =>
      operation.id === 'free'
        ? applied(operation)
        : deferred(operation, operation.sequence === 1 ? 'no_quorum' : 'predecessor'),
    ),
  );
  await put('later');
  assert.deepEqual(idsOf(wire.lastPush.call), ['later']);
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.equal(wire.pushes.length, 2);
  // The dice show a half: 125 of at most 250 ms.
  await time.advance(125);
  assert.equal(wire.pushes.length, 3);
  assert.deepEqual(idsOf(wire.lastPush.call), ['stuck', 'stuck']);
  await wire.lastPush.answer(verdicts(wire.lastPush.call.operations, (it) => deferred(it, 'no_quorum')));
  await time.advance(249);
  assert.equal(wire.pushes.length, 3);
  await time.advance(1);
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.deepEqual({ ...(await flushed) }, { ...(await flushed), applied: 4, deferred: 4 });
});

test('a rejected operation goes to quarantine and what is behind it on the key leaves at once', async () => {
  const { wire, queue, sender, heard, put } = setting();
  await put('n1', 1);
  await put('n1', 2);
  const flushed = sender.flush();
  await wire.lastPush.answer(
    verdicts(wire.lastPush.call.operations, (operation) =>
      operation.sequence === 1 ? rejected(operation) : deferred(operation, 'predecessor'),
    ),
  );
  assert.equal(wire.pushes.length, 2);
  assert.equal(queue.quarantined, 1);
  assert.equal(heard.settlements[0]?.rejected[0]?.id, 'n1');
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.equal((await flushed).rejected, 1);
});

test('a superseded operation is reported with what is stored', async () => {
  const { wire, sender, heard, put } = setting();
  await put('n1');
  const flushed = sender.flush();
  await wire.lastPush.answer(
    verdicts(wire.lastPush.call.operations, ({ session, sequence }) => ({
      session,
      sequence,
      verdict: 'superseded',
      version: OTHERS,
    })),
  );
  await flushed;
  assert.equal(heard.settlements[0]?.superseded[0]?.stored, OTHERS);
});

test('a clock ahead: the chain is stamped anew and sent again; with a stored version ahead it waits for that first', async () => {
  const { wire, time, writer, sender, put } = setting();
  writer.nowMs = NOW + 3_600_000;
  const { version } = await put('n1');
  void sender.flush();
  const ahead = (serverTimeMs: number, stored?: Version) =>
    verdicts(wire.lastPush.call.operations, ({ session, sequence }) => ({
      session,
      sequence,
      verdict: 'clock_ahead',
      serverTimeMs,
      ...(stored ? { version: stored } : {}),
    }));
  await wire.lastPush.answer(ahead(NOW));
  await time.advance(250);
  assert.equal(wire.pushes.length, 2);
  const again = wire.lastPush.call.operations[0];
  assert.ok(again && again.version < version);
  assert.equal(again.sequence, 1);
  await wire.lastPush.answer(ahead(NOW, versionOf({ ms: NOW + 70_000, counter: 0 }, 'ffffffffffffffff')));
  await time.advance(9_999);
  assert.equal(wire.pushes.length, 2);
  await time.advance(2);
  assert.equal(wire.pushes.length, 3);
});

test('an answer of a lower restore epoch than is known settles nothing', async () => {
  const { wire, queue, sender, putMany } = setting({ options: { batchOperationsMax: 1 } });
  await putMany(2);
  const flushed = sender.flush();
  const [first, second] = wire.pushes;
  assert.ok(first && second);
  await second.answer(verdicts(second.call.operations, applied, 7));
  assert.equal(queue.restoreEpoch, 7);
  await first.answer(verdicts(first.call.operations, applied, 0));
  assert.equal(queue.pending, 1);
  assert.equal(wire.pushes.length, 3);
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.equal((await flushed).applied, 2);
});

test('a restore in the middle: what was kept is sent again, marked and ahead of what waits', async () => {
  const { wire, queue, sender, heard, put } = setting();
  await put('n1');
  void sender.flush();
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  await put('n2');
  const flushed = sender.flush();
  await wire.lastPush.answer({ kind: 'restored', restoreEpoch: 9 });
  assert.deepEqual(heard.restored, [1]);
  assert.equal(queue.cursor, null);
  const { operations, restoreEpoch } = wire.lastPush.call;
  assert.equal(restoreEpoch, 9);
  assert.deepEqual(
    operations.map(({ id, replayed }) => [id, replayed]),
    [
      ['n1', true],
      ['n2', undefined],
    ],
  );
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.equal((await flushed).applied, 2);
});

test('metrics: size and latency of every batch that was answered', async () => {
  const { wire, time, sender, heard, putMany } = setting();
  await putMany(3);
  const flushed = sender.flush();
  await time.advance(40);
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  await flushed;
  assert.deepEqual(heard.metrics, [
    ['sync_batch_size', 3],
    ['sync_batch_latency', 40],
  ]);
});

test('idle is reported once when everything is settled, not while something waits', async () => {
  const { wire, time, sender, heard, put } = setting();
  wire.onPush = acceptAll;
  sender.start();
  await put('n1');
  assert.equal(heard.idle, 0);
  await time.advance(5_000);
  assert.equal(heard.idle, 1);
  await time.advance(60_000);
  assert.equal(heard.idle, 1);
  assert.equal(time.timers, 0);
});

test('operations on one key appended without end still leave every 5 s', async () => {
  const { wire, time, sender, put } = setting();
  wire.onPush = acceptAll;
  sender.start();
  for (let second = 0; second < 30; second++) {
    await put('hot', second);
    await time.advance(1_000);
  }
  const sizes = wire.pushes.map(({ call }) => call.operations.length);
  assert.ok(sizes.length >= 5 && sizes.length <= 7, `${sizes}`);
});

test('while answers take their time, what comes meanwhile still waits for company', async () => {
  const { wire, time, sender, putMany } = setting();
  wire.onPush = async (call) => {
    await time.wait(50);
    return acceptAll(call);
  };
  sender.start();
  for (let round = 0; round < 250; round++) {
    await putMany(1, `n${round}-`);
    await time.advance(40);
  }
  await time.advance(6_000);
  const sizes = wire.pushes.map(({ call }) => call.operations.length);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    250,
  );
  assert.ok(sizes.length <= 4, `${sizes}`);
});
