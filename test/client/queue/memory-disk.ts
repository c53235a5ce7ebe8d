// A disk in memory for the queue, with the faults of a real one: it can be crashed between any two steps, and what was
// not synced by then may be gone. Deterministic: whoever drives it decides what happens at each step.
import type {
  DiskSpace,
  GroupRow,
  OutcomeRow,
  QueueDisk,
  RecordRow,
  StateRow,
  Writes,
} from '../../../client/queue/disk.ts';
import { QueueFullError } from '../../../client/queue/errors.ts';

/** In the order they come. `written`: the commit is in the operating system's cache; `synced`: it is on the disk. */
export type Step = 'commit' | 'written' | 'synced' | 'mark' | 'marked';

export class Crash extends Error {
  readonly step: Step;

  constructor(step: Step) {
    super(`the machine went down at ${step}`);
    this.step = step;
  }
}

interface Content {
  state: StateRow | undefined;
  groups: Map<number, GroupRow>;
  outcomes: Map<number, OutcomeRow>;
  records: Map<number, RecordRow>;
  marks: string[];
}

export interface MemoryDiskOptions {
  /** Called at every step; throws {@link Crash} to go down there. */
  readonly at?: (step: Step) => void;
  /** Planted bug: commits stay in the cache until the next one. */
  readonly forgetsToSync?: boolean;
  /** Commits are refused for want of room while this says so. */
  readonly isFull?: () => boolean;
}

const EMPTY: Content = {
  state: undefined,
  groups: new Map(),
  outcomes: new Map(),
  records: new Map(),
  marks: ['', '', '', ''],
};

export class MemoryDisk implements QueueDisk {
  readonly path = 'memory';
  readonly isTight = false;
  readonly #options: MemoryDiskOptions;
  /** What a power cut leaves. */
  #durable: Content;
  /** What reads see. */
  #cached: Content;

  constructor(options: MemoryDiskOptions = {}, content: Content = EMPTY) {
    this.#options = options;
    this.#durable = content;
    this.#cached = content;
  }

  /** The disk after a power cut. `keeps`: for each unsynced change, whether it got there nevertheless. */
  afterPowerCut(keeps: (what: 'commit' | 'mark') => boolean, options: MemoryDiskOptions = {}): MemoryDisk {
    const durable = this.#durable;
    const commit = this.#cached.state !== durable.state && keeps('commit') ? this.#cached : durable;
    const marks = durable.marks.map((mark, slot) => {
      const cached = this.#cached.marks[slot] as string;
      if (cached === mark) return mark;
      return keeps('mark') ? cached : keeps('mark') ? mark : `${cached.slice(0, 20)}${mark.slice(20)}`;
    });
    return new MemoryDisk(options, { ...commit, marks });
  }

  /** The disk after the process alone died: the operating system still writes all it was given. */
  afterKill(options: MemoryDiskOptions = {}): MemoryDisk {
    return new MemoryDisk(options, this.#cached);
  }

  readState(): StateRow | undefined {
    return this.#cached.state;
  }

  readGroups(): Iterable<GroupRow> {
    return inOrder(this.#cached.groups);
  }

  readOutcomes(): Iterable<OutcomeRow> {
    return inOrder(this.#cached.outcomes);
  }

  readRecords(): Iterable<RecordRow> {
    return inOrder(this.#cached.records);
  }

  readGroup(position: number): GroupRow | undefined {
    return this.#cached.groups.get(position);
  }

  readRecord(row: number): RecordRow | undefined {
    return this.#cached.records.get(row);
  }

  commit(writes: Writes): void {
    this.#options.at?.('commit');
    if (this.#options.isFull?.()) throw new QueueFullError('disk', 'the test says so');
    const before = this.#cached;
    this.#cached = applied(before, writes);
    this.#options.at?.('written');
    // A commit that is only cached counts as durable one commit late.
    this.#durable = this.#options.forgetsToSync
      ? { ...before, marks: this.#durable.marks }
      : { ...this.#cached, marks: this.#durable.marks };
    this.#options.at?.('synced');
  }

  readMark(): readonly string[] {
    return this.#cached.marks;
  }

  writeMark(slot: number, text: string, durable: boolean): void {
    this.#options.at?.('mark');
    this.#cached = { ...this.#cached, marks: this.#cached.marks.with(slot, text) };
    if (durable) this.#durable = { ...this.#durable, marks: this.#cached.marks };
    this.#options.at?.('marked');
  }

  check(): [] {
    return [];
  }

  accept(): void {}

  shrink(): void {}

  space(): DiskSpace | undefined {
    return undefined;
  }

  close(): void {}
}

function applied(content: Content, writes: Writes): Content {
  const groups = new Map(content.groups);
  const outcomes = new Map(content.outcomes);
  const records = new Map(content.records);
  for (const position of writes.droppedGroups) groups.delete(position);
  for (const position of writes.droppedOutcomes) outcomes.delete(position);
  for (const row of writes.droppedRecords) records.delete(row);
  for (const group of writes.groups) groups.set(group.position, group);
  for (const outcome of writes.outcomes) outcomes.set(outcome.position, outcome);
  for (const record of writes.records) records.set(record.row, record);
  return { ...content, state: writes.state, groups, outcomes, records };
}

function inOrder<Row>(rows: ReadonlyMap<number, Row>): Row[] {
  return [...rows].sort(([a], [b]) => a - b).map(([, row]) => row);
}
