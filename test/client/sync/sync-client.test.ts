// The client as an application has it: on a file, over HTTP to local regions.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  ClientClosedError,
  InvalidEditError,
  openSyncClient,
  QueueClosedError,
  QueueLockedError,
  type SyncClientOptions,
  type SyncEvents,
} from '../../../client/index.ts';
import type { Operation } from '../../../protocol/operations.ts';
import type { Verdict } from '../../../protocol/verdicts.ts';
import { asVersion } from '../../../protocol/versions.ts';
import { applied, folderOf, rejected } from '../queue/queues.ts';
import { answering, type Behaviour } from '../regions.ts';
import { localRegionOf, rejection, until } from '../set-up.ts';

const STORED = asVersion('0197a0000000-0000-ffffffffffffffff');

/** Takes whatever comes, and has nothing to pull. */
function service(verdictOf: (operation: Operation) => Verdict = applied): Behaviour {
  return (request, response, body) => {
    const content = request.url?.startsWith('/v1/sync/pull')
      ? { changes: [], cursor: 'c', more: false, resync: true }
      : { verdicts: (JSON.parse(body).operations as Operation[]).map(verdictOf) };
    answering(200, { 'eden-restore-epoch': '0' }, JSON.stringify(content))(request, response, body);
  };
}

async function open(t: TestContext, behaviour: Behaviour, options: Partial<SyncClientOptions> = {}) {
  const region = await localRegionOf(t, behaviour);
  const path = options.path ?? join(folderOf(t), 'field.db');
  const client = await openSyncClient({ path, endpoints: [region.url], autoSync: false, ...options });
  t.after(() => client.close());
  return { region, client, path };
}

test('an edit is visible at once, pending until the service has it, and durable without any network', async (t) => {
  const { client, region, path } = await open(t, service());
  const { sequence, version } = await client.put('notes', 'n1', { text: 'hello' });
  assert.equal(sequence, 1);
  assert.deepEqual(client.get('notes', 'n1'), { payload: { text: 'hello' }, version, pending: true });
  assert.equal(client.pending, 1);
  await client.close();
  const again = await openSyncClient({ path, endpoints: [region.url], autoSync: false });
  t.after(() => again.close());
  assert.equal(again.recovered, 1);
  assert.equal((await again.flush()).applied, 1);
  assert.equal(again.get('notes', 'n1')?.pending, false);
  await again.delete('notes', 'n1');
  assert.equal(again.get('notes', 'n1'), undefined);
  await again.verify();
  assert.equal(again.counts.operationsSettled, 1);
  assert.equal(again.counts.requests.attempts, 1);
  assert.equal(again.endpoints[0]?.endpoint, region.url);
});

test('what a crash had left is told, and sent by itself', async (t) => {
  const { client, region, path } = await open(t, service());
  await client.put('notes', 'n1', 1);
  await client.close();
  const again = await openSyncClient({ path, endpoints: [region.url] });
  t.after(() => again.close());
  const heard: SyncEvents['recovered'][] = [];
  again.on('recovered', (event) => heard.push(event));
  await until(() => again.pending === 0);
  assert.deepEqual(heard, [{ operations: 1, because: 'reopened' }]);
});

test('in the background a batch leaves when its time has come', async (t) => {
  const { client, region } = await open(t, service(), { autoSync: true, batchWaitMs: 30 });
  await Promise.all([client.put('notes', 'n1', 1), client.put('notes', 'n2', 2)]);
  await until(() => client.pending === 0);
  assert.equal(region.received.length, 1);
});

test('events: progress, conflict, rejected; what a listener does not want it ends', async (t) => {
  const verdictOf = (operation: Operation): Verdict =>
    operation.id === 'bad'
      ? rejected(operation)
      : operation.id === 'lost'
        ? {
            ...applied(operation),
            verdict: 'superseded',
            version: STORED,
          }
        : applied(operation);
  const { client } = await open(t, service(verdictOf));
  const heard: string[] = [];
  client.on('progress', ({ pending, settled }) => heard.push(`progress ${pending} ${settled}`));
  client.on('conflict', ({ id, stored }) => heard.push(`conflict ${id} ${stored.slice(0, 12)}`));
  client.on('rejected', ({ id, reason }) => heard.push(`rejected ${id} ${reason}`));
  const end = client.on('rejected', () => heard.push('not wanted'));
  end();
  await Promise.all(['good', 'bad', 'lost'].map((id) => client.put('notes', id, id)));
  const result = await client.flush();
  assert.deepEqual([result.applied, result.rejected, result.superseded], [1, 1, 1]);
  assert.deepEqual(heard, ['conflict lost 0197a0000000', 'rejected bad invalid', 'progress 0 3']);
  assert.throws(() => client.on('nothing' as 'progress', () => undefined), RangeError);
});

test('quarantine: listed with the reason, resubmitted as a new operation, discarded', async (t) => {
  let refuses = true;
  const { client } = await open(t, (request, response, body) =>
    service(refuses ? rejected : applied)(request, response, body),
  );
  await client.put('notes', 'n1', 1);
  await client.put('notes', 'n2', 2);
  await client.flush();
  assert.equal(client.quarantined, 2);
  const found = [];
  for await (const it of client.quarantine()) found.push(it);
  const [first, second] = found;
  assert.ok(first && second);
  assert.equal(first.reason, 'invalid');
  client.discard(first.session, first.sequence);
  refuses = false;
  const receipt = await client.resubmit(second.session, second.sequence);
  assert.notEqual(receipt.sequence, second.sequence);
  assert.equal((await client.flush()).applied, 1);
  assert.equal(client.quarantined, 0);
});

test('a restore noticed in the background: all kept is sent again and a resync is pulled', async (t) => {
  let epoch = 0;
  const { client, region } = await open(
    t,
    (request, response, body) => {
      const known = Number(request.headers['eden-restore-epoch']);
      const headers = { 'eden-restore-epoch': String(epoch), 'content-type': 'application/problem+json' };
      if (known < epoch) answering(409, headers, '{"code":"restore_epoch"}')(request, response, body);
      else {
        const content = request.url?.includes('pull')
          ? { changes: [], cursor: 'c', more: false, resync: true }
          : { verdicts: (JSON.parse(body).operations as Operation[]).map(applied) };
        answering(200, headers, JSON.stringify(content))(request, response, body);
      }
    },
    { autoSync: true },
  );
  const heard: SyncEvents['recovered'][] = [];
  client.on('recovered', (event) => heard.push(event));
  await client.put('notes', 'n1', 1);
  await client.flush();
  epoch = 5;
  await client.pull();
  await until(
    () => client.pending === 0 && region.received.filter(({ path }) => path.includes('push')).length === 2,
  );
  assert.deepEqual(heard, [{ operations: 1, because: 'restored' }]);
});

test('pulls by itself where it was told how often', async (t) => {
  const { region } = await open(t, service(), { pullIntervalMs: 20 });
  await until(() => region.received.filter(({ path }) => path.includes('pull')).length >= 3);
});

test('a degraded answer, an unreachable service and a full queue are each told', async (t) => {
  const heard: SyncEvents['degraded'][] = [];
  const { client, region } = await open(
    t,
    answering(
      200,
      { 'eden-restore-epoch': '0', 'eden-degraded': 'replica; region=us-west-2' },
      '{"verdicts":[]}',
    ),
    { bytesMax: 4_000 },
  );
  client.on('degraded', (event) => heard.push(event));
  await client.put('notes', 'n1', 'x'.repeat(3_500));
  assert.equal(heard[0]?.because, 'queue');
  const abort = new AbortController();
  const flushed = client.flush({ signal: abort.signal });
  await until(() => heard.length >= 3);
  assert.match(heard[1]?.detail ?? '', /replica; region=us-west-2/);
  assert.equal(heard[2]?.because, 'unanswered');
  abort.abort();
  await flushed;
  assert.equal(client.pending, 1);
  assert.ok(region.received.length >= 1);
});

test('that no region answers is told long before a request gives up; that one does again ends the pause', async (t) => {
  const { client, region } = await open(t, answering(500), {
    autoSync: true,
    batchWaitMs: 0,
    unhealthyAfter: 1,
    probeIntervalMs: 50,
    deadlineMs: 300,
    resendBaseMs: 60_000,
    resendMaxMs: 60_000,
    random: () => 0.99,
  });
  const heard: SyncEvents['degraded'][] = [];
  client.on('degraded', (event) => heard.push(event));
  await client.put('notes', 'n1', 1);
  await until(() => heard.length > 0);
  assert.equal(heard[0]?.detail, 'no region answers');
  await until(() => heard.some(({ error }) => error !== undefined));
  region.behaviour = service();
  // Probes find the region well; the pause would have lasted a minute.
  await until(() => client.pending === 0, 5_000);
});

test('an edit that is nothing the service would take is refused at once', async (t) => {
  const { client } = await open(t, service());
  assert.ok((await rejection(client.put('notes', '', 1))) instanceof InvalidEditError);
  assert.ok((await rejection(client.put('no/slash', 'n1', 1))) instanceof InvalidEditError);
  assert.equal(client.pending, 0);
});

test('a file that is open is not opened twice', async (t) => {
  const { path, region } = await open(t, service());
  const second = await rejection(openSyncClient({ path, endpoints: [region.url] }));
  assert.ok(second instanceof QueueLockedError);
});

test('closed during a flush: it rejects, the file is free, the operation waits in it', async (t) => {
  const { client, region, path } = await open(t, () => undefined);
  await client.put('notes', 'n1', 1);
  const flushed = rejection(client.flush());
  await until(() => region.received.length === 1);
  await client.close();
  await client.close();
  assert.ok((await flushed) instanceof ClientClosedError);
  assert.ok((await rejection(client.put('notes', 'n1', 2))) instanceof QueueClosedError);
  assert.ok((await rejection(client.pull())) instanceof ClientClosedError);
  const again = await openSyncClient({ path, endpoints: [region.url], autoSync: false });
  assert.equal(again.recovered, 1);
  await again.close();
});

const BAD: readonly (readonly [Record<string, unknown>, RegExp])[] = [
  [{ path: '' }, /^path is the name of a file, got ""/],
  [{ path: ':memory:' }, /^path /],
  [{ path: undefined }, /^path .* got undefined/],
  [{ endpoints: [] }, /^endpoints is a list/],
  [{ autoSync: 1 }, /^autoSync is true or false, got 1/],
  [{ pullIntervalMs: 0 }, /^pullIntervalMs is a whole number from 10 .* got 0/],
  [{ batchOperationsMax: 101 }, /^batchOperationsMax is a whole number from 1 to 100, got 101/],
  [{ batchBytesMax: 1 }, /^batchBytesMax /],
  [{ batchWaitMs: -1 }, /^batchWaitMs /],
  [{ batchesInFlightMax: 0 }, /^batchesInFlightMax /],
  [{ batchTargetMs: Number.NaN }, /^batchTargetMs .* got NaN/],
  [{ resendBaseMs: 0 }, /^resendBaseMs /],
  [{ resendBaseMs: 1_000, resendMaxMs: 999 }, /^resendMaxMs is a whole number from 1000 /],
  [{ deferBaseMs: '1' }, /^deferBaseMs .* got "1"/],
  [{ deferMaxMs: 1 }, /^deferMaxMs /],
  [{ pullLimit: 1_001 }, /^pullLimit /],
  [{ bytesMax: 0 }, /^bytesMax /],
  [{ keptMsMax: -1 }, /^keptMsMax /],
  [{ keptBytesMax: 1.5 }, /^keptBytesMax /],
  [{ onMetric: 'yes' }, /^onMetric is a function, got "yes"/],
  [{ now: 1 }, /^now is a function, got 1/],
  [{ deadlineMs: 0 }, /^deadlineMs /],
];

test('an option that is out of range is named, with what was expected and what came, before a file is made', async (t) => {
  const folder = folderOf(t);
  for (const [bad, message] of BAD) {
    const options = { path: join(folder, 'field.db'), endpoints: ['http://127.0.0.1:1'], ...bad };
    const error = await rejection(openSyncClient(options as SyncClientOptions));
    assert.ok(error instanceof RangeError, JSON.stringify(bad));
    assert.match(error.message, message);
  }
});
