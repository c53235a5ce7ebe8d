// Scratch tables on DynamoDB (DESIGN §6): in the Region of whoever verifies, on demand, under the Region's own key, and
// named by a pattern that is all the function may touch beside its own state.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BatchWriteItemCommand,
  CreateTableCommand,
  DeleteTableCommand,
  DescribeTableCommand,
  type DynamoDBClient,
  ResourceInUseException,
  ResourceNotFoundException,
  ScanCommand,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb';
import { EdenFieldError } from '../../protocol/errors.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { fromItem, toItem } from '../../protocol/item-values.ts';
import { ATTRIBUTES } from '../../protocol/items.ts';
import { asUnavailable, attempt } from './attempts.ts';
import { StoreUnavailableError } from './store.ts';

/** What is put there, and what DynamoDB says of an item that it does not take. */
export interface RefusedItem {
  readonly item: ExportedItem;
  readonly why: string;
}

export interface ScratchScanPage {
  readonly items: readonly ExportedItem[];
  /** Undefined: the segment has no more. */
  readonly after: ExportedItem | undefined;
}

/** Every method throws `StoreUnavailableError` when DynamoDB refuses, throttles for too long or does not answer: that is
 * never the backup's fault. Putting a thing twice puts the same thing. */
export interface ScratchTables {
  /** An empty one, ready to be used. What has the name already goes first. */
  make(table: string): Promise<void>;
  /** Gives those that DynamoDB does not take as items of a table; all others are in it.
   * @throws {ScratchTableLostError} */
  put(table: string, items: readonly ExportedItem[]): Promise<readonly RefusedItem[]>;
  /** One page of one of so many segments, by a consistent read. @throws {ScratchTableLostError} */
  page(
    table: string,
    segment: number,
    segments: number,
    after: ExportedItem | undefined,
  ): Promise<ScratchScanPage>;
  /** Also when it is not there. It may be a while until it is gone. */
  drop(table: string): Promise<void>;
}

/** A table that was made is not there any more: somebody deleted it. Loading it anew is all that is to be done. */
export class ScratchTableLostError extends EdenFieldError {
  readonly code = 'scratch_table_lost';
  readonly retryable = true;
}

export interface ScratchTablesOptions {
  /** Made by `createDynamoDBClient`: one attempt a call. */
  readonly client: DynamoDBClient;
  /** That every table is encrypted with. */
  readonly keyArn: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Of one call. @default 10 s */
  readonly attemptMs?: number;
  /** How long a table is waited for that is being made or deleted, and a busy one is asked again. @default 2 min */
  readonly patienceMs?: number;
  /** @default Math.random */
  readonly random?: () => number;
}

const ATTEMPT_MS = 10_000;
const PATIENCE_MS = 120_000;
const BACKOFF_MS = { first: 50, max: 3_000 } as const;
const LOOK_EVERY_MS = 1_000;
const FIRST_LOOK_MS = 50;
/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html */
const BATCH_MAX = 25;
const BATCHES_AT_ONCE = 8;
/** Also when a batch is in itself impossible, such as with the same key twice. */
const REFUSAL = 'ValidationException';

export function createScratchTables(options: ScratchTablesOptions): ScratchTables {
  const { client, keyArn, tags, random = Math.random } = options;
  const { attemptMs = ATTEMPT_MS, patienceMs = PATIENCE_MS } = options;

  /** Again for as long as DynamoDB is merely busy. Throws what is another matter as it came. */
  async function insisting<T>(send: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    const untilMs = performance.now() + patienceMs;
    for (let tried = 1; ; tried += 1)
      try {
        return await attempt(attemptMs, send);
      } catch (error) {
        const unavailable = asUnavailable(error);
        const passing = unavailable.retryable || unavailable.mayHaveLanded;
        if (!passing) throw error;
        if (performance.now() > untilMs) throw unavailable;
        await pause(tried);
      }
  }

  async function pause(tried: number): Promise<void> {
    await sleep(random() * Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** tried));
  }

  /** Undefined when there is none. */
  async function statusOf(TableName: string): Promise<string | undefined> {
    try {
      const command = new DescribeTableCommand({ TableName });
      const { Table: table } = await insisting((abortSignal) => client.send(command, { abortSignal }));
      return table?.TableStatus;
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw asUnavailable(error);
    }
  }

  async function waitFor(table: string, wanted: string | undefined): Promise<void> {
    const untilMs = performance.now() + patienceMs;
    for (let lookMs = FIRST_LOOK_MS; ; lookMs = Math.min(LOOK_EVERY_MS, lookMs * 2)) {
      const status = await statusOf(table);
      if (status === wanted) return;
      if (performance.now() > untilMs)
        throw new StoreUnavailableError(
          `scratch table ${table}: expected ${wanted ?? 'it to be gone'} within ${patienceMs} ms, it is ${status}`,
          { retryable: true, mayHaveLanded: true },
        );
      await sleep(lookMs);
    }
  }

  async function drop(TableName: string): Promise<void> {
    for (let tried = 1; ; tried += 1)
      try {
        const command = new DeleteTableCommand({ TableName });
        await insisting((abortSignal) => client.send(command, { abortSignal }));
        return;
      } catch (error) {
        if (error instanceof ResourceNotFoundException) return;
        // It is being made, or deleted already.
        if (!(error instanceof ResourceInUseException)) throw asUnavailable(error);
        const status = await statusOf(TableName);
        if (status === undefined || status === 'DELETING') return;
        if (tried > 1) throw asUnavailable(error);
        await waitFor(TableName, 'ACTIVE');
      }
  }

  async function make(table: string): Promise<void> {
    await drop(table);
    await waitFor(table, undefined);
    const { pk, sk } = ATTRIBUTES;
    const command = new CreateTableCommand({
      TableName: table,
      AttributeDefinitions: [pk, sk].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
      KeySchema: [
        { AttributeName: pk, KeyType: 'HASH' },
        { AttributeName: sk, KeyType: 'RANGE' },
      ],
      BillingMode: 'PAY_PER_REQUEST',
      SSESpecification: { Enabled: true, SSEType: 'KMS', KMSMasterKeyId: keyArn },
      Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
    });
    try {
      await insisting((abortSignal) => client.send(command, { abortSignal }));
    } catch (error) {
      // An attempt that was given up may have landed: it is as empty.
      if (!(error instanceof ResourceInUseException)) throw asUnavailable(error);
    }
    await waitFor(table, 'ACTIVE');
  }

  async function putBatch(table: string, items: readonly ExportedItem[]): Promise<readonly RefusedItem[]> {
    let requests: WriteRequest[] = items.map((item) => ({ PutRequest: { Item: toItem(item) } }));
    const untilMs = performance.now() + patienceMs;
    for (let tried = 1; requests.length > 0; tried += 1) {
      const command = new BatchWriteItemCommand({ RequestItems: { [table]: requests } });
      try {
        const { UnprocessedItems: left } = await insisting((abortSignal) =>
          client.send(command, { abortSignal }),
        );
        requests = left?.[table] ?? [];
      } catch (error) {
        if (!(error instanceof Error && error.name === REFUSAL)) throw lostOr(error, table);
        const [only, ...others] = items;
        if (only && others.length === 0) return [{ item: only, why: error.message }];
        // It does not say which: each by itself then.
        const each: RefusedItem[] = [];
        for (const item of items) each.push(...(await putBatch(table, [item])));
        return each;
      }
      if (requests.length === 0) break;
      if (performance.now() > untilMs)
        throw new StoreUnavailableError(`scratch table ${table}: ${requests.length} items stay unprocessed`, {
          retryable: true,
          mayHaveLanded: true,
        });
      await pause(tried);
    }
    return [];
  }

  return {
    make,
    drop,

    async put(table, items) {
      const batches: (readonly ExportedItem[])[] = [];
      for (let at = 0; at < items.length; at += BATCH_MAX) batches.push(items.slice(at, at + BATCH_MAX));
      const waiting = batches.values();
      const lanes = Array.from({ length: Math.min(BATCHES_AT_ONCE, batches.length) }, async () => {
        const refused: RefusedItem[] = [];
        for (const batch of waiting) refused.push(...(await putBatch(table, batch)));
        return refused;
      });
      return (await Promise.all(lanes)).flat();
    },

    async page(table, segment, segments, after) {
      const command = new ScanCommand({
        TableName: table,
        ConsistentRead: true,
        Segment: segment,
        TotalSegments: segments,
        ...(after && { ExclusiveStartKey: toItem(after) }),
      });
      try {
        const { Items: items = [], LastEvaluatedKey: last } = await insisting((abortSignal) =>
          client.send(command, { abortSignal }),
        );
        return { items: items.map(fromItem), after: last && fromItem(last) };
      } catch (error) {
        throw lostOr(error, table);
      }
    },
  };
}

function lostOr(error: unknown, table: string): Error {
  return error instanceof ResourceNotFoundException
    ? new ScratchTableLostError(`scratch table ${table} is not there any more`, { cause: error })
    : asUnavailable(error);
}
