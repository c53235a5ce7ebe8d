// Which backups and journals a restore is made from, what speaks against it, and what becomes of a single record.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BackupVerdict } from '../../protocol/backup-verdicts.ts';
import {
  type Backup,
  type BackupTier,
  backupPrefix,
  DAY_MS,
  HOUR_MS,
  tickText,
} from '../../protocol/backups.ts';
import { DigestSum } from '../../protocol/digest-sums.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { contentOfExported } from '../../protocol/exported-records.ts';
import { ATTRIBUTES } from '../../protocol/items.ts';
import { TOMBSTONE_AGE_MS_MIN } from '../../protocol/limits.ts';
import { type Copy, isSweep, needOf, stamped, type Wanted } from '../../protocol/restored-items.ts';
import {
  type KnownBackup,
  notCovered,
  planRestore,
  restoreRecordKey,
  scopeTest,
} from '../../protocol/restoring.ts';
import { versionAt } from '../lambdas/audit-trail.ts';
import { DAY, recordItem } from '../lambdas/exports.ts';

const SOURCES = ['us-east-2', 'us-west-2', 'us-east-1', 'us-east-1 offsite'];

interface Given {
  readonly source?: string;
  readonly from?: number;
  readonly chain?: readonly string[];
  readonly verdict?: BackupVerdict['verdict'] | 'none' | 'of another export';
  readonly complete?: boolean;
}

function known(tier: BackupTier, tickMs: number, given: Given = {}): KnownBackup {
  const { source = 'us-east-2', from, chain = [], verdict = 'verified', complete = true } = given;
  const prefix = backupPrefix({ tier, tickMs });
  const window = from === undefined ? {} : { fromMs: from };
  const kind = from === undefined ? 'full' : 'incremental';
  const backup: Backup = {
    ...{
      format: 1,
      tier,
      tick: tickText({ tier, tickMs }),
      region: 'us-east-2',
      tableArn: 't',
      exportArn: 'e',
    },
    ...{ kind, ...window, toMs: tickMs, chain, askedAtMs: 0, attempt: 1, restoreEpoch: 1, why: '' },
  };
  const problems = verdict === 'corrupted' ? [{ file: `${prefix}f`, what: 'a flipped bit' }] : [];
  return {
    source,
    prefix,
    backup,
    complete,
    verdict:
      verdict === 'none'
        ? undefined
        : {
            ...{ format: 1, prefix, exportArn: verdict === 'of another export' ? 'e2' : 'e' },
            verdict: verdict === 'corrupted' ? 'corrupted' : 'verified',
            ...{ kind, ...window, toMs: tickMs, chain, files: 1, items: 1, records: 1, controls: 0 },
            state: { records: 1, digest: new DigestSum().toString() },
            ...{ loaded: true, problems, problemCount: problems.length },
            ...{ startedAtMs: 0, endedAtMs: 0, invocations: 1 },
          },
  };
}

const D = backupPrefix({ tier: 'daily', tickMs: DAY });
const hour = (n: number) => backupPrefix({ tier: 'hourly', tickMs: DAY + n * HOUR_MS });
const daily = (given: Given = {}) => known('daily', DAY, given);
const hourly = (n: number, given: Given = {}) =>
  known('hourly', DAY + n * HOUR_MS, {
    from: DAY + (n - 1) * HOUR_MS,
    chain: [D, ...Array.from({ length: n - 1 }, (_, at) => hour(at + 1))],
    ...given,
  });
const plan = (backups: readonly KnownBackup[], scene: Partial<Parameters<typeof planRestore>[0]> = {}) =>
  planRestore({
    backups,
    sources: SOURCES,
    untilMs: DAY + 3 * HOUR_MS,
    journalSince: '2026-11-20T00Z',
    ...scene,
  });
const chainOf = ({ chain }: ReturnType<typeof plan>) => chain.map(({ prefix }) => prefix);
const kindsOf = ({ refusals }: ReturnType<typeof plan>) => refusals.map(({ kind }) => kind);

test('the latest verified chain is taken, and the journals from a little before its end', () => {
  const found = plan([daily(), hourly(1), hourly(2)]);
  assert.deepEqual(chainOf(found), [D, hour(1), hour(2)]);
  assert.deepEqual([found.journalFrom, found.refusals, found.skipped], ['2026-11-24T01Z', [], []]);
});

test('what is not verified is passed over and named, in itself or through its chain', () => {
  const cases: readonly (readonly [string, readonly KnownBackup[], readonly string[], RegExp])[] = [
    ['no verdict', [daily(), hourly(1), hourly(2, { verdict: 'none' })], [D, hour(1)], /it is not verified/],
    [
      'corrupted',
      [daily(), hourly(1, { verdict: 'corrupted' })],
      [D],
      /it is corrupted: hourly.*f: a flipped bit/,
    ],
    [
      'through its chain',
      [daily(), hourly(1, { verdict: 'corrupted' }), hourly(2)],
      [D],
      /T01Z\/ is corrupted/,
    ],
    ['of another export', [daily(), hourly(1, { verdict: 'of another export' })], [D], /it is not verified/],
    ['not complete', [daily(), hourly(1, { complete: false })], [D], /it is not complete/],
    ['a link is gone', [daily(), hourly(2)], [D], /T01Z\/, which it goes on top of, is not there/],
    ['a gap', [daily(), hourly(1), hourly(2, { from: DAY + HOUR_MS + 1 })], [D, hour(1)], /there is a gap/],
    ['no full one first', [daily(), hourly(1, { chain: [hour(0)] })], [D], /is not there/],
    [
      'rotted since',
      [daily(), { ...hourly(1), fault: 'expected the MD5 x' }],
      [D],
      /corrupted: expected the MD5 x/,
    ],
  ];
  for (const [name, backups, chain, why] of cases) {
    const found = plan(backups);
    assert.deepEqual([chainOf(found), kindsOf(found)], [chain, []], name);
    assert.match(found.skipped[0]?.why ?? '', why, name);
  }
});

test('of the same moment a full one, then the nearest bucket', () => {
  const chain = [D, ...Array.from({ length: 23 }, (_, n) => hour(n + 1))];
  const day = known('daily', DAY + DAY_MS, { source: 'us-west-2' });
  const twin = known('daily', DAY + DAY_MS, { source: 'us-east-1' });
  const last = known('hourly', DAY + DAY_MS, { from: DAY + 23 * HOUR_MS, chain });
  const hours = Array.from({ length: 23 }, (_, n) => hourly(n + 1));
  const found = plan([twin, daily(), ...hours, last, day], { untilMs: DAY + DAY_MS });
  assert.deepEqual(found.chain, [day]);
  assert.equal(found.journalFrom, undefined, 'it holds the very moment');
});

test('a chain never mixes buckets', () => {
  const found = plan([daily(), hourly(1, { source: 'us-west-2' })]);
  assert.deepEqual(chainOf(found), [D]);
});

test('without a verified one it is refused, and force takes the least bad', () => {
  const none = plan([]);
  assert.deepEqual([chainOf(none), kindsOf(none), none.journalFrom], [[], ['no_backup'], '2026-11-20T00Z']);
  const unverified = plan([
    daily({ verdict: 'none' }),
    known('daily', DAY + HOUR_MS * 0, { source: 'us-west-2', verdict: 'corrupted' }),
    known('hourly', DAY + HOUR_MS, { verdict: 'corrupted' }),
  ]);
  assert.deepEqual([unverified.chain[0]?.prefix, unverified.chain[0]?.verdict], [D, undefined]);
  assert.deepEqual(kindsOf(unverified), ['not_verified']);
  const unreadable = plan([daily({ complete: false })]);
  assert.deepEqual([chainOf(unreadable), kindsOf(unreadable)], [[], ['no_backup']]);
  assert.match(unreadable.refusals[0]?.why ?? '', /no backup can be read; daily.*it is not complete/);
});

test('one that is named is taken, and what is wrong with it is refused', () => {
  const backups = [daily(), hourly(1, { verdict: 'corrupted' })];
  const named = plan(backups, { named: hour(1) });
  assert.deepEqual([chainOf(named), kindsOf(named)], [[D, hour(1)], ['not_verified']]);
  assert.deepEqual(kindsOf(plan(backups, { named: D })), []);
  const absent = plan(backups, { named: hour(2) });
  assert.deepEqual(kindsOf(absent), ['no_backup']);
  assert.match(absent.refusals[0]?.why ?? '', /no bucket has hourly.*T02Z/);
});

test('journals that do not reach a backup are refused, and the moment of the backup alone is named', () => {
  assert.deepEqual(kindsOf(plan([daily()], { journalSince: undefined })), ['journal_missing']);
  const late = plan([daily()], { journalSince: '2026-11-24T01Z' });
  assert.deepEqual(kindsOf(late), ['journal_missing']);
  assert.match(late.refusals[0]?.why ?? '', /--at 2026-11-24T00:00:00.000Z asks for the backup alone/);
  assert.deepEqual(kindsOf(plan([daily()], { untilMs: DAY, journalSince: undefined })), []);
  assert.deepEqual(kindsOf(plan([], { journalSince: undefined })), ['no_backup', 'journal_missing']);
});

test('whatever stands in the buckets, an unforced plan is a whole verified chain, and none later is', () => {
  const verdicts = ['verified', 'verified', 'corrupted', 'none', 'of another export'] as const;
  const backups = fc.uniqueArray(
    fc.record({
      n: fc.integer({ min: 0, max: 6 }),
      source: fc.constantFrom(...SOURCES.slice(0, 3)),
      verdict: fc.constantFrom(...verdicts),
      complete: fc.boolean(),
    }),
    { selector: ({ n, source }) => `${n} ${source}`, maxLength: 21 },
  );
  fc.assert(
    fc.property(backups, fc.integer({ min: -1, max: 7 }), (given, until) => {
      const all = given.map(({ n, ...rest }) => (n === 0 ? daily(rest) : hourly(n, rest)));
      const untilMs = DAY + until * HOUR_MS;
      const found = plan(all, { untilMs });
      const isSound = (n: number, source: string): boolean =>
        given.some((it) => it.n === n && it.source === source && it.verdict === 'verified' && it.complete) &&
        (n === 0 || isSound(n - 1, source));
      const best = Math.max(
        -1,
        ...given.filter(({ n, source }) => n <= until && isSound(n, source)).map(({ n }) => n),
      );
      if (best < 0) return assert.ok(found.refusals.length > 0);
      assert.deepEqual(chainOf(found), [D, ...Array.from({ length: best }, (_, n) => hour(n + 1))]);
      assert.equal(new Set(found.chain.map(({ source }) => source)).size, 1);
      return assert.deepEqual(kindsOf(found), []);
    }),
    { numRuns: 200 },
  );
});

const segment = (region: string, at: string) =>
  `journal/${at}/${region}-${'1'.padStart(40, '0')}-${'a'.repeat(64)}.ndjson.gz`;

test('a damaged segment counts as lost unless another journal has all of its hour', () => {
  const hours = (...at: string[]) => new Set(at);
  const [H4, H5, H6] = ['2026-11-24T04Z', '2026-11-24T05Z', '2026-11-24T06Z'];
  const damage = (region: string, at: string, source = region) => ({
    source,
    key: segment(region, at),
    why: 'x',
  });
  const all = new Map([
    ['us-east-2', hours(H4, H5, H6)],
    ['us-west-2', hours(H4, H5, H6)],
  ]);
  assert.deepEqual(notCovered([damage('us-east-2', H5)], all), []);
  const both = [damage('us-east-2', H5), damage('us-west-2', H6)];
  assert.deepEqual(notCovered(both, all), both, 'clocks tell hours differently');
  assert.equal(notCovered([damage('us-east-2', H5)], new Map([['us-east-2', hours(H5)]])).length, 1);
  assert.equal(notCovered([damage('us-east-2', H5)], new Map([['us-west-2', hours(H4)]])).length, 1);
  const parked = { ...damage('us-east-2', H5), source: 'us-west-2' };
  assert.deepEqual(
    notCovered([{ ...parked, key: parked.key.replace('journal/', 'journal-parked/') }], all),
    [],
  );
  const poison = {
    source: 'us-west-2',
    key: `journal-parked/${H5}/us-east-2-${'b'.repeat(64)}.json`,
    why: 'x',
  };
  assert.deepEqual(notCovered([poison], all), []);
  assert.equal(notCovered([{ source: 'us-west-2', key: 'journal/odd', why: 'x' }], all).length, 1);
});

test('a scope covers its records and no others', () => {
  const records = [{ tenant: 'acme', collection: 'notes', id: 'n1' }];
  const cases = [
    [{ kind: 'all' }, ['R#acme#notes#n1', 'R#b#notes#n1'], ['CONTROL#generation']],
    [{ kind: 'tenant', tenant: 'acme' }, ['R#acme#notes#n1'], ['R#acme-2#notes#n1', 'CONTROL#generation']],
    [{ kind: 'records', records }, ['R#acme#notes#n1'], ['R#acme#notes#n11', 'R#acme#notes#n2']],
  ] as const;
  for (const [scope, inside, outside] of cases) {
    const { covers, mayCover } = scopeTest(scope);
    for (const pk of inside) assert.ok(covers(pk) && mayCover(`{"pk":{"S":"${pk}"}}`));
    for (const pk of outside) assert.ok(!covers(pk));
  }
  assert.equal(restoreRecordKey('x', 'begun'), 'restores/x/begun.json');
  assert.equal(restoreRecordKey('x', 'replaced-1'), 'restores/x/replaced-1.ndjson');
});

const AT = DAY;
const wantedOf = (item: ExportedItem): Wanted => {
  const read = contentOfExported(item);
  if (read.kind !== 'record') return assert.fail('expected a record');
  return { item, record: read.record };
};
const whole = (item: ExportedItem): Copy => ({ kind: 'whole', ...wantedOf(item) });
const damaged = (item: ExportedItem): Copy => ({ kind: 'damaged', item, why: 'its payload does not match' });
const NONE: Copy = { kind: 'none' };
const now = recordItem('n1', AT, '{"now":true}');
const rot = { ...now, payload: { S: 'rot' } };
const older = recordItem('n1', AT - HOUR_MS, '{"older":true}');

test('what is done about a record follows from what its copies are', () => {
  const stripped: ExportedItem = Object.fromEntries(
    Object.entries(rot).filter(([name]) => name !== 'sha256'),
  );
  const noVersion = { ...rot, version: { S: 'x' } };
  const cases: readonly (readonly [string, readonly Copy[], ExportedItem, boolean, string])[] = [
    ['all whole', [whole(now), whole(now)], older, false, 'nothing'],
    ['all whole, told otherwise', [whole(now), whole(now)], older, true, 'replace'],
    ['the same, told otherwise', [whole(now)], now, true, 'nothing'],
    ['one replica rots', [whole(now), damaged(rot)], older, false, 'mend'],
    ['one replica has lost it', [NONE, whole(now)], older, false, 'mend'],
    ['all rot, the backup has the version', [damaged(rot), damaged(rot)], now, false, 'mend'],
    ['without its hash', [damaged(stripped)], now, false, 'mend'],
    ['all rot, the backup has an older one', [damaged(rot)], older, false, 'replace'],
    ['not even a version', [damaged(noVersion)], now, false, 'replace'],
    ['nothing there', [NONE, NONE, NONE], older, false, 'fill'],
  ];
  for (const [name, copies, wanted, overwrite, kind] of cases)
    assert.equal(needOf(copies, wantedOf(wanted), { overwrite }).kind, kind, name);
});

test('what is mended keeps what its sessions have settled and its trail, with the content of its version', () => {
  const session = `w#${'c'.repeat(32)}`;
  const stored: ExportedItem = { ...rot, [session]: { M: { s: { N: '9' }, t: { N: '1' } } } };
  const need = needOf([damaged(stored)], wantedOf(now));
  assert.ok(need.kind === 'mend');
  assert.deepEqual(need.wanted.item, { ...stored, payload: now['payload'] });
  assert.equal(need.over, versionAt(AT));
  const other = needOf([damaged(rot), whole(now)], wantedOf(older));
  assert.ok(other.kind === 'mend');
  assert.deepEqual(other.wanted.item, now, 'what a replica has whole is later than any backup');
});

test('a new commit version moves a record to its place in both indexes, and changes nothing else', () => {
  const commit = versionAt(DAY + DAY_MS);
  for (const payload of ['{"a":1}', undefined]) {
    const item = recordItem('n1', AT, payload);
    const fresh = stamped(item, wantedOf(item).record, commit);
    const { record } = wantedOf(fresh);
    assert.deepEqual([record.commitVersion, record.version], [commit, wantedOf(item).record.version]);
    assert.equal(ATTRIBUTES.sweepOrder in fresh, payload === undefined);
    const changed = Object.keys(fresh).filter(
      (name) => JSON.stringify(fresh[name]) !== JSON.stringify(item[name]),
    );
    assert.deepEqual(changed.filter((name) => !name.startsWith('sweep')).sort(), [
      'commitVersion',
      'feedOrder',
    ]);
  }
  const through = stamped(now, wantedOf(now).record, commit, 'us-gov-west-1');
  assert.deepEqual(through['r#us-gov-west-1'], { S: commit });
});

test('only removals as late as the sweeper’s are believed', () => {
  const commitVersion = versionAt(DAY);
  assert.ok(!isSweep({ commitVersion }, DAY + DAY_MS));
  assert.ok(!isSweep({ commitVersion }, DAY + TOMBSTONE_AGE_MS_MIN - 2 * HOUR_MS));
  assert.ok(isSweep({ commitVersion }, DAY + TOMBSTONE_AGE_MS_MIN + 1));
});
