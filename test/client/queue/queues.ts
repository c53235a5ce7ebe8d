// Queues for tests: seeded randomness, a clock that stands until moved, appends committed when the test says so.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Batch, NewEdit, QueueOptions, Receipt } from '../../../client/queue/contract.ts';
import type { QueueDisk } from '../../../client/queue/disk.ts';
import { openQueue, type Queue } from '../../../client/queue/queue.ts';
import { openSqliteDisk } from '../../../client/queue/sqlite-disk.ts';
import type { Json, Operation } from '../../../protocol/operations.ts';
import type { Verdict } from '../../../protocol/verdicts.ts';
import { MemoryDisk } from './memory-disk.ts';

export const NOW = 1_750_000_000_000;

/** One environment for all openings of a queue in a test. */
export class World {
  nowMs = NOW;
  #turn: (() => void)[] = [];
  #seed: number;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  readonly options: QueueOptions = {
    now: () => this.nowMs,
    random: (bytes) => Array.from({ length: bytes }, () => this.#byte()).join(''),
    defer: (work) => this.#turn.push(work),
  };

  /** Ends the turn: what was appended is committed. */
  endTurn(): void {
    for (let work = this.#turn.shift(); work !== undefined; work = this.#turn.shift()) work();
  }

  /** A crash: nothing deferred runs any more. */
  dropTurn(): void {
    this.#turn = [];
  }

  open(disk: QueueDisk, options: Partial<QueueOptions> = {}): Queue {
    return openQueue(disk, { ...this.options, ...options });
  }

  append(queue: Queue, edit: NewEdit): Promise<Receipt> {
    const receipt = queue.append(edit);
    this.endTurn();
    return receipt;
  }

  put(queue: Queue, id: string, payload: Json): Promise<Receipt> {
    return this.append(queue, { kind: 'put', collection: 'notes', id, payload });
  }

  remove(queue: Queue, id: string): Promise<Receipt> {
    return this.append(queue, { kind: 'delete', collection: 'notes', id });
  }

  /** xorshift32 */
  #byte(): string {
    this.#seed ^= this.#seed << 13;
    this.#seed ^= this.#seed >>> 17;
    this.#seed ^= this.#seed << 5;
    return (this.#seed & 0xff).toString(16).padStart(2, '0');
  }
}

/** A disk and what the same disk is after its process was killed. */
export interface Reopenable {
  readonly disk: QueueDisk;
  readonly killed: () => Reopenable;
}

/** Both disks; every contract holds on each. */
export const DISKS: Readonly<Record<string, (t: TestContext) => Reopenable>> = {
  memory: () => memory(new MemoryDisk()),
  sqlite: (t) => sqlite(join(folderOf(t), 'queue.db')),
};

export function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'eden-field-queue-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function memory(disk: MemoryDisk): Reopenable {
  return { disk, killed: () => memory(disk.afterKill()) };
}

/** Closing stands for a kill here; the crash tests kill real processes. */
function sqlite(path: string): Reopenable {
  const disk = openSqliteDisk(path, { reserveBytes: 0 });
  return {
    disk,
    killed: () => {
      disk.close();
      return sqlite(path);
    },
  };
}

export function applied({ session, sequence, version }: Operation): Verdict {
  return { session, sequence, verdict: 'applied', version };
}

export function rejected({ session, sequence }: Operation): Verdict {
  return { session, sequence, verdict: 'rejected', reason: 'invalid', detail: 'the test says so' };
}

/** Sends what is next and settles it all with one kind of verdict. */
export function settleNext(queue: Queue, verdictOf: (operation: Operation) => Verdict = applied): Batch {
  const batch = queue.nextBatch();
  if (batch === undefined) throw new Error('expected something to send, got nothing');
  queue.settle({ verdicts: batch.operations.map(verdictOf), restoreEpoch: queue.restoreEpoch });
  queue.release(batch);
  return batch;
}
