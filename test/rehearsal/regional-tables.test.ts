// Tables that callers make for themselves: in one region, after a moment, under permissions of their own, and never in
// place of the deployment's.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDb } from '../../rehearsal/aws/dynamodb/dynamodb.ts';
import { RegionLinks } from '../../rehearsal/aws/dynamodb/region-links.ts';
import { RegionalTables } from '../../rehearsal/aws/dynamodb/regional-tables.ts';
import { ReplicatedTable } from '../../rehearsal/aws/dynamodb/replicated-table.ts';
import type { Access } from '../../rehearsal/aws/iam-policy.ts';
import { recordsSchema } from '../../rehearsal/aws/start-table.ts';
import { ACCOUNT, keyArn, PRIMARY, REGIONS, STANDBY } from './fake-deployment.ts';

const links = new RegionLinks();
const made = new RegionalTables({
  account: ACCOUNT,
  links,
  takesMs: 10,
  keyState: (arn) => (arn.endsWith('/lost') ? 'missing' : 'enabled'),
});
let records: ReplicatedTable;
let dynamodb: DynamoDb;

before(async () => {
  records = await ReplicatedTable.open({
    schema: recordsSchema('records'),
    regions: REGIONS,
    account: ACCOUNT,
    links,
  });
  dynamodb = new DynamoDb([{ table: records, keyArns: new Map() }], ACCOUNT, { made });
});
after(() => Promise.all([records.close(), made.close()]));

async function call(operation: string, input: Record<string, unknown>, region: string = PRIMARY) {
  const asked: Access[] = [];
  const output = await dynamodb.call({ operation, input, region, authorize: (access) => asked.push(access) });
  return { output, asked: asked.map(({ action, resource }) => `${action} ${resource.split(':').at(-1)}`) };
}
const creation = (TableName: string, more: object = {}) => ({
  TableName,
  AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
  KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
  BillingMode: 'PAY_PER_REQUEST',
  ...more,
});
const item = (pk: string) => ({ PutRequest: { Item: { pk: { S: pk } } } });
const statusOf = async (TableName: string) =>
  ((await call('DescribeTable', { TableName })).output['Table'] as { TableStatus: string }).TableStatus;
const named = (name: string) => (error: Error) => error.name === name;

test('a table is there after a moment, in its region only, and gone a moment after it is deleted', async () => {
  await call('CreateTable', creation('mine'));
  assert.equal(await statusOf('mine'), 'CREATING');
  await assert.rejects(call('Scan', { TableName: 'mine' }), named('ResourceNotFoundException'));
  await assert.rejects(call('CreateTable', creation('mine')), named('ResourceInUseException'));
  await sleep(20);
  assert.equal(await statusOf('mine'), 'ACTIVE');
  const requests = Array.from({ length: 25 }, (_, at) => item(`n${at}`));
  const { output } = await call('BatchWriteItem', { RequestItems: { mine: requests } });
  assert.deepEqual(output['UnprocessedItems'], {});
  const pages = await Promise.all(
    [0, 1, 2].map((Segment) =>
      call('Scan', { TableName: 'mine', Segment, TotalSegments: 3, ConsistentRead: true }),
    ),
  );
  assert.equal(
    pages.reduce((sum, page) => sum + Number(page.output['Count']), 0),
    25,
  );
  await assert.rejects(call('Scan', { TableName: 'mine' }, STANDBY), named('ResourceNotFoundException'));
  assert.deepEqual((await call('ListTables', {})).output['TableNames'], ['mine', 'records']);
  assert.deepEqual((await call('ListTables', {}, STANDBY)).output['TableNames'], ['records']);
  await call('DeleteTable', { TableName: 'mine' });
  assert.equal(await statusOf('mine'), 'DELETING');
  await assert.rejects(call('DeleteTable', { TableName: 'mine' }), named('ResourceInUseException'));
  await sleep(20);
  await assert.rejects(statusOf('mine'), named('ResourceNotFoundException'));
  await assert.rejects(call('DeleteTable', { TableName: 'mine' }), named('ResourceNotFoundException'));
});

test('asks for the table by its name, for its tags, and for its key', async () => {
  const { asked } = await call(
    'CreateTable',
    creation('tagged', {
      Tags: [{ Key: 'use', Value: 'test' }],
      SSESpecification: { Enabled: true, SSEType: 'KMS', KMSMasterKeyId: keyArn(PRIMARY) },
    }),
  );
  const key = keyArn(PRIMARY).split(':').at(-1);
  assert.deepEqual(asked, [
    'dynamodb:CreateTable table/tagged',
    'dynamodb:TagResource table/tagged',
    ...[
      'DescribeKey',
      'CreateGrant',
      'Decrypt',
      'Encrypt',
      'GenerateDataKey',
      'ReEncryptFrom',
      'ReEncryptTo',
    ].map((action) => `kms:${action} ${key}`),
  ]);
  await sleep(20);
  assert.deepEqual((await call('Scan', { TableName: 'tagged' })).asked, [
    'dynamodb:Scan table/tagged',
    `kms:Decrypt ${key}`,
  ]);
  assert.deepEqual((await call('DeleteTable', { TableName: 'tagged' })).asked, [
    'dynamodb:DeleteTable table/tagged',
  ]);
});

test('refuses a key that is not there, and what is no table', async () => {
  const lost = { Enabled: true, SSEType: 'KMS', KMSMasterKeyId: 'arn:aws:kms:us-east-2:0:key/lost' };
  await assert.rejects(
    call('CreateTable', creation('lost', { SSESpecification: lost })),
    /KMS key access denied/,
  );
  await assert.rejects(call('CreateTable', { TableName: 'none' }), named('ValidationException'));
});

test('a table of the deployment is neither made nor deleted by a caller', async () => {
  await assert.rejects(call('CreateTable', creation('records')), /made and deleted by its stack only/);
  await assert.rejects(call('DeleteTable', { TableName: 'records' }), /protected against deletion/);
});

test('a conditional write gives back what stood there, as the deployment’s tables do', async () => {
  await call('CreateTable', creation('conditional'));
  await sleep(20);
  await call('PutItem', { TableName: 'conditional', Item: { pk: { S: 'a' } } });
  const put = call('PutItem', {
    TableName: 'conditional',
    Item: { pk: { S: 'a' } },
    ConditionExpression: 'attribute_not_exists(pk)',
    ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
  });
  await assert.rejects(put, (error: Error & { body?: { Item?: unknown } }) => {
    assert.deepEqual(error.body?.Item, { pk: { S: 'a' } });
    return true;
  });
});

test('while its region is down it answers nothing', async () => {
  await call('CreateTable', creation('down'));
  await sleep(20);
  links.setUp(PRIMARY, false);
  await assert.rejects(call('Scan', { TableName: 'down' }), named('InternalServerError'));
  links.setUp(PRIMARY, true);
  assert.equal((await call('Scan', { TableName: 'down' })).output['Count'], 0);
});

test('where callers may not make tables, CreateTable is not played', () => {
  const without = new DynamoDb([], ACCOUNT);
  assert.throws(
    () =>
      without.call({ operation: 'CreateTable', input: creation('x'), region: PRIMARY, authorize: () => {} }),
    named('UnknownOperationException'),
  );
});
