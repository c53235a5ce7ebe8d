// The journal: what a batch of the stream leaves in the buckets, and what it gives back, whatever fails on the way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planJournal, type StreamedChange } from '../../lambdas/core/journaling.ts';
import { apart } from '../../lambdas/journal.ts';
import {
  JOURNAL_PARKED_PREFIX,
  JOURNAL_PREFIX,
  type JournalChange,
  journalHour,
  unparkedKey,
} from '../../protocol/journal.ts';
import { REGIONS } from './functions.ts';
import { JournalWorld, readBack, truthOf } from './journal-primary.ts';
import { StreamedTable, streamed } from './journal-world.ts';

const T = Date.UTC(2026, 6, 1, 5);
const HOUR = 3_600_000;
const PARK_AFTER_MS = 60_000;

function tableOf(count: number, atMs = T): StreamedTable {
  const table = new StreamedTable(atMs);
  for (let index = 0; index < count; index += 1) table.write(`n${index % 3}`, atMs, `${index}`);
  return table;
}

test('a batch is one segment, named by its first change and its hash, with all that the stream said', async () => {
  const world = new JournalWorld(T);
  const table = tableOf(5);
  table.remove('n1', T);
  table.beat(T);
  assert.deepEqual(await world.deliver(table.changes.map(streamed)), []);
  const [segment, ...others] = world.own.segments();
  assert.equal(others.length, 0);
  assert.deepEqual(segment?.changes, table.changes);
  const { region, first, last, count, writer, previous } = segment.header;
  assert.deepEqual(
    [region, first, last, count, writer, previous],
    [REGIONS.primary, '1', '7', 7, 'w1', null],
  );
  assert.deepEqual(readBack(world), truthOf(table.changes));
});

test('a batch delivered twice changes nothing, by another environment neither', async () => {
  const world = new JournalWorld(T);
  const records = tableOf(4).changes.map(streamed);
  await world.deliver(records);
  const before = new Map(world.own.objects);
  await world.deliver(records);
  world.restart();
  await world.deliver(records);
  assert.deepEqual(world.own.objects, before);
  assert.equal(world.own.puts.length, 3);
});

test('a batch across two hours is a segment in each, and each names the one written before', async () => {
  const world = new JournalWorld(T);
  const table = new StreamedTable(T);
  for (const at of [T + HOUR - 1_000, T + HOUR, T + HOUR - 1_000, T + HOUR])
    table.write(`n${table.changes.length}`, at, 'x');
  await world.deliver(table.changes.map(streamed));
  const segments = world.own.segments();
  assert.deepEqual(
    segments.map(({ changes }) => changes.map(({ seq }) => seq)),
    [
      ['1', '3'],
      ['2', '4'],
    ],
  );
  const [first, second] = world.keys();
  assert.ok(first?.startsWith(`${JOURNAL_PREFIX}${journalHour(T)}/`));
  assert.ok(second?.startsWith(`${JOURNAL_PREFIX}${journalHour(T + HOUR)}/`));
  assert.deepEqual(
    segments.map(({ header: { previous } }) => previous),
    [null, first],
  );
});

test('a bucket that is busy is asked four times within the invocation; one that lost its answer holds it all the same', async () => {
  for (const mood of ['busy', 'lost'] as const) {
    const world = new JournalWorld(T);
    const { changes } = tableOf(2);
    world.own.mood = () => (world.own.puts.length < 4 ? mood : 'well');
    assert.deepEqual(await world.deliver(changes.map(streamed)), []);
    assert.deepEqual([world.own.puts.length, world.waits], [4, 3]);
    assert.deepEqual(readBack(world), truthOf(changes));
    assert.equal(world.telemetry.sum('journal_parked'), 0);
  }
});

test('a bucket that takes nothing gives the segment back, and not the other; a refusal is not repeated', async () => {
  for (const [mood, puts] of [
    ['busy', 4],
    ['refused', 1],
  ] as const) {
    const world = new JournalWorld(T);
    const table = new StreamedTable(T);
    table.write('a', T - 1_000, 'x');
    table.write('a', T, 'y');
    world.own.mood = (key) => (key.includes(journalHour(T - 1_000)) ? mood : 'well');
    assert.deepEqual(await world.deliver(table.changes.map(streamed)), ['1']);
    assert.equal(world.own.puts.length, puts + 1);
    assert.equal(world.own.objects.size, 1);
    assert.equal(
      world.own.segments()[0]?.header.previous,
      null,
      'what is not written is nobody’s predecessor',
    );
    assert.deepEqual([world.standby.puts, world.quorum.puts], [[], []], 'it is not old enough');
    world.own.mood = () => 'well';
    assert.deepEqual(await world.deliver(table.changes.map(streamed)), []);
    assert.deepEqual(readBack(world), truthOf(table.changes));
  }
});

test('after a minute it is parked as it is in another region’s bucket, counted, and leads back home', async () => {
  const world = new JournalWorld(T);
  const { changes } = tableOf(3);
  world.own.mood = () => 'busy';
  world.nowMs = T + PARK_AFTER_MS - 1;
  assert.deepEqual(await world.deliver(changes.map(streamed)), ['1']);
  world.nowMs += 1;
  world.standby.mood = () => 'refused';
  assert.deepEqual(await world.deliver(changes.map(streamed)), []);
  assert.equal(world.telemetry.sum('journal_parked'), 1);
  assert.ok(world.telemetry.errors.some((line) => line.startsWith('a journal segment is parked')));
  assert.deepEqual(
    [world.own.objects.size, world.standby.objects.size, world.quorum.objects.size],
    [0, 0, 1],
  );
  const [parked = ''] = world.quorum.objects.keys();
  assert.ok(parked.startsWith(JOURNAL_PARKED_PREFIX));
  assert.deepEqual(readBack(world), truthOf(changes));
  world.own.mood = () => 'well';
  const next = new StreamedTable(T, 10);
  next.write('b', world.nowMs, 'x');
  await world.deliver(next.changes.map(streamed));
  const [segment] = world.own.segments();
  assert.equal(
    segment?.header.previous,
    unparkedKey(parked),
    'what comes after it says that it is missing here',
  );
});

test('when no bucket takes it the stream stands still, however old it is, and goes on when one does', async () => {
  const world = new JournalWorld(T);
  const { changes } = tableOf(3);
  for (const bucket of [world.own, world.standby, world.quorum]) bucket.mood = () => 'busy';
  for (const age of [PARK_AFTER_MS, HOUR, 23 * HOUR]) {
    world.nowMs = T + age;
    assert.deepEqual(await world.deliver(changes.map(streamed)), ['1']);
  }
  assert.equal(world.telemetry.sum('journal_parked'), 0);
  assert.equal(world.telemetry.errors.length, 3);
  world.quorum.mood = () => 'well';
  assert.deepEqual(await world.deliver(changes.map(streamed)), []);
  assert.deepEqual(readBack(world), truthOf(changes));
});

test('the lag is that of the oldest change of a batch, written or not, and never below zero', async () => {
  const world = new JournalWorld(T);
  const lags = () =>
    world.telemetry.samples.filter(({ name }) => name === 'journal_lag').map(({ value }) => value);
  const table = new StreamedTable(T);
  table.write('a', T - 3_000, 'x');
  table.write('a', T, 'y');
  await world.deliver(table.changes.map(streamed));
  world.own.mood = () => 'busy';
  world.nowMs = T + 30_000;
  await world.deliver(table.changes.map(streamed));
  world.nowMs = T - 10_000;
  world.own.mood = () => 'well';
  await world.deliver(table.changes.slice(1).map(streamed));
  assert.deepEqual(lags(), [3_000, 33_000, 0]);
  assert.ok(
    world.telemetry.samples.every(({ name, unit }) => name !== 'journal_lag' || unit === 'Milliseconds'),
  );
  await world.deliver([]);
  assert.equal(lags().length, 3, 'of nothing there is nothing to say');
});

const good = streamed(tableOf(1).changes[0] as JournalChange);
const without = (...members: string[]): StreamedChange => ({
  ...good,
  dynamodb: Object.fromEntries(
    Object.entries(good.dynamodb ?? {}).filter(([name]) => !members.includes(name)),
  ),
});
const having = (members: object): StreamedChange => ({ ...good, dynamodb: { ...good.dynamodb, ...members } });

test('a record that is no change is set apart as it came, in its own region, and the others do not wait', async () => {
  for (const [poison, why] of [
    [without('Keys'), /expected Keys with the texts pk and sk/],
    [having({ Keys: { pk: { N: '1' }, sk: { S: 'STATE' } } }), /expected Keys/],
    [without('NewImage'), /expected a NewImage of INSERT that is an item/],
    [having({ NewImage: { pk: 'bare' } }), /expected a NewImage/],
    [having({ OldImage: [] }), /expected an OldImage/],
    [{ ...good, eventName: 'REMOVE' }, /expected no NewImage of a removal, got one/],
    [{ ...good, eventName: undefined }, /expected INSERT, MODIFY or REMOVE, got undefined/],
    [without('ApproximateCreationDateTime'), /expected an ApproximateCreationDateTime/],
    [having({ ApproximateCreationDateTime: Number.NaN }), /expected an ApproximateCreationDateTime/],
    [having({ ApproximateCreationDateTime: 1e300 }), /expected an ApproximateCreationDateTime/],
    [having({ SequenceNumber: 'x' }), /expected a SequenceNumber, got "x"/],
    [without('SequenceNumber'), /expected a SequenceNumber, got undefined/],
    [{}, /expected a SequenceNumber, got undefined/],
  ] as const) {
    const world = new JournalWorld(T);
    const table = new StreamedTable(T, 50);
    table.write('b', T, 'x');
    table.write('b', T, 'y');
    const [before, after] = table.changes.map(streamed) as [StreamedChange, StreamedChange];
    assert.deepEqual(await world.deliver([before, poison, after]), [], String(why));
    assert.deepEqual(
      world.own.segments().map(({ changes }) => changes),
      [table.changes],
    );
    const [parked, ...others] = world.own.keysUnder(JOURNAL_PARKED_PREFIX);
    assert.ok(parked && others.length === 0, String(why));
    assert.equal(world.own.objects.get(parked)?.toString(), JSON.stringify(poison));
    assert.equal(world.telemetry.sum('journal_parked'), 1);
    assert.ok(
      world.telemetry.errors.some((line) => why.test(line)),
      `${world.telemetry.errors}`,
    );
    await world.deliver([before, poison, after]);
    assert.equal(world.own.objects.size, 2, 'twice is once');
  }
});

test('poison that no bucket takes is given back, by its number or with its batch; another region’s will do', async () => {
  const world = new JournalWorld(T);
  const poison = without('Keys');
  world.own.mood = () => 'busy';
  assert.deepEqual(await world.deliver([poison]), []);
  assert.equal(world.standby.keysUnder(JOURNAL_PARKED_PREFIX).length, 1);
  world.standby.mood = () => 'busy';
  world.quorum.mood = () => 'busy';
  assert.deepEqual(await world.deliver([poison]), ['1']);
  await assert.rejects(world.deliver([without('Keys', 'SequenceNumber')]), /without a sequence number/);
});

test('an image that is not there is never taken for a removal', () => {
  const { segments, poison } = planJournal([
    without('NewImage'),
    { ...without('NewImage'), eventName: 'MODIFY' },
  ]);
  assert.deepEqual([segments.length, poison.length], [0, 2]);
});

test('readers apart: each gets the batch whatever becomes of the other, and what either could not do comes back', async () => {
  const asked: string[] = [];
  const reader = (name: string, outcome: readonly string[] | Error) => async () => {
    asked.push(name);
    if (outcome instanceof Error) throw outcome;
    return { batchItemFailures: outcome.map((itemIdentifier) => ({ itemIdentifier })) };
  };
  const ids = async (...readers: ReturnType<typeof reader>[]) =>
    (await apart(...readers)({})).batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
  assert.deepEqual(await ids(reader('a', []), reader('b', [])), []);
  assert.deepEqual(await ids(reader('a', ['3', '1']), reader('b', ['1', '2'])), ['3', '1', '2']);
  asked.length = 0;
  await assert.rejects(apart(reader('a', new Error('no')), reader('b', ['1']))({}), /^Error: no$/);
  assert.deepEqual(asked, ['a', 'b']);
});
