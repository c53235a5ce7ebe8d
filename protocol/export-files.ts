// What DynamoDB's export to S3 writes, read strictly: two manifests, and data files of one JSON object a line. Nothing
// is guessed; what does not read as documented is an error that names the file and the line.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
import { EdenFieldError } from './errors.ts';

/** A value in DynamoDB JSON; exactly one of these. */
export type ExportedValue =
  | { readonly S: string }
  | { readonly N: string }
  | { readonly B: string }
  | { readonly BOOL: boolean }
  | { readonly NULL: boolean }
  | { readonly L: readonly ExportedValue[] }
  | { readonly M: ExportedItem }
  | { readonly SS: readonly string[] }
  | { readonly NS: readonly string[] }
  | { readonly BS: readonly string[] };
export type ExportedItem = Readonly<Record<string, ExportedValue>>;

/** `manifest-summary.json`. */
export interface ExportSummary {
  readonly exportArn: string;
  readonly tableArn: string;
  readonly kind: 'full' | 'incremental';
  /** Of an incremental export: from when on. */
  readonly fromMs?: number;
  /** Of a full export: the moment it shows. Of an incremental one: up to when, exclusively. */
  readonly toMs: number;
  readonly bucket: string;
  readonly prefix: string;
  readonly manifestFilesKey: string;
  readonly itemCount: number;
}

/** One line of `manifest-files.json`. */
export interface ExportFile {
  readonly key: string;
  readonly itemCount: number;
  /** Of the file as it stands in the bucket, compressed. */
  readonly md5Base64: string;
}

/** A line of a data file: of a full export an item; of an incremental one what became of an item, undefined where there
 * is none. */
export type ExportedLine =
  | { readonly kind: 'item'; readonly item: ExportedItem }
  | {
      readonly kind: 'change';
      readonly keys: ExportedItem;
      readonly atMicros: number;
      readonly before: ExportedItem | undefined;
      readonly after: ExportedItem | undefined;
    };

/** A file of an export is not what DynamoDB writes, or not whole. */
export class ExportFileError extends EdenFieldError {
  readonly code = 'EXPORT_FILE';
  readonly retryable = false;
  readonly file: string;
  /** From 1; undefined when it is about the whole file. */
  readonly line: number | undefined;
  constructor(file: string, line: number | undefined, expected: string, got: string) {
    super(`${file}${line === undefined ? '' : `, line ${line}`}: expected ${expected}, got ${got}`);
    this.file = file;
    this.line = line;
  }
}

/** In the folder of an export, `<prefix>AWSDynamoDB/<export id>/`. DynamoDB writes the summary last. */
export const MANIFEST_SUMMARY = 'manifest-summary.json';
export const MANIFEST_FILES = 'manifest-files.json';

export function exportFolder(prefix: string, exportArn: string): string {
  const id = /\/export\/([0-9]{10,}-[0-9a-f]+)$/.exec(exportArn)?.[1];
  if (id === undefined)
    throw new TypeError(`an export's ARN: expected it to end in /export/<id>, got ${exportArn}`);
  return `${prefix}AWSDynamoDB/${id}/`;
}

/** Where the checksum of a manifest may stand: the documentation says `.checksum`, and exports were seen with `.md5`. */
export function checksumKeys(manifestKey: string): readonly string[] {
  const stem = manifestKey.replace(/\.json$/, '');
  return [`${stem}.md5`, `${stem}.checksum`, `${manifestKey}.md5`];
}

/** @throws {ExportFileError} */
export function parseSummary(text: string, file: string): ExportSummary {
  const summary = new Fields(parseJson(text, file, undefined), file, undefined);
  summary.oneOf('outputFormat', ['DYNAMODB_JSON']);
  const incremental =
    summary.optional('exportType') !== undefined &&
    summary.oneOf('exportType', ['FULL_EXPORT', 'INCREMENTAL_EXPORT']) === 'INCREMENTAL_EXPORT';
  // Without the old image nobody could tell a change from an insert.
  if (incremental) summary.oneOf('outputView', ['NEW_AND_OLD_IMAGES']);
  const prefix = summary.optional('s3Prefix') ?? '';
  const toMs = summary.time(incremental ? 'exportToTime' : 'exportTime');
  const window = incremental ? { fromMs: summary.time('exportFromTime') } : {};
  return {
    exportArn: summary.text('exportArn'),
    tableArn: summary.text('tableArn'),
    kind: incremental ? 'incremental' : 'full',
    ...window,
    toMs,
    bucket: summary.text('s3Bucket'),
    prefix: slashed(prefix),
    manifestFilesKey: prefixed(prefix, summary.text('manifestFilesS3Key')),
    itemCount: summary.count('itemCount'),
  };
}

/**
 * One object a line, the last one with or without a line break.
 * @throws {ExportFileError} also for a data file named twice, or outside of `prefix`
 */
export function parseFiles(text: string, file: string, prefix: string): readonly ExportFile[] {
  const seen = new Set<string>();
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  return lines.map((line, index) => {
    const fields = new Fields(parseJson(line, file, index + 1), file, index + 1);
    const key = prefixed(prefix, fields.text('dataFileS3Key'));
    const md5Base64 = fields.text('md5Checksum');
    if (!/^[A-Za-z0-9+/]{22}==$/.test(md5Base64)) fields.refuse('an MD5 in base64 in md5Checksum', md5Base64);
    if (!key.startsWith(slashed(prefix))) fields.refuse(`a data file under ${prefix}`, key);
    if (seen.has(key)) fields.refuse('each data file once', key);
    seen.add(key);
    return { key, itemCount: fields.count('itemCount'), md5Base64 };
  });
}

/**
 * One line of a data file.
 * @throws {ExportFileError}
 */
export function parseLine(
  text: string,
  kind: ExportSummary['kind'],
  file: string,
  line: number,
): ExportedLine {
  const at = { file, line };
  const value = parseData(text, at);
  if (kind === 'full') return { kind: 'item', item: itemIn(value, 'Item', at) };
  const keys = itemIn(value, 'Keys', at);
  const written = itemIn(value, 'Metadata', at)['WriteTimestampMicros'];
  const atMicros = written && 'N' in written ? Number(written.N) : Number.NaN;
  if (!Number.isSafeInteger(atMicros) || atMicros < 0)
    throw new ExportFileError(file, line, 'microseconds in Metadata.WriteTimestampMicros', shapeOf(written));
  return {
    kind: 'change',
    keys,
    atMicros,
    before: hasField(value, 'OldImage') ? itemIn(value, 'OldImage', at) : undefined,
    after: hasField(value, 'NewImage') ? itemIn(value, 'NewImage', at) : undefined,
  };
}

/**
 * An item that came another way than in an export, such as in a journal, held to the same.
 * @throws {ExportFileError}
 */
export function exportedItem(value: unknown, file: string, line: number): ExportedItem {
  return itemIn({ Item: value }, 'Item', { file, line });
}

interface Place {
  readonly file: string;
  readonly line: number;
}

function itemIn(value: unknown, field: string, at: Place): ExportedItem {
  const item = isObject(value) ? value[field] : undefined;
  if (!isObject(item)) throw new ExportFileError(at.file, at.line, `an item in ${field}`, shapeOf(item));
  return asItem(item, field, at);
}

/** Checks every value within, and gives the same object back. */
function asItem(item: Readonly<Record<string, unknown>>, path: string, at: Place): ExportedItem {
  for (const name in item)
    if (!isValue(item[name], at, path, name))
      throw new ExportFileError(at.file, at.line, `a DynamoDB value in ${path}.${name}`, shapeOf(item[name]));
  return item as ExportedItem;
}

function isValue(value: unknown, at: Place, path: string, name: string): value is ExportedValue {
  if (!isObject(value)) return false;
  let type: string | undefined;
  let of: unknown;
  for (const key in value) {
    if (type !== undefined) return false;
    type = key;
    of = value[key];
  }
  switch (type) {
    case 'S':
      return typeof of === 'string';
    case 'N':
      return isNumber(of);
    case 'B':
      return isBase64(of);
    case 'BOOL':
      return typeof of === 'boolean';
    case 'NULL':
      return of === true;
    case 'L':
      return Array.isArray(of) && of.every((it, index) => isValue(it, at, `${path}.${name}`, String(index)));
    case 'M':
      return isObject(of) && asItem(of, `${path}.${name}`, at) === of;
    case 'SS':
      return isSet(of, (it) => typeof it === 'string');
    case 'NS':
      return isSet(of, isNumber);
    case 'BS':
      return isSet(of, isBase64);
    default:
      return false;
  }
}

/** Numbers come as text, with up to 38 digits. */
function isNumber(value: unknown): boolean {
  return typeof value === 'string' && /^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(value);
}

function isBase64(value: unknown): boolean {
  return typeof value === 'string' && value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);
}

function isSet(value: unknown, isMember: (member: unknown) => boolean): boolean {
  return (
    Array.isArray(value) && value.length > 0 && value.every(isMember) && new Set(value).size === value.length
  );
}

class Fields {
  readonly #value: unknown;
  readonly #file: string;
  readonly #line: number | undefined;

  constructor(value: unknown, file: string, line: number | undefined) {
    this.#value = value;
    this.#file = file;
    this.#line = line;
  }

  refuse(expected: string, got: unknown): never {
    throw new ExportFileError(this.#file, this.#line, expected, shortened(got));
  }

  #get(name: string): unknown {
    if (!isObject(this.#value)) this.refuse('a JSON object', this.#value);
    return this.#value[name];
  }

  /** Undefined for a field that is absent or null. */
  optional(name: string): string | undefined {
    const value = this.#get(name);
    return value === undefined || value === null ? undefined : this.text(name);
  }

  text(name: string): string {
    const value = this.#get(name);
    return typeof value === 'string' ? value : this.refuse(`a text in ${name}`, value);
  }

  oneOf(name: string, texts: readonly string[]): string {
    const value = this.text(name);
    return texts.includes(value) ? value : this.refuse(`${texts.join(' or ')} in ${name}`, value);
  }

  count(name: string): number {
    const value = this.#get(name);
    return Number.isSafeInteger(value) && Number(value) >= 0
      ? Number(value)
      : this.refuse(`a count in ${name}`, value);
  }

  time(name: string): number {
    const ms = Date.parse(this.text(name));
    return Number.isFinite(ms) ? ms : this.refuse(`a time in ${name}`, this.text(name));
  }
}

function parseJson(text: string, file: string, line: number | undefined): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ExportFileError(file, line, 'JSON', shortened(text));
  }
}

function parseData(text: string, { file, line }: Place): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ExportFileError(file, line, 'JSON', shapeOf(text));
  }
}

/** The documentation shows keys in manifests both with the export's prefix and without it. */
function prefixed(prefix: string, key: string): string {
  const folder = slashed(prefix);
  return key.startsWith('AWSDynamoDB/') ? `${folder}${key}` : key;
}

function slashed(prefix: string): string {
  return prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasField(value: unknown, field: string): boolean {
  return isObject(value) && value[field] !== undefined;
}

/** Errors are logged, and what records say never is. */
function shapeOf(got: unknown): string {
  if (typeof got === 'string') return `a text of ${got.length} characters`;
  if (Array.isArray(got)) return `a list of ${got.length}`;
  return isObject(got) ? `an object with ${Object.keys(got).join(', ') || 'nothing'}` : String(got);
}

/** Of a manifest, enough to recognise it by. */
function shortened(got: unknown): string {
  const text = JSON.stringify(got) ?? 'nothing';
  return text.length <= 80 ? text : `${text.slice(0, 80)}… (${text.length} characters)`;
}
