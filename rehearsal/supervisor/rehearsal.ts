// The rehearsal as a whole: reads the assembly, starts what it describes, and hands it to whoever wants to watch it,
// break it and stop it. Nothing is left behind then: no process, no socket, no file.
import { clockAheadMs, setClockAhead } from '../ahead.ts';
import { type Deployment, readDeployment } from '../assembly/assembly.ts';
import { assemblyOf } from '../assembly/synthesis.ts';
import { createConsole } from '../console/server.ts';
import { preciseNow } from '../measuring.ts';
import { alarmsOf, startDns } from '../route53/dns.ts';
import { startSampleClient } from '../sample.ts';
import { Children } from './children.ts';
import { Cleanup } from './cleanup.ts';
import { signingKey, signToken } from './keys.ts';
import type { Link } from './link.ts';
import type { AwsProcessOptions, MetricPoint } from './messages.ts';
import type { Source, WayCut } from './network.ts';
import { type Aws, startPlant } from './plant.ts';
import { serveNear } from './ports.ts';
import { FaultRefused } from './region-runner.ts';
import { RoutingWatch, readTable } from './routing-watch.ts';
import { STAGE_DEFAULT, stageConfig } from './stage.ts';
import type { ClientSecond, Fault, RehearsalEvent, RehearsalState } from './state.ts';
import { StorageFaults } from './storage.ts';
import { Timeline } from './timeline.ts';
import { notRehearsedIn, type PlannedRegion, readTopology } from './topology.ts';

export { FaultRefused };

export interface RehearsalOptions {
  /** @default 'dev' */
  readonly stage?: string;
  /** A cloud assembly of that stage. @default the stage's own, synthesized when it is missing or out of date */
  readonly assemblyDir?: string;
  /** The console's port; resolver, AWS endpoint and regions take the next ones. A taken port gives way to a free one
   * near it. @default 0, any free ports */
  readonly port?: number;
  /** @default true */
  readonly console?: boolean;
  /** Whether a client works on it all the time. @default false */
  readonly sampleClient?: boolean;
  /** By how many ms all clocks here, this process's too, are ahead of the machine's while it runs. @default as this
   * process's is (rehearsal/ahead.ts) */
  readonly aheadMs?: number;
  /** How exports of the table take their time. @default as DynamoDB, but quickly done */
  readonly exportTimes?: NonNullable<AwsProcessOptions['exportTimes']>;
  /** Told what is being done. */
  readonly onStep?: (step: string) => void;
}

export interface RunningRegion {
  readonly region: string;
  readonly role: PlannedRegion['role'];
  /** Where clients reach it; absent for a region that serves nobody. */
  readonly endpoint?: string;
}

export interface Rehearsal
  extends Pick<StorageFaults, 'breakBucket' | 'rot' | 'damage' | 'wipe' | 'plantRecords'> {
  readonly deployment: Deployment;
  /** Primary, standby, quorum. */
  readonly regions: readonly RunningRegion[];
  /** Absent when the stage has no domain. */
  readonly failoverName?: string;
  /** Absent when none was wanted. */
  readonly console?: string;
  readonly resolver: string;
  /** For any SDK or the AWS CLI; these keys may do everything, and work from outside of all regions. */
  readonly aws: Aws;
  /** Name of the table. */
  readonly table: string;
  /** Resource types, settings, alarms and checks that nothing here plays. */
  readonly notRehearsed: readonly string[];
  /** By how many ms all clocks here are ahead of the machine's. */
  readonly clockAheadMs: number;
  /** Resolves if the process that plays AWS ends by itself: nothing works any more then. */
  readonly broken: Promise<Error>;
  state(): RehearsalState;
  /** A token that the authorizers take. @default tenant demo, all scopes, an hour */
  token(options?: { tenant?: string; scopes?: readonly string[]; ttlS?: number }): Promise<string>;
  /**
   * Resolves with the moment it was done, in Unix ms with fractions; `revive` once the region runs again, `into` a
   * partition where that is asked for.
   * @throws RangeError there is no such region
   * @throws FaultRefused it makes no sense now, e.g. reviving a region that runs
   */
  fault(region: string, fault: Fault, into?: 'partition'): Promise<number>;
  /**
   * Calls what a region's schedule calls, with that schedule's input, as if it were due at `atMs` (Unix ms, default now);
   * resolves when the function has ended. Schedules run by themselves all the same.
   * @param schedule with or without project and stage, e.g. `backup-daily`
   * @throws RangeError there is no such region or schedule
   * @throws FaultRefused the region runs nothing now
   * @throws Error the function failed; says how
   */
  runSchedule(region: string, schedule: string, atMs?: number): Promise<void>;
  /**
   * Cuts the way between two regions and no other; undefined heals it.
   * @throws RangeError they are not two regions of this rehearsal
   */
  cutWay(from: string, to: string, cut: WayCut | undefined): void;
  /** Disables a health check, or enables it again, as an operator may in Route 53. @throws RangeError there is none */
  disableHealthCheck(id: string, disabled: boolean): void;
  /** The way from a source outside to a region; undefined for a region that serves nobody. */
  link(source: Source, region: string): Link | undefined;
  /** Calls back with every event from now on, until the returned function is called. */
  listen(listener: (event: RehearsalEvent) => void): () => void;
  /** The same for what the functions of a region measure. */
  measured(listener: MetricListener): () => void;
  /** Ends everything; may be called more than once. */
  stop(): Promise<void>;
}

export type MetricListener = (region: string, points: readonly MetricPoint[]) => void;

/**
 * Resolves when all regions run, the table is open and DNS answers; otherwise nothing is left running.
 * `signal` gives up while it starts; a rehearsal that runs is ended by `stop`.
 */
export async function startRehearsal(
  options: RehearsalOptions = {},
  signal?: AbortSignal,
): Promise<Rehearsal> {
  const cleanup = new Cleanup();
  try {
    const rehearsal = await start(options, cleanup, signal);
    signal?.throwIfAborted();
    return rehearsal;
  } catch (error) {
    await cleanup.run();
    // Whatever it broke on: it was told to give up.
    signal?.throwIfAborted();
    throw error;
  }
}

async function start(options: RehearsalOptions, cleanup: Cleanup, given?: AbortSignal): Promise<Rehearsal> {
  const { stage = STAGE_DEFAULT, port = 0, onStep = () => undefined } = options;
  const { auth } = stageConfig(stage);
  const machineAheadMs = clockAheadMs();
  setClockAhead(options.aheadMs ?? machineAheadMs);
  cleanup.add(() => setClockAhead(machineAheadMs));
  const startedAt = Date.now();
  const stopping = new AbortController();
  const signal = given ? AbortSignal.any([given, stopping.signal]) : stopping.signal;
  /** The n-th port from the first, unless any will do. */
  const nth = (n: number) => (port === 0 ? 0 : port + n);

  const assemblyDir = options.assemblyDir ?? (await assemblyOf(stage, { onStep, signal }));
  onStep('reading the assembly');
  const deployment = readDeployment(assemblyDir);
  const topology = readTopology(deployment);
  const table = deployment.ofType('AWS::DynamoDB::GlobalTable')[0]?.physicalId;
  if (table === undefined) throw new Error(`stage ${stage} has no table`);
  const key = await signingKey();
  const timeline = new Timeline();
  const alarms = alarmsOf(topology);
  const measuring = new Set<MetricListener>([(region, points) => alarms.add(region, points)]);
  const children = new Children();
  cleanup.add(() => children.endAll());

  onStep('starting the data store and three regions');
  const plant = await startPlant(
    {
      stage,
      account: deployment.account,
      assemblyDir,
      topology,
      jwtKeySet: key.keySet,
      ports: { aws: nth(2), regions: nth(3) },
      children,
      timeline,
      onMetrics(region, points) {
        for (const listener of measuring) listener(region, points);
      },
      signal,
      exportTimes: options.exportTimes ?? {},
    },
    cleanup,
  );
  const { network, runners, aws, broken, order } = plant;
  const storage = new StorageFaults({
    deployment,
    table,
    regions: topology.regions.map(({ region }) => region),
    order,
    timeline,
    now: preciseNow,
  });
  const regions = (): readonly RunningRegion[] =>
    runners.map(({ state: { region, role, endpoint } }) => ({
      region,
      role,
      ...(endpoint ? { endpoint } : {}),
    }));
  const endpointOf = (region: string) => regions().find((it) => it.region === region)?.endpoint;

  onStep('starting health checks and DNS');
  const dns = await startDns({ topology, network, alarms, endpointOf, port: nth(1), timeline }, cleanup);

  const [primary] = topology.regions as [PlannedRegion];
  const routing = new RoutingWatch({
    primary: primary.region,
    regions: () => runners.map(({ state }) => state),
    read: readTable(aws, table),
    timeline,
    now: preciseNow,
  });
  cleanup.add(routing.start());

  let client: ClientSecond | undefined;
  const notRehearsed = notRehearsedIn(deployment, topology);
  const state = (): RehearsalState => {
    const failover = dns.failover();
    return {
      stage,
      startedAt,
      at: preciseNow(),
      clockAheadMs: clockAheadMs(),
      regions: runners.map((runner) => runner.state),
      buckets: storage.buckets,
      healthChecks: dns.route53.states,
      ...(failover ? { failover } : {}),
      ...(routing.view ? { routing: routing.view } : {}),
      alarms: alarms.states,
      ...(client ? { client } : {}),
      notRehearsed,
      timeline: timeline.events,
    };
  };
  const runnerOf = (region: string) => {
    const runner = runners.find(({ plan }) => plan.region === region);
    const known = runners.map(({ plan }) => plan.region).join(', ');
    if (!runner) throw new RangeError(`a region is one of ${known}, got "${region}"`);
    return runner;
  };
  const fault: Rehearsal['fault'] = async (region, what, into) => runnerOf(region).fault(what, into);
  const runSchedule: Rehearsal['runSchedule'] = async (region, schedule, atMs = Date.now()) => {
    const runner = runnerOf(region);
    const tell = (failed: object) =>
      timeline.add({ type: 'schedule', at: preciseNow(), region, schedule, ...failed });
    try {
      await runner.runSchedule(schedule, atMs);
    } catch (error) {
      if (!(error instanceof RangeError || error instanceof FaultRefused))
        tell({ failed: error instanceof Error ? error.message : String(error) });
      throw error;
    }
    tell({});
  };
  const cutWay: Rehearsal['cutWay'] = (from, to, cut) => {
    const known = runners.map(({ plan }) => plan.region);
    if (from === to || !known.includes(from) || !known.includes(to))
      throw new RangeError(`a way is between two of ${known.join(', ')}, got "${from}" and "${to}"`);
    const line = `the way from ${from} to ${to} is ${cut === undefined ? 'open' : `cut for ${cut}`}`;
    timeline.add({ type: 'log', at: preciseNow(), from: 'supervisor', line });
    network.setWay(from, to, cut);
  };
  const token: Rehearsal['token'] = ({ tenant = 'demo', ...rest } = {}) =>
    signToken(key, { issuer: auth.issuer, audience: auth.audience, tenant, ...rest });
  const listen: Rehearsal['listen'] = (listener) => timeline.listen(listener);

  const consoleUrl =
    options.console === false
      ? undefined
      : await serveNear(await createConsole({ state, fault, storage, runSchedule, listen }), nth(0), cleanup);
  if (options.sampleClient) {
    onStep('starting the sample client');
    await startSampleClient({ children, timeline, regions: regions(), token }, (second) => {
      client = second;
    });
  }
  return {
    deployment,
    regions: regions(),
    ...(topology.failoverName === undefined ? {} : { failoverName: topology.failoverName }),
    ...(consoleUrl === undefined ? {} : { console: consoleUrl }),
    resolver: dns.resolver,
    aws,
    table,
    notRehearsed,
    broken,
    state,
    token,
    fault,
    breakBucket: (region, available) => storage.breakBucket(region, available),
    rot: (region, key) => storage.rot(region, key),
    damage: (what) => storage.damage(what),
    wipe: () => storage.wipe(),
    plantRecords: (records, planting) => storage.plantRecords(records, planting),
    runSchedule,
    clockAheadMs: clockAheadMs(),
    cutWay,
    disableHealthCheck: (id, disabled) => dns.route53.disable(id, disabled),
    link: (source, region) => network.link(source, region),
    listen,
    measured(listener) {
      measuring.add(listener);
      return () => measuring.delete(listener);
    },
    stop() {
      stopping.abort();
      return cleanup.run();
    },
  };
}
