// What the verification of a backup found, as it is written beside it (DESIGN §6). A restore takes a backup only if its
// verdict, and that of every one it goes on top of, is `verified`.
import { type BackupTier, backupOfKey, VERDICT_FILE } from './backups.ts';

export interface BackupVerdict {
  readonly format: 1;
  /** Of the backup in its bucket. */
  readonly prefix: string;
  /** Which export was looked at: a backup that was made again needs a verdict of its own. */
  readonly exportArn: string;
  readonly verdict: 'verified' | 'corrupted';
  readonly kind: 'full' | 'incremental';
  readonly fromMs?: number;
  readonly toMs: number;
  readonly chain: readonly string[];
  readonly files: number;
  /** Lines of the export, and what they are: items of a full one, changes of an incremental one. */
  readonly items: number;
  readonly records: number;
  readonly controls: number;
  /** Of the table as this backup and its chain restore it: how many records, tombstones among them, and their digest. */
  readonly state: StateFacts;
  /** Whether all of it was loaded into a scratch table and read back. */
  readonly loaded: boolean;
  /** How many of its files were: the first ones, where it is larger than what is loaded. Absent where none were. */
  readonly loadedFiles?: number;
  /** Another backup of the same moment, and whether it restores the same. */
  readonly compared?: { readonly prefix: string; readonly same: boolean };
  /** The first ones; {@link BACKUP_PROBLEMS_MAX} at most. */
  readonly problems: readonly BackupProblem[];
  readonly problemCount: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly invocations: number;
}

export interface StateFacts {
  readonly records: number;
  /** Sum over all records of a hash of key, version, commit version and payload hash; in hex. */
  readonly digest: string;
}

export interface BackupProblem {
  /** Its key in the bucket. */
  readonly file: string;
  readonly line?: number;
  /** Partition key of the item it is about. */
  readonly pk?: string;
  readonly what: string;
}

export const BACKUP_PROBLEMS_MAX = 20;

/** By when a backup must have its verdict, after the moment it holds. The offsite copy must have it before it goes to
 * Deep Archive, where reading takes hours. */
export const VERIFIED_WITHIN_MS: Readonly<Record<BackupTier, number>> = {
  hourly: 4 * 3_600_000,
  daily: 18 * 3_600_000,
  weekly: 36 * 3_600_000,
  offsite: 5 * 86_400_000,
};

/**
 * Reads {@link VERDICT_FILE}.
 * @throws {TypeError} it is none, or another backup's; names the key
 */
export function parseBackupVerdict(text: string, key: string): BackupVerdict {
  const verdict: unknown = parsed(text);
  if (!isVerdict(verdict))
    throw new TypeError(`${key}: expected the verdict of a backup, format 1, got ${text.slice(0, 80)}`);
  if (key !== `${verdict.prefix}${VERDICT_FILE}` || !backupOfKey(key))
    throw new TypeError(`${key}: expected the verdict of the backup beside it, got one of ${verdict.prefix}`);
  return verdict;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isVerdict(value: unknown): value is BackupVerdict {
  if (typeof value !== 'object' || value === null) return false;
  const it = value as Partial<Record<keyof BackupVerdict, unknown>>;
  const counts = [it.toMs, it.files, it.items, it.records, it.controls, it.problemCount];
  return (
    it.format === 1 &&
    typeof it.prefix === 'string' &&
    typeof it.exportArn === 'string' &&
    (it.verdict === 'verified' || it.verdict === 'corrupted') &&
    (it.kind === 'full' || it.kind === 'incremental') &&
    (it.fromMs === undefined || Number.isSafeInteger(it.fromMs)) &&
    counts.every(Number.isSafeInteger) &&
    Array.isArray(it.chain) &&
    Array.isArray(it.problems) &&
    isState(it.state) &&
    (it.verdict === 'corrupted') === (it.problemCount !== 0)
  );
}

function isState(value: unknown): value is StateFacts {
  if (typeof value !== 'object' || value === null) return false;
  const { records, digest } = value as Partial<Record<keyof StateFacts, unknown>>;
  return Number.isSafeInteger(records) && typeof digest === 'string' && /^[0-9a-f]{64}$/.test(digest);
}
