// Every record as it was at the moment asked for, each once: what the journals say last, else the latest backup of the
// chain that has it, else the one before. From the newest to the oldest, so that nothing is written twice, and in memory
// that grows with what changed since the full backup and not with the table. A unit of work is one data file; whoever
// has the index of what is newer can do any of them, here or elsewhere.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DigestSum } from '../../protocol/digest-sums.ts';
import {
  type ExportedItem,
  type ExportedLine,
  type ExportFile,
  ExportFileError,
  parseLine,
} from '../../protocol/export-files.ts';
import { contentOfExported, type ExportedRecord } from '../../protocol/exported-records.ts';
import { ATTRIBUTES, recordPk } from '../../protocol/items.ts';
import { lineBatches } from '../../protocol/lines.ts';
import { isSweep, type Wanted } from '../../protocol/restored-items.ts';
import type { ScopeTest } from '../../protocol/restoring.ts';
import { addContent, addState, isWhole } from './examine.ts';
import type { Layer } from './inventory.ts';
import type { Journals } from './journals.ts';
import { KeyIndex } from './key-index.ts';
import { eachAtOnce, Lanes } from './lanes.ts';

/** Where records go. */
export interface Sink {
  /** Of one {@link put}. */
  readonly batchMax: number;
  /** Resolves once it is done with all of them. */
  put(batch: readonly Wanted[]): Promise<void>;
}

/** What a unit came to; sums over units say what the whole did. */
export interface UnitFacts {
  /** Records handed on, and the digest of their contents. */
  readonly records: number;
  readonly digest: string;
  /** Records that the chain has here, whatever the journals say: what verdicts count. */
  readonly chainRecords: number;
  readonly chainDigest: string;
}

export interface StatesOptions {
  /** The full one first. */
  readonly layers: readonly Layer[];
  /** Read into their index already. */
  readonly journals: Journals | undefined;
  readonly scope: ScopeTest;
  readonly lanes: number;
  /** Lines that say nothing are passed over instead of ending it. */
  readonly forced: boolean;
  /** Those done before, by {@link unitName}: they are read again only for what they say of older ones. */
  readonly done: ReadonlySet<string>;
  readonly onUnit: (name: string, facts: UnitFacts) => Promise<void>;
  /** Lines and changes read. */
  readonly onItems: (count: number) => void;
  /** Of the lines that were passed over. */
  readonly onProblem: (why: string) => void;
}

const FILES_AT_ONCE = 4;
/** Unpacked on another thread, so far ahead of what is being looked at. */
const CHUNK_BYTES = 256 * 1024;

export function unitName({ known: { prefix } }: Layer, index: number): string {
  return `${prefix}#${index}`;
}

/** The name of what the journals came to, which is done anew whenever a restore goes on. */
export const JOURNAL_UNIT = 'journal';

/** @throws {Error} a file is not what its manifest says; nothing of it after that was handed on */
export async function restoreStates(sink: Sink, options: StatesOptions): Promise<void> {
  await new States(sink, options).run();
}

export const NO_FACTS: UnitFacts = {
  records: 0,
  digest: new DigestSum().toString(),
  chainRecords: 0,
  chainDigest: new DigestSum().toString(),
};

export function plus(a: UnitFacts, b: UnitFacts): UnitFacts {
  const sum = (x: string, y: string) => new DigestSum(x).plus(new DigestSum(y)).toString();
  return {
    records: a.records + b.records,
    digest: sum(a.digest, b.digest),
    chainRecords: a.chainRecords + b.chainRecords,
    chainDigest: sum(a.chainDigest, b.chainDigest),
  };
}

class States {
  readonly #sink: Sink;
  readonly #options: StatesOptions;
  readonly #lanes: Lanes;
  /** What newer layers have; settled: they have spoken for it. */
  readonly #newer = new KeyIndex();

  constructor(sink: Sink, options: StatesOptions) {
    this.#sink = sink;
    this.#options = options;
    this.#lanes = new Lanes(options.lanes);
  }

  async run(): Promise<void> {
    const { layers, journals, done, onUnit } = this.#options;
    for (const layer of layers.toReversed())
      await eachAtOnce(layer.files.entries(), FILES_AT_ONCE, async ([index, file]) => {
        const name = unitName(layer, index);
        if (done.has(name)) await this.#again(layer, file);
        else await onUnit(name, await this.#unit(layer, file, this.#sink));
      });
    if (!journals) return;
    const unit = new Unit(this.#sink, this.#lanes);
    await journals.take((wanted) => unit.add(wanted), this.#options.onItems);
    await onUnit(JOURNAL_UNIT, await unit.end());
  }

  /** What is done already is read for the sake of older layers and of the journals, if there are any. */
  async #again(layer: Layer, file: ExportFile): Promise<void> {
    const { layers, journals, onItems } = this.#options;
    const spokenFor = layer === layers[0] && (journals?.index.size ?? 0) === 0;
    if (spokenFor) onItems(file.itemCount);
    else await this.#unit(layer, file, undefined);
  }

  /** Without a sink nothing is handed on. */
  async #unit(layer: Layer, file: ExportFile, sink: Sink | undefined): Promise<UnitFacts> {
    const { scope, forced, onItems, onProblem } = this.#options;
    const unit = new Unit(sink, this.#lanes);
    let number = 0;
    const problem = (why: string) => {
      if (!forced) throw new Error(`${why}: it is not what was verified`);
      onProblem(why);
    };
    await eachLine(layer, file, forced ? problem : undefined, async (lines) => {
      for (const text of lines) {
        number += 1;
        if (!scope.mayCover(text)) continue;
        const line = this.#parsed(layer, file, number, text, problem);
        if (line)
          await this.#line(layer, line, unit, () => problem(`${file.key}, line ${number}: a damaged record`));
      }
      onItems(lines.length);
    });
    if (number !== file.itemCount) problem(`${file.key}: expected ${file.itemCount} items, got ${number}`);
    return await unit.end();
  }

  #parsed(
    { summary }: Layer,
    { key }: ExportFile,
    number: number,
    text: string,
    problem: (why: string) => void,
  ): ExportedLine | undefined {
    try {
      return parseLine(text, summary.kind, key, number);
    } catch (error) {
      if (!(error instanceof ExportFileError)) throw error;
      problem(error.message);
      return undefined;
    }
  }

  #line(layer: Layer, line: ExportedLine, unit: Unit, damaged: () => void): Promise<void> | undefined {
    const item = line.kind === 'item' ? line.item : line.after;
    const pk = textIn(line.kind === 'item' ? line.item : line.keys, ATTRIBUTES.pk);
    if (!this.#options.scope.covers(pk)) return undefined;
    const isOldest = layer === this.#options.layers[0];
    const known = this.#newer.find(pk);
    if (!item) {
      // Gone at this layer's end; older ones may have it.
      const at = known ?? this.#newer.add(pk);
      const before = line.kind === 'change' ? line.before : undefined;
      if (before && isSweepOf(before, layer.summary.toMs)) this.#newer.settle(at);
      return undefined;
    }
    const content = contentOfExported(item);
    if (content.kind !== 'record' || !isWhole(content.record)) {
      damaged();
      return undefined;
    }
    const { record } = content;
    if (known === undefined) unit.countChain(record);
    // The oldest has nothing below it that would have to be told.
    const at = known ?? (isOldest ? undefined : this.#newer.add(pk));
    if (at !== undefined && this.#newer.settle(at)) return undefined;
    return this.#isBeaten(record) ? undefined : unit.add({ item, record });
  }

  /** By a later change in the journals; if not, the journals' change is beaten. */
  #isBeaten({ key, commitVersion }: ExportedRecord): boolean {
    const index = this.#options.journals?.index;
    const at = index?.find(recordPk(key));
    if (!index || at === undefined) return false;
    if (index.compareRank(at, commitVersion, 0) > 0) return true;
    index.settle(at);
    return false;
  }
}

/** Hands records on in batches, and counts them. */
class Unit {
  readonly #sink: Sink | undefined;
  readonly #lanes: Lanes;
  readonly #underWay = new Set<Promise<void>>();
  readonly #digest = new DigestSum();
  readonly #chainDigest = new DigestSum();
  #batch: Wanted[] = [];
  #records = 0;
  #chainRecords = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(sink: Sink | undefined, lanes: Lanes) {
    this.#sink = sink;
    this.#lanes = lanes;
  }

  countChain(record: ExportedRecord): void {
    this.#chainRecords += 1;
    addState(this.#chainDigest, record);
  }

  /** A promise, when it has to wait for a lane. */
  add(wanted: Wanted): Promise<void> | undefined {
    if (!this.#sink) return undefined;
    this.#records += 1;
    addContent(this.#digest, wanted.record);
    this.#batch.push(wanted);
    return this.#batch.length < this.#sink.batchMax ? undefined : this.#flush();
  }

  async end(): Promise<UnitFacts> {
    if (this.#batch.length > 0) await this.#flush();
    await Promise.all(this.#underWay);
    if (this.#failure) throw this.#failure.error;
    return {
      records: this.#records,
      digest: this.#digest.toString(),
      chainRecords: this.#chainRecords,
      chainDigest: this.#chainDigest.toString(),
    };
  }

  async #flush(): Promise<void> {
    if (this.#failure) throw this.#failure.error;
    const [batch, sink] = [this.#batch, this.#sink];
    this.#batch = [];
    const { done } = await this.#lanes.begin(async () => sink?.put(batch));
    const noted = done
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#underWay.delete(noted));
    this.#underWay.add(noted);
  }
}

/** Batches of lines of one data file, held to its MD5. `onBroken`: told of what cannot be read instead of throwing it. */
async function eachLine(
  { bucket }: Layer,
  { key, itemCount, md5Base64 }: ExportFile,
  onBroken: ((why: string) => void) | undefined,
  take: (lines: readonly string[]) => Promise<void>,
): Promise<void> {
  const bytes = await bucket.bytes(key);
  const broken = onBroken ?? ((why: string) => assertWhole(why));
  if (!bytes) {
    if (itemCount > 0) broken(`${key}: no such file`);
    return;
  }
  const md5 = createHash('md5');
  let size = 0;
  async function* hashed(source: AsyncIterable<Uint8Array>) {
    for await (const piece of source) {
      md5.update(piece);
      size += piece.length;
      yield piece;
    }
  }
  const source = Readable.from(hashed(bytes), { objectMode: false });
  const unpacked = createGunzip({ chunkSize: CHUNK_BYTES });
  // An error of the source ends what is unpacked with the same error.
  source.on('error', (error) => unpacked.destroy(error));
  let taking = false;
  try {
    for await (const lines of lineBatches(source.pipe(unpacked))) {
      taking = true;
      await take(lines);
      taking = false;
    }
  } catch (error) {
    source.destroy();
    // A partition without items may have a file without a byte.
    if (taking || !(size > 0 || itemCount > 0)) {
      if (taking) throw error;
      return;
    }
    broken(`${key}: ${error instanceof Error ? error.message : String(error)}`);
    return;
  }
  const got = md5.digest('base64');
  if (got !== md5Base64) broken(`${key}: expected the MD5 ${md5Base64} of its manifest, got ${got}`);
}

function assertWhole(why: string): never {
  throw new Error(`${why}: it is not what was verified`);
}

function isSweepOf(before: ExportedItem, atMs: number): boolean {
  const content = contentOfExported(before);
  return content.kind === 'record' && content.record.content === undefined && isSweep(content.record, atMs);
}

function textIn(item: ExportedItem, attribute: string): string {
  const value = item[attribute];
  return value && 'S' in value ? value.S : '';
}
