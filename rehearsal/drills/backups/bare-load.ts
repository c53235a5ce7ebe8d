// Callers without the library: plain `/v1/records` requests at a steady pace, one try each, nothing kept. Every put makes
// a record of its own, so what was stored and what is still there can be told apart afterwards; every get asks for one
// that was answered as stored.
import { Agent } from 'node:http';
import { PATHS } from '../../../protocol/messages.ts';
import type { Json } from '../../../protocol/operations.ts';
import { preciseNow } from '../../measuring.ts';
import { atPace, seededRandom } from '../pace.ts';
import { askPlainly, getPlainly, type PlainAnswer } from '../plain-http.ts';
import type { BareWrite } from './bare-loss.ts';

export interface BareLoadOptions {
  readonly regions: readonly { readonly region: string; readonly endpoint: string }[];
  readonly token: string;
  readonly collection: string;
  readonly perSecond: number;
  /** Of the calls, how many write; from above 0 to 1. */
  readonly writeShare: number;
  readonly seed: number;
}

export interface BareCall {
  readonly kind: 'put' | 'get';
  readonly key: string;
  readonly region: string;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Absent: no answer. */
  readonly status?: number;
  /** A put is stored; a get gave the record as it was put. */
  readonly ok: boolean;
  /** A get gave something else. */
  readonly wrong?: true;
}

const TIMEOUT_MS = 20_000;
const READ_BACK_AT_ONCE = 8;
const READ_BACK_TRIES = 5;

export class BareLoad {
  readonly calls: BareCall[] = [];
  readonly #options: BareLoadOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #random: () => number;
  readonly #stored: BareWrite[] = [];
  readonly #underWay = new Set<Promise<void>>();
  readonly #stop: () => void;
  #made = 0;
  #stopped = false;

  /** Starts at once. */
  constructor(options: BareLoadOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#stop = atPace(options.perSecond, () => {
      const call = this.#call();
      this.#underWay.add(call);
      call.finally(() => this.#underWay.delete(call));
    });
  }

  /** Puts that were answered as stored, in the order of their answers. */
  get stored(): readonly BareWrite[] {
    return this.#stored;
  }

  /** No further calls; resolves once those under way are over. */
  async stop(): Promise<void> {
    this.#stop();
    this.#stopped = true;
    await Promise.all(this.#underWay);
  }

  close(): void {
    this.#stop();
    this.#agent.destroy();
  }

  /** Whether each of these is there, asked of the first region, as the callers themselves would. */
  async readBack(keys: readonly string[]): Promise<ReadonlySet<string>> {
    if (!this.#stopped)
      throw new Error('what is read back is no more written: expected the load to be stopped');
    const found = new Set<string>();
    const waiting = keys.values();
    const reader = async () => {
      for (const key of waiting) if (await this.#isThere(key)) found.add(key);
    };
    await Promise.all(Array.from({ length: READ_BACK_AT_ONCE }, reader));
    return found;
  }

  async #call(): Promise<void> {
    const { regions, writeShare } = this.#options;
    const target = regions[this.#made % regions.length] as BareLoadOptions['regions'][number];
    this.#made += 1;
    const known = this.#stored[Math.floor(this.#random() * this.#stored.length)];
    const isPut = known === undefined || this.#random() < writeShare;
    const key = isPut ? `${this.#options.collection}/b${String(this.#made).padStart(7, '0')}` : known.key;
    const startedAt = preciseNow();
    const answer = await this.#ask(isPut ? 'put' : 'get', key, target.endpoint);
    const endedAt = preciseNow();
    const status = answer?.status;
    const isServed = status === 200 || (isPut && status === 201);
    const wrong = isServed && !isPut && !isAsPut(key, answer?.body ?? '');
    const ok = isServed && !wrong;
    if (isPut && ok) this.#stored.push({ key, answeredAt: endedAt });
    const kind = isPut ? ('put' as const) : ('get' as const);
    this.calls.push({
      ...{ kind, key, region: target.region, startedAt, endedAt, ok },
      ...(status === undefined ? {} : { status }),
      ...(wrong ? { wrong } : {}),
    });
  }

  /** Undefined without an answer. */
  async #ask(kind: BareCall['kind'], key: string, endpoint: string): Promise<PlainAnswer | undefined> {
    const url = endpoint + pathOf(key);
    const options = { agent: this.#agent, timeoutMs: TIMEOUT_MS, headers: this.#headers };
    try {
      if (kind === 'get') return await getPlainly(url, options);
      const headers = { ...this.#headers, 'content-type': 'application/json', 'if-none-match': '*' };
      const body = Buffer.from(JSON.stringify(payloadOf(key)));
      return await askPlainly('PUT', url, { ...options, headers, body });
    } catch {
      return undefined;
    }
  }

  /** Only a clear answer counts. @throws {Error} there is none */
  async #isThere(key: string): Promise<boolean> {
    const [first] = this.#options.regions;
    for (let tried = 0; tried < READ_BACK_TRIES; tried += 1) {
      const status = (await this.#ask('get', key, first?.endpoint ?? ''))?.status;
      if (status === 200 || status === 404) return status === 200;
    }
    throw new Error(`${key}: expected to be there or not, got no clear answer ${READ_BACK_TRIES} times`);
  }

  get #headers(): Readonly<Record<string, string>> {
    return { authorization: `Bearer ${this.#options.token}` };
  }
}

function payloadOf(key: string) {
  return { key, text: 'written by a drill' };
}

function isAsPut(key: string, body: string): boolean {
  try {
    const { payload } = JSON.parse(body) as { readonly payload?: Json };
    return JSON.stringify(payload) === JSON.stringify(payloadOf(key));
  } catch {
    return false;
  }
}

function pathOf(key: string): string {
  const [collection = '', id = ''] = key.split('/');
  return PATHS.record.replace('{collection}', collection).replace('{id}', id);
}

/** What callers saw of a stretch of time. */
export interface BareFacts {
  readonly calls: number;
  readonly failed: number;
  /** Longest time between two calls that went well, and the end of it; the stretch's own ends count as such. */
  readonly longestGapMs: number;
}

export function bareFacts(calls: readonly BareCall[], fromMs: number, toMs: number): BareFacts {
  const within = calls.filter(({ endedAt }) => endedAt >= fromMs && endedAt <= toMs);
  const good = within.filter(({ ok }) => ok).map(({ endedAt }) => endedAt);
  const moments = [fromMs, ...good.toSorted((a, b) => a - b), toMs];
  return {
    calls: within.length,
    failed: within.filter(({ ok }) => !ok).length,
    longestGapMs: moments
      .slice(1)
      .reduce((most, at, index) => Math.max(most, at - (moments[index] ?? at)), 0),
  };
}
