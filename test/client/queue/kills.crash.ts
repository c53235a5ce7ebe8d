import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killAgainAndAgain } from './kills.ts';
import { seededRandom } from './seeded.ts';

test('a process killed at random instants loses nothing acknowledged and brings nothing settled back', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`SEED=${seed}`);
  const { acknowledged, wrong } = await killAgainAndAgain(30, seededRandom(seed));
  assert.deepEqual(wrong, []);
  assert.ok(acknowledged > 100, `expected the lives to have written something, got ${acknowledged}`);
});
