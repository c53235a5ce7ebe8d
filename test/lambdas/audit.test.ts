// The entries of the audit trail as pure text: what they say, how they are chained, and that they always fit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecentKeys } from '../../lambdas/core/archiving.ts';
import { outboxEntries, type Recorded, type Ruling, recordRuling } from '../../lambdas/core/audit.ts';
import { contentOf, sha256Of } from '../../lambdas/core/canonical.ts';
import { type AuditState, type Edit, NO_AUDIT, type StoredRecord } from '../../lambdas/core/record.ts';
import { type AuditEntry, CHAIN_START, walkChain } from '../../protocol/audit.ts';
import { LOST_INLINE_BYTES_MAX, OUTBOX_BYTES_MAX, PAYLOAD_BYTES_MAX } from '../../protocol/limits.ts';
import type { Json } from '../../protocol/operations.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';

const at = (ms: number): Version => versionOf({ ms, counter: 0 }, 'a'.repeat(16));
const SCENE = { region: 'us-east-2', atMs: 1_800_000_000_000 };
const VOTES = [
  { region: 'us-east-2', vote: 'incoming' },
  { region: 'us-west-2', vote: 'incoming' },
  { region: 'us-east-1', vote: 'absent' },
] as const;

const edit = (over: Partial<Edit> = {}): Edit => ({
  key: { tenant: 'acme', collection: 'notes', id: 'n' },
  session: '1'.repeat(32),
  sequence: 7,
  version: at(60),
  base: undefined,
  replayed: false,
  content: contentOf('incoming'),
  ...over,
});
const stored = (over: Partial<StoredRecord> = {}): StoredRecord => ({
  version: at(50),
  commitVersion: at(500),
  content: contentOf('stored'),
  settled: new Map(),
  audit: NO_AUDIT,
  ...over,
});
const ruling = (outcome: 'incoming' | 'stored', over: Partial<StoredRecord> = {}): Ruling => ({
  outcome,
  votes: VOTES,
  stored: stored(over),
});
const recorded = (result: Recorded) =>
  result.kind === 'recorded' ? result : assert.fail('expected the entry to fit');
const entryIn = ({ audit }: { readonly audit: AuditState }): AuditEntry =>
  JSON.parse(audit.outbox.at(-1) ?? assert.fail('expected an entry'));

test('an entry says who met whom, how it was voted, and what lost', () => {
  const first = recorded(recordRuling(edit({ base: at(10) }), ruling('incoming'), NO_AUDIT, SCENE));
  assert.deepEqual(entryIn(first), {
    record: { tenant: 'acme', collection: 'notes', id: 'n' },
    sequence: 1,
    previous: CHAIN_START,
    at: SCENE.atMs,
    region: SCENE.region,
    outcome: 'incoming',
    votes: VOTES,
    incoming: {
      version: at(60),
      deleted: false,
      sha256: sha256Of('"incoming"'),
      session: '1'.repeat(32),
      sequence: 7,
      base: at(10),
    },
    stored: { version: at(50), deleted: false, sha256: sha256Of('"stored"'), commitVersion: at(500) },
    lost: '"stored"',
  });
  assert.equal(first.payload, undefined);
  assert.deepEqual(first.audit.head, sha256Of(first.audit.outbox[0] as string));
});

test('when the stored side wins, what lost is the edit', () => {
  const entry = entryIn(recorded(recordRuling(edit(), ruling('stored'), NO_AUDIT, SCENE)));
  assert.deepEqual([entry.outcome, entry.lost], ['stored', '"incoming"']);
});

test('a delete that loses, or takes a payload’s place, is told without a payload of its own', () => {
  const gone = { content: { deleted: true } } as const;
  const lostDelete = entryIn(recorded(recordRuling(edit(gone), ruling('stored'), NO_AUDIT, SCENE)));
  assert.deepEqual(
    [lostDelete.lost, lostDelete.incoming.deleted, lostDelete.incoming.sha256],
    [undefined, true, undefined],
  );
  const wonDelete = entryIn(recorded(recordRuling(edit(gone), ruling('incoming'), NO_AUDIT, SCENE)));
  assert.equal(wonDelete.lost, '"stored"');
  const overTombstone = entryIn(recorded(recordRuling(edit(), ruling('incoming', gone), NO_AUDIT, SCENE)));
  assert.deepEqual([overTombstone.lost, overTombstone.stored?.deleted], [undefined, true]);
});

test('an edit whose base is missing takes nothing away, and its entry says so without a vote', () => {
  const result = recorded(recordRuling(edit({ base: at(10) }), { outcome: 'base_missing' }, NO_AUDIT, SCENE));
  const entry = entryIn(result);
  assert.deepEqual(
    [entry.outcome, entry.votes, entry.stored, entry.lost],
    ['base_missing', [], undefined, undefined],
  );
  assert.equal(entry.incoming.base, at(10));
  assert.equal(result.payload, undefined);
});

test('a losing payload goes out of line one byte above the limit, under its SHA-256', () => {
  const ofBytes = (bytes: number) => contentOf('x'.repeat(bytes - 2));
  const fits = recorded(
    recordRuling(edit(), ruling('incoming', { content: ofBytes(LOST_INLINE_BYTES_MAX) }), NO_AUDIT, SCENE),
  );
  assert.equal(fits.payload, undefined);
  assert.equal(Buffer.byteLength(entryIn(fits).lost ?? ''), LOST_INLINE_BYTES_MAX);
  const large = ofBytes(LOST_INLINE_BYTES_MAX + 1);
  const elsewhere = recorded(recordRuling(edit(), ruling('incoming', { content: large }), NO_AUDIT, SCENE));
  assert.deepEqual(elsewhere.payload, large);
  assert.equal(entryIn(elsewhere).lost, undefined);
  assert.equal(entryIn(elsewhere).stored?.sha256, large.sha256);
  const incoming = contentOf('y'.repeat(PAYLOAD_BYTES_MAX - 2));
  assert.deepEqual(
    recorded(recordRuling(edit({ content: incoming }), ruling('stored'), NO_AUDIT, SCENE)).payload,
    incoming,
  );
});

test('an outbox without room for one more entry says so, and an empty one always has room', () => {
  const escaped: Json = '"\\\u0001'.repeat(LOST_INLINE_BYTES_MAX / 10 - 1);
  const worst = ruling('incoming', { content: contentOf(escaped) });
  assert.ok(Buffer.byteLength(contentOf(escaped).payload) <= LOST_INLINE_BYTES_MAX);
  const key = { tenant: 't'.repeat(63), collection: 'c'.repeat(63), id: 'i'.repeat(255) };
  let trail = NO_AUDIT;
  let entries = 0;
  for (;;) {
    const result = recordRuling(edit({ key, base: at(10) }), worst, trail, SCENE);
    if (result.kind === 'outbox_full') break;
    entries += 1;
    trail = result.audit;
    const bytes = trail.outbox.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    assert.ok(bytes <= OUTBOX_BYTES_MAX);
  }
  assert.ok(entries >= 1, 'the largest entry does not fit into an empty outbox');
  assert.equal(recordRuling(edit(), worst, { ...trail, outbox: [] }, SCENE).kind, 'recorded');
});

test('a chain of entries holds from its head, trimmed or not, and the outbox is its end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          outcome: fc.constantFrom('incoming' as const, 'stored' as const),
          lost: fc.jsonValue({ maxDepth: 2 }),
          trims: fc.nat(4).map((n) => n === 0),
        }),
        { minLength: 1, maxLength: 8 },
      ),
      async (conflicts) => {
        const archived = new Map<string, string>();
        let trail = NO_AUDIT;
        for (const { outcome, lost, trims } of conflicts) {
          const content = contentOf(lost as Json);
          const result = recorded(
            recordRuling(edit({ content }), ruling(outcome, { content }), trail, SCENE),
          );
          trail = result.audit;
          for (const { sequence, hash, text } of outboxEntries(trail))
            archived.set(`${sequence}-${hash}`, text);
          if (trims) trail = { ...trail, outbox: [] };
        }
        assert.equal(trail.sequence, conflicts.length);
        const walk = await walkChain(
          { sequence: trail.sequence, hash: trail.head },
          async (sequence, hash) => archived.get(`${sequence}-${hash}`),
          sha256Of,
        );
        assert.ok('entries' in walk);
        assert.deepEqual(
          walk.entries.map(({ outcome }) => outcome),
          conflicts.map(({ outcome }) => outcome),
        );
        assert.equal(archived.size, conflicts.length);
      },
    ),
    { numRuns: 50 },
  );
});

test('remembers so many keys and no more, the latest ones', () => {
  const recent = new RecentKeys(2);
  for (const key of ['a', 'b', 'a', 'c']) recent.add(key);
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => recent.has(key)),
    [true, false, true],
  );
});
