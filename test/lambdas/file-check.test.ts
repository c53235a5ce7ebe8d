// One data file looked through: what is counted, what is found, and that its digest is that of its records alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FileCheck } from '../../lambdas/core/file-check.ts';
import { StateDigest } from '../../lambdas/core/state-digest.ts';
import { HOUR_MS } from '../../protocol/backups.ts';
import type { ExportedItem, ExportFile } from '../../protocol/export-files.ts';
import { contentOfExported } from '../../protocol/exported-records.ts';
import { CONTROL, changesOf, checkFile, DAY, exported, itemsOf, recordItem, tableOf } from './exports.ts';

const NOTE = recordItem('n1', DAY - 5, '{"text":"a"}');
const TOMBSTONE = recordItem('n2', DAY - 4, undefined);
const NOTHING = new StateDigest().toString();

const fullOf = (...items: readonly ExportedItem[]) =>
  exported('daily', DAY, itemsOf(tableOf(...items)), { files: 1 });

test('counts records and control items, and digests the records', () => {
  const report = checkFile(fullOf(NOTE, TOMBSTONE, CONTROL), 0);
  assert.deepEqual(
    [report.items, report.records, report.controls, report.recordsAdded, report.problemCount],
    [3, 2, 1, 2, 0],
  );
  assert.notEqual(report.digest, NOTHING);
  assert.equal(report.digest, checkFile(fullOf(CONTROL, TOMBSTONE, NOTE), 0).digest, 'in any order');
  assert.equal(report.digest, checkFile(fullOf(TOMBSTONE, NOTE), 0).digest, 'without control items');
  for (const other of [recordItem('n1', DAY - 5, '{"text":"b"}'), recordItem('n1', DAY - 3, '{"text":"a"}')])
    assert.notEqual(report.digest, checkFile(fullOf(other, TOMBSTONE), 0).digest, 'of other records');
});

const patched = (changes: Readonly<Record<string, unknown>>): ExportedItem => {
  const item = { ...NOTE, ...changes };
  for (const [name, value] of Object.entries(changes)) if (value === undefined) delete item[name as 'pk'];
  return item as ExportedItem;
};

test('each way in which a record can be damaged is a problem that names it', () => {
  const other = recordItem('n9', DAY, '{}');
  const cases: readonly (readonly [ExportedItem, RegExp])[] = [
    [patched({ payload: { S: '{"text":"b"}' } }), /^the payload does not match its SHA-256$/],
    [patched({ sha256: { S: 'f'.repeat(64) } }), /^the payload does not match its SHA-256$/],
    [patched({ sha256: { S: 'F' } }), /^it has no payload or no SHA-256$/],
    [patched({ payload: undefined }), /^it has no payload or no SHA-256$/],
    [patched({ deleted: { BOOL: true } }), /^a tombstone with a payload$/],
    [patched({ deleted: undefined }), /^it does not say whether it is deleted$/],
    [patched({ version: { S: '1' } }), /^it has no version or commit version$/],
    [patched({ commitVersion: other['commitVersion'] }), /^its place in the feed is not that of its commit/],
    [patched({ feedShard: { S: 'F#acme#z' } }), /^it is not in its feed shard$/],
    [patched({ sk: { S: 'OTHER' } }), /^its key is no record's$/],
    [patched({ sk: undefined }), /^it has no key$/],
    [
      patched({ [`w#${'b'.repeat(32)}`]: { M: { s: { N: '-1' }, t: { N: '1' } } } }),
      /^what a session has settled/,
    ],
    [patched({ [`w#${'b'.repeat(32)}`]: { S: '' } }), /^what a session has settled/],
    [patched({ auditSequence: { N: '1' } }), /^its audit head is no hash$/],
    [patched({ auditHead: { S: 'a'.repeat(64) } }), /^an audit trail without its sequence$/],
    [
      patched({
        auditSequence: { N: '1' },
        auditHead: { S: 'a'.repeat(64) },
        outbox: { L: [{ S: '' }, { S: '' }] },
      }),
      /^its outbox holds more entries than its audit trail$/,
    ],
    [
      patched({ auditSequence: { N: '1' }, auditHead: { S: 'a'.repeat(64) }, outbox: { L: [{ N: '1' }] } }),
      /^its outbox is no list of texts$/,
    ],
  ];
  for (const [item, what] of cases) {
    const report = checkFile(fullOf(TOMBSTONE, item), 0);
    assert.equal(report.problemCount, 1, String(what));
    const [problem] = report.problems;
    assert.match(problem?.what ?? '', what);
    assert.equal(problem?.line, 2);
    assert.equal(problem?.pk, 'R#acme#notes#n1');
    assert.equal(problem?.file, 'daily/2026-11-24/AWSDynamoDB/data/0.json.gz');
  }
  const trail = { auditSequence: { N: '2' }, auditHead: { S: 'a'.repeat(64) }, outbox: { L: [{ S: '{}' }] } };
  assert.equal(checkFile(fullOf(patched(trail)), 0).problemCount, 0);
});

test('a file that is not what its manifest says, or cannot be read, is a problem of the whole file', () => {
  const backup = fullOf(NOTE, TOMBSTONE);
  const short = checkFile(backup, 0, backup.lines[0]?.slice(1));
  assert.deepEqual(
    short.problems.map(({ line, what }) => [line, what.replace(/\S{22}==/g, 'MD5')]),
    [
      [undefined, 'expected the MD5 MD5 of its manifest, got MD5'],
      [undefined, 'expected 2 items by its manifest, got 1'],
    ],
  );
  const check = new FileCheck(backup.files[0] as ExportFile, backup.summary);
  assert.equal(check.line('{"Item"'), undefined);
  const { problems } = check.broken('unexpected end of file');
  assert.deepEqual(
    problems.map(({ line, what }) => [line, what]),
    [
      [1, 'expected JSON, got a text of 7 characters'],
      [undefined, 'expected a whole gzip file, got: unexpected end of file'],
    ],
  );
});

test('a file full of problems keeps the first of them and counts them all', () => {
  const lines = Array.from({ length: 1_000 }, () => '{}');
  const report = checkFile(exported('daily', DAY, lines, { files: 1 }), 0);
  assert.equal(report.problemCount, 1_000);
  assert.equal(report.problems.length, 20);
});

const CHAIN = ['daily/2026-11-24/'];
const changesFile = (lines: readonly string[]) =>
  exported('hourly', DAY + HOUR_MS, lines, { chain: CHAIN, files: 1 });

test('changes add what came, take away what went, and count what they are about', () => {
  const before = tableOf(NOTE, TOMBSTONE, CONTROL);
  const edited = recordItem('n1', DAY + 7, '{"text":"c"}');
  const after = tableOf(edited, recordItem('n3', DAY + 8, '{}'), { ...CONTROL, status: { S: 'restoring' } });
  const report = checkFile(changesFile(changesOf(before, after, DAY + 9)), 0);
  assert.deepEqual([report.items, report.records, report.controls, report.recordsAdded], [4, 3, 1, 0]);
  assert.equal(report.problemCount, 0);
  const sum = new StateDigest(checkFile(fullOf(...before.values()), 0).digest)
    .plus(new StateDigest(report.digest))
    .toString();
  assert.equal(sum, checkFile(fullOf(...after.values()), 0).digest);
});

test('a change that mends a damaged record is no problem; one that leaves it damaged is', () => {
  const damaged = patched({ payload: { S: '{"text":"x"}' } });
  const mended = recordItem('n1', DAY + 7, '{"text":"a"}');
  assert.equal(
    checkFile(changesFile(changesOf(tableOf(damaged), tableOf(mended), DAY + 9)), 0).problemCount,
    0,
  );
  assert.equal(
    checkFile(changesFile(changesOf(tableOf(mended), tableOf(damaged), DAY + 9)), 0).problemCount,
    1,
  );
  assert.equal(checkFile(changesFile(changesOf(tableOf(damaged), tableOf(), DAY + 9)), 0).problemCount, 0);
});

test('a change of another time, or of another item than its keys say, is a problem', () => {
  const of = (atMs: number) => checkFile(changesFile(changesOf(tableOf(), tableOf(NOTE), atMs)), 0);
  assert.equal(of(DAY).problemCount, 0, 'the start belongs to it');
  assert.equal(of(DAY + HOUR_MS - 1).problemCount, 0);
  for (const atMs of [DAY - 1, DAY + HOUR_MS])
    assert.match(of(atMs).problems[0]?.what ?? '', /^expected a change from \d+ on and before \d+, got \d+$/);
  const [line = ''] = changesOf(tableOf(), tableOf(NOTE), DAY);
  const elsewhere = line.replace(
    '"Keys":{"pk":{"S":"R#acme#notes#n1"}',
    '"Keys":{"pk":{"S":"R#acme#notes#n7"}',
  );
  assert.match(
    checkFile(changesFile([elsewhere]), 0).problems[0]?.what ?? '',
    /images of the item its keys name/,
  );
});

test('sums of digests do not mind the order, and come back when what was added is taken away', () => {
  const records = fc.array(
    fc.tuple(
      fc.stringMatching(/^[a-z]{1,8}$/),
      fc.nat({ max: 1_000 }),
      fc.option(fc.json(), { nil: undefined }),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(records, records, (one, other) => {
      const read = (list: typeof one) =>
        list.map(([id, ms, payload]) => {
          const content = contentOfExported(recordItem(id, DAY + ms, payload));
          assert.ok(content.kind === 'record');
          return content.record;
        });
      const there = new StateDigest();
      for (const record of read(one)) there.add(record);
      const back = new StateDigest(there.toString());
      for (const record of read(other)) back.add(record);
      for (const record of read(other).reverse()) back.remove(record);
      assert.equal(back.toString(), there.toString());
      const sum = new StateDigest();
      for (const record of read([...other, ...one])) sum.add(record);
      const second = new StateDigest();
      for (const record of read(other)) second.add(record);
      assert.equal(sum.toString(), there.plus(second).toString());
    }),
    { numRuns: 50 },
  );
  assert.throws(() => new StateDigest('abc'), /expected 64 hex digits, got "abc"/);
});
