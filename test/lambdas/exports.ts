// Exports as DynamoDB leaves them, made in memory: lines, manifests and what was asked for, of tables that tests change
// hour by hour.
import { createHash } from 'node:crypto';
import { sha256Of } from '../../lambdas/core/canonical.ts';
import { FileCheck, type FileReport } from '../../lambdas/core/file-check.ts';
import type { Subject } from '../../lambdas/core/verifying.ts';
import { type Backup, type BackupTier, backupPrefix, HOUR_MS, tickText } from '../../protocol/backups.ts';
import type { ExportedItem, ExportFile, ExportSummary } from '../../protocol/export-files.ts';
import { feedOrderOf, feedShardOf, recordPk } from '../../protocol/items.ts';
import { versionAt } from './audit-trail.ts';

export const DAY = Date.parse('2026-11-24T00:00:00Z');
export const TABLE_ARN = 'arn:aws:dynamodb:us-east-2:123456789012:table/eden-field-dev-records';

/** A record as the store writes it; `payload` undefined makes a tombstone. */
export function recordItem(id: string, atMs: number, payload: string | undefined): ExportedItem {
  const key = { tenant: 'acme', collection: 'notes', id };
  const commitVersion = versionAt(atMs);
  return {
    pk: { S: recordPk(key) },
    sk: { S: 'STATE' },
    version: { S: versionAt(atMs - 1) },
    commitVersion: { S: commitVersion },
    feedShard: { S: feedShardOf(key) },
    feedOrder: { S: feedOrderOf(commitVersion, key) },
    deleted: { BOOL: payload === undefined },
    ...(payload !== undefined && { payload: { S: payload }, sha256: { S: sha256Of(payload) } }),
    [`w#${'a'.repeat(32)}`]: { M: { s: { N: '3' }, t: { N: String(atMs) } } },
  };
}

export const CONTROL: ExportedItem = {
  pk: { S: 'CONTROL#generation' },
  sk: { S: 'STATE' },
  status: { S: 'open' },
};

export type Table = ReadonlyMap<string, ExportedItem>;

export function tableOf(...items: readonly ExportedItem[]): Table {
  return new Map(items.map((item) => [JSON.stringify(item['pk']), item]));
}

/** Lines of a full export. */
export function itemsOf(table: Table): readonly string[] {
  return [...table.values()].map((Item) => JSON.stringify({ Item }));
}

/** Lines of an incremental export: what became of every item that is not what it was. */
export function changesOf(before: Table, after: Table, atMs: number): readonly string[] {
  const Metadata = { WriteTimestampMicros: { N: String(atMs * 1_000) } };
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((key) => JSON.stringify(before.get(key)) !== JSON.stringify(after.get(key)))
    .map((key) => {
      const [OldImage, NewImage] = [before.get(key), after.get(key)];
      const { pk, sk } = (NewImage ?? OldImage) as ExportedItem;
      return JSON.stringify({ Metadata, Keys: { pk, sk }, OldImage, NewImage });
    });
}

export interface Exported extends Subject {
  /** Of each file, by its place in the manifest. */
  readonly lines: readonly (readonly string[])[];
}

/** A backup of a tick, its lines dealt out to so many files. */
export function exported(
  tier: BackupTier,
  tickMs: number,
  lines: readonly string[],
  { chain = [] as readonly string[], fromMs = tickMs - HOUR_MS, files: count = 3 } = {},
): Exported {
  const prefix = backupPrefix({ tier, tickMs });
  const exportArn = `${TABLE_ARN}/export/0${tickMs}-1a2b3c4d`;
  const kind = chain.length > 0 ? 'incremental' : 'full';
  const dealt = Array.from({ length: count }, (_, file) => lines.filter((_, at) => at % count === file));
  const files = dealt.map(
    (part, at): ExportFile => ({
      key: `${prefix}AWSDynamoDB/data/${at}.json.gz`,
      itemCount: part.length,
      md5Base64: md5Of(part),
    }),
  );
  const window = kind === 'incremental' ? { fromMs } : {};
  const summary: ExportSummary = {
    exportArn,
    tableArn: TABLE_ARN,
    kind,
    ...window,
    toMs: tickMs,
    bucket: 'backups',
    prefix,
    manifestFilesKey: `${prefix}AWSDynamoDB/x/manifest-files.json`,
    itemCount: lines.length,
  };
  const backup: Backup = {
    format: 1,
    tier,
    tick: tickText({ tier, tickMs }),
    region: 'us-east-2',
    tableArn: TABLE_ARN,
    exportArn,
    kind,
    ...window,
    toMs: tickMs,
    chain,
    askedAtMs: tickMs + 1_200_000,
    attempt: 1,
    restoreEpoch: 1,
    why: 'a test',
  };
  return {
    backup,
    summary,
    files,
    manifest: md5Of([JSON.stringify([summary, files])]),
    faults: [],
    lines: dealt,
  };
}

/** In place of the bytes of a file, which a test does not compress. */
export function md5Of(lines: readonly string[]): string {
  return createHash('md5').update(lines.join('\n')).digest('base64');
}

/** A file as its check sees it; `lines` in place of what it should hold. */
export function checkFile(
  { summary, files, lines }: Exported,
  at: number,
  read: readonly string[] = lines[at] ?? [],
): FileReport {
  const check = new FileCheck(files[at] as ExportFile, summary);
  for (const line of read) check.line(line);
  return check.end(md5Of(read));
}
