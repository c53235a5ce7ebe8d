// Moves the high-water mark along: after every commit without waiting, and synced now and then (see mark-file.ts).
import type { QueueDisk } from './disk.ts';
import { type Mark, markText, parseMark, type QueueState, stateRowOf } from './format.ts';

/** In between a power cut may set the mark back, which weakens the check and never makes it wrong. */
const SYNC_COMMITS = 100;

export class MarkKeeper {
  readonly #disk: QueueDisk;
  #mark: Mark;
  /** Which synced slot has its turn: the older one. */
  #syncedSlot: 2 | 3;

  constructor(disk: QueueDisk, state: QueueState) {
    this.#disk = disk;
    this.#mark = { commit: state.commit, head: state.head.position, state: stateRowOf(state).seal };
    const [, , second = '', third = ''] = disk.readMark();
    const older = (parseMark(second)?.commit ?? -1) <= (parseMark(third)?.commit ?? -1);
    this.#syncedSlot = older ? 2 : 3;
  }

  /** `state` is durable. */
  advance({ commit, head }: QueueState, seal: string): void {
    this.#mark = { commit, head: head.position, state: seal };
    this.#disk.writeMark(commit % 2, markText(this.#mark), false);
    if (commit % SYNC_COMMITS === 0) this.sync();
  }

  sync(): void {
    this.#disk.writeMark(this.#syncedSlot, markText(this.#mark), true);
    this.#syncedSlot = this.#syncedSlot === 2 ? 3 : 2;
  }
}
