// A table's history, and what backups and journals of it leave in buckets: as DynamoDB and the functions write them.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Bucket } from '../../bin/buckets.ts';
import { addState, readWhole } from '../../bin/restore/examine.ts';
import type { BackupVerdict } from '../../protocol/backup-verdicts.ts';
import {
  BACKUP_FILE,
  type Backup,
  type BackupId,
  backupPrefix,
  tickText,
  VERDICT_FILE,
} from '../../protocol/backups.ts';
import { DigestSum } from '../../protocol/digest-sums.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { exportFolder, MANIFEST_FILES, MANIFEST_SUMMARY } from '../../protocol/export-files.ts';
import { recordPk } from '../../protocol/items.ts';
import type { JournalChange } from '../../protocol/journal.ts';
import { asVersion } from '../../protocol/versions.ts';
import { recordItem, TABLE_ARN } from '../lambdas/exports.ts';
import { segmentsOf, zipped } from '../lambdas/journal-world.ts';

export const pkOf = (id: string) => recordPk({ tenant: 'acme', collection: 'notes', id });

/** What happened to records, in order; each at a time of its own. */
export class History {
  readonly changes: JournalChange[] = [];
  readonly #items = new Map<string, ExportedItem>();

  /** `payload` undefined makes a tombstone. */
  write(id: string, atMs: number, payload: string | undefined): ExportedItem {
    const item = recordItem(id, atMs, payload);
    this.#add(pkOf(id), atMs, item);
    return item;
  }

  /** Takes the item away as a whole, as a sweeper does, or somebody else. */
  remove(id: string, atMs: number): void {
    this.#add(pkOf(id), atMs, null);
  }

  /** As a fault would leave it; its stream tells of it like of any other. */
  damage(id: string, atMs: number): void {
    const item = this.#items.get(pkOf(id));
    if (item?.['payload']) this.#add(pkOf(id), atMs, { ...item, payload: { S: '"rot"' } });
  }

  beat(atMs: number): void {
    this.#add('CONTROL#heartbeat#r', atMs, {
      pk: { S: 'CONTROL#heartbeat#r' },
      sk: { S: 'STATE' },
      at: { N: String(atMs) },
    });
  }

  /** Every item, by partition key, before that moment. */
  before(ms: number): ReadonlyMap<string, ExportedItem> {
    const items = new Map<string, ExportedItem>();
    for (const { pk, at, image } of this.changes) {
      if (at >= ms) continue;
      if (image) items.set(pk, image as ExportedItem);
      else items.delete(pk);
    }
    return items;
  }

  /** Lines of an export: full, or what changed from a moment on. */
  lines(toMs: number, fromMs?: number): readonly string[] {
    const after = this.before(toMs);
    if (fromMs === undefined) return [...after.values()].map((Item) => JSON.stringify({ Item }));
    const first = this.before(fromMs);
    const touched = new Map<string, number>();
    for (const { pk, at } of this.changes) if (at >= fromMs && at < toMs) touched.set(pk, at);
    return [...touched].flatMap(([pk, at]) => {
      const [OldImage, NewImage] = [first.get(pk), after.get(pk)];
      if (!OldImage && !NewImage) return [];
      const Metadata = { WriteTimestampMicros: { N: String(at * 1_000) } };
      return JSON.stringify({ Metadata, Keys: { pk: { S: pk }, sk: { S: 'STATE' } }, OldImage, NewImage });
    });
  }

  #add(pk: string, at: number, image: ExportedItem | null): void {
    const before = versionIn(this.#items.get(pk));
    const commitVersion = versionIn(image);
    this.changes.push({
      seq: String(this.changes.length + 1),
      at,
      pk,
      sk: 'STATE',
      ...(before === undefined ? {} : { before: asVersion(before) }),
      ...(commitVersion === undefined ? {} : { commitVersion: asVersion(commitVersion) }),
      image,
    });
    if (image) this.#items.set(pk, image);
    else this.#items.delete(pk);
  }
}

function versionIn(item: ExportedItem | null | undefined): string | undefined {
  const value = item?.['commitVersion'];
  return value && 'S' in value ? value.S : undefined;
}

/** Objects by key. */
export type Objects = Map<string, Buffer>;

export interface BackupOptions extends BackupId {
  readonly fromMs?: number;
  readonly chain?: readonly string[];
  readonly files?: number;
  readonly verdict?: BackupVerdict['verdict'] | 'none';
  readonly region?: string;
}

/** Everything under a backup's prefix. */
export function backupObjects(history: History, options: BackupOptions): Objects {
  const {
    tickMs,
    tier,
    fromMs,
    chain = [],
    files: count = 3,
    verdict = 'verified',
    region = 'us-east-2',
  } = options;
  const prefix = backupPrefix(options);
  const exportArn = `${TABLE_ARN}/export/0${tickMs}-1a2b3c4d`;
  const folder = exportFolder(prefix, exportArn);
  const objects: Objects = new Map();
  const lines = history.lines(tickMs, fromMs);
  const listed = Array.from({ length: count }, (_, index) => {
    const part = lines.filter((_, at) => at % count === index);
    const content = gzipSync(part.map((line) => `${line}\n`).join(''));
    objects.set(`${folder}data/${index}.json.gz`, content);
    return JSON.stringify({
      itemCount: part.length,
      md5Checksum: createHash('md5').update(content).digest('base64'),
      dataFileS3Key: `${folder}data/${index}.json.gz`,
    });
  });
  const manifest = (name: string, text: string) => {
    objects.set(`${folder}${name}`, Buffer.from(text));
    const md5 = createHash('md5').update(text).digest('base64');
    objects.set(`${folder}${name.replace('.json', '.md5')}`, Buffer.from(md5));
  };
  const kind = fromMs === undefined ? 'full' : 'incremental';
  const iso = (ms: number) => new Date(ms).toISOString();
  manifest(MANIFEST_FILES, `${listed.join('\n')}\n`);
  manifest(
    MANIFEST_SUMMARY,
    JSON.stringify({
      exportArn,
      tableArn: TABLE_ARN,
      exportType: kind === 'full' ? 'FULL_EXPORT' : 'INCREMENTAL_EXPORT',
      outputFormat: 'DYNAMODB_JSON',
      outputView: 'NEW_AND_OLD_IMAGES',
      s3Bucket: 'bucket',
      s3Prefix: prefix,
      manifestFilesS3Key: `${folder}${MANIFEST_FILES}`,
      ...(fromMs === undefined
        ? { exportTime: iso(tickMs) }
        : { exportFromTime: iso(fromMs), exportToTime: iso(tickMs) }),
      itemCount: lines.length,
    }),
  );
  const window = fromMs === undefined ? {} : { fromMs };
  const backup: Backup = {
    format: 1,
    tier,
    tick: tickText(options),
    region,
    tableArn: TABLE_ARN,
    exportArn,
    kind,
    ...window,
    toMs: tickMs,
    chain,
    askedAtMs: tickMs,
    attempt: 1,
    restoreEpoch: 1,
    why: 'a test',
  };
  objects.set(`${prefix}${BACKUP_FILE}`, Buffer.from(JSON.stringify(backup)));
  if (verdict !== 'none')
    objects.set(`${prefix}${VERDICT_FILE}`, Buffer.from(JSON.stringify(verdictOf(history, backup, verdict))));
  return objects;
}

function verdictOf(history: History, backup: Backup, verdict: BackupVerdict['verdict']): BackupVerdict {
  const prefix = `${backup.tier}/${backup.tick}/`;
  const problems = verdict === 'verified' ? [] : [{ file: `${prefix}data/0.json.gz`, what: 'a flipped bit' }];
  const sum = new DigestSum();
  let records = 0;
  for (const item of history.before(backup.toMs).values()) {
    const whole = readWhole(item);
    if (!whole) continue;
    addState(sum, whole.record);
    records += 1;
  }
  const { exportArn, kind, toMs, chain } = backup;
  return {
    format: 1,
    prefix,
    exportArn,
    verdict,
    kind,
    ...(backup.fromMs !== undefined && { fromMs: backup.fromMs }),
    toMs,
    chain,
    ...{ files: 3, items: 0, records: 0, controls: 0 },
    state: { records, digest: sum.toString() },
    loaded: true,
    problems,
    problemCount: problems.length,
    ...{ startedAtMs: toMs, endedAtMs: toMs, invocations: 1 },
  };
}

/** Segments of one region's stream from a moment on, which tells of everything so much later. */
export function journalObjects(
  history: History,
  region: string,
  { fromMs = 0, laterMs = 0, size = 3 } = {},
): Objects {
  const changes = history.changes
    .filter(({ at }) => at >= fromMs)
    .map((change) => ({ ...change, at: change.at + laterMs }));
  return new Map(segmentsOf(changes, region, size).map(({ key, text }) => [key, zipped(text)]));
}

/** A bucket in memory, read only. */
export class MemoryBucket implements Bucket {
  readonly objects: Objects = new Map();
  readonly reads: string[] = [];

  add(objects: Objects): this {
    for (const [key, content] of objects) this.objects.set(key, content);
    return this;
  }
  async *keys(prefix: string, after = '') {
    yield* [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
  }
  async *folders(prefix: string) {
    const keys = await Array.fromAsync(this.keys(prefix));
    yield* new Set(keys.map((key) => key.slice(0, key.indexOf('/', prefix.length) + 1)));
  }
  async content(key: string) {
    this.reads.push(key);
    return this.objects.get(key);
  }
  async text(key: string) {
    return (await this.content(key))?.toString('utf8');
  }
  async bytes(key: string) {
    const content = await this.content(key);
    if (!content) return undefined;
    const half = Math.ceil(content.length / 2);
    return (async function* () {
      yield content.subarray(0, half);
      yield content.subarray(half);
    })();
  }
  async put(key: string, content: Uint8Array | string) {
    if (!this.objects.has(key)) this.objects.set(key, Buffer.from(content));
  }
  close() {}
}
