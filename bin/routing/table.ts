// The table as an operator's commands see it: every replica through its own region's endpoint, so that each is heard
// for itself; and the one conditional write, through whichever replica takes it first.
import { isDeepStrictEqual } from 'node:util';
import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  type GetItemCommandOutput,
  QueryCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import {
  ATTRIBUTES,
  FEED_INDEX,
  GENERATION_KEY,
  HEARTBEAT_SHARD,
  observerKey,
  ROUTING_KEY,
  regionStatusKey,
} from '../../protocol/items.ts';
import type { ObserverReport, RoutingState } from '../../protocol/routing.ts';
import { reportOf, routingStateOf, routingUpdateOf } from '../../protocol/routing-items.ts';
import type { FeedStatus } from '../../protocol/steadiness.ts';
import type { TableAddress } from './where.ts';

/** One call; a region that is cut off answers nothing at all. */
const CALL_MS_MAX_DEFAULT = 4_000;
const CONNECT_MS_MAX = 2_000;

type Item = NonNullable<GetItemCommandOutput['Item']>;

export interface Beat {
  readonly region: string;
  /** Unix ms. */
  readonly at: number;
}

/** What a replica says at one moment. */
export interface ReplicaAnswer {
  /** By a consistent read; undefined when nothing ever changed. */
  readonly routing: RoutingState | undefined;
  /** 0 while the table is closed. */
  readonly restoreEpoch: number;
  /** Of its own region's feed. */
  readonly feed: FeedStatus | undefined;
  /** The latest of every region, as its own index shows them. */
  readonly beats: readonly Beat[];
}

export interface Replica {
  readonly region: string;
  answer(): Promise<ReplicaAnswer>;
  routing(): Promise<RoutingState | undefined>;
  /** Of that region's observer; undefined when it never reported. */
  report(observer: string): Promise<ObserverReport | undefined>;
  /** Whether `previous` still stood and `next` stands now. */
  change(previous: RoutingState | undefined, next: RoutingState): Promise<boolean>;
}

/** What became of a change. `lost`: somebody else's came first, and this is the state now. */
export type Written =
  | { readonly kind: 'written'; readonly region: string }
  | { readonly kind: 'lost'; readonly current: RoutingState | undefined }
  | { readonly kind: 'failed'; readonly why: string };

export interface OpenReplicas {
  readonly replicas: readonly Replica[];
  close(): void;
}

/**
 * In the order given, which is the order they are asked in.
 * @param callMsMax @default 4000
 */
export function openReplicas(
  address: TableAddress,
  regions: readonly string[],
  callMsMax = CALL_MS_MAX_DEFAULT,
): OpenReplicas {
  const { endpoint, credentials } = address;
  const clients = regions.map(
    (region) =>
      new DynamoDBClient({
        region,
        maxAttempts: 1,
        requestHandler: { connectionTimeout: CONNECT_MS_MAX },
        ...(endpoint === undefined ? {} : { endpoint }),
        ...(credentials && { credentials }),
      }),
  );
  return {
    replicas: clients.map((client, n) => replicaOf(client, address.name, regions[n] as string, callMsMax)),
    close() {
      for (const client of clients) client.destroy();
    },
  };
}

function replicaOf(client: DynamoDBClient, table: string, region: string, callMsMax: number): Replica {
  /** Its socket is destroyed when time is up, so that a write given up does not land much later. */
  const inTime = async <T>(send: (options: { abortSignal: AbortSignal }) => Promise<T>): Promise<T> => {
    const abortSignal = AbortSignal.timeout(callMsMax);
    try {
      return await send({ abortSignal });
    } catch (cause) {
      if (!abortSignal.aborted) throw cause;
      throw new Error(`no answer within ${callMsMax / 1_000} s`, { cause });
    }
  };
  const get = async (key: { readonly pk: string; readonly sk: string }): Promise<Item | undefined> => {
    const Key = { [ATTRIBUTES.pk]: { S: key.pk }, [ATTRIBUTES.sk]: { S: key.sk } };
    const command = new GetItemCommand({ TableName: table, Key, ConsistentRead: true });
    return (await inTime((options) => client.send(command, options))).Item;
  };
  const routing = async () => {
    const item = await get(ROUTING_KEY);
    return item && routingStateOf(item);
  };
  const beats = async (): Promise<readonly Beat[]> => {
    const command = new QueryCommand({
      TableName: table,
      IndexName: FEED_INDEX,
      KeyConditionExpression: '#shard = :shard',
      ExpressionAttributeNames: { '#shard': ATTRIBUTES.feedShard },
      ExpressionAttributeValues: { ':shard': { S: HEARTBEAT_SHARD } },
    });
    const { Items = [] } = await inTime((options) => client.send(command, options));
    return Items.map((item) => {
      const [at, from = ''] = (item[ATTRIBUTES.feedOrder]?.S ?? '').split('#');
      return { region: from, at: Number(at) };
    });
  };
  return {
    region,
    routing,
    async answer() {
      const [state, generation, status, seen] = await Promise.all([
        routing(),
        get(GENERATION_KEY),
        get(regionStatusKey(region)),
        beats(),
      ]);
      return {
        routing: state,
        restoreEpoch: Number(generation?.['restoreEpoch']?.N ?? 0),
        feed: status && feedStatusOf(status),
        beats: seen,
      };
    },
    async report(observer) {
      const item = await get(observerKey(observer));
      return item && reportOf(item);
    },
    async change(previous, next) {
      const command = new UpdateItemCommand({ TableName: table, ...routingUpdateOf(previous, next) });
      try {
        await inTime((options) => client.send(command, options));
        return true;
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) return false;
        throw error;
      }
    },
  };
}

function feedStatusOf(item: Item): FeedStatus {
  const checkedAt = Number(item['checkedAt']?.N ?? 0);
  const steadySince = item['steadySince']?.N;
  return steadySince === undefined ? { checkedAt } : { checkedAt, steadySince: Number(steadySince) };
}

/** Two regions that write one item at once refuse each other; the one that tries again a little later gets through. */
const ROUNDS = 2;
const ROUND_APART_MS = 500;

/**
 * Through the first replica that takes it: one that is cut off from the others refuses or says nothing. All of them are
 * given the same condition and the same state, so an attempt that was given up and lands late changes nothing twice.
 */
export async function changeThroughAny(
  replicas: readonly Replica[],
  previous: RoutingState | undefined,
  next: RoutingState,
  sleep: (ms: number) => Promise<unknown>,
): Promise<Written> {
  const failures: string[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    if (round > 1) await sleep(ROUND_APART_MS);
    for (const replica of replicas) {
      try {
        if (await replica.change(previous, next)) return { kind: 'written', region: replica.region };
      } catch (error) {
        failures.push(`${replica.region}: ${reasonOf(error)}`);
        continue;
      }
      const current = await readThroughAny([replica, ...replicas]);
      // What was refused now may be what an attempt that was given up has written.
      if (isSame(current, next)) return { kind: 'written', region: replica.region };
      return { kind: 'lost', current };
    }
  }
  const landed = await readThroughAny(replicas).catch(() => undefined);
  if (isSame(landed, next)) return { kind: 'written', region: 'one that did not say so' };
  return { kind: 'failed', why: [...new Set(failures)].join('; ') };
}

/** @throws {Error} none answers; why each does not */
export async function readThroughAny(replicas: readonly Replica[]): Promise<RoutingState | undefined> {
  const failures: string[] = [];
  for (const replica of replicas) {
    try {
      return await replica.routing();
    } catch (error) {
      failures.push(`${replica.region}: ${reasonOf(error)}`);
    }
  }
  throw new Error(
    `no replica answers a consistent read (${failures.join('; ')}): are the credentials, the table and the endpoint right?`,
  );
}

function isSame(current: RoutingState | undefined, next: RoutingState): boolean {
  return current?.epoch === next.epoch && isDeepStrictEqual(current.changes[0], next.changes[0]);
}

/** What an error says, with the code of the socket beneath where the message is empty (an `AggregateError` of Node's). */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  if (error.message !== '') return error.message;
  return code ?? error.name;
}
