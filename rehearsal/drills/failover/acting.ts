// The hands of a failover drill: breaks, revives, orders and waits, and remembers when it did what.
import { Agent } from 'node:http';
import type { Config, Role } from '../../../config/config.ts';
import { PROBE_MS_MAX } from '../../../protocol/limits.ts';
import { PATHS } from '../../../protocol/messages.ts';
import { preciseNow } from '../../measuring.ts';
import type { WayCut } from '../../supervisor/network.ts';
import { getPlainly } from '../plain-http.ts';
import type { Stopping } from '../stopping.ts';
import type { Marker } from '../svg.ts';
import {
  type Broken,
  DrillError,
  type DrilledRegion,
  type DrilledSystem,
  type OperatorCommand,
} from '../system.ts';
import type { Acts, ServingRole } from './scenario.ts';
import type { Look, Ordered, Seen } from './seen.ts';
import type { Watch } from './watch.ts';

export interface ActingOptions {
  readonly config: Config;
  readonly system: DrilledSystem;
  readonly stopping: Stopping;
  /** Absent in a drill that does not follow the system's decisions. */
  readonly watch: Watch | undefined;
  /** Whom the DNS-only client was served by last. */
  readonly dnsServedBy: () => string | undefined;
  readonly dnsWithinMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly step: (text: string) => void;
}

const LOOK_EVERY_MS = 100;
/** Good answers in a row that make a region verified. */
const VERIFIED_BY = 2;
/** Of what a command said: its end, where the reason stands. */
const SAID_CHARS = 8_000;

const WORDS: Readonly<Record<Broken, string>> = {
  kill: 'killed',
  freeze: 'frozen',
  partition: 'cut off from the other regions',
  gray: 'answering /health and failing at work',
  hollow: 'answering /health and /ready and failing at work',
  outage: 'gone, with its links and its copy of the data',
};

export class Acting implements Acts {
  readonly config: Config;
  readonly dnsWithinMs: number | undefined;
  /** Of the timeline. */
  readonly marks: Marker[] = [];
  /** Of the first fault or order. */
  faultAt: number | undefined;
  readonly #revivals: number[] = [];
  readonly #cutWays: (readonly [string, string])[] = [];
  #latchDisabledAt: number | undefined;
  #latchEnabledAt: number | undefined;
  #verifiedAt: number | null | undefined;
  readonly #orders: Ordered[] = [];
  readonly #options: ActingOptions;

  constructor(options: ActingOptions) {
    this.#options = options;
    this.config = options.config;
    this.dnsWithinMs = options.dnsWithinMs;
  }

  get seen(): Pick<
    Seen,
    'revivedAt' | 'revivals' | 'orders' | 'verifiedAt' | 'latchDisabledAt' | 'latchEnabledAt'
  > {
    const revivedAt = this.#revivals.at(-1);
    return {
      orders: this.#orders,
      revivals: this.#revivals,
      ...(revivedAt === undefined ? {} : { revivedAt }),
      ...(this.#latchDisabledAt === undefined ? {} : { latchDisabledAt: this.#latchDisabledAt }),
      ...(this.#latchEnabledAt === undefined ? {} : { latchEnabledAt: this.#latchEnabledAt }),
      ...(this.#verifiedAt === undefined ? {} : { verifiedAt: this.#verifiedAt }),
    };
  }

  regionOf(role: Role): string {
    if (role !== 'quorum') return this.#region(role).region;
    const { quorum } = this.#options.system;
    if (quorum === undefined) throw new DrillError('there is no quorum region');
    return quorum;
  }

  async fault(role: Role, fault: Broken): Promise<void> {
    const region = this.regionOf(role);
    this.#options.step(`${region} is ${WORDS[fault]}`);
    const at = await this.#orStopped(this.#options.system.fault(region, fault));
    this.#begun(at);
    this.#mark(at, fault, 'fault');
  }

  cutWay(from: Role, to: Role, cut: WayCut): void {
    const [a, b] = [this.regionOf(from), this.regionOf(to)];
    this.#options.step(`the way from ${a} to ${b} is cut for ${cut}`);
    const at = this.#options.system.cutWay(a, b, cut);
    this.#cutWays.push([a, b]);
    this.#begun(at);
    this.#mark(at, `${from} to ${to} cut`, 'fault');
  }

  healWays(): void {
    const ways = this.#cutWays.splice(0);
    this.#options.step(`healing ${ways.map((way) => way.join(' to ')).join(', ')}`);
    for (const [from, to] of ways) this.#options.system.cutWay(from, to, undefined);
    const at = preciseNow();
    this.#revivals.push(at);
    this.#mark(at, 'healed', 'plain');
  }

  async revive(role: Role, into?: 'partition'): Promise<void> {
    const region = this.regionOf(role);
    this.#options.step(`reviving ${region}${into ? `, ${WORDS[into]}` : ''}`);
    await this.#orStopped(this.#options.system.fault(region, 'revive', into));
    const at = preciseNow();
    this.#revivals.push(at);
    this.#mark(at, into ? 'revived, cut off' : 'revived', 'plain');
  }

  latch(change: 'disable' | 'enable'): void {
    this.#options.step(`operator: ${change} the health check that keeps an evacuated primary out of DNS`);
    this.#options.system.disableLatch(change === 'disable');
    const at = preciseNow();
    if (change === 'disable') this.#latchDisabledAt = at;
    else this.#latchEnabledAt = at;
    this.#mark(at, `check ${change}d`, 'plain');
  }

  pause(ms: number): Promise<void> {
    return this.#options.stopping.pause(ms);
  }

  async untilDnsServedBy(role: ServingRole, withinMs: number | undefined): Promise<void> {
    if (withinMs === undefined) return;
    const { region } = this.#region(role);
    this.#options.step(`waiting for the DNS-only client to be served by ${region}`);
    if (await this.#until(() => this.#options.dnsServedBy() === region, withinMs))
      this.#mark(preciseNow(), `DNS-only served by ${region}`, 'good');
  }

  async untilActive(role: ServingRole, withinMs: number): Promise<void> {
    const { region } = this.#region(role);
    this.#options.step(`waiting for ${region} to become active`);
    if (await this.#untilSeen(({ active }) => active === region, withinMs))
      this.#mark(preciseNow(), `${region} active`, 'good');
  }

  async untilVerified(role: ServingRole, withinMs: number): Promise<void> {
    const { region, endpoint } = this.#region(role);
    const { probeIntervalMs } = this.config.observers;
    this.#options.step(
      `waiting for /ready of ${region} to be good twice, ${probeIntervalMs / 1_000} s apart`,
    );
    const giveUpAt = preciseNow() + withinMs;
    this.#verifiedAt = null;
    for (let good = 0; preciseNow() < giveUpAt; await this.pause(probeIntervalMs)) {
      good = (await this.#orStopped(isReady(endpoint))) ? good + 1 : 0;
      if (good < VERIFIED_BY) continue;
      this.#verifiedAt = preciseNow();
      return;
    }
  }

  async untilPaging(whose: 'all' | 'none' | Role, withinMs: number): Promise<void> {
    const { observers } = this.#options.system;
    if (whose === 'none') {
      this.#options.step('waiting for pages to clear');
      if (await this.#untilSeen(({ paging }) => paging.length === 0, withinMs))
        this.#mark(preciseNow(), 'pages cleared', 'plain');
      return;
    }
    const wanted = whose === 'all' ? observers : [this.regionOf(whose)];
    this.#options.step(`waiting for ${wanted.length === 1 ? wanted[0] : 'every observer'} to page`);
    if (await this.#untilSeen(({ paging }) => wanted.every((region) => paging.includes(region)), withinMs))
      this.#mark(preciseNow(), whose === 'all' ? 'all page' : `${wanted[0]} pages`, 'plain');
  }

  async order(command: OperatorCommand, args: readonly string[]): Promise<void> {
    const { system, signal, step } = this.#options;
    step(`operator: ${[command, ...args].join(' ')}`);
    const at = preciseNow();
    this.#begun(at);
    this.#mark(at, command, 'plain');
    const { code, said } = await this.#orStopped(system.operator(command, args, signal));
    step(`${command} ended with ${code}: ${said.trim().split('\n').at(-1)}`);
    this.#orders.push({ command, args, at, endedAt: preciseNow(), code, said: said.slice(-SAID_CHARS) });
  }

  #begun(at: number): void {
    this.faultAt ??= at;
  }

  #mark(at: number, text: string, style: Marker['style']): void {
    this.marks.push({ at, text, style });
  }

  #region(role: ServingRole): DrilledRegion {
    const found = this.#options.system.regions.find((each) => each.role === role);
    if (found === undefined) throw new DrillError(`there is no ${role} region`);
    return found;
  }

  #untilSeen(isSeen: (look: Look) => boolean, withinMs: number): Promise<boolean> {
    const { watch } = this.#options;
    if (watch === undefined) throw new DrillError('this drill does not follow what the system decides');
    return this.#until(() => watch.latest !== undefined && isSeen(watch.latest), withinMs);
  }

  /** Whether it came true in time. */
  async #until(isTrue: () => boolean, withinMs: number): Promise<boolean> {
    const giveUpAt = preciseNow() + withinMs;
    while (!isTrue()) {
      if (preciseNow() >= giveUpAt) return false;
      await this.pause(LOOK_EVERY_MS);
    }
    return true;
  }

  #orStopped<T>(promise: Promise<T>): Promise<T> {
    return this.#options.stopping.orStopped(promise);
  }
}

async function isReady(endpoint: string): Promise<boolean> {
  const agent = new Agent({ keepAlive: false });
  try {
    const { status } = await getPlainly(endpoint + PATHS.ready, { agent, timeoutMs: PROBE_MS_MAX });
    return status === 200;
  } catch {
    return false;
  } finally {
    agent.destroy();
  }
}
