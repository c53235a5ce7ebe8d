// The rehearsal's AWS: DynamoDB, KMS and STS of all regions behind one endpoint for ordinary SDKs, with the tables,
// keys and permissions of the cloud assembly and nothing else. Runs in a process of its own, or within a test.
import { type Deployment, readDeployment } from '../assembly/assembly.ts';
import type { AwsProcessOptions, FromAwsProcess, LinkState, ToAwsProcess } from '../supervisor/messages.ts';
import { type AwsFront, type Caller, jsonService, openAwsFront, type Service } from './aws-front.ts';
import { credentialsOf, OPERATOR } from './credentials.ts';
import { DynamoDb } from './dynamodb/dynamodb.ts';
import { readGlobalTable } from './dynamodb/global-table.ts';
import { RegionLinks } from './dynamodb/region-links.ts';
import { ReplicatedTable, type ReplicatedTableOptions } from './dynamodb/replicated-table.ts';
import { Iam } from './iam.ts';
import type { Access } from './iam-policy.ts';
import { Kms } from './kms.ts';
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
const CHECKED = ['dynamodb', 'kms'];

/** Unused permissions and what in the policies was not understood, as JSON, for people and the console. */
const PERMISSIONS_PATH = '/permissions';

export async function startAws(options: AwsOptions): Promise<Aws> {
  const { deployment, hangMs, port, links: states, ...tableOptions } = options;
  const { account } = deployment;
  const links = new RegionLinks(states);
  const iam = new Iam(deployment);
  const kms = new Kms(deployment);
  const described = deployment.ofType('AWS::DynamoDB::GlobalTable').map(readGlobalTable);
  const tables = await Promise.all(
    described.map(async ({ schema, regions, keyArns }) => ({
      table: await ReplicatedTable.open({ ...tableOptions, schema, regions, account, links }),
      keyArns,
    })),
  );
  const dynamodb = new DynamoDb(tables, account);
  const authorizer = (caller: Caller, region: string) => (access: Access) => {
    const context = { 'aws:RequestedRegion': region, ...access.context };
    iam.authorize(caller.principalArn, { ...access, context }, kms.keyPolicy(access.resource));
  };
  const services = new Map<string, Service>([
    [
      'dynamodb',
      jsonService('DynamoDB_20120810', 'application/x-amz-json-1.0', ({ caller, ...call }) =>
        dynamodb.call({ ...call, authorize: authorizer(caller, call.region) }),
      ),
    ],
    [
      'kms',
      jsonService('TrentService', 'application/x-amz-json-1.1', ({ caller, ...call }) =>
        kms.call({ ...call, authorize: authorizer(caller, call.region) }),
      ),
    ],
    ['sts', stsService(account, (principalArn) => iam.sessionArn(principalArn))],
  ]);
  const front: AwsFront = await openAwsFront({
    services,
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
      await Promise.all(tables.map(({ table }) => table.close()));
    },
  };
}

/** Every role and the operator, in every region of the deployment, by access key id. */
function callersOf(
  { resources }: AwsOptions['deployment'],
  roleArns: readonly string[],
): Map<string, Caller> {
  const regions = new Set(resources.map(({ region }) => region));
  return new Map(
    [OPERATOR, ...roleArns].flatMap((principalArn) =>
      [...regions].map((region) => {
        const { accessKeyId, secretAccessKey } = credentialsOf(principalArn, region);
        return [accessKeyId, { principalArn, region, secretAccessKey }] as const;
      }),
    ),
  );
}

async function runAsProcess(options: AwsProcessOptions): Promise<void> {
  const { assemblyDir, account, port, links } = options;
  const aws = await startAws({ deployment: readDeployment(assemblyDir, { account }), port, links });
  const tell = (message: FromAwsProcess) => process.send?.(message);
  process.on('message', (message: ToAwsProcess) => {
    if (message.type === 'links') aws.links.set(message.links);
    else aws.links.setUp(message.region, message.up);
  });
  for (const problem of aws.iam.problems) tell({ type: 'log', line: problem });
  tell({ type: 'ready', port: aws.port });
}

if (import.meta.main) {
  // Nothing here outlives whoever started it; there is nothing to save.
  process.on('disconnect', () => process.exit(0));
  await runAsProcess(JSON.parse(process.argv[2] ?? '{}') as AwsProcessOptions);
}
