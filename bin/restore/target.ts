// The table that is restored into: its records, its generation, and how far the restore has come. Every call is one
// attempt that is destroyed when its time is up (PROTOCOL 1.3), tried again for as long as the table is merely busy.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AttributeValue,
  BatchGetItemCommand,
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  type PutItemCommandInput,
  ScanCommand,
  UpdateItemCommand,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { fromItem, toItem } from '../../protocol/item-values.ts';
import { ATTRIBUTES, GENERATION_KEY, RECORD_PK_PREFIX, RESTORE_KEY, STATE } from '../../protocol/items.ts';
import { WRITE_ATTEMPT_MS_MAX } from '../../protocol/limits.ts';
import type { TableAddress } from '../routing/where.ts';

export interface TargetOptions {
  readonly address: TableAddress;
  /** The one that is written through comes first. */
  readonly regions: readonly string[];
  readonly lanes: number;
}

export interface TableGeneration {
  readonly isOpen: boolean;
  readonly restoreEpoch: number;
  /** Of the restore that closed it. */
  readonly restoreId: string | undefined;
}

export interface SavedState {
  /** 0: none was ever saved. */
  readonly revision: number;
  /** JSON; undefined: nothing is under way. */
  readonly state: string | undefined;
}

type Item = Record<string, AttributeValue>;
type Send = (abortSignal: AbortSignal) => Promise<unknown>;

/** `BatchWriteItem` takes no more; read by as many, what lanes hold at once stays small however large the items are.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html */
export const BATCH_MAX = 25;
/** How long a busy table is asked again. */
const PATIENCE_MS = 180_000;
const BACKOFF_MS = { first: 25, max: 2_000 } as const;
const SCAN_SEGMENTS = 8;
const BUSY =
  /Throttl|Throughput|LimitExceeded|InternalServerError|ServiceUnavailable|ReplicatedWriteConflict|Timeout|Abort|ECONN|EPIPE|socket|hang up/i;

const keyOf = ({ pk, sk }: { readonly pk: string; readonly sk: string }): Item => ({
  [ATTRIBUTES.pk]: { S: pk },
  [ATTRIBUTES.sk]: { S: sk },
});

export class Target {
  readonly name: string;
  readonly regions: readonly string[];
  readonly #clients: readonly DynamoDBClient[];

  constructor({ address: { name, endpoint, credentials }, regions, lanes }: TargetOptions) {
    this.name = name;
    this.regions = regions;
    this.#clients = regions.map(
      (region) =>
        new DynamoDBClient({
          region,
          maxAttempts: 1,
          requestHandler: {
            connectionTimeout: 5_000,
            httpAgent: { maxSockets: lanes },
            httpsAgent: { maxSockets: lanes },
          },
          ...(endpoint !== undefined && { endpoint }),
          ...(credentials && { credentials }),
        }),
    );
  }

  close(): void {
    for (const client of this.#clients) client.destroy();
  }

  async generation(): Promise<TableGeneration | undefined> {
    const item = await this.#get(GENERATION_KEY);
    return (
      item && {
        isOpen: item['status']?.S === 'open',
        restoreEpoch: Number(item['restoreEpoch']?.N ?? 0),
        restoreId: item['restoreId']?.S,
      }
    );
  }

  /** PROTOCOL 8.1. False: it is not what `seen` says any more. */
  async shut(seen: TableGeneration | undefined, id: string): Promise<boolean> {
    return await this.#update({
      Key: keyOf(GENERATION_KEY),
      UpdateExpression: 'SET #s = :restoring, #id = :id, #e = if_not_exists(#e, :none)',
      ConditionExpression: seen
        ? `#s ${seen.isOpen ? '=' : '<>'} :open AND #e = :e`
        : `attribute_not_exists(#s)`,
      ExpressionAttributeNames: { '#s': 'status', '#id': 'restoreId', '#e': 'restoreEpoch' },
      ExpressionAttributeValues: {
        ':restoring': { S: 'restoring' },
        ':id': { S: id },
        ':none': { N: '0' },
        ...(seen && { ':open': { S: 'open' }, ':e': { N: String(seen.restoreEpoch) } }),
      },
    });
  }

  /** Raises the epoch and opens, in one write. False: it is not closed by this restore any more. */
  async unshut(id: string, restoreEpoch: number): Promise<boolean> {
    const done = await this.#update({
      Key: keyOf(GENERATION_KEY),
      UpdateExpression: 'SET #s = :open, #e = :e REMOVE #id',
      ConditionExpression: '#s = :restoring AND #id = :id AND #e <= :e',
      ExpressionAttributeNames: { '#s': 'status', '#id': 'restoreId', '#e': 'restoreEpoch' },
      ExpressionAttributeValues: {
        ':open': { S: 'open' },
        ':restoring': { S: 'restoring' },
        ':id': { S: id },
        ':e': { N: String(restoreEpoch) },
      },
    });
    if (done) return true;
    // An attempt that was given up may have landed.
    const now = await this.generation();
    return now?.isOpen === true && now.restoreEpoch === restoreEpoch;
  }

  async saved(): Promise<SavedState> {
    const item = await this.#get(RESTORE_KEY);
    return { revision: Number(item?.['revision']?.N ?? 0), state: item?.['state']?.S };
  }

  /** False: somebody else has saved since. */
  async save(state: string | undefined, revision: number): Promise<boolean> {
    const input: Omit<UpdateItemCommandInput, 'TableName'> = {
      Key: keyOf(RESTORE_KEY),
      UpdateExpression: `SET #r = :next${state === undefined ? ' REMOVE #s' : ', #s = :s'}`,
      ConditionExpression: revision === 0 ? 'attribute_not_exists(#r)' : '#r = :r',
      ExpressionAttributeNames: { '#r': 'revision', '#s': 'state' },
      ExpressionAttributeValues: {
        ':next': { N: String(revision + 1) },
        ...(revision > 0 && { ':r': { N: String(revision) } }),
        ...(state !== undefined && { ':s': { S: state } }),
      },
    };
    if (await this.#update(input)) return true;
    const now = await this.saved();
    return now.revision === revision + 1 && now.state === state;
  }

  /** Unconditionally: into a table that is closed and was empty. */
  async putAll(items: readonly ExportedItem[]): Promise<void> {
    let requests: { PutRequest: { Item: Item } }[] = items.map((item) => ({
      PutRequest: { Item: toItem(item) },
    }));
    for (let tried = 0; requests.length > 0; tried += 1) {
      if (tried > 0) await pause(tried);
      const { UnprocessedItems: left } = await this.#insist((abortSignal) =>
        this.#writer.send(new BatchWriteItemCommand({ RequestItems: { [this.name]: requests } }), {
          abortSignal,
        }),
      );
      requests = (left?.[this.name] ?? []).flatMap(({ PutRequest }) =>
        PutRequest?.Item ? [{ PutRequest: { Item: PutRequest.Item } }] : [],
      );
    }
  }

  /** Whether the condition held. */
  async put(
    item: ExportedItem,
    condition: Omit<PutItemCommandInput, 'TableName' | 'Item'>,
  ): Promise<boolean> {
    const command = new PutItemCommand({ TableName: this.name, Item: toItem(item), ...condition });
    return await this.#conditional((abortSignal) => this.#writer.send(command, { abortSignal }));
  }

  /** What each Region's replica has of these, by a consistent read of each; a Region that does not answer is left out. */
  async copies(pks: readonly string[]): Promise<readonly ReadonlyMap<string, ExportedItem>[]> {
    const answers = await Promise.allSettled(this.#clients.map((client) => this.#getAll(client, pks)));
    const heard = answers.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []));
    const [first] = answers;
    if (heard.length === 0 && first?.status === 'rejected') throw first.reason;
    return heard;
  }

  async #getAll(client: DynamoDBClient, pks: readonly string[]): Promise<ReadonlyMap<string, ExportedItem>> {
    const found = new Map<string, ExportedItem>();
    let keys = pks.map((pk) => keyOf({ pk, sk: STATE }));
    for (let tried = 0; keys.length > 0; tried += 1) {
      if (tried > 0) await pause(tried);
      const command = new BatchGetItemCommand({
        RequestItems: { [this.name]: { Keys: keys, ConsistentRead: true } },
      });
      const { Responses, UnprocessedKeys } = await this.#insist(
        (abortSignal) => client.send(command, { abortSignal }),
        client === this.#writer ? PATIENCE_MS : WRITE_ATTEMPT_MS_MAX,
      );
      for (const item of Responses?.[this.name] ?? [])
        found.set(item[ATTRIBUTES.pk]?.S ?? '', fromItem(item));
      keys = UnprocessedKeys?.[this.name]?.Keys ?? [];
    }
    return found;
  }

  /** Whether there is any record. */
  async hasRecords(): Promise<boolean> {
    for await (const items of this.#pages({ ProjectionExpression: ATTRIBUTES.pk }))
      if (items.some((item) => item[ATTRIBUTES.pk]?.S?.startsWith(RECORD_PK_PREFIX))) return true;
    return false;
  }

  /** Every item of a record, by consistent reads, several pages at once. */
  async scan(take: (items: readonly ExportedItem[]) => void): Promise<void> {
    await Promise.all(
      Array.from({ length: SCAN_SEGMENTS }, async (_, Segment) => {
        for await (const items of this.#pages({ Segment, TotalSegments: SCAN_SEGMENTS }))
          take(items.filter((item) => item[ATTRIBUTES.pk]?.S?.startsWith(RECORD_PK_PREFIX)).map(fromItem));
      }),
    );
  }

  async *#pages(input: object): AsyncGenerator<readonly Item[]> {
    let after: Item | undefined;
    do {
      const command: ScanCommand = new ScanCommand({
        TableName: this.name,
        ConsistentRead: true,
        ...input,
        ...(after && { ExclusiveStartKey: after }),
      });
      const page = await this.#insist((abortSignal) => this.#writer.send(command, { abortSignal }));
      yield page.Items ?? [];
      after = page.LastEvaluatedKey;
    } while (after);
  }

  get #writer(): DynamoDBClient {
    return this.#clients[0] as DynamoDBClient;
  }

  async #get(key: { readonly pk: string; readonly sk: string }): Promise<Item | undefined> {
    const command = new GetItemCommand({ TableName: this.name, Key: keyOf(key), ConsistentRead: true });
    return (await this.#insist((abortSignal) => this.#writer.send(command, { abortSignal }))).Item;
  }

  async #update(input: Omit<UpdateItemCommandInput, 'TableName'>): Promise<boolean> {
    const command = new UpdateItemCommand({ TableName: this.name, ...input });
    return await this.#conditional((abortSignal) => this.#writer.send(command, { abortSignal }));
  }

  async #conditional(send: Send): Promise<boolean> {
    try {
      await this.#insist(send);
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return false;
      throw error;
    }
  }

  async #insist<T>(send: (abortSignal: AbortSignal) => Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
    const untilMs = performance.now() + patienceMs;
    for (let tried = 1; ; tried += 1)
      try {
        return await send(AbortSignal.timeout(WRITE_ATTEMPT_MS_MAX));
      } catch (error) {
        if (!isBusy(error) || performance.now() > untilMs) throw error;
        await pause(tried);
      }
  }
}

function isBusy(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code = '' } = error as NodeJS.ErrnoException;
  return BUSY.test(`${error.name} ${code} ${error.message}`);
}

async function pause(tried: number): Promise<void> {
  await sleep(Math.random() * Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** tried));
}
