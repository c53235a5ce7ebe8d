// Keys of backups, and what stands beside them: read back as written, and refused when they are anything else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  BACKUP_TIERS,
  type Backup,
  type BackupTier,
  backupOfKey,
  backupPrefix,
  DAY_MS,
  parseBackup,
  tickBefore,
  tickIn,
  tickOf,
  tickText,
} from '../../protocol/backups.ts';

const at = (text: string) => Date.parse(text);

test('a tick begins with its hour, its day, its Monday, its month', () => {
  const cases: readonly (readonly [BackupTier, string, string, string])[] = [
    ['hourly', '2026-11-24T13:20:00Z', '2026-11-24T13:00:00Z', '2026-11-24T13Z'],
    ['hourly', '2026-11-24T13:00:00Z', '2026-11-24T13:00:00Z', '2026-11-24T13Z'],
    ['hourly', '2026-11-24T12:59:59.999Z', '2026-11-24T12:00:00Z', '2026-11-24T12Z'],
    ['daily', '2026-11-24T23:59:59.999Z', '2026-11-24T00:00:00Z', '2026-11-24'],
    ['weekly', '2026-11-24T13:20:00Z', '2026-11-23T00:00:00Z', '2026-11-23'],
    ['weekly', '2026-11-23T00:00:00Z', '2026-11-23T00:00:00Z', '2026-11-23'],
    ['weekly', '2026-11-22T23:59:59Z', '2026-11-16T00:00:00Z', '2026-11-16'],
    ['weekly', '2027-01-01T00:00:00Z', '2026-12-28T00:00:00Z', '2026-12-28'],
    ['offsite', '2026-11-24T13:20:00Z', '2026-11-01T00:00:00Z', '2026-11-01'],
    ['offsite', '2028-02-29T23:59:59Z', '2028-02-01T00:00:00Z', '2028-02-01'],
  ];
  for (const [tier, moment, start, text] of cases) {
    const tickMs = tickOf(tier, at(moment));
    assert.equal(new Date(tickMs).toISOString(), new Date(start).toISOString(), `${tier} ${moment}`);
    assert.equal(tickText({ tier, tickMs }), text);
  }
  assert.equal(tickBefore('offsite', at('2026-03-01T00:00:00Z')), at('2026-02-01T00:00:00Z'));
  assert.equal(tickBefore('hourly', at('2026-03-01T00:00:00Z')), at('2026-02-28T23:00:00Z'));
});

test('any key in a backup leads back to it, and keys of ticks sort by time', () => {
  const moment = fc.integer({ min: at('2024-01-01T00:00:00Z'), max: at('2036-01-01T00:00:00Z') });
  fc.assert(
    fc.property(fc.constantFrom(...BACKUP_TIERS), moment, moment, (tier, one, other) => {
      const [a, b] = [tickOf(tier, one), tickOf(tier, other)];
      const prefix = backupPrefix({ tier, tickMs: a });
      assert.deepEqual(backupOfKey(`${prefix}AWSDynamoDB/x/data/y.json.gz`), { tier, tickMs: a });
      assert.equal(prefix < backupPrefix({ tier, tickMs: b }), a < b);
      assert.ok(a <= one && tickOf(tier, a) === a && tickBefore(tier, a) < a);
    }),
    { numRuns: 200 },
  );
});

test('what is no tick, and what is in no backup, is nobody’s', () => {
  for (const [tier, text] of [
    ['hourly', '2026-11-24'],
    ['hourly', '2026-11-24T24Z'],
    ['hourly', '2026-11-24T1Z'],
    ['hourly', '2026-11-24T13:30Z'],
    ['daily', '2026-11-24T13Z'],
    ['daily', '2026-02-30'],
    ['daily', '2026-1-1'],
    ['daily', ''],
    ['weekly', '2026-11-24'],
    ['offsite', '2026-11-02'],
  ] as const)
    assert.equal(tickIn(tier, text), undefined, `${tier} ${text}`);
  for (const key of [
    'journal/2026-11-24T13Z/x.ndjson.gz',
    'hourly/',
    'hourly/2026-11-24T13Z',
    'hourly/backup.json',
    'monthly/2026-11-01/backup.json',
    '',
  ])
    assert.equal(backupOfKey(key), undefined, key);
});

const BACKUP: Backup = {
  format: 1,
  tier: 'hourly',
  tick: '2026-11-24T13Z',
  region: 'us-east-2',
  tableArn: 'arn:aws:dynamodb:us-east-2:123456789012:table/eden-field-dev-records',
  exportArn: 'arn:aws:dynamodb:us-east-2:123456789012:table/eden-field-dev-records/export/01-ab',
  kind: 'incremental',
  fromMs: at('2026-11-24T12:00:00Z'),
  toMs: at('2026-11-24T13:00:00Z'),
  chain: ['daily/2026-11-24/', 'hourly/2026-11-24T12Z/'],
  askedAtMs: at('2026-11-24T13:20:00Z'),
  attempt: 1,
  restoreEpoch: DAY_MS,
  why: 'goes on from hourly/2026-11-24T12Z/',
};
const KEY = 'hourly/2026-11-24T13Z/backup.json';

test('what was asked for is read back as written', () => {
  assert.deepEqual(parseBackup(JSON.stringify(BACKUP), KEY), BACKUP);
  const { fromMs: _, ...rest } = BACKUP;
  const full: Backup = { ...rest, kind: 'full', chain: [] };
  assert.deepEqual(parseBackup(JSON.stringify(full), KEY), full);
});

test('what was asked for, and is another backup or none, is refused by its key', () => {
  const cases: readonly (readonly [string, unknown, RegExp])[] = [
    ['no JSON', '{', /expected JSON/],
    ['another format', { ...BACKUP, format: 2 }, /format 1/],
    ['no tick', { ...BACKUP, tick: '2026-11-24' }, /format 1/],
    ['a time as text', { ...BACKUP, toMs: '1' }, /format 1/],
    ['another tier than its key', { ...BACKUP, tick: '2026-11-24T12Z' }, /the backup its key says/],
    ['a chain of a full one', { ...BACKUP, kind: 'full' }, /none of a full one/],
    ['an incremental one without a chain', { ...BACKUP, chain: [] }, /a start and a chain/],
    ['null', null, /format 1/],
  ];
  for (const [what, value, message] of cases)
    assert.throws(
      () => parseBackup(typeof value === 'string' ? value : JSON.stringify(value), KEY),
      (error: Error) =>
        error instanceof TypeError && error.message.startsWith(KEY) && message.test(error.message),
      what,
    );
});
