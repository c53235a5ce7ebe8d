// The verification function on buckets in memory: what it gets to, what it finds, and how it goes on where it was
// interrupted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createVerification } from '../../lambdas/routes/verification.ts';
import type { SavedVerification, VerificationLog } from '../../lambdas/store/verification-items.ts';
import {
  type BackupVerdict,
  parseBackupVerdict,
  VERIFIED_WITHIN_MS,
} from '../../protocol/backup-verdicts.ts';
import { DAY_MS, HOUR_MS, VERDICT_FILE } from '../../protocol/backups.ts';
import { exportFolder, MANIFEST_FILES, MANIFEST_SUMMARY } from '../../protocol/export-files.ts';
import { Bucket } from './backup-world.ts';
import {
  changesOf,
  DAY,
  type Exported,
  exported,
  itemsOf,
  recordItem,
  type Table,
  tableOf,
} from './exports.ts';
import { REGIONS, Recorder } from './functions.ts';
import { MemoryScratch } from './scratch-world.ts';
import { stand } from './standing-backup.ts';

const TABLE = tableOf(
  ...Array.from({ length: 12 }, (_, at) => recordItem(`n${at}`, DAY - 99 + at, `{"é":${at}}`)),
);
const EDITED = tableOf(...TABLE.values(), recordItem('new', DAY + 5, '{}'));
const daily = 'daily/2026-11-24/';
const hourly = 'hourly/2026-11-24T01Z/';
const hour = (before: Table, after: Table) =>
  exported('hourly', DAY + HOUR_MS, changesOf(before, after, DAY + 7), { chain: [daily], files: 1 });

class World {
  readonly bucket = new Bucket();
  readonly saved = new Map<string, SavedVerification>();
  readonly scratch = new MemoryScratch();
  telemetry = new Recorder();
  nowMs = DAY + 2 * HOUR_MS;
  /** A file takes so long. */
  fileMs = 0;
  /** Called when the state is saved. */
  onSave: () => void = () => {};
  read: string[] = [];

  readonly log: VerificationLog = {
    load: async (what) => this.saved.get(what) ?? { revision: 0, state: undefined },
    save: async (what, saved) => {
      this.onSave();
      if ((this.saved.get(what)?.revision ?? 0) !== saved.revision - 1) return false;
      this.saved.set(what, saved);
      return true;
    },
  };

  async run(): Promise<void> {
    const { bucket } = this;
    const store = Object.assign(Object.create(bucket) as Bucket, {
      file: async (key: string) => {
        this.read.push(key);
        this.nowMs += this.fileMs;
        return bucket.file(key);
      },
    });
    await createVerification({
      place: { stage: 'dev', role: 'primary', region: REGIONS.primary, regions: REGIONS },
      telemetry: this.telemetry,
      now: () => this.nowMs,
      log: this.log,
      places: [{ tiers: ['hourly', 'daily', 'weekly'], store }],
      lockDays: { daily: 30, weekly: 365 },
      journal: async () => {},
      scratch: { tables: this.scratch, prefix: 'eden-field-dev-scratch-' },
    })();
  }

  verdict(prefix: string): BackupVerdict | undefined {
    const text = this.bucket.objects.get(`${prefix}${VERDICT_FILE}`);
    return text === undefined ? undefined : parseBackupVerdict(text, `${prefix}${VERDICT_FILE}`);
  }

  last(name: string): number | undefined {
    return this.telemetry.samples.findLast((sample) => sample.name === name)?.value;
  }
}

function standing(...backups: readonly Exported[]): World {
  const world = new World();
  for (const backup of backups) stand(world.bucket, backup);
  return world;
}

const FULL = exported('daily', DAY, itemsOf(TABLE));

test('a full backup and the hour on top of it get their verdicts in one go, and every object of the longer tier its lock', async () => {
  const world = standing(hour(TABLE, EDITED), FULL);
  world.bucket.page = 4;
  world.bucket.pieces = 7;
  await world.run();
  assert.equal(world.verdict(daily)?.verdict, 'verified');
  const applied = world.verdict(hourly);
  assert.deepEqual([applied?.verdict, applied?.state.records], ['verified', EDITED.size]);
  const objects = [...world.bucket.objects.keys(), ...world.bucket.files.keys()];
  const locked = objects.filter((key) => key.startsWith(daily) && !key.endsWith(VERDICT_FILE));
  assert.deepEqual([...world.bucket.locks.keys()].sort(), locked.sort());
  assert.ok([...world.bucket.locks.values()].every((until) => until === DAY + 30 * DAY_MS));
  assert.deepEqual(
    [world.last('backup_verified'), world.last('backup_corrupted'), world.last('backup_unverified_age')],
    [2, 0, 0],
  );
  assert.deepEqual(world.telemetry.errors, []);
  await world.run();
  assert.equal(world.read.length, 4, 'what has its verdict is not read again');
});

test('goes on in the next invocation where its time was up, and reads no file twice', async () => {
  const world = standing(exported('daily', DAY, itemsOf(TABLE), { files: 6 }));
  world.fileMs = 250_000;
  for (let run = 1; world.verdict(daily) === undefined; run += 1) {
    assert.ok(run < 5, 'expected it to end');
    await world.run();
  }
  assert.equal(new Set(world.read).size, 6);
  assert.equal(world.read.length, 6);
  assert.equal(world.verdict(daily)?.verdict, 'verified');
  assert.ok((world.verdict(daily)?.invocations ?? 0) > 1);
  assert.equal([...world.saved.values()][0]?.state, undefined, 'nothing is left under way');
});

test('of two that run at once one stops, and the verdict is whole', async () => {
  const world = standing(FULL);
  let other: Promise<void> | undefined;
  world.onSave = () => {
    world.onSave = () => {};
    other = world.run();
  };
  await world.run();
  await other;
  await world.run();
  assert.deepEqual([world.verdict(daily)?.verdict, world.verdict(daily)?.records], ['verified', 12]);
});

const at = (key: string) => (world: World) => world.bucket.files.get(key) ?? assert.fail(key);
const file = `${daily}AWSDynamoDB/data/1.json.gz`;
const folder = exportFolder(daily, FULL.backup.exportArn);
for (const [what, spoil, problem] of [
  [
    'a bit flipped in a data file',
    (world: World) => {
      const bytes = Uint8Array.from(at(file)(world));
      bytes[30] = (bytes[30] ?? 0) ^ 1;
      world.bucket.files.set(file, bytes);
    },
    // Where it hits decides what is found first.
    { file, what: /./ },
  ],
  [
    'a data file that is cut off',
    (world: World) => world.bucket.files.set(file, at(file)(world).subarray(0, 40)),
    { file, what: /^expected a whole gzip file, got: unexpected end of file$/ },
  ],
  [
    'a data file that is gone',
    (world: World) => world.bucket.files.delete(file),
    { file, what: /^expected a whole gzip file, got: no such file$/ },
  ],
  [
    'a data file that is another, whole one',
    (world: World) => world.bucket.files.set(file, gzipSync('')),
    { file, what: /^expected the MD5 \S+ of its manifest, got \S+$/ },
  ],
  [
    'a data file that is not UTF-8',
    (world: World) => world.bucket.files.set(file, gzipSync(Uint8Array.of(0x7b, 0xff))),
    { file, what: /^expected a whole gzip file, got: .*encoded data was not valid/ },
  ],
  [
    'a manifest that was changed',
    (world: World) => {
      const key = `${folder}${MANIFEST_FILES}`;
      world.bucket.objects.set(
        key,
        `${world.bucket.objects.get(key)?.replaceAll('"etag":"x"', '"etag":"y"')}`,
      );
    },
    { file: `${folder}${MANIFEST_FILES}`, what: /^expected the MD5 \S+ of \S+manifest-files\.md5, got/ },
  ],
  [
    'a manifest without its checksum',
    (world: World) => world.bucket.objects.delete(`${folder}manifest-summary.md5`),
    { file: `${folder}${MANIFEST_SUMMARY}`, what: /^expected its checksum beside it, got none$/ },
  ],
  [
    'a manifest that cannot be read',
    (world: World) => world.bucket.objects.set(`${folder}${MANIFEST_FILES}`, '{"itemCount":'),
    { file: `${folder}${MANIFEST_FILES}`, what: /^expected JSON/ },
  ],
  [
    'a manifest that is gone',
    (world: World) => world.bucket.objects.delete(`${folder}${MANIFEST_FILES}`),
    { file: `${folder}${MANIFEST_FILES}`, what: /^expected a manifest, got none$/ },
  ],
] as const)
  test(`${what} is a verdict that names the file, a count and no lock; what stands on it is corrupted too`, async () => {
    const world = standing(FULL, hour(TABLE, EDITED));
    spoil(world);
    await world.run();
    const verdict = world.verdict(daily);
    assert.equal(verdict?.verdict, 'corrupted');
    const found = verdict?.problems.find((it) => it.file === problem.file && problem.what.test(it.what));
    assert.ok(found, JSON.stringify(verdict?.problems));
    assert.ok(world.telemetry.errors.some((line) => line.includes(problem.file)));
    assert.equal(world.bucket.locks.size, 0);
    assert.match(
      world.verdict(hourly)?.problems[0]?.what ?? '',
      /^expected its chain to be verified, daily\//,
    );
    assert.equal(world.last('backup_corrupted'), 2);
  });

test('a bucket that stops answering is no verdict: the next invocation tries again', async () => {
  const world = standing(FULL);
  const failing = world.bucket.file;
  world.bucket.file = async () => {
    world.bucket.isGone = true;
    return failing.call(world.bucket, 'x');
  };
  await assert.rejects(world.run(), /not every verification could go on/);
  assert.equal(world.last('backup_unverified_age'), 0, 'what is known is reported all the same');
  world.bucket.isGone = false;
  world.bucket.file = failing;
  assert.equal(world.verdict(daily), undefined);
  await world.run();
  assert.equal(world.verdict(daily)?.verdict, 'verified');
});

test('a verdict that is late is told by how much', async () => {
  const world = standing(FULL);
  world.nowMs = DAY + VERIFIED_WITHIN_MS.daily + 1_000;
  world.bucket.file = async () => {
    throw new Error('it cannot be read');
  };
  await assert.rejects(world.run());
  assert.equal(world.last('backup_unverified_age'), 1_000);
});

test('an hour that reaches back behind what is looked at finds its chain’s verdicts', async () => {
  const world = standing(FULL, hour(TABLE, EDITED));
  await world.run();
  world.bucket.objects.delete(`${hourly}${VERDICT_FILE}`);
  world.nowMs = DAY + 25 * HOUR_MS;
  await world.run();
  assert.equal(world.verdict(hourly)?.verdict, 'verified');
});
