// The running parts of a rehearsal: the process that plays AWS, one process per region, and the network between them,
// clients and Route 53's checkers.

import { type Credentials, credentialsOf, OPERATOR, OUTSIDE } from '../aws/credentials.ts';
import { preciseNow } from '../measuring.ts';
import type { Child, Children } from './children.ts';
import type { Cleanup } from './cleanup.ts';
import type {
  AwsProcessOptions,
  FromAwsProcess,
  MetricPoint,
  StorageOrder,
  ToAwsProcess,
} from './messages.ts';
import { Network } from './network.ts';
import { openTable } from './open-table.ts';
import { Orders } from './orders.ts';
import { freePort } from './ports.ts';
import { RegionRunner } from './region-runner.ts';
import { roundTripMs } from './round-trips.ts';
import type { Timeline } from './timeline.ts';
import type { PlannedRegion, Topology } from './topology.ts';

export interface PlantOptions {
  readonly stage: string;
  readonly account: string;
  readonly assemblyDir: string;
  readonly topology: Topology;
  /** JSON JWK Set that authorizers trust. */
  readonly jwtKeySet: string;
  /** 0 takes any free port. */
  readonly ports: { readonly aws: number; readonly regions: number };
  readonly children: Children;
  readonly timeline: Timeline;
  readonly onMetrics: (region: string, points: readonly MetricPoint[]) => void;
  readonly signal: AbortSignal;
  /** How exports take their time. @default as DynamoDB, but quickly done */
  readonly exportTimes: NonNullable<AwsProcessOptions['exportTimes']>;
}

/** Where AWS is, and keys that may do everything; they belong to an operator outside of all regions. */
export type Aws = { readonly endpoint: string } & Credentials;

export interface Plant {
  readonly network: Network;
  readonly runners: readonly RegionRunner[];
  readonly aws: Aws;
  /** Does something to what is stored; resolves with the names of what it was done to. Throws as {@link Orders} does. */
  readonly order: (order: StorageOrder) => Promise<readonly string[]>;
  /** Resolves if the AWS process ends by itself. */
  readonly broken: Promise<Error>;
}

/** Resolves when the table is open and every region runs. */
export async function startPlant(options: PlantOptions, cleanup: Cleanup): Promise<Plant> {
  const { topology, stage, signal, children } = options;
  const broken = Promise.withResolvers<Error>();
  let awsProcess: Child<ToAwsProcess> | undefined;
  const tellAws = (message: ToAwsProcess) => awsProcess?.send(message);

  const network = await Network.open({
    regions: topology.regions.map(({ region }) => region),
    serving: topology.regions.filter(({ apiPhysicalId }) => apiPhysicalId).map(({ region }) => region),
    // Checkers stand all over the world: far from everywhere, as any place that is not listed.
    roundTripMs,
    firstPort: options.ports.regions,
    onRegionLinks: (links) => tellAws({ type: 'links', links }),
  });
  cleanup.add(() => network.close());

  const orders = new Orders<readonly string[]>();
  const { child, ready } = await startAws(children, options, network, orders, (why) => {
    orders.end(`the process that plays AWS ${why}`);
    if (!signal.aborted) broken.resolve(new Error(`the process that plays AWS ${why}`));
  });
  awsProcess = child;
  const [first] = topology.regions as [PlannedRegion];
  const aws = { endpoint: `http://127.0.0.1:${ready.port}`, ...credentialsOf(OPERATOR, OUTSIDE) };

  const runners = topology.regions.map((plan) => runnerOf(plan, options, network, aws.endpoint, tellAws));
  await Promise.all([
    openTable({ stage, region: first.region, endpoint: aws.endpoint, credentials: aws, signal }),
    ...runners.map((runner) => runner.start('started')),
  ]);
  const order = (what: StorageOrder) => orders.give((id) => tellAws({ type: 'order', id, order: what }));
  return { network, runners, aws, order, broken: broken.promise };
}

async function startAws(
  children: Children,
  { account, assemblyDir, ports, timeline, exportTimes }: PlantOptions,
  network: Network,
  orders: Orders<readonly string[]>,
  onEnd: (why: string) => void,
) {
  const log = (line: string) => timeline.add({ type: 'log', at: preciseNow(), from: 'aws', line });
  const awsOptions: AwsProcessOptions = {
    assemblyDir,
    account,
    port: await freePort(ports.aws),
    links: network.regionLinks,
    exportTimes,
  };
  return children.start<FromAwsProcess, ToAwsProcess>({
    name: 'the process that plays AWS',
    script: 'aws/aws.ts',
    options: awsOptions,
    onMessage(message) {
      if (message.type === 'done') orders.hear(message.id, message.outcome);
      else if (message.type === 'log') log(message.line);
    },
    onLine: log,
    onEnd,
  });
}

function runnerOf(
  plan: PlannedRegion,
  { assemblyDir, account, jwtKeySet, children, timeline, onMetrics, signal }: PlantOptions,
  network: Network,
  awsEndpoint: string,
  tellAws: (message: ToAwsProcess) => void,
): RegionRunner {
  const { region } = plan;
  return new RegionRunner({
    plan,
    processOptions: {
      assemblyDir,
      account,
      region,
      awsEndpoint,
      substitutions: { jwtKeySet, probes: network.endpointsFrom(region) },
    },
    children,
    network,
    setReplica: (of, up) => tellAws({ type: 'replica', region: of, up }),
    onCondition(condition, at, why) {
      // Ends that are part of the end are no news.
      if (!signal.aborted) timeline.add({ type: 'region', at, region, condition, why });
    },
    onTraffic: ({ at, served, errors }) => timeline.add({ type: 'traffic', at, region, served, errors }),
    onMetrics: (points) => onMetrics(region, points),
    onLine: (line) => timeline.add({ type: 'log', at: preciseNow(), from: region, line }),
    now: preciseNow,
  });
}
