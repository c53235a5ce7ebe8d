// The sample client: a process of its own that keeps a few records of one tenant up to date through the client's
// request layer, at a steady pace, and says every second how that went. It is what the console shows as traffic.
import { Session } from '../client/identity.ts';
import { Requests } from '../client/requests.ts';
import { PATHS } from '../protocol/messages.ts';
import { asVersion, type Version } from '../protocol/versions.ts';
import { percentile } from './measuring.ts';
import type { ClientSecond } from './supervisor/state.ts';

/** First argument, as JSON. */
export interface SampleClientOptions {
  /** The preferred region first. */
  readonly endpoints: readonly { readonly region: string; readonly url: string }[];
  readonly token: string;
  readonly requestsPerSecond: number;
}

export type FromSampleClient =
  | { readonly type: 'ready' }
  | { readonly type: 'second'; readonly second: ClientSecond };

const COLLECTION = 'samples';
/** Odd, so that a record is read and edited in turn. */
const RECORDS = 101;
/** A request that takes longer has failed, as far as a person in front of a screen is concerned. */
const DEADLINE_MS = 5_000;

interface SampleRecord {
  readonly path: string;
  /** What the next edit is based on; undefined when there is none yet. */
  base: Version | undefined;
  /** An edit whose fate is not known: read before editing again. */
  unsure: boolean;
  busy: boolean;
}

class SampleClient {
  readonly #requests: Requests;
  readonly #session = new Session();
  readonly #records: readonly SampleRecord[];
  readonly #regionOf: ReadonlyMap<string, string>;
  #turn = 0;
  #lastSuccessAt = performance.now();
  #second = emptySecond();

  constructor({ endpoints, token }: SampleClientOptions) {
    this.#requests = new Requests({
      endpoints: endpoints.map(({ url }) => url),
      token: async () => token,
      deadlineMs: DEADLINE_MS,
    });
    this.#regionOf = new Map(endpoints.map(({ region, url }) => [url, region]));
    this.#records = Array.from({ length: RECORDS }, (_, index) => ({
      path: PATHS.record.replace('{collection}', COLLECTION).replace('{id}', `r${index}`),
      base: undefined,
      unsure: true,
      busy: false,
    }));
  }

  /** One request: an edit or a read in turn, of the next record, unless that still has one under way. */
  async step(): Promise<void> {
    this.#turn += 1;
    const record = this.#records[this.#turn % RECORDS];
    if (!record || record.busy) return;
    record.busy = true;
    const from = performance.now();
    try {
      const region =
        record.unsure || this.#turn % 2 === 0 ? await this.#read(record) : await this.#edit(record);
      this.#succeeded(region, performance.now() - from);
    } catch {
      record.unsure = true;
      this.#second.failed += 1;
    } finally {
      record.busy = false;
    }
  }

  /** What happened since the last call. */
  takeSecond(): ClientSecond {
    const { latencies, gapMsMax, ...counts } = this.#second;
    this.#second = emptySecond();
    return {
      at: Date.now(),
      ...counts,
      latencyMsMedian: latencies.length === 0 ? 0 : percentile(latencies, 0.5),
      latencyMsMax: Math.max(0, ...latencies),
      gapMsMax: Math.max(gapMsMax, performance.now() - this.#lastSuccessAt),
    };
  }

  async #read(record: SampleRecord): Promise<string> {
    const { status, headers, endpoint } = await this.#requests.request({ method: 'GET', path: record.path });
    if (status !== 200 && status !== 404) throw new Error(`reading answered ${status}`);
    record.base = status === 200 ? versionIn(headers.etag) : undefined;
    record.unsure = false;
    return this.#region(endpoint);
  }

  async #edit(record: SampleRecord): Promise<string> {
    const identity = this.#session.next();
    const { status, endpoint } = await this.#requests.request({
      method: 'PUT',
      path: record.path,
      identity,
      body: JSON.stringify({ edit: this.#turn, at: new Date().toISOString() }),
      ...(record.base === undefined ? {} : { headers: { 'if-match': `"${record.base}"` } }),
    });
    if (status !== 200 && status !== 201) throw new Error(`editing answered ${status}`);
    record.base = identity.version;
    return this.#region(endpoint);
  }

  #region(endpoint: string): string {
    return this.#regionOf.get(endpoint) ?? endpoint;
  }

  #succeeded(region: string, latencyMs: number): void {
    const now = performance.now();
    const { byRegion, latencies } = this.#second;
    this.#second.succeeded += 1;
    byRegion[region] = (byRegion[region] ?? 0) + 1;
    latencies.push(latencyMs);
    this.#second.gapMsMax = Math.max(this.#second.gapMsMax, now - this.#lastSuccessAt);
    this.#lastSuccessAt = now;
  }
}

function emptySecond() {
  return {
    succeeded: 0,
    failed: 0,
    byRegion: {} as Record<string, number>,
    latencies: [] as number[],
    gapMsMax: 0,
  };
}

function versionIn(etag: string | undefined): Version | undefined {
  return etag === undefined ? undefined : asVersion(etag.replaceAll('"', ''));
}

function say(message: FromSampleClient): void {
  // The supervisor may just have gone; then this process is about to end too.
  process.send?.(message, () => undefined);
}

function main(): void {
  const options = JSON.parse(process.argv[2] ?? '{}') as SampleClientOptions;
  const client = new SampleClient(options);
  process.once('disconnect', () => process.exit());
  setInterval(() => void client.step(), 1_000 / options.requestsPerSecond);
  setInterval(() => say({ type: 'second', second: client.takeSecond() }), 1_000);
  say({ type: 'ready' });
}

if (import.meta.main) main();
