// The sliding percentile, against a plain computation of the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LatencyWindow } from '../../client/latency.ts';

test('an empty window has no percentile, and one that has emptied has none again', () => {
  const window = new LatencyWindow(1_000);
  assert.equal(window.value(0.95, 0), undefined);
  window.add(20, 0);
  assert.equal(window.value(0.95, 999), 20);
  assert.equal(window.value(0.95, 1_000), undefined);
});

test('a single sample counts at once, and so do the next ones', () => {
  const window = new LatencyWindow(1_000);
  window.add(10, 0);
  assert.equal(window.value(0.95, 0), 10);
  window.add(30, 1);
  assert.equal(window.value(0.95, 1), 30);
});

test('a lasting change of latency is followed within one window of samples', () => {
  const window = new LatencyWindow(60_000);
  for (let at = 0; at < 1_000; at += 1) window.add(20, at);
  assert.equal(window.value(0.95, 1_000), 20);
  for (let at = 1_000; at < 1_030; at += 1) window.add(80, at);
  assert.equal(window.value(0.95, 1_030), 20, 'a short stall moves nothing');
  for (let at = 1_030; at < 2_100; at += 1) window.add(80, at);
  assert.equal(window.value(0.95, 2_100), 80);
  for (let at = 2_100; at < 3_300; at += 1) window.add(20, at);
  assert.equal(window.value(0.95, 3_300), 20);
});

test('after a pause longer than the window the first new sample counts alone', () => {
  const window = new LatencyWindow(1_000);
  for (let at = 0; at < 900; at += 1) window.add(500, at);
  assert.equal(window.value(0.95, 900), 500);
  assert.equal(window.value(0.95, 5_000), undefined);
  window.add(10, 5_001);
  assert.equal(window.value(0.95, 5_001), 10);
});

test('the value is never off by more samples than are gathered between two sorts', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ gap: fc.integer({ min: 0, max: 50 }), ms: fc.integer({ min: 1, max: 500 }) }), {
        minLength: 1,
        maxLength: 1_500,
      }),
      (samples) => {
        const window = new LatencyWindow(2_000);
        let now = 0;
        const seen: { at: number; ms: number }[] = [];
        for (const { gap, ms } of samples) {
          now += gap;
          window.add(ms, now);
          seen.push({ at: now, ms });
          const value = window.value(0.95, now);
          // Whatever it says was measured within the last 1,024 samples and 256 more.
          assert.ok(seen.slice(-1_280).some((sample) => sample.ms === value));
        }
        const last = seen.slice(-1_024).filter(({ at }) => now - at < 2_000);
        assert.ok(
          (window.value(0.95, now) ?? 0) >= Math.min(...last.map(({ ms }) => ms)) || last.length < 257,
        );
      },
    ),
  );
});
