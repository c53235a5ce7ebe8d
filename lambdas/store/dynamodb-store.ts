// The store port on DynamoDB, through one region's endpoint: which call each method is, and how long it may take.
import { BatchGetItemCommand, type DynamoDBClient, QueryCommand } from '@aws-sdk/client-dynamodb';
import {
  ATTRIBUTES,
  FEED_INDEX,
  feedShard,
  recordKeyOf,
  recordPk,
  sweepOrderOf,
  sweepShard,
  TOMBSTONE_INDEX,
} from '../../protocol/items.ts';
import { WRITE_ATTEMPT_MS_MAX } from '../../protocol/limits.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { StoredRecord } from '../core/record.ts';
import { controlItems } from './control-items.ts';
import { readCopies } from './copies.ts';
import {
  commitVersionIn,
  decisionOf,
  itemKey,
  recordOf,
  sweepOf,
  textOf,
  trimOf,
  updateOf,
} from './record-items.ts';
import { routingItems } from './routing-items.ts';
import { type Store, StoreUnavailableError, type WriteOutcome } from './store.ts';
import { TableCalls } from './table-calls.ts';
import type { Item, Update } from './update-draft.ts';

export interface DynamoDBStoreOptions {
  /** Made by {@link createDynamoDBClient}: one attempt a call. */
  readonly client: DynamoDBClient;
  readonly tableName: string;
  /** Clients of every region's endpoint, this one's too, for votes. @default none: there are no copies to ask */
  readonly peers?: ReadonlyMap<string, DynamoDBClient>;
  /** With eventual replication: the region of this endpoint, which every write then names. @default writes name none */
  readonly through?: string;
  /** One write. @default 10 s (PROTOCOL 1.3) */
  readonly writeAttemptMs?: number;
  /** One read, of which two are tried. @default 3 s */
  readonly readAttemptMs?: number;
  /** One region's copy, tried once. @default 2 s */
  readonly copyAttemptMs?: number;
}

const READ_ATTEMPT_MS = 3_000;
const COPY_ATTEMPT_MS = 2_000;
/** Records in one batch read: at 256 KB each they stay below its 16 MB; what full outboxes push out of it is asked for
 * again.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html */
const BATCH_READ_MAX = 50;
/** How often what a batch read left out is asked for again. */
const BATCH_READ_ROUNDS = 8;

export function createDynamoDBStore({
  client,
  tableName,
  peers = new Map(),
  through,
  writeAttemptMs = WRITE_ATTEMPT_MS_MAX,
  readAttemptMs = READ_ATTEMPT_MS,
  copyAttemptMs = COPY_ATTEMPT_MS,
}: DynamoDBStoreOptions): Store {
  const calls = new TableCalls({ client, tableName, writeAttemptMs, readAttemptMs });

  async function writing(update: Update): Promise<WriteOutcome> {
    const outcome = await calls.update(update);
    return outcome === true ? { written: true } : { written: false, stored: outcome && recordOf(outcome) };
  }

  async function readBatch(keys: readonly RecordKey[]): Promise<StoredByPk> {
    const records = new Map<string, StoredRecord>();
    // An index may show a record at its old and its new place for a moment; a batch read takes each key once.
    const unique = new Map(keys.map((key) => [recordPk(key), itemKey(key)]));
    let missing: Item[] | undefined = [...unique.values()];
    for (let round = 0; missing && missing.length > 0; round += 1) {
      if (round === BATCH_READ_ROUNDS)
        throw new StoreUnavailableError(`a batch read left records out ${round} times`, {
          retryable: true,
          mayHaveLanded: false,
        });
      const command: BatchGetItemCommand = new BatchGetItemCommand({
        RequestItems: { [tableName]: { Keys: missing, ConsistentRead: true } },
      });
      const answer = await calls.reading((abortSignal) => client.send(command, { abortSignal }));
      for (const item of answer.Responses?.[tableName] ?? [])
        records.set(textOf(item, ATTRIBUTES.pk), recordOf(item));
      missing = answer.UnprocessedKeys?.[tableName]?.Keys;
    }
    return records;
  }

  return {
    ...controlItems(calls),
    ...routingItems(calls),

    write: (write) => writing(updateOf(write, through)),

    decide: (decision) => writing(decisionOf(decision, through)),

    copies: (key, isEnough) => readCopies({ peers, tableName, attemptMs: copyAttemptMs }, key, isEnough),

    async trim(key, commitVersion, outbox) {
      return (await calls.update(trimOf(key, commitVersion, outbox))) === true;
    },

    async tombstones(shard, before, limit, after) {
      // A sort key takes one comparison, so those that are too young are left out here.
      const command = new QueryCommand({
        TableName: tableName,
        IndexName: TOMBSTONE_INDEX,
        KeyConditionExpression: '#ss = :ss AND #so > :after',
        ExpressionAttributeNames: { '#ss': ATTRIBUTES.sweepShard, '#so': ATTRIBUTES.sweepOrder },
        ExpressionAttributeValues: {
          ':ss': { S: sweepShard(shard) },
          ':after': { S: after ? sweepOrderOf(after.commitVersion, after.key) : '0' },
        },
        Limit: limit,
      });
      const { Items = [] } = await calls.reading((abortSignal) => client.send(command, { abortSignal }));
      return Items.flatMap((item) => {
        const key = recordKeyOf(textOf(item, ATTRIBUTES.pk));
        const commitVersion = commitVersionIn(textOf(item, ATTRIBUTES.sweepOrder));
        return key && commitVersion < before ? [{ key, commitVersion }] : [];
      });
    },

    sweep: (tombstone) => calls.delete(sweepOf(tombstone)),

    async read(key) {
      const item = await calls.get(itemKey(key));
      return item && recordOf(item);
    },

    async readMany(keys, bytesMax) {
      const records = new Map<string, StoredRecord>();
      let bytes = 0;
      let looked = 0;
      while (looked < keys.length && bytes < bytesMax) {
        const batch = keys.slice(looked, looked + BATCH_READ_MAX);
        const found = await readBatch(batch);
        for (const key of batch) {
          if (bytes >= bytesMax) break;
          looked += 1;
          const record = found.get(recordPk(key));
          if (!record) continue;
          records.set(recordPk(key), record);
          bytes += record.content.deleted ? 0 : Buffer.byteLength(record.content.payload);
        }
      }
      return { records, looked };
    },

    async feed({ tenant, shard, after, limit, collection }) {
      const names: Record<string, string> = { '#fs': ATTRIBUTES.feedShard, '#fo': ATTRIBUTES.feedOrder };
      // A key condition must not compare with the empty string; every position is above "0".
      const values: Item = { ':fs': { S: feedShard(tenant, shard) }, ':after': { S: after || '0' } };
      if (collection !== undefined) {
        names['#pk'] = ATTRIBUTES.pk;
        values[':records'] = { S: recordPk({ tenant, collection, id: '' }) };
      }
      const command = new QueryCommand({
        TableName: tableName,
        IndexName: FEED_INDEX,
        KeyConditionExpression: '#fs = :fs AND #fo > :after',
        ...(collection !== undefined && { FilterExpression: 'begins_with(#pk, :records)' }),
        ExpressionAttributeNames: names,
        ExpressionAttributeValues: values,
        Limit: limit,
      });
      const { Items = [], LastEvaluatedKey: last } = await calls.reading((abortSignal) =>
        client.send(command, { abortSignal }),
      );
      const rows = Items.flatMap((item) => {
        const key = recordKeyOf(textOf(item, ATTRIBUTES.pk));
        return key ? [{ key, position: textOf(item, ATTRIBUTES.feedOrder) }] : [];
      });
      return { rows, next: last && textOf(last, ATTRIBUTES.feedOrder) };
    },
  };
}

type StoredByPk = ReadonlyMap<string, StoredRecord>;
