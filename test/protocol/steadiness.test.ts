// When a feed may be trusted, at each of the rule's edges; pulls and operators' commands go by it alike.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { whyUnsteady } from '../../bin/routing/plan.ts';
import { isSteady } from '../../lambdas/core/steadiness.ts';
import { beatAgeMs, unsteadinessOf } from '../../protocol/steadiness.ts';

const NOW = 1_700_000_000_000;
const checked = (agoMs: number, steadyForMs?: number) => {
  const checkedAt = NOW - agoMs;
  return steadyForMs === undefined ? { checkedAt } : { checkedAt, steadySince: checkedAt - steadyForMs };
};

test('a feed is steady up to both edges of the rule, and beyond either it says which', () => {
  const kind = (status: Parameters<typeof unsteadinessOf>[0]) => unsteadinessOf(status, NOW)?.kind;
  assert.equal(kind(checked(60_000, 20_000)), undefined);
  assert.equal(kind(undefined), 'never_checked');
  assert.equal(kind(checked(60_001, 90_000)), 'checked_long_ago');
  assert.equal(kind(checked(0)), 'no_fresh_beat');
  assert.equal(kind(checked(0, 19_999)), 'steady_too_short');
  assert.equal(kind(checked(60_001)), 'checked_long_ago', 'what was found then is no news');
});

test('a pull and an operator never differ', () => {
  const anyFeed = fc.record(
    {
      checkedAt: fc.integer({ min: NOW - 90_000, max: NOW + 5_000 }),
      steadySince: fc.integer({ min: NOW - 120_000, max: NOW }),
    },
    { requiredKeys: ['checkedAt'] },
  );
  fc.assert(
    fc.property(
      fc.option(anyFeed, { nil: undefined }),
      (feed) => isSteady(feed, NOW) === (whyUnsteady(feed, NOW) === undefined),
    ),
  );
});

test('a beat from the future is as far off as one from the past, and the nearest counts', () => {
  assert.equal(beatAgeMs([NOW - 3_000, NOW + 2_000, NOW - 9_000], NOW), 2_000);
  assert.equal(beatAgeMs([], NOW), undefined);
});
