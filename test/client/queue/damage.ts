// Files damaged in every way a disk damages them. The only acceptable ends: the queue refuses to open and says what is
// wrong, or it opens and is, operation by operation and record by record, what it was (unused bytes do not matter).
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QueueCorruptError, QueueVersionError } from '../../../client/queue/errors.ts';
import type { Queue } from '../../../client/queue/queue.ts';
import { PAGE_BYTES } from '../../../client/queue/sqlite-disk.ts';
import { openQueueFile } from '../../../client/queue.ts';
import type { Operation } from '../../../protocol/operations.ts';
import type { Verdict } from '../../../protocol/verdicts.ts';
import { type Version, versionOf } from '../../../protocol/versions.ts';
import { drain } from './witness.ts';

const RECORDS = 60;

export interface Specimen {
  readonly what: string;
  /** By suffix: '' is the database. */
  readonly files: ReadonlyMap<string, Buffer>;
}

export interface Damage {
  readonly what: string;
  readonly suffix: string;
  readonly content: Buffer;
}

export interface Verdicts {
  readonly damages: number;
  /** How many were refused; the others changed nothing. */
  readonly refused: number;
  readonly wrong: readonly string[];
}

function options(path: string) {
  return { path, reserveBytes: 0, keptBytesMax: 6_000 };
}

/** A queue with something of everything, after a clean end and after an unclean one with its log beside it. */
export async function specimens(): Promise<readonly Specimen[]> {
  const folder = mkdtempSync(join(tmpdir(), 'eden-field-specimen-'));
  const path = join(folder, 'queue.db');
  try {
    const queue = openQueueFile(options(path));
    await live(queue);
    const unclean = filesOf(path);
    queue.close();
    return [
      { what: 'closed', files: filesOf(path) },
      { what: 'crashed', files: unclean },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Groups whole, thinned and gone, operations of every outcome, records, tombstones, a restore. */
async function live(queue: Queue): Promise<void> {
  const put = (n: number) => {
    const edit = { collection: 'notes', id: `n${n % RECORDS}` };
    return queue.append(
      n % 11 === 0
        ? { ...edit, kind: 'delete' }
        : { ...edit, kind: 'put', payload: { n, text: 'é'.repeat(n % 60) } },
    );
  };
  for (let n = 0; n < 300; n += 10)
    await Promise.all(Array.from({ length: 10 }, (_, index) => put(n + index)));
  const stuck = queue.nextBatch({ operationsMax: 2 });
  for (let round = 0; round < 2; round++) {
    const batch = queue.nextBatch();
    if (batch === undefined) break;
    queue.settle({ verdicts: batch.operations.map(verdictOf), restoreEpoch: 0 });
    queue.release(batch);
  }
  if (stuck) queue.release(stuck);
  queue.raiseRestoreEpoch(1);
  const changes = Array.from({ length: 20 }, (_, n) => ({
    collection: 'notes',
    id: `pulled${n}`,
    version: versionOf({ ms: 1_700_000_000_000, counter: n }, 'ffffffffffffffff'),
    ...(n % 5 === 0 ? { deleted: true } : { deleted: false, payload: { n } }),
  }));
  queue.applyPull({ changes, cursor: 'c1', more: false, resync: false }, 1);
  const batch = queue.nextBatch({ operationsMax: 30 });
  if (batch) queue.settle({ verdicts: batch.operations.map(verdictOf), restoreEpoch: 1 });
  if (batch) queue.release(batch);
  for (let n = 300; n < 310; n++) await put(n);
}

function verdictOf({ session, sequence, version }: Operation): Verdict {
  if (sequence % 17 === 0) return { session, sequence, verdict: 'rejected', reason: 'invalid', detail: 'no' };
  if (sequence % 13 === 0) return { session, sequence, verdict: 'clock_ahead', serverTimeMs: Date.now() + 5 };
  return { session, sequence, verdict: 'applied', version: version as Version };
}

function filesOf(path: string): ReadonlyMap<string, Buffer> {
  const present = ['', '-wal', '-mark'].filter((suffix) => existsSync(path + suffix));
  return new Map(present.map((suffix) => [suffix, readFileSync(path + suffix)]));
}

/** One bit flipped at each offset. */
export function* bitFlips(
  { files }: Specimen,
  offsets: (size: number) => Iterable<number>,
): Iterable<Damage> {
  for (const [suffix, whole] of files)
    for (const at of offsets(whole.length)) {
      const content = Buffer.from(whole);
      content[at] = (content[at] as number) ^ (1 << (at % 8));
      yield { what: `bit ${at % 8} of byte ${at}`, suffix, content };
    }
}

export function* cuts({ files }: Specimen): Iterable<Damage> {
  for (const [suffix, whole] of files)
    for (let at = 0; at < whole.length; at += PAGE_BYTES)
      for (const size of [at, at + 1, at + 511])
        if (size < whole.length)
          yield { what: `cut to ${size} bytes`, suffix, content: whole.subarray(0, size) };
}

/** Pages, or frames of the log, in another's place: swapped, doubled, emptied. */
export function* misplacedPages({ files }: Specimen): Iterable<Damage> {
  for (const [suffix, whole] of files) {
    const [first, unit] = suffix === '-wal' ? [32, PAGE_BYTES + 24] : [0, PAGE_BYTES];
    const count = Math.floor((whole.length - first) / unit);
    const at = (page: number) => whole.subarray(first + page * unit, first + (page + 1) * unit);
    const replaced = (pages: ReadonlyMap<number, Buffer>) => {
      const content = Buffer.from(whole);
      for (const [page, bytes] of pages) bytes.copy(content, first + page * unit);
      return content;
    };
    for (let page = 0; page < count; page++) {
      yield {
        what: `page ${page} emptied`,
        suffix,
        content: replaced(new Map([[page, Buffer.alloc(unit)]])),
      };
      for (const other of [(page + 1) % count, (page + 5) % count]) {
        const swapped = new Map([
          [page, at(other)],
          [other, at(page)],
        ]);
        yield { what: `pages ${page} and ${other} swapped`, suffix, content: replaced(swapped) };
        yield {
          what: `page ${page} a copy of ${other}`,
          suffix,
          content: replaced(new Map([[page, at(other)]])),
        };
      }
    }
  }
}

export function judge(specimen: Specimen, damages: Iterable<Damage>): Verdicts {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'eden-field-damage-'));
  const path = join(folder, 'queue.db');
  const wrong: string[] = [];
  let count = 0;
  let refused = 0;
  try {
    lay(path, specimen.files);
    const expected = viewOf(path);
    for (const { what, suffix, content } of damages) {
      count++;
      lay(path, new Map(specimen.files).set(suffix, content));
      const name = `${specimen.what}, queue.db${suffix}, ${what}`;
      try {
        if (viewOf(path) !== expected) wrong.push(`${name}: silently wrong`);
      } catch (error) {
        refused++;
        if (!(error instanceof QueueCorruptError || error instanceof QueueVersionError))
          wrong.push(`${name}: refused as ${error}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { damages: count, refused, wrong };
}

function lay(path: string, files: ReadonlyMap<string, Buffer>): void {
  for (const suffix of ['', '-wal', '-wal-copy', '-mark', '-journal', '-shm'])
    rmSync(path + suffix, { force: true });
  for (const [suffix, content] of files) writeFileSync(path + suffix, content);
}

/** All the queue can tell. */
function viewOf(path: string): string {
  const queue = openQueueFile(options(path));
  try {
    const ids = [...Array(RECORDS).keys()]
      .map((n) => `n${n}`)
      .concat([...Array(20).keys()].map((n) => `pulled${n}`));
    const { kept, cursor, restoreEpoch, fileId, pending, quarantined } = queue;
    return JSON.stringify({
      operations: drain(queue),
      quarantine: [...queue.quarantine()],
      records: ids.map((id) => queue.get('notes', id) ?? null),
      counts: { kept, cursor, restoreEpoch, fileId, pending, quarantined },
    });
  } finally {
    queue.close();
  }
}
