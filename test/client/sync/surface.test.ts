// The public surface as DESIGN lists it, line by line, each doing what its comment says; and what an application that
// only opens, listens and closes can count on.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSyncClient, QueueCorruptError } from '../../../client/index.ts';
import type { Operation } from '../../../protocol/operations.ts';
import { applied, folderOf } from '../queue/queues.ts';
import { answering, type Behaviour } from '../regions.ts';
import { localRegionOf } from '../set-up.ts';

const THEIRS = {
  collection: 'notes',
  id: 'n2',
  version: '0197a0000000-0000-ffffffffffffffff',
  deleted: false,
  payload: { text: 'theirs' },
};

const service: Behaviour = (request, response, body) => {
  const content = request.url?.startsWith('/v1/sync/pull')
    ? { changes: [THEIRS], cursor: 'c', more: false, resync: true }
    : { verdicts: (JSON.parse(body).operations as Operation[]).map(applied) };
  answering(200, { 'eden-restore-epoch': '0' }, JSON.stringify(content))(request, response, body);
};

test('every line of the listing does what it says', async (t) => {
  const [primary, standby] = [await localRegionOf(t, service), await localRegionOf(t, service)];
  const [primaryUrl, standbyUrl] = [primary.url, standby.url];
  const path = join(folderOf(t), 'field.db');
  const jwt = 'a.b.c';
  const { signal } = new AbortController();

  const client = await openSyncClient({
    path,
    endpoints: [primaryUrl, standbyUrl],
    token: async () => jwt,
  });
  assert.equal(client.recovered, 0);
  const heard: string[] = [];
  for (const name of ['progress', 'conflict', 'rejected', 'degraded', 'recovered'] as const)
    client.on(name, () => heard.push(name));
  const receipt = await client.put('notes', 'n1', { text: 'hello' });
  assert.deepEqual(client.get('notes', 'n1'), {
    payload: { text: 'hello' },
    version: receipt.version,
    pending: true,
  });
  await client.delete('notes', 'n1');
  assert.equal(client.get('notes', 'n1'), undefined);
  assert.equal(client.pending, 2);
  assert.deepEqual(await client.flush({ signal }), {
    applied: 2,
    duplicate: 0,
    superseded: 0,
    deferred: 0,
    rejected: 0,
    clock_ahead: 0,
  });
  assert.deepEqual(await client.pull({ signal }), { applied: 1, dropped: 0, complete: true });
  assert.deepEqual(client.get('notes', 'n2'), {
    payload: THEIRS.payload,
    version: THEIRS.version,
    pending: false,
  });
  assert.deepEqual([client.pending, client.quarantined], [0, 0]);
  for await (const it of client.quarantine()) assert.fail(`expected nothing, got ${it.reason}`);
  assert.deepEqual([...new Set(heard)], ['progress']);
  await client.verify();
  await client.close();
  assert.equal(primary.received[0]?.headers.authorization, `Bearer ${jwt}`);
  assert.ok(QueueCorruptError.prototype instanceof Error);
});

test('flush and pull take no argument, an empty one, and a signal that is not there', async (t) => {
  const region = await localRegionOf(t, service);
  const client = await openSyncClient({ path: join(folderOf(t), 'field.db'), endpoints: [region.url] });
  t.after(() => client.close());
  for (const argument of [undefined, {}, { signal: undefined }]) {
    assert.equal((await client.flush(argument)).applied, 0);
    assert.equal((await client.pull(argument)).complete, true);
  }
});

test('a queue that is nearly full when it is opened is told to who listens after opening', async (t) => {
  const region = await localRegionOf(t, service);
  const path = join(folderOf(t), 'field.db');
  const options = { path, endpoints: [region.url], autoSync: false };
  const before = await openSyncClient(options);
  await before.put('notes', 'kept', 1);
  await before.flush();
  await before.put('notes', 'waiting', 'x'.repeat(100_000));
  await before.close();
  // Opening drops what it need not keep, and looks at what is left.
  const client = await openSyncClient({ ...options, keptMsMax: 0, bytesMax: 105_000 });
  t.after(() => client.close());
  const heard: string[] = [];
  client.on('degraded', ({ because }) => heard.push(because));
  client.on('recovered', () => heard.push('recovered'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard.slice(0, 2), ['recovered', 'queue']);
});
