// The rehearsal's AWS: DynamoDB with its streams, S3, KMS and STS of all regions behind one endpoint for ordinary SDKs,
// with the tables, buckets, keys and permissions of the cloud assembly and nothing else. Runs in a process of its own,
// or within a test.
import { type Deployment, readDeployment } from '../assembly/assembly.ts';
import type { AwsProcessOptions, FromAwsProcess, LinkState, ToAwsProcess } from '../supervisor/messages.ts';
import { outcomeOf } from '../supervisor/orders.ts';
import {
  type AwsFront,
  byTarget,
  type Caller,
  jsonService,
  openAwsFront,
  type Service,
} from './aws-front.ts';
import { Clock } from './clock.ts';
import { credentialsOf, OPERATOR, OUTSIDE } from './credentials.ts';
import { checkDeploymentCalls } from './deployment-calls.ts';
import { DynamoDb, type DynamoDbCall, type EncryptedTable } from './dynamodb/dynamodb.ts';
import { TableExports, type TableExportsOptions } from './dynamodb/exports.ts';
import { readGlobalTable } from './dynamodb/global-table.ts';
import { TableHistory } from './dynamodb/history.ts';
import { RegionLinks } from './dynamodb/region-links.ts';
import { RegionalTables } from './dynamodb/regional-tables.ts';
import { ReplicatedTable, type ReplicatedTableOptions } from './dynamodb/replicated-table.ts';
import { TableStream } from './dynamodb/streams.ts';
import { DynamoDbStreams, STREAMS_PREFIX } from './dynamodb/streams-api.ts';
import { exportBucket } from './export-bucket.ts';
import { Iam } from './iam.ts';
import type { Access } from './iam-policy.ts';
import { Kms } from './kms.ts';
import { obey } from './orders.ts';
import { bucketsOf } from './s3/buckets.ts';
import { refuse } from './s3/errors.ts';
import { S3 } from './s3/s3.ts';
import { Sqs } from './sqs.ts';
import { stsService } from './sts.ts';

export interface AwsOptions
  extends Pick<ReplicatedTableOptions, 'itemLag' | 'indexLag' | 'refusalMs' | 'random'> {
  readonly deployment: Pick<Deployment, 'account' | 'resources' | 'ofType'>;
  /** @default no delays, nothing cut */
  readonly links?: readonly LinkState[];
  /** On 127.0.0.1. @default 0, any free port */
  readonly port?: number;
  /** How long a request to a region out of reach hangs before its connection is broken. @default 30000 */
  readonly hangMs?: number;
  /** Unix ms, for lifecycles, locks and point-in-time recovery; nothing else goes by it. @default Date.now */
  readonly now?: () => number;
  /** @default those of DynamoDB (dynamodb/exports.ts) */
  readonly exports?: Pick<TableExportsOptions, 'times' | 'concurrentMax'>;
  /** Told what people should know. @default nobody */
  readonly onLog?: (line: string) => void;
}

export interface Aws {
  readonly port: number;
  readonly endpoint: string;
  readonly links: RegionLinks;
  /** By name. */
  readonly tables: ReadonlyMap<string, ReplicatedTable>;
  readonly iam: Iam;
  readonly kms: Kms;
  /** Undefined where there are no buckets. */
  readonly s3: S3 | undefined;
  close(): Promise<void>;
}

/** Services whose permissions are checked here. */
const CHECKED = ['dynamodb', 'kms', 's3', 'sqs'];

const HANG_MS = 30_000;

/** Unused permissions and what in the policies was not understood, as JSON, for people and the console. */
const PERMISSIONS_PATH = '/permissions';

export async function startAws(options: AwsOptions): Promise<Aws> {
  const {
    deployment,
    hangMs,
    port,
    links: states,
    onLog,
    now,
    exports: exporting,
    ...tableOptions
  } = options;
  const { account } = deployment;
  const links = new RegionLinks(states);
  const iam = new Iam(deployment);
  const kms = new Kms(deployment);
  checkDeploymentCalls(deployment, iam);
  const buckets = bucketsOf(deployment);
  const queues = deployment.ofType('AWS::SQS::Queue');
  const [tables, s3, sqs] = await Promise.all([
    openTables(deployment, { ...tableOptions, links, account }, onLog ?? (() => undefined), now),
    buckets.length > 0
      ? S3.open(buckets, { keyState: (arn) => kms.stateOf(arn), ...(now && { now }) })
      : undefined,
    queues.length > 0 ? Sqs.open(queues) : undefined,
  ]);
  const exports = new TableExports({
    ...exporting,
    account,
    tables,
    put: exportBucket({ s3, links, hangMs: hangMs ?? HANG_MS }),
    ...(now && { now }),
  });
  const stopListening = links.onChange(() => exports.networkChanged());
  const made = new RegionalTables({ account, links, keyState: (arn) => kms.stateOf(arn) });
  const front: AwsFront = await openAwsFront({
    services: servicesOf(account, { tables, made, exports, iam, kms, s3, sqs }),
    callers: callersOf(deployment, iam.roleArns),
    links,
    pages: new Map([
      [
        PERMISSIONS_PATH,
        () => ({ unused: iam.unused(CHECKED), used: iam.used, notUnderstood: iam.problems }),
      ],
    ]),
    ...(port !== undefined && { port }),
    ...(hangMs !== undefined && { hangMs }),
  });
  return {
    port: front.port,
    endpoint: front.endpoint,
    links,
    tables: new Map(tables.map(({ table }) => [table.schema.TableName, table])),
    iam,
    kms,
    s3,
    async close() {
      await front.close();
      stopListening();
      await exports.close();
      await Promise.all([
        s3?.close(),
        sqs?.close(),
        made.close(),
        ...tables.map(({ table }) => table.close()),
      ]);
    },
  };
}

function openTables(
  deployment: Pick<Deployment, 'ofType'>,
  options: Omit<ReplicatedTableOptions, 'schema' | 'regions'>,
  onDropped: (line: string) => void,
  now: (() => number) | undefined,
): Promise<readonly EncryptedTable[]> {
  const described = deployment.ofType('AWS::DynamoDB::GlobalTable').map(readGlobalTable);
  return Promise.all(
    described.map(async ({ schema, regions, keyArns, streamViewType: viewType, recoveryDays }) => {
      const table = await ReplicatedTable.open({ ...options, schema, regions });
      const history = { table, recoveryDays, onDropped, ...(now && { now }) };
      return {
        table,
        keyArns,
        ...(viewType && { stream: new TableStream({ table, viewType, onDropped }) }),
        ...(recoveryDays.size > 0 && { history: new TableHistory(history) }),
      };
    }),
  );
}

interface Parts {
  readonly tables: readonly EncryptedTable[];
  readonly made: RegionalTables;
  readonly exports: TableExports;
  readonly iam: Iam;
  readonly kms: Kms;
  readonly s3: S3 | undefined;
  readonly sqs: Sqs | undefined;
}

type Run = (call: DynamoDbCall) => Promise<Record<string, unknown>>;

/** By name in the credential scope; each asks for every permission that a call needs. */
function servicesOf(
  account: string,
  { tables, made, exports, iam, kms, s3, sqs }: Parts,
): ReadonlyMap<string, Service> {
  const authorizer = (caller: Caller, region: string) => (access: Access) => {
    const context = { 'aws:RequestedRegion': region, ...access.context };
    const policy = kms.policyOf(access.resource) ?? s3?.policyOf(access.resource);
    iam.authorize(caller.principalArn, { ...access, context }, policy);
  };
  const json = (prefix: string, version: string, run: Run) =>
    jsonService(prefix, `application/x-amz-json-${version}`, ({ caller, ...rest }) =>
      run({ ...rest, authorize: authorizer(caller, rest.region) }),
    );
  const dynamodb = new DynamoDb(tables, account, { exports, made });
  const streams = new DynamoDbStreams(
    tables.flatMap(({ stream, keyArns }) => (stream ? [{ stream, keyArns }] : [])),
    account,
  );
  const services = new Map<string, Service>([
    [
      'dynamodb',
      byTarget(
        json('DynamoDB_20120810', '1.0', (call) => dynamodb.call(call)),
        {
          [STREAMS_PREFIX]: json(STREAMS_PREFIX, '1.0', (call) => streams.call(call)),
        },
      ),
    ],
    ['kms', json('TrentService', '1.1', (call) => kms.call(call))],
    ['sts', stsService(account, (principalArn) => iam.sessionArn(principalArn))],
  ]);
  if (sqs)
    services.set(
      'sqs',
      json('AmazonSQS', '1.0', (call) => sqs.call(call)),
    );
  if (s3)
    services.set('s3', {
      call: ({ request, region, caller }) =>
        s3.call({ request, region, authorize: authorizer(caller, region) }),
      refuse,
    });
  return services;
}

/** Every role and the operator, in every region of the deployment and outside of all, by access key id. */
function callersOf(
  { resources }: AwsOptions['deployment'],
  roleArns: readonly string[],
): Map<string, Caller> {
  const places = new Set([OUTSIDE, ...resources.map(({ region }) => region)]);
  return new Map(
    [OPERATOR, ...roleArns].flatMap((principalArn) =>
      [...places].map((region) => {
        const { accessKeyId, secretAccessKey } = credentialsOf(principalArn, region);
        return [accessKeyId, { principalArn, region, secretAccessKey }] as const;
      }),
    ),
  );
}

async function runAsProcess(options: AwsProcessOptions): Promise<void> {
  const { assemblyDir, account, port, links, clockScale = 1, exportTimes = {} } = options;
  const tell = (message: FromAwsProcess) => process.send?.(message);
  const onLog = (line: string) => tell({ type: 'log', line });
  const clock = new Clock({ scale: clockScale });
  const aws = await startAws({
    deployment: readDeployment(assemblyDir, { account }),
    port,
    links,
    onLog,
    now: clock.now,
    exports: { times: exportTimes },
  });
  process.on('message', async (message: ToAwsProcess) => {
    if (message.type === 'links') aws.links.set(message.links);
    else if (message.type === 'replica') aws.links.setUp(message.region, message.up);
    else {
      const { id, order } = message;
      tell({ type: 'done', id, outcome: await outcomeOf(() => obey(aws, clock, order)) });
    }
  });
  for (const problem of aws.iam.problems) onLog(problem);
  tell({ type: 'ready', port: aws.port });
}

if (import.meta.main) {
  // Nothing here outlives whoever started it; there is nothing to save.
  process.on('disconnect', () => process.exit(0));
  await runAsProcess(JSON.parse(process.argv[2] ?? '{}') as AwsProcessOptions);
}
