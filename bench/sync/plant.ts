// What every comparison of the sync benchmark stands on: the assembly, the table it describes in a process of its own,
// opened as an operator opens it, and the primary region's functions behind their API.
import { GENERATION_KEY } from '../../protocol/items.ts';
import { type Deployment, readDeployment } from '../../rehearsal/assembly/assembly.ts';
import { assemblyOf } from '../../rehearsal/assembly/synthesis.ts';
import { type Credentials, credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { signedCall } from '../../rehearsal/aws/signed-call.ts';
import { Children } from '../../rehearsal/supervisor/children.ts';
import { signingKey, signToken } from '../../rehearsal/supervisor/keys.ts';
import type { FromRegionProcess } from '../../rehearsal/supervisor/messages.ts';
import { openTable } from '../../rehearsal/supervisor/open-table.ts';
import { STAGE_DEFAULT, stageConfig } from '../../rehearsal/supervisor/stage.ts';
import { type Side, startSide } from '../processes.ts';
import type { EngineAnswers } from './engine.ts';
import { TENANT } from './operations.ts';

export interface Plant {
  readonly assemblyDir: string;
  readonly region: string;
  readonly engine: Side<EngineAnswers>;
  readonly table: TableAccess;
  readonly restoreEpoch: number;
  /** Starts the region's functions; resolves with the port of its API and a token for it. */
  serve(): Promise<{ readonly port: number; readonly token: string }>;
  end(): Promise<void>;
}

/** What an SDK needs to reach the table. */
export interface TableAccess {
  readonly endpoint: string;
  readonly region: string;
  readonly tableName: string;
  readonly credentials: Credentials;
}

const OPEN_MS_MAX = 30_000;
const TOKEN_TTL_S = 3_600;

export async function startPlant(): Promise<Plant> {
  const assemblyDir = await assemblyOf(STAGE_DEFAULT);
  const deployment = readDeployment(assemblyDir);
  const region = stageConfig().regions.primary;
  const [described] = deployment.ofType('AWS::DynamoDB::GlobalTable');
  if (described === undefined) throw new Error(`${assemblyDir} describes no table`);
  const credentials = credentialsOf(OPERATOR, region);
  const children = new Children();
  const engine = await startSide<EngineAnswers>('sync/engine.ts', { assemblyDir });
  const ending = new AbortController();
  const end = async () => {
    ending.abort();
    engine.end();
    await children.endAll();
  };
  try {
    const endpoint = await engine.ask('endpoint');
    const signal = AbortSignal.timeout(OPEN_MS_MAX);
    await openTable({ stage: STAGE_DEFAULT, region, endpoint, credentials, signal });
    const table = { endpoint, region, tableName: described.physicalId, credentials };
    const restoreEpoch = await restoreEpochOf(table);
    const serve = () => startRegion({ assemblyDir, deployment, children, table, ending: ending.signal });
    return { assemblyDir, region, engine, table, restoreEpoch, serve, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Under which requests are admitted. */
async function restoreEpochOf({ tableName, ...access }: TableAccess): Promise<number> {
  const { pk, sk } = GENERATION_KEY;
  const answer = await signedCall(
    { ...access, service: 'dynamodb', timeoutMs: OPEN_MS_MAX },
    'DynamoDB_20120810.GetItem',
    { TableName: tableName, Key: { pk: { S: pk }, sk: { S: sk } }, ConsistentRead: true },
  );
  return Number((answer['Item'] as { restoreEpoch: { N: string } }).restoreEpoch.N);
}

async function startRegion(parts: {
  readonly assemblyDir: string;
  readonly deployment: Deployment;
  readonly children: Children;
  readonly table: TableAccess;
  readonly ending: AbortSignal;
}): Promise<{ port: number; token: string }> {
  const { assemblyDir, deployment, children, table, ending } = parts;
  const key = await signingKey();
  const { ready } = await children.start<FromRegionProcess>({
    name: `region ${table.region}`,
    script: 'region/region.ts',
    options: {
      assemblyDir,
      account: deployment.account,
      region: table.region,
      awsEndpoint: table.endpoint,
      substitutions: { jwtKeySet: key.keySet },
    },
    onMessage: () => undefined,
    onLine: (line) => console.error(line),
    onEnd: (why) => ending.aborted || console.error(`region ${table.region} ${why}`),
  });
  const [api] = ready.endpoints;
  if (api === undefined) throw new Error(`${table.region} serves no API`);
  const { issuer, audience } = stageConfig().auth;
  const token = await signToken(key, { issuer, audience, tenant: TENANT, ttlS: TOKEN_TTL_S });
  return { port: api.port, token };
}
