// What the DynamoDB front adds to the table: permissions asked for, several tables, batches in trouble, refusals.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DynamoDb } from '../../rehearsal/aws/dynamodb/dynamodb.ts';
import { RegionLinks } from '../../rehearsal/aws/dynamodb/region-links.ts';
import { ReplicatedTable } from '../../rehearsal/aws/dynamodb/replicated-table.ts';
import type { Access } from '../../rehearsal/aws/iam-policy.ts';
import { recordsSchema } from '../../rehearsal/aws/start-table.ts';
import { ACCOUNT, keyArn, PRIMARY, QUORUM, REGIONS, STANDBY } from './fake-deployment.ts';

const NO_LAG = { min: 0, max: 0 };
const links = new RegionLinks();
const tables: ReplicatedTable[] = [];
let dynamodb: DynamoDb;
const key = (pk: string) => ({ pk: { S: pk }, sk: { S: 'STATE' } });

before(async () => {
  for (const name of ['records', 'others'])
    tables.push(
      await ReplicatedTable.open({
        schema: recordsSchema(name),
        regions: REGIONS,
        account: ACCOUNT,
        links,
        itemLag: NO_LAG,
        indexLag: NO_LAG,
        refusalMs: 20,
      }),
    );
  const keyArns = new Map(REGIONS.map((region) => [region, keyArn(region)]));
  dynamodb = new DynamoDb(
    tables.map((table) => ({ table, keyArns: table.schema.TableName === 'records' ? keyArns : new Map() })),
    ACCOUNT,
  );
});
after(() => Promise.all(tables.map((table) => table.close())));

async function call(operation: string, input: Record<string, unknown>, region: string = PRIMARY) {
  const asked: Access[] = [];
  const output = await dynamodb.call({ operation, input, region, authorize: (access) => asked.push(access) });
  return { output, asked };
}
const actionsOf = (asked: readonly Access[]) => asked.map(({ action }) => action);

describe('permissions', () => {
  const table = (name: string, region: string = PRIMARY) =>
    `arn:aws:dynamodb:${region}:${ACCOUNT}:table/${name}`;

  test('a read asks for itself and for decryption through DynamoDB, with the leading key', async () => {
    const { asked } = await call('GetItem', { TableName: 'records', Key: key('a') }, STANDBY);
    assert.deepEqual(asked, [
      {
        action: 'dynamodb:GetItem',
        resource: table('records', STANDBY),
        context: { 'dynamodb:LeadingKeys': ['a'] },
      },
      {
        action: 'kms:Decrypt',
        resource: keyArn(STANDBY),
        context: { 'kms:ViaService': 'dynamodb.us-west-2.amazonaws.com' },
      },
    ]);
  });

  test('a write asks for encryption too, where the key is the customer’s', async () => {
    const encrypted = await call('PutItem', { TableName: 'records', Item: key('a') });
    assert.deepEqual(actionsOf(encrypted.asked), [
      'dynamodb:PutItem',
      'kms:Decrypt',
      'kms:Encrypt',
      'kms:GenerateDataKey',
      'kms:ReEncryptFrom',
      'kms:ReEncryptTo',
    ]);
    const plain = await call('PutItem', { TableName: 'others', Item: key('a') });
    assert.deepEqual(actionsOf(plain.asked), ['dynamodb:PutItem']);
  });

  test('an index query asks for the index', async () => {
    const { asked } = await call('Query', {
      TableName: 'others',
      IndexName: 'feed',
      KeyConditionExpression: 'feedShard = :f',
      ExpressionAttributeValues: { ':f': { S: 'f' } },
    });
    assert.deepEqual(asked, [
      { action: 'dynamodb:Query', resource: `${table('others')}/index/feed`, context: {} },
    ]);
  });

  test('a query of items asks with the partition it names', async () => {
    const { asked } = await call('Query', {
      TableName: 'others',
      KeyConditionExpression: 'pk = :p',
      ExpressionAttributeValues: { ':p': { S: 'a' } },
    });
    assert.deepEqual(asked[0]?.context, { 'dynamodb:LeadingKeys': ['a'] });
  });

  test('a batch asks for every table with all its keys', async () => {
    const { asked } = await call('BatchGetItem', {
      RequestItems: { others: { Keys: [key('a'), key('b')] }, records: { Keys: [key('c')] } },
    });
    assert.deepEqual(
      asked
        .filter(({ action }) => action === 'dynamodb:BatchGetItem')
        .map(({ resource, context }) => [resource, context]),
      [
        [table('others'), { 'dynamodb:LeadingKeys': ['a', 'b'] }],
        [table('records'), { 'dynamodb:LeadingKeys': ['c'] }],
      ],
    );
  });

  test('what is refused is not written', async () => {
    const refuse = () => {
      throw new Error('refused');
    };
    const input = { TableName: 'others', Item: key('refused') };
    await assert.rejects(
      dynamodb.call({ operation: 'PutItem', input, region: PRIMARY, authorize: refuse }),
      /refused/,
    );
    const requests = { others: [{ PutRequest: { Item: key('refused') } }] };
    const batch = { operation: 'BatchWriteItem', input: { RequestItems: requests }, region: PRIMARY };
    await assert.rejects(dynamodb.call({ ...batch, authorize: refuse }), /refused/);
    const { output } = await call('GetItem', {
      TableName: 'others',
      Key: key('refused'),
      ConsistentRead: true,
    });
    assert.equal(output['Item'], undefined);
  });
});

describe('batches', () => {
  test('reach several tables and sum their capacity', async () => {
    const items = { others: ['x', 'y'], records: ['z'] };
    const put = (pk: string) => ({ PutRequest: { Item: key(pk) } });
    const { output: written } = await call('BatchWriteItem', {
      RequestItems: { others: items.others.map(put), records: items.records.map(put) },
      ReturnConsumedCapacity: 'INDEXES',
    });
    assert.deepEqual(written, {
      UnprocessedItems: {},
      ConsumedCapacity: [
        { TableName: 'others', CapacityUnits: 2, Table: { CapacityUnits: 2 } },
        { TableName: 'records', CapacityUnits: 1, Table: { CapacityUnits: 1 } },
      ],
    });
    const { output: read } = await call('BatchGetItem', {
      RequestItems: {
        others: { Keys: items.others.map(key), ConsistentRead: true },
        records: { Keys: items.records.map(key), ConsistentRead: true },
      },
      ReturnConsumedCapacity: 'TOTAL',
    });
    const found = read['Responses'] as Record<string, readonly unknown[]>;
    assert.deepEqual([found['others']?.length, found['records']?.length], [2, 1]);
    assert.deepEqual(read['ConsumedCapacity'], [
      { TableName: 'others', CapacityUnits: 2, Table: undefined },
      { TableName: 'records', CapacityUnits: 1, Table: undefined },
    ]);
  });

  test('an item that another region is writing comes back unprocessed, the others are written', async () => {
    links.set([
      { between: [PRIMARY, STANDBY], cut: false, delayMs: 30 },
      { between: [PRIMARY, QUORUM], cut: false, delayMs: 30 },
    ]);
    const busy = call('PutItem', { TableName: 'others', Item: key('busy') });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const requests = [key('busy'), key('free')].map((Item) => ({ PutRequest: { Item } }));
    const { output } = await call('BatchWriteItem', { RequestItems: { others: requests } }, STANDBY);
    assert.deepEqual(output, { UnprocessedItems: { others: [requests[0]] } });
    await busy;
    links.set([
      { between: [PRIMARY, STANDBY], cut: false, delayMs: 0 },
      { between: [PRIMARY, QUORUM], cut: false, delayMs: 0 },
    ]);
    const { output: read } = await call('GetItem', {
      TableName: 'others',
      Key: key('free'),
      ConsistentRead: true,
    });
    assert.deepEqual(read['Item'], key('free'));
  });

  test('a bad item refuses its batch', async () => {
    const requests = [{ PutRequest: { Item: { pk: { S: 'no sort key' } } } }];
    await assert.rejects(call('BatchWriteItem', { RequestItems: { others: requests } }), {
      name: 'ValidationException',
    });
  });
});

describe('refusals', () => {
  test('a table that is not there', async () => {
    await assert.rejects(call('GetItem', { TableName: 'nope', Key: key('a') }), {
      name: 'ResourceNotFoundException',
    });
  });

  test('a region where it is not', async () => {
    await assert.rejects(call('GetItem', { TableName: 'others', Key: key('a') }, 'eu-west-1'), {
      name: 'ResourceNotFoundException',
    });
  });

  test('what is not played, naming what is', async () => {
    const create = { operation: 'CreateTable', input: {}, region: PRIMARY, authorize: () => {} };
    assert.throws(() => dynamodb.call(create), /does not play dynamodb:CreateTable; it plays GetItem, /);
  });

  test('a consistent scan of an index', async () => {
    await assert.rejects(call('Scan', { TableName: 'others', IndexName: 'feed', ConsistentRead: true }), {
      name: 'ValidationException',
      message: 'Consistent reads are not supported on global secondary indexes',
    });
  });

  test('a return value on failed conditions that does not exist', async () => {
    const input = { TableName: 'others', Item: key('a'), ReturnValuesOnConditionCheckFailure: 'ALL_NEW' };
    await assert.rejects(call('PutItem', input), { name: 'ValidationException' });
  });

  test('an item over 400 KB', async () => {
    const Item = { ...key('big'), payload: { S: 'x'.repeat(400 * 1024) } };
    await assert.rejects(call('PutItem', { TableName: 'others', Item }), { name: 'ValidationException' });
  });

  test('a write whose key lacks a part, in DynamoDB’s words', async () => {
    const Item = { pk: { S: 'a' } };
    await assert.rejects(call('PutItem', { TableName: 'others', Item }), {
      name: 'ValidationException',
      message: /Missing the key sk in the item/,
    });
  });
});

test('tables are listed page by page', async () => {
  assert.deepEqual((await call('ListTables', {})).output, { TableNames: ['others', 'records'] });
  assert.deepEqual((await call('ListTables', { Limit: 1 })).output, {
    TableNames: ['others'],
    LastEvaluatedTableName: 'others',
  });
  const next = await call('ListTables', { ExclusiveStartTableName: 'others' });
  assert.deepEqual(next.output, { TableNames: ['records'] });
  assert.deepEqual((await call('ListTables', {}, 'eu-west-1')).output, { TableNames: [] });
});

test('time to live is off', async () => {
  const { output } = await call('DescribeTimeToLive', { TableName: 'others' });
  assert.deepEqual(output, { TimeToLiveDescription: { TimeToLiveStatus: 'DISABLED' } });
});
