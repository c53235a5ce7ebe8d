// What passes between a restore and those who load the full backup for it: tasks, what came of them, and the index of
// what is newer than the full backup. Tasks go by a queue, which may deliver them late, twice, or in any order; what came
// of them stands in the bucket that the backup is in.
import type { ExportFile } from './export-files.ts';
import { KEY_ENTRY_BYTES, KeyIndex, type Sha256 } from './key-index.ts';
import type { UnitFacts } from './reading-layers.ts';
import type { Scope } from './restoring.ts';

/** In a backup bucket: what a restore leaves there while it is under way. */
export const RESTORING_PREFIX = 'restoring/';

/** `load`: into the table. `look`: whether the file is still what its manifest says; nothing is written into the table. */
export type RestoreTaskKind = 'load' | 'look';

export interface RestoreTask {
  readonly format: 1;
  readonly what: RestoreTaskKind;
  readonly restoreId: string;
  /** Where the file is in its manifest. */
  readonly fileIndex: number;
  readonly file: ExportFile;
  /** Of a full backup: the moment it shows, Unix ms. */
  readonly toMs: number;
  /** Lines before the first that is loaded, and up to the last. All of the file for a `look`. */
  readonly from: number;
  readonly to: number;
  /** {@link indexFingerprint}; undefined where nothing is newer. */
  readonly index?: string;
  /** Tasks whose results belong together: of one index, or of one backup that is looked at. No slash in it. */
  readonly set: string;
  readonly scope: Scope;
  /** Lines that say nothing are passed over instead of failing it. */
  readonly forced: boolean;
}

export interface RestoreTaskResult {
  readonly format: 1;
  /** Up to which line it came; below the task's when its time was up. */
  readonly to: number;
  readonly facts: UnitFacts;
  /** Partition keys of which the journals must not hand anything on. */
  readonly beats: readonly string[];
  /** Of lines that were passed over, the first ones. */
  readonly problems: readonly string[];
  /** The last commit version that was stamped, Unix ms; 0: none was. */
  readonly stampedMs: number;
  /** Of a `look`: what is wrong with the file. */
  readonly rot?: string;
}

/** Of the lines that were passed over in one task, so many are told. */
export const TASK_PROBLEMS_MAX = 20;

/** Under it stand the results of a set of tasks. */
export function resultsPrefix({
  restoreId,
  what,
  set,
}: Pick<RestoreTask, 'restoreId' | 'what' | 'set'>): string {
  return `${RESTORING_PREFIX}${restoreId}/${what}-${set}/`;
}

export function resultKey(task: RestoreTask): string {
  return `${resultsPrefix(task)}${taskName(task)}.json`;
}

/** Among those of its set. */
export function taskName({ fileIndex, from }: Pick<RestoreTask, 'fileIndex' | 'from'>): string {
  return `${fileIndex}-${from}`;
}

/** Why an attempt at a task failed, for whoever waits for it. */
export function failureKey(task: RestoreTask): string {
  const { restoreId, what, set } = task;
  return `${RESTORING_PREFIX}${restoreId}/failed-${what}-${set}/${taskName(task)}.json`;
}

export function indexKey(restoreId: string, fingerprint: string): string {
  return `${RESTORING_PREFIX}${restoreId}/index-${fingerprint}`;
}

/** @throws {TypeError} it is no task of this release */
export function parseTask(text: string): RestoreTask {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TypeError(`a task: expected JSON, got ${text.slice(0, 40)}`);
  }
  if (!isTask(value)) throw new TypeError(`a task: expected format 1, got ${text.slice(0, 200)}`);
  return value;
}

function isTask(value: unknown): value is RestoreTask {
  if (typeof value !== 'object' || value === null) return false;
  const { format, what, restoreId, file, scope, ...rest } = value as Partial<
    Record<keyof RestoreTask, unknown>
  >;
  return (
    format === 1 &&
    (what === 'load' || what === 'look') &&
    [restoreId, rest.set].every((it) => typeof it === 'string') &&
    typeof file === 'object' &&
    file !== null &&
    typeof scope === 'object' &&
    scope !== null &&
    (rest.index === undefined || typeof rest.index === 'string') &&
    typeof rest.forced === 'boolean' &&
    [rest.fileIndex, rest.from, rest.to, rest.toMs].every(Number.isSafeInteger)
  );
}

/** What is newer than the full backup. */
export interface NewerIndex {
  /** Of the backups that go on top of it. */
  readonly newer: KeyIndex;
  readonly journals: KeyIndex | undefined;
}

/** Undefined where nothing is newer. */
export function indexFingerprint({ newer, journals }: NewerIndex): string | undefined {
  if (newer.size + (journals?.size ?? 0) === 0) return undefined;
  return `${newer.fingerprint}${journals?.fingerprint ?? ''}`;
}

const COUNT_BYTES = 4;

/** How many keys the backups have, their entries, those of the journals. */
export function indexToBytes({ newer, journals }: NewerIndex): Uint8Array<ArrayBuffer> {
  const parts = [newer.toBytes(), journals?.toBytes() ?? new Uint8Array()] as const;
  const bytes = new Uint8Array(COUNT_BYTES + parts[0].length + parts[1].length);
  new DataView(bytes.buffer).setUint32(0, newer.size);
  bytes.set(parts[0], COUNT_BYTES);
  bytes.set(parts[1], COUNT_BYTES + parts[0].length);
  return bytes;
}

/** @throws {TypeError} it is not the index with that fingerprint */
export function indexFromBytes(sha256: Sha256, bytes: Uint8Array, fingerprint: string): NewerIndex {
  const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  const split = COUNT_BYTES + count * KEY_ENTRY_BYTES;
  if (split > bytes.length)
    throw new TypeError(`an index: expected at least ${split} bytes of ${count} keys, got ${bytes.length}`);
  const newer = KeyIndex.fromBytes(sha256, bytes.subarray(COUNT_BYTES, split));
  const journals = KeyIndex.fromBytes(sha256, bytes.subarray(split));
  // An index without keys says as much as none.
  const got = [
    { newer, journals },
    { newer, journals: undefined },
  ].find((it) => indexFingerprint(it) === fingerprint);
  if (!got)
    throw new TypeError(
      `an index: expected the one of ${fingerprint}, got ${indexFingerprint({ newer, journals })}`,
    );
  return got;
}
