// The stream of a table: what every write changed, in the order of the log. All regions share one list of records, and
// each sees as far as its own copy has come, so that a region's stream trails with its replica and stands still with
// it. Under multi-Region strong consistency the streams of all replicas hold the same records in the same order:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
//
// Where it differs from DynamoDB: one shard a region, which is never split and never closes.
import { isDeepStrictEqual } from 'node:util';
import { type Item, itemBytes, type KeyElement } from './dynalite.ts';
import type { LogEntry } from './replica.ts';
import type { ReplicatedTable } from './replicated-table.ts';

const VIEW_TYPES = ['KEYS_ONLY', 'NEW_IMAGE', 'OLD_IMAGE', 'NEW_AND_OLD_IMAGES'] as const;
export type StreamViewType = (typeof VIEW_TYPES)[number];

export function isStreamViewType(value: unknown): value is StreamViewType {
  return (VIEW_TYPES as readonly unknown[]).includes(value);
}

/** One change as a stream holds it. */
export interface StreamRecord {
  /** In the table's log. */
  readonly sequence: number;
  /** Unix ms of the commit. */
  readonly at: number;
  readonly key: Item;
  readonly before?: Item | undefined;
  readonly after?: Item | undefined;
  readonly bytes: number;
}

export interface StreamOptions {
  readonly table: ReplicatedTable;
  readonly viewType: StreamViewType;
  /** @default 24 h, as DynamoDB keeps records */
  readonly retentionMs?: number;
  /** Of all records together; the oldest go first, and `onDropped` hears of it. @default 256 MiB */
  readonly bytesMax?: number;
  /** Told once: from here on records may go before their time. */
  readonly onDropped?: (why: string) => void;
  /** Unix ms. @default Date.now */
  readonly now?: () => number;
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html */
const RETENTION_MS = 24 * 3_600_000;
const BYTES_MAX = 256 * 1024 * 1024;
/** Dropped records are cut off the list so many at a time, so that dropping one costs nothing. */
const CUT = 1_024;

export class TableStream {
  readonly viewType: StreamViewType;
  readonly #table: ReplicatedTable;
  readonly #retentionMs: number;
  readonly #bytesMax: number;
  readonly #onDropped: (why: string) => void;
  readonly #now: () => number;
  #records: StreamRecord[] = [];
  /** Where in `#records` the oldest that is still kept stands. */
  #first = 0;
  #bytes = 0;
  /** Sequence of the newest record that is gone. */
  #trimmed = 0;
  #droppedEarly = false;

  constructor({ table, viewType, retentionMs, bytesMax, onDropped, now }: StreamOptions) {
    this.viewType = viewType;
    this.#table = table;
    this.#retentionMs = retentionMs ?? RETENTION_MS;
    this.#bytesMax = bytesMax ?? BYTES_MAX;
    this.#onDropped = onDropped ?? (() => undefined);
    this.#now = now ?? Date.now;
    table.subscribe((entry) => this.#add(entry));
  }

  get regions(): readonly string[] {
    return this.#table.regions;
  }

  get tableName(): string {
    return this.#table.schema.TableName;
  }

  get keySchema(): readonly KeyElement[] {
    return this.#table.schema.KeySchema;
  }

  /** How far a region's stream has come. */
  head(region: string): number {
    return this.#table.applied(region);
  }

  /** Sequence of the newest record that is gone; 0 when none is. */
  get trimmed(): number {
    this.#trim();
    return this.#trimmed;
  }

  /** Records after `sequence` that a region's stream has by now: so many, or as many as `bytesMax` hold, at least one. */
  after(region: string, sequence: number, limit: number, bytesMax: number): readonly StreamRecord[] {
    this.#trim();
    const head = this.head(region);
    const found: StreamRecord[] = [];
    let bytes = 0;
    for (let at = this.#indexAfter(sequence); at < this.#records.length; at += 1) {
      const record = this.#records[at] as StreamRecord;
      bytes += record.bytes;
      if (record.sequence > head || found.length >= limit || (found.length > 0 && bytes > bytesMax)) break;
      found.push(record);
    }
    return found;
  }

  #add({ sequence, at, key, before, after }: LogEntry): void {
    // A write that changes nothing is in no stream.
    if (isDeepStrictEqual(before, after)) return;
    const hasOld = this.viewType === 'OLD_IMAGE' || this.viewType === 'NEW_AND_OLD_IMAGES';
    const hasNew = this.viewType === 'NEW_IMAGE' || this.viewType === 'NEW_AND_OLD_IMAGES';
    const bytes =
      itemBytes(key) + (hasOld && before ? itemBytes(before) : 0) + (hasNew && after ? itemBytes(after) : 0);
    this.#records.push({ sequence, at, key, before, after, bytes });
    this.#bytes += bytes;
    if (this.#bytes > this.#bytesMax) this.#dropEarly();
  }

  #dropEarly(): void {
    while (this.#bytes > this.#bytesMax) this.#drop();
    if (this.#droppedEarly) return;
    this.#droppedEarly = true;
    this.#onDropped(
      `the stream of ${this.tableName} keeps ${this.#bytesMax} bytes: older records go before their ${this.#retentionMs / 3_600_000} h are over`,
    );
  }

  #trim(): void {
    const before = this.#now() - this.#retentionMs;
    for (;;) {
      const oldest = this.#records[this.#first];
      if (!oldest || oldest.at >= before) return;
      this.#drop();
    }
  }

  #drop(): void {
    const oldest = this.#records[this.#first];
    if (!oldest) return;
    this.#bytes -= oldest.bytes;
    this.#trimmed = oldest.sequence;
    this.#first += 1;
    if (this.#first < CUT) return;
    this.#records = this.#records.slice(this.#first);
    this.#first = 0;
  }

  /** Sequences rise along the list, with gaps where nothing changed. */
  #indexAfter(sequence: number): number {
    let low = this.#first;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#records[middle] as StreamRecord).sequence > sequence) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
