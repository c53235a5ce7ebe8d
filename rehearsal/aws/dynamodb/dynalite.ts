// One copy of one table, kept by dynalite in memory. Its parts are called directly (no sockets): validation, then the
// action. Base items and index entries are applied separately, because in DynamoDB an index trails its table.
import { createRequire } from 'node:module';
import { setImmediate } from 'node:timers/promises';
import { ServiceError } from '../service-error.ts';
import { rememberExpressions } from './expressions.ts';

export type AttributeValue = Readonly<Record<string, unknown>>;
export type Item = Readonly<Record<string, AttributeValue>>;
/** Parameters or result of an operation, as DynamoDB JSON. */
export type Json = Record<string, unknown>;

export interface KeyElement {
  readonly AttributeName: string;
  readonly KeyType: string;
}

/** A table as CreateTable describes it. */
export interface TableSchema {
  readonly TableName: string;
  readonly AttributeDefinitions: readonly {
    readonly AttributeName: string;
    readonly AttributeType: string;
  }[];
  readonly KeySchema: readonly KeyElement[];
  readonly GlobalSecondaryIndexes?: readonly {
    readonly IndexName: string;
    readonly KeySchema: readonly KeyElement[];
    readonly Projection: {
      readonly ProjectionType: string;
      readonly NonKeyAttributes?: readonly string[];
    };
  }[];
}

/** An item before and after a write; an absent side is an item that did not or does not exist. */
export interface Change {
  readonly key: Item;
  readonly before?: Item | undefined;
  readonly after?: Item | undefined;
}

/** What dynalite hands to callbacks when a request is at fault. */
interface DynaliteError extends Error {
  readonly statusCode?: number;
  readonly body?: { readonly __type: string; readonly message?: string; readonly Message?: string };
}
type Callback<T> = (error: DynaliteError | null | undefined, result?: T) => void;

interface SubDb {
  get(key: string, done: Callback<Item>): void;
  put(key: string, item: Item, done: Callback<void>): void;
  del(key: string, done: Callback<void>): void;
}
interface Store {
  readonly tableDb: { awsRegion: string; awsAccountId: string };
  readonly db: {
    close(done: Callback<void>): void;
    clear(range: { gte: string; lt: string }): Promise<void>;
  };
  getItemDb(table: string): SubDb;
  getTable(name: string, done: Callback<Json>): void;
}
interface Validation {
  readonly types: object;
  readonly custom?: unknown;
}

const require = createRequire(import.meta.url);
const database: {
  create(options: { createTableMs: number }): Store;
  createKey(item: Item, table: TableSchema): string;
  itemSize(item: Item): number;
  updateIndexes(
    store: Store,
    table: TableSchema,
    before: Item | undefined,
    after: Item | undefined,
    done: Callback<void>,
  ): void;
} = require('dynalite/db');
const validations: {
  checkTypes(input: Json, types: object): Json;
  checkValidations(
    input: Json,
    types: object,
    custom: unknown,
    store: { options: { maxItemSize: number } },
  ): void;
} = require('dynalite/validations');

rememberExpressions();

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html */
const ITEM_BYTES_MAX = 400 * 1024;

const OPERATIONS = [
  'BatchGetItem',
  'BatchWriteItem',
  'CreateTable',
  'DeleteItem',
  'DeleteTable',
  'DescribeTable',
  'DescribeTimeToLive',
  'GetItem',
  'ListTables',
  'PutItem',
  'Query',
  'Scan',
  'UpdateItem',
] as const;
export type EngineOperation = (typeof OPERATIONS)[number];

const actions = new Map<
  string,
  { run(store: Store, input: Json, done: Callback<Json>): void; validation: Validation }
>(
  OPERATIONS.map((operation) => {
    const file = operation.charAt(0).toLowerCase() + operation.slice(1);
    return [
      operation,
      { run: require(`dynalite/actions/${file}`), validation: require(`dynalite/validations/${file}`) },
    ];
  }),
);

function actionOf(operation: EngineOperation) {
  const action = actions.get(operation);
  if (!action) throw new Error(`dynalite has no ${operation}`);
  return action;
}

function asServiceError(error: unknown): unknown {
  const { statusCode, body } = error as DynaliteError;
  if (!statusCode || !body) return error;
  return new ServiceError(statusCode, { ...body, message: body.message ?? body.Message ?? '' });
}

function promised<T>(start: (done: Callback<T>) => void): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      if (error) reject(asServiceError(error));
      else resolve(result ?? undefined);
    });
  });
}

/**
 * Checks a request's form and its expressions, as DynamoDB does before it looks at any table. Takes `input` over.
 * @throws {ServiceError} SerializationException or ValidationException
 */
export function parseRequest(operation: EngineOperation, input: Json): Json {
  const { validation } = actionOf(operation);
  try {
    const checked = validations.checkTypes(input, validation.types);
    validations.checkValidations(checked, validation.types, validation.custom, {
      options: { maxItemSize: ITEM_BYTES_MAX },
    });
    return checked;
  } catch (error) {
    throw asServiceError(error);
  }
}

/** Of one store's keys, which hold one table: those that dynalite names so. */
function allOf(prefix: string): { gte: string; lt: string } {
  return { gte: prefix, lt: `${prefix}\uffff` };
}

/** As DynamoDB counts it: names and values. */
export function itemBytes(item: Item): number {
  return database.itemSize(item);
}

export class DynaliteEngine {
  readonly schema: TableSchema;
  readonly #store: Store;

  private constructor(schema: TableSchema, store: Store) {
    this.schema = schema;
    this.#store = store;
  }

  static async open(schema: TableSchema, region: string, account: string): Promise<DynaliteEngine> {
    const store = database.create({ createTableMs: 0 });
    store.tableDb.awsRegion = region;
    store.tableDb.awsAccountId = account;
    const engine = new DynaliteEngine(schema, store);
    const input = parseRequest('CreateTable', { ...structuredClone(schema), BillingMode: 'PAY_PER_REQUEST' });
    await engine.run('CreateTable', input);
    // Not found until it is active, which takes a turn of the event loop.
    while (!(await engine.#exists())) await setImmediate();
    return engine;
  }

  /** Runs what {@link parseRequest} returned; once, since dynalite works on it in place. */
  async run(operation: EngineOperation, parsed: Json): Promise<Json> {
    return (await promised<Json>((done) => actionOf(operation).run(this.#store, parsed, done))) ?? {};
  }

  /** The primary key of an item or of anything that holds it. */
  keyOf(item: Item): Item {
    return Object.fromEntries(
      this.schema.KeySchema.map(({ AttributeName: name }) => [name, item[name] as AttributeValue]),
    );
  }

  /** A key as one string, for maps. */
  keyText(key: Item): string {
    return database.createKey(key, this.schema);
  }

  /** The item as it stands in this copy. */
  item(key: Item): Promise<Item | undefined> {
    return promised((done) => this.#items().get(this.keyText(key), done));
  }

  /** Makes the base item what the change says, leaving indexes alone. */
  async applyItem({ key, after }: Pick<Change, 'key' | 'after'>): Promise<void> {
    const at = this.keyText(key);
    await promised<void>((done) =>
      after ? this.#items().put(at, after, done) : this.#items().del(at, done),
    );
  }

  /** Moves the index entries from the item before the change to the one after it. */
  async applyIndexes({ before, after }: Change): Promise<void> {
    await promised<void>((done) => database.updateIndexes(this.#store, this.schema, before, after, done));
  }

  /** Removes every base item, leaving indexes alone. */
  async clearItems(): Promise<void> {
    await this.#store.db.clear(allOf('item-'));
  }

  /** Removes every index entry, leaving base items alone. */
  async clearIndexes(): Promise<void> {
    await this.#store.db.clear(allOf('index-'));
  }

  async close(): Promise<void> {
    await promised<void>((done) => this.#store.db.close(done));
  }

  #items(): SubDb {
    return this.#store.getItemDb(this.schema.TableName);
  }

  async #exists(): Promise<boolean> {
    try {
      await promised<Json>((done) => this.#store.getTable(this.schema.TableName, done));
      return true;
    } catch (error) {
      if (error instanceof ServiceError && error.name === 'ResourceNotFoundException') return false;
      throw error;
    }
  }
}
