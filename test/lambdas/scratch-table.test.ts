// Scratch tables on what plays DynamoDB: made empty under the Region's key, filled, read by segments, deleted; and what
// happens when it is busy, refuses an item, or the table is gone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DescribeTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  createScratchTables,
  ScratchTableLostError,
  type ScratchTables,
} from '../../lambdas/store/scratch-table.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf } from '../../rehearsal/aws/credentials.ts';
import {
  ACCOUNT,
  deploymentOf,
  keyArn,
  keys,
  PRIMARY,
  recordsTable,
  role,
  roleArn,
} from '../rehearsal/fake-deployment.ts';
import { CONTROL, DAY, recordItem } from './exports.ts';

const TABLE = 'eden-field-dev-scratch-daily-2026-11-24';
const ACTIONS = ['CreateTable', 'TagResource', 'DescribeTable', 'DeleteTable', 'BatchWriteItem', 'Scan'].map(
  (action) => `dynamodb:${action}`,
);
const onTables = (actions: readonly string[]) => ({
  Effect: 'Allow',
  Action: actions,
  Resource: `arn:aws:dynamodb:${PRIMARY}:${ACCOUNT}:table/eden-field-dev-scratch-*`,
});
const ON_KEY = [
  {
    Effect: 'Allow',
    Action: ['kms:Decrypt', 'kms:Encrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:DescribeKey'],
    Resource: keyArn(PRIMARY),
  },
  {
    Effect: 'Allow',
    Action: 'kms:CreateGrant',
    Resource: keyArn(PRIMARY),
    Condition: { Bool: { 'kms:GrantIsForAWSResource': 'true' } },
  },
];
let aws: Aws;
let client: DynamoDBClient;
let tables: ScratchTables;
const clients: DynamoDBClient[] = [];

function clientOf(name: string): DynamoDBClient {
  const made = new DynamoDBClient({
    endpoint: aws.endpoint,
    region: PRIMARY,
    credentials: credentialsOf(roleArn(name), PRIMARY),
    maxAttempts: 1,
  });
  clients.push(made);
  return made;
}
const tablesOf = (of: DynamoDBClient, patienceMs = 2_000) =>
  createScratchTables({
    client: of,
    keyArn: keyArn(PRIMARY),
    tags: { use: 'verification' },
    patienceMs,
    random: () => 0,
  });

before(async () => {
  aws = await startAws({
    deployment: deploymentOf(
      ...keys(),
      recordsTable(),
      role('verification', [onTables(ACTIONS), ...ON_KEY]),
      role('untagged', [onTables(ACTIONS.filter((action) => !action.endsWith('TagResource'))), ...ON_KEY]),
      role('keyless', [onTables(ACTIONS)]),
    ),
  });
  client = clientOf('verification');
  tables = tablesOf(client);
});
after(async () => {
  for (const each of clients) each.destroy();
  await aws.close();
});

const ITEMS = [
  ...Array.from({ length: 260 }, (_, at) => recordItem(`n${at}`, DAY + at, `{"n":${at}}`)),
  CONTROL,
];
const BINARY: ExportedItem = {
  pk: { S: 'CONTROL#x' },
  sk: { S: 'STATE' },
  bytes: { B: 'AAH/' },
  list: { L: [{ BS: ['AQ==', 'Ag=='] }, { NULL: true }] },
};

async function all(table: string, segments: number): Promise<readonly ExportedItem[]> {
  const items: ExportedItem[] = [];
  for (let segment = 0; segment < segments; segment += 1) {
    let from: ExportedItem | undefined;
    do {
      const page = await tables.page(table, segment, segments, from);
      items.push(...page.items);
      from = page.after;
    } while (from);
  }
  return items;
}

/** Answers in place of DynamoDB as long as `instead` gives something. */
function answering(instead: (operation: string) => object | undefined): DynamoDBClient {
  const made = clientOf('verification');
  made.middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) => {
        const output = instead(commandName.replace(/Command$/, ''));
        if (output instanceof Error) throw output;
        return output ? { response: {}, output: { $metadata: {}, ...output } } : next(args);
      },
    { step: 'initialize' },
  );
  return made;
}
const throttling = () => Object.assign(new Error('slow down'), { name: 'ThrottlingException' });
const inOrder = (items: readonly ExportedItem[]) =>
  items.map((item) => JSON.stringify(Object.entries(item).sort())).sort();

test('a table is made under the Region’s key, takes every item, gives all of them back, and is deleted', async () => {
  await tables.make(TABLE);
  const { Table } = await client.send(new DescribeTableCommand({ TableName: TABLE }));
  assert.deepEqual(
    [Table?.TableStatus, Table?.SSEDescription?.KMSMasterKeyArn, Table?.BillingModeSummary?.BillingMode],
    ['ACTIVE', keyArn(PRIMARY), 'PAY_PER_REQUEST'],
  );
  assert.deepEqual(await tables.put(TABLE, [...ITEMS, BINARY]), []);
  assert.deepEqual(await tables.put(TABLE, ITEMS.slice(0, 30)), [], 'putting again changes nothing');
  assert.deepEqual(inOrder(await all(TABLE, 8)), inOrder([...ITEMS, BINARY]));
  await tables.drop(TABLE);
  await tables.drop(TABLE);
  await assert.rejects(tables.put(TABLE, ITEMS.slice(0, 1)), ScratchTableLostError);
  await assert.rejects(tables.page(TABLE, 0, 8, undefined), ScratchTableLostError);
});

test('what has the name already goes first', async () => {
  await tables.make(TABLE);
  await tables.put(TABLE, ITEMS);
  await tables.make(TABLE);
  assert.deepEqual(await all(TABLE, 2), []);
});

test('an item that is no item of a table is refused alone; two of one key are one', async () => {
  await tables.make(TABLE);
  const large = recordItem('large', DAY, JSON.stringify('x'.repeat(410_000)));
  const [first = assert.fail()] = ITEMS;
  const refused = await tables.put(TABLE, [...ITEMS.slice(0, 20), large, first]);
  assert.deepEqual(
    refused.map(({ item }) => item['pk']),
    [large['pk']],
  );
  assert.match(refused[0]?.why ?? '', /size/i);
  assert.equal((await all(TABLE, 1)).length, 20);
});

test('what comes back unprocessed is put again, and a busy table is asked again', async () => {
  await tables.make(TABLE);
  let asked = 0;
  const busy = answering((operation) => {
    if (operation !== 'BatchWriteItem') return undefined;
    asked += 1;
    if (asked === 1) return throttling();
    const [request = assert.fail()] = ITEMS.slice(3, 4).map((Item) => ({ PutRequest: { Item } }));
    return asked === 2 ? { UnprocessedItems: { [TABLE]: [request] } } : undefined;
  });
  assert.deepEqual(await tablesOf(busy).put(TABLE, ITEMS.slice(3, 4)), []);
  assert.equal(asked, 3);
  assert.equal((await all(TABLE, 1)).length, 1);
});

test('what stays busy, cannot be made or may not be done is unavailable, not refused', async () => {
  const stuck = tablesOf(
    answering((operation) => (/^(Batch|Scan)/.test(operation) ? throttling() : undefined)),
    60,
  );
  await assert.rejects(stuck.put(TABLE, ITEMS.slice(0, 1)), StoreUnavailableError);
  await assert.rejects(stuck.page(TABLE, 0, 1, undefined), StoreUnavailableError);
  const full = tablesOf(
    answering((operation) =>
      operation === 'CreateTable'
        ? Object.assign(new Error('too many'), { name: 'LimitExceededException' })
        : undefined,
    ),
  );
  await assert.rejects(full.make(`${TABLE}-full`), StoreUnavailableError);
  await assert.rejects(tables.make('eden-field-dev-records'), StoreUnavailableError);
  await assert.rejects(tables.drop('eden-field-dev-records'), StoreUnavailableError);
  for (const name of ['untagged', 'keyless'])
    await assert.rejects(tablesOf(clientOf(name)).make(`${TABLE}-${name}`), StoreUnavailableError, name);
});

test('a table that does not become active in time is unavailable', async () => {
  const slow = tablesOf(
    answering((operation) =>
      operation === 'DescribeTable' ? { Table: { TableStatus: 'CREATING' } } : undefined,
    ),
    60,
  );
  await assert.rejects(slow.make(`${TABLE}-slow`), /expected it to be gone within 60 ms, it is CREATING/);
});
