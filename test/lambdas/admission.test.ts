// Who is let in: restore epochs both ways, and the closed table (PROTOCOL 1.4, §8).
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { admit } from '../../lambdas/core/admission.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { GENERATION_KEY } from '../../protocol/items.ts';
import { parseRestoreEpoch } from '../../protocol/messages.ts';
import type { RunningTable } from '../../rehearsal/aws/start-table.ts';
import { Device, EPOCH, Functions, openTable } from './functions.ts';

let running: RunningTable;
let functions: Functions;
before(async () => {
  running = await openTable();
});
beforeEach(async () => {
  functions?.close();
  functions = new Functions({ running });
  await functions.open();
});
after(async () => {
  functions.close();
  await running.close();
});

const push = (epoch: string | undefined, on = functions) =>
  on.push('acme', [new Device().put(`a-${Math.random()}`, 1)], { 'eden-restore-epoch': epoch as string });

test('a request that knows the current epoch is served, and its answer carries it', async () => {
  const reply = await push(String(EPOCH));
  assert.deepEqual([reply.status, reply.headers['eden-restore-epoch']], [200, String(EPOCH)]);
});

for (const epoch of ['0', '1', String(EPOCH - 1)])
  test(`a client that knows of epoch ${epoch} only is told the current one, and nothing is processed`, async () => {
    const device = new Device();
    const reply = await functions.push('acme', [device.put(`b-${epoch}`, 1)], {
      'eden-restore-epoch': epoch,
    });
    assert.deepEqual([reply.status, reply.body.code], [409, 'restore_epoch']);
    assert.equal(reply.headers['eden-restore-epoch'], String(EPOCH));
    assert.equal((await functions.record('GET', 'acme', `b-${epoch}`)).status, 404);
    assert.equal((await functions.pull('acme', {}, { 'eden-restore-epoch': epoch })).status, 409);
  });

for (const epoch of ['', '-1', '01', '1.0', '1e3', 'x', '9'.repeat(16)])
  test(`the epoch ${JSON.stringify(epoch)} is 400`, async () => {
    assert.equal((await push(epoch)).status, 400);
  });

test('sync without an epoch is 400; records without one are served', async () => {
  const reply = await functions.call('GET', '/v1/sync/pull', { tenant: 'acme' });
  assert.deepEqual([reply.status, reply.body.code], [400, 'invalid_request']);
  const put = await functions.record('PUT', 'acme', 'a', { body: 1 });
  assert.deepEqual([put.status, put.headers['eden-restore-epoch']], [201, String(EPOCH)]);
});

test('records check an epoch that is there', async () => {
  const headers = { 'eden-restore-epoch': String(EPOCH - 1) };
  for (const method of ['GET', 'PUT', 'DELETE'])
    assert.equal(
      (await functions.record(method, 'acme', 'a', { headers, ...(method === 'PUT' && { body: 1 }) })).status,
      409,
    );
});

test('a client that knows of a later restore makes the function read again; it is served once that is true', async () => {
  assert.equal((await push(String(EPOCH))).status, 200);
  await functions.open({ restoreEpoch: EPOCH + 5 });
  const reply = await push(String(EPOCH + 5));
  assert.deepEqual([reply.status, reply.headers['eden-restore-epoch']], [200, String(EPOCH + 5)]);
});

test('a client ahead of the table itself gets 503 closed', async () => {
  const reply = await push(String(EPOCH + 1));
  assert.deepEqual([reply.status, reply.body.code, reply.headers['retry-after']], [503, 'closed', '1']);
});

test('a table without a generation item, or being restored, is closed to everything', async () => {
  const empty = await openTable();
  const unopened = new Functions({ running: empty });
  for (const status of [undefined, 'restoring']) {
    if (status) await unopened.open({ status });
    unopened.offsetMs += 5_000;
    for (const reply of [
      await push(String(EPOCH), unopened),
      await unopened.pull('acme'),
      await unopened.record('GET', 'acme', 'a'),
      await unopened.record('PUT', 'acme', 'a', { body: 1 }),
      await unopened.record('DELETE', 'acme', 'a'),
    ])
      assert.deepEqual([reply.status, reply.body.code], [503, 'closed']);
  }
  unopened.close();
  await empty.close();
});

test('a copy of the generation item admits nothing once it is 5 s old', async () => {
  assert.equal((await push(String(EPOCH))).status, 200);
  await functions.open({ status: 'restoring' });
  functions.offsetMs = 3_000;
  assert.equal((await push(String(EPOCH))).status, 200);
  functions.offsetMs = 5_100;
  assert.equal((await push(String(EPOCH))).status, 503);
});

test('an edit whose base is gone is not written into a table that has just lost everything, however young the copy', async () => {
  const device = new Device();
  const first = device.put('lost', 1);
  assert.equal((await functions.push('acme', [first])).body.verdicts[0]?.verdict, 'applied');
  await running.table.wipe();
  const { status, body } = await functions.push('acme', [device.put('lost', 2, { base: first.version })]);
  assert.equal(status, 200, 'admitted: the copy is younger than 5 s');
  assert.deepEqual(
    body.verdicts.map((it) => ('reason' in it ? it.reason : it.verdict)),
    ['store_unavailable'],
  );
  await functions.open();
  functions.offsetMs = 5_100;
  assert.equal((await functions.record('GET', 'acme', 'lost')).status, 404);
});

test('closing stops a batch between two attempts: what was not tried yet is deferred', async () => {
  const device = new Device();
  const closing = new Functions({
    running,
    wrap: (store) => ({
      ...store,
      async write(write) {
        const outcome = await store.write(write);
        // Closed now, and noticed as soon as the copy is too old.
        await closing.open({ status: 'restoring' });
        closing.offsetMs += 5_000;
        return outcome;
      },
    }),
  });
  const first = device.put('x', 1);
  const second = device.put('x', 2, { base: first.version });
  const { body, headers } = await closing.push('acme', [first, second]);
  assert.deepEqual(
    body.verdicts.map((it) => ('reason' in it ? it.reason : it.verdict)),
    ['applied', 'store_unavailable'],
  );
  assert.equal(headers['eden-restore-epoch'], String(EPOCH), 'the epoch it was admitted under');
  closing.close();
});

test('many requests at once share one reading of the generation item', async () => {
  let reads = 0;
  const counting = new Functions({
    running,
    wrap: (store) => ({
      ...store,
      generation() {
        reads += 1;
        return store.generation();
      },
    }),
  });
  await Promise.all(Array.from({ length: 10 }, () => push(String(EPOCH), counting)));
  assert.equal(reads, 1);
  counting.close();
});

test('a generation item that cannot be read is 503, never an admission', async () => {
  const blind = new Functions({
    running,
    wrap: (store) => ({
      ...store,
      async generation() {
        throw new StoreUnavailableError('cut off', { retryable: true, mayHaveLanded: false });
      },
    }),
  });
  const reply = await push(String(EPOCH), blind);
  assert.deepEqual([reply.status, reply.body.code], [503, 'store_unavailable']);
  blind.close();
});

test('admission as a table', () => {
  const open = { status: 'open', restoreEpoch: 5 } as const;
  assert.equal(admit(undefined, 5).kind, 'closed');
  assert.equal(admit(undefined, undefined).kind, 'closed');
  assert.equal(admit({ ...open, status: 'restoring' }, 5).kind, 'closed');
  assert.deepEqual(admit(open, 5), { kind: 'admitted', restoreEpoch: 5 });
  assert.deepEqual(admit(open, undefined), { kind: 'admitted', restoreEpoch: 5 });
  assert.deepEqual(admit(open, 4), { kind: 'behind', restoreEpoch: 5 });
  assert.equal(admit(open, 6).kind, 'ahead');
  assert.equal(parseRestoreEpoch('1700000000000'), 1_700_000_000_000);
  assert.deepEqual(GENERATION_KEY, { pk: 'CONTROL#generation', sk: 'STATE' });
});
