// The functions of a region on a table of the rehearsal, called with API Gateway's events. Every answer is held to
// docs/openapi.yaml on its way out. Time can be moved; everything else is as deployed.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after } from 'node:test';
import { type DynamoDBClient, PutItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { createStampClock } from '../../lambdas/core/clock.ts';
import { httpHandler, type ProxyEvent, type Routes } from '../../lambdas/http.ts';
import { healthRoutes } from '../../lambdas/routes/health.ts';
import { pullRoutes } from '../../lambdas/routes/pull.ts';
import { pushRoutes } from '../../lambdas/routes/push.ts';
import { recordsRoutes } from '../../lambdas/routes/records.ts';
import { assemble, type VotingService } from '../../lambdas/service.ts';
import { createDynamoDBClient } from '../../lambdas/store/attempts.ts';
import { createDynamoDBStore } from '../../lambdas/store/dynamodb-store.ts';
import type { ReplicatedStore } from '../../lambdas/store/replicas.ts';
import type { Store } from '../../lambdas/store/store.ts';
import type { Facts, Sample, Telemetry } from '../../lambdas/telemetry.ts';
import type { ProblemCode } from '../../protocol/errors.ts';
import { GENERATION_KEY, recordPk, regionStatusKey, STATE } from '../../protocol/items.ts';
import { type Change, type Conflict, type ListResponse, PATHS } from '../../protocol/messages.ts';
import type { DeleteOperation, Json, Operation, PutOperation } from '../../protocol/operations.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import type { Version } from '../../protocol/versions.ts';
import { type RunningTable, startTable } from '../../rehearsal/aws/start-table.ts';
import { MemoryAudit } from './audit-trail.ts';
import { assertDescribed } from './description.ts';

export const REGIONS = { primary: 'us-east-2', standby: 'us-west-2', quorum: 'us-east-1' } as const;
const { quorum: _, ...TWO_REGIONS } = REGIONS;
/** The epoch that {@link Functions.open} opens the table under. */
export const EPOCH = 1_700_000_000_000;

export interface Request {
  readonly tenant?: string;
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is, or as JSON. */
  readonly body?: string | Uint8Array | object | number | null;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** Parsed where it is JSON. */
  readonly body: Body;
}

/** What the described bodies hold, all together: which of it is there, its schema has said. */
export interface Body {
  readonly verdicts: Verdict[];
  readonly changes: Change[];
  readonly cursor: string;
  readonly more: boolean;
  readonly resync: boolean;
  readonly records: ListResponse['records'];
  readonly conflicts: Conflict[];
  readonly collection: string;
  readonly id: string;
  readonly version: Version;
  readonly payload: Json;
  readonly code: ProblemCode;
  readonly status: number | string;
  readonly detail: string;
  readonly reason: string;
  readonly serverTimeMs: number;
}

/** Keeps what the functions say. */
export class Recorder implements Telemetry {
  readonly warnings: string[] = [];
  readonly errors: string[] = [];
  readonly samples: Sample[] = [];
  warn(message: string, facts: Facts = {}): void {
    this.warnings.push(`${message} ${JSON.stringify(facts)}`);
  }
  error(message: string, error: unknown): void {
    this.errors.push(`${message}: ${String(error)}`);
  }
  measure(samples: readonly Sample[]): void {
    this.samples.push(...samples);
  }
  sum(name: string): number {
    return this.samples.filter((sample) => sample.name === name).reduce((sum, { value }) => sum + value, 0);
  }
}

export interface FunctionsOptions {
  readonly running: RunningTable;
  readonly role?: keyof typeof REGIONS;
  /** The region's audit bucket. @default a new one */
  readonly audit?: MemoryAudit;
  /** How long one region's copy is waited for. @default 5 s */
  readonly copyAttemptMs?: number;
  /** Stands between the functions and the table. */
  readonly wrap?: (store: Store) => Store;
  /** Whether there are two replicas only, which follow each other. @default false */
  readonly eventual?: boolean;
  /** In place of the region's own store. @default the functions know no other region's */
  readonly replicated?: ReplicatedStore;
}

/** Functions on a table of their own, opened; closed after the tests of the file that asks. */
export async function openFunctions(): Promise<Functions> {
  const running = await openTable();
  const functions = new Functions({ running });
  await functions.open();
  after(async () => {
    functions.close();
    await running.close();
  });
  return functions;
}

/** No replica answers when it is asked for its copy, so that no vote decides. */
export function withoutReplicas(store: Store): Store {
  return {
    ...store,
    copies: async () =>
      Object.values(REGIONS).map((region) => ({ region, answered: false, why: 'it is cut off' })),
  };
}

/** One execution environment of every function in a region. */
export class Functions {
  readonly telemetry = new Recorder();
  readonly service: VotingService;
  readonly audit: MemoryAudit;
  /** How far the functions' clock is ahead of the machine's. */
  offsetMs = 0;
  readonly running: RunningTable;
  readonly #routes: Routes;
  readonly #region: string;
  /** By region, this one's too. */
  readonly #clients: ReadonlyMap<string, DynamoDBClient>;
  #requests = 0;

  constructor({
    running,
    role = 'primary',
    audit = new MemoryAudit(),
    copyAttemptMs = 5_000,
    wrap = (store) => store,
    eventual = false,
    replicated,
  }: FunctionsOptions) {
    const region = REGIONS[role];
    const { endpoint } = running;
    // As whoever works in this region, whichever region's endpoint is called.
    const credentials = running.credentials(region);
    this.running = running;
    this.#region = region;
    this.audit = audit;
    this.#clients = new Map(
      running.regions.map((at) => [at, createDynamoDBClient({ endpoint, region: at, credentials })]),
    );
    const store = createDynamoDBStore({
      client: this.#client,
      tableName: running.tableName,
      peers: this.#clients,
      ...(eventual && { through: region }),
      readAttemptMs: 10_000,
      copyAttemptMs,
    });
    const service = assemble({
      place: { stage: 'dev', role, region, regions: eventual ? TWO_REGIONS : REGIONS },
      store: wrap(store),
      ...(replicated && {
        store: replicated,
        own: replicated.own,
        atOneReplica: replicated.atOneReplica,
      }),
      telemetry: this.telemetry,
      now: () => Date.now() + this.offsetMs,
      // No jitter, so no waiting between attempts.
      random: () => 0,
    });
    this.service = { ...service, audit };
    this.#routes = {
      ...pushRoutes(this.service),
      ...pullRoutes(this.service),
      ...recordsRoutes(this.service),
      ...healthRoutes(this.service),
    };
  }

  close(): void {
    for (const client of this.#clients.values()) client.destroy();
  }

  get #client(): DynamoDBClient {
    return this.#clients.get(this.#region) ?? assert.fail('expected a client of the own region');
  }

  /** Writes the generation item, and a feed status that is steady. */
  async open({ status = 'open', restoreEpoch = EPOCH, steady = true } = {}): Promise<void> {
    await this.putControl(GENERATION_KEY, {
      status: { S: status },
      restoreEpoch: { N: String(restoreEpoch) },
    });
    if (steady) await this.steady();
  }

  /** Makes the region's feed count as complete, or as last checked that long ago. */
  async steady(checkedAgoMs = 0, steadyForMs = 60_000): Promise<void> {
    const checkedAt = this.service.now() - checkedAgoMs;
    await this.putControl(regionStatusKey(this.service.place.region), {
      checkedAt: { N: String(checkedAt) },
      steadySince: { N: String(checkedAt - steadyForMs) },
    });
  }

  async putControl(
    { pk, sk }: { readonly pk: string; readonly sk: string },
    attributes: Record<string, { S: string } | { N: string }>,
  ): Promise<void> {
    await this.#client.send(
      new PutItemCommand({
        TableName: this.running.tableName,
        Item: { pk: { S: pk }, sk: { S: sk }, ...attributes },
      }),
    );
  }

  /** Changes a record's payload but not its hash, as nothing of ours ever would. */
  async damage(tenant: string, collection: string, id: string): Promise<void> {
    await this.#client.send(
      new UpdateItemCommand({
        TableName: this.running.tableName,
        Key: { pk: { S: recordPk({ tenant, collection, id }) }, sk: { S: STATE } },
        UpdateExpression: 'SET payload = :p',
        ExpressionAttributeValues: { ':p': { S: '{"not":"what was written"}' } },
      }),
    );
  }

  async call(method: string, resource: string, request: Request = {}, event = {}): Promise<Reply> {
    const result = await httpHandler(
      this.#routes,
      this.service,
    )({
      ...this.#eventOf(method, resource, request),
      ...event,
    });
    const headers = Object.fromEntries(
      Object.entries(result.headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]),
    );
    const answer = { status: result.statusCode, headers, text: result.body };
    assertDescribed(`${method} ${resource}`, answer);
    const json = headers['content-type']?.endsWith('json') && result.body !== '';
    return { ...answer, body: json ? JSON.parse(result.body) : {} };
  }

  push(tenant: string, operations: readonly Json[] | readonly Operation[], headers = {}): Promise<Reply> {
    return this.call('POST', PATHS.push, {
      tenant,
      headers: { 'eden-restore-epoch': String(EPOCH), ...headers },
      body: { operations },
    });
  }

  async verdicts(tenant: string, operations: readonly Json[] | readonly Operation[]): Promise<Verdict[]> {
    const reply = await this.push(tenant, operations);
    assert.equal(reply.status, 200, reply.text);
    return reply.body.verdicts;
  }

  /** The verdict of a single operation. */
  async verdict(tenant: string, operation: Operation): Promise<Verdict> {
    const [verdict] = await this.verdicts(tenant, [operation]);
    return verdict ?? assert.fail('expected a verdict');
  }

  pull(tenant: string, query: Readonly<Record<string, string>> = {}, headers = {}): Promise<Reply> {
    return this.call('GET', PATHS.pull, {
      tenant,
      query,
      headers: { 'eden-restore-epoch': String(EPOCH), ...headers },
    });
  }

  record(method: string, tenant: string, id: string, request: Omit<Request, 'params'> = {}): Promise<Reply> {
    return this.call(method, PATHS.record, { ...request, tenant, params: { collection: 'notes', id } });
  }

  conflicts(tenant: string, id: string, query: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.call('GET', PATHS.conflicts, { tenant, query, params: { collection: 'notes', id } });
  }

  #eventOf(method: string, resource: string, request: Request): ProxyEvent {
    const { tenant, params = null, query = null, headers = {}, body } = request;
    this.#requests += 1;
    const bytes = body instanceof Uint8Array ? Buffer.from(body) : undefined;
    const text = typeof body === 'string' ? body : body === undefined ? null : JSON.stringify(body);
    const sent = body === undefined ? headers : { 'content-type': 'application/json', ...headers };
    return {
      resource,
      httpMethod: method,
      headers: sent,
      multiValueHeaders: Object.fromEntries(Object.entries(sent).map(([name, value]) => [name, [value]])),
      queryStringParameters: query,
      multiValueQueryStringParameters: query
        ? Object.fromEntries(Object.entries(query).map(([name, value]) => [name, [value]]))
        : null,
      pathParameters: params,
      requestContext: {
        requestId: `request-${this.#requests}`,
        ...(tenant !== undefined && { authorizer: { tenant } }),
      },
      body: bytes ? bytes.toString('base64') : text,
      isBase64Encoded: bytes !== undefined,
    };
  }
}

/** An empty table, without lag unless asked for; slow machines may take a while to catch up. */
export function openTable(options: Parameters<typeof startTable>[0] = {}): Promise<RunningTable> {
  return startTable({ refusalMs: 5_000, ...options });
}

/** A client's queue file: stamps versions, numbers operations within its session. */
export class Device {
  readonly file: string;
  session = randomBytes(16).toString('hex');
  sequence = 0;
  readonly #clock;

  constructor(file = randomBytes(8).toString('hex')) {
    this.file = file;
    this.#clock = createStampClock(file);
  }

  version(nowMs = Date.now()): Version {
    return this.#clock.stamp(nowMs);
  }

  put(id: string, payload: Json, over: Partial<PutOperation> = {}): PutOperation {
    return { ...this.#next(id), kind: 'put', payload, ...over };
  }

  delete(id: string, over: Partial<DeleteOperation> = {}): DeleteOperation {
    return { ...this.#next(id), kind: 'delete', ...over };
  }

  #next(id: string) {
    this.sequence += 1;
    return {
      session: this.session,
      sequence: this.sequence,
      collection: 'notes',
      id,
      version: this.version(),
    };
  }
}
