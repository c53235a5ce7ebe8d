// One region's copy of the table. It applies the committed log in order, each entry after the time it needs to get
// there plus the lag of an eventually consistent read; its indexes follow with a lag of their own. A region that
// reaches nobody who holds the next entry stands still until it does.
import type { Change, DynaliteEngine, Item, Json } from './dynalite.ts';
import type { RegionLinks } from './region-links.ts';

/** One committed write, in the order of all writes to the table. */
export interface LogEntry extends Change {
  /** 1, 2, 3 …, without gaps. */
  readonly sequence: number;
  /** Unix ms of the commit. */
  readonly at: number;
  /** The region that took the write. */
  readonly region: string;
  /** The majority that held it when it was acknowledged. */
  readonly heldBy: readonly string[];
  /** No write: every item is lost here. Its key is empty, and no subscriber hears of it. */
  readonly wiped?: true;
}

/** Both ends in ms; each entry draws its own. At most 2,000, the staleness the design allows for. */
export interface LagRange {
  readonly min: number;
  readonly max: number;
}

export interface ReplicaOptions {
  readonly region: string;
  readonly engine: DynaliteEngine;
  readonly links: RegionLinks;
  /** How far the base table trails what has arrived, as eventually consistent reads see it. */
  readonly itemLag: LagRange;
  /** How far the indexes trail the base table. */
  readonly indexLag: LagRange;
  /** Gives 0 ≤ x < 1. */
  readonly random: () => number;
  /** The entry with this sequence; undefined when none has it yet. */
  readonly entryAt: (sequence: number) => LogEntry | undefined;
  /** Every replica of the table, this one too. */
  readonly replicas: () => readonly Replica[];
  /** Told after every entry whose index change is in. */
  readonly onIndexed: () => void;
}

const LAG_MS_MAX = 2_000;

/** A place in the log that moves on as entries become due. */
interface Cursor {
  applied: number;
  /** When the entry after `applied` may be applied at the earliest; undefined until it is known. */
  dueAt: number | undefined;
  readonly apply: (entry: LogEntry) => Promise<void>;
}

export class Replica {
  readonly region: string;
  readonly engine: DynaliteEngine;
  readonly #options: ReplicaOptions;
  readonly #items: Cursor;
  readonly #indexes: Cursor;
  /** When each entry that the indexes have not got yet came into the base table; the oldest first. */
  readonly #arrivedAt: number[] = [];
  readonly #waiting = new Set<{ readonly sequence: number; readonly resolve: (done: boolean) => void }>();
  /** The highest sequence that a consistent read waits for: no lag up to there. */
  #wanted = 0;
  #cutOff = false;
  #busy = false;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ReplicaOptions) {
    for (const [name, { min, max }] of Object.entries({
      itemLag: options.itemLag,
      indexLag: options.indexLag,
    })) {
      if (!(0 <= min && min <= max && max <= LAG_MS_MAX))
        throw new RangeError(`${name}: expected 0 <= min <= max <= ${LAG_MS_MAX} ms, got ${min}..${max}`);
    }
    this.#options = options;
    this.region = options.region;
    this.engine = options.engine;
    const { engine } = this;
    this.#items = {
      applied: 0,
      dueAt: undefined,
      apply: (entry) => (entry.wiped ? engine.clearItems() : engine.applyItem(entry)),
    };
    this.#indexes = {
      applied: 0,
      dueAt: undefined,
      apply: (entry) => (entry.wiped ? engine.clearIndexes() : engine.applyIndexes(entry)),
    };
  }

  /** Sequence of the last entry in the base table. */
  get applied(): number {
    return this.#items.applied;
  }

  /** Sequence of the last entry in the indexes. */
  get indexed(): number {
    return this.#indexes.applied;
  }

  /** Runs a read on this copy as it stands. */
  read(operation: 'GetItem' | 'BatchGetItem' | 'Query' | 'Scan', parsed: Json): Promise<Json> {
    return this.engine.run(operation, parsed);
  }

  /** Replaces this copy of an item behind everybody's back, as a fault would; indexes keep what they have. */
  async tamper(key: Item, item: Item | undefined): Promise<void> {
    await this.engine.applyItem({ key, after: item });
  }

  /** Resolves to whether the base table reached that entry within `timeoutMs`. */
  caughtUpTo(sequence: number, timeoutMs: number): Promise<boolean> {
    if (this.applied >= sequence) return Promise.resolve(true);
    this.#wanted = Math.max(this.#wanted, sequence);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiting = { sequence, resolve };
    this.#waiting.add(waiting);
    const timer = setTimeout(resolve, timeoutMs, false);
    this.wake();
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    });
  }

  /** Applies what is due and sleeps until the next is; called whenever the log or the network changed. */
  wake(): void {
    this.#again = true;
    if (!this.#busy && !this.#closed) void this.#drain();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { resolve } of this.#waiting) resolve(false);
    while (this.#busy) await new Promise((resolve) => setImmediate(resolve));
    await this.engine.close();
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    clearTimeout(this.#timer);
    let nextAt: number | undefined;
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        const itemsAt = await this.#advance(this.#items, (entry) => this.#itemDueAt(entry));
        const indexesAt = await this.#advance(this.#indexes, (entry) => this.#indexDueAt(entry));
        nextAt = Math.min(itemsAt ?? Number.POSITIVE_INFINITY, indexesAt ?? Number.POSITIVE_INFINITY);
      }
    } finally {
      this.#busy = false;
    }
    if (nextAt !== undefined && nextAt < Number.POSITIVE_INFINITY && !this.#closed)
      this.#timer = setTimeout(() => this.wake(), Math.max(1, Math.ceil(nextAt - Date.now())));
  }

  /** Applies every entry that is due; gives the time at which the next one is, or undefined when none is known. */
  async #advance(
    cursor: Cursor,
    dueAtOf: (entry: LogEntry) => number | undefined,
  ): Promise<number | undefined> {
    for (;;) {
      const entry = this.#options.entryAt(cursor.applied + 1);
      if (!entry || this.#closed || !this.#options.links.isUp(this.region)) return undefined;
      const dueAt = dueAtOf(entry);
      if (dueAt === undefined || dueAt > Date.now()) return dueAt;
      await cursor.apply(entry);
      cursor.applied = entry.sequence;
      cursor.dueAt = undefined;
      this.#tell(cursor);
    }
  }

  #tell(cursor: Cursor): void {
    if (cursor === this.#indexes) {
      this.#arrivedAt.shift();
      this.#options.onIndexed();
      return;
    }
    this.#arrivedAt.push(Date.now());
    for (const waiting of this.#waiting) if (waiting.sequence <= cursor.applied) waiting.resolve(true);
    // What is here now can be had from here by those who do not reach the writer.
    for (const replica of this.#options.replicas())
      if (replica !== this && replica.applied < cursor.applied) replica.wake();
  }

  /** Undefined while nobody within reach holds the entry. */
  #itemDueAt(entry: LogEntry): number | undefined {
    const delayMs = this.#nearestHolderMs(entry);
    if (delayMs === undefined) {
      this.#cutOff = true;
      this.#items.dueAt = undefined;
      return undefined;
    }
    // What had to wait for the network starts on its way only now.
    const sentAt = this.#cutOff ? Date.now() : entry.at;
    this.#cutOff = false;
    this.#items.dueAt ??= sentAt + delayMs + this.#draw(this.#options.itemLag);
    return entry.sequence <= this.#wanted ? Math.min(this.#items.dueAt, sentAt + delayMs) : this.#items.dueAt;
  }

  #indexDueAt(entry: LogEntry): number | undefined {
    const [arrivedAt] = this.#arrivedAt;
    if (entry.sequence > this.applied || arrivedAt === undefined) return undefined;
    // From its arrival, not from the entry before it: a lag delays a stream of changes, it does not thin it out.
    this.#indexes.dueAt ??= arrivedAt + this.#draw(this.#options.indexLag);
    return this.#indexes.dueAt;
  }

  #nearestHolderMs(entry: LogEntry): number | undefined {
    const { links } = this.#options;
    const { region } = this;
    if (entry.region === region) return 0;
    // It holds the entry already and learns of the commit from the writer, or from whoever takes over from it.
    if (entry.heldBy.includes(region)) return links.delayMs(entry.region, region);
    const delays = this.#options
      .replicas()
      .filter(
        ({ region: other, applied }) =>
          other !== region &&
          links.isUp(other) &&
          links.reaches(other, region) &&
          (entry.heldBy.includes(other) || applied >= entry.sequence),
      )
      .map(({ region: other }) => links.delayMs(other, region));
    return delays.length > 0 ? Math.min(...delays) : undefined;
  }

  #draw({ min, max }: LagRange): number {
    return min + (max - min) * this.#options.random();
  }
}
