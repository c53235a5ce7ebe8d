// Whatever is taken out of a journal is found to be missing, and found in another region's; what is whole is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { JournalChange, SealedSegment } from '../../protocol/journal.ts';
import { fillerOf, fillsFrom, JournalCheck, type JournalGap } from '../../protocol/journal-gaps.ts';
import { identityOf, itemOf, outlineOf, type SegmentOutline } from '../../protocol/journal-history.ts';
import { historyIn, StreamedTable, segmentsOf } from '../lambdas/journal-world.ts';

const HOUR = 3_600_000;
const T = Date.UTC(2026, 6, 1, 5);
const [OWN, PEER] = ['us-east-2', 'us-west-2'];
const outlined = (segments: readonly SealedSegment[]) => segments.map((it) => outlineOf(it.key, it));

/** By hour, in order, as a bucket lists them. */
function check(
  outlines: readonly SegmentOutline[],
  untilMs: number,
  sinceMs?: number,
): readonly JournalGap[] {
  const hours = Map.groupBy(outlines, ({ key }) => key.split('/')[1] ?? '');
  const journal = new JournalCheck({ region: OWN, sinceMs });
  for (const hour of [...hours.keys()].sort()) journal.add(hours.get(hour) ?? []);
  return journal.gaps(untilMs);
}

/** Two and a half hours of a few records, with a beat every two minutes. */
function busyTable(actions: readonly (readonly [number, number])[]): StreamedTable {
  const table = new StreamedTable(T);
  const steps = Math.max(75, actions.length);
  for (let step = 0; step < steps; step += 1) {
    const at = T + Math.floor((step * 2.5 * HOUR) / steps / 1_000) * 1_000;
    table.beat(at);
    const [record, kind] = actions[step] ?? [0, -1];
    if (kind === 0) table.remove(`n${record}`, at);
    else if (kind === 1) table.touch(`n${record}`, at);
    else if (kind > 1) table.write(`n${record}`, at, `${step}`);
  }
  return table;
}
const END = T + 2.5 * HOUR;
const actions = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 6 })), {
  minLength: 1,
  maxLength: 120,
});

test('a whole journal has no gaps, however it is cut, also with another region’s beside it', () => {
  fc.assert(
    fc.property(actions, fc.integer({ min: 1, max: 40 }), fc.boolean(), (drawn, size, beside) => {
      const table = busyTable(drawn);
      const own = outlined(segmentsOf(table.changes, OWN, size));
      const peers = beside ? outlined(segmentsOf(table.elsewhere(1_000, 61_000), PEER, size)) : [];
      assert.deepEqual(check([...own, ...peers], END), []);
    }),
    { numRuns: 60 },
  );
});

test('what is taken out is missed, what fills it is found, and then everything is there in order', () => {
  fc.assert(
    fc.property(
      actions,
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 12 }),
      fc.array(fc.nat(200), { minLength: 1, maxLength: 5 }),
      (drawn, size, peerSize, taken) => {
        const table = busyTable(drawn);
        const all = segmentsOf(table.changes, OWN, size);
        const left = all.filter((_, index) => !taken.some((it) => it % all.length === index));
        const peer = segmentsOf(table.elsewhere(5_000, 2_000), PEER, peerSize);
        const known = new Set(left.flatMap(({ changes }) => changes.map(identityOf)));
        const knows = (identity: string) => known.has(identity);
        const fills = fillsFrom(outlined(peer), { knows, untilMs: END });
        const lost = table.changes.filter((it) => {
          const identity = identityOf(it);
          return identity !== undefined && !known.has(identity);
        });
        assert.equal(fills.length > 0, lost.length > 0, 'whatever of a record is gone is found to be');
        const brought = new Set(fills.map(({ segment }) => segment.key));
        const filled = [...left, ...peer.filter(({ key }) => brought.has(key))];
        const gaps = check(outlined(filled), END);
        assert.deepEqual(
          gaps.filter(({ kind }) => kind === 'change'),
          [],
        );
        sameStates(historyIn(filled, OWN), table.changes);
      },
    ),
    { numRuns: 100 },
  );
});

/** Commits and removals, in order; what is no commit may be told by either region. */
function sameStates(
  histories: ReadonlyMap<string, readonly JournalChange[]>,
  truth: readonly JournalChange[],
) {
  const states = (changes: readonly JournalChange[]) =>
    changes.filter(({ before, commitVersion }) => before !== commitVersion).map(identityOf);
  for (const [item, changes] of Map.groupBy(truth, itemOf))
    if (item.startsWith('R#')) assert.deepEqual(states(histories.get(item) ?? []), states(changes), item);
}

test('a change that a later one replaced is missed by the journal itself', () => {
  const table = new StreamedTable(T);
  const start = T + 2 * HOUR;
  for (let at = T; at <= start + 600_000; at += 60_000) table.beat(at);
  for (const [index, payload] of ['1', '2', '3', undefined, '5'].entries())
    if (payload === undefined) table.remove('n1', start + index * 1_000);
    else table.write('n1', start + index * 1_000, payload);
  const segments = segmentsOf(table.changes, OWN, 1);
  for (const [index, kind] of [
    [0, 'change'],
    [1, 'change'],
    [2, 'change'],
    [3, 'removal'],
  ] as const) {
    const at = segments.length - 5 + index;
    const gaps = check(outlined(segments.filter((_, it) => it !== at)), start + 600_000);
    const [change, ...others] = gaps.filter((gap) => gap.kind === 'change');
    assert.ok(change && others.length === 0, `${index}: ${JSON.stringify(gaps)}`);
    assert.deepEqual(
      [change.pk, change.commitVersion, change.removal],
      [
        'R#acme#notes#n1',
        segments[at]?.changes[0]?.commitVersion ?? segments[at]?.changes[0]?.before,
        kind === 'removal',
      ],
    );
    assert.ok(gaps.some((gap) => gap.kind === 'segment' && gap.key === segments[at]?.key));
  }
});

test('what another region dated into the next hour is no gap, and takes nothing back', () => {
  const table = new StreamedTable(T);
  const start = T + 2 * HOUR - 3_000;
  for (let at = T; at < T + 8 * HOUR; at += 60_000) table.beat(at);
  const writes = [0, 1, 2, 2 * HOUR, 5 * HOUR].map((later, index) =>
    table.write('n1', start + later, String(index)),
  );
  const gone = table.write('n2', start, 'x');
  table.remove('n2', start + 1);
  table.write('n2', start + 5 * HOUR, 'y');
  const own = segmentsOf(
    table.changes.toSorted((a, b) => a.at - b.at).filter((it) => it !== writes[1] && it !== gone),
    OWN,
    1,
  );
  const late = [writes[1], gone].flatMap((it, index) =>
    it ? [{ ...it, seq: String(9_000 + index), at: T + 2 * HOUR + 5_000 }] : [],
  );
  const segments = [...own, ...segmentsOf(late, PEER)];
  assert.deepEqual(
    check(outlined(segments), T + 8 * HOUR).filter(({ kind }) => kind !== 'segment'),
    [],
  );
  assert.equal(check(outlined(own), T + 8 * HOUR).filter(({ kind }) => kind === 'change').length, 2);
});

test('what happened before the journal began is not missed', () => {
  const table = new StreamedTable(T);
  table.write('old', T, 'before');
  const began = T + HOUR;
  for (let at = began; at < began + HOUR; at += 60_000) table.beat(at);
  table.write('old', began + 60_000, 'after');
  const segments = segmentsOf(table.changes.slice(1), OWN, 5);
  assert.deepEqual(check(outlined(segments), began + HOUR), []);
  assert.deepEqual(check(outlined(segments.slice(1)), began + HOUR), [], 'nor what has expired since');
});

test('a journal that is quiet for five minutes is missed, at its beginning, inside and at its end', () => {
  const table = new StreamedTable(T);
  for (let at = T; at < T + HOUR; at += 5_000) if (at < T + 1_200_000 || at > T + 1_500_000) table.beat(at);
  const outlines = outlined(segmentsOf(table.changes, OWN, 50));
  const silent = (fromMs: number, toMs: number) => ({ kind: 'silence', fromMs, toMs });
  const inside = silent(T + 1_195_000, T + 1_505_000);
  const silences = (untilMs: number, sinceMs?: number) =>
    check(outlines, untilMs, sinceMs).filter(({ kind }) => kind === 'silence');
  assert.deepEqual(silences(T + HOUR), [inside]);
  assert.deepEqual(silences(T + HOUR, T - 300_000), [inside]);
  assert.deepEqual(silences(T + HOUR, T - 300_001), [silent(T - 300_001, T), inside]);
  assert.deepEqual(silences(T + HOUR + 296_000), [inside, silent(T + HOUR - 5_000, T + HOUR + 296_000)]);
  assert.deepEqual(check([], END, T), [silent(T, END)]);
  assert.deepEqual(check([], END), [], 'a journal that never began');
});

test('where streams differ only what is missing for sure is asked for', () => {
  const table = new StreamedTable(T);
  for (let at = T; at < T + HOUR; at += 60_000) table.beat(at);
  const [first, , third] = ['1', '2', '3'].map((payload, index) =>
    table.write('n1', T + 1_800_000 + index * 1_000, payload),
  );
  const unseen = table.write('n2', T + 1_800_000, 'left out by replication, and made good');
  const gaps: readonly JournalGap[] = check(
    outlined(
      segmentsOf(
        table.changes.filter((it) => ![first, unseen].includes(it)),
        OWN,
        100,
      ),
    ),
    T + HOUR,
  );
  const fills = fillerOf(gaps);
  const outline = (change: JournalChange | undefined) =>
    outlined(segmentsOf(change ? [change] : [], PEER))[0]?.changes[0] ?? assert.fail();
  assert.deepEqual(
    [first, third, unseen].map((it) => fills(outline(it))),
    [true, false, false],
  );
  const silence = fillerOf([{ kind: 'silence', fromMs: T + 1_700_000, toMs: T + 1_900_000 }]);
  assert.ok(silence(outline(unseen)));
  assert.ok(!silence(outline({ ...unseen, at: T })));
});

test('what is still on its way is not missed', () => {
  const table = new StreamedTable(T);
  table.write('n1', T + 1_000, '1');
  const peer = outlined(segmentsOf(table.changes, PEER));
  assert.equal(fillsFrom(peer, { knows: () => false, untilMs: T + 999 }).length, 0);
  assert.equal(fillsFrom(peer, { knows: () => false, untilMs: T + 1_000 }).length, 1);
});
