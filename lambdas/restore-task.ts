// One task of a restore (protocol/restore-work.ts): some lines of a data file of the full backup into the table. What a
// line means, the index of what is newer decides, so that whoever does the task, and however often, hands on the same
// records and counts the same.
import { createHash, hash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import type { ExportedItem } from '../protocol/export-files.ts';
import { ExportStream } from '../protocol/export-stream.ts';
import { recordPk } from '../protocol/items.ts';
import { KeyIndex, type Sha256 } from '../protocol/key-index.ts';
import { LayerReader, NO_FACTS, UnitSum } from '../protocol/reading-layers.ts';
import type { Stamps } from '../protocol/restore-stamps.ts';
import {
  type NewerIndex,
  type RestoreTask,
  type RestoreTaskResult,
  TASK_PROBLEMS_MAX,
} from '../protocol/restore-work.ts';
import { stamped, type Wanted } from '../protocol/restored-items.ts';
import { scopeTest } from '../protocol/restoring.ts';
import { clockOf } from '../protocol/versions.ts';
import type { RestoreTable } from './store/restore-table.ts';
import { StoreUnavailableError } from './store/store.ts';

export const sha256: Sha256 = (text, as) => hash('sha256', text, as);

export interface LoadParts {
  readonly table: RestoreTable;
  readonly stamps: Stamps;
  /** Where replicas only follow each other: the Region that is written through. */
  readonly through: string | undefined;
  /** Whether the restore is still under way and the table closed for it, by a copy that is at most 5 s old. */
  readonly isUnderWay: () => Promise<boolean>;
  /** Asked between two pieces of the file; no piece is begun after it. */
  readonly isTimeUp: () => boolean;
  /** Resolves after that many ms. */
  readonly wait: (ms: number) => Promise<void>;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
}

/** Nobody waits for it any more: the table is open, or closed for another restore. */
export class NotUnderWayError extends Error {
  override readonly name = 'NotUnderWayError';
}

/** The file is not what was verified. */
class ProblemError extends Error {
  override readonly name = 'ProblemError';
}

const PUTS_AT_ONCE = 48;
/** A busy table is asked again so often, so that a throttled restore goes on and does not begin tasks anew. */
const ATTEMPTS_MAX = 40;
const BACKOFF_MS = { first: 25, max: 2_000 } as const;

export const NOTHING_NEWER: NewerIndex = { newer: new KeyIndex(sha256), journals: undefined };

/**
 * `bytes`: of the file from its beginning; undefined when it is gone.
 * @throws {NotUnderWayError}
 * @throws {StoreUnavailableError} bytes stopped coming, or the table does not take any more
 * @throws {Error} the file is not what was verified
 */
export async function loadTask(
  task: RestoreTask,
  bytes: AsyncIterable<Uint8Array> | undefined,
  index: NewerIndex,
  parts: LoadParts,
): Promise<RestoreTaskResult> {
  const load = new Load(task, index, parts);
  try {
    return load.result(await load.run(bytes));
  } finally {
    // Nothing lands after it was told that the task is over, or failed.
    await load.ended();
  }
}

class Load {
  readonly #task: RestoreTask;
  readonly #parts: LoadParts;
  readonly #reader: LayerReader;
  readonly #sum = new UnitSum(sha256);
  readonly #beats: string[] = [];
  readonly #problems: string[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #stampedMs = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(task: RestoreTask, index: NewerIndex, parts: LoadParts) {
    this.#task = task;
    this.#parts = parts;
    const { toMs, scope } = task;
    this.#reader = new LayerReader({
      ...{ kind: 'full', toMs, isOldest: true, ...index, scope: scopeTest(scope), sha256 },
    });
  }

  /** Gives the line up to which everything was put. */
  async run(bytes: AsyncIterable<Uint8Array> | undefined): Promise<number> {
    const { file, to } = this.#task;
    let reached = to;
    try {
      if (!bytes && file.itemCount > 0) this.#problem(`${file.key}: no such file`);
      if (bytes) reached = await this.#lines(bytes);
    } catch (error) {
      // A put that failed is not the file's fault, nor are bytes that stopped coming; what is, may have been said already.
      if (this.#failure || error instanceof StoreUnavailableError || error instanceof ProblemError)
        throw error;
      // What gunzip says, which knows no file.
      this.#problem(`${file.key}: ${error instanceof Error ? error.message : String(error)}`);
    }
    await this.ended();
    if (this.#failure) throw this.#failure.error;
    return reached;
  }

  /** Whoever has a file's last lines reads it to its end, and so holds the whole against its manifest. */
  async #lines(bytes: AsyncIterable<Uint8Array>): Promise<number> {
    const { file, from, to } = this.#task;
    // A partition without items may have a file without a byte.
    if (file.itemCount === 0) return to;
    const isLast = to >= file.itemCount;
    const stream = new ExportStream(bytes, { createHash, createGunzip });
    let number = 0;
    for await (const lines of stream.lines()) {
      for (const text of lines) {
        number += 1;
        const room = number > from && number <= to ? this.#line(text, number) : undefined;
        if (room) await room;
      }
      if (number >= to && !isLast) return to;
      if (number > from && number < to && this.#parts.isTimeUp()) return number;
    }
    if (number !== file.itemCount)
      this.#problem(`${file.key}: expected ${file.itemCount} items, got ${number}`);
    const got = stream.md5Base64();
    if (got !== file.md5Base64)
      this.#problem(`${file.key}: expected the MD5 ${file.md5Base64} of its manifest, got ${got}`);
    return to;
  }

  /** A promise, when there has to be room for another put first. */
  #line(text: string, number: number): Promise<void> | undefined {
    const found = this.#reader.read(text, this.#task.file.key, number);
    if (found.kind === 'problem') this.#problem(found.why);
    if (found.kind !== 'state') return undefined;
    const { wanted, inChain, isLast, beats } = found;
    if (inChain) this.#sum.inChain(wanted.record);
    if (!isLast) return undefined;
    this.#sum.handOn(wanted.record);
    if (beats !== undefined) this.#beats.push(recordPk(wanted.record.key));
    return this.#begin(wanted);
  }

  async #begin({ item, record }: Wanted): Promise<void> {
    while (this.#underWay.size >= PUTS_AT_ONCE) await Promise.race(this.#underWay);
    if (this.#failure) throw this.#failure.error;
    const { stamps, through } = this.#parts;
    const commitVersion = stamps.stamp(record.commitVersion);
    this.#stampedMs = Math.max(this.#stampedMs, clockOf(commitVersion).ms);
    const putting = this.#put(stamped(item, record, commitVersion, through))
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#underWay.delete(putting));
    this.#underWay.add(putting);
  }

  async #put(item: ExportedItem): Promise<void> {
    const { table, isUnderWay, wait, random } = this.#parts;
    for (let tried = 1; ; tried += 1) {
      if (!(await isUnderWay())) throw new NotUnderWayError('the restore is not under way any more');
      try {
        return await table.putIfAbsent(item);
      } catch (error) {
        const passes = error instanceof StoreUnavailableError && (error.retryable || error.mayHaveLanded);
        if (!passes || tried === ATTEMPTS_MAX) throw error;
        await wait(random() * Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** tried));
      }
    }
  }

  /** @throws {Error} unless such things are passed over */
  #problem(why: string): void {
    if (!this.#task.forced) throw new ProblemError(`${why}: it is not what was verified`);
    if (this.#problems.length < TASK_PROBLEMS_MAX) this.#problems.push(why);
  }

  async ended(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  result(to: number): RestoreTaskResult {
    return {
      format: 1,
      to,
      facts: this.#sum.facts,
      beats: this.#beats,
      problems: this.#problems,
      stampedMs: this.#stampedMs,
    };
  }
}

/** Whether a file is still what its manifest says. */
export async function lookTask(
  { file, to }: RestoreTask,
  bytes: AsyncIterable<Uint8Array> | undefined,
): Promise<RestoreTaskResult> {
  const md5 = createHash('md5');
  for await (const piece of bytes ?? []) md5.update(piece);
  const got = bytes ? md5.digest('base64') : 'no such file';
  const isRotten = got !== file.md5Base64 && (bytes !== undefined || file.itemCount > 0);
  return {
    ...{ format: 1, to, facts: NO_FACTS, beats: [], problems: [], stampedMs: 0 },
    ...(isRotten && {
      rot: `${file.key}: expected the MD5 ${file.md5Base64} of its manifest, got ${got}`,
    }),
  };
}
