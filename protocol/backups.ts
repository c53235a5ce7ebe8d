// Where backups stand in a bucket, what is written beside them, and which moments they hold (DESIGN §6). A backup holds
// the table as it was at the start of its tick; tick and tier make its key, so that two who make it make one. Times are
// Unix ms, days and hours UTC.

export const BACKUP_TIERS = ['hourly', 'daily', 'weekly', 'offsite'] as const;
export type BackupTier = (typeof BACKUP_TIERS)[number];

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
/** 1970-01-01 was a Thursday; weeks begin on Monday. */
const FIRST_MONDAY_MS = 4 * DAY_MS;

/** What was asked of DynamoDB, and what the verification found. */
export const BACKUP_FILE = 'backup.json';
export const VERDICT_FILE = 'verdict.json';

export interface BackupId {
  readonly tier: BackupTier;
  readonly tickMs: number;
}

/** {@link BACKUP_FILE}: what was asked for, written once DynamoDB accepted it. That it is complete only the export's own
 * manifest says, which DynamoDB writes last. */
export interface Backup {
  readonly format: 1;
  readonly tier: BackupTier;
  readonly tick: string;
  readonly region: string;
  readonly tableArn: string;
  readonly exportArn: string;
  /** `full`: the table at `toMs`. `incremental`: what changed from `fromMs` on and before `toMs`. */
  readonly kind: 'full' | 'incremental';
  readonly fromMs?: number;
  readonly toMs: number;
  /** Prefixes in the same bucket that an incremental one goes on top of, the full one first; empty for a full one. */
  readonly chain: readonly string[];
  readonly askedAtMs: number;
  /** How many exports were asked for before it failed and this one was. */
  readonly attempt: number;
  /** The table's own when it was asked for (PROTOCOL 1.4). */
  readonly restoreEpoch: number;
  /** Why it is full or incremental, in words. */
  readonly why: string;
}

/** The start of the tick that a moment is in: its hour, its day, its week from Monday, its month. */
export function tickOf(tier: BackupTier, atMs: number): number {
  if (tier === 'hourly') return floorTo(atMs, HOUR_MS);
  if (tier === 'daily') return floorTo(atMs, DAY_MS);
  if (tier === 'weekly') return floorTo(atMs - FIRST_MONDAY_MS, WEEK_MS) + FIRST_MONDAY_MS;
  const at = new Date(atMs);
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1);
}

/** The tick before one. */
export function tickBefore(tier: BackupTier, tickMs: number): number {
  return tickOf(tier, tickMs - 1);
}

/** `2026-11-24T13Z` for an hour, `2026-11-24` for a day and for what begins on it. */
export function tickText({ tier, tickMs }: BackupId): string {
  const text = new Date(tickMs).toISOString();
  return tier === 'hourly' ? `${text.slice(0, 13)}Z` : text.slice(0, 10);
}

/** Inverse of {@link tickText}; undefined for a text that is no tick of that tier. */
export function tickIn(tier: BackupTier, text: string): number | undefined {
  const tickMs = Date.parse(tier === 'hourly' ? text.replace(/Z$/, ':00:00Z') : `${text}T00:00:00Z`);
  if (!Number.isFinite(tickMs) || tickOf(tier, tickMs) !== tickMs) return undefined;
  return tickText({ tier, tickMs }) === text ? tickMs : undefined;
}

/** Ends in a slash, so that no tick is another's beginning. */
export function backupPrefix(id: BackupId): string {
  return `${id.tier}/${tickText(id)}/`;
}

/** Which backup a key belongs to; undefined for what belongs to none, such as the journal. */
export function backupOfKey(key: string): BackupId | undefined {
  const [first, tick, ...rest] = key.split('/');
  const tier = BACKUP_TIERS.find((it) => it === first);
  if (!tier || tick === undefined || rest.length === 0) return undefined;
  const tickMs = tickIn(tier, tick);
  return tickMs === undefined ? undefined : { tier, tickMs };
}

/**
 * Reads {@link BACKUP_FILE}.
 * @throws {TypeError} it is none, or says another backup than its key does; names the key
 */
export function parseBackup(text: string, key: string): Backup {
  const refuse = (expected: string, got: unknown): never => {
    throw new TypeError(`${key}: expected ${expected}, got ${JSON.stringify(got) ?? 'nothing'}`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    refuse('JSON', text.slice(0, 40));
  }
  if (!isBackup(value)) return refuse('what was asked of DynamoDB for a backup, format 1', value);
  if (!key.startsWith(`${value.tier}/${value.tick}/`))
    refuse(`the backup its key says`, `${value.tier}/${value.tick}/`);
  if ((value.kind === 'incremental') !== (value.fromMs !== undefined && value.chain.length > 0))
    refuse('a start and a chain of an incremental backup, and none of a full one', value);
  return value;
}

function isBackup(value: unknown): value is Backup {
  if (typeof value !== 'object' || value === null) return false;
  const backup = value as Partial<Record<keyof Backup, unknown>>;
  const { format, tier, tick, kind, fromMs, chain } = backup;
  const known = BACKUP_TIERS.find((it) => it === tier);
  return (
    format === 1 &&
    known !== undefined &&
    typeof tick === 'string' &&
    tickIn(known, tick) !== undefined &&
    (kind === 'full' || kind === 'incremental') &&
    (fromMs === undefined || Number.isSafeInteger(fromMs)) &&
    Array.isArray(chain) &&
    chain.every((prefix) => typeof prefix === 'string') &&
    [backup.region, backup.tableArn, backup.exportArn, backup.why].every((it) => typeof it === 'string') &&
    [backup.toMs, backup.askedAtMs, backup.attempt, backup.restoreEpoch].every(Number.isSafeInteger)
  );
}

function floorTo(atMs: number, stepMs: number): number {
  return Math.floor(atMs / stepMs) * stepMs;
}
