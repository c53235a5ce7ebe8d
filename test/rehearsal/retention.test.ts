// The retention year: with the templates as they are there is what the policy says; with any rule of them wrong there is
// not, and it says which.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { buildApp } from '../../lib/app.ts';
import { DAY_MS } from '../../protocol/backups.ts';
import { type Resource, readDeployment } from '../../rehearsal/assembly/assembly.ts';
import { askedIn, dayText } from '../../rehearsal/retention/ask.ts';
import { type Keeping, keepingsOf } from '../../rehearsal/retention/keeping.ts';
import { play } from '../../rehearsal/retention/play.ts';
import { dayLines, tableLines } from '../../rehearsal/retention/report.ts';
import { DEV } from '../lib/assembly.ts';

const outdir = mkdtempSync(join(tmpdir(), 'eden-field-retention-'));
after(() => rmSync(outdir, { recursive: true, force: true }));
buildApp(DEV, { validate: false, bundle: false, outdir }).app.synth();
const deployment = readDeployment(outdir);

const BEGIN = Date.parse('2027-01-01T00:00:00Z');
const span = (days: number) => ({ fromMs: BEGIN, onMs: BEGIN + (days - 1) * DAY_MS, days });
type Fields = Readonly<Record<string, unknown>>;

/** The same templates with what `change` makes of each resource; undefined takes one away. */
function changed(change: (resource: Resource) => Resource | undefined): readonly Keeping[] {
  return keepingsOf({
    ofType: (type, region) => deployment.ofType(type, region).flatMap((it) => change(it) ?? []),
  });
}

/** With the rules of all buckets for one use changed. */
function withRules(use: string, change: (rule: Fields) => Fields | undefined): readonly Keeping[] {
  return changed((it) => {
    if (it.type !== 'AWS::S3::Bucket' || !it.physicalId.includes(`-${use}-`)) return it;
    const { Rules } = it.properties['LifecycleConfiguration'] as { Rules: readonly Fields[] };
    const LifecycleConfiguration = { Rules: Rules.flatMap((rule) => change(rule) ?? []) };
    return { ...it, properties: { ...it.properties, LifecycleConfiguration } };
  });
}
const ruleOf = (id: string, change: (rule: Fields) => Fields | undefined) => (rule: Fields) =>
  rule['Id'] === id ? change(rule) : rule;

const kindsOf = (keepings: readonly Keeping[], days: number) =>
  play(keepings, span(days)).flatMap(({ differences }) => differences.map(({ kind }) => kind));

test('the templates keep what the policy says on every day of more than a year, in every bucket', () => {
  const all = play(keepingsOf(deployment), span(400));
  assert.deepEqual(
    all.flatMap(({ differences }) => differences),
    [],
  );
  const [backup, offsite] = all;
  assert.equal(all.length, 2, 'buckets that are kept alike are played once');
  assert.equal(backup?.buckets.length, 3);
  assert.equal(offsite?.buckets.length, 1);
  const [hourly, daily, weekly] = backup?.day?.tiers ?? [];
  // S3 counts from the midnight after: seven days and today's twelve, thirty days and today, every Monday of a year.
  assert.deepEqual([hourly?.there.length, daily?.there.length, weekly?.there.length], [180, 31, 52]);
  assert.equal(hourly?.restorable.length, 179, 'the oldest is older than its time, and its chain is gone');
  assert.equal(backup?.day?.journal, 852);
  assert.deepEqual(offsite?.day?.tiers[0]?.classes, { DEEP_ARCHIVE: 13, STANDARD: 1 });
});

test('offsite copies stand for seven years, and then go', () => {
  const offsite = keepingsOf(deployment).filter(({ use }) => use === 'offsite');
  const [played] = play(offsite, span(2_600));
  assert.deepEqual(played?.differences, []);
  const counts = new Map(played?.months.map(({ atMs, tiers }) => [dayText(atMs), tiers[0]?.there.length]));
  assert.deepEqual(
    [counts.get('2033-12-01'), counts.get('2034-01-01')],
    [84, 84],
    'the first of all is over',
  );
});

const WRONG: readonly (readonly [
  what: string,
  keepings: () => readonly Keeping[],
  days: number,
  kinds: readonly string[],
])[] = [
  [
    'the rule of a tier missing',
    () =>
      withRules(
        'backup',
        ruleOf('daily', () => undefined),
      ),
    40,
    ['daily kept'],
  ],
  [
    'a tier kept shorter',
    () =>
      withRules(
        'backup',
        ruleOf('weekly', (it) => ({ ...it, ExpirationInDays: 60 })),
      ),
    80,
    ['weekly gone'],
  ],
  [
    'an hourly one kept shorter',
    () =>
      withRules(
        'backup',
        ruleOf('hourly', (it) => ({ ...it, ExpirationInDays: 5 })),
      ),
    9,
    ['hourly gone'],
  ],
  [
    'a daily one kept shorter than the hours on top of it',
    () =>
      withRules(
        'backup',
        ruleOf('daily', (it) => ({ ...it, ExpirationInDays: 4 })),
      ),
    8,
    ['hourly not restorable', 'daily gone'],
  ],
  [
    'a tier kept longer',
    () =>
      withRules(
        'backup',
        ruleOf('hourly', (it) => ({ ...it, ExpirationInDays: 9 })),
      ),
    13,
    ['hourly kept'],
  ],
  [
    'a rule that is off',
    () =>
      withRules(
        'backup',
        ruleOf('hourly', (it) => ({ ...it, Status: 'Disabled' })),
      ),
    13,
    ['hourly kept'],
  ],
  [
    'old versions without an end',
    () =>
      withRules(
        'backup',
        ruleOf('hourly', ({ NoncurrentVersionExpiration: _, ...it }) => it),
      ),
    14,
    ['hourly unseen'],
  ],
  [
    'delete markers without an end',
    () =>
      withRules(
        'backup',
        ruleOf('expired-delete-markers', () => undefined),
      ),
    14,
    ['hourly marker'],
  ],
  [
    'a journal kept shorter',
    () =>
      withRules(
        'backup',
        ruleOf('journal', (it) => ({ ...it, ExpirationInDays: 20 })),
      ),
    25,
    ['journal gone'],
  ],
  [
    'no move to Deep Archive',
    () => withRules('offsite', ({ Transitions: _, ...it }) => it),
    45,
    ['offsite storage class'],
  ],
  [
    'a tier that no schedule makes',
    () => changed((it) => (it.physicalId.endsWith('backup-weekly') ? undefined : it)),
    10,
    ['weekly not made'],
  ],
  [
    'a schedule that is off',
    () =>
      changed((it) =>
        it.physicalId.endsWith('backup-daily')
          ? { ...it, properties: { ...it.properties, State: 'DISABLED' } }
          : it,
      ),
    3,
    ['daily not made'],
  ],
  [
    'a bucket without a lock',
    () =>
      changed(({ properties: { ObjectLockConfiguration: _, ...properties }, ...it }) => ({
        ...it,
        properties,
      })),
    2,
    ['hourly lock'],
  ],
  [
    'verified backups that are not locked for their time',
    () =>
      changed((it) =>
        it.type === 'AWS::Lambda::Function'
          ? { ...it, properties: { ...it.properties, Environment: {} } }
          : it,
      ),
    2,
    ['daily lock', 'offsite lock'],
  ],
  [
    'no offsite bucket',
    () => changed((it) => (it.physicalId.includes('-offsite-') ? undefined : it)),
    1,
    ['offsite'],
  ],
];

for (const [what, keepings, days, kinds] of WRONG)
  test(`finds ${what}`, () => {
    const found = kindsOf(keepings(), days);
    for (const kind of kinds)
      assert.ok(found.includes(kind), `expected ${kind}, got ${found.join(', ') || 'nothing'}`);
    const tiers = new Set(kinds.map((kind) => kind.split(' ')[0]));
    for (const kind of found) assert.ok(tiers.has(kind.split(' ')[0]), `expected nothing else, got ${kind}`);
  });

test('a rule of one bucket only is found in that one', () => {
  const [first] = deployment
    .ofType('AWS::S3::Bucket')
    .filter(({ physicalId }) => physicalId.includes('-backup-'));
  const all = play(
    changed((it) =>
      it.physicalId === first?.physicalId
        ? { ...it, properties: { ...it.properties, LifecycleConfiguration: {} } }
        : it,
    ),
    span(12),
  );
  assert.deepEqual(
    all.filter(({ differences }) => differences.length > 0).map(({ buckets }) => buckets),
    [[first?.physicalId]],
  );
});

test('any tier kept for any fewer days is found', () => {
  const tiers = fc.constantFrom(['hourly', 7] as const, ['daily', 30] as const);
  const shorter = tiers.chain(([tier, days]) =>
    fc.record({ tier: fc.constant(tier), days: fc.integer({ min: 1, max: days - 1 }) }),
  );
  fc.assert(
    fc.property(shorter, ({ tier, days }) => {
      const keepings = withRules(
        'backup',
        ruleOf(tier, (it) => ({ ...it, ExpirationInDays: days })),
      );
      assert.ok(kindsOf(keepings, days + 4).includes(`${tier} gone`));
    }),
    { numRuns: 8 },
  );
});

test('a day in words names each tier, and every backup when asked', () => {
  const [backup] = play(keepingsOf(deployment), span(10));
  assert.ok(backup?.day);
  const lines = dayLines(backup.day, { list: true });
  assert.match(lines[0] ?? '', /^on 2027-01-10 at noon UTC$/);
  assert.ok(lines.includes('  daily     10: 2027-01-01 to 2027-01-10; all can be restored; 10 in STANDARD'));
  assert.ok(lines.includes('    hourly/2027-01-10T03Z/ on 3 before it'));
  assert.ok(lines.some((line) => line.endsWith('cannot be restored any more')));
  assert.equal(tableLines(backup.months).length, 1 + 2, 'a head, the first of the month, the last day');
});

test('dates that make no sense are refused, with what was expected', () => {
  const now = Date.parse('2026-11-24T15:00:00Z');
  const refused = (args: readonly string[], why: RegExp) =>
    assert.throws(
      () => askedIn(args, now),
      (error) => error instanceof RangeError && why.test(error.message),
    );
  refused(['--on', '2027-02-30'], /--on is a date such as 2027-03-05, got "2027-02-30"/);
  refused(['--on', 'tomorrow'], /--on is a date/);
  refused(['--from', '2027-1-1'], /--from is a date/);
  refused(['--days', '0'], /--days is a whole number from 1 to 4000, got "0"/);
  refused(['--days', '1e3'], /--days/);
  refused(
    ['--from', '2027-01-01', '--on', '2028-01-01'],
    /expected 2027-01-01 to 2027-12-31, got 2028-01-01/,
  );
  refused(['--from', '2027-01-02', '--on', '2027-01-01'], /--on is a day that is played/);
  assert.throws(() => askedIn(['--year', '2027'], now), { code: 'ERR_PARSE_ARGS_UNKNOWN_OPTION' });
  const asked = askedIn(['--on', '2027-03-05'], now);
  assert.ok(asked !== 'help');
  assert.deepEqual([dayText(asked.fromMs), dayText(asked.onMs)], ['2026-03-06', '2027-03-05']);
  const plain = askedIn([], now);
  assert.ok(plain !== 'help');
  assert.deepEqual([dayText(plain.fromMs), dayText(plain.onMs)], ['2026-11-24', '2027-11-23']);
});

test('the command says why it cannot run, and ends with 2', async () => {
  const run = promisify(execFile)(process.execPath, ['rehearsal/retention.ts', '--on', '2027-13-01']);
  await assert.rejects(run, {
    code: 2,
    stderr: /--on is a date such as 2027-03-05, got "2027-13-01"[\s\S]*npm run retention/,
  });
});
