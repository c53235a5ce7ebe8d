// Journal segments: what is written is read back, and nothing else is taken for one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sha256Of } from '../../lambdas/core/canonical.ts';
import {
  compareSequenceNumbers,
  type JournalChange,
  JournalFormatError,
  journalHour,
  journalHourMs,
  parkedKey,
  parseJournalKey,
  parseSegment,
  sealSegment,
  unparkedKey,
} from '../../protocol/journal.ts';
import { versionAt } from '../lambdas/audit-trail.ts';

const T = Date.UTC(2026, 6, 1, 5);
const BY = { region: 'us-east-2', writer: 'w1', previous: null } as const;
const change = (seq: string, more: Partial<JournalChange> = {}): JournalChange => ({
  seq,
  at: T,
  pk: 'R#acme#notes#a',
  sk: 'STATE',
  commitVersion: versionAt(T),
  image: { pk: { S: 'R#acme#notes#a' }, payload: { S: '"ä\n\ud800"' } },
  ...more,
});
const two = () =>
  sealSegment([change('9'), change('10', { before: versionAt(T), image: null })], BY, sha256Of);

test('what is sealed is read back, whole and in order', () => {
  const anyChange = fc.record({
    at: fc.integer({ min: T, max: T + 3_599_999 }),
    pk: fc.string({ minLength: 1 }),
    sk: fc.constant('STATE'),
    image: fc.option(
      fc.dictionary(fc.string(), fc.oneof(fc.record({ S: fc.string() }), fc.record({ BOOL: fc.boolean() }))),
    ),
  });
  fc.assert(
    fc.property(fc.array(anyChange, { minLength: 1, maxLength: 8 }), (drawn) => {
      const changes = JSON.parse(
        JSON.stringify(drawn.map((it, index) => ({ seq: String(95 + index), ...it }))),
      ) as JournalChange[];
      const { key, text, header } = sealSegment(changes, BY, sha256Of);
      assert.deepEqual(parseSegment(key, text, sha256Of), { header, changes });
    }),
    { numRuns: 100 },
  );
});

test('the same changes have the same key and lines, whoever writes them after whatever', () => {
  const one = two();
  const other = sealSegment(one.changes, { region: BY.region, writer: 'w2', previous: one.key }, sha256Of);
  assert.equal(other.key, one.key);
  assert.equal(other.text.slice(other.text.indexOf('\n')), one.text.slice(one.text.indexOf('\n')));
  assert.notEqual(sealSegment([change('9')], BY, sha256Of).key, one.key);
  assert.notEqual(sealSegment(one.changes, { ...BY, region: 'us-west-2' }, sha256Of).key, one.key);
});

test('keys come in the order of the stream, name their parts, and lead back from where they are parked', () => {
  const { key, header } = two();
  assert.equal(key, `journal/2026-07-01T05Z/us-east-2-${'9'.padStart(40, '0')}-${header.sha256}.ndjson.gz`);
  assert.deepEqual(parseJournalKey(key), {
    hour: '2026-07-01T05Z',
    region: 'us-east-2',
    first: '9',
    sha256: header.sha256,
  });
  assert.equal(unparkedKey(parkedKey(key)), key);
  for (const other of ['', 'journal/x', key.replace('T05Z', 'T25Z'), key.replace('.gz', ''), parkedKey(key)])
    assert.equal(parseJournalKey(other), undefined, other);
  assert.equal(unparkedKey(key), undefined, 'it is not parked');
  assert.equal(journalHourMs(journalHour(T + 1)), T);
  for (const none of ['2026-07-01T24Z', '2026-13-01T00Z', '2026-07-01', ''])
    assert.equal(journalHourMs(none), undefined, none);
});

test('sequence numbers are compared as numbers', () => {
  const sorted = ['0', '7', '9', '10', '11', '100000000000000000000', '100000000000000000001'];
  for (const [i, a] of sorted.entries())
    for (const [j, b] of sorted.entries())
      assert.equal(Math.sign(compareSequenceNumbers(a, b)), Math.sign(i - j), `${a} ${b}`);
  assert.equal(compareSequenceNumbers('007', '7'), 0);
});

/** The text with its second line, or its header, changed; under a key and a header that agree with it. */
function altered(edit: { readonly line?: object | string; readonly header?: object }) {
  const { text } = two();
  const [head = '', , ...rest] = text.split('\n');
  const line = typeof edit.line === 'string' ? edit.line : JSON.stringify({ ...change('9'), ...edit.line });
  const body = [line, ...rest].join('\n');
  const sha256 = sha256Of(body);
  const header = { ...JSON.parse(head), sha256, ...edit.header };
  const key = two().key.replace(/[0-9a-f]{64}/, sha256);
  return { key, text: `${JSON.stringify(header)}\n${body}` };
}

test('what is not a segment is refused with its key, its line, what was expected and what came', () => {
  for (const [edit, says] of [
    [{ line: '{"seq"' }, /, line 2: expected JSON, got \{"seq"/],
    [{ line: '[]' }, /, line 2: expected an object, got \[\]/],
    [{ line: { seq: 'x' } }, /, line 2: expected "seq": a sequence number, got x/],
    [{ line: { at: 1.5 } }, /, line 2: expected "at": Unix ms, got 1.5/],
    [{ line: { at: T - 1 } }, /, line 2: expected a time in 2026-07-01T05Z, got 2026-07-01T04Z/],
    [{ line: { pk: 7 } }, /, line 2: expected "pk": a partition key, got 7/],
    [{ line: { sk: '' } }, /, line 2: expected "sk": a sort key, got $/],
    [{ line: { before: 'v1' } }, /, line 2: expected "before": a version or nothing, got v1/],
    [{ line: { commitVersion: null } }, /, line 2: expected "commitVersion": a version or nothing, got null/],
    [{ line: { image: undefined } }, /, line 2: expected "image": an item or null, got nothing/],
    [{ line: { image: { pk: 'R#' } } }, /, line 2: expected "image": an item or null, got \{"pk":"R#"\}/],
    [{ line: { image: 'x'.repeat(80) } }, /got x{60}…$/],
    [{ line: { seq: '8' } }, /expected 2 changes from 9 to 10, got 2 from 8 to 10/],
    [{ header: { journal: 2 } }, /, line 1: expected "journal": 1, which this release reads, got 2/],
    [{ header: { count: 3 } }, /expected 3 changes from 9 to 10, got 2/],
    [{ header: { count: 0 } }, /"count": a whole number above 0, got 0/],
    [{ header: { last: '11' } }, /expected 2 changes from 9 to 11/],
    [{ header: { first: '8' } }, /its header says first 8: it was moved or renamed/],
    [{ header: { region: 'us-west-2' } }, /its header says region us-west-2/],
    [{ header: { writer: '' } }, /"writer": who wrote it/],
    [{ header: { previous: 'journal/x' } }, /"previous": null or a segment's key, got journal\/x/],
  ] as const) {
    const { key, text } = altered(edit);
    assert.throws(
      () => parseSegment(key, text, sha256Of),
      (error: unknown) =>
        error instanceof JournalFormatError && error.message.startsWith(key) && says.test(error.message),
      String(says),
    );
  }
});

test('a byte changed, a line lost, a tail cut off: every damage is found', () => {
  const { key, text } = two();
  const lines = text.split('\n');
  for (const damaged of [
    text.replace('STATE', 'STATF'),
    text.slice(0, -1),
    text.slice(0, text.length / 2),
    [lines[0], lines[2], ''].join('\n'),
    `${text}\n`,
    `${text}${lines[2]}\n`,
    '',
    lines[0] ?? '',
  ])
    assert.throws(() => parseSegment(key, damaged, sha256Of), JournalFormatError, damaged.slice(0, 80));
  assert.throws(() => parseSegment('journal/else', text, sha256Of), /expected the key of a journal segment/);
  const sealed = sealSegment([change('10'), change('9')], BY, sha256Of);
  assert.throws(
    () => parseSegment(sealed.key, sealed.text, sha256Of),
    /line 3: expected a sequence number above 10/,
  );
});

test('a segment is of one hour and of at least one change', () => {
  assert.throws(() => sealSegment([], BY, sha256Of), /at least one change, got none/);
  const hours = [change('1'), change('2', { at: T + 3_600_000 })];
  assert.throws(
    () => sealSegment(hours, BY, sha256Of),
    /of one hour, 2026-07-01T05Z, got 2026-07-01T06Z too/,
  );
});
