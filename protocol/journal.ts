// The change journal (DESIGN §6): what a region's stream says, kept in that region's backup bucket in segments. A
// segment is whole or it is not there: its key carries the hash of its changes, so that the same changes always have
// the same key, and putting them twice puts nothing. Each change names the state it took the place of, so that whoever
// reads a journal sees by the record itself what is missing from it (ADR 0015).
import { EdenFieldError } from './errors.ts';
import { isVersion, type Version } from './versions.ts';

/** What a backup bucket holds of the journal: segments under the one; under the other what another region's bucket, or
 * a segment, would not take. */
export const JOURNAL_PREFIX = 'journal/';
export const JOURNAL_PARKED_PREFIX = 'journal-parked/';
export const JOURNAL_FORMAT = 1;

/** An item as DynamoDB writes it in JSON, e.g. `{ "pk": { "S": "R#…" } }`. */
export type ImageJson = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface JournalChange {
  /** The stream record's sequence number: orders an item's changes within the stream of one region. */
  readonly seq: string;
  /** When the stream had it, about: Unix ms, in DynamoDB Streams cut to whole seconds. */
  readonly at: number;
  readonly pk: string;
  readonly sk: string;
  /** Commit version of the state this took the place of. Absent when there was none, and on control items. */
  readonly before?: Version;
  /** Absent on a removal, and on control items. */
  readonly commitVersion?: Version;
  /** The whole item after the change; null: removed. */
  readonly image: ImageJson | null;
}

/** A segment's first line. */
export interface SegmentHeader {
  readonly journal: typeof JOURNAL_FORMAT;
  /** Whose stream: sequence numbers of two regions say nothing of one another. */
  readonly region: string;
  /** Sequence numbers of the first and the last change. */
  readonly first: string;
  readonly last: string;
  readonly count: number;
  /** In hex, of the UTF-8 of all lines below, their ends included. */
  readonly sha256: string;
  /** The environment that wrote it, and the segment it wrote before; null for its first. */
  readonly writer: string;
  readonly previous: string | null;
}

export interface Segment {
  readonly header: SegmentHeader;
  /** In the stream's order. */
  readonly changes: readonly JournalChange[];
}

export interface SealedSegment extends Segment {
  readonly key: string;
  /** What is put under the key, compressed by gzip. */
  readonly text: string;
}

/** A segment, or a key of one, that is not what it should be. Reading it again gives the same. */
export class JournalFormatError extends EdenFieldError {
  readonly code = 'JOURNAL_FORMAT';
  readonly retryable = false;
}

const SEQUENCE_PATTERN = /^\d{1,40}$/;
const SEQUENCE_DIGITS = 40;
const YEAR_10_000_MS = Date.UTC(10_000, 0);
const HASH_PATTERN = /^[0-9a-f]{64}$/;
const SUFFIX = '.ndjson.gz';

/** E.g. `2026-07-01T05Z`: the folder of everything that happened in that hour. */
export function journalHour(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 13)}Z`;
}

/** Unix ms of an hour's start; undefined when it is none. */
export function journalHourMs(hour: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}Z$/.test(hour)) return undefined;
  const ms = Date.parse(`${hour.slice(0, 13)}:00:00Z`);
  return Number.isNaN(ms) || journalHour(ms) !== hour ? undefined : ms;
}

export interface JournalKeyParts {
  readonly hour: string;
  readonly region: string;
  readonly first: string;
  readonly sha256: string;
}

/** The region stands in it because a bucket also holds what was brought from another's journal. Numbers are padded, so
 * that a listing comes in the stream's order. */
export function journalKey({ hour, region, first, sha256 }: JournalKeyParts): string {
  return `${JOURNAL_PREFIX}${hour}/${region}-${first.padStart(SEQUENCE_DIGITS, '0')}-${sha256}${SUFFIX}`;
}

/** Undefined when the key names no segment. */
export function parseJournalKey(key: string): JournalKeyParts | undefined {
  const [, hour = '', region, first = '', sha256] =
    /^journal\/([^/]+)\/([a-z0-9-]+)-(\d{40})-([0-9a-f]{64})\.ndjson\.gz$/.exec(key) ?? [];
  if (journalHourMs(hour) === undefined || !region || !sha256) return undefined;
  return { hour, region, first: withoutZeros(first), sha256 };
}

/** Where a segment is parked in another region's bucket, and where it belongs when it is found there. */
export function parkedKey(key: string): string {
  return `${JOURNAL_PARKED_PREFIX}${key.slice(JOURNAL_PREFIX.length)}`;
}
export function unparkedKey(parked: string): string | undefined {
  const key = `${JOURNAL_PREFIX}${parked.slice(JOURNAL_PARKED_PREFIX.length)}`;
  return parked.startsWith(JOURNAL_PARKED_PREFIX) && parseJournalKey(key) ? key : undefined;
}

/** Where a stream record goes that cannot be read as a change: as it came, in JSON. */
export function poisonKey(atMs: number, region: string, sha256: string): string {
  return `${JOURNAL_PARKED_PREFIX}${journalHour(atMs)}/${region}-${sha256}.json`;
}

/** As numbers, however many digits they have. */
export function compareSequenceNumbers(a: string, b: string): number {
  const [x, y] = [withoutZeros(a), withoutZeros(b)];
  return x.length - y.length || (x < y ? -1 : x > y ? 1 : 0);
}

export function isSequenceNumber(value: unknown): value is string {
  return typeof value === 'string' && SEQUENCE_PATTERN.test(value);
}

function withoutZeros(digits: string): string {
  return digits.replace(/^0+(?=\d)/, '');
}

/**
 * `changes` in the stream's order, all of one hour, at least one. `hashOf` is SHA-256 in hex. What `previous` is, or who
 * writes, changes neither key nor hash.
 */
export function sealSegment(
  changes: readonly JournalChange[],
  { region, writer, previous }: Pick<SegmentHeader, 'region' | 'writer' | 'previous'>,
  hashOf: (text: string) => string,
): SealedSegment {
  const [first, last] = [changes[0], changes.at(-1)];
  if (!first || !last) throw new RangeError('a segment has at least one change, got none');
  const hour = journalHour(first.at);
  const stranger = changes.find(({ at }) => journalHour(at) !== hour);
  if (stranger)
    throw new RangeError(`a segment is of one hour, ${hour}, got ${journalHour(stranger.at)} too`);
  const lines = changes.map(lineOf).join('');
  const sha256 = hashOf(lines);
  const header: SegmentHeader = {
    journal: JOURNAL_FORMAT,
    region,
    first: first.seq,
    last: last.seq,
    count: changes.length,
    sha256,
    writer,
    previous,
  };
  const key = journalKey({ hour, region, first: first.seq, sha256 });
  return { key, header, changes, text: `${JSON.stringify(header)}\n${lines}` };
}

/** Members in this order, always: the same change is the same line. */
function lineOf({ seq, at, pk, sk, before, commitVersion, image }: JournalChange): string {
  return `${JSON.stringify({ seq, at, pk, sk, before, commitVersion, image })}\n`;
}

/**
 * Reads a segment and holds it to its key, its header and its hash.
 * @throws {JournalFormatError} what is wrong, with the key and the line
 */
export function parseSegment(key: string, text: string, hashOf: (text: string) => string): Segment {
  const named = parseJournalKey(key);
  if (!named) throw new JournalFormatError(`${key}: expected the key of a journal segment`);
  const end = text.indexOf('\n');
  if (end < 0) throw wrong(key, 1, 'a header and lines below it', text);
  const header = headerOf(key, text.slice(0, end));
  const body = text.slice(end + 1);
  const sha256 = hashOf(body);
  if (sha256 !== header.sha256)
    throw new JournalFormatError(`${key}: its changes hash to ${sha256}, expected ${header.sha256}`);
  for (const part of ['region', 'first', 'sha256'] as const)
    if (header[part] !== named[part])
      throw new JournalFormatError(
        `${key}: its header says ${part} ${header[part]}: it was moved or renamed`,
      );
  const lines = body.split('\n');
  // What follows the last line's end.
  lines.pop();
  const changes = lines.map((line, index) => changeIn(key, index + 2, line));
  checkChanges(key, header, named.hour, changes);
  return { header, changes };
}

function checkChanges(
  key: string,
  { first, last, count }: SegmentHeader,
  hour: string,
  changes: readonly JournalChange[],
): void {
  if (changes.length !== count || changes[0]?.seq !== first || changes.at(-1)?.seq !== last)
    throw new JournalFormatError(
      `${key}: expected ${count} changes from ${first} to ${last}, got ${changes.length} from ${changes[0]?.seq} to ${changes.at(-1)?.seq}`,
    );
  for (const [index, { seq, at }] of changes.entries()) {
    const before = changes[index - 1];
    if (before && compareSequenceNumbers(before.seq, seq) >= 0)
      throw wrong(key, index + 2, `a sequence number above ${before.seq}`, seq);
    if (journalHour(at) !== hour) throw wrong(key, index + 2, `a time in ${hour}`, journalHour(at));
  }
}

function headerOf(key: string, line: string): SegmentHeader {
  const take = membersOf(key, 1, line);
  return {
    journal: take('journal', `${JOURNAL_FORMAT}, which this release reads`, isThisFormat),
    region: take('region', 'a region', isText),
    first: take('first', 'a sequence number', isSequenceNumber),
    last: take('last', 'a sequence number', isSequenceNumber),
    count: take('count', 'a whole number above 0', isCount),
    sha256: take('sha256', '64 hex digits', isHash),
    writer: take('writer', 'who wrote it', isText),
    previous: take('previous', "null or a segment's key", isKeyOrNull),
  };
}

function changeIn(key: string, number: number, line: string): JournalChange {
  const take = membersOf(key, number, line);
  const before = take('before', 'a version or nothing', isVersionOrNothing);
  const commitVersion = take('commitVersion', 'a version or nothing', isVersionOrNothing);
  return {
    seq: take('seq', 'a sequence number', isSequenceNumber),
    at: take('at', 'Unix ms', isTime),
    pk: take('pk', 'a partition key', isText),
    sk: take('sk', 'a sort key', isText),
    ...(before === undefined ? {} : { before }),
    ...(commitVersion === undefined ? {} : { commitVersion }),
    image: take('image', 'an item or null', isImageOrNull),
  };
}

/** Reads a line as an object; what it gives takes a member out, if it is what it should be. */
function membersOf(key: string, number: number, line: string) {
  let object: unknown;
  try {
    object = JSON.parse(line);
  } catch {
    throw wrong(key, number, 'JSON', line);
  }
  if (!isObject(object)) throw wrong(key, number, 'an object', line);
  const members = object;
  return <T>(member: string, expected: string, is: (value: unknown) => value is T): T => {
    const value = members[member];
    if (is(value)) return value;
    throw wrong(key, number, `"${member}": ${expected}`, value);
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
function isHash(value: unknown): value is string {
  return typeof value === 'string' && HASH_PATTERN.test(value);
}
function isThisFormat(value: unknown): value is typeof JOURNAL_FORMAT {
  return value === JOURNAL_FORMAT;
}
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0;
}
function isTime(value: unknown): value is number {
  return isJournalTime(value);
}
function isKeyOrNull(value: unknown): value is string | null {
  return value === null || (typeof value === 'string' && parseJournalKey(value) !== undefined);
}
function isVersionOrNothing(value: unknown): value is Version | undefined {
  return value === undefined || isVersion(value);
}
function isImageOrNull(value: unknown): value is ImageJson | null {
  return value === null || isImage(value);
}

/** Whether every attribute is one value under the name of its type. What DynamoDB names a type is its own affair. */
export function isImage(value: unknown): value is ImageJson {
  return (
    isObject(value) &&
    Object.values(value).every((attribute) => isObject(attribute) && Object.keys(attribute).length === 1)
  );
}

/** Whether a time has an hour to be journaled under: four digits of a year. */
export function isJournalTime(ms: unknown): ms is number {
  return Number.isSafeInteger(ms) && Number(ms) >= 0 && Number(ms) < YEAR_10_000_MS;
}

const SHOWN_CHARACTERS = 60;

function wrong(key: string, line: number, expected: string, got: unknown): JournalFormatError {
  const text = typeof got === 'string' ? got : (JSON.stringify(got) ?? 'nothing');
  const shown = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
  return new JournalFormatError(`${key}, line ${line}: expected ${expected}, got ${shown}`);
}
