// One data file of an export, looked through line by line in constant memory: every line parsed, every item decoded,
// every payload held against its SHA-256, every change within the time it is said to be of.
import type { BackupProblem } from '../../protocol/backup-verdicts.ts';
import {
  type ExportedItem,
  type ExportedLine,
  type ExportFile,
  ExportFileError,
  type ExportSummary,
  parseLine,
} from '../../protocol/export-files.ts';
import { contentOfExported, type ExportedRecord } from '../../protocol/exported-records.ts';
import { ATTRIBUTES } from '../../protocol/items.ts';
import { sha256Of } from './canonical.ts';
import { StateDigest } from './state-digest.ts';

/** What a file adds to the state, as numbers that can be summed over files. */
export interface FileFacts {
  readonly items: number;
  readonly records: number;
  readonly controls: number;
  /** Records that are there after it and were not before, minus those that are gone: an item of a full export counts. */
  readonly recordsAdded: number;
  /** Digest of what it adds, minus what it takes away. */
  readonly digest: string;
}

export interface FileReport extends FileFacts {
  readonly problems: readonly BackupProblem[];
  readonly problemCount: number;
}

/** Of one file; the verdict keeps as many of all files together. */
const PROBLEMS_MAX = 20;

export class FileCheck {
  readonly #file: ExportFile;
  readonly #summary: ExportSummary;
  readonly #digest = new StateDigest();
  readonly #problems: BackupProblem[] = [];
  #problemCount = 0;
  #items = 0;
  #records = 0;
  #controls = 0;
  #recordsAdded = 0;

  constructor(file: ExportFile, summary: ExportSummary) {
    this.#file = file;
    this.#summary = summary;
  }

  /** The next line, without its line break. Gives what was read of it, so that it can be loaded; undefined when it cannot
   * be. */
  line(text: string): ExportedLine | undefined {
    this.#items += 1;
    let line: ExportedLine;
    try {
      line = parseLine(text, this.#summary.kind, this.#file.key, this.#items);
    } catch (error) {
      if (!(error instanceof ExportFileError)) throw error;
      this.#problem(error.message.replace(/^.*?: /, ''));
      return undefined;
    }
    if (line.kind === 'item') {
      const record = this.#decode(line.item);
      if (record) this.#add(record);
    } else this.#change(line);
    return line;
  }

  /** `md5Base64`: of the file's bytes as they came from the bucket. */
  end(md5Base64: string): FileReport {
    const { md5Base64: stated, itemCount } = this.#file;
    if (md5Base64 !== stated)
      this.#problem(`expected the MD5 ${stated} of its manifest, got ${md5Base64}`, false);
    if (this.#items !== itemCount)
      this.#problem(`expected ${itemCount} items by its manifest, got ${this.#items}`, false);
    return this.#report();
  }

  /** It could not be read to its end: not there, or not gzip. */
  broken(why: string): FileReport {
    this.#problem(`expected a whole gzip file, got: ${why}`, false);
    return this.#report();
  }

  #report(): FileReport {
    return {
      items: this.#items,
      records: this.#records,
      controls: this.#controls,
      recordsAdded: this.#recordsAdded,
      digest: this.#digest.toString(),
      problems: this.#problems,
      problemCount: this.#problemCount,
    };
  }

  #change({ keys, atMicros, before, after }: Extract<ExportedLine, { kind: 'change' }>): void {
    const { fromMs = 0, toMs } = this.#summary;
    const pk = textIn(keys, ATTRIBUTES.pk);
    if (atMicros < fromMs * 1_000 || atMicros >= toMs * 1_000)
      this.#problem(
        `expected a change from ${fromMs} on and before ${toMs}, got ${atMicros / 1_000}`,
        true,
        pk,
      );
    // Neither was there at the start nor at the end: DynamoDB leaves such items out, and nothing follows from one.
    if (!before && !after) return;
    for (const image of [before, after])
      if (
        image &&
        (textIn(image, ATTRIBUTES.pk) !== pk || textIn(image, ATTRIBUTES.sk) !== textIn(keys, ATTRIBUTES.sk))
      )
        this.#problem('expected images of the item its keys name', true, pk);
    // What stood there before may be damaged, and this its repair: the backup it came from says so, if it is.
    const old = before && contentOfExported(before);
    if (old?.kind === 'record') this.#take(old.record);
    if (after) {
      const record = this.#decode(after);
      if (record) this.#add(record);
    } else if (old?.kind === 'record') this.#records += 1;
    else this.#controls += 1;
  }

  /** Undefined for a control item, and for one that is damaged. */
  #decode(item: ExportedItem): ExportedRecord | undefined {
    const content = contentOfExported(item);
    if (content.kind === 'control') {
      this.#controls += 1;
      return undefined;
    }
    if (content.kind === 'damaged') {
      this.#problem(content.why, true, content.pk);
      return undefined;
    }
    this.#records += 1;
    const { record } = content;
    if (record.content && sha256Of(record.content.payload) !== record.content.sha256)
      this.#problem('the payload does not match its SHA-256', true, textIn(item, ATTRIBUTES.pk));
    return record;
  }

  #add(record: ExportedRecord): void {
    this.#digest.add(record);
    this.#recordsAdded += 1;
  }

  #take(record: ExportedRecord): void {
    this.#digest.remove(record);
    this.#recordsAdded -= 1;
  }

  #problem(what: string, ofLine = true, pk?: string): void {
    this.#problemCount += 1;
    if (this.#problems.length >= PROBLEMS_MAX) return;
    this.#problems.push({
      file: this.#file.key,
      ...(ofLine && { line: this.#items }),
      ...(pk !== undefined && { pk }),
      what,
    });
  }
}

function textIn(item: ExportedItem, attribute: string): string | undefined {
  const value = item[attribute];
  return value && 'S' in value ? value.S : undefined;
}
