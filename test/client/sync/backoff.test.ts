// Pauses and paces, for all dice and all histories.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Gate, KeyWaits, pauseMs } from '../../../client/sync/backoff.ts';
import { Pace } from '../../../client/sync/pace.ts';

const dice = fc.double({ min: 0, max: 0.999_999, noNaN: true });

test('a pause is between nothing and a limit that doubles, and never longer than the longest', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5_000 }), dice, (failures, rolled) => {
      const pause = pauseMs(failures, { baseMs: 250, maxMs: 30_000, random: () => rolled });
      const limit = Math.min(30_000, 250 * 2 ** Math.min(failures - 1, 30));
      assert.ok(pause >= 0 && pause <= limit, `${pause} of ${limit}`);
    }),
  );
});

test('the dice are used in full: a fleet that failed together does not come back together', () => {
  const range = (rolled: number) => ({ baseMs: 500, maxMs: 30_000, random: () => rolled });
  assert.equal(pauseMs(3, range(0)), 0);
  assert.equal(pauseMs(3, range(0.5)), 1_000);
  assert.equal(Math.round(pauseMs(3, range(0.999_999))), 2_000);
});

test('the gate: requests sent in one era count as one failure, an answer opens it', () => {
  const gate = new Gate({ baseMs: 100, maxMs: 1_000, random: () => 1 });
  const { era } = gate;
  gate.failed(era, 10);
  gate.failed(era, 11);
  assert.equal(gate.failures, 1);
  assert.equal(gate.opensAt, 110);
  gate.failed(gate.era, 200);
  assert.equal(gate.opensAt, 400);
  gate.open();
  assert.ok(gate.opensAt < 200);
  assert.equal(gate.failures, 2);
  gate.answered();
  assert.equal(gate.failures, 0);
});

test('keys wait each for itself, and are let go when and only when their time has come', () => {
  const step = fc.record({
    key: fc.constantFrom('a', 'b', 'c'),
    stuck: fc.boolean(),
    ms: fc.nat(400),
    roll: dice,
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let rolled = 0;
      let now = 0;
      const waits = new KeyWaits({ baseMs: 100, maxMs: 3_000, random: () => rolled });
      const model = new Map<string, { failures: number; until: number }>();
      for (const { key, stuck, ms, roll } of steps) {
        now += ms;
        rolled = roll;
        waits.release(now);
        for (const name of ['a', 'b', 'c'])
          assert.equal(waits.excluded.has(name), (model.get(name)?.until ?? 0) > now, `${name} at ${now}`);
        // A key that waits is in no batch, so nothing is heard of it.
        if (waits.excluded.has(key)) continue;
        if (stuck) {
          const failures = (model.get(key)?.failures ?? 0) + 1;
          model.set(key, { failures, until: now + roll * Math.min(3_000, 100 * 2 ** (failures - 1)) });
          waits.stuck(key, now);
        } else {
          model.delete(key);
          waits.progressed(key);
        }
        assert.ok(waits.nextAt >= Math.min(...[...model.values()].map(({ until }) => until)));
      }
    }),
  );
});

test('many keys that wait are not all looked at for each that is let go, and none is late by much', () => {
  let rolled = 0;
  const waits = new KeyWaits({ baseMs: 3_000, maxMs: 3_000, random: () => rolled });
  for (let index = 0; index < 9_000; index++) {
    rolled = index / 9_000;
    waits.stuck(`notes/n${index}`, 0);
  }
  let looks = 0;
  for (let now = 1; waits.excluded.size > 0; now = Math.max(now + 1, Math.ceil(waits.nextAt))) {
    waits.release(now);
    looks += 1;
    const [first] = waits.excluded;
    const dueAt = first === undefined ? now : Number(first.slice('notes/n'.length)) / 3;
    assert.ok(dueAt > now - 31, `${first} was due at ${dueAt}, and at ${now} it still waits`);
    assert.ok(now < 3_050);
  }
  assert.ok(looks < 700, `${looks} looks`);
});

test('a key waits at least as long as the service said', () => {
  const waits = new KeyWaits({ baseMs: 100, maxMs: 3_000, random: () => 0 });
  waits.stuck('a', 1_000, 700);
  assert.equal(waits.nextAt, 1_700);
  assert.equal(waits.release(1_699), false);
  assert.equal(waits.release(1_700), true);
  assert.equal(waits.excluded.size, 0);
});

test('a batch is never empty nor larger than allowed, however long the ones before took', () => {
  const ended = fc.record({
    ms: fc.nat(10_000),
    full: fc.boolean(),
    cut: fc.option(fc.integer({ min: 1, max: 100 })),
  });
  fc.assert(
    fc.property(fc.array(ended, { maxLength: 100 }), (history) => {
      const pace = new Pace({ operationsMax: 100, bytesMax: 1_048_576, targetMs: 2_000 });
      let now = 0;
      for (const { ms, full, cut } of history) {
        pace.ended(now, now + ms, full);
        now += ms;
        if (cut === null) pace.mend();
        else pace.cut(cut);
        assert.ok(pace.operationsMax >= 1 && pace.operationsMax <= 100);
        assert.ok(pace.bytesMax >= 16_384 && pace.bytesMax <= 1_048_576);
      }
    }),
  );
});

test('batches under way together that are slow together halve the next ones once', () => {
  const pace = new Pace({ operationsMax: 100, bytesMax: 1_048_576, targetMs: 2_000 });
  for (const now of [3_000, 3_010, 3_020, 3_030]) pace.ended(0, now, true);
  assert.equal(pace.operationsMax, 50);
  pace.ended(3_005, 6_000, true);
  assert.equal(pace.operationsMax, 25);
});

test('bytes begin below what the service takes and come to it while the link is quick', () => {
  const pace = new Pace({ operationsMax: 100, bytesMax: 1_048_576, targetMs: 2_000 });
  assert.equal(pace.bytesMax, 262_144);
  for (let batch = 0; batch < 12; batch++) pace.ended(batch, batch + 1, true);
  assert.equal(pace.bytesMax, 1_048_576);
});
