// The store port on DynamoDB: which call each method is, and how long it may take.
import {
  BatchGetItemCommand,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  GetItemCommand,
  QueryCommand,
  UpdateItemCommand,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import {
  ATTRIBUTES,
  FEED_INDEX,
  feedShard,
  GENERATION_KEY,
  HEARTBEAT_SHARD,
  heartbeatKey,
  ROUTING_KEY,
  recordKeyOf,
  recordPk,
  regionStatusKey,
  writeProbeKey,
} from '../../protocol/items.ts';
import { WRITE_ATTEMPT_MS_MAX } from '../../protocol/limits.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { StoredRecord } from '../core/record.ts';
import type { FeedStatus } from '../core/steadiness.ts';
import { asUnavailable, attempt } from './attempts.ts';
import { type Item, itemKey, numberOf, recordOf, textOf, updateOf } from './record-items.ts';
import { RecordFullError, type Store, StoreUnavailableError, type WriteOutcome } from './store.ts';

export interface DynamoDBStoreOptions {
  /** Made by {@link createDynamoDBClient}: one attempt a call. */
  readonly client: DynamoDBClient;
  readonly tableName: string;
  /** One write. @default 10 s (PROTOCOL 1.3) */
  readonly writeAttemptMs?: number;
  /** One read, of which two are tried. @default 3 s */
  readonly readAttemptMs?: number;
}

const READ_ATTEMPT_MS = 3_000;
const READ_ATTEMPTS = 2;
/** Records in one batch read: at 256 KB each they stay far below its 16 MB.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html */
const BATCH_READ_MAX = 50;
/** How often what a batch read left out is asked for again. */
const BATCH_READ_ROUNDS = 8;

export function createDynamoDBStore({
  client,
  tableName,
  writeAttemptMs = WRITE_ATTEMPT_MS_MAX,
  readAttemptMs = READ_ATTEMPT_MS,
}: DynamoDBStoreOptions): Store {
  /** Reads change nothing, so one that failed is tried once more. */
  async function reading<T>(send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await attempt(readAttemptMs, send);
      } catch (error) {
        const unavailable = asUnavailable(error);
        if (tried === READ_ATTEMPTS || !unavailable.retryable) throw unavailable;
      }
    }
  }

  async function get(key: Item): Promise<Item | undefined> {
    const command = new GetItemCommand({ TableName: tableName, Key: key, ConsistentRead: true });
    return (await reading((abortSignal) => client.send(command, { abortSignal }))).Item;
  }

  function getControl({ pk, sk }: { readonly pk: string; readonly sk: string }): Promise<Item | undefined> {
    return get(controlKey(pk, sk));
  }

  /** Returns whether the condition held, with what was stored when it did not. */
  async function update(input: Omit<UpdateItemCommandInput, 'TableName'>): Promise<true | Item | undefined> {
    try {
      const command = new UpdateItemCommand({ TableName: tableName, ...input });
      await attempt(writeAttemptMs, (abortSignal) => client.send(command, { abortSignal }));
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return error.Item;
      if (error instanceof Error && /item size/i.test(error.message))
        throw new RecordFullError('the item has no room for this write', { cause: error });
      throw asUnavailable(error);
    }
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
      const answer = await reading((abortSignal) => client.send(command, { abortSignal }));
      for (const item of answer.Responses?.[tableName] ?? [])
        records.set(textOf(item, ATTRIBUTES.pk), recordOf(item));
      missing = answer.UnprocessedKeys?.[tableName]?.Keys;
    }
    return records;
  }

  return {
    async write(write): Promise<WriteOutcome> {
      const outcome = await update(updateOf(write));
      return outcome === true ? { written: true } : { written: false, stored: outcome && recordOf(outcome) };
    },

    async read(key) {
      const item = await get(itemKey(key));
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
      const { Items = [], LastEvaluatedKey: last } = await reading((abortSignal) =>
        client.send(command, { abortSignal }),
      );
      const rows = Items.flatMap((item) => {
        const key = recordKeyOf(textOf(item, ATTRIBUTES.pk));
        return key ? [{ key, position: textOf(item, ATTRIBUTES.feedOrder) }] : [];
      });
      return { rows, next: last && textOf(last, ATTRIBUTES.feedOrder) };
    },

    async generation() {
      const item = await getControl(GENERATION_KEY);
      if (!item) return undefined;
      const status = textOf(item, 'status') === 'open' ? 'open' : 'restoring';
      return { status, restoreEpoch: numberOf(item, 'restoreEpoch') };
    },

    async routing() {
      const item = await getControl(ROUTING_KEY);
      return item && { activeRegion: textOf(item, 'activeRegion'), epoch: numberOf(item, 'epoch') };
    },

    async feedStatus(region) {
      const item = await getControl(regionStatusKey(region));
      if (!item) return undefined;
      const checkedAt = numberOf(item, 'checkedAt');
      return item['steadySince'] ? { checkedAt, steadySince: numberOf(item, 'steadySince') } : { checkedAt };
    },

    async saveFeedStatus(region, status, previous) {
      const outcome = await update(statusUpdate(region, status, previous));
      return outcome === true;
    },

    async beat(region, atMs) {
      const { pk, sk } = heartbeatKey(region);
      const outcome = await update({
        Key: controlKey(pk, sk),
        UpdateExpression: 'SET #fs = :fs, #fo = :fo',
        ConditionExpression: 'attribute_not_exists(#fo) OR #fo < :fo',
        ExpressionAttributeNames: { '#fs': ATTRIBUTES.feedShard, '#fo': ATTRIBUTES.feedOrder },
        ExpressionAttributeValues: {
          ':fs': { S: HEARTBEAT_SHARD },
          ':fo': { S: `${String(atMs).padStart(13, '0')}#${region}` },
        },
      });
      return outcome === true;
    },

    async beats() {
      const command = new QueryCommand({
        TableName: tableName,
        IndexName: FEED_INDEX,
        KeyConditionExpression: '#fs = :fs',
        ExpressionAttributeNames: { '#fs': ATTRIBUTES.feedShard },
        ExpressionAttributeValues: { ':fs': { S: HEARTBEAT_SHARD } },
      });
      const { Items = [] } = await reading((abortSignal) => client.send(command, { abortSignal }));
      return Items.map((item) => {
        const [at, region] = textOf(item, ATTRIBUTES.feedOrder).split('#');
        return { region: region ?? '', atMs: Number(at) };
      });
    },

    async probe(region, atMs) {
      const { pk, sk } = writeProbeKey(region);
      await update({
        Key: controlKey(pk, sk),
        UpdateExpression: 'SET probedAt = :at',
        ExpressionAttributeValues: { ':at': { N: String(atMs) } },
      });
    },
  };
}

type StoredByPk = ReadonlyMap<string, StoredRecord>;

function controlKey(pk: string, sk: string): Item {
  return { [ATTRIBUTES.pk]: { S: pk }, [ATTRIBUTES.sk]: { S: sk } };
}

function statusUpdate(
  region: string,
  { checkedAt, steadySince }: FeedStatus,
  previous: FeedStatus | undefined,
): Omit<UpdateItemCommandInput, 'TableName'> {
  const { pk, sk } = regionStatusKey(region);
  return {
    Key: controlKey(pk, sk),
    UpdateExpression:
      steadySince === undefined
        ? 'SET checkedAt = :checked REMOVE steadySince'
        : 'SET checkedAt = :checked, steadySince = :since',
    ConditionExpression: previous ? 'checkedAt = :previous' : 'attribute_not_exists(checkedAt)',
    ExpressionAttributeValues: {
      ':checked': { N: String(checkedAt) },
      ...(steadySince !== undefined && { ':since': { N: String(steadySince) } }),
      ...(previous && { ':previous': { N: String(previous.checkedAt) } }),
    },
  };
}
