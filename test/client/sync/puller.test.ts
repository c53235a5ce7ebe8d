// Pulling in pages (PROTOCOL 6): each is durable with its checkpoint, and whatever ends a pull, the next goes on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientClosedError } from '../../../client/errors.ts';
import type { PullAnswer } from '../../../client/sync/contract.ts';
import { SyncRefusedError, UnexpectedAnswerError } from '../../../client/sync/errors.ts';
import { Puller } from '../../../client/sync/puller.ts';
import type { Change, PullResponse } from '../../../protocol/messages.ts';
import { versionOf } from '../../../protocol/versions.ts';
import { NOW, settleNext, World } from '../queue/queues.ts';
import { rejection } from '../set-up.ts';
import { acceptAll, idsOf, ScriptedWire, setting, settled } from './world.ts';

let stamp = 0;

function change(id: string, payload: string | null = id): Change {
  stamp += 1;
  const version = versionOf({ ms: NOW + stamp, counter: 0 }, 'ffffffffffffffff');
  const named = { collection: 'notes', id, version };
  return payload === null ? { ...named, deleted: true } : { ...named, deleted: false, payload };
}

function page(changes: readonly Change[], rest: Partial<PullResponse> = {}, restoreEpoch = 0): PullAnswer {
  return {
    kind: 'page',
    page: { changes, cursor: 'c1', more: false, resync: false, ...rest },
    restoreEpoch,
  };
}

test('pages are asked for until there are no more, each from where the last one ended', async () => {
  const { wire, queue, puller, heard } = setting();
  const pulled = puller.pull();
  await settled();
  assert.equal(wire.lastPull.call.cursor, null);
  assert.equal(wire.lastPull.call.limit, 500);
  await wire.lastPull.answer(page([change('n1')], { cursor: 'c1', more: true, resync: true }));
  assert.equal(queue.cursor, 'c1');
  assert.equal(wire.lastPull.call.cursor, 'c1');
  await wire.lastPull.answer(page([change('n2'), change('n3')], { cursor: 'c2', resync: true }));
  assert.deepEqual(await pulled, { applied: 3, dropped: 0, complete: true });
  assert.equal(queue.cursor, 'c2');
  assert.equal(heard.pulled.length, 2);
  assert.equal(queue.get('notes', 'n2')?.payload, 'n2');
});

test('a crash between two pages: the next pull goes on from the last one that is durable', async () => {
  const { wire, disk, puller } = setting();
  void puller.pull().catch(() => undefined);
  await settled();
  await wire.lastPull.answer(page([change('n1')], { cursor: 'c1', more: true, resync: true }));
  const reopened = new World(7).open(disk.afterKill());
  const after = new ScriptedWire();
  const world = { wire: after, now: () => 0, random: () => 0, wait: () => Promise.resolve() };
  const pulled = new Puller({ queue: reopened, world }).pull();
  await settled();
  assert.equal(after.lastPull.call.cursor, 'c1');
  await after.lastPull.answer(page([change('n2')], { cursor: 'c2', resync: true }));
  assert.equal((await pulled).complete, true);
  assert.equal(reopened.get('notes', 'n1')?.payload, 'n1');
  assert.equal(reopened.get('notes', 'n2')?.payload, 'n2');
});

test('pulls at the same time are one; each counts from when it joined', async () => {
  const { wire, puller } = setting();
  const first = puller.pull();
  await settled();
  await wire.lastPull.answer(page([change('n1')], { more: true }));
  const second = puller.pull();
  await settled();
  assert.equal(wire.pulls.length, 2);
  await wire.lastPull.answer(page([change('n2')]));
  assert.equal((await first).applied, 2);
  assert.equal((await second).applied, 1);
  void puller.pull();
  await settled();
  assert.equal(wire.pulls.length, 3);
});

test('aborted by one of two, the pull goes on for the other; by both, it ends', async () => {
  const { wire, queue, puller, heard } = setting();
  const [a, b] = [new AbortController(), new AbortController()];
  const first = puller.pull(a.signal);
  const second = puller.pull(b.signal);
  await settled();
  await wire.lastPull.answer(page([change('n1')], { more: true }));
  a.abort();
  assert.deepEqual(await first, { applied: 1, dropped: 0, complete: false });
  assert.equal(wire.lastPull.call.signal.aborted, false);
  b.abort();
  assert.deepEqual(await second, { applied: 1, dropped: 0, complete: false });
  assert.equal(wire.lastPull.call.signal.aborted, true);
  await settled();
  assert.deepEqual(heard.degraded, []);
  // What comes after that goes on from there.
  const third = puller.pull();
  await settled();
  assert.equal(wire.lastPull.call.cursor, queue.cursor);
  await wire.lastPull.answer(page([]));
  assert.equal((await third).complete, true);
});

test('aborted before it began, a pull asks nothing', async () => {
  const { wire, puller } = setting();
  assert.equal((await puller.pull(AbortSignal.abort())).complete, false);
  assert.equal(wire.pulls.length, 0);
});

test('a page that comes after the pull was given up is not applied', async () => {
  const { wire, queue, puller } = setting();
  const abort = new AbortController();
  let answer: (answer: PullAnswer) => void = () => undefined;
  wire.pull = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const pulled = puller.pull(abort.signal);
  await settled();
  abort.abort();
  await pulled;
  answer(page([change('n1')]));
  await settled();
  assert.equal(queue.cursor, null);
});

test('a cursor that is too old: everything is pulled anew, and what did not come is dropped', async () => {
  const { wire, queue, puller } = setting();
  queue.applyPull({ changes: [change('gone'), change('kept')], cursor: 'c0', more: false, resync: false }, 0);
  const pulled = puller.pull();
  await settled();
  await wire.lastPull.answer({ kind: 'expired' });
  assert.equal(wire.lastPull.call.cursor, null);
  await wire.lastPull.answer(page([change('kept')], { resync: true }));
  assert.deepEqual(await pulled, { applied: 1, dropped: 1, complete: true });
  assert.equal(queue.get('notes', 'gone'), undefined);
});

test('a restore: kept operations wait again, lower versions are accepted, queued edits stay', async () => {
  const { wire, writer, queue, puller, heard } = setting();
  const early = change('n1', 'as restored');
  await writer.put(queue, 'n1', 'acknowledged');
  settleNext(queue);
  await writer.put(queue, 'n2', 'queued');
  const pulled = puller.pull();
  await settled();
  await wire.lastPull.answer({ kind: 'restored', restoreEpoch: 5 });
  assert.deepEqual(heard.restored, [1]);
  const { cursor, restoreEpoch } = wire.lastPull.call;
  assert.deepEqual([cursor, restoreEpoch], [null, 5]);
  await wire.lastPull.answer(page([early], { resync: true }, 5));
  assert.equal((await pulled).complete, true);
  assert.equal(queue.pending, 2);
  assert.equal(queue.get('notes', 'n2')?.payload, 'queued');
});

test('a page of the data before a restore is ignored when the sender heard of the restore meanwhile', async () => {
  const { wire, queue, sender, puller, put } = setting();
  await put('mine');
  const pulled = puller.pull();
  await settled();
  void sender.flush();
  await wire.lastPush.answer({ kind: 'restored', restoreEpoch: 5 });
  await wire.lastPull.answer(page([change('old')], {}, 0));
  assert.equal(queue.get('notes', 'old'), undefined);
  assert.equal(wire.lastPull.call.restoreEpoch, 5);
  await wire.lastPull.answer(page([], { resync: true }, 5));
  assert.equal((await pulled).applied, 0);
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
});

test('pull and flush go on beside one another', async () => {
  const { wire, queue, sender, puller, put } = setting();
  await put('mine');
  const flushed = sender.flush();
  const pulled = puller.pull();
  await settled();
  await wire.lastPull.answer(page([change('theirs')], { more: true }));
  await wire.lastPush.answer(acceptAll(wire.lastPush.call));
  await wire.lastPull.answer(page([change('theirs-too')]));
  assert.equal((await flushed).applied, 1);
  assert.equal((await pulled).applied, 2);
  assert.deepEqual(idsOf(wire.lastPush.call), ['mine']);
  assert.equal(queue.get('notes', 'mine')?.pending, false);
});

test('no answer: all who wait get the error, the next pull starts anew', async () => {
  const { wire, puller, heard } = setting();
  const both = [rejection(puller.pull()), rejection(puller.pull())];
  await settled();
  const error = new Error('no network');
  await wire.lastPull.fail(error);
  assert.deepEqual(await Promise.all(both), [error, error]);
  assert.equal(heard.degraded[0]?.because, 'unanswered');
  void puller.pull();
  await settled();
  assert.equal(wire.pulls.length, 2);
});

test('refused as a whole: the pull says why and the cursor stays', async () => {
  const { wire, queue, puller, heard } = setting();
  const pulled = rejection(puller.pull());
  await settled();
  await wire.lastPull.answer({ kind: 'refused', status: 403, code: 'forbidden', detail: 'no scope sync' });
  assert.ok((await pulled) instanceof SyncRefusedError);
  assert.equal(queue.cursor, null);
  assert.equal(heard.degraded[0]?.because, 'refused');
});

const SENSELESS: Readonly<Record<string, PullAnswer>> = {
  'a page that leads to itself': page([], { cursor: 'c0', more: true }),
  'a page of a lower epoch than was asked for': page([], {}, -1),
  'a restore to an epoch that is none': { kind: 'restored', restoreEpoch: 0 },
};

for (const [what, answer] of Object.entries(SENSELESS))
  test(`an answer that would go round without end is not believed: ${what}`, async () => {
    const { wire, queue, puller } = setting();
    queue.applyPull({ changes: [], cursor: 'c0', more: false, resync: false }, 0);
    const pulled = rejection(puller.pull());
    await settled();
    await wire.lastPull.answer(answer);
    assert.ok((await pulled) instanceof UnexpectedAnswerError);
    assert.equal(queue.cursor, 'c0');
  });

test('that no cursor is too old is not believed either', async () => {
  const { wire, puller } = setting();
  const pulled = rejection(puller.pull());
  await settled();
  await wire.lastPull.answer({ kind: 'expired' });
  assert.ok((await pulled) instanceof UnexpectedAnswerError);
});

test('closed during a pull: it rejects, its request is ended, and nothing is applied after that', async () => {
  const { wire, queue, puller } = setting();
  const pulled = rejection(puller.pull());
  await settled();
  await puller.close();
  assert.ok((await pulled) instanceof ClientClosedError);
  assert.equal(wire.lastPull.call.signal.aborted, true);
  assert.equal(queue.cursor, null);
  assert.ok((await rejection(puller.pull())) instanceof ClientClosedError);
});
