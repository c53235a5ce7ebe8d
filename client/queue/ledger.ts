// What an open queue keeps in memory: which operations wait, in which order and on which key, what is held of every
// record, and sizes; no payloads. Built from the file when it is opened, changed only after a commit.
import type { Version } from '../../protocol/versions.ts';
import type { Outcome, QueueState } from './format.ts';
import { WaitingOperations } from './waiting.ts';

/** A group without its lines. The chain never changes; what is left of a group does. */
export interface Group {
  readonly position: number;
  count: number;
  /** '' for a gap. */
  session: string;
  readonly sequence: number;
  /** The link this one is chained to, and its own. */
  readonly previous: string;
  link: string;
  seal: string | null;
  /** UTF-8 bytes of each line; 0 where it is gone. */
  bytes: readonly number[];
  /** Undefined while all wait as they were made. */
  outcomes: readonly (Outcome | undefined)[] | undefined;
  outcomesSeal: string | undefined;
}

/** What thinning changes. */
export type GroupRest = Pick<Group, 'count' | 'session' | 'link' | 'seal' | 'bytes'>;

/** What the file holds of a record, payload aside. */
export interface Held {
  readonly row: number;
  readonly version: Version;
  readonly deleted: boolean;
  readonly bytes: number;
  readonly seen: number;
  readonly seal: string;
  /** Unix ms; where an operation of this opening, once settled, made it what it is. */
  readonly settledMs: number | undefined;
}

/** Rough cost of a record's or group's row beside its text. */
const ROW_BYTES = 200;

export function keyOf(collection: string, id: string): string {
  return `${collection}/${id}`;
}

export class Ledger {
  state: QueueState;
  /** By position, in order. */
  readonly groups = new Map<number, Group>();
  readonly waiting = new WaitingOperations();
  readonly held = new Map<string, Held>();
  nextRecordRow = 1;
  keptCount = 0;
  keptBytes = 0;
  quarantinedCount = 0;
  /** Lines and payloads in the file, and what their rows cost. */
  usedBytes = 0;

  constructor(state: QueueState) {
    this.state = state;
  }

  /** Enters a group as it stands; its waiting operations are entered one by one. */
  addGroup(group: Group): void {
    this.groups.set(group.position, group);
    this.#count(group, 1);
  }

  removeGroup(group: Group): void {
    this.groups.delete(group.position);
    this.#count(group, -1);
  }

  /** In place: it keeps its turn, and what waits in it keeps its group. */
  changeGroup(group: Group, rest: GroupRest): void {
    this.#count(group, -1);
    Object.assign(group, rest);
    if (rest.session === '') Object.assign(group, { outcomes: undefined, outcomesSeal: undefined });
    this.#count(group, 1);
  }

  setOutcomes(group: Group, outcomes: readonly (Outcome | undefined)[], seal: string): void {
    this.#count(group, -1);
    group.outcomes = outcomes;
    group.outcomesSeal = seal;
    this.#count(group, 1);
  }

  setHeld(key: string, held: Held | undefined): void {
    const old = this.held.get(key);
    if (old !== undefined) this.usedBytes -= old.bytes + ROW_BYTES;
    if (held === undefined) {
      this.held.delete(key);
      return;
    }
    this.held.set(key, held);
    this.usedBytes += held.bytes + ROW_BYTES;
    this.nextRecordRow = Math.max(this.nextRecordRow, held.row + 1);
  }

  #count(group: Group, sign: 1 | -1): void {
    this.usedBytes += sign * ROW_BYTES;
    const { bytes, outcomes } = group;
    for (let index = 0; index < bytes.length; index++) {
      const size = bytes[index] as number;
      this.usedBytes += sign * size;
      const state = outcomes?.[index]?.state;
      if (state === 'kept') {
        this.keptCount += sign;
        this.keptBytes += sign * size;
      } else if (state === 'quarantined') this.quarantinedCount += sign;
    }
  }
}
