// The table that the replicated-table contract is about, and what its cases do to it: every item is a number `n` with
// one entry in the index.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AttributeValue,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';

export interface TableUnderTest {
  /** Primary, standby, quorum. */
  readonly regions: readonly [string, string, string];
  /** Key `pk`, `sk`; index `feed` on `feedShard`, `feedOrder`. */
  readonly tableName: string;
  /** A client of that region's endpoint, in that region. */
  client(region: string, options?: { readonly maxAttempts?: number }): DynamoDBClient;
  /** Absent where the adapter has no network to break. */
  readonly faults?: {
    /** @param delayMs one way */
    link(
      between: readonly [string, string],
      state: { readonly cut?: boolean; readonly delayMs?: number },
    ): void;
    replica(region: string, up: boolean): void;
  };
  close(): Promise<void>;
}

/** Every other property of the error is the SDK's own. */
export interface SdkError {
  readonly name: string;
  readonly $metadata: { readonly httpStatusCode?: number };
  readonly Item?: Record<string, AttributeValue>;
}

/** The error a call ends with; fails when it ends well. */
export const failure = (promise: Promise<unknown>): Promise<SdkError> =>
  promise.then(
    (value) => assert.fail(`expected a refusal, got ${JSON.stringify(value)}`),
    (error: SdkError) => error,
  );

let keys = 0;
/** A partition key that no case has used. */
export const newKey = () => `item-${++keys}`;
export const keyOf = (pk: string) => ({ pk: { S: pk }, sk: { S: 'STATE' } });
export const itemOf = (pk: string, n: number) => ({
  ...keyOf(pk),
  n: { N: String(n) },
  feedShard: { S: `shard-${pk}` },
  feedOrder: { S: String(n).padStart(6, '0') },
});

/** Waits until `find` gives what is expected, for at most five seconds. */
export const eventually = async <T>(find: () => Promise<T>, expected: T) => {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const found = await find();
    if (JSON.stringify(found) === JSON.stringify(expected)) return;
    if (Date.now() > deadline) assert.deepEqual(found, expected);
    await sleep(5);
  }
};

/** The fastest of three, in ms: what else the machine does must not count. */
export const timed = async (run: () => Promise<unknown>) => {
  let fastest = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 3; attempt++) {
    const start = performance.now();
    await run();
    fastest = Math.min(fastest, performance.now() - start);
  }
  return fastest;
};

/** What cases do with a table that is not open yet when they are written down. */
export function operationsOn(table: () => TableUnderTest) {
  const put = (region: string, pk: string, n: number) =>
    table()
      .client(region)
      .send(new PutItemCommand({ TableName: table().tableName, Item: itemOf(pk, n) }));
  const create = (region: string, pk: string, n: number, returnOld = false) =>
    table()
      .client(region)
      .send(
        new PutItemCommand({
          TableName: table().tableName,
          Item: itemOf(pk, n),
          ConditionExpression: 'attribute_not_exists(pk)',
          ...(returnOld && { ReturnValuesOnConditionCheckFailure: 'ALL_OLD' }),
        }),
      );
  /** Writes n where n - 1 stands. */
  const step = (region: string, pk: string, n: number) =>
    table()
      .client(region)
      .send(
        new UpdateItemCommand({
          TableName: table().tableName,
          Key: keyOf(pk),
          UpdateExpression: 'SET n = :n',
          ConditionExpression: 'n = :before',
          ExpressionAttributeValues: { ':n': { N: String(n) }, ':before': { N: String(n - 1) } },
        }),
      );
  const read = async (region: string, pk: string, ConsistentRead: boolean) => {
    const command = new GetItemCommand({ TableName: table().tableName, Key: keyOf(pk), ConsistentRead });
    const { Item } = await table().client(region).send(command);
    return Item?.['n']?.N === undefined ? undefined : Number(Item['n'].N);
  };
  const indexed = async (region: string, pk: string) => {
    const { Items = [] } = await table()
      .client(region)
      .send(
        new QueryCommand({
          TableName: table().tableName,
          IndexName: 'feed',
          KeyConditionExpression: 'feedShard = :shard',
          ExpressionAttributeValues: { ':shard': { S: `shard-${pk}` } },
        }),
      );
    return Items.map((item) => Number(item['feedOrder']?.S));
  };
  return { put, create, step, read, indexed };
}
