// What the sender makes of everything that goes wrong between the queue and the service. Nothing is ever lost by it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientClosedError, TokenError } from '../../../client/errors.ts';
import { QueueDiskError, QueueFullError } from '../../../client/queue/errors.ts';
import type { PushAnswer, PushCall } from '../../../client/sync/contract.ts';
import { SyncRefusedError, UnexpectedAnswerError } from '../../../client/sync/errors.ts';
import type { Verdict } from '../../../protocol/verdicts.ts';
import { MemoryDisk } from '../queue/memory-disk.ts';
import { applied } from '../queue/queues.ts';
import { rejection } from '../set-up.ts';
import { acceptAll, deferred, idsOf, setting, settled, verdicts } from './world.ts';

const refused = (status: number, code: string): PushAnswer => ({
  kind: 'refused',
  status,
  code,
  detail: 'the test says so',
});

test('without an answer the batch waits, longer each time, and one batch finds out whether things are better', async () => {
  const { wire, time, sender, heard, putMany } = setting();
  await putMany(1_000);
  const flushed = sender.flush();
  assert.equal(wire.pushes.length, 4);
  // All four fail for one reason: that counts once.
  for (const push of wire.pushes.slice(0, 4)) await push.fail(new Error('no network'));
  assert.equal(heard.degraded.length, 4);
  assert.equal(heard.degraded[0]?.because, 'unanswered');
  await time.advance(249);
  assert.equal(wire.pushes.length, 4);
  await time.advance(1);
  assert.equal(wire.pushes.length, 5);
  await wire.lastPush.fail(new Error('no network'));
  await time.advance(499);
  assert.equal(wire.pushes.length, 5);
  await time.advance(1);
  assert.equal(wire.pushes.length, 6);
  wire.onPush = acceptAll;
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.equal((await flushed).applied, 1_000);
});

test('without a network a flush goes on trying, at most every half minute, until its signal fires', async () => {
  const { wire, time, queue, sender, put } = setting({ random: () => 0.999 });
  await put('n1');
  const abort = new AbortController();
  const flushed = sender.flush(abort.signal);
  wire.onPush = () => Promise.reject(new Error('no network'));
  await wire.lastPush.fail(new Error('no network'));
  await time.advance(600_000);
  assert.ok(wire.pushes.length >= 600 / 30 && wire.pushes.length <= 600 / 30 + 8, `${wire.pushes.length}`);
  abort.abort();
  assert.equal((await flushed).applied, 0);
  assert.equal(queue.pending, 1);
  assert.equal(time.timers, 0);
});

test('when the service is said to be back the pause ends', async () => {
  const { wire, sender, put } = setting({ random: () => 0.999 });
  await put('n1');
  void sender.flush();
  await wire.lastPush.fail(new Error('no network'));
  assert.equal(wire.pushes.length, 1);
  sender.retryNow();
  assert.equal(wire.pushes.length, 2);
});

test('a flush does not wait for the end of a pause that the background is in', async () => {
  const { wire, time, sender, put } = setting({ random: () => 0.999 });
  wire.onPush = () => Promise.reject(new Error('no network'));
  sender.start();
  await put('n1');
  await time.advance(300_000);
  const before = wire.pushes.length;
  wire.onPush = acceptAll;
  assert.equal((await sender.flush()).applied, 1);
  assert.equal(wire.pushes.length, before + 1);
});

test('a lost answer: the operation is sent again under the same name, and a duplicate settles it', async () => {
  const { wire, time, queue, sender, put } = setting();
  const { session, sequence, version } = await put('n1');
  const flushed = sender.flush();
  await wire.lastPush.fail(new Error('the answer was lost'));
  await time.advance(500);
  const [again] = wire.lastPush.call.operations;
  assert.deepEqual([again?.session, again?.sequence, again?.version], [session, sequence, version]);
  await wire.lastPush.answer(
    verdicts(wire.lastPush.call.operations, () => ({ session, sequence, verdict: 'duplicate', version })),
  );
  assert.equal((await flushed).duplicate, 1);
  assert.equal(queue.pending, 0);
});

const WRONG: Readonly<Record<string, (right: Verdict[]) => Verdict[]>> = {
  'one is missing': (right) => right.slice(1),
  'one is there twice': ([first, ...others]) => [first, first, ...others] as Verdict[],
  'one stands in for another': ([first, , ...others]) => [first, first, ...others] as Verdict[],
  'one is on an operation of another session': ([first, ...others]) =>
    [{ ...first, session: 'f'.repeat(32) }, ...others] as Verdict[],
  'one is on another sequence': ([first, ...others]) => [{ ...first, sequence: 99 }, ...others] as Verdict[],
};

for (const [what, distort] of Object.entries(WRONG))
  test(`an answer whose verdicts do not match settles nothing: ${what}`, async () => {
    const { wire, time, queue, sender, heard, putMany } = setting();
    await putMany(3);
    void sender.flush();
    await wire.lastPush.answer({
      kind: 'verdicts',
      verdicts: distort(wire.lastPush.call.operations.map(applied)),
      restoreEpoch: 0,
    });
    assert.equal(queue.pending, 3);
    assert.ok(heard.degraded[0]?.error instanceof UnexpectedAnswerError);
    await time.advance(500);
    assert.equal(wire.pushes.length, 2);
  });

test('verdicts in another order than asked are each taken for their own operation', async () => {
  const { wire, queue, sender, putMany } = setting();
  await putMany(3);
  const flushed = sender.flush();
  const [first, ...others] = wire.lastPush.call.operations;
  assert.ok(first);
  const { session, sequence } = first;
  const right: Verdict[] = [
    { session, sequence, verdict: 'rejected', reason: 'invalid', detail: '' },
    ...others.map(applied),
  ];
  await wire.lastPush.answer({ kind: 'verdicts', verdicts: right.reverse(), restoreEpoch: 0 });
  await flushed;
  assert.deepEqual(
    [...queue.quarantine()].map((it) => it.edit.id),
    ['n0'],
  );
});

test('a service restored to an epoch that is none is not believed', async () => {
  const { wire, queue, sender, heard, put } = setting();
  await put('n1');
  void sender.flush();
  await wire.lastPush.answer({ kind: 'restored', restoreEpoch: 0 });
  assert.equal(queue.pending, 1);
  assert.ok(heard.degraded[0]?.error instanceof UnexpectedAnswerError);
});

for (const [status, code] of [
  [400, 'invalid_request'],
  [413, 'too_large'],
] as const)
  test(`a batch refused with ${status} is cut down until the operation at fault stands alone, and all others go through`, async () => {
    const { wire, queue, sender, heard, putMany } = setting();
    const isPoisoned = (call: PushCall) => call.operations.some(({ id }) => id === 'n60');
    wire.onPush = (call) => (isPoisoned(call) ? refused(status, code) : acceptAll(call));
    await putMany(300);
    const error = await rejection(sender.flush());
    assert.ok(error instanceof SyncRefusedError);
    assert.equal(error.status, status);
    assert.match(error.message, /notes\/n60/);
    await sender.flush(AbortSignal.timeout(20));
    assert.equal(queue.pending, 1);
    assert.equal(queue.quarantined, 0);
    assert.ok(wire.pushes.length < 40, `${wire.pushes.length} requests`);
    assert.equal(heard.degraded.filter(({ because }) => because === 'refused').length, 1);
  });

test('a service that refuses the requests, whatever is in them, ends the flush; nothing is dropped', async () => {
  const { wire, queue, sender, putMany } = setting();
  wire.onPush = () => refused(403, 'forbidden');
  await putMany(100);
  const error = await rejection(sender.flush());
  assert.ok(error instanceof SyncRefusedError && error.problem === 'forbidden');
  assert.equal(queue.pending, 100);
  assert.equal(wire.pushes.length, 1);
  wire.onPush = acceptAll;
  assert.equal((await sender.flush()).applied, 100);
});

test('a token that is refused ends the flush with TokenError; in the background it is tried again', async () => {
  const { wire, time, queue, sender, heard, put } = setting();
  wire.onPush = () => Promise.reject(new TokenError('refused', []));
  sender.start();
  await put('n1');
  assert.ok((await rejection(sender.flush())) instanceof TokenError);
  assert.equal(queue.pending, 1);
  assert.equal(heard.degraded[0]?.because, 'refused');
  wire.onPush = acceptAll;
  await time.advance(1_000);
  assert.equal(queue.pending, 0);
});

test('a store that is down for every key is not asked for key after key', async () => {
  const { wire, time, queue, sender, putMany } = setting({ random: () => 0.999 });
  wire.onPush = (call) => verdicts(call.operations, (it) => deferred(it));
  await putMany(2_000);
  void sender.flush();
  await time.advance(60_000);
  assert.equal(queue.pending, 2_000);
  assert.ok(wire.pushes.length < 16, `${wire.pushes.length} requests`);
  wire.onPush = acceptAll;
  await time.advance(60_000);
  assert.equal(queue.pending, 0);
});

test('aborted: the flush resolves at once, no further batch leaves, and what is under way still settles', async () => {
  const { wire, queue, sender, putMany } = setting();
  await putMany(600);
  const abort = new AbortController();
  const flushed = sender.flush(abort.signal);
  await wire.pushes[0]?.answer(acceptAll(wire.pushes[0].call));
  assert.equal(wire.pushes.length, 5);
  abort.abort();
  assert.equal((await flushed).applied, 100);
  await wire.pushes[1]?.answer(acceptAll(wire.pushes[1].call));
  assert.equal(wire.pushes.length, 5);
  assert.equal(queue.pending, 400);
});

test('aborted before it began, a flush sends nothing', async () => {
  const { wire, sender, put } = setting();
  await put('n1');
  await sender.flush(AbortSignal.abort());
  assert.equal(wire.pushes.length, 0);
});

test('one flush that is aborted does not disturb another', async () => {
  const { wire, sender, putMany } = setting();
  await putMany(600);
  const abort = new AbortController();
  const first = sender.flush(abort.signal);
  const second = sender.flush();
  abort.abort();
  await first;
  wire.onPush = acceptAll;
  for (const push of wire.pushes.slice(0, 4)) await push.answer(acceptAll(push.call));
  assert.equal((await second).applied, 600);
});

test('closed during a flush: it rejects, requests are ended, an answer that comes late settles nothing', async () => {
  const { wire, time, queue, sender, put } = setting();
  await put('n1');
  const flushed = rejection(sender.flush());
  const closed = sender.close();
  assert.ok((await flushed) instanceof ClientClosedError);
  await closed;
  assert.equal(wire.lastPush.call.signal.aborted, true);
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.equal(queue.pending, 1);
  assert.ok((await rejection(sender.flush())) instanceof ClientClosedError);
  sender.notify();
  await time.advance(60_000);
  assert.equal(wire.pushes.length, 1);
});

test('an answer that comes between close and the end of its request is left alone', async () => {
  const { wire, queue, sender, put } = setting();
  let answer: (answer: PushAnswer) => void = () => undefined;
  // A wire that does not mind the signal.
  wire.push = (call) => {
    wire.pushes.push({ call, answer: settled, fail: settled });
    return new Promise((resolve) => {
      answer = resolve;
    });
  };
  await put('n1');
  const flushed = rejection(sender.flush());
  const closed = sender.close();
  await flushed;
  answer(acceptAll(wire.lastPush.call));
  await closed;
  assert.equal(queue.pending, 1);
});

test('a full disk stops neither sending nor later settling', async () => {
  let isFull = false;
  const { wire, time, queue, sender, heard, put } = setting({
    disk: new MemoryDisk({ isFull: () => isFull }),
  });
  await put('n1');
  const flushed = sender.flush();
  isFull = true;
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  assert.equal(queue.pending, 1);
  assert.ok(heard.degraded[0]?.error instanceof QueueFullError);
  assert.equal(heard.degraded[0].because, 'queue');
  isFull = false;
  wire.onPush = acceptAll;
  await time.advance(500);
  assert.equal((await flushed).applied, 1);
});

test('a disk that fails ends everything with its error, and says so once', async () => {
  const broken = new QueueDiskError('memory', 'the disk is gone');
  let fails = false;
  const disk = new MemoryDisk({
    at: (step) => {
      if (fails && step === 'commit') throw broken;
    },
  });
  const { wire, time, sender, heard, putMany } = setting({ disk });
  await putMany(200);
  const flushed = rejection(sender.flush());
  fails = true;
  await wire.pushes[0]?.answer(acceptAll(wire.pushes[0].call));
  assert.equal(await flushed, broken);
  assert.equal(await rejection(sender.flush()), broken);
  assert.equal(wire.pushes[1]?.call.signal.aborted, true);
  await time.advance(60_000);
  assert.equal(wire.pushes.length, 2);
  assert.equal(heard.degraded.length, 1);
});

test('a batch that takes long makes the next ones smaller, and quick ones make them grow again', async () => {
  const { wire, time, sender, putMany } = setting({ options: { batchesInFlightMax: 1 } });
  await putMany(1_000);
  void sender.flush();
  const sizes: number[] = [];
  const round = async (ms: number) => {
    sizes.push(wire.lastPush.call.operations.length);
    await time.advance(ms);
    await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  };
  for (const ms of [2_001, 2_500, 2_100, 1_999, 500, 500]) await round(ms);
  assert.deepEqual(sizes, [100, 50, 25, 12, 19, 26]);
});

test('hooks that throw are heard of and disturb nothing', async (t) => {
  const { wire, queue, writer, sender } = setting();
  await sender.close();
  const { Sender } = await import('../../../client/sync/sender.ts');
  const thrown: unknown[] = [];
  const keep = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => thrown.push(error));
  t.after(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of keep) process.on('uncaughtException', listener);
  });
  const mistake = new Error('a mistake of the application');
  const world = { wire, now: () => 0, random: () => 0.5, wait: () => new Promise<void>(() => undefined) };
  const faulty = new Sender({
    queue,
    world,
    hooks: {
      settled: () => {
        throw mistake;
      },
    },
  });
  await writer.put(queue, 'n1', 1);
  wire.onPush = acceptAll;
  assert.equal((await faulty.flush()).applied, 1);
  await settled();
  assert.deepEqual(thrown, [mistake]);
});

test('what an abandoned batch held is free at once for the next one', async () => {
  const { wire, time, sender, put } = setting();
  await put('n1', 1);
  void sender.flush();
  await put('n1', 2);
  assert.equal(wire.pushes.length, 1);
  await wire.lastPush.fail(new Error('given up'));
  await time.advance(500);
  assert.deepEqual(idsOf(wire.lastPush.call), ['n1', 'n1']);
});
