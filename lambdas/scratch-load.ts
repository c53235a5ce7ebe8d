// A file of a backup into a scratch table, and the table read back, each as far as time allows: what was done is told,
// and the next invocation goes on from there.
import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import type { BackupProblem } from '../protocol/backup-verdicts.ts';
import { type ExportedItem, ExportFileError, parseLine } from '../protocol/export-files.ts';
import { ExportStream } from '../protocol/export-stream.ts';
import { contentOfExported } from '../protocol/exported-records.ts';
import { ATTRIBUTES } from '../protocol/items.ts';
import { sha256Of } from './core/canonical.ts';
import type { LoadedPart, ScratchFacts, ScratchPage, ScratchStep } from './core/scratch.ts';
import { StateDigest } from './core/state-digest.ts';
import type { ScratchTables } from './store/scratch-table.ts';
import { StoreUnavailableError } from './store/store.ts';

/** Put at once, whichever is reached first; then time is looked at. */
const GROUP_ITEMS_MAX = 400;
const GROUP_BYTES_MAX = 8 * 1024 * 1024;
const SEGMENTS = 8;
/** Pages of each segment, of 1 MB each, between two looks at the time. */
const ROUNDS_MAX = 16;

/** What a table holds, item by item. */
class Facts {
  readonly #digest = new StateDigest();
  #records = 0;
  #controls = 0;

  /** One that is no whole record and no control item counts as neither, and so is missed. */
  add(item: ExportedItem): void {
    const content = contentOfExported(item);
    if (content.kind === 'control') this.#controls += 1;
    if (content.kind !== 'record') return;
    const { record } = content;
    if (record.content && sha256Of(record.content.payload) !== record.content.sha256) return;
    this.#records += 1;
    this.#digest.add(record);
  }

  get sum(): ScratchFacts {
    return { records: this.#records, controls: this.#controls, digest: this.#digest.toString() };
  }
}

/** Whatever a call to the table throws: it must never be taken for damage of the file. */
class TableTrouble extends Error {}

export interface LoadOptions {
  readonly tables: Pick<ScratchTables, 'put'>;
  readonly isTimeUp: () => boolean;
}

export interface Loaded {
  readonly part: LoadedPart;
  readonly problems: readonly BackupProblem[];
}

/**
 * `bytes`: of the file from its beginning; undefined when it is gone. Lines before `fromLine` are passed over.
 * @throws {StoreUnavailableError} bytes stopped coming, or the table does not take any more
 * @throws {ScratchTableLostError}
 */
export async function loadFile(
  { table, file, fromLine }: Extract<ScratchStep, { kind: 'load' }>,
  bytes: AsyncIterable<Uint8Array> | undefined,
  { tables, isTimeUp }: LoadOptions,
): Promise<Loaded> {
  const facts = new Facts();
  const problems: BackupProblem[] = [];
  let [lines, size] = [0, 0];
  let isWhole = true;

  async function putAll(texts: readonly string[]): Promise<void> {
    const first = fromLine + lines + 1;
    const items = texts.flatMap((text, at) => itemIn(text, file.key, first + at));
    const refused = await tables.put(table, items).catch((error: unknown) => {
      throw new TableTrouble('the table, not the file', { cause: error });
    });
    for (const { item, why } of refused) problems.push({ file: file.key, ...pkOf(item), what: refusal(why) });
    for (const item of items) facts.add(item);
    lines += texts.length;
    size += texts.reduce((sum, text) => sum + text.length, 0);
  }

  try {
    if (!bytes) throw new ExportFileError(file.key, undefined, 'a file, as when it was checked', 'none');
    // A partition without items may have a file without a byte.
    if (file.itemCount > 0) {
      const stream = new ExportStream(bytes, { createHash, createGunzip });
      for await (const group of groupsOf(stream.lines(), fromLine)) {
        await putAll(group);
        if (!isTimeUp()) continue;
        isWhole = fromLine + lines >= file.itemCount;
        break;
      }
    }
  } catch (error) {
    if (error instanceof TableTrouble) throw error.cause;
    // Bytes stopped coming.
    if (error instanceof StoreUnavailableError) throw error;
    const line = error instanceof ExportFileError && error.line !== undefined ? { line: error.line } : {};
    const why = error instanceof Error ? error.message : String(error);
    problems.push({
      file: file.key,
      ...line,
      what: `expected to read again as when it was checked, got: ${why}`,
    });
  }
  return { part: { ...facts.sum, lines, bytes: size, isWhole }, problems };
}

/** @throws {StoreUnavailableError} @throws {ScratchTableLostError} */
export async function readBack(
  { table, after }: Extract<ScratchStep, { kind: 'read_back' }>,
  { tables, isTimeUp }: { readonly tables: Pick<ScratchTables, 'page'>; readonly isTimeUp: () => boolean },
): Promise<ScratchPage> {
  const facts = new Facts();
  // Of each segment: where it goes on, null at its beginning; undefined when it has ended, which JSON has no word for.
  const places: (ExportedItem | null | 'ended')[] =
    after === undefined
      ? Array.from({ length: SEGMENTS }, () => null)
      : (JSON.parse(after) as (ExportedItem | null | 'ended')[]);
  for (let round = 0; round < ROUNDS_MAX && places.some((place) => place !== 'ended'); round += 1) {
    await Promise.all(
      places.map(async (place, segment) => {
        if (place === 'ended') return;
        const page = await tables.page(table, segment, places.length, place ?? undefined);
        for (const item of page.items) facts.add(item);
        places[segment] = page.after ?? 'ended';
      }),
    );
    if (isTimeUp()) break;
  }
  const isDone = places.every((place) => place === 'ended');
  return { ...facts.sum, after: isDone ? undefined : JSON.stringify(places) };
}

async function* groupsOf(
  batches: AsyncIterable<readonly string[]>,
  skip: number,
): AsyncGenerator<readonly string[]> {
  let group: string[] = [];
  let [seen, size] = [0, 0];
  for await (const batch of batches)
    for (const line of batch) {
      seen += 1;
      if (seen <= skip) continue;
      group.push(line);
      size += line.length;
      if (group.length < GROUP_ITEMS_MAX && size < GROUP_BYTES_MAX) continue;
      yield group;
      [group, size] = [[], 0];
    }
  if (group.length > 0) yield group;
}

/** Of a full backup's line: nothing else is loaded. @throws {ExportFileError} */
function itemIn(text: string, file: string, line: number): readonly ExportedItem[] {
  const read = parseLine(text, 'full', file, line);
  return read.kind === 'item' ? [read.item] : [];
}

function pkOf(item: ExportedItem): { readonly pk?: string } {
  const value = item[ATTRIBUTES.pk];
  return value && 'S' in value ? { pk: value.S } : {};
}

function refusal(why: string): string {
  return `expected an item that DynamoDB takes, got: ${why}`;
}
