// An export to read: data files as DynamoDB leaves them, of records as the service stores them, written as a stream, so
// that a corpus of a million records takes no more memory to make than one of ten thousand.
import { createHash, hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Bucket } from '../../bin/buckets.ts';
import type { Layer } from '../../bin/restore/inventory.ts';
import type { Backup } from '../../protocol/backups.ts';
import {
  type ExportedItem,
  type ExportFile,
  type ExportSummary,
  exportFolder,
} from '../../protocol/export-files.ts';
import {
  ATTRIBUTES,
  feedOrderOf,
  feedShardOf,
  recordPk,
  STATE,
  settledAttribute,
} from '../../protocol/items.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';

export interface Corpus {
  /** Where the files stand, each under its key. */
  readonly folder: string;
  readonly summary: ExportSummary;
  readonly files: readonly ExportFile[];
  readonly records: number;
}

const TICK = '2026-11-24';
/** The moment the export shows. */
const EXPORT_MS = Date.parse(`${TICK}T00:00:00Z`);
const EXPORT_PREFIX = `daily/${TICK}/`;
const TABLE_ARN = 'arn:aws:dynamodb:us-east-2:000000000000:table/eden-field-dev-records';
const EXPORT_ARN = `${TABLE_ARN}/export/0${EXPORT_MS}-1a2b3c4d`;
const FOLDER = exportFolder(EXPORT_PREFIX, EXPORT_ARN);
/** DynamoDB writes at least one file a partition, and small tables have a few. */
const FILES_MIN = 4;
/** Some 60 MB of lines, 15 MB compressed. */
const FILE_RECORDS_MAX = 62_500;
/** One in so many is a tombstone. */
const TOMBSTONE_EVERY = 20;
const LINES_A_PIECE = 250;

/** Writes the data files of an export of `records` records into `folder`. */
export async function writeCorpus(folder: string, records: number): Promise<Corpus> {
  const count = Math.max(FILES_MIN, Math.ceil(records / FILE_RECORDS_MAX));
  await mkdir(join(folder, `${FOLDER}data`), { recursive: true });
  const files: ExportFile[] = [];
  for (let index = 0; index < count; index += 1) {
    const from = Math.floor((records * index) / count);
    const to = Math.floor((records * (index + 1)) / count);
    const key = `${FOLDER}data/${String(index).padStart(26, 'a')}.json.gz`;
    files.push({ key, itemCount: to - from, md5Base64: await writeFile(join(folder, key), from, to) });
  }
  const summary: ExportSummary = {
    exportArn: EXPORT_ARN,
    tableArn: TABLE_ARN,
    kind: 'full',
    toMs: EXPORT_MS,
    bucket: 'backups',
    prefix: EXPORT_PREFIX,
    manifestFilesKey: `${FOLDER}manifest-files.json`,
    itemCount: records,
  };
  return { folder, summary, files, records };
}

/** As the only backup of a restore's chain, in `bucket`. */
export function layerOf({ summary, files }: Corpus, bucket: Bucket): Layer {
  const backup: Backup = {
    format: 1,
    tier: 'daily',
    tick: TICK,
    region: 'us-east-2',
    tableArn: TABLE_ARN,
    exportArn: EXPORT_ARN,
    kind: 'full',
    toMs: EXPORT_MS,
    chain: [],
    askedAtMs: EXPORT_MS + 1_200_000,
    attempt: 1,
    restoreEpoch: 1,
    why: 'the daily backup is full',
  };
  const known = { source: backup.region, prefix: EXPORT_PREFIX, backup, complete: true, verdict: undefined };
  return { known, bucket, summary, files };
}

/** Its MD5 in base64. */
async function writeFile(path: string, from: number, to: number): Promise<string> {
  const md5 = createHash('md5');
  await pipeline(
    Readable.from(piecesOf(from, to), { objectMode: false }),
    createGzip({ level: 1 }),
    async function* (pieces: AsyncIterable<Buffer>) {
      for await (const piece of pieces) {
        md5.update(piece);
        yield piece;
      }
    },
    createWriteStream(path),
  );
  return md5.digest('base64');
}

function* piecesOf(from: number, to: number): Generator<string> {
  for (let at = from; at < to; at += LINES_A_PIECE) {
    const lines: string[] = [];
    for (let n = at; n < Math.min(to, at + LINES_A_PIECE); n += 1)
      lines.push(JSON.stringify({ Item: itemOf(n) }), '\n');
    yield lines.join('');
  }
}

/** The `n`th record: a note of some 300 bytes that two devices have written, or a tombstone now and then. */
export function itemOf(n: number): ExportedItem {
  const key = {
    tenant: `tenant-${n % 53}`,
    collection: 'notes',
    id: hash('sha256', `note ${n}`, 'hex').slice(0, 24),
  };
  const atMs = EXPORT_MS - 86_400_000 + n;
  const commitVersion = versionAt(atMs, n);
  const payload = n % TOMBSTONE_EVERY === 0 ? undefined : payloadOf(n);
  return {
    [ATTRIBUTES.pk]: { S: recordPk(key) },
    [ATTRIBUTES.sk]: { S: STATE },
    [ATTRIBUTES.version]: { S: versionAt(atMs - 40, n + 1) },
    [ATTRIBUTES.commitVersion]: { S: commitVersion },
    [ATTRIBUTES.feedShard]: { S: feedShardOf(key) },
    [ATTRIBUTES.feedOrder]: { S: feedOrderOf(commitVersion, key) },
    [ATTRIBUTES.deleted]: { BOOL: payload === undefined },
    ...(payload !== undefined && {
      [ATTRIBUTES.payload]: { S: payload },
      [ATTRIBUTES.sha256]: { S: hash('sha256', payload, 'hex') },
    }),
    [settledAttribute(sessionOf(n))]: { M: { s: { N: String((n % 900) + 1) }, t: { N: String(atMs) } } },
    [settledAttribute(sessionOf(n + 7))]: {
      M: { s: { N: String((n % 90) + 1) }, t: { N: String(atMs - 9_000) } },
    },
  };
}

function versionAt(ms: number, n: number): Version {
  return versionOf({ ms, counter: n % 7 }, `0123456789ab${(n % 4_096).toString(16).padStart(4, '0')}`);
}

function sessionOf(n: number): string {
  return hash('sha256', `session ${n % 997}`, 'hex').slice(0, 32);
}

/** Canonical JSON: names in order, nothing between them. */
function payloadOf(n: number): string {
  return JSON.stringify({
    at: EXPORT_MS - n,
    author: `someone-${n % 97}`,
    place: { lat: 40 + (n % 1_000) / 997, lon: -105 + (n % 1_777) / 1_773 },
    tags: ['field', 'durable', `route-${n % 31}`],
    text: `Measured at station ${n % 13}, reading ${n}: the gate stands ${n % 3 === 0 ? 'open' : 'closed'}, the ground is wet, and the pump “B” runs at ${n % 4_000} revolutions.`,
  });
}
