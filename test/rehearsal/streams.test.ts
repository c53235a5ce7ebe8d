// The tables' streams: what is in them, how far each region's has come, and what the DynamoDB Streams API says of them.
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { DescribeTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import fc from 'fast-check';
import { startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { type Item, parseRequest } from '../../rehearsal/aws/dynamodb/dynalite.ts';
import { RegionLinks } from '../../rehearsal/aws/dynamodb/region-links.ts';
import { ReplicatedTable } from '../../rehearsal/aws/dynamodb/replicated-table.ts';
import { type StreamOptions, TableStream } from '../../rehearsal/aws/dynamodb/streams.ts';
import { DynamoDbStreams, sequenceNumber, streamArn } from '../../rehearsal/aws/dynamodb/streams-api.ts';
import type { Access } from '../../rehearsal/aws/iam-policy.ts';
import { signedCall } from '../../rehearsal/aws/signed-call.ts';
import { recordsSchema } from '../../rehearsal/aws/start-table.ts';
import {
  ACCOUNT,
  deploymentOf,
  keyArn,
  keys,
  PRIMARY,
  QUORUM,
  REGIONS,
  recordsTable,
  role,
  roleArn,
  STANDBY,
  TABLE,
} from './fake-deployment.ts';

const NO_LAG = { min: 0, max: 0 };
const HOUR_MS = 3_600_000;
const key = (pk: string) => ({ pk: { S: pk }, sk: { S: 'STATE' } });
const item = (pk: string, n: number): Item => ({ ...key(pk), n: { N: String(n) } });

interface Change {
  readonly eventName: string;
  readonly dynamodb: {
    readonly SequenceNumber: string;
    readonly Keys: Item;
    readonly NewImage?: Item;
    readonly OldImage?: Item;
  };
}

/** A table with a stream, and its API; what is asked of IAM is kept. */
async function open(t: TestContext | undefined, options: Partial<StreamOptions> = {}) {
  const links = new RegionLinks();
  const table = await ReplicatedTable.open({
    schema: recordsSchema('records'),
    regions: REGIONS,
    account: ACCOUNT,
    links,
    itemLag: NO_LAG,
    indexLag: NO_LAG,
    refusalMs: 20,
  });
  t?.after(() => table.close());
  const stream = new TableStream({ table, viewType: 'NEW_AND_OLD_IMAGES', ...options });
  const keyArns = new Map(REGIONS.map((region) => [region, keyArn(region)]));
  const api = new DynamoDbStreams([{ stream, keyArns }], ACCOUNT, options.now);
  const asked: Access[] = [];
  const call = (operation: string, input: Record<string, unknown>, region: string = PRIMARY) =>
    api.call({ operation, input, region, authorize: (access) => asked.push(access) });
  const arn = (region: string) => streamArn(region, ACCOUNT, 'records');
  const shard = async (region: string) => {
    const { StreamDescription } = await call('DescribeStream', { StreamArn: arn(region) }, region);
    return (StreamDescription as { Shards: { ShardId: string; SequenceNumberRange: object }[] }).Shards[0];
  };
  const iterator = async (type: string, region: string = PRIMARY, SequenceNumber?: string) => {
    const ShardId = (await shard(region))?.ShardId;
    const input = { StreamArn: arn(region), ShardId, ShardIteratorType: type, SequenceNumber };
    return String((await call('GetShardIterator', input, region))['ShardIterator']);
  };
  const read = async (ShardIterator: string, region: string = PRIMARY, Limit?: number) => {
    const answer = await call('GetRecords', { ShardIterator, Limit }, region);
    return { records: answer['Records'] as readonly Change[], next: String(answer['NextShardIterator']) };
  };
  return {
    table,
    links,
    stream,
    asked,
    call,
    arn,
    shard,
    iterator,
    read,
    put: (pk: string, n: number, region: string = PRIMARY) =>
      table.write(region, 'PutItem', { TableName: 'records', Item: item(pk, n) }, false),
    remove: (pk: string) => table.write(PRIMARY, 'DeleteItem', { TableName: 'records', Key: key(pk) }, false),
    /** Waits until a region has everything that was committed. */
    async caughtUp(region: string) {
      while (table.applied(region) < table.committed) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test('every change is in every region’s stream once, in order, with both images', async (t) => {
  const { put, remove, caughtUp, read, iterator } = await open(t);
  await put('a', 1);
  await put('a', 2, STANDBY);
  await remove('a');
  for (const region of REGIONS) {
    await caughtUp(region);
    const { records } = await read(await iterator('TRIM_HORIZON', region), region);
    assert.deepEqual(
      records.map(({ eventName, dynamodb: { OldImage, NewImage } }) => [eventName, OldImage, NewImage]),
      [
        ['INSERT', undefined, item('a', 1)],
        ['MODIFY', item('a', 1), item('a', 2)],
        ['REMOVE', item('a', 2), undefined],
      ],
    );
    const [first] = records;
    assert.deepEqual(first?.dynamodb.Keys, key('a'));
    assert.match(String(first?.dynamodb.SequenceNumber), /^\d{21}$/);
    assert.partialDeepStrictEqual(first, {
      eventVersion: '1.1',
      eventSource: 'aws:dynamodb',
      awsRegion: region,
      dynamodb: { StreamViewType: 'NEW_AND_OLD_IMAGES', SizeBytes: 23 },
    });
  }
});

test('a write that changes nothing, or fails, is in no stream', async (t) => {
  const { put, remove, caughtUp, read, iterator, table } = await open(t);
  await put('a', 1);
  await put('a', 1);
  await remove('b');
  const refused = {
    TableName: 'records',
    Item: item('a', 2),
    ConditionExpression: 'attribute_not_exists(pk)',
  };
  await assert.rejects(table.write(PRIMARY, 'PutItem', parseRequest('PutItem', refused), false));
  await caughtUp(PRIMARY);
  const { records } = await read(await iterator('TRIM_HORIZON'));
  assert.deepEqual(
    records.map(({ eventName }) => eventName),
    ['INSERT'],
  );
});

test('the stream of a cut-off region stands still with its replica, and goes on with it', async (t) => {
  const { put, links, caughtUp, read, iterator } = await open(t);
  const cut = (isCut: boolean) =>
    links.set([PRIMARY, STANDBY].map((other) => ({ between: [other, QUORUM], cut: isCut, delayMs: 0 })));
  await put('a', 1);
  await caughtUp(QUORUM);
  cut(true);
  await put('a', 2);
  const begun = await read(await iterator('TRIM_HORIZON', QUORUM), QUORUM);
  assert.equal(begun.records.length, 1);
  assert.equal((await read(begun.next, QUORUM)).records.length, 0);
  cut(false);
  await caughtUp(QUORUM);
  const { records } = await read(begun.next, QUORUM);
  assert.deepEqual(records[0]?.dynamodb.NewImage, item('a', 2));
});

test('iterators begin where they say', async (t) => {
  const { put, caughtUp, read, iterator } = await open(t);
  for (const n of [1, 2, 3]) await put('a', n);
  await caughtUp(PRIMARY);
  const latest = await iterator('LATEST');
  const second = sequenceNumber(2);
  const begins = async (from: string) =>
    (await read(from)).records.map(({ dynamodb }) => dynamodb.NewImage?.['n']?.['N']);
  assert.deepEqual(await begins(await iterator('AT_SEQUENCE_NUMBER', PRIMARY, second)), ['2', '3']);
  assert.deepEqual(await begins(await iterator('AFTER_SEQUENCE_NUMBER', PRIMARY, second)), ['3']);
  assert.deepEqual(await begins(latest), []);
  await put('a', 4);
  await caughtUp(PRIMARY);
  assert.deepEqual(await begins(latest), ['4']);
});

test('records are gone after a day: older places are refused, the oldest is where it begins', async (t) => {
  let now = Date.now();
  const { put, caughtUp, read, iterator, shard } = await open(t, { now: () => now });
  await put('a', 1);
  await put('a', 2);
  await caughtUp(PRIMARY);
  const old = await iterator('TRIM_HORIZON');
  now += 24 * HOUR_MS + 60_000;
  await assert.rejects(read(old), { name: 'ExpiredIteratorException' });
  await assert.rejects(iterator('AFTER_SEQUENCE_NUMBER', PRIMARY, sequenceNumber(1)), {
    name: 'TrimmedDataAccessException',
  });
  assert.deepEqual((await read(await iterator('TRIM_HORIZON'))).records, []);
  assert.deepEqual((await shard(PRIMARY))?.SequenceNumberRange, {
    StartingSequenceNumber: sequenceNumber(3),
  });
});

test('what outgrows the memory for it goes before its time, oldest first, and is said once', async (t) => {
  const said: string[] = [];
  const { put, caughtUp, read, iterator, stream } = await open(t, {
    bytesMax: 1_000,
    onDropped: (why) => said.push(why),
  });
  for (let n = 0; n < 60; n += 1) await put('a', n);
  await caughtUp(PRIMARY);
  const { records } = await read(await iterator('TRIM_HORIZON'));
  assert.ok(records.length > 5 && records.length < 60, `${records.length} records`);
  assert.equal(records.at(-1)?.dynamodb.NewImage?.['n']?.['N'], '59');
  assert.equal(records.length, 60 - stream.trimmed);
  assert.equal(said.length, 1);
  assert.match(String(said[0]), /^the stream of records keeps 1000 bytes: older records go/);
});

test('whatever the limit, reading on gives every record once', async (t) => {
  const { put, caughtUp, read, iterator } = await open(t);
  for (let n = 0; n < 40; n += 1) await put(`k${n % 3}`, n);
  await caughtUp(PRIMARY);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 40, maxLength: 40 }),
      async (limits) => {
        let from = await iterator('TRIM_HORIZON');
        const seen: unknown[] = [];
        for (const limit of limits) {
          const { records, next } = await read(from, PRIMARY, limit);
          assert.ok(records.length <= limit);
          seen.push(...records.map(({ dynamodb }) => Number(dynamodb.NewImage?.['n']?.['N'])));
          from = next;
        }
        assert.deepEqual(seen, [...Array(40).keys()]);
      },
    ),
    { numRuns: 10 },
  );
});

test('an answer ends at a megabyte, but is never empty for it', async (t) => {
  const { table, caughtUp, read, iterator } = await open(t);
  const wide = (pk: string, kb: number) => ({
    TableName: 'records',
    Item: { ...key(pk), text: { S: 'x'.repeat(kb * 1_024) } },
  });
  for (const pk of ['a', 'b', 'c', 'd']) await table.write(PRIMARY, 'PutItem', wide(pk, 300), false);
  await caughtUp(PRIMARY);
  const { records, next } = await read(await iterator('TRIM_HORIZON'));
  assert.equal(records.length, 3);
  assert.equal((await read(next)).records.length, 1);
});

test('each view carries the images of its name', async (t) => {
  const shown = async (viewType: StreamOptions['viewType']) => {
    const { put, caughtUp, read, iterator } = await open(t, { viewType });
    await put('a', 1);
    await put('a', 2);
    await caughtUp(PRIMARY);
    const { records } = await read(await iterator('AT_SEQUENCE_NUMBER', PRIMARY, sequenceNumber(2)));
    const { OldImage, NewImage } = records[0]?.dynamodb ?? {};
    return [OldImage !== undefined, NewImage !== undefined];
  };
  assert.deepEqual(await shown('KEYS_ONLY'), [false, false]);
  assert.deepEqual(await shown('OLD_IMAGE'), [true, false]);
  assert.deepEqual(await shown('NEW_IMAGE'), [false, true]);
});

test('what is asked wrongly is refused with what was expected', async (t) => {
  const { call, iterator, arn } = await open(t);
  const refused = (operation: string, input: object, name: string, message: RegExp) =>
    assert.rejects(call(operation, { ...input }), { name, message });
  await refused('GetRecords', {}, 'ValidationException', /shardIterator/);
  await refused('GetRecords', { ShardIterator: 'x' }, 'ValidationException', /Invalid ShardIterator: x/);
  const from = await iterator('LATEST');
  for (const Limit of [0, 1_001, 'many'])
    await refused(
      'GetRecords',
      { ShardIterator: from, Limit },
      'ValidationException',
      /Limit: expected 1 to 1000/,
    );
  await refused('DescribeStream', { StreamArn: arn(STANDBY) }, 'ResourceNotFoundException', /not found/);
  const at = { StreamArn: arn(PRIMARY), ShardId: 'none', ShardIteratorType: 'LATEST' };
  await refused('GetShardIterator', at, 'ResourceNotFoundException', /Shard does not exist/);
  await refused('Delete', {}, 'UnknownOperationException', /plays ListStreams, DescribeStream/);
  await assert.rejects(iterator('MIDDLE'), { name: 'ValidationException', message: /MIDDLE/ });
  await assert.rejects(iterator('AT_SEQUENCE_NUMBER', PRIMARY, '7'), {
    message: /21 digits of this stream, got 7/,
  });
});

test('streams of a region are listed a page at a time', async (t) => {
  const { call, arn } = await open(t);
  const { Streams } = await call('ListStreams', { TableName: 'records' }, QUORUM);
  assert.partialDeepStrictEqual(Streams, [{ StreamArn: arn(QUORUM), TableName: 'records' }]);
  assert.deepEqual(await call('ListStreams', { TableName: 'others' }), { Streams: [] });
  assert.deepEqual(await call('ListStreams', { ExclusiveStartStreamArn: arn(PRIMARY) }), { Streams: [] });
});

test('reading asks for the stream and for decryption through DynamoDB', async (t) => {
  const { read, iterator, asked, arn } = await open(t);
  await read(await iterator('LATEST', STANDBY), STANDBY);
  assert.deepEqual(
    asked.map(({ action, resource }) => [action, resource]),
    [
      ['dynamodb:DescribeStream', arn(STANDBY)],
      ['dynamodb:GetShardIterator', arn(STANDBY)],
      ['dynamodb:GetRecords', arn(STANDBY)],
      ['kms:Decrypt', keyArn(STANDBY)],
    ],
  );
  assert.deepEqual(asked.at(-1)?.context, { 'kms:ViaService': 'dynamodb.us-west-2.amazonaws.com' });
});

describe('over the endpoint', () => {
  const StreamArn = streamArn(PRIMARY, ACCOUNT, TABLE);
  const reader = role('reader', [
    { Effect: 'Allow', Action: 'dynamodb:DescribeStream', Resource: StreamArn },
  ]);
  let aws: Awaited<ReturnType<typeof startAws>>;
  before(async () => {
    const table = recordsTable({ StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' } });
    aws = await startAws({ deployment: deploymentOf(table, ...keys(), reader), hangMs: 50 });
  });
  after(() => aws.close());
  const call = (principal: string, operation: string, input: object) =>
    signedCall(
      {
        endpoint: aws.endpoint,
        credentials: credentialsOf(principal, PRIMARY),
        region: PRIMARY,
        service: 'dynamodb',
        timeoutMs: 5_000,
      },
      `DynamoDBStreams_20120810.${operation}`,
      input,
    );

  test('DescribeTable names the stream of its own region', async () => {
    const credentials = credentialsOf(OPERATOR, STANDBY);
    const client = new DynamoDBClient({ region: STANDBY, endpoint: aws.endpoint, credentials });
    const { Table } = await client.send(new DescribeTableCommand({ TableName: TABLE }));
    client.destroy();
    assert.equal(Table?.LatestStreamArn, streamArn(STANDBY, ACCOUNT, TABLE));
    assert.equal(Table?.LatestStreamArn?.endsWith(String(Table?.LatestStreamLabel)), true);
    assert.equal(Table?.StreamSpecification?.StreamViewType, 'NEW_AND_OLD_IMAGES');
  });

  test('a role may do what its policies say of the stream, and no more', async () => {
    await call(roleArn('reader'), 'DescribeStream', { StreamArn });
    const refused = { name: 'AccessDeniedException', message: /dynamodb:ListStreams/ };
    await assert.rejects(call(roleArn('reader'), 'ListStreams', {}), refused);
    const used = aws.iam.used.map(({ action }) => action);
    assert.ok(used.includes('dynamodb:DescribeStream'));
  });

  test('a region that is down answers nothing', async () => {
    aws.links.setUp(PRIMARY, false);
    await assert.rejects(call(OPERATOR, 'DescribeStream', { StreamArn }), { name: 'TypeError' });
    aws.links.setUp(PRIMARY, true);
    await call(OPERATOR, 'DescribeStream', { StreamArn });
  });
});
