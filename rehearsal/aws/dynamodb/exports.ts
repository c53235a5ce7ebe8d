// Exports of tables into buckets: asked for in one call, written afterwards on its caller's behalf, described in
// others. A region exports its own copy, so one that is down or reaches no majority exports nothing.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServiceError, validationError } from '../service-error.ts';
import type { Json } from './dynalite.ts';
import type { DynamoDbCall } from './dynamodb.ts';
import { startedKey, type Written, writeExport } from './export-files.ts';
import {
  checkedSpan,
  checkedTime,
  dynamoDbError,
  type ExportRequest,
  type Reach,
  readExportRequest,
  type Span,
  type SpanLimits,
  tableNameOf,
} from './export-requests.ts';
import type { TableHistory } from './history.ts';
import type { ReplicatedTable } from './replicated-table.ts';

/** One object for a bucket, put on behalf of whoever asked for the export. */
export interface ExportedObject {
  readonly bucket: string;
  readonly key: string;
  readonly body: Buffer;
  readonly contentType: string;
  readonly sse: Pick<ExportRequest, 'sseAlgorithm' | 'sseKeyId'>;
  /** The region that exports. */
  readonly from: string;
  readonly authorize: DynamoDbCall['authorize'];
  /** Ends waiting. */
  readonly signal: AbortSignal;
}

export interface ExportTimes extends SpanLimits {
  /** How far the latest restorable time trails now. DynamoDB: typically five minutes. */
  readonly latestLagMs: number;
  /** How long an export takes at least, whatever it writes. DynamoDB: minutes. */
  readonly durationMs: number;
}

export interface TableExportsOptions {
  readonly account: string;
  /** Those with point-in-time recovery in some region also have a history. */
  readonly tables: readonly { readonly table: ReplicatedTable; readonly history?: TableHistory }[];
  /** Gives the entity tag. Throws what S3 answers. */
  readonly put: (object: ExportedObject) => Promise<string>;
  /** @default the values of DynamoDB, save the duration: a fifth of a second */
  readonly times?: Partial<ExportTimes>;
  /** At a time in a region. @default 300, as DynamoDB allows */
  readonly concurrentMax?: number;
  /** Unix ms. @default Date.now */
  readonly now?: () => number;
}

type Table = TableExportsOptions['tables'][number];

interface Job {
  readonly arn: string;
  readonly id: string;
  readonly region: string;
  readonly tableId: string;
  readonly request: ExportRequest;
  readonly clientToken: string;
  readonly startMs: number;
  /** Of a full export. */
  readonly timeMs: number | undefined;
  /** Of an incremental one. */
  readonly span: Span | undefined;
  outcome: Outcome;
}

type Outcome =
  | { readonly status: 'IN_PROGRESS' }
  | { readonly status: 'COMPLETED'; readonly endMs: number; readonly written: Written }
  | { readonly status: 'FAILED'; readonly endMs: number; readonly code: string; readonly message: string };

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_IncrementalExportSpecification.html */
const TIMES: ExportTimes = {
  latestLagMs: 5 * 60_000,
  durationMs: 200,
  spanMsMin: 15 * 60_000,
  spanMsMax: 24 * 3_600_000,
};
/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html */
const CONCURRENT_MAX = 300;
const TOKEN_MS = 8 * 3_600_000;
const LISTED_MAX = 25;
/** What whoever asks for an export must be allowed to do in its bucket beside putting objects. */
const S3_ACTIONS = ['s3:AbortMultipartUpload', 's3:PutObject', 's3:PutObjectAcl'];

export class TableExports {
  readonly #options: TableExportsOptions;
  readonly #times: ExportTimes;
  readonly #now: () => number;
  readonly #tables: ReadonlyMap<string, Table & { readonly id: string }>;
  /** The oldest first. */
  readonly #jobs: Job[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  /** Since when a region's copy of a table has not been sure of having everything. */
  readonly #cutOffSince = new Map<string, number>();

  constructor(options: TableExportsOptions) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
    this.#now = options.now ?? Date.now;
    this.#tables = new Map(
      options.tables.map((each) => [each.table.schema.TableName, { ...each, id: randomUUID() }]),
    );
  }

  /** Told whenever the network or the regions changed. */
  networkChanged(): void {
    for (const { table } of this.#options.tables)
      for (const region of table.regions) {
        const name = `${table.schema.TableName} ${region}`;
        if (table.isConnected(region)) this.#cutOffSince.delete(name);
        else if (!this.#cutOffSince.has(name)) this.#cutOffSince.set(name, this.#now());
      }
  }

  /** @throws {ServiceError} as ExportTableToPointInTime answers */
  async start({ input, region, authorize }: DynamoDbCall): Promise<Json> {
    const { account } = this.#options;
    const request = readExportRequest(input, account);
    const resource = `arn:aws:dynamodb:${region}:${account}:table/${request.tableName}`;
    authorize({ action: 'dynamodb:ExportTableToPointInTime', resource, context: {} });
    const found = this.#table(request.tableName, region);
    if (!found || request.tableArn !== resource)
      throw dynamoDbError('TableNotFoundException', `Table not found: ${request.tableArn}`);
    await found.table.catchUp(region);
    // Nothing waits from here on, so that of two calls with one token the second finds the first.
    const before = this.#sameToken(region, request);
    if (before) return { ExportDescription: descriptionOf(before) };
    const job = this.#accepted(found, region, request);
    this.#jobs.push(job);
    const running = this.#run(job, found, authorize).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return { ExportDescription: descriptionOf(job) };
  }

  /** @throws {ServiceError} as DescribeExport answers */
  async describe({ input, region, authorize }: DynamoDbCall): Promise<Json> {
    const arn = String(input['ExportArn'] ?? '');
    if (!/^arn:[^:]+:dynamodb:[^:]+:\d{12}:table\/[^/]+\/export\/[^/]+$/.test(arn))
      throw validationError('Invalid Export ARN');
    authorize({ action: 'dynamodb:DescribeExport', resource: arn, context: {} });
    const job = this.#jobs.find((each) => each.arn === arn && each.region === region);
    if (!job) throw dynamoDbError('ExportNotFoundException', `Export not found: ${arn}`);
    return { ExportDescription: descriptionOf(job) };
  }

  /** The newest first. @throws {ServiceError} as ListExports answers */
  async list({ input, region, authorize }: DynamoDbCall): Promise<Json> {
    const max = input['MaxResults'] ?? LISTED_MAX;
    if (!Number.isInteger(max) || Number(max) < 1 || Number(max) > LISTED_MAX)
      throw validationError(`MaxResults: expected 1 to ${LISTED_MAX}, got ${JSON.stringify(max)}`);
    const of = input['TableArn'];
    if (of !== undefined) tableNameOf(String(of), this.#options.account);
    authorize({ action: 'dynamodb:ListExports', resource: '*', context: {} });
    const jobs = this.#jobs
      .filter((job) => job.region === region && (of === undefined || job.request.tableArn === of))
      .toReversed();
    const start =
      input['NextToken'] === undefined ? 0 : jobs.findIndex(({ id }) => id === input['NextToken']);
    if (start < 0)
      throw validationError(`Invalid Request: Provided nextToken is invalid: ${input['NextToken']}`);
    const page = jobs.slice(start, start + Number(max));
    const next = jobs[start + Number(max)];
    return {
      ExportSummaries: page.map(({ arn, outcome, request: { type } }) => ({
        ExportArn: arn,
        ExportStatus: outcome.status,
        ExportType: type ?? 'FULL_EXPORT',
      })),
      ...(next && { NextToken: next.id }),
    };
  }

  /** @throws {ServiceError} as DescribeContinuousBackups answers */
  async describeContinuousBackups({ input, region, authorize }: DynamoDbCall): Promise<Json> {
    const { account } = this.#options;
    const given = String(input['TableName'] ?? '');
    const name = given.startsWith('arn:') ? tableNameOf(given, account) : given;
    const resource = `arn:aws:dynamodb:${region}:${account}:table/${name}`;
    authorize({ action: 'dynamodb:DescribeContinuousBackups', resource, context: {} });
    const found = this.#table(name, region);
    if (!found) throw dynamoDbError('TableNotFoundException', `Table not found: ${given}`);
    const days = found.history?.recoveryDays(region);
    const reach = this.#reach(found, region);
    return {
      ContinuousBackupsDescription: {
        ContinuousBackupsStatus: 'ENABLED',
        PointInTimeRecoveryDescription:
          days === undefined || !reach
            ? { PointInTimeRecoveryStatus: 'DISABLED' }
            : {
                PointInTimeRecoveryStatus: 'ENABLED',
                RecoveryPeriodInDays: days,
                EarliestRestorableDateTime: Math.ceil(reach.earliestMs / 1_000),
                // Young as it is, what it begins with can be had.
                LatestRestorableDateTime: Math.floor(Math.max(reach.latestMs, reach.earliestMs) / 1_000),
              },
      },
    };
  }

  /** Exports under way fail. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#running);
  }

  #table(name: string, region: string): (Table & { readonly id: string }) | undefined {
    const found = this.#tables.get(name);
    return found?.table.regions.includes(region) ? found : undefined;
  }

  /** Undefined where point-in-time recovery is off. */
  #reach({ table, history }: Table, region: string): Reach | undefined {
    if (history?.recoveryDays(region) === undefined) return undefined;
    const nowMs = this.#now();
    const sureMs = this.#cutOffSince.get(`${table.schema.TableName} ${region}`) ?? nowMs;
    return { nowMs, earliestMs: history.earliest(region), latestMs: sureMs - this.#times.latestLagMs };
  }

  /** An export asked for before with the same token, which is the answer again. */
  #sameToken(region: string, { clientToken, ...asked }: ExportRequest): Job | undefined {
    if (clientToken === undefined) return undefined;
    const since = this.#now() - TOKEN_MS;
    const before = this.#jobs.findLast(
      (job) => job.region === region && job.clientToken === clientToken && job.startMs > since,
    );
    if (!before) return undefined;
    const { clientToken: _, ...earlier } = before.request;
    if (JSON.stringify(earlier) === JSON.stringify(asked)) return before;
    throw dynamoDbError(
      'ExportConflictException',
      'Export conflict: Duplicate request detected with conflicting parameters',
    );
  }

  #accepted(found: Table & { readonly id: string }, region: string, request: ExportRequest): Job {
    const { account, concurrentMax = CONCURRENT_MAX } = this.#options;
    const { tableName, incremental } = request;
    const reach = this.#reach(found, region);
    if (!reach)
      throw dynamoDbError(
        'PointInTimeRecoveryUnavailableException',
        `Point in time recovery is not enabled for table '${tableName}'`,
      );
    const span = incremental && checkedSpan(incremental, reach, this.#times);
    const timeMs = span ? undefined : checkedTime(request, reach);
    const inProgress = this.#jobs.filter(
      (job) => job.region === region && job.outcome.status === 'IN_PROGRESS',
    );
    if (inProgress.length >= concurrentMax)
      throw dynamoDbError(
        'LimitExceededException',
        `Subscriber limit exceeded: at most ${concurrentMax} exports may be in progress at a time, got one more`,
      );
    const id = `${String(reach.nowMs).padStart(14, '0')}-${randomBytes(4).toString('hex')}`;
    return {
      arn: `arn:aws:dynamodb:${region}:${account}:table/${tableName}/export/${id}`,
      id,
      region,
      tableId: found.id,
      request,
      clientToken: request.clientToken ?? randomUUID(),
      startMs: reach.nowMs,
      timeMs,
      span,
      outcome: { status: 'IN_PROGRESS' },
    };
  }

  async #run(job: Job, found: Table, authorize: DynamoDbCall['authorize']): Promise<void> {
    try {
      await sleep(this.#times.durationMs, undefined, { signal: this.#closing.signal });
      const written = await this.#write(job, found, authorize);
      job.outcome = { status: 'COMPLETED', endMs: this.#now(), written };
    } catch (error) {
      job.outcome = { status: 'FAILED', endMs: this.#now(), ...failureOf(error) };
    }
  }

  async #write(job: Job, { table, history }: Table, authorize: DynamoDbCall['authorize']): Promise<Written> {
    const { region, request, span, timeMs } = job;
    const { account, put } = this.#options;
    const { bucket, prefix, bucketOwner } = request;
    if (!history) throw new Error(`${request.tableName} has no history`);
    for (const action of S3_ACTIONS)
      authorize({
        action,
        resource: `arn:aws:s3:::${bucket}/${startedKey(prefix, job.id)}`,
        context: {},
      });
    if (bucketOwner !== undefined && bucketOwner !== account)
      throw new ServiceError(403, { __type: 'AccessDenied', message: 'Access Denied' });
    await table.catchUp(region);
    const neededMs = span?.fromMs ?? timeMs ?? job.startMs;
    return writeExport({
      exportId: job.id,
      prefix,
      summary: {
        exportArn: job.arn,
        startTime: new Date(job.startMs).toISOString(),
        tableArn: request.tableArn,
        tableId: job.tableId,
        s3Bucket: bucket,
        s3Prefix: prefix ?? null,
        s3SseAlgorithm: request.sseAlgorithm,
        s3SseKmsKeyId: request.sseKeyId ?? null,
      },
      content: span
        ? {
            type: 'INCREMENTAL_EXPORT',
            ...span,
            view: request.incremental?.view ?? 'NEW_AND_OLD_IMAGES',
            changes: history.between(span.fromMs, span.toMs),
          }
        : { type: 'FULL_EXPORT', exportTimeMs: neededMs, items: history.at(region, neededMs) },
      now: this.#now,
      put: (key, body, contentType) =>
        put({
          bucket,
          key,
          body,
          contentType,
          sse: request,
          from: region,
          authorize,
          signal: this.#closing.signal,
        }),
      complete: () => {
        if (neededMs < history.earliest(region))
          throw new Error(
            `what was to be exported is no longer kept: earliest is ${history.earliest(region)}`,
          );
      },
    });
  }
}

/** S3's own words where it was S3. */
function failureOf(error: unknown): { code: string; message: string } {
  if (!(error instanceof ServiceError)) return { code: 'InternalServerError', message: String(error) };
  const { name, status, message } = error;
  if (name === 'InternalServerError') return { code: name, message };
  // IAM refuses for all services in one way; here it is S3 that says so.
  const code = name === 'AccessDeniedException' ? 'AccessDenied' : name;
  return {
    code: code.startsWith('KMS.') ? code.replace('KMS.', 'Kms') : `S3${code}`,
    message: `${message} (Service: Amazon S3; Status Code: ${code === 'AccessDenied' ? 403 : status}; Error Code: ${code})`,
  };
}

function descriptionOf({ arn, tableId, request, clientToken, startMs, timeMs, span, outcome }: Job): Json {
  const { status } = outcome;
  return {
    ExportArn: arn,
    ExportStatus: status,
    StartTime: startMs / 1_000,
    TableArn: request.tableArn,
    TableId: tableId,
    ClientToken: clientToken,
    S3Bucket: request.bucket,
    S3SseAlgorithm: request.sseAlgorithm,
    ExportFormat: 'DYNAMODB_JSON',
    ...(timeMs !== undefined && { ExportTime: timeMs / 1_000 }),
    ...(request.type && { ExportType: request.type }),
    ...(request.prefix !== undefined && { S3Prefix: request.prefix }),
    ...(request.bucketOwner !== undefined && { S3BucketOwner: request.bucketOwner }),
    ...(request.sseKeyId !== undefined && { S3SseKmsKeyId: request.sseKeyId }),
    ...(span && {
      IncrementalExportSpecification: {
        ExportFromTime: span.fromMs / 1_000,
        ExportToTime: span.toMs / 1_000,
        ExportViewType: request.incremental?.view,
      },
    }),
    ...(status !== 'IN_PROGRESS' && { EndTime: outcome.endMs / 1_000 }),
    ...(status === 'COMPLETED' && {
      ExportManifest: outcome.written.manifest,
      ItemCount: outcome.written.itemCount,
      BilledSizeBytes: outcome.written.billedBytes,
    }),
    ...(status === 'FAILED' && { FailureCode: outcome.code, FailureMessage: outcome.message }),
  };
}
