// The rehearsal's AWS: DynamoDB with its streams, S3, KMS and STS of all regions behind one endpoint for ordinary SDKs,
// with the tables, buckets, keys and permissions of the cloud assembly and nothing else. Runs in a process of its own,
// or within a test.
import { type Deployment, readDeployment } from '../assembly/assembly.ts';
import type { AwsProcessOptions, FromAwsProcess, LinkState, ToAwsProcess } from '../supervisor/messages.ts';
import {
  type AwsFront,
  byTarget,
  type Caller,
  jsonService,
  openAwsFront,
  type Service,
} from './aws-front.ts';
import { credentialsOf, OPERATOR, OUTSIDE } from './credentials.ts';
import { checkDeploymentCalls } from './deployment-calls.ts';
import { DynamoDb, type DynamoDbCall, type EncryptedTable } from './dynamodb/dynamodb.ts';
import { readGlobalTable } from './dynamodb/global-table.ts';
import { RegionLinks } from './dynamodb/region-links.ts';
import { ReplicatedTable, type ReplicatedTableOptions } from './dynamodb/replicated-table.ts';
import { TableStream } from './dynamodb/streams.ts';
import { DynamoDbStreams, STREAMS_PREFIX } from './dynamodb/streams-api.ts';
import { Iam } from './iam.ts';
import type { Access } from './iam-policy.ts';
import { Kms } from './kms.ts';
import { bucketsOf } from './s3/buckets.ts';
import { refuse } from './s3/errors.ts';
import { S3 } from './s3/s3.ts';
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
  close(): Promise<void>;
}

/** Services whose permissions are checked here. */
const CHECKED = ['dynamodb', 'kms', 's3'];

/** Unused permissions and what in the policies was not understood, as JSON, for people and the console. */
const PERMISSIONS_PATH = '/permissions';

export async function startAws(options: AwsOptions): Promise<Aws> {
  const { deployment, hangMs, port, links: states, onLog, ...tableOptions } = options;
  const { account } = deployment;
  const links = new RegionLinks(states);
  const iam = new Iam(deployment);
  const kms = new Kms(deployment);
  checkDeploymentCalls(deployment, iam);
  const buckets = bucketsOf(deployment);
  const [tables, s3] = await Promise.all([
    openTables(deployment, { ...tableOptions, links, account }, onLog),
    buckets.length > 0 ? S3.open(buckets) : undefined,
  ]);
  const front: AwsFront = await openAwsFront({
    services: servicesOf(account, { tables, iam, kms, s3 }),
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
    async close() {
      await front.close();
      await Promise.all([s3?.close(), ...tables.map(({ table }) => table.close())]);
    },
  };
}

function openTables(
  deployment: Pick<Deployment, 'ofType'>,
  options: Omit<ReplicatedTableOptions, 'schema' | 'regions'>,
  onDropped: (line: string) => void = () => undefined,
): Promise<readonly EncryptedTable[]> {
  const described = deployment.ofType('AWS::DynamoDB::GlobalTable').map(readGlobalTable);
  return Promise.all(
    described.map(async ({ schema, regions, keyArns, streamViewType: viewType }) => {
      const table = await ReplicatedTable.open({ ...options, schema, regions });
      return { table, keyArns, ...(viewType && { stream: new TableStream({ table, viewType, onDropped }) }) };
    }),
  );
}

interface Parts {
  readonly tables: readonly EncryptedTable[];
  readonly iam: Iam;
  readonly kms: Kms;
  readonly s3: S3 | undefined;
}

type Run = (call: DynamoDbCall) => Promise<Record<string, unknown>>;

/** By name in the credential scope; each asks for every permission that a call needs. */
function servicesOf(account: string, { tables, iam, kms, s3 }: Parts): ReadonlyMap<string, Service> {
  const authorizer = (caller: Caller, region: string) => (access: Access) => {
    const context = { 'aws:RequestedRegion': region, ...access.context };
    const policy = kms.policyOf(access.resource) ?? s3?.policyOf(access.resource);
    iam.authorize(caller.principalArn, { ...access, context }, policy);
  };
  const json = (prefix: string, version: string, run: Run) =>
    jsonService(prefix, `application/x-amz-json-${version}`, ({ caller, ...rest }) =>
      run({ ...rest, authorize: authorizer(caller, rest.region) }),
    );
  const dynamodb = new DynamoDb(tables, account);
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
  const { assemblyDir, account, port, links } = options;
  const tell = (message: FromAwsProcess) => process.send?.(message);
  const onLog = (line: string) => tell({ type: 'log', line });
  const aws = await startAws({ deployment: readDeployment(assemblyDir, { account }), port, links, onLog });
  process.on('message', (message: ToAwsProcess) => {
    if (message.type === 'links') aws.links.set(message.links);
    else aws.links.setUp(message.region, message.up);
  });
  for (const problem of aws.iam.problems) onLog(problem);
  tell({ type: 'ready', port: aws.port });
}

if (import.meta.main) {
  // Nothing here outlives whoever started it; there is nothing to save.
  process.on('disconnect', () => process.exit(0));
  await runAsProcess(JSON.parse(process.argv[2] ?? '{}') as AwsProcessOptions);
}
