// DynamoDB's operations over the replicated tables, and over those that callers make for themselves: which table, which permission, consistent or not, one write or
// many. Form and expressions are checked first, then the caller's permission, then the table is asked.

import { STREAM_LABEL } from '../../assembly/resource-types.ts';
import type { Access } from '../iam-policy.ts';
import { commonError, ServiceError, validationError } from '../service-error.ts';
import { type AttributeValue, type EngineOperation, type Item, type Json, parseRequest } from './dynalite.ts';
import type { TableExports } from './exports.ts';
import type { TableHistory } from './history.ts';
import { notFound, type PlayedTable, type RegionalTables, readTableRequest } from './regional-tables.ts';
import type { ReplicatedTable, WriteOperation } from './replicated-table.ts';
import type { TableStream } from './streams.ts';
import { streamArn } from './streams-api.ts';

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html */
const REFUSED_BY_STRONG_CONSISTENCY = new Set(['TransactWriteItems', 'TransactGetItems', 'UpdateTimeToLive']);

export interface DynamoDbCall {
  /** E.g. `PutItem`. */
  readonly operation: string;
  readonly input: Json;
  /** The region whose endpoint is called. */
  readonly region: string;
  /** @throws {ServiceError} AccessDeniedException */
  readonly authorize: (access: Access) => void;
}

type Handler = (call: DynamoDbCall) => Promise<Json>;

/** A table, its stream and its history if it has them, and, by region, the customer's key that encrypts it. */
export interface EncryptedTable {
  readonly table: ReplicatedTable;
  readonly stream?: TableStream;
  readonly history?: TableHistory;
  readonly keyArns: ReadonlyMap<string, string>;
}

/**
 * What whoever calls a table must be allowed to do with the customer's key, through DynamoDB, which works with the key
 * on its caller's behalf: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
 */
const KEY_ACTIONS_TO_READ = ['kms:Decrypt'];
const KEY_ACTIONS_TO_WRITE = [
  ...KEY_ACTIONS_TO_READ,
  'kms:Encrypt',
  'kms:GenerateDataKey',
  'kms:ReEncryptFrom',
  'kms:ReEncryptTo',
];
/** To encrypt a table with it, whoever makes the table must be allowed to let DynamoDB go on using it. */
const KEY_ACTIONS_TO_CREATE = ['kms:DescribeKey', 'kms:CreateGrant', ...KEY_ACTIONS_TO_WRITE];
const WRITES = new Set(['PutItem', 'UpdateItem', 'DeleteItem', 'BatchWriteItem']);
/** They use no data, and so no key. */
const KEYLESS = /^(Describe|DeleteTable$)/;

export interface DynamoDbParts {
  /** @default exports and continuous backups are not played */
  readonly exports?: TableExports;
  /** Where callers may make tables. @default they may not */
  readonly made?: RegionalTables;
}

export class DynamoDb {
  readonly #tables: ReadonlyMap<string, EncryptedTable>;
  readonly #account: string;
  readonly #exports: TableExports | undefined;
  readonly #made: RegionalTables | undefined;
  readonly #handlers: Readonly<Record<string, Handler>> = {
    GetItem: (call) => this.#read('GetItem', call),
    Query: (call) => this.#read('Query', call),
    Scan: (call) => this.#read('Scan', call),
    BatchGetItem: (call) => this.#batchGet(call),
    PutItem: (call) => this.#write('PutItem', call),
    UpdateItem: (call) => this.#write('UpdateItem', call),
    DeleteItem: (call) => this.#write('DeleteItem', call),
    BatchWriteItem: (call) => this.#batchWrite(call),
    DescribeTable: (call) => this.#describe(call),
    DescribeTimeToLive: (call) => this.#describeTimeToLive(call),
    ListTables: (call) => this.#listTables(call),
  };

  constructor(tables: readonly EncryptedTable[], account: string, { exports, made }: DynamoDbParts = {}) {
    this.#tables = new Map(tables.map((each) => [each.table.schema.TableName, each]));
    this.#account = account;
    this.#exports = exports;
    this.#made = made;
  }

  /** @throws {ServiceError} whatever DynamoDB answers */
  call(call: DynamoDbCall): Promise<Json> {
    const { operation } = call;
    if (REFUSED_BY_STRONG_CONSISTENCY.has(operation))
      throw validationError(`${operation} is not supported on a table with multi-Region strong consistency`);
    const handler =
      this.#handlers[operation] ?? this.#exportHandler(operation) ?? this.#tableHandler(operation);
    if (handler) return handler(call);
    throw commonError(
      400,
      'UnknownOperationException',
      `The rehearsal does not play dynamodb:${operation}; it plays ${Object.keys(this.#handlers).join(', ')}`,
    );
  }

  #exportHandler(operation: string): Handler | undefined {
    const exports = this.#exports;
    if (!exports) return undefined;
    const handlers: Readonly<Record<string, Handler>> = {
      DescribeContinuousBackups: (call) => exports.describeContinuousBackups(call),
      DescribeExport: (call) => exports.describe(call),
      ExportTableToPointInTime: (call) => exports.start(call),
      ListExports: (call) => exports.list(call),
    };
    return handlers[operation];
  }

  #tableHandler(operation: string): Handler | undefined {
    const made = this.#made;
    if (!made) return undefined;
    const handlers: Readonly<Record<string, Handler>> = {
      CreateTable: (call) => this.#create(made, call),
      DeleteTable: (call) => this.#delete(made, call),
    };
    return handlers[operation];
  }

  async #create(made: RegionalTables, call: DynamoDbCall): Promise<Json> {
    const { region, authorize } = call;
    const request = readTableRequest(call.input);
    const { name, keyArn, tags } = request;
    this.#authorize(call, name);
    if (tags.length > 0)
      authorize({ action: 'dynamodb:TagResource', resource: this.#arn(region, name), context: {} });
    const context = {
      'kms:ViaService': `dynamodb.${region}.amazonaws.com`,
      'kms:GrantIsForAWSResource': 'true',
    };
    if (keyArn !== undefined)
      for (const action of KEY_ACTIONS_TO_CREATE) authorize({ action, resource: keyArn, context });
    if (this.#tables.has(name))
      throw validationError(`${name} is a table of the deployment: it is made and deleted by its stack only`);
    return made.create(region, request);
  }

  /** Tables of the deployment are protected, as their stacks make them in production. */
  async #delete(made: RegionalTables, call: DynamoDbCall): Promise<Json> {
    const { name } = this.#parse('DeleteTable', call);
    this.#authorize(call, name);
    if (this.#tables.has(name))
      throw validationError(
        `Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.`,
      );
    return made.delete(call.region, name);
  }

  async #read(operation: 'GetItem' | 'Query' | 'Scan', call: DynamoDbCall): Promise<Json> {
    // dynalite drops this from a Scan.
    const consistent = call.input['ConsistentRead'] === true;
    const { name, parsed } = this.#parse(operation, call);
    const index = parsed['IndexName'];
    this.#authorize(call, name, index === undefined ? '' : `/index/${String(index)}`, leadingKeysOf(parsed));
    if (consistent && index !== undefined)
      throw validationError('Consistent reads are not supported on global secondary indexes');
    return this.#table(call.region, name).read(call.region, operation, parsed, consistent);
  }

  async #write(operation: WriteOperation, call: DynamoDbCall): Promise<Json> {
    // Newer than dynalite, which would drop it.
    const onFailure = call.input['ReturnValuesOnConditionCheckFailure'] ?? 'NONE';
    if (onFailure !== 'NONE' && onFailure !== 'ALL_OLD')
      throw validationError(
        `1 validation error detected: Value '${String(onFailure)}' at 'returnValuesOnConditionCheckFailure' failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, NONE]`,
      );
    const { name, parsed } = this.#parse(operation, call);
    this.#authorize(call, name, '', leadingKeysOf(parsed));
    return this.#table(call.region, name).write(call.region, operation, parsed, onFailure === 'ALL_OLD');
  }

  async #batchGet(call: DynamoDbCall): Promise<Json> {
    const { RequestItems: requests, ...rest } = parseRequest('BatchGetItem', call.input) as {
      RequestItems: Record<string, Json & { Keys: readonly Item[] }>;
    };
    const answers = await Promise.all(
      Object.entries(requests).map(([name, request]) => {
        this.#authorize(call, name, '', request.Keys);
        const parsed = { ...rest, RequestItems: { [name]: request } };
        return this.#table(call.region, name).read(
          call.region,
          'BatchGetItem',
          parsed,
          request['ConsistentRead'] === true,
        );
      }),
    );
    return {
      Responses: Object.assign({}, ...answers.map(({ Responses }) => Responses)),
      UnprocessedKeys: Object.assign({}, ...answers.map(({ UnprocessedKeys }) => UnprocessedKeys)),
      ...capacityOf(answers),
    };
  }

  /** No conditions, nothing atomic: every item is a write of its own. What met trouble comes back unprocessed. */
  async #batchWrite(call: DynamoDbCall): Promise<Json> {
    const { RequestItems: requests, ...rest } = parseRequest('BatchWriteItem', call.input) as {
      RequestItems: Record<string, readonly WriteRequest[]>;
    };
    const writes = Object.entries(requests).flatMap(([name, list]) => {
      const items = list.map(({ PutRequest, DeleteRequest }) => PutRequest?.Item ?? DeleteRequest?.Key ?? {});
      this.#authorize(call, name, '', items);
      const table = this.#table(call.region, name);
      const keys = items.map((item) => JSON.stringify(table.keyOf(item)));
      if (new Set(keys).size !== keys.length)
        throw validationError('Provided list of item keys contains duplicates');
      return list.map((request) => ({ name, request, ...asWrite(request, { ...rest, TableName: name }) }));
    });
    const outcomes = await Promise.allSettled(
      writes.map(({ name, operation, parsed }) =>
        this.#table(call.region, name).write(call.region, operation, parsed, false),
      ),
    );
    const unprocessed: Record<string, WriteRequest[]> = {};
    for (const [at, { name, request }] of writes.entries()) {
      const outcome = outcomes[at];
      if (outcome?.status !== 'rejected') continue;
      if (!isRetryable(outcome.reason)) throw outcome.reason;
      unprocessed[name] ??= [];
      unprocessed[name].push(request);
    }
    const done = outcomes.filter((outcome) => outcome.status === 'fulfilled').map(({ value }) => value);
    const first = outcomes.find((outcome) => outcome.status === 'rejected');
    if (done.length === 0 && first) throw first.reason;
    return { UnprocessedItems: unprocessed, ...totalCapacityOf(done) };
  }

  async #describe(call: DynamoDbCall): Promise<Json> {
    const { name } = this.#parse('DescribeTable', call);
    this.#authorize(call, name);
    if (this.#made?.has(call.region, name)) return this.#made.describe(call.region, name);
    const table = this.#table(call.region, name);
    const description = (await table.describe(call.region))['Table'];
    const stream = this.#tables.get(name)?.stream;
    return {
      Table: {
        ...(description as Json),
        ...(stream && {
          StreamSpecification: { StreamEnabled: true, StreamViewType: stream.viewType },
          LatestStreamLabel: STREAM_LABEL,
          LatestStreamArn: streamArn(call.region, this.#account, name),
        }),
      },
    };
  }

  async #describeTimeToLive(call: DynamoDbCall): Promise<Json> {
    const { name } = this.#parse('DescribeTimeToLive', call);
    this.#authorize(call, name);
    this.#table(call.region, name);
    return { TimeToLiveDescription: { TimeToLiveStatus: 'DISABLED' } };
  }

  async #listTables(call: DynamoDbCall): Promise<Json> {
    const { ExclusiveStartTableName: after = '', Limit: limit = 100 } = parseRequest(
      'ListTables',
      call.input,
    ) as {
      ExclusiveStartTableName?: string;
      Limit?: number;
    };
    call.authorize({ action: 'dynamodb:ListTables', resource: '*', context: {} });
    const deployed = [...this.#tables.values()]
      .filter(({ table }) => table.regions.includes(call.region))
      .map(({ table }) => table.schema.TableName);
    const names = [...deployed, ...(this.#made?.names(call.region) ?? [])]
      .filter((name) => name > after)
      .sort();
    const page = names.slice(0, limit);
    return { TableNames: page, ...(names.length > limit && { LastEvaluatedTableName: page.at(-1) }) };
  }

  #parse(operation: EngineOperation, { input }: DynamoDbCall): { name: string; parsed: Json } {
    const parsed = parseRequest(operation, input);
    return { name: String(parsed['TableName']), parsed };
  }

  #authorize(call: DynamoDbCall, name: string, suffix = '', keys: readonly Item[] = []): void {
    const { operation, region, authorize } = call;
    const found = this.#tables.get(name);
    const table = found?.table ?? this.#made?.active(region, name);
    const hashKey = table?.schema.KeySchema[0]?.AttributeName ?? '';
    const leading = keys.map((key) => textOf(key[hashKey])).filter((text) => text !== undefined);
    authorize({
      action: `dynamodb:${operation}`,
      resource: `${this.#arn(region, name)}${suffix}`,
      context: leading.length > 0 ? { 'dynamodb:LeadingKeys': leading } : {},
    });
    const keyArn = found ? found.keyArns.get(region) : this.#made?.keyArn(region, name);
    if (keyArn === undefined || KEYLESS.test(operation)) return;
    for (const action of WRITES.has(operation) ? KEY_ACTIONS_TO_WRITE : KEY_ACTIONS_TO_READ)
      authorize({
        action,
        resource: keyArn,
        context: { 'kms:ViaService': `dynamodb.${region}.amazonaws.com` },
      });
  }

  #arn(region: string, name: string): string {
    return `arn:aws:dynamodb:${region}:${this.#account}:table/${name}`;
  }

  #table(region: string, name: string): PlayedTable {
    const found = this.#tables.get(name)?.table ?? this.#made?.active(region, name);
    if (found) return found;
    throw notFound();
  }
}

interface WriteRequest {
  readonly PutRequest?: { readonly Item: Item };
  readonly DeleteRequest?: { readonly Key: Item };
}

function asWrite(
  { PutRequest, DeleteRequest }: WriteRequest,
  rest: Json,
): { operation: WriteOperation; parsed: Json } {
  // The engine works on what it is given; what comes back as unprocessed must stay as it came.
  return PutRequest
    ? { operation: 'PutItem', parsed: { ...rest, Item: structuredClone(PutRequest.Item) } }
    : { operation: 'DeleteItem', parsed: { ...rest, Key: structuredClone(DeleteRequest?.Key ?? {}) } };
}

function isRetryable(error: unknown): boolean {
  return (
    error instanceof ServiceError &&
    (error.status >= 500 || error.name === 'ReplicatedWriteConflictException')
  );
}

/** What a request says of items' keys: `Key`, `Item`, or the equality in a query's key condition. */
function leadingKeysOf(parsed: Json): readonly Item[] {
  const conditions = (parsed['KeyConditions'] ?? {}) as Record<
    string,
    { readonly ComparisonOperator: string; readonly AttributeValueList: readonly AttributeValue[] }
  >;
  const equal = Object.entries(conditions)
    .filter(([, { ComparisonOperator }]) => ComparisonOperator === 'EQ')
    .map(([name, { AttributeValueList }]) => [name, AttributeValueList[0] ?? {}] as const);
  return [(parsed['Key'] ?? parsed['Item'] ?? Object.fromEntries(equal)) as Item];
}

function textOf(value: AttributeValue | undefined): string | undefined {
  const text = value?.['S'] ?? value?.['N'] ?? value?.['B'];
  return text === undefined ? undefined : String(text);
}

interface Capacity {
  readonly TableName: string;
  readonly CapacityUnits: number;
  readonly Table?: { readonly CapacityUnits: number };
}

/** The lists of several answers as one; nothing when none was asked for. */
function capacityOf(answers: readonly Json[]): { ConsumedCapacity?: readonly Capacity[] } {
  const all = answers.flatMap(({ ConsumedCapacity }) => (ConsumedCapacity ?? []) as readonly Capacity[]);
  return all.length > 0 ? { ConsumedCapacity: all } : {};
}

/** Single writes' capacities summed by table. */
function totalCapacityOf(answers: readonly Json[]): { ConsumedCapacity?: readonly Capacity[] } {
  const totals = new Map<string, Capacity>();
  for (const { TableName: name, CapacityUnits: units, Table: detail } of capacityOf(answers)
    .ConsumedCapacity ?? []) {
    const sum = units + (totals.get(name)?.CapacityUnits ?? 0);
    totals.set(name, {
      TableName: name,
      CapacityUnits: sum,
      ...(detail && { Table: { CapacityUnits: sum } }),
    });
  }
  return totals.size > 0 ? { ConsumedCapacity: [...totals.values()] } : {};
}
