import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Stamp } from '../../../client/queue/format.ts';
import { putBack, readingAbove, restamp, stamper } from '../../../client/queue/stamps.ts';
import { CLOCK_AHEAD_MS_MAX } from '../../../protocol/limits.ts';
import { clockOf, compareClocks, successor, type Version, versionOf } from '../../../protocol/versions.ts';

const FILE = '00000000000000aa';
const OTHER = 'ffffffffffffffff';
const clock = fc.record({
  ms: fc.integer({ min: 0, max: 2 ** 41 }),
  counter: fc.integer({ min: 0, max: 0xffff }),
});

test('a new stamp is above the clock, the base and not behind the time', () => {
  fc.assert(
    fc.property(clock, fc.integer({ min: 0, max: 2 ** 41 }), fc.option(clock), (last, nowMs, based) => {
      const base = based === null ? undefined : versionOf(based, OTHER);
      const reading = readingAbove(last, nowMs, base);
      assert.ok(compareClocks(reading, last) > 0);
      assert.ok(reading.ms >= nowMs);
      if (base) assert.ok(versionOf(reading, FILE) > base);
    }),
  );
});

test('stamps that share their millisecond are written as every version is', () => {
  const stamp = stamper(FILE);
  fc.assert(fc.property(clock, (reading) => stamp(reading) === versionOf(reading, FILE)));
});

test('re-stamping gives each the latest of server time, base + 1, predecessor + 1 and verdict + 1 (5.4)', () => {
  const v = (ms: number, counter = 0, maker = FILE) => versionOf({ ms, counter }, maker);
  const chain: Stamp[] = [
    { version: v(9_000), base: v(4_000, 7, OTHER) },
    { version: v(9_001), base: v(9_000) },
    { version: v(9_002), base: v(7_000, 0, OTHER) },
  ];
  assert.deepEqual(restamp(chain, 5_000.9, undefined, FILE), [
    { version: v(5_000), base: v(4_000, 7, OTHER) },
    { version: v(5_000, 1), base: v(5_000) },
    { version: v(7_000, 1), base: v(7_000, 0, OTHER) },
  ]);
  assert.deepEqual(restamp(chain.slice(0, 1), 3_000, undefined, FILE), [
    { version: v(4_000, 8), base: v(4_000, 7, OTHER) },
  ]);
  assert.deepEqual(restamp(chain.slice(0, 1), 3_000, v(6_000, 0xffff), FILE), [
    { version: v(6_001), base: v(4_000, 7, OTHER) },
  ]);
});

test('a re-stamped chain rises, whatever it was', () => {
  const stamp = fc.record({ version: clock, base: fc.option(clock) });
  fc.assert(
    fc.property(
      fc.array(stamp, { minLength: 1 }),
      fc.integer({ min: 0, max: 2 ** 41 }),
      (chain, serverTimeMs) => {
        const stamps = chain.map(({ version, base }) => ({
          version: versionOf(version, FILE),
          base: base === null ? undefined : versionOf(base, OTHER),
        }));
        let last: Version | undefined;
        for (const { version, base } of restamp(stamps, serverTimeMs, undefined, FILE)) {
          assert.ok(clockOf(version).ms >= serverTimeMs);
          assert.ok(base === undefined || compareClocks(clockOf(version), successor(clockOf(base))) >= 0);
          assert.ok(last === undefined || version > last);
          last = version;
        }
      },
    ),
  );
});

test('only a clock whose stamps the server would refuse is put back', () => {
  const near = { ms: 1_000 + CLOCK_AHEAD_MS_MAX, counter: 3 };
  assert.equal(putBack(near, 1_000), near);
  assert.deepEqual(putBack({ ms: near.ms + 1, counter: 0 }, 1_000), { ms: 1_000, counter: 0 });
});
