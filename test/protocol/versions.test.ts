// Versions and their clock: text order is clock order, and the clock only goes up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  asVersion,
  CLOCK_ZERO,
  type Clock,
  clockOf,
  compareClocks,
  compareVersions,
  isVersion,
  makerOf,
  observe,
  successor,
  tick,
  versionOf,
} from '../../protocol/versions.ts';

const MS_MAX = 2 ** 48 - 1;
const clock = fc.record(
  {
    ms: fc.oneof(fc.integer({ min: 0, max: MS_MAX }), fc.integer({ min: 0, max: 5 })),
    counter: fc.oneof(
      fc.integer({ min: 0, max: 0xffff }),
      fc.constantFrom(0, 1, 9, 10, 15, 16, 0xfffe, 0xffff),
    ),
  },
  { noNullPrototype: true },
);
const maker = fc.stringMatching(/^[0-9a-f]{16}$/);
/** With room above it for the clock to go on. */
const early = clock.filter(({ ms }) => ms < MS_MAX - 10);

test('text order is clock order, then the maker’s', () => {
  fc.assert(
    fc.property(clock, clock, maker, maker, (a, b, madeA, madeB) => {
      const [left, right] = [versionOf(a, madeA), versionOf(b, madeB)];
      const byClock = Math.sign(compareClocks(a, b));
      const expected = byClock !== 0 ? byClock : madeA < madeB ? -1 : madeA > madeB ? 1 : 0;
      assert.equal(compareVersions(left, right), expected);
      assert.equal(compareVersions(right, left), expected === 0 ? 0 : -expected);
      assert.equal(
        Buffer.compare(Buffer.from(left), Buffer.from(right)),
        expected,
        'DynamoDB compares bytes',
      );
    }),
  );
});

test('a version gives back its reading and its maker', () => {
  fc.assert(
    fc.property(clock, maker, (at, made) => {
      const version = versionOf(at, made);
      assert.ok(isVersion(version));
      assert.equal(asVersion(version), version);
      assert.deepEqual(clockOf(version), at);
      assert.equal(makerOf(version), made);
    }),
  );
});

test('a tick is above everything given or seen, and not behind the time', () => {
  fc.assert(
    fc.property(early, fc.integer({ min: 0, max: MS_MAX - 10 }), (at, nowMs) => {
      const next = tick(at, nowMs);
      assert.ok(compareClocks(next, at) > 0);
      assert.ok(next.ms >= nowMs);
    }),
  );
});

test('a clock that ticks and observes in any order never repeats a reading and never goes back', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('tick' as const), nowMs: fc.integer({ min: 0, max: 1_000 }) }),
    fc.record({
      kind: fc.constant('observe' as const),
      seen: fc.record({ ms: fc.nat(1_000), counter: fc.nat(0xffff) }, { noNullPrototype: true }),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), maker, (steps, made) => {
      let at: Clock = CLOCK_ZERO;
      let highest: Clock = CLOCK_ZERO;
      for (const it of steps) {
        if (it.kind === 'observe') {
          at = observe(at, versionOf(it.seen, made));
          if (compareClocks(it.seen, highest) > 0) highest = it.seen;
        } else {
          at = tick(at, it.nowMs);
          assert.ok(compareClocks(at, highest) > 0, 'above all given and seen');
          highest = at;
        }
        assert.ok(compareClocks(at, highest) >= 0);
      }
    }),
  );
});

/** A reading as one number, larger than a double holds. */
const count = ({ ms, counter }: Clock) => BigInt(ms) * 0x10000n + BigInt(counter);

test('the successor is the very next reading, and a full counter carries into the time', () => {
  fc.assert(
    fc.property(early, (at) => {
      const next = successor(at);
      assert.equal(count(next), count(at) + 1n);
    }),
    { examples: [[{ ms: 5, counter: 0xffff }], [{ ms: 0, counter: 0 }]] },
  );
  assert.deepEqual(successor({ ms: 5, counter: 0xffff }), { ms: 6, counter: 0 });
  assert.deepEqual(tick({ ms: 5, counter: 0xffff }, 5), { ms: 6, counter: 0 });
  assert.deepEqual(tick({ ms: 5, counter: 0xffff }, 6), { ms: 6, counter: 0 });
});

test('observing what was already passed changes nothing', () => {
  fc.assert(
    fc.property(clock, clock, maker, (at, seen, made) => {
      const after = observe(at, versionOf(seen, made));
      assert.deepEqual(after, compareClocks(seen, at) > 0 ? seen : at);
    }),
  );
});

test('what is no version is refused, with what came', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!/^[0-9a-f]{12}-[0-9a-f]{4}-[0-9a-f]{16}$/.test(text));
      assert.ok(!isVersion(text));
      assert.throws(() => asVersion(text), RangeError);
    }),
  );
  const version = versionOf({ ms: 1, counter: 2 }, 'a'.repeat(16));
  for (const bad of [version.toUpperCase(), ` ${version}`, `${version}\n`, version.slice(1), `${version}0`])
    assert.throws(() => asVersion(bad), /a version is/);
  for (const bad of [undefined, null, 5, {}, [version]]) assert.ok(!isVersion(bad));
});

test('readings and makers out of range are refused', () => {
  const made = 'a'.repeat(16);
  for (const bad of [
    { ms: -1, counter: 0 },
    { ms: MS_MAX + 1, counter: 0 },
    { ms: 1.5, counter: 0 },
    { ms: Number.NaN, counter: 0 },
    { ms: 0, counter: -1 },
    { ms: 0, counter: 0x10000 },
    { ms: 0, counter: Number.NaN },
  ])
    assert.throws(() => versionOf(bad, made), RangeError);
  for (const bad of ['', 'a'.repeat(15), 'A'.repeat(16), `${made}\n`])
    assert.throws(() => versionOf(CLOCK_ZERO, bad), /a maker is 16 hex digits/);
  assert.ok(isVersion(versionOf({ ms: MS_MAX, counter: 0xffff }, made)));
});
