// What the policy promises of backups (config/), said again from the outside: held against what a bucket has at a moment.
// S3 counts days from the midnight after, so what is over may stay for two days more and no longer.
import { RETENTION_DAYS } from '../../config/promises.ts';
import {
  ARCHIVED_AFTER_DAYS,
  type BackupBucketUse,
  JOURNAL_DAYS,
  LOCK_DAYS,
  NONCURRENT_DAYS,
} from '../../config/retention.ts';
import {
  type BackupTier,
  backupPrefix,
  DAY_MS,
  HOUR_MS,
  tickBefore,
  tickOf,
} from '../../protocol/backups.ts';
import { currentOf, isThere, type Life, type Made } from './year.ts';

export interface Difference {
  /** Of a kind all that differ alike are one. */
  readonly kind: string;
  readonly atMs: number;
  /** What was expected, and what came. */
  readonly what: string;
}

const TIERS: Readonly<Record<BackupBucketUse, readonly BackupTier[]>> = {
  backup: ['hourly', 'daily', 'weekly'],
  offsite: ['offsite'],
};
/** From the start of a tick until its backup is there, and until it is verified and locked for its whole time. */
const THERE_AFTER_MS = HOUR_MS;
const LOCKED_AFTER_MS = 3 * HOUR_MS;
const ROUNDED_DAYS = 2;

export function differencesAt(life: Life, nowMs: number): readonly Difference[] {
  const { use } = life.keeping;
  const found: Difference[] = [];
  const differ = (kind: string, what: string) => found.push({ kind, atMs: nowMs, what });
  for (const tier of TIERS[use]) promisedDiffer(life, tier, nowMs, differ);
  if (use === 'backup') journalDiffers(life, nowMs, differ);
  heldDiffers(life, nowMs, differ);
  return found;
}

type Differ = (kind: string, what: string) => void;

/** Every tick that is not older than its tier's time. */
function promisedDiffer(life: Life, tier: BackupTier, nowMs: number, differ: Differ): void {
  const days = RETENTION_DAYS[tier];
  const oldestMs = Math.max(life.beganMs, nowMs - days * DAY_MS);
  for (
    let tickMs = tickOf(tier, nowMs - THERE_AFTER_MS);
    tickMs >= oldestMs;
    tickMs = tickBefore(tier, tickMs)
  ) {
    const made = life.made[tier].get(tickMs);
    if (!made)
      differ(
        `${tier} not made`,
        `expected ${backupPrefix({ tier, tickMs })} to be made, no schedule made it`,
      );
    else if (!isThere(life, made))
      differ(`${tier} gone`, `expected ${made.prefix} to be kept ${days} days, it is gone`);
    else {
      const gone = made.chain.find((it) => !isThere(life, it));
      if (gone)
        differ(
          `${tier} not restorable`,
          `expected ${made.prefix} to be restorable, ${gone.prefix} in its chain is gone`,
        );
      storedDiffers(life, made, nowMs, differ);
    }
  }
}

/** Its lock, and its storage class. */
function storedDiffers(
  { bucket }: Life,
  { prefix, tier, tickMs, dataKey }: Made,
  nowMs: number,
  differ: Differ,
): void {
  const version = currentOf(bucket.versions().get(dataKey));
  if (!version) return;
  const ageMs = nowMs - tickMs;
  const days = ageMs < LOCKED_AFTER_MS ? LOCK_DAYS : Math.max(LOCK_DAYS, RETENTION_DAYS[tier]);
  const lockedDays = ((version.lockedUntil ?? tickMs) - tickMs) / DAY_MS;
  if (!(lockedDays >= days))
    differ(
      `${tier} lock`,
      `expected ${prefix} to be locked for ${days} days from its tick, got ${lockedDays.toFixed(1)}`,
    );
  const classes = classesAt(tier, ageMs / DAY_MS);
  if (!classes.includes(version.storageClass))
    differ(
      `${tier} storage class`,
      `expected ${prefix} in ${classes.join(' or ')}, got ${version.storageClass}`,
    );
}

function classesAt(tier: BackupTier, ageDays: number): readonly string[] {
  if (tier !== 'offsite' || ageDays < ARCHIVED_AFTER_DAYS) return ['STANDARD'];
  return ageDays < ARCHIVED_AFTER_DAYS + ROUNDED_DAYS ? ['STANDARD', 'DEEP_ARCHIVE'] : ['DEEP_ARCHIVE'];
}

function journalDiffers({ bucket, beganMs, journal }: Life, nowMs: number, differ: Differ): void {
  const oldestMs = Math.max(beganMs, nowMs - JOURNAL_DAYS * DAY_MS);
  for (let atMs = tickOf('hourly', nowMs - HOUR_MS); atMs >= oldestMs; atMs -= HOUR_MS) {
    const key = journal.get(atMs) ?? '';
    if (!currentOf(bucket.versions().get(key)))
      differ('journal gone', `expected ${key} to be kept ${JOURNAL_DAYS} days, it is gone`);
  }
}

/** Nothing that is over is still there, seen or unseen. */
function heldDiffers(life: Life, nowMs: number, differ: Differ): void {
  for (const [key, versions] of life.bucket.versions()) {
    const [newest, ...others] = versions;
    if (!newest) continue;
    const tier = life.tierOf(key);
    const days = tier ? RETENTION_DAYS[tier] : JOURNAL_DAYS;
    const of = tier ?? 'journal';
    const ageDays = (nowMs - newest.modifiedAt) / DAY_MS;
    if (!newest.isMarker && ageDays >= days + ROUNDED_DAYS)
      differ(`${of} kept`, `expected ${key} to be gone after ${days} days, it is still there`);
    if (newest.isMarker && others.length === 0 && ageDays >= NONCURRENT_DAYS + ROUNDED_DAYS)
      differ(`${of} marker`, `expected the delete marker of ${key} to go once nothing is under it, it stays`);
    const isPaid = others.some(({ lockedUntil }) => (lockedUntil ?? 0) <= nowMs - ROUNDED_DAYS * DAY_MS);
    if (isPaid && ageDays >= NONCURRENT_DAYS + ROUNDED_DAYS)
      differ(
        `${of} unseen`,
        `expected the old version of ${key} to go after ${NONCURRENT_DAYS} day and its lock, it is still there`,
      );
  }
}
