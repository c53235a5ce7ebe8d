// Backup buckets in memory that can be taken down, and a table whose changes come out as a stream's records.
import { gunzipSync, gzipSync } from 'node:zlib';
import { sha256Of } from '../../lambdas/core/canonical.ts';
import type { StreamedChange } from '../../lambdas/core/journaling.ts';
import type { JournalStore } from '../../lambdas/store/journal-store.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import {
  type ImageJson,
  JOURNAL_PREFIX,
  type JournalChange,
  parseSegment,
  type Segment,
  sealSegment,
  unparkedKey,
} from '../../protocol/journal.ts';
import { historiesOf } from '../../protocol/journal-history.ts';
import { versionAt } from './audit-trail.ts';

export class MemoryBucket implements JournalStore {
  /** The bytes under each key. */
  readonly objects = new Map<string, Buffer>();
  readonly puts: string[] = [];
  /** What becomes of a put of that key: `lost` says that it failed although it landed. */
  mood: (key: string) => 'well' | 'busy' | 'lost' | 'refused' = () => 'well';

  async put(key: string, content: Uint8Array | string): Promise<void> {
    this.puts.push(key);
    const mood = this.mood(key);
    if (mood === 'well' || mood === 'lost')
      if (!this.objects.has(key)) this.objects.set(key, Buffer.from(content));
    if (mood !== 'well')
      throw new StoreUnavailableError(`the bucket is ${mood}`, {
        retryable: mood !== 'refused',
        mayHaveLanded: mood === 'lost',
      });
  }

  keysUnder(prefix: string): readonly string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  /** Its own segments and, by `homeOf`, those parked here. */
  segments(homeOf: (key: string) => string | undefined = ownKey): readonly Segment[] {
    return [...this.objects].flatMap(([key, content]) => {
      const home = homeOf(key);
      return home === undefined ? [] : [parseSegment(home, gunzipSync(content).toString('utf8'), sha256Of)];
    });
  }
}

const ownKey = (key: string) => (key.startsWith(JOURNAL_PREFIX) ? key : undefined);

/** Everything that buckets hold of a region's stream, parked or not. */
export function segmentsIn(...buckets: readonly MemoryBucket[]): readonly Segment[] {
  return buckets.flatMap((bucket) => [...bucket.segments(), ...bucket.segments(unparkedKey)]);
}

export function historyIn(segments: Iterable<Segment>, region: string) {
  return historiesOf(
    [...segments].map(({ header, changes }) => ({ region: header.region, changes })),
    region,
  );
}

/** One table's changes as its streams tell of them. */
export class StreamedTable {
  /** Every change, in order. */
  readonly changes: JournalChange[] = [];
  readonly #items = new Map<string, ImageJson>();
  #sequence: number;
  #stamp: number;

  constructor(startMs: number, firstSequence = 1) {
    this.#stamp = startMs;
    this.#sequence = firstSequence - 1;
  }

  /** What this record's state is made into at that time. */
  write(id: string, atMs: number, payload: string): JournalChange {
    this.#stamp = Math.max(this.#stamp + 1, atMs);
    return this.#add(id, atMs, {
      ...keysOf(id),
      payload: { S: payload },
      commitVersion: { S: versionAt(this.#stamp) },
    });
  }

  /** What changes nothing is in no stream. */
  remove(id: string, atMs: number): JournalChange | undefined {
    return this.#items.has(id) ? this.#add(id, atMs, null) : undefined;
  }

  /** A change that is no commit, such as an outbox that is trimmed. */
  touch(id: string, atMs: number): JournalChange | undefined {
    const item = this.#items.get(id);
    return item && this.#add(id, atMs, { ...item, touched: { N: String(this.#sequence) } });
  }

  beat(atMs: number): JournalChange {
    return this.#add('', atMs, {
      pk: { S: 'CONTROL#heartbeat#r' },
      sk: { S: 'STATE' },
      at: { N: String(atMs) },
    });
  }

  /** The same changes as another region's stream numbers and dates them. */
  elsewhere(firstSequence: number, laterMs = 0): JournalChange[] {
    return this.changes.map((change, index) => ({
      ...change,
      seq: String(firstSequence + index),
      at: change.at + laterMs,
    }));
  }

  #add(id: string, at: number, image: ImageJson | null): JournalChange {
    this.#sequence += 1;
    const old = this.#items.get(id);
    const change: JournalChange = {
      seq: String(this.#sequence),
      at,
      pk: id === '' ? 'CONTROL#heartbeat#r' : `R#acme#notes#${id}`,
      sk: 'STATE',
      ...versionMember('before', old),
      ...versionMember('commitVersion', image),
      image,
    };
    if (image) this.#items.set(id, image);
    else this.#items.delete(id);
    this.changes.push(change);
    return change;
  }
}

const keysOf = (id: string) => ({ pk: { S: `R#acme#notes#${id}` }, sk: { S: 'STATE' } });

function versionMember(name: 'before' | 'commitVersion', image: ImageJson | null | undefined) {
  const version = image?.['commitVersion']?.['S'];
  return version === undefined ? {} : { [name]: version };
}

/** As DynamoDB Streams gives it to a function. */
export function streamed({ seq, at, pk, sk, before, image }: JournalChange): StreamedChange {
  const keys = { pk: { S: pk }, sk: { S: sk } };
  const old = before === undefined ? undefined : { ...keys, commitVersion: { S: before } };
  return {
    eventName: image === null ? 'REMOVE' : old ? 'MODIFY' : 'INSERT',
    dynamodb: {
      SequenceNumber: seq,
      ApproximateCreationDateTime: at / 1_000,
      Keys: keys,
      ...(image === null ? {} : { NewImage: image }),
      ...(old ? { OldImage: old } : {}),
    },
  };
}

/** Segments of so many changes each, by the hour, as one environment writes them. */
export function segmentsOf(changes: readonly JournalChange[], region: string, size = 3) {
  const sealed: ReturnType<typeof sealSegment>[] = [];
  let rest = [...changes];
  while (rest.length > 0) {
    const hour = Math.floor(Number(rest[0]?.at) / 3_600_000);
    const other = rest.findIndex(({ at }) => Math.floor(at / 3_600_000) !== hour);
    const count = Math.min(size, other < 0 ? size : other);
    const previous = sealed.at(-1)?.key ?? null;
    sealed.push(sealSegment(rest.slice(0, count), { region, writer: 'w1', previous }, sha256Of));
    rest = rest.slice(count);
  }
  return sealed;
}

export const zipped = (text: string) => gzipSync(text);
