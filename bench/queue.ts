// What durability costs: appends to the queue against the least that could be durable, the same edits as lines
// appended to a file with one fdatasync for the same group. Both take edits one call each and answer each call.
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQueueFile } from '../client/queue.ts';
import { type Benchmark, inPairs, type Ratio } from './benchmark.ts';

const PAIRS = 25;
const GROUP = 100;
const GROUPED = 20_000;
const SINGLE = 800;
const RECOVERED = 100_000;

interface Log {
  append(edit: NoteEdit): Promise<unknown>;
  close(): void;
}

interface Measured {
  readonly tookMs: number;
  readonly count: number;
}

type NoteEdit = ReturnType<typeof editsOf>[number];

/** Appends of one turn share one write and one fdatasync; the operation is written as it goes over the wire. */
class RawLog implements Log {
  readonly #fd: number;
  #lines: string[] = [];
  #waiting: (() => void)[] = [];
  #sequence = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'w');
  }

  append(edit: NoteEdit): Promise<void> {
    return new Promise((resolve) => {
      const version = `${Date.now().toString(16).padStart(12, '0')}-0000-0123456789abcdef`;
      const operation = { session: SESSION, sequence: ++this.#sequence, version, ...edit };
      this.#lines.push(JSON.stringify(operation));
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#flush());
    });
  }

  close(): void {
    closeSync(this.#fd);
  }

  #flush(): void {
    writeSync(this.#fd, `${this.#lines.join('\n')}\n`);
    fdatasyncSync(this.#fd);
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#lines = [];
    for (const resolve of waiting) resolve();
  }
}

const SESSION = '0123456789abcdef0123456789abcdef';

/** About 280 bytes each on the wire, every one on a record of its own. */
function editsOf(count: number) {
  return Array.from({ length: count }, (_, index) => ({
    kind: 'put' as const,
    collection: 'notes',
    id: `n${(index * 7919) % count}`,
    payload: {
      at: 1_732_000_000_000 + index,
      author: `someone-${index % 97}`,
      tags: ['field', 'durable'],
      text: `measured at station ${index % 13}, reading ${index}`,
    },
  }));
}

/** The first half is not counted: by then the queue's own log has its size and is written over, as it is for life. */
async function fill(log: Log, edits: readonly NoteEdit[], group: number): Promise<Measured> {
  const half = edits.length / 2;
  let start = 0;
  for (let at = 0; at < edits.length; at += group) {
    if (at === half) start = performance.now();
    await Promise.all(edits.slice(at, at + group).map((edit) => log.append(edit)));
  }
  const tookMs = performance.now() - start;
  log.close();
  return { tookMs, count: half };
}

/** A new file each time: a queue is a file that is mostly empty. */
class Folder {
  readonly #path = mkdtempSync(join(tmpdir(), 'eden-field-bench-'));
  #files = 0;

  next(): string {
    return join(this.#path, `${this.#files++}.db`);
  }

  clear(): void {
    rmSync(this.#path, { recursive: true, force: true });
  }
}

async function appends(
  folder: Folder,
  count: number,
  group: number,
  least: number,
  reason: string,
): Promise<Ratio> {
  const edits = editsOf(count);
  const pairs = await inPairs(
    PAIRS,
    () => fill(openQueueFile({ path: folder.next() }), edits, group),
    () => fill(new RawLog(folder.next()), edits, group),
  );
  const [ours, theirs] = [0, 1].map((side) => median(pairs.map((pair) => rateOf(pair[side] as Measured))));
  console.log(`  ${group} a commit: ${ours} appends/s, raw ${theirs} appends/s`);
  return {
    name: `queue / raw append + fdatasync, ${group === 1 ? 'one by one' : `${group} a group`}`,
    values: pairs.map(([queue, raw]) => raw.tookMs / queue.tookMs),
    target: { bound: 'at least', value: least, reason },
  };
}

async function recovery(folder: Folder, group: number): Promise<Ratio> {
  const path = folder.next();
  await fill(openQueueFile({ path }), editsOf(RECOVERED), group);
  const values: number[] = [];
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    const queue = openQueueFile({ path });
    values.push((performance.now() - start) / 1_000);
    if (queue.recovered !== RECOVERED)
      throw new Error(`expected ${RECOVERED} operations to be recovered, got ${queue.recovered}`);
    queue.close();
  }
  return {
    name: `seconds to open and verify ${RECOVERED} waiting operations, ${group} a commit`,
    values,
    target: { bound: 'at most', value: 1, reason: 'a device that restarts may not feel it' },
  };
}

function rateOf({ tookMs, count }: Measured): number {
  return Math.round((count / tookMs) * 1_000);
}

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] as number;
}

export const queueBenchmark: Benchmark = {
  name: 'queue',
  about: 'durable appends against the same lines in a plain file with the same syncs, and recovery',
  async run() {
    const folder = new Folder();
    try {
      return [
        await appends(
          folder,
          GROUPED,
          GROUP,
          0.8,
          'order, chain and recovery may cost a fifth of writing and syncing',
        ),
        await appends(
          folder,
          SINGLE,
          1,
          0.7,
          'beside it: a page for the operation, one for the state and the mark, for every sync',
        ),
        await recovery(folder, GROUP),
        await recovery(folder, 1),
      ];
    } finally {
      folder.clear();
    }
  },
};
