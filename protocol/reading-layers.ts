// What a line of a backup says of a record, once it is known what newer sources have said: the rule by which of every
// record the last state is restored, once (DESIGN §6). Pure, so that a data file may be read wherever it stands: with the
// same index of what is newer, a line means the same everywhere.
import { contentText, DigestSum, stateText } from './digest-sums.ts';
import {
  type ExportedItem,
  type ExportedLine,
  ExportFileError,
  type ExportSummary,
  parseLine,
} from './export-files.ts';
import { contentOfExported, type ExportedRecord } from './exported-records.ts';
import { ATTRIBUTES, recordPk } from './items.ts';
import type { KeyIndex, Sha256 } from './key-index.ts';
import { isSweep, type Wanted } from './restored-items.ts';
import type { ScopeTest } from './restoring.ts';

/** What reading came to; sums over parts say what the whole did. */
export interface UnitFacts {
  /** Records handed on, and the digest of their contents. */
  readonly records: number;
  readonly digest: string;
  /** Records that the chain has here, whatever the journals say: what verdicts count. */
  readonly chainRecords: number;
  readonly chainDigest: string;
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

/** Counts records one by one. */
export class UnitSum {
  readonly #sha256: Sha256;
  readonly #digest = new DigestSum();
  readonly #chainDigest = new DigestSum();
  #records = 0;
  #chainRecords = 0;

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
  }

  handOn(record: ExportedRecord): void {
    this.#records += 1;
    this.#digest.addHash(this.#sha256(contentText(record), 'binary'));
  }

  inChain(record: ExportedRecord): void {
    this.#chainRecords += 1;
    this.#chainDigest.addHash(this.#sha256(stateText(record), 'binary'));
  }

  get facts(): UnitFacts {
    return {
      records: this.#records,
      digest: this.#digest.toString(),
      chainRecords: this.#chainRecords,
      chainDigest: this.#chainDigest.toString(),
    };
  }
}

export interface LayerReaderOptions extends Pick<ExportSummary, 'kind' | 'toMs'> {
  /** Nothing below it has to be told what it has. */
  readonly isOldest: boolean;
  /** What newer layers have; settled: they have spoken for it. The oldest one leaves it as it is. */
  readonly newer: KeyIndex;
  /** The last whole change of each record in the journals. */
  readonly journals: KeyIndex | undefined;
  readonly scope: ScopeTest;
  readonly sha256: Sha256;
}

export type LineFound =
  /** Not in scope, or newer sources have spoken for it. */
  | { readonly kind: 'nothing' }
  /** It is not what was verified. */
  | { readonly kind: 'problem'; readonly why: string }
  | {
      readonly kind: 'state';
      readonly wanted: Wanted;
      /** The chain's last state of the record is this one. */
      readonly inChain: boolean;
      /** It is to be handed on. */
      readonly isLast: boolean;
      /** Where the journals have it, when what they have is not later: they must not hand it on. */
      readonly beats: number | undefined;
    };

const NOTHING: LineFound = { kind: 'nothing' };

export class LayerReader {
  readonly #options: LayerReaderOptions;

  constructor(options: LayerReaderOptions) {
    this.#options = options;
  }

  /** `number`: of the line in its file, from 1. */
  read(text: string, file: string, number: number): LineFound {
    const { scope, kind } = this.#options;
    if (!scope.mayCover(text)) return NOTHING;
    let line: ExportedLine;
    try {
      line = parseLine(text, kind, file, number);
    } catch (error) {
      if (!(error instanceof ExportFileError)) throw error;
      return { kind: 'problem', why: error.message };
    }
    const pk = textIn(line.kind === 'item' ? line.item : line.keys, ATTRIBUTES.pk);
    if (!scope.covers(pk)) return NOTHING;
    const item = line.kind === 'item' ? line.item : line.after;
    if (!item) return this.#gone(pk, line.kind === 'change' ? line.before : undefined);
    const content = contentOfExported(item);
    if (content.kind !== 'record' || !isWhole(content.record, this.#options.sha256))
      return { kind: 'problem', why: `${file}, line ${number}: a damaged record` };
    return this.#state(pk, { item, record: content.record });
  }

  /** At this layer's end; older ones may have it. */
  #gone(pk: string, before: ExportedItem | undefined): LineFound {
    const { newer, toMs } = this.#options;
    const at = newer.find(pk) ?? newer.add(pk);
    if (before && isSweepOf(before, toMs)) newer.settle(at);
    return NOTHING;
  }

  #state(pk: string, wanted: Wanted): LineFound {
    const { newer, isOldest } = this.#options;
    const known = newer.find(pk);
    const inChain = known === undefined;
    const isSpokenFor = isOldest
      ? known !== undefined && newer.isSettled(known)
      : newer.settle(known ?? newer.add(pk));
    if (isSpokenFor) return NOTHING;
    return { kind: 'state', wanted, inChain, ...this.#against(wanted.record) };
  }

  #against({ key, commitVersion }: ExportedRecord) {
    const { journals } = this.#options;
    const at = journals?.find(recordPk(key));
    if (!journals || at === undefined) return { isLast: true, beats: undefined };
    return journals.compareRank(at, commitVersion, 0) > 0
      ? { isLast: false, beats: undefined }
      : { isLast: true, beats: at };
  }
}

/** Its payload held against its SHA-256. */
export function isWhole({ content }: Pick<ExportedRecord, 'content'>, sha256: Sha256): boolean {
  return content === undefined || sha256(content.payload, 'hex') === content.sha256;
}

function isSweepOf(before: ExportedItem, atMs: number): boolean {
  const content = contentOfExported(before);
  return content.kind === 'record' && content.record.content === undefined && isSweep(content.record, atMs);
}

function textIn(item: ExportedItem, attribute: string): string {
  const value = item[attribute];
  return value && 'S' in value ? value.S : '';
}
