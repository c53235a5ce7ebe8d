// A year of ticks under the rules of the synthesized template: exactly which backups there are on any day, and that all
// that the policy promises can be restored.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LOCK_DAYS } from '../../config/retention.ts';
import { type KnownBackup, planBackup } from '../../lambdas/core/backup-plan.ts';
import {
  type BackupTier,
  backupOfKey,
  backupPrefix,
  DAY_MS,
  HOUR_MS,
  tickBefore,
  tickOf,
} from '../../protocol/backups.ts';
import { lifecycleOf, type Rule } from '../../rehearsal/aws/s3/lifecycle.ts';
import { AgedBucket } from '../../rehearsal/retention/aged-bucket.ts';
import { DEV, only, type Resource, stackNamed, synthesize } from './assembly.ts';

const quorum = stackNamed(synthesize(DEV), 'eden-field-dev-foundation-quorum');

function rulesOf(use: string): readonly Rule[] {
  const named = (it: Resource) => JSON.stringify(it.Properties.BucketName).includes(`-${use}-`);
  return lifecycleOf({
    logicalId: use,
    properties: only(quorum, 'AWS::S3::Bucket', named).Properties,
  });
}
const RULES = { backup: rulesOf('backup'), offsite: rulesOf('offsite') };
const bucketFor = (use: keyof typeof RULES, beginMs: number) =>
  new AgedBucket({ rules: RULES[use], lockMs: LOCK_DAYS * DAY_MS, beginMs });

/** After the start of a tick its export is asked for, and after that it is there. */
const MADE_AFTER_MS = 25 * 60_000;
const BEGIN = Date.parse('2027-01-01T00:00:00Z');
const file = (tier: BackupTier, tickMs: number) =>
  `${backupPrefix({ tier, tickMs })}AWSDynamoDB/x/data/y.json.gz`;

/** Puts what a tick of each tier makes, hour by hour, and asks at every step. */
function live(
  bucket: AgedBucket,
  tiers: readonly BackupTier[],
  days: number,
  look: (nowMs: number) => void,
): void {
  for (let tickMs = BEGIN; tickMs < BEGIN + days * DAY_MS; tickMs += HOUR_MS) {
    for (const tier of tiers)
      if (tickOf(tier, tickMs) === tickMs) bucket.put(file(tier, tickMs), { atMs: tickMs + MADE_AFTER_MS });
    look(tickMs + MADE_AFTER_MS + 1);
  }
}

/** The policy, said again and in other words than the rules: ticks of a tier that are not older than so many days. */
function promised(tier: BackupTier, days: number, nowMs: number): readonly string[] {
  const files: string[] = [];
  const first = Math.max(BEGIN, nowMs - days * DAY_MS);
  for (let tickMs = tickOf(tier, nowMs - MADE_AFTER_MS); tickMs >= first; tickMs = tickBefore(tier, tickMs))
    files.push(file(tier, tickMs));
  return files;
}

const DAYS = { hourly: 7, daily: 30, weekly: 365, offsite: 2_555 } as const;

test('on every hour of a year and more there is what the policy promises, and nothing two days older', () => {
  const bucket = bucketFor('backup', BEGIN);
  const tiers = ['hourly', 'daily', 'weekly'] as const;
  live(bucket, tiers, 400, (nowMs) => {
    // Twice a day is enough to see every change: they come at midnight, and with the ticks.
    if (nowMs % (12 * HOUR_MS) > HOUR_MS) return;
    const there = bucket.current();
    for (const tier of tiers)
      for (const key of promised(tier, DAYS[tier], nowMs))
        assert.ok(there.has(key), `${new Date(nowMs).toISOString()}: ${key} is gone`);
    for (const key of there.keys()) {
      const id = backupOfKey(key) ?? assert.fail(key);
      const ageMs = nowMs - id.tickMs;
      assert.ok(
        ageMs < (DAYS[id.tier] + 2) * DAY_MS,
        `${new Date(nowMs).toISOString()}: ${key} is still there`,
      );
    }
  });
});

test('a day like any other, and the last day of a year, by number', () => {
  const bucket = bucketFor('backup', BEGIN);
  const seen = new Map<string, Record<string, number>>();
  const hours = ['2027-01-01T00', '2027-06-15T12', '2028-01-01T23'];
  live(bucket, ['hourly', 'daily', 'weekly'], 366, (nowMs) => {
    const hour = new Date(nowMs).toISOString().slice(0, 13);
    if (!hours.includes(hour)) return;
    const count: Record<string, number> = {};
    for (const key of bucket.current().keys()) {
      const tier = backupOfKey(key)?.tier ?? '';
      count[tier] = (count[tier] ?? 0) + 1;
    }
    seen.set(hour, { ...count, ...bucket.counts() });
  });
  assert.deepEqual(seen.get('2027-01-01T00'), { hourly: 1, daily: 1, versions: 2, markers: 0 });
  // S3 counts days from the midnight after: seven days and today's hours, thirty days and today, every Monday since.
  assert.deepEqual(seen.get('2027-06-15T12'), {
    hourly: 7 * 24 + 13,
    daily: 31,
    weekly: 24,
    // Yesterday's expired ones lie under their markers for a day more, then the markers go too.
    versions: 7 * 24 + 13 + 31 + 24 + 2 * 25,
    markers: 3 * 25,
  });
  assert.deepEqual(
    [
      seen.get('2028-01-01T23')?.['hourly'],
      seen.get('2028-01-01T23')?.['daily'],
      seen.get('2028-01-01T23')?.['weekly'],
    ],
    [8 * 24, 31, 52],
  );
});

test('offsite copies are kept for seven years, in Deep Archive after a week, their manifests where they can be read', () => {
  const bucket = bucketFor('offsite', BEGIN);
  const first = file('offsite', BEGIN);
  const manifest = `${backupPrefix({ tier: 'offsite', tickMs: BEGIN })}backup.json`;
  bucket.put(first, { atMs: BEGIN + MADE_AFTER_MS });
  bucket.put(manifest, { atMs: BEGIN + MADE_AFTER_MS, bytes: 700 });
  const classAt = (days: number) => {
    bucket.age(BEGIN + days * DAY_MS);
    return [bucket.current().get(first), bucket.current().get(manifest)];
  };
  assert.deepEqual(classAt(7.9), ['STANDARD', 'STANDARD']);
  assert.deepEqual(classAt(8), ['DEEP_ARCHIVE', 'STANDARD']);
  for (let tickMs = BEGIN; tickMs < BEGIN + 2_600 * DAY_MS; tickMs = tickOf('offsite', tickMs + 32 * DAY_MS))
    if (tickMs > BEGIN) {
      bucket.put(file('offsite', tickMs), { atMs: tickMs + MADE_AFTER_MS });
      const there = bucket.current();
      for (const key of promised('offsite', DAYS.offsite, tickMs + MADE_AFTER_MS))
        assert.ok(there.has(key), key);
    }
  assert.ok(!bucket.current().has(first), 'after 2,556 days it is over');
});

test('when nothing is made any more, the bucket empties itself to the last version and marker', () => {
  const bucket = bucketFor('backup', BEGIN);
  live(bucket, ['hourly', 'daily', 'weekly'], 10, () => {});
  bucket.put('journal/2027-01-10T23Z/x.ndjson.gz', { atMs: BEGIN + 10 * DAY_MS });
  bucket.age(BEGIN + (10 + 35) * DAY_MS);
  assert.ok(bucket.current().has('journal/2027-01-10T23Z/x.ndjson.gz'));
  bucket.age(BEGIN + (10 + 365 + 5) * DAY_MS);
  assert.equal(bucket.current().size, 0);
  assert.deepEqual(bucket.counts(), { versions: 0, markers: 0 });
});

test('what somebody deletes or writes over stays recoverable for as long as it is locked, and is then freed', () => {
  const weekly = file('weekly', BEGIN);
  const deleted = (verified: boolean, days: number) => {
    const bucket = bucketFor('backup', BEGIN);
    bucket.put(weekly, { atMs: BEGIN });
    if (verified) bucket.lock(weekly, BEGIN + 365 * DAY_MS);
    bucket.remove(weekly, BEGIN + DAY_MS);
    bucket.age(BEGIN + days * DAY_MS);
    return bucket.counts().versions;
  };
  assert.equal(deleted(false, 6.9), 1, 'the lock of the bucket holds for its shortest tier');
  assert.equal(deleted(false, 8), 0);
  assert.equal(deleted(true, 364.9), 1, 'the lock of a verified backup for its whole time');
  assert.equal(deleted(true, 367), 0);
  const bucket = bucketFor('backup', BEGIN);
  bucket.put(weekly, { atMs: BEGIN });
  bucket.put(weekly, { atMs: BEGIN + HOUR_MS });
  bucket.age(BEGIN + 6.9 * DAY_MS);
  assert.deepEqual([bucket.counts().versions, bucket.current().size], [2, 1]);
  bucket.age(BEGIN + 9 * DAY_MS);
  assert.deepEqual([bucket.counts().versions, bucket.current().size], [1, 1]);
});

test('every hour of the last seven days can be restored, whatever daily backups and hours failed before', () => {
  const weeks = fc.record({
    dailies: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 10, maxLength: 10 }),
    hours: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 240, maxLength: 240 }),
  });
  fc.assert(
    fc.property(weeks, ({ dailies, hours }) => {
      const bucket = bucketFor('backup', BEGIN);
      let known: KnownBackup[] = [];
      const make = (tier: 'hourly' | 'daily', tickMs: number) => {
        const plan = planBackup({
          tier,
          tickMs,
          region: 'us-east-1',
          known: known.filter((it) => tickMs - it.toMs <= 2 * DAY_MS),
          restorable: { earliestMs: 0, latestMs: tickMs },
        });
        assert.ok(plan.kind === 'full' || plan.kind === 'incremental');
        bucket.put(file(tier, tickMs), { atMs: tickMs + MADE_AFTER_MS });
        known.push({
          ...{ tier, tickMs, toMs: tickMs, kind: plan.kind, chain: plan.chain },
          ...{ attempt: 1, exportArn: 'x', state: 'completed' },
        });
      };
      for (const [index, fate] of hours.entries()) {
        const tickMs = BEGIN + index * HOUR_MS;
        if (index % 24 === 0 && dailies[index / 24] !== 0) make('daily', tickMs);
        if (fate !== 0) make('hourly', tickMs);
        if (index % 8 !== 0) continue;
        for (const nowMs of [tickMs + MADE_AFTER_MS, tickMs + HOUR_MS - 1]) {
          bucket.age(nowMs);
          const there = new Set(
            [...bucket.current().keys()].map((key) => backupPrefix(backupOfKey(key) ?? assert.fail(key))),
          );
          known = known.filter((it) => nowMs - it.toMs <= 7 * DAY_MS);
          for (const it of known)
            for (const prefix of [...it.chain, backupPrefix(it)])
              assert.ok(
                there.has(prefix),
                `${backupPrefix(it)} at ${new Date(nowMs).toISOString()}: no ${prefix}`,
              );
        }
      }
    }),
    { numRuns: 3 },
  );
});
