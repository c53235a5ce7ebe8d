// Two devices, the functions as they are deployed, HTTP in between: both come to hold the same.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openSyncClient, type SyncClient } from '../../../client/index.ts';
import { PATHS } from '../../../protocol/messages.ts';
import { EPOCH, openFunctions } from '../../lambdas/functions.ts';
import { folderOf } from '../queue/queues.ts';
import type { Behaviour } from '../regions.ts';
import { localRegionOf } from '../set-up.ts';

const functions = await openFunctions();

/** Forwards to the functions. Of every `losesEvery`th push the answer is lost on its way back. */
function gateway(tenant: string, losesEvery = Number.POSITIVE_INFINITY): Behaviour {
  let pushes = 0;
  return async (request, response, body) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://region');
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    const query = Object.fromEntries(searchParams);
    const isPush = pathname === PATHS.push;
    const reply = await functions.call(request.method ?? '', pathname, {
      tenant,
      headers,
      query,
      ...(body === '' ? {} : { body }),
    });
    if (isPush && ++pushes % losesEvery === 0) response.destroy();
    else response.writeHead(reply.status, { ...reply.headers }).end(reply.text);
  };
}

async function device(t: TestContext, behaviour: Behaviour, aheadMs = 0): Promise<SyncClient> {
  const region = await localRegionOf(t, behaviour);
  const client = await openSyncClient({
    path: join(folderOf(t), 'field.db'),
    endpoints: [region.url],
    autoSync: false,
    batchOperationsMax: 5,
    resendBaseMs: 1,
    deferBaseMs: 1,
    now: () => Date.now() + aheadMs,
  });
  t.after(() => client.close());
  return client;
}

/** Pulls until the index shows it all. */
async function pullUntil(client: SyncClient, isThere: () => boolean): Promise<void> {
  for (let tries = 0; !isThere(); tries++) {
    assert.ok(tries < 200, 'what the other device wrote does not come');
    await functions.steady();
    await client.pull();
  }
}

test('what one device writes the other reads, through lost answers, deletes and edits upon edits', async (t) => {
  const behaviour = gateway('t-converge', 3);
  const [field, office] = [await device(t, behaviour), await device(t, behaviour)];
  for (let index = 0; index < 20; index++) await field.put('notes', `n${index}`, { index });
  await field.put('notes', 'n0', 'edited');
  await field.delete('notes', 'n1');
  const flushed = await field.flush();
  // Lost answers are found out as duplicates; each operation is settled once.
  assert.equal(flushed.applied + flushed.duplicate, 22);
  assert.ok(flushed.duplicate > 0);
  assert.equal(field.pending, 0);

  const all = () =>
    office.get('notes', 'n0')?.payload === 'edited' && office.get('notes', 'n19') !== undefined;
  await pullUntil(office, all);
  assert.equal(office.get('notes', 'n1'), undefined);
  for (let index = 2; index < 20; index++)
    assert.deepEqual(office.get('notes', `n${index}`)?.payload, { index });

  // On top of what it pulled: no conflict.
  await office.put('notes', 'n2', 'from the office');
  assert.equal((await office.flush()).superseded, 0);
  await pullUntil(field, () => field.get('notes', 'n2')?.payload === 'from the office');
  assert.deepEqual(field.get('notes', 'n2'), office.get('notes', 'n2'));
});

test('two edits of one state: the later wins on both devices, and the author of the other hears of it', async (t) => {
  const behaviour = gateway('t-conflict');
  const [field, office] = [await device(t, behaviour), await device(t, behaviour, 1_000)];
  await field.put('notes', 'n1', 'first');
  await field.flush();
  await pullUntil(office, () => office.get('notes', 'n1') !== undefined);
  const heard: string[] = [];
  field.on('conflict', ({ id }) => heard.push(id));
  await field.put('notes', 'n1', 'from the field');
  const { version } = await office.put('notes', 'n1', 'from the office');
  assert.equal((await office.flush()).applied, 1);
  assert.equal((await field.flush()).superseded, 1);
  assert.deepEqual(heard, ['n1']);
  await pullUntil(field, () => field.get('notes', 'n1')?.version === version);
  assert.equal(field.get('notes', 'n1')?.payload, 'from the office');
});

test('the first push of a new device learns of the restore epoch, and goes through at the second try', async (t) => {
  const client = await device(t, gateway('t-epoch'));
  await client.put('notes', 'n1', EPOCH);
  assert.equal((await client.flush()).applied, 1);
  assert.equal(client.counts.batches, 2);
});
