import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { GENERATION_KEY } from '../../protocol/items.ts';
import { type RunningTable, startTable } from '../../rehearsal/aws/start-table.ts';

const OPEN = join(import.meta.dirname, '../../bin/open.ts');
let table: RunningTable;
let region: string;
let client: DynamoDBClient;

before(async () => {
  table = await startTable();
  region = table.regions[0] as string;
  client = new DynamoDBClient({ region, endpoint: table.endpoint, credentials: table.credentials(region) });
});
after(async () => {
  client.destroy();
  await table.close();
});

function open(...args: string[]) {
  const { accessKeyId, secretAccessKey } = table.credentials(region);
  return promisify(execFile)(process.execPath, [OPEN, ...args], {
    env: { ...process.env, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
  });
}

const ours = () => ['--table', table.tableName, '--region', region, '--endpoint', table.endpoint];
const key = { pk: { S: GENERATION_KEY.pk }, sk: { S: GENERATION_KEY.sk } };
const generation = async () =>
  (await client.send(new GetItemCommand({ TableName: table.tableName, Key: key, ConsistentRead: true })))
    .Item;

const refused = (message: RegExp) => (error: { code: number; stdout: string; stderr: string }) => {
  assert.equal(error.code, 1);
  assert.equal(error.stdout, '');
  assert.match(error.stderr, message);
  return true;
};

test('opens a new table with the present as its restore epoch, and only once', async () => {
  const before = Date.now();
  const first = await open(...ours());
  assert.match(first.stdout, /is open, restore epoch \d{13}\n$/);
  const item = await generation();
  assert.equal(item?.['status']?.S, 'open');
  const epoch = Number(item?.['restoreEpoch']?.N);
  assert.ok(epoch >= before && epoch <= Date.now());
  const again = await open(...ours());
  assert.match(again.stdout, new RegExp(`is open already, restore epoch ${epoch}: nothing to do`));
  assert.deepEqual(await generation(), item);
});

test('refuses a table that a restore has closed', async () => {
  const item = { ...key, status: { S: 'restoring' }, restoreEpoch: { N: '7' } };
  await client.send(new PutItemCommand({ TableName: table.tableName, Item: item }));
  await assert.rejects(open(...ours()), refused(/closed for a restore \(status restoring\)/));
  assert.deepEqual(await generation(), item);
});

test('a table that is not there, and an endpoint that does not answer, are errors', async () => {
  await assert.rejects(
    open('--stage', 'dev', '--region', region, '--endpoint', table.endpoint),
    refused(/open: .*not found/i),
  );
  await assert.rejects(open('--endpoint', 'http://127.0.0.1:1'), refused(/ECONNREFUSED/));
});

test('without a stage it is about the rehearsal that runs here, with its own keys', async () => {
  const { accessKeyId, secretAccessKey } = table.credentials(region);
  const state = join(tmpdir(), `eden-open-${process.pid}.json`);
  const aws = { endpoint: table.endpoint, accessKeyId, secretAccessKey };
  await client.send(
    new PutItemCommand({
      TableName: table.tableName,
      Item: { ...key, status: { S: 'open' }, restoreEpoch: { N: '9' } },
    }),
  );
  await writeFile(state, JSON.stringify({ stage: 'dev', table: table.tableName, aws }));
  const { stdout } = await open('--state', state);
  assert.match(stdout, /is open already, restore epoch 9/);
  await rm(state);
  await assert.rejects(open('--state', state), refused(/no rehearsal runs here: start one with npm start/));
});

test('what it does not understand is answered with how it is used', async () => {
  await assert.rejects(
    open('--stage', 'moon'),
    refused(/one of dev, prod, gov, got "moon"[\s\S]*npm run open/),
  );
  await assert.rejects(open('--endpoint', 'here'), refused(/http or https URL, got "here"/));
  await assert.rejects(open('--force'), refused(/--force[\s\S]*npm run open/));
});
