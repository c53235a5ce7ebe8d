// What point-in-time recovery remembers of a table: every state of every item for as long as the recovery period
// reaches back, and how a region's own copy differs where somebody tampered with it. Exports read it. Every write is
// kept as the JSON text an export writes, which is a fraction of what the objects take.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/PointInTimeRecovery.html
//
// Where it differs from DynamoDB: a table that is emptied behind its back counts as a new one from then on.
import { crc32 } from 'node:zlib';
import type { Item } from './dynalite.ts';
import type { ReplicatedTable } from './replicated-table.ts';

export interface HistoryOptions {
  readonly table: ReplicatedTable;
  /** How far back each region's point-in-time recovery reaches; a region without it has none. */
  readonly recoveryDays: ReadonlyMap<string, number>;
  /** Of states that newer ones replaced; the oldest go first, and `onDropped` hears of it. @default 512 MiB */
  readonly bytesMax?: number;
  /** Told once: from here on recovery reaches back less far than it should. */
  readonly onDropped?: (why: string) => void;
  /** Unix ms. @default Date.now */
  readonly now?: () => number;
}

/** An item at some time, as DynamoDB JSON. */
export interface ItemState {
  /** Which of the key space's parts the item is in: any whole number ≥ 0. */
  readonly part: number;
  readonly json: string;
}

/** An item that was written in some span of time. */
export interface ItemChange {
  readonly part: number;
  readonly keyJson: string;
  /** Unix µs of the last write in it. */
  readonly writtenAtMicros: number;
  /** Just before the span; undefined when there was none. */
  readonly before: string | undefined;
  /** At its end; undefined when the item was gone. */
  readonly after: string | undefined;
}

interface State {
  readonly atMicros: number;
  readonly json: string | undefined;
  /** Of one region's copy only, which is no write; undefined for what all have. */
  readonly region: string | undefined;
}

/** States in the order they came in; the first is the oldest that recovery still needs. */
interface Kept {
  readonly part: number;
  readonly keyJson: string;
  states: State[];
}

const DAY_MS = 86_400_000;
const BYTES_MAX = 512 * 1024 * 1024;
/** Names in JavaScript's memory take one byte a character, or two; this is enough to bound it. */
const STATE_OVERHEAD_BYTES = 100;
const CUT = 1_024;

export class TableHistory {
  readonly #table: ReplicatedTable;
  readonly #recoveryDays: ReadonlyMap<string, number>;
  readonly #periodMs: number;
  readonly #bytesMax: number;
  readonly #onDropped: (why: string) => void;
  readonly #now: () => number;
  readonly #hashKey: string;
  #items = new Map<string, Kept>();
  /** Whose oldest state was replaced when, in that order; what stands before `#first` is done with. */
  #replaced: { readonly kept: Kept; readonly atMicros: number; readonly bytes: number }[] = [];
  #first = 0;
  #bytes = 0;
  #since: number;
  #lastMicros = 0;
  #dropped = false;

  constructor({ table, recoveryDays, bytesMax, onDropped, now }: HistoryOptions) {
    this.#table = table;
    this.#recoveryDays = recoveryDays;
    this.#periodMs = Math.max(0, ...recoveryDays.values()) * DAY_MS;
    this.#bytesMax = bytesMax ?? BYTES_MAX;
    this.#onDropped = onDropped ?? (() => undefined);
    this.#now = now ?? Date.now;
    this.#since = this.#now();
    this.#hashKey = table.schema.KeySchema[0]?.AttributeName ?? '';
    table.subscribe(({ key, after }) => this.#add(key, after, undefined));
    table.onDamage((damage) => {
      if (damage.kind === 'tampered') this.#add(damage.key, damage.item, damage.region);
      else this.#begin();
    });
  }

  /** Days a region's point-in-time recovery reaches back; undefined where it is off. */
  recoveryDays(region: string): number | undefined {
    return this.#recoveryDays.get(region);
  }

  /** Unix ms of the earliest time a region's copy can be had of. */
  earliest(region: string): number {
    return Math.max(this.#since, this.#now() - (this.#recoveryDays.get(region) ?? 0) * DAY_MS);
  }

  /** Every item that a region's copy had at a time, in no order. */
  *at(region: string, timeMs: number): Generator<ItemState> {
    for (const { part, states } of this.#items.values()) {
      const json = states.findLast(
        (state) => state.atMicros < (timeMs + 1) * 1_000 && (state.region ?? region) === region,
      )?.json;
      if (json !== undefined) yield { part, json };
    }
  }

  /**
   * Every item written from a time on and before another one, in no order. Each comes once, however often it was
   * written; one that is neither before nor after is left out.
   */
  *between(fromMs: number, toMs: number): Generator<ItemChange> {
    for (const { part, keyJson, states } of this.#items.values()) {
      const writes = states.filter(({ region }) => region === undefined);
      const last = writes.findLast(({ atMicros }) => atMicros < toMs * 1_000);
      if (!last || last.atMicros < fromMs * 1_000) continue;
      const before = writes.findLast(({ atMicros }) => atMicros < fromMs * 1_000)?.json;
      if (before === undefined && last.json === undefined) continue;
      yield { part, keyJson, writtenAtMicros: last.atMicros, before, after: last.json };
    }
  }

  #begin(): void {
    this.#items = new Map();
    this.#replaced = [];
    this.#first = 0;
    this.#bytes = 0;
    this.#since = this.#now();
  }

  #add(key: Item, item: Item | undefined, region: string | undefined): void {
    // Of several in a millisecond each still has a time of its own.
    const atMicros = Math.max(Math.floor(this.#now()) * 1_000, this.#lastMicros + 1);
    this.#lastMicros = atMicros;
    const kept = this.#keptOf(key);
    const previous = kept.states.at(-1);
    const json = item === undefined ? undefined : JSON.stringify(item);
    kept.states.push({ atMicros, json, region });
    if (previous) this.#replace(kept, previous.json, atMicros);
    // Nothing replaces a removal, but it is forgotten all the same.
    if (json === undefined) this.#replace(kept, undefined, atMicros);
    this.#prune();
  }

  #keptOf(key: Item): Kept {
    const keyJson = JSON.stringify(key);
    const known = this.#items.get(keyJson);
    if (known) return known;
    const kept = { part: crc32(JSON.stringify(key[this.#hashKey])), keyJson, states: [] };
    this.#items.set(keyJson, kept);
    return kept;
  }

  #replace(kept: Kept, json: string | undefined, atMicros: number): void {
    const bytes = (json?.length ?? 0) + STATE_OVERHEAD_BYTES;
    this.#bytes += bytes;
    this.#replaced.push({ kept, atMicros, bytes });
  }

  /** Forgets what no time within reach needs. */
  #prune(): void {
    const horizon = (this.#now() - this.#periodMs) * 1_000;
    for (;;) {
      const oldest = this.#replaced[this.#first];
      if (!oldest || (oldest.atMicros >= horizon && this.#bytes <= this.#bytesMax)) break;
      if (oldest.atMicros >= horizon) this.#dropEarly(oldest.atMicros);
      this.#bytes -= oldest.bytes;
      this.#first += 1;
      this.#forgetBefore(oldest.kept, oldest.atMicros);
    }
    if (this.#first < CUT) return;
    this.#replaced = this.#replaced.slice(this.#first);
    this.#first = 0;
  }

  /** Of one item the states that others, which all copies have, had replaced by then. */
  #forgetBefore(kept: Kept, micros: number): void {
    const first = kept.states.findLastIndex(
      ({ atMicros, region }) => region === undefined && atMicros <= micros,
    );
    if (first > 0) kept.states = kept.states.slice(first);
    const [only] = kept.states;
    const isGone = kept.states.length === 1 && only?.json === undefined;
    // Written anew after it was forgotten, the key has another list.
    if (isGone && this.#items.get(kept.keyJson) === kept) this.#items.delete(kept.keyJson);
  }

  #dropEarly(micros: number): void {
    this.#since = Math.max(this.#since, Math.floor(micros / 1_000) + 1);
    if (this.#dropped) return;
    this.#dropped = true;
    this.#onDropped(
      `point-in-time recovery of ${this.#table.schema.TableName} keeps ${this.#bytesMax} bytes of what was replaced: it reaches back less than its period`,
    );
  }
}
