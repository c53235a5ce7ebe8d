// A client that knows one name: it asks the resolver, keeps the answer for its TTL, and goes where that leads. It reads
// records the other client wrote, has no second place to go and tries nothing twice.
import { Agent } from 'node:http';
import { preciseNow } from '../../measuring.ts';
import { atPace } from '../pace.ts';
import { getPlainly } from '../plain-http.ts';
import type { OperationEntry } from './history.ts';
import { pathOf } from './library-load.ts';
import type { LoadOptions } from './load-messages.ts';

const TIMEOUT_MS = 5_000;

interface Resolved {
  readonly region: string;
  readonly endpoint: string;
  readonly until: number;
}

export class DnsLoad {
  readonly #dns: NonNullable<LoadOptions['dns']>;
  readonly #options: LoadOptions;
  /** Connections do not outlive their request: a pooled one would keep the client where it is after DNS has moved on. */
  readonly #agent = new Agent({ keepAlive: false });
  readonly #anyKey: () => string | undefined;
  readonly #onEntry: (entry: OperationEntry) => void;
  readonly #running = new Set<Promise<void>>();
  #resolved: Promise<Resolved> | undefined;

  constructor(
    options: LoadOptions & { readonly dns: NonNullable<LoadOptions['dns']> },
    anyKey: () => string | undefined,
    onEntry: (entry: OperationEntry) => void,
  ) {
    this.#options = options;
    this.#dns = options.dns;
    this.#anyKey = anyKey;
    this.#onEntry = onEntry;
  }

  start(): () => Promise<void> {
    const stop = atPace(this.#options.profile.dnsRequestsPerSecond, (scheduledAt) => {
      const key = this.#anyKey();
      if (key === undefined) return;
      const operation = this.#get(key, scheduledAt);
      this.#running.add(operation);
      operation.finally(() => this.#running.delete(operation));
    });
    return async () => {
      stop();
      await Promise.all(this.#running);
      this.#agent.destroy();
    };
  }

  async #get(key: string, scheduledAt: number): Promise<void> {
    const base = { client: 'dns', operation: 'get', key, scheduledAt } as const;
    let region = '';
    const startedAt = preciseNow();
    const attempt = (outcome: 'settled' | 'failed') =>
      [{ region, kind: 'first', startedAt, endedAt: preciseNow(), outcome }] as const;
    try {
      const resolved = await this.#resolve();
      region = resolved.region;
      const id = key.slice(key.indexOf('/') + 1);
      const { status, body } = await getPlainly(resolved.endpoint + pathOf(id), {
        agent: this.#agent,
        timeoutMs: TIMEOUT_MS,
        headers: { authorization: `Bearer ${this.#options.token}`, host: this.#dns.name },
      });
      const ok = status === 200;
      const error = ok ? {} : { error: body.slice(0, 500) };
      this.#onEntry({
        ...base,
        endedAt: preciseNow(),
        ok,
        status,
        region,
        attempts: attempt('settled'),
        ...error,
      });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#onEntry({ ...base, endedAt: preciseNow(), ok: false, error: why, attempts: attempt('failed') });
    }
  }

  /** The cached answer, or a new one; a failure is not kept. */
  async #resolve(): Promise<Resolved> {
    const cached = await this.#resolved?.catch(() => undefined);
    if (cached !== undefined && preciseNow() < cached.until) return cached;
    this.#resolved = this.#ask();
    return this.#resolved;
  }

  async #ask(): Promise<Resolved> {
    const { name, resolver } = this.#dns;
    const url = `${resolver}/resolve?name=${encodeURIComponent(name)}&type=A`;
    const { status, body } = await getPlainly(url, { agent: this.#agent, timeoutMs: TIMEOUT_MS });
    const {
      region,
      endpoint,
      Answer = [],
    } = JSON.parse(body) as {
      region?: string;
      endpoint?: string;
      Answer?: readonly { TTL: number }[];
    };
    if (status !== 200 || region === undefined || endpoint === undefined)
      throw new Error(`the resolver does not know ${name}: ${body.slice(0, 200)}`);
    // A chain is as good as its shortest link.
    const ttlS = Math.min(...Answer.map(({ TTL }) => TTL));
    return { region, endpoint, until: preciseNow() + (Number.isFinite(ttlS) ? ttlS * 1_000 : 0) };
  }
}
