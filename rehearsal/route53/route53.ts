// Route 53: the deployment's health checks at work, and the answers its records then give. A name server learns of a
// changed status some seconds after the checkers agreed on it; an answer holds for its TTL in whoever asked.

import type { AlarmStateValue } from '../cloudwatch.ts';
import {
  afterProbe,
  CHECKERS,
  type CheckerState,
  calculate,
  type EndpointCheck,
  followAlarm,
  type HealthCheckDefinition,
  type HealthCheckState,
  NEW_CHECKER,
  type ProbeResult,
  verdictOf,
} from './health-checks.ts';

export interface DnsRecord {
  /** Lower case, without the dot at the end. */
  readonly name: string;
  readonly type: string;
  readonly ttlS: number;
  readonly failover?: 'PRIMARY' | 'SECONDARY';
  readonly healthCheckId?: string;
  /** What a CNAME leads to. */
  readonly target?: string;
  /** The region whose API an alias A record stands for. */
  readonly region?: string;
}

export interface DnsAnswer {
  readonly name: string;
  readonly type: 'CNAME' | 'A';
  readonly ttlS: number;
  readonly data: string;
}

export interface Resolution {
  /** In the order a resolver follows them; empty when the name has no record of the type asked for. */
  readonly answers: readonly DnsAnswer[];
  /** Where the chain ends, when it ends at a region. */
  readonly region?: string;
}

/** From the checkers' agreement to the name servers' answers. AWS states no number; answers have been seen to follow
 * within seconds, and the recovery budget allows 20 s. */
export const PROPAGATION_MS = 5_000;
/** An alias answers with the TTL of what it stands for; API Gateway's is 60 s. */
const ALIAS_TTL_S = 60;
const EVALUATE_EVERY_MS = 500;
const CNAMES_MAX = 8;
/** The regional name of an API's custom domain. */
const EXECUTE_API = /^d-[a-z0-9]+\.execute-api\.([a-z0-9-]+)\./;

export interface Route53Options {
  readonly checks: readonly HealthCheckDefinition[];
  readonly records: readonly DnsRecord[];
  readonly alarmState: (region: string, name: string) => AlarmStateValue | undefined;
  /** One probe of an endpoint check whose name leads to `region`. */
  readonly probe: (check: EndpointCheck, region: string, signal: AbortSignal) => Promise<ProbeResult>;
  readonly onChange: (state: HealthCheckState) => void;
  /** Unix ms. @default Date.now */
  readonly now?: () => number;
}

interface Watched {
  readonly definition: HealthCheckDefinition;
  readonly checkers: CheckerState[];
  healthy: boolean;
  why: string;
  /** By an operator: it counts as healthy, whatever it would find. */
  disabled: boolean;
  /** When which status began, oldest first; the last is the present one. */
  readonly history: { readonly at: number; readonly healthy: boolean }[];
}

export class Route53 {
  readonly #options: Route53Options;
  readonly #now: () => number;
  readonly #watched = new Map<string, Watched>();
  readonly #stopping = new AbortController();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(options: Route53Options) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    for (const definition of options.checks) {
      // Inverted ones begin unhealthy (docs: "Until there is enough data …").
      const healthy = !definition.inverted;
      this.#watched.set(definition.id, {
        definition,
        checkers: definition.kind === 'endpoint' ? Array.from({ length: CHECKERS }, () => NEW_CHECKER) : [],
        healthy,
        why: 'not evaluated yet',
        disabled: false,
        history: [{ at: this.#now(), healthy }],
      });
    }
  }

  start(): void {
    for (const watched of this.#watched.values()) {
      const { definition, checkers } = watched;
      if (definition.kind !== 'endpoint') continue;
      // Out of step, as checkers that do not know of each other are.
      for (const index of checkers.keys())
        this.#after((definition.intervalMs * index) / checkers.length, () =>
          this.#probe(watched, definition, index),
        );
    }
    this.#every(EVALUATE_EVERY_MS, () => this.evaluate());
  }

  stop(): void {
    this.#stopping.abort();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  get states(): readonly HealthCheckState[] {
    return [...this.#watched.values()].map(stateOf);
  }

  get names(): ReadonlySet<string> {
    return new Set(this.#options.records.map(({ name }) => name));
  }

  /** The records that fail over, PRIMARY first; empty when the stage has no domain. */
  get failoverRecords(): readonly DnsRecord[] {
    return this.#options.records
      .filter(({ failover }) => failover !== undefined)
      .sort((a, b) => (a.failover === 'PRIMARY' ? -1 : 1) - (b.failover === 'PRIMARY' ? -1 : 1));
  }

  /** What the name servers answer now; undefined when there is no such name. */
  resolve(name: string, type: 'CNAME' | 'A'): Resolution | undefined {
    const asked = normalName(name);
    if (!this.names.has(asked)) return undefined;
    const answers: DnsAnswer[] = [];
    let at = asked;
    for (let followed = 0; followed <= CNAMES_MAX; followed += 1) {
      const record = this.#pick(at);
      if (record === undefined) break;
      if (record.region !== undefined) {
        // Whoever asked for a CNAME that is none gets nothing; the region tells where the chain ends all the same.
        if (type === 'A') answers.push({ name: at, type: 'A', ttlS: ALIAS_TTL_S, data: '127.0.0.1' });
        return { answers, region: record.region };
      }
      if (record.target === undefined) break;
      if (type === 'A' || followed === 0)
        answers.push({ name: at, type: 'CNAME', ttlS: record.ttlS, data: record.target });
      at = record.target;
    }
    return { answers };
  }

  /**
   * As UpdateHealthCheck does: a check that is disabled is not made, and counts as healthy.
   * https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateHealthCheck.html
   * @throws {RangeError} there is no such check
   */
  disable(id: string, disabled: boolean): void {
    const watched = this.#watched.get(id);
    if (!watched)
      throw new RangeError(`a health check is one of ${[...this.#watched.keys()].join(', ')}, got "${id}"`);
    watched.disabled = disabled;
    this.evaluate();
  }

  /** Checks over checks and alarms; called by itself, and by tests. */
  evaluate(): void {
    for (const watched of this.#watched.values()) {
      const { definition } = watched;
      if (definition.kind === 'endpoint') this.#settle(watched, verdictOf(watched.checkers));
      if (definition.kind === 'alarm') {
        const state = this.#options.alarmState(definition.alarmRegion, definition.alarmName);
        this.#settle(watched, followAlarm(definition, state, watched.healthy !== definition.inverted));
      }
    }
    for (const watched of this.#watched.values()) {
      const { definition } = watched;
      if (definition.kind === 'calculated')
        this.#settle(
          watched,
          calculate(definition, (id) => this.#watched.get(id)?.healthy ?? false),
        );
    }
  }

  /** The record Route 53 answers with: the only one, or of a pair the primary unless only the secondary is healthy. */
  #pick(name: string): DnsRecord | undefined {
    const candidates = this.#options.records.filter((record) => record.name === name);
    const primary = candidates.find(({ failover }) => failover === 'PRIMARY');
    const secondary = candidates.find(({ failover }) => failover === 'SECONDARY');
    if (!primary || !secondary) return candidates[0];
    return this.#knownHealthy(primary) || !this.#knownHealthy(secondary) ? primary : secondary;
  }

  /** What the name servers have heard of so far. */
  #knownHealthy({ healthCheckId }: DnsRecord): boolean {
    if (healthCheckId === undefined) return true;
    const history = this.#watched.get(healthCheckId)?.history ?? [];
    const heard = this.#now() - PROPAGATION_MS;
    return (history.findLast(({ at }) => at <= heard) ?? history[0])?.healthy ?? true;
  }

  async #probe(watched: Watched, definition: EndpointCheck, index: number): Promise<void> {
    const region = this.resolve(definition.host, 'A')?.region;
    const result =
      region === undefined
        ? { ok: false, text: `${definition.host} does not resolve` }
        : await this.#options.probe(definition, region, this.#stopping.signal);
    if (this.#stopping.signal.aborted) return;
    const checker = watched.checkers[index] ?? NEW_CHECKER;
    watched.checkers[index] = afterProbe(checker, result, definition.failureThreshold, this.#now());
    this.evaluate();
    // The interval counts from an answer to the next request (docs, RequestInterval).
    this.#after(definition.intervalMs, () => this.#probe(watched, definition, index));
  }

  #settle(watched: Watched, { healthy, why }: { healthy: boolean; why: string }): void {
    const { inverted } = watched.definition;
    const found = inverted ? `${why}, inverted` : why;
    const now = watched.disabled || healthy !== inverted;
    watched.why = watched.disabled ? `disabled, which counts as healthy; ${found}` : found;
    if (now === watched.healthy) return;
    watched.healthy = now;
    watched.history.push({ at: this.#now(), healthy: now });
    // Enough to look back over the propagation delay.
    if (watched.history.length > 100) watched.history.shift();
    this.#options.onChange(stateOf(watched));
  }

  #after(ms: number, act: () => unknown): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  #every(ms: number, act: () => unknown): void {
    this.#timers.add(setInterval(act, ms));
  }
}

function stateOf({ definition, checkers, healthy, why, history }: Watched): HealthCheckState {
  const { id, name, kind } = definition;
  return { id, name, kind, healthy, since: history.at(-1)?.at ?? 0, why, checkers: [...checkers] };
}

/** One record from its template. An alias stands for the region in the target's own name. */
export function readRecord(properties: Readonly<Record<string, unknown>>): DnsRecord {
  const failover = properties['Failover'];
  const healthCheckId = properties['HealthCheckId'];
  const [value] = (properties['ResourceRecords'] ?? []) as readonly string[];
  const alias = properties['AliasTarget'] as { readonly DNSName: string } | undefined;
  const region = alias && EXECUTE_API.exec(normalName(alias.DNSName))?.[1];
  const type = String(properties['Type']);
  return {
    name: normalName(String(properties['Name'])),
    type,
    ttlS: Number(properties['TTL'] ?? ALIAS_TTL_S),
    ...(failover === 'PRIMARY' || failover === 'SECONDARY' ? { failover } : {}),
    ...(typeof healthCheckId === 'string' ? { healthCheckId } : {}),
    ...(type === 'CNAME' && value !== undefined ? { target: normalName(value) } : {}),
    ...(region === undefined ? {} : { region }),
  };
}

export function normalName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
