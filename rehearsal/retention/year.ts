// Time passing over a bucket of backups: every tick of every tier is made when its schedule says, verified and locked an
// hour later, and kept as the bucket's rules say, midnight by midnight. No machine's time is waited for, so seven years
// take seconds; what is there can be looked at on any day.
import {
  type BackupTier,
  backupPrefix,
  DAY_MS,
  HOUR_MS,
  tickOf,
  VERDICT_FILE,
} from '../../protocol/backups.ts';
import { JOURNAL_PREFIX, journalHour } from '../../protocol/journal.ts';
import type { Aged } from '../aws/s3/lifecycle.ts';
import { nextRun } from '../region/schedule-expression.ts';
import { AgedBucket } from './aged-bucket.ts';
import type { Keeping } from './keeping.ts';

/** A backup as it was made. */
export interface Made {
  readonly tier: BackupTier;
  readonly tickMs: number;
  readonly prefix: string;
  /** What it goes on top of, the full one first; empty for a full one. */
  readonly chain: readonly Made[];
  /** Of its data, and of what is beside it: large, and so moved between storage classes; and small, and never moved. */
  readonly dataKey: string;
  readonly verdictKey: string;
}

export interface Life {
  readonly keeping: Keeping;
  readonly bucket: AgedBucket;
  readonly beganMs: number;
  /** All there ever were, by the start of their tick. */
  readonly made: Readonly<Record<BackupTier, ReadonlyMap<number, Made>>>;
  /** Keys of the journal, by the start of their hour. */
  readonly journal: ReadonlyMap<number, string>;
  /** By key; undefined for the journal's. */
  tierOf(key: string): BackupTier | undefined;
}

/** After its schedule's run: what DynamoDB takes for an export, and then our verification. */
const EXPORT_MS = 5 * 60_000;
const VERIFIED_MS = HOUR_MS;
/** Of a stream's changes a segment is written every few seconds; one an hour is played. */
const JOURNAL_MS = 10_000;
const DATA_BYTES = 64 * 1024 * 1024;
const SMALL_BYTES = 2 * 1024;

/**
 * Lives through `days` days from `fromMs` on, and asks `look` at every moment of `lookAt` (ms after a midnight).
 * @param lookAt ascending
 */
export function live(
  keeping: Keeping,
  {
    fromMs,
    days,
    lookAt,
  }: { readonly fromMs: number; readonly days: number; readonly lookAt: readonly number[] },
  look: (life: Life, nowMs: number) => void,
): void {
  const diary = new Diary(keeping, fromMs);
  const { bucket } = diary;
  let waiting: readonly Event[] = [];
  for (let day = 0; day < days; day += 1) {
    const midnight = fromMs + day * DAY_MS;
    const looks = lookAt.map((after): Event => ({ atMs: midnight + after, happen: (at) => look(diary, at) }));
    const events = [...waiting, ...looks, ...ticksOf(diary, midnight)].sort((a, b) => a.atMs - b.atMs);
    for (const { atMs, happen } of events)
      if (atMs < midnight + DAY_MS) {
        bucket.age(atMs);
        happen(atMs);
      }
    waiting = events.filter(({ atMs }) => atMs >= midnight + DAY_MS);
  }
}

interface Event {
  readonly atMs: number;
  readonly happen: (atMs: number) => void;
}

class Diary implements Life {
  readonly keeping: Keeping;
  readonly bucket: AgedBucket;
  readonly beganMs: number;
  readonly made: Readonly<Record<BackupTier, Map<number, Made>>> = {
    hourly: new Map(),
    daily: new Map(),
    weekly: new Map(),
    offsite: new Map(),
  };
  readonly journal = new Map<number, string>();
  readonly #tiers = new Map<string, BackupTier>();

  constructor(keeping: Keeping, beganMs: number) {
    this.keeping = keeping;
    this.beganMs = beganMs;
    this.bucket = new AgedBucket({ rules: keeping.rules, lockMs: keeping.lockMs, beginMs: beganMs });
  }

  /** Once: whoever comes again finds it complete. */
  make(tier: BackupTier, tickMs: number, atMs: number): void {
    if (this.made[tier].has(tickMs)) return;
    const prefix = backupPrefix({ tier, tickMs });
    const [dataKey, verdictKey] = [
      `${prefix}AWSDynamoDB/export/data/part.json.gz`,
      `${prefix}${VERDICT_FILE}`,
    ];
    const chain = tier === 'hourly' ? this.#chainOf(tickMs) : [];
    this.made[tier].set(tickMs, { tier, tickMs, prefix, chain, dataKey, verdictKey });
    this.bucket.put(dataKey, { atMs, bytes: DATA_BYTES });
    this.bucket.put(verdictKey, { atMs, bytes: SMALL_BYTES });
    this.#tiers.set(dataKey, tier).set(verdictKey, tier);
  }

  /** As the verification does, for so many days from the tick. */
  lock(tier: BackupTier, tickMs: number, days: number): void {
    const made = this.made[tier].get(tickMs);
    for (const key of made ? [made.dataKey, made.verdictKey] : [])
      this.bucket.lock(key, tickMs + days * DAY_MS);
  }

  writeJournal(hourMs: number, atMs: number): void {
    const key = `${JOURNAL_PREFIX}${journalHour(hourMs)}/segment.ndjson.gz`;
    this.journal.set(hourMs, key);
    this.bucket.put(key, { atMs });
  }

  tierOf(key: string): BackupTier | undefined {
    return this.#tiers.get(key);
  }

  /** The daily one of the day that the tick ends or is in, and every hour since (docs/ARCHITECTURE.md, backups); none
   * where that day has no daily one: then the hour is full. */
  #chainOf(tickMs: number): readonly Made[] {
    const { daily, hourly } = this.made;
    const dayMs = tickOf('daily', tickMs - 1);
    const first = daily.get(dayMs);
    if (!first) return [];
    const chain = [first];
    for (let hour = dayMs + HOUR_MS; hour < tickMs; hour += HOUR_MS) {
      const made = hourly.get(hour);
      if (made) chain.push(made);
    }
    return chain;
  }
}

function ticksOf(diary: Diary, midnight: number): readonly Event[] {
  const { use, schedules, verifiedLockDays } = diary.keeping;
  const events: Event[] = [];
  for (const [tier, schedule] of schedules)
    for (
      let run = nextRun(schedule, midnight - 1, midnight);
      run !== undefined && run < midnight + DAY_MS;
      run = nextRun(schedule, run, midnight)
    ) {
      const tickMs = tickOf(tier, run);
      events.push({ atMs: run + EXPORT_MS, happen: (atMs) => diary.make(tier, tickMs, atMs) });
      const days = verifiedLockDays[tier];
      if (days !== undefined)
        events.push({ atMs: run + EXPORT_MS + VERIFIED_MS, happen: () => diary.lock(tier, tickMs, days) });
    }
  if (use === 'backup')
    for (let hourMs = midnight; hourMs < midnight + DAY_MS; hourMs += HOUR_MS)
      events.push({ atMs: hourMs + JOURNAL_MS, happen: (atMs) => diary.writeJournal(hourMs, atMs) });
  return events;
}

/** Whether a reader finds it. */
export function isThere({ bucket }: Life, { dataKey }: Made): boolean {
  return currentOf(bucket.versions().get(dataKey)) !== undefined;
}

export function currentOf(versions: readonly Aged[] | undefined): Aged | undefined {
  const newest = versions?.[0];
  return newest && !newest.isMarker ? newest : undefined;
}

/** Whether it is there, and all that it goes on top of. */
export function isRestorable(life: Life, made: Made): boolean {
  return isThere(life, made) && made.chain.every((it) => isThere(life, it));
}
