// The files an export leaves in a bucket: where they stand, what they are called and what is in them.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
//
// The page calls the checksum files `.checksum`; exports are seen to name them `.md5`, with the MD5 in base64, and so
// does this. The data of an incremental export stands in one folder for all exports under the prefix.
import { createHash, randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { ViewType } from './export-requests.ts';
import type { ItemChange, ItemState } from './history.ts';

/** What the summary says beside what was counted; named as it is there. */
export interface Summary {
  readonly exportArn: string;
  readonly startTime: string;
  readonly tableArn: string;
  readonly tableId: string;
  readonly s3Bucket: string;
  readonly s3Prefix: string | null;
  readonly s3SseAlgorithm: string;
  readonly s3SseKmsKeyId: string | null;
}

export interface ExportFiles {
  /** E.g. `01792540000000-1a2b3c4d`. */
  readonly exportId: string;
  readonly prefix: string | undefined;
  readonly summary: Summary;
  readonly content:
    | { readonly type: 'FULL_EXPORT'; readonly exportTimeMs: number; readonly items: Iterable<ItemState> }
    | {
        readonly type: 'INCREMENTAL_EXPORT';
        readonly fromMs: number;
        readonly toMs: number;
        readonly view: ViewType;
        readonly changes: Iterable<ItemChange>;
      };
  /** Unix ms. */
  readonly now: () => number;
  /** Puts one object and gives its entity tag. */
  readonly put: (key: string, body: Buffer, contentType: string) => Promise<string>;
  /** Asked when all data is written, before the manifests are: throws when it is not complete. */
  readonly complete: () => void;
}

export interface Written {
  readonly itemCount: number;
  readonly billedBytes: number;
  /** Key of the summary. */
  readonly manifest: string;
}

interface DataFile {
  readonly itemCount: number;
  readonly md5Checksum: string;
  readonly etag: string;
  readonly dataFileS3Key: string;
}

const compress = promisify(gzip);
/** DynamoDB writes at least one file a partition; this many there are here. */
const PARTITIONS = 4;
const FILE_CHARACTERS_MAX = 8 * 1024 * 1024;
/** As often others get their turn in this process. */
const LINES_AT_ONCE = 500;
/** The least an incremental export is billed for, as seen. */
const INCREMENTAL_BILLED_BYTES_MIN = 10_000_000;

export function manifestKey(prefix: string | undefined, exportId: string): string {
  return `${rootOf(prefix)}${exportId}/manifest-summary.json`;
}

/** Shows that the bucket can be written to; what an export begins with. */
export function startedKey(prefix: string | undefined, exportId: string): string {
  return `${rootOf(prefix)}${exportId}/_started`;
}

/** @throws what `put` throws; files written by then stay */
export async function writeExport(files: ExportFiles): Promise<Written> {
  const { exportId, prefix, content, summary, put, now } = files;
  const folder = `${rootOf(prefix)}${exportId}/`;
  await put(startedKey(prefix, exportId), Buffer.alloc(0), 'application/octet-stream');
  const isFull = content.type === 'FULL_EXPORT';
  const { list, characters } = await writeData(files, `${isFull ? folder : rootOf(prefix)}data/`);
  files.complete();
  const itemCount = list.reduce((sum, file) => sum + file.itemCount, 0);
  const billedBytes = isFull ? characters : Math.max(characters, INCREMENTAL_BILLED_BYTES_MIN);
  const manifestFilesS3Key = `${folder}manifest-files.json`;
  const { exportArn, startTime, tableArn, tableId, s3Bucket, s3Prefix, s3SseAlgorithm, s3SseKmsKeyId } =
    summary;
  await putWithMd5(put, manifestFilesS3Key, list.map((file) => `${JSON.stringify(file)}\n`).join(''));
  const text = JSON.stringify({
    version: isFull ? '2020-06-30' : '2023-08-01',
    exportArn,
    startTime,
    endTime: iso(now()),
    tableArn,
    tableId,
    ...(content.type === 'FULL_EXPORT'
      ? { exportTime: iso(content.exportTimeMs) }
      : { exportFromTime: iso(content.fromMs), exportToTime: iso(content.toMs) }),
    s3Bucket,
    s3Prefix,
    s3SseAlgorithm,
    s3SseKmsKeyId,
    manifestFilesS3Key,
    billedSizeBytes: billedBytes,
    itemCount,
    outputFormat: 'DYNAMODB_JSON',
    ...(content.type === 'INCREMENTAL_EXPORT' && { outputView: content.view, exportType: content.type }),
  });
  const manifest = manifestKey(prefix, exportId);
  await putWithMd5(put, manifest, text);
  return { itemCount, billedBytes, manifest };
}

/** A prefix is taken as it is, and joined with a slash unless it ends in one. */
function rootOf(prefix: string | undefined): string {
  return `${prefix === undefined || prefix.endsWith('/') ? (prefix ?? '') : `${prefix}/`}AWSDynamoDB/`;
}

async function writeData(
  { content, put }: ExportFiles,
  folder: string,
): Promise<{ list: readonly DataFile[]; characters: number }> {
  const list: DataFile[] = [];
  const open = Array.from({ length: PARTITIONS }, () => ({ lines: [] as string[], characters: 0, files: 0 }));
  let characters = 0;
  const close = async (partition: (typeof open)[number]) => {
    const { lines } = partition;
    partition.lines = [];
    partition.characters = 0;
    partition.files += 1;
    list.push(await putData(put, folder, lines));
  };
  let count = 0;
  for (const { part, line } of linesOf(content)) {
    const partition = open[part % PARTITIONS] as (typeof open)[number];
    partition.lines.push(line);
    partition.characters += line.length;
    characters += line.length;
    count += 1;
    if (partition.characters > FILE_CHARACTERS_MAX) await close(partition);
    if (count % LINES_AT_ONCE === 0) await setImmediate();
  }
  // Of a full export an empty partition has a file too, which is empty.
  for (const partition of open)
    if (partition.lines.length > 0 || (content.type === 'FULL_EXPORT' && partition.files === 0))
      await close(partition);
  return { list, characters };
}

function* linesOf(content: ExportFiles['content']): Generator<{ part: number; line: string }> {
  if (content.type === 'FULL_EXPORT')
    for (const { part, json } of content.items) yield { part, line: `{"Item":${json}}\n` };
  else for (const change of content.changes) yield { part: change.part, line: lineOf(change, content.view) };
}

/** A removal has no new image; which images there are says what happened to the item. */
function lineOf({ keyJson, writtenAtMicros, before, after }: ItemChange, view: ViewType): string {
  const old = view === 'NEW_AND_OLD_IMAGES' && before !== undefined ? `,"OldImage":${before}` : '';
  const next = after === undefined ? '' : `,"NewImage":${after}`;
  return `{"Metadata":{"WriteTimestampMicros":{"N":"${writtenAtMicros}"}},"Keys":${keyJson}${old}${next}}\n`;
}

async function putData(put: ExportFiles['put'], folder: string, lines: readonly string[]): Promise<DataFile> {
  const body = await compress(Buffer.from(lines.join('')), { level: constants.Z_BEST_SPEED });
  const dataFileS3Key = `${folder}${fileName()}.json.gz`;
  const etag = await put(dataFileS3Key, body, 'application/gzip');
  return {
    itemCount: lines.length,
    md5Checksum: md5(body),
    etag: etag.replaceAll('"', ''),
    dataFileS3Key,
  };
}

async function putWithMd5(put: ExportFiles['put'], key: string, text: string): Promise<void> {
  const body = Buffer.from(text);
  await put(key, body, 'application/json');
  await put(key.replace(/\.json$/, '.md5'), Buffer.from(md5(body)), 'text/plain');
}

export function md5(body: Buffer): string {
  return createHash('md5').update(body).digest('base64');
}

/** 26 letters and digits that say nothing. */
function fileName(): string {
  return Array.from(randomBytes(26), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]).join('');
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
