// Every record as it was at the moment asked for, each once: what the journals say last, else the latest backup of the
// chain that has it, else the one before. From the newest to the oldest, so that nothing is written twice, and in memory
// that grows with what changed since the full backup and not with the table. A unit of work is one data file; whoever
// has the index of what is newer can do any of them, here or elsewhere.
import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import type { ExportFile } from '../../protocol/export-files.ts';
import { ExportStream } from '../../protocol/export-stream.ts';
import { KeyIndex } from '../../protocol/key-index.ts';
import { LayerReader, type UnitFacts, UnitSum } from '../../protocol/reading-layers.ts';
import type { Wanted } from '../../protocol/restored-items.ts';
import type { ScopeTest } from '../../protocol/restoring.ts';
import { sha256 } from './examine.ts';
import type { Layer } from './inventory.ts';
import type { Journals } from './journals.ts';
import { eachAtOnce, Lanes } from './lanes.ts';

/** Where records go. */
export interface Sink {
  /** Of one {@link put}. */
  readonly batchMax: number;
  /** Resolves once it is done with all of them. */
  put(batch: readonly Wanted[]): Promise<void>;
}

/** The full backup's files, for whoever does them elsewhere. */
export interface OldestLayer {
  readonly layer: Layer;
  /** What newer backups and the journals have, which must not be handed on. */
  readonly newer: KeyIndex;
  readonly journals: KeyIndex | undefined;
  /** Whether a file was done before. */
  isDone(index: number): boolean;
  /** A file is done; of one that was done before, `facts` count already. `beats`: partition keys of which the journals
   * must not hand anything on. */
  done(index: number, facts: UnitFacts, beats: readonly string[]): Promise<void>;
  /** Of one that was done before, and of which nobody knows any more what it beats. */
  again(index: number): Promise<void>;
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
  /** Does the full backup's files. @default they are done here */
  readonly elsewhere?: ((oldest: OldestLayer) => Promise<void>) | undefined;
  /** Lines and changes read. */
  readonly onItems: (count: number) => void;
  /** Of the lines that were passed over. */
  readonly onProblem: (why: string) => void;
}

const FILES_AT_ONCE = 4;

export function unitName({ known: { prefix } }: Layer, index: number): string {
  return `${prefix}#${index}`;
}

/** The name of what the journals came to, which is done anew whenever a restore goes on. */
export const JOURNAL_UNIT = 'journal';

/** @throws {Error} a file is not what its manifest says; nothing of it after that was handed on */
export async function restoreStates(sink: Sink, options: StatesOptions): Promise<void> {
  await new States(sink, options).run();
}

class States {
  readonly #sink: Sink;
  readonly #options: StatesOptions;
  readonly #lanes: Lanes;
  /** What newer layers have; settled: they have spoken for it. */
  readonly #newer = new KeyIndex(sha256);

  constructor(sink: Sink, options: StatesOptions) {
    this.#sink = sink;
    this.#options = options;
    this.#lanes = new Lanes(options.lanes);
  }

  async run(): Promise<void> {
    const { layers, journals, done, onUnit, elsewhere } = this.#options;
    const [oldest] = layers;
    for (const layer of layers.toReversed())
      if (elsewhere && layer === oldest) await elsewhere(this.#oldest(layer));
      else
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

  #oldest(layer: Layer): OldestLayer {
    const { journals, done, onUnit } = this.#options;
    const isDone = (index: number) => done.has(unitName(layer, index));
    return {
      layer,
      newer: this.#newer,
      journals: journals?.index,
      isDone,
      done: async (index, facts, beats) => {
        for (const pk of beats) {
          const at = journals?.index.find(pk);
          if (at !== undefined) journals?.index.settle(at);
        }
        if (!isDone(index)) await onUnit(unitName(layer, index), facts);
      },
      again: (index) => this.#again(layer, layer.files[index] as ExportFile),
    };
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
    const { layers, journals, scope, forced, onItems, onProblem } = this.#options;
    const unit = new Unit(sink, this.#lanes);
    const { kind, toMs } = layer.summary;
    const reader = new LayerReader({
      ...{ kind, toMs, isOldest: layer === layers[0], newer: this.#newer },
      ...{ journals: journals?.index, scope, sha256 },
    });
    let number = 0;
    const problem = (why: string) => {
      if (!forced) throw new Error(`${why}: it is not what was verified`);
      onProblem(why);
    };
    await eachLine(layer, file, forced ? problem : undefined, async (lines) => {
      for (const text of lines) {
        number += 1;
        const found = reader.read(text, file.key, number);
        if (found.kind === 'problem') problem(found.why);
        if (found.kind !== 'state') continue;
        const { wanted, inChain, isLast, beats } = found;
        if (inChain) unit.inChain(wanted);
        if (beats !== undefined) journals?.index.settle(beats);
        // Not a promise of what need not wait: there are millions of them.
        const full = isLast ? unit.add(wanted) : undefined;
        if (full) await full;
      }
      onItems(lines.length);
    });
    if (number !== file.itemCount) problem(`${file.key}: expected ${file.itemCount} items, got ${number}`);
    return await unit.end();
  }
}

/** Hands records on in batches, and counts them. */
class Unit {
  readonly #sink: Sink | undefined;
  readonly #lanes: Lanes;
  readonly #underWay = new Set<Promise<void>>();
  readonly #sum = new UnitSum(sha256);
  #batch: Wanted[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(sink: Sink | undefined, lanes: Lanes) {
    this.#sink = sink;
    this.#lanes = lanes;
  }

  inChain({ record }: Wanted): void {
    this.#sum.inChain(record);
  }

  /** A promise, when it has to wait for a lane. */
  add(wanted: Wanted): Promise<void> | undefined {
    if (!this.#sink) return undefined;
    this.#sum.handOn(wanted.record);
    this.#batch.push(wanted);
    return this.#batch.length < this.#sink.batchMax ? undefined : this.#flush();
  }

  async end(): Promise<UnitFacts> {
    if (this.#batch.length > 0) await this.#flush();
    await Promise.all(this.#underWay);
    if (this.#failure) throw this.#failure.error;
    return this.#sum.facts;
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
  const stream = new ExportStream(bytes, { createHash, createGunzip });
  let taking = false;
  try {
    for await (const lines of stream.lines()) {
      taking = true;
      await take(lines);
      taking = false;
    }
  } catch (error) {
    // A partition without items may have a file without a byte.
    if (taking || !(stream.size > 0 || itemCount > 0)) {
      if (taking) throw error;
      return;
    }
    broken(`${key}: ${error instanceof Error ? error.message : String(error)}`);
    return;
  }
  const got = stream.md5Base64();
  if (got !== md5Base64) broken(`${key}: expected the MD5 ${md5Base64} of its manifest, got ${got}`);
}

function assertWhole(why: string): never {
  throw new Error(`${why}: it is not what was verified`);
}
