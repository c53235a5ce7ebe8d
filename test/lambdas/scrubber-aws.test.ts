// The scrubber of a Region as its stack deploys it, on what plays AWS: its own adapter and permissions, items that the
// functions wrote, damage in one replica and in all, and a Region that is cut off.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import {
  DeleteItemCommand,
  DynamoDBClient,
  PutItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { itemFault } from '../../lambdas/core/item-faults.ts';
import { parseScrubState } from '../../lambdas/core/scrubbing.ts';
import { readScrubItems } from '../../lambdas/env.ts';
import { createScrubber } from '../../lambdas/routes/scrubber.ts';
import { scrubbedItems } from '../../lambdas/store/scrubbed-items.ts';
import { TableCalls } from '../../lambdas/store/table-calls.ts';
import { buildApp } from '../../lib/app.ts';
import { synthesizeKept } from '../../lib/retention.ts';
import { toItem } from '../../protocol/item-values.ts';
import { recordPk, STATE, scrubberKey } from '../../protocol/items.ts';
import { readDeployment } from '../../rehearsal/assembly/assembly.ts';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { DEV } from '../lib/assembly.ts';
import { DAY, recordItem } from './exports.ts';
import { Device, Functions, openTable, Recorder } from './functions.ts';

const { quorum: REGION, primary: PRIMARY } = DEV.regions;
const TABLE = 'eden-field-dev-records';
const RECORDS = 40;
const place = { stage: 'dev', role: 'quorum', region: REGION, regions: DEV.regions } as const;
const clients: DynamoDBClient[] = [];
let aws: Aws;
let environment: Record<string, string>;
/** With the function's own permissions, and with all. */
let own: DynamoDBClient;
let operator: DynamoDBClient;
let telemetry = new Recorder();

function clientOf(principal: string, region: string = REGION): DynamoDBClient {
  const credentials = credentialsOf(principal, region);
  const client = new DynamoDBClient({ endpoint: aws.endpoint, credentials, region, maxAttempts: 1 });
  clients.push(client);
  return client;
}

before(async () => {
  const outdir = mkdtempSync(join(tmpdir(), 'eden-field-scrubber-'));
  try {
    synthesizeKept(buildApp(DEV, { validate: false, bundle: false, outdir }).app, DEV);
    const deployment = readDeployment(outdir);
    const noLag = { min: 0, max: 0 };
    aws = await startAws({ deployment, itemLag: noLag, indexLag: noLag, refusalMs: 500, hangMs: 500 });
    const { properties } =
      deployment
        .ofType('AWS::Lambda::Function', REGION)
        .find((it) => it.properties['FunctionName'] === 'eden-field-dev-scrubber') ??
      assert.fail('no scrubber');
    environment = (properties['Environment'] as { Variables: Record<string, string> }).Variables;
    own = clientOf(String(properties['Role']));
    operator = clientOf(OPERATOR);
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
  for (let n = 0; n < RECORDS; n += 1) await put(`n${n}`);
});
after(async () => {
  for (const client of clients) client.destroy();
  await aws.close();
});
beforeEach(() => {
  telemetry = new Recorder();
});

const keyOf = (id: string) => ({
  pk: { S: recordPk({ tenant: 'acme', collection: 'notes', id }) },
  sk: { S: STATE },
});
async function put(id: string): Promise<void> {
  const item = toItem(recordItem(id, DAY, id.endsWith('7') ? undefined : '{"a":1}'));
  await operator.send(new PutItemCommand({ TableName: TABLE, Item: item }));
}
const table = () => aws.tables.get(TABLE) ?? assert.fail('no table');
/** Changes the payload in one replica, as no function would. */
async function damage(region: string, id: string): Promise<void> {
  const item = await table().item(region, keyOf(id));
  await table().tamper(region, keyOf(id), { ...item, payload: { S: '{"a":2}' } });
}
const itemsOf = (client: DynamoDBClient) =>
  scrubbedItems(new TableCalls({ client, tableName: TABLE, writeAttemptMs: 3_000, readAttemptMs: 3_000 }));
const run = (itemsPerRun = readScrubItems(environment)) =>
  createScrubber({
    ...{ place, telemetry, itemsPerRun, items: itemsOf(own) },
    now: Date.now,
    random: Math.random,
    wait: async () => {},
  })();
const last = (name: string) => telemetry.samples.findLast((sample) => sample.name === name)?.value;

test('looks at every item with the permissions it has, and keeps its place in its own item', async () => {
  await run();
  assert.deepEqual([last('data_corruption'), last('scrubbed')], [0, RECORDS]);
  await run();
  assert.equal(last('scrubbed'), RECORDS + 1, 'its own state, too');
  assert.deepEqual([telemetry.errors, telemetry.warnings], [[], []]);
  const saved = await itemsOf(operator).load(REGION);
  assert.equal(saved.kind === 'saved' && parseScrubState(saved.state).pass, 3);
});

test('goes on run by run, from wherever the one before came to', async () => {
  for (let n = 0; n < 7; n += 1) await run(7);
  const saved = await itemsOf(operator).load(REGION);
  const { completed } = saved.kind === 'saved' ? parseScrubState(saved.state) : assert.fail(saved.kind);
  assert.ok((completed?.looked ?? 0) >= RECORDS);
  assert.deepEqual(telemetry.errors, []);
});

test('damage in its own replica is found, and its repair is seen; damage in another is that one’s to find', async () => {
  await damage(PRIMARY, 'n1');
  await run();
  assert.equal(last('data_corruption'), 0);
  await damage(REGION, 'n2');
  await run();
  await run(3);
  assert.equal(last('data_corruption'), 1);
  assert.ok(
    telemetry.errors.every((it) => it.includes('acme/notes/n2: the payload does not match its SHA-256')),
  );
  await Promise.all([put('n1'), put('n2')]);
  await run(3);
  assert.equal(last('data_corruption'), 0);
});

test('may write nothing but its own item, and remove nothing', async () => {
  const update = (pk: string) =>
    own.send(
      new UpdateItemCommand({
        TableName: TABLE,
        Key: { pk: { S: pk }, sk: { S: STATE } },
        UpdateExpression: 'SET revision = :r',
        ExpressionAttributeValues: { ':r': { N: '1' } },
      }),
    );
  for (const pk of [scrubberKey(PRIMARY).pk, 'CONTROL#routing', keyOf('n1').pk.S])
    await assert.rejects(update(pk), { name: 'AccessDeniedException' }, pk);
  await assert.rejects(own.send(new DeleteItemCommand({ TableName: TABLE, Key: keyOf('n1') })), {
    name: 'AccessDeniedException',
  });
});

test('its state is saved by one at a time, and what cannot be read is written over', async () => {
  const items = itemsOf(own);
  const [a, b] = await Promise.all([items.load(REGION), items.load(REGION)]);
  assert.equal(await items.save(REGION, '{"a":1}', a), true);
  assert.equal(await items.save(REGION, '{"b":1}', b), false);
  assert.equal(await items.save(REGION, '{"c":1}', { kind: 'none' }), false);
  await operator.send(
    new PutItemCommand({
      TableName: TABLE,
      Item: { pk: { S: scrubberKey(REGION).pk }, sk: { S: STATE }, revision: { S: 'first' } },
    }),
  );
  assert.deepEqual(await items.load(REGION), { kind: 'unreadable' });
  await run();
  assert.match(telemetry.warnings.join(), /it starts over/);
  assert.equal((await items.load(REGION)).kind, 'saved');
});

test('cut off from the other Regions it fails, and claims nothing', async () => {
  const others = [PRIMARY, DEV.regions.standby];
  const cut = (isCut: boolean) =>
    aws.links.set(others.map((other) => ({ between: [REGION, other], cut: isCut, delayMs: 0 })));
  cut(true);
  await assert.rejects(run());
  assert.deepEqual(telemetry.samples, []);
  cut(false);
  await run();
  assert.equal(last('data_corruption'), 0);
});

for (const eventual of [false, true])
  test(`nothing is wrong with what the functions write${eventual ? ' where two replicas follow each other' : ''}, conflicts and deletes too`, async () => {
    const running = await openTable();
    const functions = new Functions({ running, eventual });
    try {
      await functions.open();
      const [one, other] = [new Device(), new Device()];
      for (let n = 0; n < 6; n += 1) await functions.verdicts('acme', [one.put(`n${n}`, { n })]);
      for (let n = 0; n < 4; n += 1)
        await functions.verdicts('acme', [other.put(`n${n}`, { other: 'x'.repeat(9_000) })]);
      for (let n = 0; n < 3; n += 1) await functions.verdicts('acme', [one.put(`n${n}`, { again: n })]);
      await functions.verdicts('acme', [other.delete('n5'), one.delete('n4')]);
      const client = new DynamoDBClient({
        ...{ endpoint: running.endpoint, region: PRIMARY, credentials: running.credentials(PRIMARY) },
      });
      const items = scrubbedItems(
        new TableCalls({ client, tableName: running.tableName, writeAttemptMs: 3_000, readAttemptMs: 3_000 }),
      );
      const page = await items.page(undefined, 100);
      client.destroy();
      const trails = page.items.filter((item) => 'outbox' in item).length;
      assert.ok(trails >= 3, `${trails} of ${page.items.length} have a trail`);
      assert.deepEqual(page.items.map(itemFault).filter(Boolean), []);
    } finally {
      functions.close();
      await running.close();
    }
  });
