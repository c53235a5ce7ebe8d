// The hands of a failover drill: breaks, revives, orders and waits, and remembers when it did what.
import { Agent } from 'node:http';
import type { Config } from '../../../config/config.ts';
import { PROBE_MS_MAX } from '../../../protocol/limits.ts';
import { PATHS } from '../../../protocol/messages.ts';
import { preciseNow } from '../../measuring.ts';
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

  regionOf(role: ServingRole): string {
    return this.#region(role).region;
  }

  async fault(role: ServingRole, fault: Broken): Promise<void> {
    const { region } = this.#region(role);
    this.#options.step(`${region} is ${WORDS[fault]}`);
    const at = await this.#orStopped(this.#options.system.fault(region, fault));
    this.#begun(at);
    this.#mark(at, fault, 'fault');
  }

  async revive(role: ServingRole, into?: 'partition'): Promise<void> {
    const { region } = this.#region(role);
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

  async untilPaging(whose: 'all' | 'none', withinMs: number): Promise<void> {
    const { observers } = this.#options.system;
    this.#options.step(whose === 'all' ? 'waiting for every observer to page' : 'waiting for pages to clear');
    const wanted = whose === 'all' ? observers.length : 0;
    if (await this.#untilSeen(({ paging }) => paging.length === wanted, withinMs))
      this.#mark(preciseNow(), whose === 'all' ? 'all page' : 'pages cleared', 'plain');
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
