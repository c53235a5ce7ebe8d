// The index of what is newer as it goes to those who read the full backup elsewhere.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { KEY_ENTRY_BYTES, KeyIndex, type Sha256 } from '../../protocol/key-index.ts';
import { indexFingerprint, indexFromBytes, indexToBytes } from '../../protocol/restore-work.ts';
import { versionAt } from '../lambdas/audit-trail.ts';

const sha256: Sha256 = (text, as) => hash('sha256', text, as);
const entries = fc.uniqueArray(
  fc.record({
    n: fc.integer({ min: 0, max: 5_000 }),
    ms: fc.integer({ min: 1, max: 2 ** 44 }),
    stage: fc.integer({ min: 0, max: 2 }),
    settled: fc.boolean(),
  }),
  { selector: ({ n }) => n, maxLength: 1_500 },
);
type Entry =
  typeof entries extends fc.Arbitrary<infer T> ? (T extends readonly (infer E)[] ? E : never) : never;

function indexOf(list: readonly Entry[]): KeyIndex {
  const index = new KeyIndex(sha256);
  for (const { n, ms, stage, settled } of list) {
    const at = index.add(`R#acme#notes#${n}`);
    index.setRank(at, versionAt(ms), stage);
    if (settled) index.settle(at);
  }
  return index;
}

test('as bytes and back it says the same of every key, and of no other', () => {
  fc.assert(
    fc.property(entries, (list) => {
      const bytes = indexOf(list).toBytes();
      assert.equal(bytes.length, list.length * KEY_ENTRY_BYTES);
      const index = KeyIndex.fromBytes(sha256, bytes);
      assert.equal(index.size, list.length);
      for (const { n, ms, stage, settled } of list) {
        const at = index.find(`R#acme#notes#${n}`) ?? assert.fail(`${n} is gone`);
        assert.deepEqual([index.compareRank(at, versionAt(ms), stage), index.isSettled(at)], [0, settled]);
      }
      assert.equal(index.find('R#acme#notes#none'), undefined);
    }),
    { numRuns: 40, interruptAfterTimeLimit: 10_000 },
  );
  assert.throws(() => KeyIndex.fromBytes(sha256, new Uint8Array(KEY_ENTRY_BYTES + 1)), TypeError);
});

test('its fingerprint is of what is in it, whatever the order, and of nothing else', () => {
  fc.assert(
    fc.property(entries, fc.nat(), (list, pick) => {
      const { fingerprint } = indexOf(list);
      assert.equal(indexOf([...list].reverse()).fingerprint, fingerprint);
      const one = list[pick % Math.max(1, list.length)];
      if (!one) return;
      const changed = (entry: Entry) => list.map((it) => (it === one ? entry : it));
      for (const other of [
        changed({ ...one, ms: one.ms + 1 }),
        changed({ ...one, stage: (one.stage + 1) % 3 }),
        changed({ ...one, settled: !one.settled }),
        list.filter((it) => it !== one),
      ])
        assert.notEqual(indexOf(other).fingerprint, fingerprint);
    }),
    { numRuns: 40, interruptAfterTimeLimit: 10_000 },
  );
});

test('both parts go together, and what is not the one asked for, or damaged, is refused', () => {
  const one = indexOf([{ n: 1, ms: 5, stage: 0, settled: true }]);
  const two = indexOf([{ n: 2, ms: 6, stage: 1, settled: false }]);
  const none = new KeyIndex(sha256);
  assert.equal(indexFingerprint({ newer: none, journals: none }), undefined);
  for (const it of [
    { newer: one, journals: two },
    { newer: one, journals: none },
    { newer: one, journals: undefined },
    { newer: none, journals: two },
  ]) {
    const fingerprint = indexFingerprint(it) ?? assert.fail('it has none');
    const bytes = indexToBytes(it);
    const { newer, journals } = indexFromBytes(sha256, bytes, fingerprint);
    assert.deepEqual([newer.size, journals?.size ?? 0], [it.newer.size, it.journals?.size ?? 0]);
    for (let at = 0; at < bytes.length; at += 7) {
      const damaged = Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ 0b100 : byte));
      assert.throws(() => indexFromBytes(sha256, damaged, fingerprint), Error, `byte ${at}`);
    }
  }
});
