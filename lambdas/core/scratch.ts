// How far a backup has been loaded into a scratch table and read back (DESIGN §6): a table of its own, made for one
// backup and deleted again. It shows what reading files cannot: that DynamoDB takes every item, that no two have one
// key, and that what comes out is what went in. What goes wrong with the table itself says nothing of the backup.
import type { ExportFile } from '../../protocol/export-files.ts';
import { StateDigest } from './state-digest.ts';

/** Of text in the export's files. Items behind that are not loaded, and the verdict says how many files were: a new table
 * on demand takes 4,000 writes a second, and the hours that stand on a day's backup wait for its verdict.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html */
export const SCRATCH_BYTES_MAX = 10 * 1024 ** 3;

/** What was put into a table, or found in it. */
export interface ScratchFacts {
  readonly records: number;
  readonly controls: number;
  /** Of the records. */
  readonly digest: string;
}

export interface ScratchState {
  readonly table: string;
  /** Whether it is there, made for this. */
  readonly isMade: boolean;
  /** Files loaded, in the manifest's order, and lines of the next one. */
  readonly files: number;
  readonly lines: number;
  readonly bytes: number;
  readonly loaded: ScratchFacts;
  readonly found: ScratchFacts;
  /** Where reading back goes on; undefined before its first page. */
  readonly after?: string;
  readonly readBack: boolean;
}

export type ScratchStep =
  /** Makes the table, empty: whatever has its name goes. */
  | { readonly kind: 'make_table'; readonly table: string }
  /** Puts the file's items into it, behind so many lines. */
  | { readonly kind: 'load'; readonly table: string; readonly file: ExportFile; readonly fromLine: number }
  | { readonly kind: 'read_back'; readonly table: string; readonly after: string | undefined };

export interface LoadedPart extends ScratchFacts {
  readonly lines: number;
  readonly bytes: number;
  /** Whether the file ended. */
  readonly isWhole: boolean;
}

export interface ScratchPage extends ScratchFacts {
  /** Undefined: it was the last. */
  readonly after: string | undefined;
}

const NOTHING: ScratchFacts = { records: 0, controls: 0, digest: new StateDigest().toString() };

export function beginScratch(table: string): ScratchState {
  const counts = { files: 0, lines: 0, bytes: 0 };
  return { table, isMade: false, ...counts, loaded: NOTHING, found: NOTHING, readBack: false };
}

/** Undefined when all is read back. `bytesMax`: see {@link SCRATCH_BYTES_MAX}. */
export function nextScratchStep(
  { table, isMade, files: done, lines, bytes, after, readBack }: ScratchState,
  files: readonly ExportFile[],
  bytesMax = SCRATCH_BYTES_MAX,
): ScratchStep | undefined {
  if (readBack) return undefined;
  if (!isMade) return { kind: 'make_table', table };
  const file = files[done];
  // What was begun is ended, so that only whole files count.
  if (file && (bytes < bytesMax || lines > 0)) return { kind: 'load', table, file, fromLine: lines };
  return { kind: 'read_back', table, after };
}

export function scratchLoaded(scratch: ScratchState, part: LoadedPart): ScratchState {
  return {
    ...scratch,
    files: scratch.files + (part.isWhole ? 1 : 0),
    lines: part.isWhole ? 0 : scratch.lines + part.lines,
    bytes: scratch.bytes + part.bytes,
    loaded: sumOf(scratch.loaded, part),
  };
}

export function scratchReadBack(scratch: ScratchState, page: ScratchPage): ScratchState {
  const { after: _, ...rest } = scratch;
  return {
    ...rest,
    found: sumOf(scratch.found, page),
    ...(page.after !== undefined && { after: page.after }),
    readBack: page.after === undefined,
  };
}

/** What is wrong with what came out; undefined when nothing is. `expected`: by the files, as they were checked. */
export function scratchFault(
  { files, loaded, found }: ScratchState,
  expected: ScratchFacts & { readonly files: number },
): string | undefined {
  const isWhole = files === expected.files;
  if (isWhole && !isSame(loaded, expected))
    return `expected to load ${wordsOf(expected)}, as its files had when they were checked, got ${wordsOf(loaded)}`;
  if (isSame(loaded, found)) return undefined;
  return `expected ${wordsOf(loaded)} in the scratch table, got ${wordsOf(found)}`;
}

function isSame(a: ScratchFacts, b: ScratchFacts): boolean {
  return a.records === b.records && a.controls === b.controls && a.digest === b.digest;
}

function wordsOf({ records, controls, digest }: ScratchFacts): string {
  return `${records} records of digest ${digest} and ${controls} control items`;
}

function sumOf(a: ScratchFacts, b: ScratchFacts): ScratchFacts {
  return {
    records: a.records + b.records,
    controls: a.controls + b.controls,
    digest: new StateDigest(a.digest).plus(new StateDigest(b.digest)).toString(),
  };
}
