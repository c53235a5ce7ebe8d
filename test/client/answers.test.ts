// What a status means, and how long to wait.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs, classify, retryAfterMs } from '../../client/answers.ts';

test('every status below 500 settles, but 401 and 429', () => {
  for (let status = 200; status < 500; status += 1) {
    const expected = status === 401 ? 'unauthorized' : status === 429 ? 'refused' : 'settles';
    assert.equal(classify(status, {}), expected, String(status));
  }
});

test('every status from 500 is a failure, but a 503 that says when to come back', () => {
  for (let status = 500; status < 600; status += 1)
    assert.equal(classify(status, {}), 'failed', String(status));
  assert.equal(classify(503, { 'retry-after': '1' }), 'refused');
  assert.equal(classify(502, { 'retry-after': '1' }), 'failed');
});

test('Retry-After is read as seconds and as a date; nonsense is no answer', () => {
  const now = Date.parse('Sun, 06 Nov 1994 08:49:30 GMT');
  assert.equal(retryAfterMs('2', now), 2_000);
  assert.equal(retryAfterMs('0', now), 0);
  assert.equal(retryAfterMs('Sun, 06 Nov 1994 08:49:37 GMT', now), 7_000);
  assert.equal(retryAfterMs('Sun, 06 Nov 1994 08:49:00 GMT', now), 0);
  for (const nonsense of [undefined, '', 'soon', '-5x', 'NaN'])
    assert.equal(retryAfterMs(nonsense, now), undefined);
});

test('a pause is never longer than its limit, the doubling base, or half of the time left', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 2_000 }),
      fc.integer({ min: 0, max: 60_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (round, leftMs, random) => {
        const ms = backoffMs(round, leftMs, { backoffBaseMs: 50, backoffMaxMs: 5_000, random: () => random });
        assert.ok(ms >= 0 && ms <= 5_000 && ms <= leftMs / 2 && ms <= 50 * 2 ** round);
      },
    ),
  );
});
