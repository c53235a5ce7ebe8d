// A journal that keeps itself whole: what is missing is found once its hour has settled, copied from whoever has it, and
// told of when nobody has.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parkedKey, type SealedSegment } from '../../protocol/journal.ts';
import { trailOf } from './audit-trail.ts';
import { REGIONS } from './functions.ts';
import {
  type CareOptions,
  CareWorld,
  HOUR,
  identitiesOf,
  type JournalBucket,
  MINUTE,
} from './journal-care-world.ts';
import { StreamedTable, segmentsOf, zipped } from './journal-world.ts';

const T = Date.UTC(2025, 6, 1, 5);
const { primary: PRIMARY, standby: STANDBY, quorum: QUORUM } = REGIONS;

interface Journals {
  readonly world: CareWorld;
  readonly table: StreamedTable;
  readonly own: readonly SealedSegment[];
  readonly standby: readonly SealedSegment[];
  readonly quorum: readonly SealedSegment[];
}

/** Two and a half hours of one table, as the streams of three regions tell of it; the last half hour is being written. */
function journals(options: CareOptions = {}): Journals {
  const table = new StreamedTable(T);
  for (let minute = 0; minute < 150; minute += 1) {
    table.beat(T + minute * MINUTE);
    table.write(`n${minute % 4}`, T + minute * MINUTE, `${minute}`);
  }
  const own = segmentsOf(table.changes, PRIMARY, 8);
  const standby = segmentsOf(table.elsewhere(1_000, 1_000), STANDBY, 11);
  const quorum = segmentsOf(table.elsewhere(7_000), QUORUM, 5);
  const world = new CareWorld(T + 2.5 * HOUR, options);
  world.bucket('primary').hold(own);
  world.bucket('standby').hold(standby);
  if (!options.eventual) world.bucket('quorum').hold(quorum);
  return { world, table, own, standby, quorum };
}

/** What records went through in the hours that have settled. */
const settled = (table: StreamedTable, untilMs = T + 2 * HOUR) =>
  identitiesOf(table.changes.filter(({ at }) => at < untilMs));

function missingFrom(bucket: JournalBucket, identities: ReadonlySet<string>): readonly string[] {
  const held = bucket.identities();
  return [...identities].filter((identity) => !held.has(identity));
}

function assertHolds(bucket: JournalBucket, identities: ReadonlySet<string>): void {
  assert.deepEqual(missingFrom(bucket, identities), []);
}

test('a whole journal is left as it is, and each hour is read once', async () => {
  const { world } = journals();
  const bucket = world.bucket('primary');
  await world.run('primary');
  assert.deepEqual(bucket.puts, []);
  assert.deepEqual([world.last('primary', 'journal_gaps'), world.last('primary', 'audit_gaps')], [0, 0]);
  assert.deepEqual([world.said('primary').errors, world.said('primary').warnings], [[], []]);
  const { reads } = bucket;
  world.nowMs += 15 * MINUTE;
  await world.run('primary');
  assert.equal(bucket.reads, reads, 'the third hour has not settled');
});

test('segments that are gone are filled from whoever has them', async () => {
  const { world, table, own, standby } = journals();
  const bucket = world.bucket('primary');
  for (const { key } of own.slice(3, 12)) bucket.objects.delete(key);
  // What the first of the others lacks too comes from the second.
  world.bucket('standby').objects.delete(standby[4]?.key ?? '');
  await world.run('primary');
  assertHolds(bucket, settled(table));
  assert.equal(world.last('primary', 'journal_gaps'), 0);
  assert.ok(world.said('primary').warnings.some((it) => it.startsWith('a gap in the journal was filled')));
  const puts = bucket.puts.length;
  await world.run('primary');
  assert.equal(bucket.puts.length, puts, 'and are not filled again');
});

test('the newest hour, which is still being written, is no gap', async () => {
  const { world, own } = journals();
  const bucket = world.bucket('primary');
  for (const { key } of own) if (key.includes('T07Z')) bucket.objects.delete(key);
  await world.run('primary');
  assert.deepEqual(bucket.puts, []);
  world.nowMs = T + 3 * HOUR + 16 * MINUTE;
  await world.run('primary');
  assert.ok(bucket.puts.length > 0);
});

/** Without these changes in anybody's journal. */
function losing(own: Journals, from: number, to: number): void {
  const versions = new Set(
    own.own.slice(from, to).flatMap(({ changes }) => changes.map((it) => it.commitVersion)),
  );
  versions.delete(undefined);
  for (const bucket of own.world.buckets.values())
    for (const { key, changes } of [...own.own, ...own.standby, ...own.quorum])
      if (changes.some(({ commitVersion }) => versions.has(commitVersion))) bucket.objects.delete(key);
}

test('what nobody has is told of by name, looked for again each hour, and let go after a day', async () => {
  const all = journals();
  const { world } = all;
  losing(all, 4, 5);
  await world.run('primary');
  assert.ok(Number(world.last('primary', 'journal_gaps')) > 0);
  assert.ok(
    world
      .said('primary')
      .errors.some((it) => /what a journal lacks.*R#acme#notes#n\d: the change to/.test(it)),
  );
  const { reads } = world.bucket('primary');
  world.nowMs += 15 * MINUTE;
  await world.run('primary');
  assert.equal(world.bucket('primary').reads, reads, 'not every quarter of an hour');
  assert.ok(Number(world.last('primary', 'journal_gaps')) > 0, 'the alarm stays');
  world.nowMs += HOUR;
  await world.run('primary');
  assert.ok(world.bucket('primary').reads > reads);
  for (let hour = 0; hour < 26; hour += 1) {
    world.nowMs += HOUR;
    await world.run('primary');
  }
  assert.equal(world.last('primary', 'journal_gaps'), 0);
  assert.ok(world.said('primary').errors.some((it) => it.startsWith('a gap stays open')));
});

test('what is found by somebody later is filled, and no gap any more', async () => {
  const all = journals();
  const { world, standby } = all;
  losing(all, 4, 5);
  await world.run('primary');
  assert.ok(Number(world.last('primary', 'journal_gaps')) > 0);
  // Its stream was behind.
  world.bucket('standby').hold(standby);
  world.nowMs += HOUR;
  await world.run('primary');
  assert.equal(world.last('primary', 'journal_gaps'), 0);
});

test('a Region that does not answer is asked when it does; until then nothing counts as lost', async () => {
  const { world, table, own, standby, quorum } = journals();
  const bucket = world.bucket('primary');
  // The one that answers lacks it too.
  for (const { key } of own.slice(3, 6)) bucket.objects.delete(key);
  const lost = new Set(
    own.slice(3, 6).flatMap(({ changes }) => changes.map(({ commitVersion }) => commitVersion)),
  );
  lost.delete(undefined);
  for (const { key, changes } of quorum)
    if (changes.some(({ commitVersion }) => lost.has(commitVersion)))
      world.bucket('quorum').objects.delete(key);
  assert.ok(standby.length > 0);
  world.bucket('standby').isGone = true;
  await world.run('primary');
  assert.equal(world.last('primary', 'journal_gaps'), 0);
  assert.ok(missingFrom(bucket, settled(table)).length > 0);
  const { reads } = bucket;
  world.nowMs += 5 * MINUTE;
  await world.run('primary');
  assert.equal(bucket.reads, reads, 'it is not looked for in vain');
  world.bucket('standby').isGone = false;
  // Long after the day of its own stream.
  world.nowMs += 3 * 24 * HOUR;
  await world.run('primary');
  assertHolds(bucket, settled(table));
});

test('a Region that stops answering in the middle is one that did not answer', async () => {
  const { world, table, own } = journals();
  const bucket = world.bucket('primary');
  for (const { key } of own.slice(3, 6)) bucket.objects.delete(key);
  const standby = world.bucket('standby');
  standby.onRead = () => {
    standby.isGone = true;
  };
  world.bucket('quorum').isGone = true;
  await world.run('primary');
  assert.equal(world.last('primary', 'journal_gaps'), 0);
  standby.onRead = () => {};
  for (const it of world.buckets.values()) it.isGone = false;
  await world.run('primary');
  assertHolds(bucket, settled(table));
});

test('its own bucket that does not answer is trouble, and no gap', async () => {
  const { world, own } = journals();
  const bucket = world.bucket('primary');
  for (const { key } of own.slice(3, 6)) bucket.objects.delete(key);
  bucket.mood = () => 'refused';
  await assert.rejects(world.run('primary'), /the bucket is refused/);
  assert.equal(world.last('primary', 'journal_gaps'), 0);
  bucket.mood = () => 'well';
  await world.run('primary');
  assert.ok(bucket.puts.length > 0);
});

test('two Regions that fill from each other at once both end up whole', async () => {
  const { world, table, own, standby } = journals();
  for (const { key } of own.slice(2, 9)) world.bucket('primary').objects.delete(key);
  for (const { key } of standby.slice(10, 16)) world.bucket('standby').objects.delete(key);
  await Promise.all([world.run('primary'), world.run('standby'), world.run('quorum'), world.run('primary')]);
  for (const role of world.roles) {
    assertHolds(world.bucket(role), settled(table, T + 2 * HOUR - 2 * MINUTE));
    assert.equal(world.last(role, 'journal_gaps'), 0);
  }
});

test('a damaged segment is filled by what others have, and a damaged copy is not brought', async () => {
  const { world, table, own, standby, quorum } = journals();
  const bucket = world.bucket('primary');
  const [, , third = assert.fail()] = own;
  bucket.objects.set(third.key, Buffer.from('no gzip'));
  for (const { key, text } of standby.slice(0, 4))
    world.bucket('standby').objects.set(key, zipped(text.replace('STATE', 'STATF')));
  await world.run('primary');
  const held = bucket.objects.get(third.key)?.toString();
  assert.equal(held, 'no gzip', 'nothing is written over');
  bucket.objects.delete(third.key);
  assertHolds(bucket, settled(table));
  assert.ok(bucket.puts.every((key) => quorum.some((it) => it.key === key)));
  assert.equal(world.last('primary', 'journal_gaps'), 0);
});

test('what was parked with another Region is brought home', async () => {
  const { world, own } = journals();
  const [, second = assert.fail(), third = assert.fail()] = own;
  for (const { key, text } of [second, third]) {
    world.bucket('primary').objects.delete(key);
    world.bucket('quorum').objects.set(parkedKey(key), zipped(text));
  }
  world.bucket('quorum').objects.set(parkedKey(third.key), zipped(third.text.slice(0, -3)));
  await world.run('primary');
  assert.ok(world.bucket('primary').objects.has(second.key));
  assert.ok(!world.bucket('primary').objects.has(third.key), 'a damaged one stays where it is');
});

test('goes on where it was interrupted, hour by hour', async () => {
  const { world, table, own, standby } = journals();
  const bucket = world.bucket('primary');
  for (const { key } of own.slice(3, -4)) bucket.objects.delete(key);
  for (const { key } of standby) if (key.includes('T06Z')) world.bucket('standby').objects.delete(key);
  for (const role of ['standby', 'quorum'] as const)
    world.bucket(role).onRead = () => {
      world.nowMs += 5_000;
    };
  await world.run('primary');
  assert.ok(missingFrom(bucket, settled(table)).length > 0, 'time was up in the second hour');
  await world.run('primary');
  assertHolds(bucket, settled(table));
  assert.deepEqual(world.said('primary').errors, []);
});

test('an hour that takes more than all the time there is, is said to', async () => {
  const { world } = journals();
  for (const role of ['standby', 'quorum'] as const)
    world.bucket(role).onRead = () => {
      world.nowMs += 20_000;
    };
  await world.run('primary');
  assert.deepEqual(world.said('primary').errors, [], 'there were others before it');
  await world.run('primary');
  assert.match(world.said('primary').errors.join(), /too large to be looked through here/);
});

test('an hour that is too large to be held is said to be, until somebody has looked', async () => {
  const { world } = journals({ changesMax: 50 });
  await world.run('primary');
  assert.ok(Number(world.last('primary', 'journal_gaps')) > 0);
  assert.ok(
    world
      .said('primary')
      .errors.some((it) => /too large to be looked through here.*at most 50 changes/.test(it)),
  );
});

test('after days without a run it goes on from where it was, as far as journals are kept', async () => {
  const { world } = journals();
  await world.run('primary');
  const late = new StreamedTable(T + 3 * HOUR);
  for (let hour = 3; hour < 60; hour += 1) late.write('later', T + hour * HOUR, `${hour}`);
  for (const role of ['standby', 'quorum'] as const)
    world.bucket(role).hold(segmentsOf(late.elsewhere(50_000), REGIONS[role], 5));
  world.nowMs = T + 80 * HOUR;
  for (let run = 0; run < 3; run += 1) await world.run('primary');
  assertHolds(world.bucket('primary'), identitiesOf(late.changes));
});

test('where two Regions follow each other only what is known to be missing is brought', async () => {
  const { world, own, standby } = journals({ eventual: true });
  const bucket = world.bucket('primary');
  await world.run('primary');
  assert.deepEqual(bucket.puts, [], 'what the other has and this one never saw is no gap');
  for (const { key } of own.slice(5, 7)) bucket.objects.delete(key);
  world.saved.clear();
  await world.run('primary');
  assert.ok(bucket.puts.length > 0 && bucket.puts.every((key) => standby.some((it) => it.key === key)));
  assert.equal(world.last('primary', 'journal_gaps'), 0);
});

const NOTE = { tenant: 'acme', collection: 'notes', id: 'n1' };
/** A change that carries the last entries of a trail. */
function decision(world: CareWorld, count: number, shown: number) {
  const trail = trailOf(NOTE, count, { region: PRIMARY });
  const table = new StreamedTable(T);
  table.write('n1', T + MINUTE, 'x');
  const [change = assert.fail()] = table.changes;
  const image = {
    ...change.image,
    auditSequence: { N: String(count) },
    auditHead: { S: trail.at(-1)?.hash ?? '' },
    outbox: { L: trail.slice(-shown).map(({ text }) => ({ S: text })) },
  };
  const changed = [{ ...change, image }];
  for (const role of world.roles) world.bucket(role).hold(segmentsOf(changed, REGIONS[role]));
  return trail;
}

test('audit entries that a journal tells of are put into the archive, and what they lead back to is brought', async () => {
  const world = new CareWorld(T + 1.5 * HOUR);
  const trail = decision(world, 5, 2);
  for (const { key, text } of trail) world.audit('standby').objects.set(key, text);
  await world.run('primary');
  assert.deepEqual([...world.audit('primary').objects.keys()].sort(), trail.map(({ key }) => key).sort());
  assert.equal(world.last('primary', 'audit_gaps'), 0);
  assert.ok(
    world.said('primary').warnings.some((it) => it.startsWith('a gap in the audit archive was filled')),
  );
  world.saved.clear();
  world.audit('primary').calls.length = 0;
  await world.run('primary');
  assert.ok(world.audit('primary').calls.every((call) => !call.startsWith('put')));
});

test('an audit entry that nobody has is counted; one that may be where nobody answers is not', async () => {
  const world = new CareWorld(T + 1.5 * HOUR);
  const trail = decision(world, 3, 1);
  await world.run('primary');
  assert.equal(world.audit('primary').objects.size, 1, 'the one that the journal itself has');
  assert.equal(world.last('primary', 'audit_gaps'), 1, 'the one before it, and beyond that nobody knows');
  world.saved.clear();
  world.audit('standby').down = () => true;
  await world.run('primary');
  assert.equal(world.last('primary', 'audit_gaps'), 0);
  world.audit('standby').down = () => false;
  for (const { key, text } of trail) world.audit('standby').objects.set(key, text);
  world.nowMs += 61 * MINUTE;
  await world.run('primary');
  assert.equal(world.audit('primary').objects.size, 3);
});

test('whatever segments of whatever journals are gone, what somebody has ends up everywhere', async () => {
  const gaps = fc.array(fc.nat({ max: 60 }), { maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(gaps, gaps, gaps, async (a, b, c) => {
      const { world, own, standby, quorum } = journals();
      for (const [role, segments, holes] of [
        ['primary', own, a],
        ['standby', standby, b],
        ['quorum', quorum, c],
      ] as const)
        for (const at of holes) world.bucket(role).objects.delete(segments[at % segments.length]?.key ?? '');
      const before = new Set(world.roles.flatMap((role) => [...world.bucket(role).identities()]));
      const late = settledLate(own, standby);
      for (let run = 0; run < 2; run += 1) for (const role of world.roles) await world.run(role);
      for (const role of world.roles)
        assertHolds(world.bucket(role), new Set([...before].filter((it) => !late.has(it))));
    }),
    { numRuns: 15 },
  );
});

/** Changes of the hour that is still being written, by anybody's clock. */
function settledLate(...streams: readonly (readonly SealedSegment[])[]): ReadonlySet<string> {
  const late = streams.flat().filter(({ key }) => key.includes('T07Z'));
  return identitiesOf(late.flatMap(({ changes }) => changes));
}
