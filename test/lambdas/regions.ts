// Three regions in whatever mood, and the store of the first over all of them, on a clock of their own.
import { READ_CIRCUIT } from '../../lambdas/core/circuit.ts';
import { createStampClock } from '../../lambdas/core/clock.ts';
import { createReplicatedStore } from '../../lambdas/store/replicas.ts';
import {
  RecordFullError,
  type RecordWrite,
  type Store,
  StoreUnavailableError,
} from '../../lambdas/store/store.ts';

export const OWN = 'us-east-2';
export const REGIONS = [OWN, 'us-west-2', 'us-east-1'] as const;
export const KEY = { tenant: 'acme', collection: 'notes', id: 'n1' };

/** How a region takes a call. `silent`: time is up before it answers; `isolated`: it answers from its index only. */
export type Mood = 'well' | 'slow' | 'down' | 'silent' | 'busy' | 'denied' | 'full' | 'isolated';

const INDEX_READS = ['feed', 'beats', 'tombstones'];

/** Three regions in whatever mood, and a store of the first over them, on a clock of their own. */
export class Regions {
  nowMs = 0;
  readonly moods: Record<string, Mood> = Object.fromEntries(REGIONS.map((region) => [region, 'well']));
  /** `<region> <method>`, in the order asked. */
  readonly calls: string[] = [];
  /** The commit stamp of every write attempt. */
  readonly stamps: string[] = [];
  readonly elsewhere: string[] = [];
  readonly avoided: string[] = [];
  readonly store = createReplicatedStore({
    replicas: REGIONS.map((region) => ({ region, store: this.#storeIn(region) })),
    now: () => this.nowMs,
    onElsewhere: (region) => this.elsewhere.push(region),
    onAvoided: (region, kind) => this.avoided.push(`${region} ${kind}`),
  });
  readonly #commits = createStampClock('c'.repeat(16));

  /** A write with a stamp of its own. */
  write(): Promise<unknown> {
    const version = this.#commits.stamp(Math.floor(this.nowMs));
    const write: RecordWrite = {
      key: KEY,
      version,
      content: { deleted: true },
      base: undefined,
      commitVersion: version,
    };
    return this.store.write(write);
  }

  /** As an operation is settled: with a new stamp each time, as long as the error says that it helps. */
  async settle(attemptsMax = 8): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.write();
        return attempt;
      } catch (error) {
        if (attempt === attemptsMax || !(error instanceof StoreUnavailableError && error.retryable))
          throw error;
      }
    }
  }

  /** The regions asked meanwhile. */
  async asked(work: () => Promise<unknown>): Promise<string[]> {
    const from = this.calls.length;
    await work();
    return this.calls.slice(from).map((call) => call.split(' ')[0] as string);
  }

  async #act<T>(region: string, method: string, result: T): Promise<T> {
    this.calls.push(`${region} ${method}`);
    await undefined;
    // Nothing takes no time at all.
    this.nowMs += 0.1;
    const mood = this.moods[region] as Mood;
    const cutOff = mood === 'isolated' && !INDEX_READS.includes(method);
    if (mood === 'slow') this.nowMs += READ_CIRCUIT.slowMs + 1;
    if (mood === 'silent') this.nowMs += 1_000;
    if (mood === 'down' || cutOff) throw unavailable(true, true);
    if (mood === 'silent') throw unavailable(false, true);
    if (mood === 'busy') throw unavailable(true, false);
    if (mood === 'denied') throw unavailable(false, false);
    if (mood === 'full') throw new RecordFullError('the item has no room for this write');
    return result;
  }

  #storeIn(region: string): Store {
    const act = <T>(method: string, result: T) => this.#act(region, method, result);
    const writes = (method: string, { commitVersion }: { readonly commitVersion: string }) => {
      this.stamps.push(commitVersion);
      return act(method, { written: true } as const);
    };
    return {
      write: (write) => writes('write', write),
      decide: (decision) => writes('decide', decision),
      read: () => act('read', undefined),
      copies: () => act('copies', []),
      trim: () => act('trim', true),
      tombstones: () => act('tombstones', []),
      sweep: () => act('sweep', true),
      readMany: (keys) => act('readMany', { records: new Map(), looked: keys.length }),
      feed: () => act('feed', { rows: [], next: undefined }),
      generation: () => act('generation', { status: 'open', restoreEpoch: 1 }),
      routing: () => act('routing', undefined),
      changeRouting: () => act('changeRouting', true),
      observerReports: () => act('observerReports', []),
      saveObserverReport: () => act('saveObserverReport', true),
      enterJob: () => act('enterJob', true),
      feedStatus: () => act('feedStatus', { checkedAt: 1 }),
      saveFeedStatus: () => act('saveFeedStatus', true),
      beat: () => act('beat', true),
      beats: () => act('beats', []),
      probe: () => act('probe', undefined),
    };
  }
}

export function unavailable(retryable: boolean, mayHaveLanded: boolean): StoreUnavailableError {
  return new StoreUnavailableError('the table said no', { retryable, mayHaveLanded });
}

/** A page of a feed, as a pull reads it; the region it came from. */
export const page = (on: Regions, isSteady: (region: string) => boolean = () => true) =>
  on.store.atOneReplica(async (replica, region) => {
    await replica.feedStatus(region);
    if (!isSteady(region)) return undefined;
    const shards = [0, 1, 2, 3];
    await Promise.all(shards.map((shard) => replica.feed({ tenant: 'acme', shard, after: '', limit: 1 })));
    await replica.readMany([KEY], 1);
    return region;
  });
