// What `npm run journal` finds missing in a region's journal, what it brings there, and what it says; at the end as a
// command, on buckets that any SDK client can use.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { bringHome, fillJournal, parkedOf } from '../../bin/journal/fill.ts';
import type { JournalPlace } from '../../bin/journal/places.ts';
import { verifyJournal } from '../../bin/journal/verify.ts';
import { linesOf } from '../../bin/journal/words.ts';
import { JOURNAL_PARKED_PREFIX, parkedKey, type SealedSegment } from '../../protocol/journal.ts';
import { StreamedTable, segmentsOf, zipped } from '../lambdas/journal-world.ts';
import { PRIMARY, QUORUM, STANDBY } from '../rehearsal/fake-deployment.ts';
import { runCommand, startWithBuckets } from './running.ts';

const T = Date.UTC(2025, 6, 1, 5);
const HOUR = 3_600_000;
const END = T + 1.5 * HOUR;

class MemoryPlace implements JournalPlace {
  readonly region: string;
  readonly objects = new Map<string, Uint8Array>();

  constructor(region: string, segments: readonly SealedSegment[] = []) {
    this.region = region;
    for (const { key, text } of segments) this.objects.set(key, zipped(text));
  }
  async *keys(prefix: string) {
    yield* [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }
  async *folders(prefix: string) {
    const keys = await Array.fromAsync(this.keys(prefix));
    yield* new Set(keys.map((key) => key.slice(0, key.indexOf('/', prefix.length) + 1)));
  }
  async content(key: string) {
    return this.objects.get(key);
  }
  async put(key: string, content: Uint8Array) {
    if (!this.objects.has(key)) this.objects.set(key, content);
  }
}

/** An hour and a half of one table, as the streams of three regions tell of it. */
function threeJournals() {
  const table = new StreamedTable(T);
  for (let minute = 0; minute < 90; minute += 1) {
    table.beat(T + minute * 60_000);
    table.write(`n${minute % 4}`, T + minute * 60_000, `${minute}`);
  }
  return {
    own: segmentsOf(table.changes, PRIMARY, 8),
    standby: segmentsOf(table.elsewhere(1_000, 1_000), STANDBY, 11),
    quorum: segmentsOf(table.elsewhere(7_000), QUORUM, 5),
  };
}

const standard = { alike: true, untilMs: END, comparable: true };
const said = async (place: JournalPlace, peers: readonly JournalPlace[], options = {}) => {
  const report = await verifyJournal({ place, peers, ...standard, ...options });
  return { ...report, lines: linesOf(report, await parkedOf(place, [place, ...peers])) };
};

test('three whole journals are whole, alone and together', async () => {
  const { own, standby, quorum } = threeJournals();
  const [here, ...peers] = [
    new MemoryPlace(PRIMARY, own),
    new MemoryPlace(STANDBY, standby),
    new MemoryPlace(QUORUM, quorum),
  ];
  for (const others of [peers, []]) {
    const { isWhole, lines } = await said(here, others);
    assert.ok(isWhole);
    assert.deepEqual(lines, [`${PRIMARY}: 2 hours, ${own.length} segments, 180 changes; nothing is missing`]);
  }
});

test('segments that are gone are filled from the first region that has them, and then nothing is missing', async () => {
  const { own, standby, quorum } = threeJournals();
  const here = new MemoryPlace(PRIMARY, own);
  for (const { key } of own.slice(3, 7)) here.objects.delete(key);
  const near = new MemoryPlace(STANDBY, standby);
  const far = new MemoryPlace(QUORUM, quorum);
  // What the first lacks too comes from the second.
  near.objects.delete(standby[3]?.key ?? '');
  const before = await said(here, [near, far]);
  assert.ok(!before.isWhole);
  assert.ok(
    before.lines.some((it) => /changes are in us-west-2 only, in .*fill --region us-east-2/.test(it)),
  );
  assert.ok(
    before.lines.some((it) => /segment journal\/.* is missing: journal\/.* was written after it/.test(it)),
  );
  assert.deepEqual(new Set(before.lacking.map(({ from }) => from.region)), new Set([STANDBY, QUORUM]));
  const { copied, damaged } = await fillJournal(here, before.lacking);
  assert.deepEqual([copied, damaged], [before.lacking.length, []]);
  assert.ok((await said(here, [near, far])).isWhole);
});

test('what no region has is named; without the others nobody says that nothing is missing', async () => {
  const { own, standby, quorum } = threeJournals();
  const gone = new Set(own[4]?.changes.map(({ commitVersion }) => commitVersion).filter(Boolean));
  const without = (segments: readonly SealedSegment[]) =>
    segments.filter(({ changes }) => !changes.some(({ commitVersion }) => gone.has(commitVersion)));
  const here = new MemoryPlace(PRIMARY, without(own));
  const peers = [new MemoryPlace(STANDBY, without(standby)), new MemoryPlace(QUORUM, without(quorum))];
  const { lines, lacking, gaps } = await said(here, peers);
  assert.equal(gaps.filter(({ kind }) => kind === 'change').length, 4, 'the last of each record');
  assert.ok(
    lines.some((it) => /R#acme#notes#n\d STATE: the change to \S+ is missing, which change \d+ of/.test(it)),
  );
  await fillJournal(here, lacking);
  const after = await said(here, peers);
  assert.ok(!after.isWhole && after.gaps.every(({ kind }) => kind === 'change'));
  const alone = await said(new MemoryPlace(PRIMARY, own.slice(0, -3)), [], { comparable: false });
  assert.match(
    alone.lines.join('\n'),
    /NOT WHOLE\n {2}silent from 2025-07-01T06:\d\d:00.000Z to 2025-07-01T06:30/,
  );
});

test('a damaged segment is named, and what it held is filled from another’s', async () => {
  const { own, standby } = threeJournals();
  const here = new MemoryPlace(PRIMARY, own);
  const near = new MemoryPlace(STANDBY, standby);
  const [, , third = assert.fail(), fourth = assert.fail()] = own;
  here.objects.set(third.key, zipped(third.text.replace('STATE', 'STATF')));
  here.objects.set(fourth.key, Buffer.from('no gzip'));
  const before = await said(here, [near]);
  assert.deepEqual(
    before.damaged.map(({ key }) => key),
    [third.key, fourth.key],
  );
  assert.ok(before.lines.some((it) => it.startsWith(`  damaged: ${third.key}: its changes hash to`)));
  assert.ok(!before.isWhole);
  await fillJournal(here, before.lacking);
  const after = await said(here, [near]);
  assert.ok(after.isWhole, 'nothing went with it');
  assert.equal(after.damaged.length, 2);
});

test('a damaged copy is not brought home, nor one under a name that is not its own', async () => {
  const { own } = threeJournals();
  const [first = assert.fail(), second = assert.fail(), third = assert.fail()] = own;
  const here = new MemoryPlace(PRIMARY, own.slice(3));
  const far = new MemoryPlace(QUORUM);
  far.objects.set(parkedKey(first.key), zipped(first.text));
  far.objects.set(parkedKey(second.key), zipped(second.text.slice(0, -5)));
  far.objects.set(parkedKey(third.key), zipped(first.text));
  far.objects.set(parkedKey(first.key).replace(PRIMARY, STANDBY), zipped(first.text));
  far.objects.set(
    `${JOURNAL_PARKED_PREFIX}2025-07-01T05Z/${PRIMARY}-${'a'.repeat(64)}.json`,
    Buffer.from('{}'),
  );
  const parked = await parkedOf(here, [here, far]);
  assert.equal(parked.length, 4, 'what is another region’s is not for here');
  const { copied, damaged } = await bringHome(here, parked);
  assert.equal(copied, 1);
  assert.deepEqual(
    damaged.map(({ key }) => key),
    [second, third].map(({ key }) => `${QUORUM} ${parkedKey(key)}`).sort(),
  );
  assert.deepEqual([here.objects.has(first.key), here.objects.has(third.key)], [true, false]);
  const left = await parkedOf(here, [here, far]);
  assert.equal(left.length, 3);
  const { lines } = await said(here, [far]);
  assert.ok(lines.some((it) => /a stream record that is no change is parked in us-east-1/.test(it)));
  assert.match(lines[0] ?? '', /NOT WHOLE/);
});

test('only from the hour asked for, and only what should have come by now', async () => {
  const { own, standby } = threeJournals();
  const here = new MemoryPlace(PRIMARY, own.slice(3, -1));
  const near = new MemoryPlace(STANDBY, standby);
  const untilMs = (own.at(-2)?.changes.at(-1)?.at ?? 0) + 500;
  assert.ok(!(await said(here, [near], { untilMs })).isWhole);
  const { isWhole, hours, lines } = await said(here, [near], { since: '2025-07-01T06Z', untilMs });
  assert.ok(isWhole, lines.join('\n'));
  assert.equal(hours, 1);
});

const journal = (args: readonly string[], environment?: Readonly<Record<string, string>>) =>
  runCommand('journal', args, environment);

test('as a command, on buckets as AWS has them: verifies, fills, verifies again', async () => {
  const { aws, bucketOf, credentials, environment } = await startWithBuckets('backup');
  try {
    const table = new StreamedTable(T);
    for (let index = 0; index < 6; index += 1) table.write(`n${index % 2}`, T + index * 60_000, `${index}`);
    const own = segmentsOf(table.changes, PRIMARY, 2);
    const put = async (region: string, key: string, text: string) => {
      const s3 = new S3Client({ endpoint: aws.endpoint, credentials, region, forcePathStyle: true });
      await s3.send(new PutObjectCommand({ Bucket: bucketOf(region), Key: key, Body: zipped(text) }));
    };
    const [first = assert.fail(), second = assert.fail(), third = assert.fail()] = own;
    await put(PRIMARY, first.key, first.text);
    await put(QUORUM, parkedKey(second.key), second.text);
    for (const { key, text } of segmentsOf(table.elsewhere(900), STANDBY, 6)) await put(STANDBY, key, text);
    for (const { key, text } of segmentsOf(table.elsewhere(900), QUORUM, 6)) await put(QUORUM, key, text);
    const verify = await journal(['verify'], environment);
    assert.equal(verify.code, 1, verify.stderr);
    assert.match(verify.stdout, /^us-east-2: 1 hours, 1 segments, 2 changes; NOT WHOLE$/m);
    assert.match(verify.stdout, /^us-west-2: 1 hours, 1 segments, 6 changes; nothing is missing$/m);
    const fill = await journal(['fill', '--region', PRIMARY], environment);
    assert.deepEqual(
      [fill.code, fill.stdout],
      [0, 'us-east-2: 1 parked segments brought home, 1 copied from other regions\n'],
      fill.stderr,
    );
    const again = await journal(['verify', '--since', '2025-07-01T05Z'], environment);
    assert.equal(again.code, 0, again.stdout + again.stderr);
    assert.equal(third.changes.length, 2);
  } finally {
    await aws.close();
  }
});

test('refuses what it does not understand, and says how it is used', async () => {
  const cases = [
    [['check'], /expected verify or fill, got "check"/],
    [['fill'], /fill takes one --region, got 0/],
    [
      ['verify', '--stage', 'dev', '--region', 'eu-north-1'],
      /--region is one of us-east-2, us-west-2, us-east-1, got "eu-north-1"/,
    ],
    [
      ['verify', '--stage', 'dev', '--since', 'noon'],
      /--since is an hour such as 1970-01-01T00Z, got "noon"/,
    ],
  ] as const;
  const ran = await Promise.all(cases.map(([args]) => journal(args)));
  for (const [index, [args, says]] of cases.entries()) {
    assert.equal(ran[index]?.code, 2, args.join(' '));
    assert.match(ran[index]?.stderr ?? '', says);
    assert.match(ran[index]?.stderr ?? '', /npm run journal -- verify/);
  }
});
