// Calls to the one table: reads that are tried once more, conditional writes that are one attempt each, and what their
// failures mean.
import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  type DeleteItemCommandInput,
  type DynamoDBClient,
  GetItemCommand,
  UpdateItemCommand,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { ATTRIBUTES } from '../../protocol/items.ts';
import { asUnavailable, attempt } from './attempts.ts';
import { RecordFullError } from './store.ts';
import type { Item } from './update-draft.ts';

export interface TableCallsOptions {
  /** Made by `createDynamoDBClient`: one attempt a call. */
  readonly client: DynamoDBClient;
  readonly tableName: string;
  readonly writeAttemptMs: number;
  readonly readAttemptMs: number;
}

const READ_ATTEMPTS = 2;

export class TableCalls {
  readonly client: DynamoDBClient;
  readonly tableName: string;
  readonly #writeAttemptMs: number;
  readonly #readAttemptMs: number;

  constructor({ client, tableName, writeAttemptMs, readAttemptMs }: TableCallsOptions) {
    this.client = client;
    this.tableName = tableName;
    this.#writeAttemptMs = writeAttemptMs;
    this.#readAttemptMs = readAttemptMs;
  }

  /** Reads change nothing, so one that failed is tried once more. */
  async reading<T>(send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await attempt(this.#readAttemptMs, send);
      } catch (error) {
        const unavailable = asUnavailable(error);
        if (tried === READ_ATTEMPTS || !unavailable.retryable) throw unavailable;
      }
    }
  }

  /** Consistent. */
  async get(key: Item): Promise<Item | undefined> {
    const command = new GetItemCommand({ TableName: this.tableName, Key: key, ConsistentRead: true });
    return (await this.reading((abortSignal) => this.client.send(command, { abortSignal }))).Item;
  }

  /** Returns whether the condition held, with what was stored when it did not. */
  update(input: Omit<UpdateItemCommandInput, 'TableName'>): Promise<true | Item | undefined> {
    const command = new UpdateItemCommand({ TableName: this.tableName, ...input });
    return this.#writing((abortSignal) => this.client.send(command, { abortSignal }));
  }

  /** Returns whether the condition held. */
  async delete(input: Omit<DeleteItemCommandInput, 'TableName'>): Promise<boolean> {
    const command = new DeleteItemCommand({ TableName: this.tableName, ...input });
    return (await this.#writing((abortSignal) => this.client.send(command, { abortSignal }))) === true;
  }

  async #writing(send: (signal: AbortSignal) => Promise<unknown>): Promise<true | Item | undefined> {
    try {
      await attempt(this.#writeAttemptMs, send);
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return error.Item;
      if (error instanceof Error && /item size/i.test(error.message))
        throw new RecordFullError('the item has no room for this write', { cause: error });
      throw asUnavailable(error);
    }
  }
}

export function controlKey({ pk, sk }: { readonly pk: string; readonly sk: string }): Item {
  return { [ATTRIBUTES.pk]: { S: pk }, [ATTRIBUTES.sk]: { S: sk } };
}
