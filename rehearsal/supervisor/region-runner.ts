// One region as the supervisor handles it: its process, what state it is in, and the faults that can be done to it.
// A process that ends by itself leaves its region dead until somebody revives it.
import type { Child, Children } from './children.ts';
import type {
  Checkpoints,
  FromRegionProcess,
  MetricPoint,
  RegionProcessOptions,
  ToRegionProcess,
  TrafficMessage,
} from './messages.ts';
import type { Network } from './network.ts';
import { Orders } from './orders.ts';
import type { Fault, RegionCondition, RegionState } from './state.ts';
import type { PlannedRegion } from './topology.ts';

/** A fault that makes no sense in the state a region is in; nothing was done. */
export class FaultRefused extends Error {
  override readonly name = 'FaultRefused';
}

export interface RegionRunnerOptions {
  readonly plan: PlannedRegion;
  readonly processOptions: RegionProcessOptions;
  readonly children: Children;
  readonly network: Network;
  /** The region's copy of the data goes or comes back. */
  readonly setReplica: (region: string, up: boolean) => void;
  readonly onCondition: (condition: RegionCondition, at: number, why: string) => void;
  readonly onTraffic: (traffic: TrafficMessage) => void;
  readonly onMetrics: (points: readonly MetricPoint[]) => void;
  readonly onLine: (line: string) => void;
  /** Unix ms with fractions. */
  readonly now: () => number;
}

/** Traffic older than this says nothing about now. */
const TRAFFIC_AGE_MS_MAX = 2_500;
const ANSWERING: ReadonlySet<RegionCondition> = new Set([
  'running',
  'isolated',
  'partitioned',
  'gray',
  'hollow',
]);
/** Nothing of the region is left that something else could be done to. */
const GONE: ReadonlySet<RegionCondition> = new Set(['dead', 'out']);

export class RegionRunner {
  readonly plan: PlannedRegion;
  readonly #options: RegionRunnerOptions;
  #child: Child<ToRegionProcess> | undefined;
  /** Changes with every process of the region: the end of one that was killed says nothing about its successor. */
  #life = 0;
  #condition: RegionCondition = 'dead';
  #since: number;
  #traffic: TrafficMessage | undefined;
  /** What the region's process was asked to run. */
  #runs = new Orders<null>();
  /** Outlives the region's process, as Lambda's own memory of them does; undefined until it has run once. */
  #checkpoints: Checkpoints | undefined;

  constructor(options: RegionRunnerOptions) {
    this.plan = options.plan;
    this.#options = options;
    this.#since = options.now();
  }

  get state(): RegionState {
    const { region, role } = this.plan;
    const { network, now } = this.#options;
    const link = network.link('client', region);
    const answers = ANSWERING.has(this.#condition);
    const isRecent = this.#traffic !== undefined && now() - this.#traffic.at < TRAFFIC_AGE_MS_MAX;
    const recent = answers && isRecent ? this.#traffic : undefined;
    return {
      region,
      role,
      ...(link ? { endpoint: `http://127.0.0.1:${link.port}` } : {}),
      condition: this.#condition,
      since: this.#since,
      servedPerSecond: recent?.served ?? 0,
      errorsPerSecond: recent?.errors ?? 0,
    };
  }

  /** Starts its process; rejects with its last words when that ends before it is ready. */
  async start(why: string): Promise<void> {
    this.#enter('starting', why);
    await this.#startProcess(why);
  }

  /**
   * Does it; resolves with the moment it was done (Unix ms), for `revive` once the region runs again. One that is revived
   * `into` a partition has not reached another region for a moment.
   * @throws FaultRefused it makes no sense now
   */
  async fault(fault: Fault, into?: 'partition'): Promise<number> {
    const condition = this.#condition;
    if (condition === 'starting') return this.#refuse('is starting: wait until it runs');
    if (fault === 'revive') {
      if (condition === 'running') return this.#refuse('is running: there is nothing to revive');
      return this.#revive(condition, into);
    }
    if (GONE.has(condition)) return this.#refuse(`is ${condition}: revive it first`);
    if (fault === 'kill') return this.#kill();
    if (fault === 'outage') return this.#outage();
    if (condition !== 'running') return this.#refuse(`is ${condition} already: revive it first`);
    if (fault === 'freeze') return this.#freeze();
    return fault === 'gray' || fault === 'hollow' ? this.#failWork(fault) : this.#cutOff(fault);
  }

  /**
   * Calls what a schedule calls, as if it were due at `atMs` (Unix ms); resolves when the function has ended.
   * @throws FaultRefused the region runs nothing now
   * @throws RangeError it has no such schedule
   * @throws Error the function failed, or the region has ended meanwhile
   */
  async runSchedule(schedule: string, atMs: number): Promise<void> {
    const condition = this.#condition;
    if (!ANSWERING.has(condition)) return this.#refuse(`is ${condition}: its schedules call nothing`);
    await this.#runs.give((id) => this.#child?.send({ type: 'run', id, schedule, atMs }));
  }

  #kill(): number {
    const at = this.#options.now();
    this.#endProcess();
    this.#enter('dead', 'killed', at);
    return at;
  }

  /** What loses its power says nothing more, not even that it refuses: all ways to it are cut before it is gone. */
  #outage(): number {
    const at = this.#options.now();
    this.#options.network.setCut(this.plan.region, 'everyone');
    this.#endProcess();
    this.#enter('out', 'an outage: nothing of it is left, and nothing answers', at);
    return at;
  }

  #endProcess(): void {
    const { network, setReplica } = this.#options;
    this.#life += 1;
    this.#child?.signal('SIGKILL');
    this.#runs.end(`region ${this.plan.region} has ended`);
    network.retarget(this.plan.region, undefined);
    setReplica(this.plan.region, false);
  }

  #freeze(): number {
    const at = this.#options.now();
    this.#child?.signal('SIGSTOP');
    // Its part of AWS is played elsewhere, by a process that goes on: it has to be as silent.
    this.#options.network.setCut(this.plan.region, 'everyone');
    this.#enter('frozen', 'frozen', at);
    return at;
  }

  #cutOff(fault: 'isolate' | 'partition'): number {
    const at = this.#options.now();
    this.#options.network.setCut(this.plan.region, fault === 'isolate' ? 'everyone' : 'regions');
    if (fault === 'isolate') this.#enter('isolated', 'cut off from everyone', at);
    else this.#enter('partitioned', 'cut off from the other regions', at);
    return at;
  }

  #failWork(fault: 'gray' | 'hollow'): number {
    if (this.plan.apiPhysicalId === undefined)
      return this.#refuse('serves nobody: it has no health that could answer while its work fails');
    const at = this.#options.now();
    if (fault === 'gray') {
      this.#child?.send({ type: 'gray', gray: true });
      this.#enter('gray', 'its health answers, its work fails', at);
    } else {
      this.#child?.send({ type: 'gray', gray: true, spared: 'health and ready' });
      this.#enter('hollow', 'its health and its readiness answer, its work fails', at);
    }
    return at;
  }

  async #revive(from: RegionCondition, into: 'partition' | undefined): Promise<number> {
    const { network, setReplica } = this.#options;
    const { region } = this.plan;
    network.setCut(region, into && 'regions');
    const condition = into ? 'partitioned' : 'running';
    const why = into ? 'revived, cut off from the other regions' : 'revived';
    setReplica(region, true);
    if (GONE.has(from)) {
      // At once, so that nobody orders anything else meanwhile.
      this.#enter('starting', 'revived');
      await this.#child?.end();
      await this.#startProcess(why, condition);
    } else {
      if (from === 'gray' || from === 'hollow') this.#child?.send({ type: 'gray', gray: false });
      this.#child?.signal('SIGCONT');
      this.#enter(condition, why);
    }
    return this.#since;
  }

  async #startProcess(why: string, condition: RegionCondition = 'running'): Promise<void> {
    const { plan, processOptions, children, network } = this.#options;
    this.#life += 1;
    const life = this.#life;
    try {
      const { child, ready } = await children.start<FromRegionProcess, ToRegionProcess>({
        name: `region ${plan.region}`,
        script: 'region/region.ts',
        options: { ...processOptions, ...(this.#checkpoints && { checkpoints: this.#checkpoints }) },
        onMessage: (message) => this.#hear(message),
        onLine: this.#options.onLine,
        onEnd: (reason) => {
          if (life === this.#life) this.#endedByItself(reason);
        },
      });
      this.#child = child;
      this.#runs = new Orders();
      this.#checkpoints ??= {};
      const api = ready.endpoints.find(({ apiPhysicalId }) => apiPhysicalId === plan.apiPhysicalId);
      if (plan.apiPhysicalId !== undefined && !api)
        throw new Error(`region ${plan.region} serves no API ${plan.apiPhysicalId}`);
      network.retarget(plan.region, api?.port);
      this.#enter(condition, why);
    } catch (error) {
      this.#endProcess();
      this.#enter('dead', 'it did not start');
      throw error;
    }
  }

  /** The same as killed, to everybody else. */
  #endedByItself(reason: string): void {
    this.#endProcess();
    this.#enter('dead', `its process ${reason}`);
  }

  #hear(message: FromRegionProcess): void {
    if (message.type === 'traffic') {
      this.#traffic = message;
      this.#options.onTraffic(message);
    } else if (message.type === 'metrics') this.#options.onMetrics(message.points);
    else if (message.type === 'ran') this.#runs.hear(message.id, message.outcome);
    else if (message.type === 'checkpoint')
      this.#checkpoints = { ...this.#checkpoints, [message.mappingId]: message.sequenceNumber };
    else if (message.type === 'log') this.#options.onLine(message.line);
  }

  #enter(condition: RegionCondition, why: string, at = this.#options.now()): void {
    this.#condition = condition;
    this.#since = at;
    this.#options.onCondition(condition, at, why);
  }

  #refuse(why: string): never {
    throw new FaultRefused(`${this.plan.region} ${why}`);
  }
}
