// Remembered expressions against dynalite's own parser: the same outcome for every text, names and values, the first
// time and every time after.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ExpressionParser, remembering } from '../../rehearsal/aws/dynamodb/expressions.ts';

const require = createRequire(import.meta.url);
// A copy of their own, untouched by whoever else remembers.
const fresh = (name: string): ExpressionParser['parse'] => {
  const path = require.resolve(`dynalite/db/${name}`);
  const shared = require.cache[path];
  delete require.cache[path];
  const { parse }: ExpressionParser = require(path);
  if (shared) require.cache[path] = shared;
  return parse;
};
const PARSERS = { condition: fresh('conditionParser'), update: fresh('updateParser') };

const CASES: readonly (readonly [keyof typeof PARSERS, string])[] = [
  ['condition', 'attribute_not_exists(pk)'],
  ['condition', '#v = :a AND #c < :b AND (attribute_not_exists(#w) OR #w.s < :n)'],
  ['condition', '#v BETWEEN :a AND :b'],
  ['condition', 'attribute_type(#v, :a)'],
  ['condition', 'begins_with(#v, :n)'],
  ['condition', '#v IN (:a, :b, :n)'],
  ['condition', 'NOT contains(#c, :a) AND size(#v) > :n'],
  ['condition', '((#v = :a))'],
  ['condition', '#v = :missing'],
  ['condition', 'name = :a'],
  ['condition', '#v = = :a'],
  ['update', 'SET #v = :a, #c = if_not_exists(#c, :b), #w.s = :n REMOVE outbox[0]'],
  ['update', 'SET #v = #v + :n ADD #w :n'],
  ['update', 'SET #v = list_append(#v, :a)'],
  ['update', 'SET #v = :a SET #c = :b'],
  ['update', 'SET #v = :a, #v.x = :b'],
];
const NAMES = { '#v': 'version', '#c': 'commitVersion', '#w': 'w#session' };

const value = fc.oneof(
  fc.string({ minLength: 1, maxLength: 3 }).map((S) => ({ S })),
  fc.integer().map((n) => ({ N: String(n) })),
  fc.constantFrom('S', 'N', 'nonsense').map((S) => ({ S })),
  fc.constant({ L: [{ S: 'x' }] }),
);
const values = fc.record({ ':a': value, ':b': value, ':n': value });

function outcomeOf(
  parse: ExpressionParser['parse'],
  text: string,
  attrVals: Record<string, Record<string, unknown>>,
) {
  const all = (record: object) =>
    Object.fromEntries(Object.keys(record).map((name) => [name, true as const]));
  const context = {
    attrNames: NAMES,
    attrVals,
    unusedAttrNames: all(NAMES),
    unusedAttrVals: all(attrVals),
    isReserved: (name: string) => name === 'name',
    compare: (_: string, x: { S?: string }, y: { S?: string }) => String(x.S) > String(y.S),
  };
  try {
    return {
      parsed: parse(text, { context }),
      names: context.unusedAttrNames,
      values: context.unusedAttrVals,
    };
  } catch (error) {
    return { threw: (error as Error).message };
  }
}

test('remembered expressions come out as parsed ones do', () => {
  const remembered = {
    condition: remembering(PARSERS.condition),
    update: remembering(PARSERS.update),
  };
  fc.assert(
    fc.property(fc.constantFrom(...CASES), values, ([kind, text], attrVals) => {
      const expected = outcomeOf(PARSERS[kind], text, attrVals);
      for (const _ of ['first', 'again'])
        assert.deepEqual(outcomeOf(remembered[kind], text, attrVals), expected);
    }),
    { numRuns: 600 },
  );
});

test("what comes from memory carries the values of its own request, and is nobody else's", () => {
  const parse = remembering(PARSERS.update);
  const first = outcomeOf(parse, 'SET #v = :a', { ':a': { S: 'one' } });
  const second = outcomeOf(parse, 'SET #v = :a', { ':a': { S: 'two' } });
  assert.match(JSON.stringify(first.parsed), /"one"/);
  assert.match(JSON.stringify(second.parsed), /"two"/);
  const third = outcomeOf(parse, 'SET #v = :a', { ':a': { S: 'two' } });
  (third.parsed as { paths: Record<string, unknown> }).paths['spoilt'] = true;
  assert.deepEqual(outcomeOf(parse, 'SET #v = :a', { ':a': { S: 'two' } }), second);
});
