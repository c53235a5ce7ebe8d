// The paging of a pull, pure: a feed that lags, writers that go on, a client that pulls with any page size. Whatever
// was committed is returned by some pull, since checkpoints stay behind what may still show up (PROTOCOL 6.3).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodePullCursor, encodePullCursor, type PullCursor } from '../../lambdas/core/cursors.ts';
import { advance, beginPull, cursorOf, isComplete, type Pull, sharesOf } from '../../lambdas/core/pulling.ts';
import { checkFeed, completeUntilMs } from '../../lambdas/core/steadiness.ts';
import { CURSOR_AGE_MS_MAX, FEED_SETTLE_MS, FEED_SHARDS } from '../../protocol/limits.ts';

interface Row {
  readonly shard: number;
  readonly position: string;
  /** When the index shows it. */
  readonly visibleMs: number;
}

const WHO = { tenant: 'acme', restoreEpoch: 7 };
const START_MS = 1_700_000_000_000;

/** One page against the rows that the index shows at `nowMs`. */
function page(pull: Pull, rows: readonly Row[], limit: number, nowMs: number, cut: number) {
  const reads = sharesOf(pull, limit).map(({ shard, after, limit: share }) => {
    const behind = rows
      .filter((row) => row.shard === shard && row.visibleMs <= nowMs && row.position > after)
      .sort((a, b) => (a.position < b.position ? -1 : 1));
    const some = behind.slice(0, share);
    return { shard, rows: some.map(({ position }) => position), exhausted: some.length === behind.length };
  });
  const returned = reads.flatMap(({ shard, rows: some }) => some.map((position) => `${shard} ${position}`));
  // As when payloads fill the answer: what does not fit is left for the next page.
  const taken = Math.min(returned.length, Math.max(1, cut));
  return { returned: returned.slice(0, taken), next: advance(pull, reads, taken) };
}

const arbitraryRow = fc.record({
  shard: fc.nat(FEED_SHARDS - 1),
  /** Commit time and how late the index shows it: within what the settle window allows for. */
  committedMs: fc.nat(600_000),
  lagMs: fc.nat(FEED_SETTLE_MS - 1),
  id: fc.nat(999),
});

test('every row that is ever committed is returned by some pull, whatever lags and however one pages', () => {
  fc.assert(
    fc.property(
      fc.array(arbitraryRow, { maxLength: 60 }),
      fc.array(
        fc.record({
          afterMs: fc.nat(200_000),
          limit: fc.integer({ min: 1, max: 30 }),
          cut: fc.integer({ min: 1, max: 30 }),
        }),
        { maxLength: 40 },
      ),
      (specs, pulls) => {
        const rows = specs.map(({ shard, committedMs, lagMs, id }): Row => {
          const ms = START_MS + committedMs;
          const position = `${ms.toString(16).padStart(12, '0')}-0000-${'c'.repeat(16)}#notes#${id}`;
          return { shard, position, visibleMs: ms + lagMs };
        });
        const seen = new Set<string>();
        let nowMs = START_MS;
        let cursor: PullCursor | undefined;
        const pullOnce = (limit: number, cut: number) => {
          const pull = beginPull(cursor, { ...WHO, nowMs });
          assert.ok(pull !== 'expired');
          const { returned, next } = page(pull, rows, limit, nowMs, cut);
          for (const row of returned) seen.add(row);
          cursor = decodePullCursor(encodePullCursor(cursorOf(next)));
          return isComplete(next);
        };
        for (const { afterMs, limit, cut } of pulls) {
          nowMs += afterMs;
          pullOnce(limit, cut);
        }
        // Then everything has shown up, and the client pulls to the end twice: the pull under way, and a new one.
        nowMs = Math.max(nowMs, START_MS + 900_000);
        for (let ends = 0; ends < 2; ) if (pullOnce(30, 30)) ends += 1;
        for (const { shard, position } of rows) assert.ok(seen.has(`${shard} ${position}`), position);
      },
    ),
    { numRuns: 300 },
  );
});

test('a pull that returns nothing more ends, and its cursor says no more than that', () => {
  const pull = beginPull(undefined, { ...WHO, nowMs: START_MS });
  assert.ok(pull !== 'expired');
  const reads = sharesOf(pull, 100).map(({ shard }) => ({ shard, rows: [], exhausted: true }));
  assert.equal(reads.length, FEED_SHARDS);
  const end = advance(pull, reads, 0);
  assert.ok(isComplete(end));
  assert.deepEqual(cursorOf(end), {
    ...WHO,
    startedMs: START_MS,
    checkpoint: (START_MS - FEED_SETTLE_MS).toString(16).padStart(12, '0'),
    resync: false,
  });
});

test('the checkpoint counts from the beginning of a pull, however long its pages take', () => {
  let pull = beginPull(undefined, { ...WHO, nowMs: START_MS });
  for (let shard = 0; shard < FEED_SHARDS; shard += 1) {
    assert.ok(pull !== 'expired');
    const later = beginPull(cursorOf(advance(pull, [{ shard, rows: ['x'], exhausted: true }], 1)), {
      ...WHO,
      nowMs: START_MS + (shard + 1) * 3_600_000,
    });
    if (shard < FEED_SHARDS - 1) pull = later;
    else
      assert.equal(
        later !== 'expired' && later.positions[0],
        (START_MS - FEED_SETTLE_MS).toString(16).padStart(12, '0'),
      );
  }
});

test('a checkpoint never goes back, even when clocks do', () => {
  const first = beginPull(undefined, { ...WHO, nowMs: START_MS });
  assert.ok(first !== 'expired');
  const all = Array.from({ length: FEED_SHARDS }, (_, shard) => ({ shard, rows: [], exhausted: true }));
  const cursor = cursorOf(advance(first, all, 0));
  const second = beginPull(cursor, { ...WHO, nowMs: START_MS - 60_000 });
  assert.ok(second !== 'expired');
  assert.equal(cursorOf(advance(second, all, 0)).checkpoint, cursor.checkpoint);
});

test('fewer rows than shards still go round all of them', () => {
  const pull = beginPull(undefined, { ...WHO, nowMs: START_MS });
  assert.ok(pull !== 'expired');
  assert.deepEqual(
    sharesOf(pull, 3).map(({ shard, limit }) => [shard, limit]),
    [
      [0, 1],
      [1, 1],
      [2, 1],
    ],
  );
  const some = advance(pull, [{ shard: 0, rows: [], exhausted: true }], 0);
  assert.deepEqual(
    sharesOf(some, 3).map(({ shard }) => shard),
    [1, 2, 3],
  );
  assert.deepEqual(
    sharesOf(pull, 100).map(({ limit }) => limit),
    Array.from({ length: FEED_SHARDS }, () => 6),
  );
});

test('a position moves only over what was put into the answer', () => {
  const pull = beginPull(undefined, { ...WHO, nowMs: START_MS });
  assert.ok(pull !== 'expired');
  const reads = [
    { shard: 0, rows: ['a', 'b'], exhausted: true },
    { shard: 1, rows: ['c', 'd'], exhausted: true },
    { shard: 2, rows: ['e'], exhausted: false },
    { shard: 3, rows: [], exhausted: true },
  ];
  assert.deepEqual(advance(pull, reads, 3).positions.slice(0, 5), [null, 'c', '', '', '']);
  assert.deepEqual(advance(pull, reads, 5).positions.slice(0, 5), [null, null, 'e', null, '']);
});

test('a shard read twice counts as read to its end only when nothing of it was left out', () => {
  const pull = beginPull(undefined, { ...WHO, nowMs: START_MS });
  assert.ok(pull !== 'expired');
  const reads = [
    { shard: 0, rows: ['a'], exhausted: false },
    { shard: 1, rows: ['b'], exhausted: false },
    { shard: 0, rows: [], exhausted: true },
    { shard: 1, rows: ['c'], exhausted: true },
  ];
  assert.deepEqual(advance(pull, reads, 0).positions.slice(0, 2), ['', '']);
  assert.deepEqual(advance(pull, reads, 1).positions.slice(0, 2), ['a', '']);
  assert.deepEqual(advance(pull, reads, 2).positions.slice(0, 2), [null, 'b']);
  assert.deepEqual(advance(pull, reads, 3).positions.slice(0, 2), [null, null]);
});

const DAY_MS = 86_400_000;
/** To its end in one page that finds nothing. */
function ended(pull: Pull | 'expired'): PullCursor {
  assert.ok(pull !== 'expired');
  const reads = Array.from({ length: FEED_SHARDS }, (_, shard) => ({ shard, rows: [], exhausted: true }));
  return cursorOf(advance(pull, reads, 0));
}

test('a Region that has been silent for longer than a cursor lives holds the checkpoint and ends no pull', () => {
  let cursor: PullCursor | undefined;
  let checkpoint: string | undefined;
  // Once a week, for as long again; the other Region was last heard of at the beginning.
  for (let nowMs = START_MS; nowMs <= START_MS + 2 * CURSOR_AGE_MS_MAX; nowMs += 7 * DAY_MS) {
    cursor = decodePullCursor(
      encodePullCursor(ended(beginPull(cursor, { ...WHO, nowMs, completeMs: START_MS }))),
    );
    assert.equal(cursor?.startedMs, nowMs, 'its age counts from when it was issued');
    checkpoint ??= cursor.checkpoint;
    assert.equal(cursor.checkpoint, checkpoint);
  }
  const nowMs = START_MS + 4 * CURSOR_AGE_MS_MAX;
  assert.equal(beginPull(cursor, { ...WHO, nowMs, completeMs: nowMs }), 'expired', 'it lives no longer');
});

test('a pull that goes on in a Region that knows less promises no more than that one', () => {
  const positionOf = (ms: number) => (ms - FEED_SETTLE_MS).toString(16).padStart(12, '0');
  for (const [what, first, second, expected] of [
    ['a silent Region', { nowMs: START_MS }, { nowMs: START_MS + 5, completeMs: START_MS - DAY_MS }, DAY_MS],
    [
      'the first knew less',
      { nowMs: START_MS, completeMs: START_MS - 9_000 },
      { nowMs: START_MS + 5 },
      9_000,
    ],
    ['a clock behind', { nowMs: START_MS }, { nowMs: START_MS - 7_000 }, 7_000],
    ['both', { nowMs: START_MS, completeMs: START_MS - 5_000 }, { nowMs: START_MS - 7_000 }, 7_000],
    ['both as good', { nowMs: START_MS }, { nowMs: START_MS + 5 }, 0],
  ] as const) {
    const begun = beginPull(undefined, { ...WHO, ...first });
    assert.ok(begun !== 'expired');
    const some = advance(begun, [{ shard: 0, rows: ['a'], exhausted: false }], 1);
    const cursor = decodePullCursor(encodePullCursor(cursorOf(some)));
    const last = ended(beginPull(cursor, { ...WHO, ...second }));
    assert.equal(last.checkpoint, positionOf(START_MS - expected), what);
    assert.equal(last.startedMs, Math.min(first.nowMs, second.nowMs), what);
  }
});

test('one other Region is enough for a steady feed, and its last beat is how far it reaches', () => {
  const [own, other] = ['us-gov-east-1', 'us-gov-west-1'] as const;
  const beats = (atMs: number) => [
    { region: own, atMs: 100_000 },
    { region: other, atMs },
  ];
  const first = checkFeed(undefined, beats(98_000), own, 100_000);
  assert.deepEqual(first, { checkedAt: 100_000, steadySince: 100_000 });
  assert.deepEqual(checkFeed(first, beats(98_000), own, 130_000), { checkedAt: 130_000 }, 'it fell silent');
  assert.equal(completeUntilMs(beats(98_000), own), 98_000);
  assert.equal(completeUntilMs([{ region: own, atMs: 100_000 }], own), undefined);
});

test('cursors survive being written and read, and nothing else is one', () => {
  const cursor: PullCursor = { ...WHO, startedMs: START_MS, checkpoint: 'abc', resync: true };
  const paged = { ...cursor, positions: Array.from({ length: FEED_SHARDS }, (_, n) => (n % 2 ? null : 'x')) };
  const behind = { ...paged, completeMs: START_MS - 1 };
  for (const it of [cursor, paged, behind]) assert.deepEqual(decodePullCursor(encodePullCursor(it)), it);
  fc.assert(fc.property(fc.string(), (text) => decodePullCursor(text) === undefined));
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = Buffer.from(JSON.stringify(value)).toString('base64url');
      return decodePullCursor(text) === undefined;
    }),
  );
});
