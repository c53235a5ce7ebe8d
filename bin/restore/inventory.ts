// Which backups stand in the buckets, what was found of each, and what the chosen ones consist of.
import { createHash } from 'node:crypto';
import { parseBackupVerdict } from '../../protocol/backup-verdicts.ts';
import {
  BACKUP_FILE,
  BACKUP_TIERS,
  backupPrefix,
  parseBackup,
  tickIn,
  VERDICT_FILE,
} from '../../protocol/backups.ts';
import {
  checksumKeys,
  type ExportFile,
  type ExportSummary,
  exportFolder,
  MANIFEST_SUMMARY,
  parseFiles,
  parseSummary,
} from '../../protocol/export-files.ts';
import type { KnownBackup } from '../../protocol/restoring.ts';
import type { Bucket } from '../buckets.ts';
import { eachAtOnce } from './lanes.ts';
import type { Source } from './places.ts';

/** Of each tier, the latest; a chain is never longer than a day. */
const LOOKED_AT_MAX = 60;
const AT_ONCE = 16;

export interface Inventory {
  readonly backups: readonly KnownBackup[];
  /** What stands there and says nothing that can be read. */
  readonly unreadable: readonly { readonly source: string; readonly prefix: string; readonly why: string }[];
}

export async function takeInventory(
  sources: readonly Source[],
  { untilMs, named }: { readonly untilMs: number; readonly named: string | undefined },
): Promise<Inventory> {
  const places = await Promise.all(sources.map((source) => prefixesIn(source, untilMs, named)));
  const backups: KnownBackup[] = [];
  const unreadable: Inventory['unreadable'][number][] = [];
  await eachAtOnce(places.flat(), AT_ONCE, async ({ source, prefix }) => {
    try {
      const known = await knownAt(source, prefix);
      if (known) backups.push(known);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      unreadable.push({ source: source.name, prefix, why });
    }
  });
  return { backups, unreadable };
}

async function prefixesIn(source: Source, untilMs: number, named: string | undefined) {
  const found: string[] = [];
  for (const tier of BACKUP_TIERS) {
    const ticks: number[] = [];
    for await (const folder of source.bucket.folders(`${tier}/`)) {
      const tickMs = tickIn(tier, folder.slice(tier.length + 1, -1));
      if (tickMs !== undefined && tickMs <= untilMs) ticks.push(tickMs);
    }
    ticks.sort((a, b) => b - a);
    found.push(...ticks.slice(0, LOOKED_AT_MAX).map((tickMs) => backupPrefix({ tier, tickMs })));
  }
  if (named !== undefined && !found.includes(named)) found.push(named);
  return found.map((prefix) => ({ source, prefix }));
}

/** Undefined when nobody has said what was asked for. */
export async function knownAt({ name, bucket }: Source, prefix: string): Promise<KnownBackup | undefined> {
  const key = `${prefix}${BACKUP_FILE}`;
  const verdictKey = `${prefix}${VERDICT_FILE}`;
  const [text, verdict] = await Promise.all([bucket.text(key), bucket.text(verdictKey)]);
  if (text === undefined) return undefined;
  const backup = parseBackup(text, key);
  const summary = await bucket.text(`${exportFolder(prefix, backup.exportArn)}${MANIFEST_SUMMARY}`);
  return {
    source: name,
    prefix,
    backup,
    complete: summary !== undefined,
    verdict: verdict === undefined ? undefined : parseBackupVerdict(verdict, verdictKey),
  };
}

/** One backup of a chain, ready to be read. */
export interface Layer {
  readonly known: KnownBackup;
  readonly bucket: Bucket;
  readonly summary: ExportSummary;
  readonly files: readonly ExportFile[];
}

/**
 * Both manifests, held to their checksums.
 * @throws {ExportFileError | Error} what is wrong with which of them
 */
export async function openLayer({ bucket }: Source, known: KnownBackup): Promise<Layer> {
  const { prefix, backup } = known;
  const manifest = async (key: string): Promise<string> => {
    const text = await bucket.text(key);
    if (text === undefined) throw new Error(`${key}: expected a manifest, got none`);
    await checkManifest(bucket, key, text);
    return text;
  };
  const summaryKey = `${exportFolder(prefix, backup.exportArn)}${MANIFEST_SUMMARY}`;
  const summary = parseSummary(await manifest(summaryKey), summaryKey);
  const files = parseFiles(await manifest(summary.manifestFilesKey), summary.manifestFilesKey, prefix);
  return { known, bucket, summary, files };
}

async function checkManifest(bucket: Bucket, key: string, text: string): Promise<void> {
  const md5 = createHash('md5').update(text, 'utf8').digest();
  for (const at of checksumKeys(key)) {
    const stated = (await bucket.text(at))?.trim();
    if (stated === undefined) continue;
    if (stated === md5.toString('base64') || stated.toLowerCase() === md5.toString('hex')) return;
    throw new Error(`${key}: expected the MD5 ${stated} of ${at}, got ${md5.toString('base64')}`);
  }
  throw new Error(`${key}: expected its checksum beside it, got none`);
}

/**
 * Whether every file is still what was verified: a backup may have rotted since, and nothing should be closed for one
 * that has. Gives what is wrong, or undefined.
 */
export async function rotIn({ files, bucket }: Layer, onFile: () => void): Promise<string | undefined> {
  const found: string[] = [];
  await eachAtOnce(files, AT_ONCE, async ({ key, md5Base64, itemCount }) => {
    const md5 = createHash('md5');
    const bytes = await bucket.bytes(key);
    for await (const piece of bytes ?? []) md5.update(piece);
    const got = bytes ? md5.digest('base64') : 'no such file';
    if (got !== md5Base64 && (bytes || itemCount > 0))
      found.push(`${key}: expected the MD5 ${md5Base64} of its manifest, got ${got}`);
    onFile();
  });
  return found.sort()[0];
}
