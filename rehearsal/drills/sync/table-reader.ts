// What the table itself says: its stream, read from the drill's start on, and its items in the end, by consistent reads.
// Nothing here asks the functions under test.

import { setTimeout as sleep } from 'node:timers/promises';
import { CHAIN_START } from '../../../protocol/audit.ts';
import { ATTRIBUTES, GENERATION_KEY, recordKeyOf, STATE } from '../../../protocol/items.ts';
import type { Json } from '../../../protocol/operations.ts';
import type { Version } from '../../../protocol/versions.ts';
import { DrillError, type TableAccess } from '../system.ts';
import { TableCalls } from '../table-calls.ts';
import { type Held, type Logged, type LoggedState, type Mark, markOf } from './history.ts';

/** As DynamoDB JSON has it. */
interface AttributeValue {
  readonly S?: string;
  readonly N?: string;
  readonly BOOL?: boolean;
  readonly L?: readonly AttributeValue[];
}
type Item = Readonly<Record<string, AttributeValue>>;

/** The table was opened or closed: by its generation item (PROTOCOL 1.4). */
export interface GenerationChange {
  /** How many of the tenant's changes came before it. */
  readonly after: number;
  readonly status: string;
  readonly restoreEpoch: number;
}

interface StreamPage {
  readonly Records: readonly {
    readonly dynamodb: {
      /** Unix seconds. */
      readonly ApproximateCreationDateTime: number;
      readonly Keys: Item;
      readonly NewImage?: Item;
      readonly OldImage?: Item;
    };
  }[];
  readonly NextShardIterator?: string;
}

const EVERY_MS = 500;
/** The stream is read to its end when it gave nothing so many times in a row, so far apart. */
const QUIET_TIMES = 3;
const QUIET_MS = 250;

export class TableReader {
  readonly #calls: TableCalls;
  readonly #tableName: string;
  readonly #tenant: string;
  readonly #log: Logged[] = [];
  readonly #generations: GenerationChange[] = [];
  #iterator: string;
  readonly #stopping = new AbortController();
  #reading: Promise<void> = Promise.resolve();
  #failure: unknown;

  private constructor(calls: TableCalls, tableName: string, tenant: string, iterator: string) {
    this.#calls = calls;
    this.#tableName = tableName;
    this.#tenant = tenant;
    this.#iterator = iterator;
  }

  /** Follows the records of one tenant from now on. */
  static async start(access: TableAccess, tenant: string): Promise<TableReader> {
    const calls = new TableCalls(access);
    const { Streams: [stream] = [] } = await calls.call<{ Streams?: { StreamArn: string }[] }>(
      'DynamoDBStreams_20120810.ListStreams',
      { TableName: access.tableName },
    );
    if (stream === undefined) throw new DrillError(`table ${access.tableName} has no stream`);
    const { StreamArn } = stream;
    const { StreamDescription } = await calls.call<{ StreamDescription: { Shards: { ShardId: string }[] } }>(
      'DynamoDBStreams_20120810.DescribeStream',
      { StreamArn },
    );
    const { ShardIterator } = await calls.call<{ ShardIterator: string }>(
      'DynamoDBStreams_20120810.GetShardIterator',
      { StreamArn, ShardId: StreamDescription.Shards.at(-1)?.ShardId, ShardIteratorType: 'LATEST' },
    );
    const reader = new TableReader(calls, access.tableName, tenant, ShardIterator);
    reader.#reading = reader.#follow();
    return reader;
  }

  /** In the order of the log, as far as it was read. */
  get generations(): readonly GenerationChange[] {
    return this.#generations;
  }

  /** Reads to the end of the stream and stops; all writes to the tenant's records, in the order of the log. */
  async finish(): Promise<readonly Logged[]> {
    this.#stopping.abort();
    await this.#reading;
    if (this.#failure !== undefined) throw this.#failure;
    for (let quiet = 0; quiet < QUIET_TIMES; ) {
      quiet = (await this.#page()) === 0 ? quiet + 1 : 0;
      if (quiet > 0) await sleep(QUIET_MS);
    }
    return this.#log;
  }

  /** All live and deleted records of the tenant, read consistently. */
  async table(): Promise<ReadonlyMap<string, Held>> {
    const found = new Map<string, Held>();
    let from: Item | undefined;
    do {
      const page: { Items: readonly Item[]; LastEvaluatedKey?: Item } = await this.#calls.call(
        'DynamoDB_20120810.Scan',
        { TableName: this.#tableName, ConsistentRead: true, ...(from ? { ExclusiveStartKey: from } : {}) },
      );
      for (const item of page.Items) {
        const key = keyIn(item, this.#tenant);
        const version = versionIn(item);
        if (key === undefined || version === undefined) continue;
        const mark = markIn(item);
        found.set(key, { version, ...(mark ? { mark } : {}) });
      }
      from = page.LastEvaluatedKey;
    } while (from !== undefined);
    return found;
  }

  /** Ends it, wherever it is. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#reading;
    this.#calls.close();
  }

  /** Never rejects: whoever wants the log hears of a failure. */
  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      while (!signal.aborted) {
        await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined);
        while (!signal.aborted && (await this.#page()) > 0);
      }
    } catch (error) {
      this.#failure = error;
    }
  }

  async #page(): Promise<number> {
    const page = await this.#calls.call<StreamPage>('DynamoDBStreams_20120810.GetRecords', {
      ShardIterator: this.#iterator,
    });
    if (page.NextShardIterator === undefined) throw new DrillError('the stream has ended');
    this.#iterator = page.NextShardIterator;
    for (const { dynamodb } of page.Records) {
      const generation = generationIn(dynamodb);
      if (generation) this.#generations.push({ after: this.#log.length, ...generation });
      const key = keyIn(dynamodb.Keys, this.#tenant);
      if (key === undefined) continue;
      const before = versionIn(dynamodb.OldImage);
      const after = stateIn(dynamodb.NewImage);
      this.#log.push({
        order: this.#log.length + 1,
        at: dynamodb.ApproximateCreationDateTime * 1_000,
        key,
        ...(before === undefined ? {} : { before }),
        ...(after === undefined ? {} : { after }),
      });
    }
    return page.Records.length;
  }
}

/** `<collection>/<id>`; undefined for what is no record of that tenant. */
function keyIn(item: Item, tenant: string): string | undefined {
  if (item[ATTRIBUTES.sk]?.S !== STATE) return undefined;
  const key = recordKeyOf(item[ATTRIBUTES.pk]?.S ?? '');
  return key?.tenant === tenant ? `${key.collection}/${key.id}` : undefined;
}

function generationIn({ Keys, NewImage }: { readonly Keys: Item; readonly NewImage?: Item }) {
  const status = NewImage?.['status']?.S;
  if (Keys[ATTRIBUTES.pk]?.S !== GENERATION_KEY.pk || status === undefined) return undefined;
  return { status, restoreEpoch: Number(NewImage?.['restoreEpoch']?.N ?? 0) };
}

function versionIn(item: Item | undefined): Version | undefined {
  return item?.[ATTRIBUTES.version]?.S as Version | undefined;
}

function markIn(item: Item): Mark | undefined {
  const payload = item[ATTRIBUTES.payload]?.S;
  return payload === undefined ? undefined : markOf(JSON.parse(payload) as Json);
}

function stateIn(item: Item | undefined): LoggedState | undefined {
  const version = versionIn(item);
  if (item === undefined || version === undefined) return undefined;
  const mark = markIn(item);
  return {
    version,
    ...(mark ? { mark } : {}),
    audit: {
      sequence: Number(item[ATTRIBUTES.auditSequence]?.N ?? 0),
      head: item[ATTRIBUTES.auditHead]?.S ?? CHAIN_START,
    },
    outbox: item[ATTRIBUTES.outbox]?.L?.flatMap(({ S }) => S ?? []) ?? [],
  };
}
