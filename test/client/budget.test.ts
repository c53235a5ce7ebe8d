// The retry budget with a clock of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RELAX_MS, RetryBudget } from '../../client/budget.ts';

const OPTIONS = { ratio: 0.09, reserve: 100 };

test('a fresh budget pays for its reserve and then refuses', () => {
  const budget = new RetryBudget(OPTIONS, 0);
  let paid = 0;
  while (budget.spend('repeat', 0)) paid += 1;
  assert.equal(paid, 100);
});

test('hedges leave half of the reserve to attempts that answer a failure', () => {
  const budget = new RetryBudget(OPTIONS, 0);
  let hedges = 0;
  while (budget.spend('hedge', 0)) hedges += 1;
  assert.equal(hedges, 50);
  assert.equal(budget.spend('repeat', 0), true);
});

test('at a steady rate the budget grows with the load, so that all that is outstanding can be redirected', () => {
  const budget = new RetryBudget(OPTIONS, 0);
  for (let at = 0; at < 600_000; at += 5) budget.earn(at);
  const tokens = budget.tokens(600_000);
  // 200 a second × 0.09 × 120 s beside the reserve.
  assert.ok(tokens > 2_100 && tokens < 2_400, `got ${tokens}`);
});

test('what is above the reserve drains when the load stops, and a dry bucket fills again', () => {
  const rich = new RetryBudget(OPTIONS, 0);
  for (let at = 0; at < 60_000; at += 5) rich.earn(at);
  assert.ok(rich.tokens(60_000 + 10 * RELAX_MS) < 101);
  const dry = new RetryBudget(OPTIONS, 0);
  while (dry.spend('repeat', 0));
  assert.equal(dry.spend('repeat', 500), false);
  assert.equal(dry.spend('repeat', 2_000), true);
});

test('a refund lets the next waiting operation go', () => {
  const budget = new RetryBudget(OPTIONS, 0);
  while (budget.spend('repeat', 0));
  budget.refund();
  assert.equal(budget.spend('repeat', 0), true);
  assert.equal(budget.spend('repeat', 0), false);
});

test('whatever is asked of it, extra attempts stay within ratio × operations, the reserve and its trickle', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ gapMs: fc.nat({ max: 2_000 }), wanted: fc.nat({ max: 5 }), hedge: fc.boolean() }),
        {
          maxLength: 400,
        },
      ),
      (operations) => {
        const budget = new RetryBudget(OPTIONS, 0);
        let at = 0;
        let extra = 0;
        for (const { gapMs, wanted, hedge } of operations) {
          at += gapMs;
          budget.earn(at);
          for (let n = 0; n < wanted; n += 1) if (budget.spend(hedge ? 'hedge' : 'repeat', at)) extra += 1;
        }
        const trickle = (OPTIONS.reserve * at) / RELAX_MS;
        assert.ok(extra <= OPTIONS.ratio * operations.length + OPTIONS.reserve + trickle);
      },
    ),
  );
});
