// The pure decisions one by one: classification in its order, what to try next, room for sessions, chains of a batch.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { firstAttempt, nextStep, nextStepWhenFull } from '../../lambdas/core/attempts.ts';
import { inChains } from '../../lambdas/core/chains.ts';
import { classify } from '../../lambdas/core/classify.ts';
import { type Edit, NO_AUDIT, type Settled, type StoredRecord } from '../../lambdas/core/record.ts';
import { roomFor, SETTLED_SESSIONS_MAX } from '../../lambdas/core/settled-room.ts';
import { timelinessOf } from '../../lambdas/core/timeliness.ts';
import {
  CLOCK_AHEAD_MS_MAX,
  OPERATION_AGE_MS_MAX,
  REPLAYED_OPERATION_AGE_MS_MAX,
  SETTLED_BYTES_MAX,
  TOMBSTONE_AGE_MS_MIN,
} from '../../protocol/limits.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';

const MINE = 'a'.repeat(16);
const THEIRS = 'b'.repeat(16);
const SERVER = 'c'.repeat(16);
const NOW_MS = 1_800_000_000_000;
const session = (n: number) => n.toString(16).padStart(32, '0');
const at = (ms: number, maker = MINE): Version => versionOf({ ms, counter: 0 }, maker);
const commitAt = (ms: number) => at(ms, SERVER);

const edit = (over: Partial<Edit> = {}): Edit => ({
  key: { tenant: 'acme', collection: 'notes', id: 'n' },
  session: session(1),
  sequence: 5,
  version: at(100),
  base: undefined,
  replayed: false,
  content: { deleted: true },
  ...over,
});
const stored = (over: Partial<StoredRecord> = {}): StoredRecord => ({
  version: at(50, THEIRS),
  commitVersion: commitAt(50),
  content: { deleted: false, payload: '1', sha256: '' },
  settled: new Map(),
  audit: NO_AUDIT,
  ...over,
});
const settledAs = (sequence: number, of = 1) => new Map([[session(of), { sequence, atMs: 0 }]]);

test('classifies in the one order: settled, then stamp, then own, then conflict', () => {
  const commit = commitAt(200);
  assert.equal(classify(edit(), undefined, commit).kind, 'missing');
  const everything = stored({ settled: settledAs(5), version: at(150), commitVersion: commitAt(300) });
  assert.deepEqual(classify(edit(), everything, commit), { kind: 'duplicate', version: at(150) });
  const unsettled = { ...everything, settled: settledAs(4) };
  assert.equal(classify(edit(), unsettled, commit).kind, 'stamp_again');
  const stamped = { ...unsettled, commitVersion: commitAt(50) };
  assert.deepEqual(classify(edit(), stamped, commit), { kind: 'clock_ahead', version: at(150) });
  assert.equal(classify(edit(), { ...stamped, version: at(100) }, commit).kind, 'clock_ahead');
  assert.equal(classify(edit(), { ...stamped, version: at(99) }, commit).kind, 'own');
  assert.equal(classify(edit(), { ...stamped, version: at(99, THEIRS) }, commit).kind, 'conflict');
});

test('another session’s sequences settle nothing of this one', () => {
  assert.equal(classify(edit(), stored({ settled: settledAs(9, 2) }), commitAt(200)).kind, 'conflict');
});

test('an equal commit stamp is too low', () => {
  assert.equal(classify(edit(), stored(), commitAt(50)).kind, 'stamp_again');
});

test('after a conflict on its very base an edit is tried again, else it is put to the vote', () => {
  const base = at(50, THEIRS);
  const commit = commitAt(200);
  const onBase = nextStep(edit({ base }), firstAttempt(edit({ base })), stored(), commit, NOW_MS);
  assert.ok(onBase.kind === 'retry' && onBase.seen === commitAt(50));
  assert.equal(nextStep(edit(), firstAttempt(edit()), stored(), commit, NOW_MS).kind, 'conflict');
});

test('a base that was gone and is back is written on, not put to the vote', () => {
  const base = at(50, THEIRS);
  const missed = { base: undefined, creates: true, forget: undefined };
  const step = nextStep(edit({ base }), missed, stored(), commitAt(200), NOW_MS);
  assert.ok(step.kind === 'retry');
  assert.deepEqual([step.attempt.base, step.attempt.creates], [base, false]);
});

test('a conflict drops silent sessions with the decision, and is rejected when none makes room', () => {
  const into = (settled: StoredRecord['settled']) =>
    nextStep(edit(), firstAttempt(edit()), stored({ settled }), commitAt(200), NOW_MS);
  const some = into(sessions(SETTLED_SESSIONS_MAX, 2));
  assert.ok(some.kind === 'conflict');
  assert.deepEqual(some.forget, [session(100), session(101)]);
  const none = into(sessions(SETTLED_SESSIONS_MAX, 0));
  assert.ok(none.kind === 'settle' && none.verdict.verdict === 'rejected');
});

test('an own state becomes the base, and a live one is replaced, not created', () => {
  for (const deleted of [true, false]) {
    const content = deleted ? ({ deleted } as const) : stored().content;
    const step = nextStep(
      edit(),
      firstAttempt(edit()),
      stored({ version: at(99), content }),
      commitAt(200),
      NOW_MS,
    );
    assert.ok(step.kind === 'retry');
    assert.deepEqual([step.attempt.base, step.attempt.creates], [at(99), deleted]);
  }
});

test('a missing base is dropped, and nothing is forgotten with it', () => {
  const step = nextStep(
    edit({ base: at(50) }),
    firstAttempt(edit({ base: at(50) })),
    undefined,
    commitAt(200),
    NOW_MS,
  );
  assert.deepEqual(step, { kind: 'retry', attempt: { base: undefined, creates: true, forget: undefined } });
});

const sessions = (count: number, silent: number): ReadonlyMap<string, Settled> =>
  new Map(
    Array.from({ length: count }, (_, n) => [
      session(n + 100),
      { sequence: 1, atMs: n < silent ? NOW_MS - TOMBSTONE_AGE_MS_MIN - 1 : NOW_MS - TOMBSTONE_AGE_MS_MIN },
    ]),
  );

test('sessions are forgotten only when there is no room, and only those silent for 93 days', () => {
  const room = (count: number, silent: number) =>
    roomFor(session(1), stored({ settled: sessions(count, silent) }), NOW_MS);
  assert.deepEqual(room(SETTLED_SESSIONS_MAX - 1, 10), { fits: true, forget: [] });
  assert.deepEqual(room(SETTLED_SESSIONS_MAX, 2), { fits: true, forget: [session(100), session(101)] });
  assert.deepEqual(room(SETTLED_SESSIONS_MAX, 0), { fits: false });
  const known = stored({
    settled: new Map([...sessions(SETTLED_SESSIONS_MAX, 0), [session(1), { sequence: 1, atMs: 0 }]]),
  });
  assert.deepEqual(roomFor(session(1), known, NOW_MS), { fits: true, forget: [] });
  // DynamoDB counts names and values: 34 + map and numbers of at most 29.
  assert.ok(SETTLED_SESSIONS_MAX * (34 + 29) <= SETTLED_BYTES_MAX);
});

test('an edit by one session too many is rejected, saying so', () => {
  const full = stored({ version: at(99), settled: sessions(SETTLED_SESSIONS_MAX, 0) });
  const step = nextStep(edit(), firstAttempt(edit()), full, commitAt(200), NOW_MS);
  assert.ok(step.kind === 'settle' && step.verdict.verdict === 'rejected');
  assert.equal(step.verdict.reason, 'too_large');
  assert.match(step.verdict.detail, /512 sessions have edited this record within 93 days/);
});

test('a full item is written after all when silent sessions make room, and rejected when none do', () => {
  const attempt = firstAttempt(edit({ base: at(50, THEIRS) }));
  const some = nextStepWhenFull(
    edit(),
    attempt,
    stored({ settled: sessions(SETTLED_SESSIONS_MAX, 3) }),
    NOW_MS,
  );
  assert.ok(some.kind === 'retry');
  assert.equal(some.attempt.forget?.sessions.length, 3);
  assert.equal(some.attempt.base, attempt.base);
  for (const settled of [sessions(SETTLED_SESSIONS_MAX, 0), sessions(3, 3)])
    assert.equal(nextStepWhenFull(edit(), attempt, stored({ settled }), NOW_MS).kind, 'settle');
  assert.equal(nextStepWhenFull(edit(), attempt, undefined, NOW_MS).kind, 'retry');
});

test('timeliness to the millisecond', () => {
  const of = (offsetMs: number, replayed = false) =>
    timelinessOf({ version: at(NOW_MS + offsetMs), replayed }, NOW_MS);
  assert.equal(of(CLOCK_AHEAD_MS_MAX), 'in_time');
  assert.equal(of(CLOCK_AHEAD_MS_MAX + 1), 'ahead');
  assert.equal(of(-OPERATION_AGE_MS_MAX), 'in_time');
  assert.equal(of(-OPERATION_AGE_MS_MAX - 1), 'too_old');
  assert.equal(of(-OPERATION_AGE_MS_MAX - 1, true), 'in_time');
  assert.equal(of(-REPLAYED_OPERATION_AGE_MS_MAX - 1, true), 'too_old');
});

test('chains keep their order, stop where told, answer in order, and run no more at once than allowed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          key: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
          stops: fc.boolean(),
          turns: fc.nat(3),
        }),
        { maxLength: 30 },
      ),
      fc.integer({ min: 1, max: 4 }),
      async (entries, concurrencyMax) => {
        const began: number[] = [];
        let running = 0;
        const outcomes = await inChains(
          entries.map((entry, index) => ({ ...entry, index })),
          {
            keyOf: ({ key }) => key,
            run: async ({ index, turns, stops }) => {
              running += 1;
              assert.ok(running <= concurrencyMax);
              began.push(index);
              for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
              running -= 1;
              return { index, ran: true, stops };
            },
            stops: ({ stops }) => stops,
            skip: ({ index }) => ({ index, ran: false, stops: false }),
            concurrencyMax,
          },
        );
        assert.deepEqual(
          outcomes.map(({ index }) => index),
          entries.map((_, index) => index),
        );
        for (const key of ['a', 'b', 'c']) {
          const chain = entries.flatMap((entry, index) => (entry.key === key ? [index] : []));
          const end = chain.findIndex((index) => entries[index]?.stops);
          const run = end < 0 ? chain : chain.slice(0, end + 1);
          assert.deepEqual(
            began.filter((index) => chain.includes(index)),
            run,
          );
          assert.deepEqual(
            chain.filter((index) => outcomes[index]?.ran),
            run,
          );
        }
        for (const [index, { key }] of entries.entries())
          if (key === undefined) assert.ok(outcomes[index]?.ran);
      },
    ),
  );
});
