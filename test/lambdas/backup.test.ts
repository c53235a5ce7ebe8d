// The backup function: what each schedule's call makes, what it makes up for, and how missing copies are told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backupCallOf } from '../../lambdas/routes/backup.ts';
import { BACKUP_FILE, HOUR_MS, parseBackup } from '../../protocol/backups.ts';
import { BackupWorld } from './backup-world.ts';
import { REGIONS } from './functions.ts';

const DAY = Date.parse('2026-11-24T00:00:00Z');
const MINUTE_MS = 60_000;
const ALL = ['primary', 'standby', 'quorum'] as const;
const failed = (world: BackupWorld, role: (typeof ALL)[number] = 'primary') =>
  world.log(role).samples.findLast(({ name }) => name === 'backup_replicas_failed')?.value;
const copies = (world: BackupWorld, role: (typeof ALL)[number]) =>
  world.log(role).samples.findLast(({ name }) => name === 'backup_copies')?.value;

test('a day of schedules makes a full backup and a chain of hours in every Region', async () => {
  const world = new BackupWorld(DAY);
  await world.hour(ALL, ['hourly', 'daily']);
  for (let hour = 1; hour < 24; hour += 1) await world.hour(ALL);
  for (const role of ALL) {
    const made = world.made(world.bucket(role));
    const hours = [...made].filter(([prefix]) => prefix.startsWith('hourly/'));
    assert.equal(hours.length, 24);
    // The first has no day before it to go on from.
    assert.deepEqual(
      hours.map(([, kind]) => kind),
      ['full', ...Array.from({ length: 23 }, () => 'incremental')],
    );
    assert.equal(made.get('daily/2026-11-24/'), 'full');
    const key = `hourly/2026-11-24T05Z/${BACKUP_FILE}`;
    const backup = parseBackup(world.bucket(role).objects.get(key) ?? '', key);
    assert.deepEqual(backup.chain.length, 5);
    assert.equal(backup.chain[0], 'daily/2026-11-24/');
    assert.deepEqual(
      [backup.region, backup.fromMs, backup.toMs, backup.restoreEpoch, backup.attempt],
      [REGIONS[role], DAY + 4 * HOUR_MS, DAY + 5 * HOUR_MS, 7, 1],
    );
    assert.deepEqual(world.log(role).errors, []);
  }
});

test('what a schedule missed, the hourly call makes up for, and no sooner than that schedule had its turn', async () => {
  const world = new BackupWorld(DAY);
  world.pass(20 * MINUTE_MS);
  await world.call('quorum', 'hourly');
  assert.equal(world.made(world.bucket('quorum')).has('daily/2026-11-24/'), false);
  world.pass(HOUR_MS);
  await world.call('quorum', 'hourly');
  world.pass(HOUR_MS);
  const made = world.made(world.bucket('quorum'));
  assert.equal(made.get('daily/2026-11-24/'), 'full');
  assert.equal(made.get('weekly/2026-11-23/'), 'full');
  assert.deepEqual([...world.made(world.offsite)], [['offsite/2026-11-01/', 'full']]);
  const asked = world.exporter('quorum').asked.length;
  await world.call('quorum', 'hourly');
  assert.equal(world.exporter('quorum').asked.length, asked + 1, 'and once');
});

test('two runs of one tick, and one that is called again, make one export', async () => {
  const world = new BackupWorld(DAY);
  world.pass(20 * MINUTE_MS);
  await Promise.all([world.call('primary', 'daily'), world.call('primary', 'daily')]);
  await world.call('primary', 'daily');
  assert.equal(world.exporter('primary').asked.length, 1);
});

test('a call that comes late is still for its own tick, and one that comes after a later one is over', async () => {
  const world = new BackupWorld(DAY);
  world.pass(90 * MINUTE_MS);
  await world.call('primary', 'hourly', DAY + 20 * MINUTE_MS);
  assert.ok(world.made(world.bucket('primary')).has('hourly/2026-11-24T00Z/'));
  await world.call('primary', 'hourly', DAY + 80 * MINUTE_MS);
  const asked = world.exporter('primary').asked.length;
  await world.call('primary', 'hourly', DAY - 40 * MINUTE_MS);
  assert.equal(world.exporter('primary').asked.length, asked);
});

test('waits for the tick to become restorable, and says so when it does not', async () => {
  const world = new BackupWorld(DAY);
  world.exporter('primary').lagMs = 21 * MINUTE_MS;
  world.pass(20 * MINUTE_MS);
  await world.call('primary', 'daily');
  assert.equal(world.exporter('primary').asked.length, 1);
  assert.ok(world.nowMs >= DAY + 21 * MINUTE_MS);
  const slow = new BackupWorld(DAY);
  slow.exporter('primary').lagMs = HOUR_MS;
  slow.pass(20 * MINUTE_MS);
  await assert.rejects(slow.call('primary', 'daily'), /not every backup could be asked for/);
  assert.match(
    slow.log('primary').errors.join(),
    /daily\/2026-11-24\/ was not asked for: the replica can be exported/,
  );
});

test('an export that failed is asked for again by the next hour, and the failure is in the log', async () => {
  const world = new BackupWorld(DAY);
  world.exporter('primary').fails = true;
  await world.hour(['primary'], ['daily']);
  world.exporter('primary').fails = false;
  await world.hour(['primary']);
  const key = `daily/2026-11-24/${BACKUP_FILE}`;
  assert.equal(parseBackup(world.bucket('primary').objects.get(key) ?? '', key).attempt, 2);
  assert.equal(world.made(world.bucket('primary')).get('daily/2026-11-24/'), 'full');
  assert.match(world.log('primary').errors.join(), /an export failed: Error: S3AccessDenied/);
});

test('without a table that answers there is no lease, and a backup all the same', async () => {
  const world = new BackupWorld(DAY);
  world.isTableGone = true;
  await world.hour(ALL, ['daily']);
  for (const role of ALL) assert.equal(world.made(world.bucket(role)).get('daily/2026-11-24/'), 'full');
});

for (const [what, roles, expected] of [
  ['all Regions are there', ALL, 0],
  ['one Region is gone', ['primary', 'standby'], 1],
  ['two Regions are gone', ['primary'], 2],
] as const)
  test(`${expected} copies are missing when ${what}; the others go on`, async () => {
    const world = new BackupWorld(DAY);
    for (const exports of world.exports.values()) exports.earliestMs = DAY;
    await world.hour(ALL, ['hourly', 'daily']);
    assert.equal(failed(world), 0, 'what should not be there yet is not missing');
    for (let hour = 1; hour < 4; hour += 1) await world.hour(roles);
    assert.equal(failed(world), expected);
    assert.equal(world.made(world.bucket('primary')).get('hourly/2026-11-24T03Z/'), 'incremental');
    if (expected > 0)
      assert.match(
        world.log('primary').warnings.at(-1) ?? '',
        /hourly\/2026-11-24T02Z\/.*us-east-1: missing/,
      );
  });

test('a bucket that does not answer is a missing copy in the eyes of all, and holds up no other', async () => {
  const world = new BackupWorld(DAY);
  for (const exports of world.exports.values()) exports.earliestMs = DAY;
  await world.hour(ALL, ['hourly', 'daily']);
  world.bucket('standby').isGone = true;
  for (let hour = 1; hour < 4; hour += 1) await world.hour(ALL);
  for (const role of ALL) assert.equal(failed(world, role), 1, role);
  assert.match(
    world.log('quorum').warnings.at(-1) ?? '',
    /us-west-2: unreachable, the bucket did not answer/,
  );
  assert.match(world.log('standby').errors.join(), /a backup could not be asked for/);
  world.bucket('standby').isGone = false;
  for (let hour = 4; hour < 6; hour += 1) await world.hour(ALL);
  assert.equal(failed(world), 0);
  assert.equal(
    world.made(world.bucket('standby')).get('hourly/2026-11-24T04Z/'),
    'incremental',
    'over the hours it missed',
  );
});

test('copies are counted without DynamoDB too, and then nothing is excused', async () => {
  const world = new BackupWorld(DAY);
  world.exporter('primary').isGone = true;
  await world.hour(['primary']);
  assert.equal(failed(world), 3);
});

const TWO = ['primary', 'standby'] as const;

/** Two Regions for long enough that all that is due is there. */
async function twoRegions(): Promise<BackupWorld> {
  const world = new BackupWorld(DAY, TWO);
  for (const exports of world.exports.values()) exports.earliestMs = Date.parse('2026-11-01T00:00:00Z');
  for (let hour = 0; hour < 30; hour += 1)
    await world.hour(TWO, hour % 24 === 0 ? ['hourly', 'daily'] : ['hourly']);
  return world;
}

test('without a third Region the standby makes the offsite copy, which is the third of every backup', async () => {
  const world = await twoRegions();
  assert.deepEqual([...world.made(world.offsite)], [['offsite/2026-11-01/', 'full']]);
  const { asked } = world.exporter('primary');
  assert.deepEqual(
    asked.filter(({ bucket }) => bucket === world.offsite),
    [],
  );
  for (const role of TWO) {
    assert.equal(failed(world, role), 0, role);
    assert.equal(copies(world, role), 3, role);
  }
});

test('a third copy out of reach is missing in the eyes of both, and with a Region that is gone it makes two', async () => {
  const world = await twoRegions();
  world.offsite.isGone = true;
  await world.hour(TWO);
  for (const role of TWO) assert.equal(failed(world, role), 1, role);
  assert.match(
    world.log('primary').warnings.at(-1) ?? '',
    /us-west-2 offsite: unreachable, the bucket did not answer/,
  );
  for (let hour = 0; hour < 3; hour += 1) await world.hour(['primary']);
  assert.equal(failed(world), 2);
  world.offsite.isGone = false;
  await world.hour(['primary']);
  assert.equal(failed(world), 1);
});

test('a third copy of before the table had a history is nobody’s failure, and no copy', async () => {
  const world = new BackupWorld(DAY, TWO);
  for (const role of TWO) world.exporter(role).earliestMs = DAY;
  for (let hour = 0; hour < 4; hour += 1)
    await world.hour(TWO, hour === 0 ? ['hourly', 'daily'] : ['hourly']);
  for (const role of TWO) {
    assert.equal(failed(world, role), 0, role);
    assert.equal(copies(world, role), 2, role);
  }
});

test('a call that is no schedule’s is refused', () => {
  const at = '2026-11-24T13:20:00Z';
  assert.deepEqual(backupCallOf({ tier: 'daily', at }), { tier: 'daily', atMs: Date.parse(at) });
  for (const event of [
    {},
    null,
    'daily',
    { tier: 'monthly', at },
    { tier: 'daily' },
    { tier: 'daily', at: 'now' },
  ])
    assert.throws(() => backupCallOf(event), {
      name: 'TypeError',
      message: /expected \{"tier":"hourly\|daily/,
    });
});
