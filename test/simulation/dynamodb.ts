// DynamoDB as the shipped adapter sees it from one region: calls take time, are refused, fail before or after they took
// effect, or stay silent until they are given up. A write that was given up had its socket destroyed and does not land.
import {
  type AttributeValue,
  BatchGetItemCommand,
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBClient,
  DynamoDBServiceException,
  GetItemCommand,
  QueryCommand,
  type QueryCommandInput,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { ATTRIBUTES, FEED_INDEX, TOMBSTONE_INDEX } from '../../protocol/items.ts';
import type { Dice } from './dice.ts';
import { type Bindings, holds, type Item, updated } from './expressions.ts';
import type { Scheduler } from './scheduler.ts';
import type { Entry, Table } from './table.ts';

/** Probabilities a call, and times in ms. */
export interface StoreFaults {
  readonly latencyMs: readonly [number, number];
  /** Refused as `ReplicatedWriteConflictException`; likelier when another region wrote the item just now. */
  readonly writeConflict: number;
  readonly throttled: number;
  /** The connection breaks before, or after, the write took effect. */
  readonly lostBefore: number;
  readonly lostAfter: number;
  /** Takes this long instead, before it takes effect, or after. */
  readonly slow: number;
  readonly slowMs: readonly [number, number];
  /** Of a write, to take that long before it takes effect. */
  readonly slowWrites: number;
}

const CONTESTED_MS = 40;
const CONTESTED_CHANCE = 0.5;
const SILENCE_MS = 60_000;
/** Nobody gives a call up sooner. */
const PATIENCE_MS_MIN = 500;

interface KeyedInput extends Bindings {
  readonly Key: Record<string, AttributeValue> | undefined;
  readonly ConditionExpression?: string | undefined;
}

type Outcome = { readonly value: object } | { readonly error: Error };

export interface SimulatedDynamoDBParts {
  /** Whose endpoint this is. */
  readonly region: string;
  readonly table: Table;
  readonly scheduler: Scheduler;
  readonly dice: Dice;
  readonly faults: () => StoreFaults;
  /** Whether the endpoint can be reached from where the function runs. */
  readonly isReachable: () => boolean;
}

export class SimulatedDynamoDB {
  readonly #region: string;
  readonly #table: Table;
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  readonly #faults: () => StoreFaults;
  readonly #isReachable: () => boolean;

  constructor({ region, table, scheduler, dice, faults, isReachable }: SimulatedDynamoDBParts) {
    this.#region = region;
    this.#table = table;
    this.#scheduler = scheduler;
    this.#dice = dice;
    this.#faults = faults;
    this.#isReachable = isReachable;
  }

  /** What the adapter takes for a client. */
  client(): DynamoDBClient {
    const send = (command: object, options: { readonly abortSignal?: AbortSignal } = {}) =>
      this.#call(command, options.abortSignal);
    return Object.assign(Object.create(DynamoDBClient.prototype) as DynamoDBClient, { send });
  }

  #call(command: object, signal: AbortSignal | undefined): Promise<object> {
    const { latencyMs, slow, slowMs, slowWrites, lostBefore } = this.#faults();
    const dice = this.#dice;
    let delayMs = dice.between(...latencyMs);
    let answerMs = 0;
    if (command instanceof UpdateItemCommand && dice.chance(slowWrites)) delayMs = dice.between(...slowMs);
    else if (dice.chance(slow)) {
      if (dice.chance(0.5)) delayMs = dice.between(...slowMs);
      else answerMs = dice.between(...slowMs);
    }
    return new Promise((resolve, reject) => {
      const giveUp = () => reject(named('AbortError', undefined));
      const mayBeGivenUp = () => signal?.addEventListener('abort', giveUp, { once: true });
      if (delayMs + answerMs > PATIENCE_MS_MIN) mayBeGivenUp();
      this.#scheduler.after(delayMs, () => {
        if (signal?.aborted) return;
        const outcome = dice.chance(lostBefore)
          ? { error: named('TimeoutError', undefined) }
          : this.#perform(command);
        if (outcome === 'silence') {
          mayBeGivenUp();
          this.#scheduler.after(SILENCE_MS, () => reject(named('TimeoutError', undefined)));
          return;
        }
        const answer = () => {
          if ('error' in outcome) reject(outcome.error);
          else resolve(outcome.value);
        };
        if (answerMs > 0) this.#scheduler.after(answerMs, answer);
        else answer();
      });
    });
  }

  #perform(command: object): Outcome | 'silence' {
    if (!this.#isReachable()) return this.#refusal();
    if (command instanceof UpdateItemCommand) {
      const { UpdateExpression: expression = '', ...input } = command.input;
      return this.#write(input, (before) => updated(expression, input.Key ?? {}, before, input));
    }
    if (command instanceof DeleteItemCommand) return this.#write(command.input, () => undefined);
    if (command instanceof QueryCommand) return { value: this.#query(command.input) };
    if (command instanceof GetItemCommand) {
      const { Key, ConsistentRead } = command.input;
      return this.#read(ConsistentRead, (get) => ({ Item: get(pkOf(Key)) }));
    }
    if (command instanceof BatchGetItemCommand) {
      const [[tableName, { Keys = [], ConsistentRead }] = ['', { Keys: [], ConsistentRead: false }]] =
        Object.entries(command.input.RequestItems ?? {});
      return this.#read(ConsistentRead, (get) => ({
        Responses: { [tableName]: Keys.map((key) => get(pkOf(key))).filter((item) => item !== undefined) },
        UnprocessedKeys: {},
      }));
    }
    throw new Error(`the simulation does not know ${command.constructor.name}`);
  }

  #read(
    consistent: boolean | undefined,
    read: (get: (pk: string) => Item | undefined) => object,
  ): Outcome | 'silence' {
    if (!consistent) return { value: read((pk) => this.#table.copyAt(pk, this.#region)) };
    if (!this.#table.reachesMajority(this.#region)) return this.#refusal();
    return { value: read((pk) => this.#table.headAt(pk, this.#region)) };
  }

  #write(input: KeyedInput, change: (before: Item | undefined) => Item | undefined): Outcome | 'silence' {
    const pk = pkOf(input.Key);
    const { writeConflict, throttled, lostAfter } = this.#faults();
    if (!this.#table.reachesMajority(this.#region)) return this.#refusal();
    if (this.#dice.chance(throttled)) return { error: named('ThrottlingException', 400) };
    const contested = this.#isContested(pk) && this.#dice.chance(CONTESTED_CHANCE);
    if (contested || this.#dice.chance(writeConflict))
      return { error: named('ReplicatedWriteConflictException', 400) };
    const before = this.#table.head(pk);
    if (!holds(input.ConditionExpression, before, input))
      return { error: conditionFailed(this.#table.headAt(pk, this.#region)) };
    this.#table.put(pk, change(before), this.#region);
    return this.#dice.chance(lostAfter) ? { error: named('TimeoutError', undefined) } : { value: {} };
  }

  /** Another region wrote the item a moment ago. */
  #isContested(pk: string): boolean {
    const { log } = this.#table;
    for (let index = log.length - 1; index >= 0; index -= 1) {
      const entry = log[index] as Entry;
      if (entry.atMs < this.#scheduler.nowMs - CONTESTED_MS) return false;
      if (entry.pk === pk) return entry.region !== this.#region;
    }
    return false;
  }

  #refusal(): Outcome | 'silence' {
    return this.#dice.chance(0.5) ? 'silence' : { error: named('InternalServerError', 500) };
  }

  #query(input: QueryCommandInput): object {
    const { IndexName, KeyConditionExpression = '', FilterExpression, Limit = 1_000 } = input;
    const [partitionName, sortName] = indexKeys(IndexName);
    const partition = partitionOf(KeyConditionExpression, input);
    const rows = this.#table
      .rows(partitionName, sortName, partition, this.#region)
      .filter((item) => holds(KeyConditionExpression, item, input));
    const looked = rows.slice(0, Limit);
    const last = looked.length === Limit ? looked.at(-1) : undefined;
    return {
      Items: looked.filter((item) => holds(FilterExpression, item, input)),
      ...(last && { LastEvaluatedKey: last }),
    };
  }
}

function indexKeys(index: string | undefined): readonly [string, string] {
  if (index === FEED_INDEX) return [ATTRIBUTES.feedShard, ATTRIBUTES.feedOrder];
  if (index === TOMBSTONE_INDEX) return [ATTRIBUTES.sweepShard, ATTRIBUTES.sweepOrder];
  throw new Error(`the simulation knows no index ${index}`);
}

/** A key condition starts with its partition: `#name = :value`. */
function partitionOf(expression: string, { ExpressionAttributeValues: values }: Bindings): string {
  const partition = values?.[/^\s*#?\w+\s*=\s*(:\w+)/.exec(expression)?.[1] ?? '']?.S;
  if (partition === undefined) throw new Error(`no partition in the key condition ${expression}`);
  return partition;
}

function pkOf(key: Record<string, AttributeValue> | undefined): string {
  const pk = key?.[ATTRIBUTES.pk]?.S;
  if (pk === undefined) throw new Error('a key without a partition');
  return pk;
}

/** Without a status the connection failed; with one DynamoDB itself said so. */
function named(name: string, httpStatusCode: number | undefined): Error {
  const message = `simulated: ${name}`;
  if (httpStatusCode === undefined) return Object.assign(new Error(message), { name });
  const $fault = httpStatusCode < 500 ? 'client' : 'server';
  return new DynamoDBServiceException({ name, message, $fault, $metadata: { httpStatusCode } });
}

function conditionFailed(item: Item | undefined): Error {
  return new ConditionalCheckFailedException({
    message: 'simulated: the conditional request failed',
    $metadata: { httpStatusCode: 400 },
    ...(item && { Item: { ...item } }),
  });
}
