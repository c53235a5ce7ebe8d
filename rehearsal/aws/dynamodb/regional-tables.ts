// Tables that callers make and delete themselves, each in one region and replicated nowhere: one engine each, gone with
// the process. A table takes a moment to become active, and another to be gone, as DynamoDB's do.
import { setTimeout as sleep } from 'node:timers/promises';
import { asList, isRecord } from '../iam-conditions.ts';
import { ServiceError, validationError } from '../service-error.ts';
import { DynaliteEngine, type Item, type Json, parseRequest, type TableSchema } from './dynalite.ts';
import type { RegionLinks } from './region-links.ts';
import type { ReadOperation, WriteOperation } from './replicated-table.ts';

const NAMESPACE = 'com.amazonaws.dynamodb.v20120810';

/** What the front asks of a table, whoever made it. */
export interface PlayedTable {
  readonly schema: TableSchema;
  keyOf(item: Item): Item;
  describe(region: string): Promise<Json>;
  read(region: string, operation: ReadOperation, parsed: Json, consistent: boolean): Promise<Json>;
  write(region: string, operation: WriteOperation, parsed: Json, returnOld: boolean): Promise<Json>;
}

export interface RegionalTablesOptions {
  readonly account: string;
  readonly links: RegionLinks;
  /** What is known of a key of the customer's. @default every key is there */
  readonly keyState?: (arn: string) => 'enabled' | 'disabled' | 'missing';
  /** How long one takes to be made, and to be deleted. @default 100 */
  readonly takesMs?: number;
}

/** A CreateTable that was looked at. */
export interface TableRequest {
  readonly name: string;
  readonly schema: TableSchema;
  /** Of the customer's key it is to be encrypted with; undefined: one of AWS's. */
  readonly keyArn: string | undefined;
  readonly tags: readonly unknown[];
}

interface Made {
  readonly table: RegionalTable;
  readonly keyArn: string | undefined;
  status: 'CREATING' | 'ACTIVE' | 'DELETING';
}

const TAKES_MS = 100;

/**
 * What a CreateTable asks for.
 * @throws {ServiceError} SerializationException or ValidationException
 */
export function readTableRequest(input: Json): TableRequest {
  const { SSESpecification: encryption, Tags: tags } = input;
  const parsed = parseRequest('CreateTable', structuredClone(input));
  const { TableName, AttributeDefinitions, KeySchema, GlobalSecondaryIndexes } = parsed;
  const keyArn = isRecord(encryption) && encryption['Enabled'] ? encryption['KMSMasterKeyId'] : undefined;
  return {
    name: String(TableName),
    schema: {
      TableName,
      AttributeDefinitions,
      KeySchema,
      ...(GlobalSecondaryIndexes !== undefined && { GlobalSecondaryIndexes }),
    } as TableSchema,
    keyArn: keyArn === undefined ? undefined : String(keyArn),
    tags: asList(tags),
  };
}

export class RegionalTables {
  readonly #options: RegionalTablesOptions;
  /** By region and name. */
  readonly #made = new Map<string, Made>();
  #closed = false;

  constructor(options: RegionalTablesOptions) {
    this.#options = options;
  }

  /** Names of those in a region. */
  names(region: string): readonly string[] {
    return [...this.#made.keys()]
      .filter((place) => place.startsWith(`${region} `))
      .map((place) => place.slice(region.length + 1));
  }

  has(region: string, name: string): boolean {
    return this.#made.has(placeOf(region, name));
  }

  /** Of the customer's key. */
  keyArn(region: string, name: string): string | undefined {
    return this.#made.get(placeOf(region, name))?.keyArn;
  }

  /** Undefined while it is not active. */
  active(region: string, name: string): RegionalTable | undefined {
    const made = this.#made.get(placeOf(region, name));
    return made?.status === 'ACTIVE' ? made.table : undefined;
  }

  /** @throws {ServiceError} there is one of this name, or its key cannot be used */
  async create(region: string, { name, schema, keyArn }: TableRequest): Promise<Json> {
    const { account, links, keyState, takesMs = TAKES_MS } = this.#options;
    if (this.has(region, name)) throw inUse(`Table already exists: ${name}`);
    const state = keyArn === undefined ? 'enabled' : (keyState?.(keyArn) ?? 'enabled');
    if (state !== 'enabled') throw validationError(`KMS key access denied: ${keyArn} is ${state}`);
    const table = await RegionalTable.open({ schema, region, account, links });
    const made: Made = { table, keyArn, status: 'CREATING' };
    this.#made.set(placeOf(region, name), made);
    void sleep(takesMs, undefined, { ref: false }).then(() => {
      if (made.status === 'CREATING') made.status = 'ACTIVE';
    });
    return { TableDescription: await this.#description(made) };
  }

  /** @throws {ServiceError} ResourceNotFoundException */
  async describe(region: string, name: string): Promise<Json> {
    const made = this.#made.get(placeOf(region, name));
    if (!made) throw notFound(`Requested resource not found: Table: ${name} not found`);
    return { Table: await this.#description(made) };
  }

  /** @throws {ServiceError} it is not there, or not active */
  async delete(region: string, name: string): Promise<Json> {
    const place = placeOf(region, name);
    const made = this.#made.get(place);
    if (!made) throw notFound(`Requested resource not found: Table: ${name} not found`);
    if (made.status !== 'ACTIVE')
      throw inUse(`Attempt to change a resource which is still in use: Table is being changed: ${name}`);
    made.status = 'DELETING';
    const description = await this.#description(made);
    void sleep(this.#options.takesMs ?? TAKES_MS, undefined, { ref: false }).then(async () => {
      if (this.#closed) return;
      this.#made.delete(place);
      await made.table.close();
    });
    return { TableDescription: description };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#made.values()].map(({ table }) => table.close()));
  }

  async #description({ table, keyArn, status }: Made): Promise<Json> {
    const { Table: described } = await table.describe();
    return {
      ...(described as Json),
      TableStatus: status,
      ...(keyArn !== undefined && {
        SSEDescription: { Status: 'ENABLED', SSEType: 'KMS', KMSMasterKeyArn: keyArn },
      }),
    };
  }
}

/** One of them. Its region alone has it, so that it is there whenever that is. */
export class RegionalTable implements PlayedTable {
  readonly schema: TableSchema;
  readonly #engine: DynaliteEngine;
  readonly #region: string;
  readonly #links: RegionLinks;

  private constructor(engine: DynaliteEngine, region: string, links: RegionLinks) {
    this.schema = engine.schema;
    this.#engine = engine;
    this.#region = region;
    this.#links = links;
  }

  static async open({
    schema,
    region,
    account,
    links,
  }: {
    readonly schema: TableSchema;
    readonly region: string;
    readonly account: string;
    readonly links: RegionLinks;
  }): Promise<RegionalTable> {
    return new RegionalTable(await DynaliteEngine.open(schema, region, account), region, links);
  }

  keyOf(item: Item): Item {
    return this.#engine.keyOf(item);
  }

  describe(): Promise<Json> {
    return this.#engine.run('DescribeTable', { TableName: this.schema.TableName });
  }

  async read(_region: string, operation: ReadOperation, parsed: Json): Promise<Json> {
    this.#mustBeUp();
    return this.#engine.run(operation, parsed);
  }

  async write(_region: string, operation: WriteOperation, parsed: Json, returnOld: boolean): Promise<Json> {
    this.#mustBeUp();
    const key = this.keyOf((parsed['Key'] ?? parsed['Item']) as Item);
    try {
      return await this.#engine.run(operation, parsed);
    } catch (error) {
      if (!returnOld || !(error instanceof ServiceError)) throw error;
      if (error.name !== 'ConditionalCheckFailedException') throw error;
      const before = await this.#engine.item(key);
      throw before ? new ServiceError(error.status, { ...error.body, Item: before }) : error;
    }
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  #mustBeUp(): void {
    if (!this.#links.isUp(this.#region))
      throw new ServiceError(500, {
        __type: `${NAMESPACE}#InternalServerError`,
        message: `The tables in ${this.#region} are down.`,
      });
  }
}

function placeOf(region: string, name: string): string {
  return `${region} ${name}`;
}

function inUse(message: string): ServiceError {
  return new ServiceError(400, { __type: `${NAMESPACE}#ResourceInUseException`, message });
}

export function notFound(message = 'Requested resource not found'): ServiceError {
  return new ServiceError(400, { __type: `${NAMESPACE}#ResourceNotFoundException`, message });
}
