// The disk as the queue sees it: rows, one atomic and durable commit, and a mark kept outside. Dumb on purpose: what
// the rows mean, how they are chained and sealed and when they count as damaged is decided above, so that a
// simulation can put a disk of its own underneath and crash it between any two calls.
import type { Finding } from './errors.ts';

/**
 * The operations of one commit, in the order made, one a line. Positions count operations from 1 over the whole life
 * of the file. A gap (session '', body '') stands where operations were dropped from between others.
 */
export interface GroupRow {
  /** Of the first operation. */
  readonly position: number;
  readonly count: number;
  readonly session: string;
  /** Of the first operation; those that follow count on. */
  readonly sequence: number;
  readonly body: string;
  /** The chain: hash over the previous group's link and this group as it was made. Never changes. */
  readonly link: string;
  /** Null while the body is as it was made and `link` proves it; else the hash over what is left of it. */
  readonly seal: string | null;
}

/** What became of a group's operations since they were made. No row: nothing yet. */
export interface OutcomeRow {
  readonly position: number;
  readonly body: string;
  readonly seal: string;
}

export interface RecordRow {
  readonly row: number;
  readonly collection: string;
  readonly id: string;
  readonly version: string;
  /** Null for a tombstone. */
  readonly payload: string | null;
  /** The resync that returned it last. */
  readonly seen: number;
  readonly seal: string;
}

export interface StateRow {
  readonly body: string;
  readonly seal: string;
}

/** One transaction. */
export interface Writes {
  readonly state: StateRow;
  readonly groups: readonly GroupRow[];
  readonly outcomes: readonly OutcomeRow[];
  readonly records: readonly RecordRow[];
  /** Positions of groups and of outcomes that go; rows of records that go. */
  readonly droppedGroups: readonly number[];
  readonly droppedOutcomes: readonly number[];
  readonly droppedRecords: readonly number[];
}

/** Slots of the mark: two written in turn after every commit, two written in turn and synced now and then. */
export const MARK_SLOTS = 4;

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface QueueDisk {
  readonly path: string;
  /** Undefined in a file nothing was ever committed to. */
  readState(): StateRow | undefined;
  /** In order of position. */
  readGroups(): Iterable<GroupRow>;
  readOutcomes(): Iterable<OutcomeRow>;
  readRecords(): Iterable<RecordRow>;
  readGroup(position: number): GroupRow | undefined;
  readRecord(row: number): RecordRow | undefined;
  /**
   * All or nothing, and durable when it returns. `urgent` work may use the room kept back for it.
   * @throws QueueFullError when there is no room (nothing was written), QueueDiskError when the outcome is unknown.
   */
  commit(writes: Writes, urgent: boolean): void;
  /** The texts of the {@link MARK_SLOTS} slots, '' where nothing stands. */
  readMark(): readonly string[];
  writeMark(slot: number, text: string, durable: boolean): void;
  /** Damage of the structure below the rows. */
  check(): readonly Finding[];
  /** The content is proved: what was kept of it for a recovery by hand may go. Before the first commit. */
  accept(): void;
  /** Gives free pages back to the file system. */
  shrink(): void;
  /** The disk is so full that the room kept back is in use: what is only kept should go. */
  readonly isTight: boolean;
  /** Of the file system; undefined where that cannot be told. */
  space(): DiskSpace | undefined;
  close(): void;
}
