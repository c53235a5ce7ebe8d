// Two of three, as pure decisions: who votes, who has no say, and that nothing is ever decided by fewer than two.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contentOf } from '../../lambdas/core/canonical.ts';
import { type Copy, NO_AUDIT, type StoredRecord } from '../../lambdas/core/record.ts';
import { poll } from '../../lambdas/core/voting.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';

const [A, B, C] = ['us-east-2', 'us-west-2', 'us-east-1'] as const;
const at = (ms: number): Version => versionOf({ ms, counter: 0 }, 'a'.repeat(16));

const record = (over: Partial<StoredRecord> = {}): StoredRecord => ({
  version: at(50),
  commitVersion: at(500),
  content: contentOf('stored'),
  settled: new Map(),
  audit: NO_AUDIT,
  ...over,
});
const damaged = { ...contentOf('stored'), payload: '"storeb"' };
const copy = (region: string, over: Partial<StoredRecord> = {}): Copy => ({
  region,
  answered: true,
  record: record(over),
});
const absent = (region: string): Copy => ({ region, answered: false, why: 'cut off' });
const missing = (region: string): Copy => ({ region, answered: true, record: undefined });

const outcomeOf = (version: Version, copies: readonly Copy[]) => {
  const { outcome, votes } = poll({ version }, record(), copies);
  return [outcome, ...votes.map(({ vote }) => vote)];
};

test('the higher version wins, with three votes or two', () => {
  assert.deepEqual(outcomeOf(at(60), [copy(A), copy(B), copy(C)]), [
    'incoming',
    'incoming',
    'incoming',
    'incoming',
  ]);
  assert.deepEqual(outcomeOf(at(40), [copy(A), copy(B), absent(C)]), [
    'stored',
    'stored',
    'stored',
    'absent',
  ]);
  assert.deepEqual(outcomeOf(at(50), [copy(A), copy(B), absent(C)]).at(0), 'stored');
});

test('a copy of another commit has no say, whichever way it would vote', () => {
  const newer = { commitVersion: at(501), version: at(55) };
  const older = { commitVersion: at(499), version: at(45) };
  assert.deepEqual(outcomeOf(at(60), [copy(A), copy(B, newer), copy(C, older)]), [
    'undecided',
    'incoming',
    'void',
    'void',
  ]);
  assert.deepEqual(outcomeOf(at(60), [copy(A), copy(B), copy(C, older)]).at(0), 'incoming');
});

test('a copy that holds nothing has no say', () => {
  assert.deepEqual(outcomeOf(at(60), [copy(A), missing(B), missing(C)]), [
    'undecided',
    'incoming',
    'void',
    'void',
  ]);
});

test('a damaged copy has no say, whatever commit it is of; two of them leave it undecided', () => {
  const broken = { content: damaged };
  assert.deepEqual(outcomeOf(at(60), [copy(A, broken), copy(B), copy(C)]), [
    'incoming',
    'corrupt',
    'incoming',
    'incoming',
  ]);
  assert.deepEqual(
    outcomeOf(at(60), [copy(A, broken), copy(B, { ...broken, commitVersion: at(1) }), copy(C)]),
    ['undecided', 'corrupt', 'corrupt', 'incoming'],
  );
});

test('what loses is taken from a copy that voted with the majority', () => {
  const result = poll({ version: at(60) }, record(), [
    copy(A, { content: damaged }),
    copy(B, { version: at(70) }),
    copy(C),
    copy('eu-west-1'),
  ]);
  assert.ok(result.outcome === 'incoming');
  assert.equal(result.voter.version, at(50));
  assert.deepEqual(result.voter.content, contentOf('stored'));
});

test('an undecided vote is worth another round when enough copies are whole, but of other commits', () => {
  const moved = (copies: readonly Copy[]) => {
    const result = poll({ version: at(60) }, record(), copies);
    return result.outcome === 'undecided' && result.moved;
  };
  const other = { commitVersion: at(501) };
  assert.equal(moved([copy(A, other), copy(B, other), copy(C, other)]), true);
  assert.equal(moved([copy(A), copy(B, other), absent(C)]), true);
  assert.equal(moved([copy(A), missing(B), absent(C)]), true);
  assert.equal(moved([copy(A, other), absent(B), absent(C)]), false);
  assert.equal(moved([copy(A), absent(B), absent(C)]), false);
  assert.equal(moved([copy(A), copy(B, { content: damaged }), absent(C)]), false);
});

const copies = fc.array(
  fc.oneof(
    fc.constant(absent(A)),
    fc.constant(missing(A)),
    fc
      .record({
        version: fc.integer({ min: 45, max: 55 }).map(at),
        commitVersion: fc.constantFrom(at(500), at(500), at(500), at(499), at(501)),
        content: fc.constantFrom(contentOf('stored'), contentOf('stored'), damaged, {
          deleted: true,
        } as const),
      })
      .map((over) => copy(A, over)),
  ),
  { minLength: 3, maxLength: 3 },
);
const named = (three: readonly Copy[]) =>
  three.map((each, n): Copy => ({ ...each, region: [A, B, C][n] as string }));
const voters = (three: readonly Copy[], wins: boolean) =>
  three.filter(
    (each) =>
      each.answered &&
      each.record !== undefined &&
      each.record.commitVersion === at(500) &&
      each.record.content !== damaged &&
      at(50) > each.record.version === wins,
  ).length;

test('two equal votes decide, and never fewer', () => {
  fc.assert(
    fc.property(copies, (three) => {
      const result = poll({ version: at(50) }, record(), named(three));
      const expected =
        voters(three, true) >= 2 ? 'incoming' : voters(three, false) >= 2 ? 'stored' : 'undecided';
      assert.equal(result.outcome, expected);
      if (result.outcome === 'undecided') return;
      assert.ok(result.votes.filter(({ vote }) => vote === result.outcome).length >= 2);
      assert.equal(at(50) > result.voter.version, result.outcome === 'incoming');
      assert.equal(result.voter.commitVersion, at(500));
      assert.notEqual(result.voter.content, damaged);
    }),
  );
});

test('the order of the regions decides nothing', () => {
  fc.assert(
    fc.property(copies, fc.shuffledSubarray([0, 1, 2], { minLength: 3 }), (three, order) => {
      const inOrder = named(three);
      const shuffled = order.map((n) => inOrder[n] as Copy);
      const [first, second] = [inOrder, shuffled].map((each) => poll({ version: at(50) }, record(), each));
      assert.equal(first?.outcome, second?.outcome);
      const sorted = (of: typeof first) =>
        [...(of?.votes ?? [])].sort((a, b) => (a.region < b.region ? -1 : 1));
      assert.deepEqual(sorted(first), sorted(second));
    }),
  );
});
