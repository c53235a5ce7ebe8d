// What comes in is read strictly: bodies that two readers could understand differently are refused, naming the place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contentOf } from '../../lambdas/core/canonical.ts';
import { checkOperations } from '../../lambdas/core/operations.ts';
import { parseStrictJson, StrictJsonError } from '../../lambdas/core/strict-json.ts';
import { BATCH_OPERATIONS_MAX, BODY_BYTES_MAX, JSON_DEPTH_MAX } from '../../protocol/limits.ts';
import { isDescribed } from './description.ts';
import { Device, EPOCH, openFunctions } from './functions.ts';

const functions = await openFunctions();

const SYNC = { 'eden-restore-epoch': String(EPOCH) };
const put = (body: string | Uint8Array, headers = {}) =>
  functions.record('PUT', 'acme', 'a', { body, headers: { 'if-none-match': '*', ...headers } });
const push = (body: string | Uint8Array, headers = {}) =>
  functions.call('POST', '/v1/sync/push', { tenant: 'acme', body, headers: { ...SYNC, ...headers } });

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['nothing', '', /not JSON/],
  ['half a body', '{"a":', /not JSON/],
  ['two values', '1 2', /not JSON/],
  ['a byte-order mark', '\ufeff{}', /not JSON/],
  ['a comment', '{} // no', /not JSON/],
  ['a repeated key', '{"a":1,"a":2}', /^\/a: the key "a" is repeated/],
  ['a key repeated with the same value', '{"a":1,"a":1}', /is repeated/],
  ['a key repeated in another spelling', '{"a":1,"\\u0061":2}', /is repeated/],
  ['a repeated key deep inside', '{"x":[0,{"b/c":{"k":1,"k":2}}]}', /^\/x\/1\/b~1c\/k: /],
  ['a __proto__ key', '{"__proto__":{}}', /__proto__/],
  ['a __proto__ key in another spelling', '[{"__pr\\u006fto__":1}]', /^\/0\/__proto__: /],
  ['1e400', '{"n":1e400}', /^\/n: the number 1e400/],
  ['-1e400', '[-1e400]', /^\/0: /],
  ['2^53+1', '[0,9007199254740993]', /^\/1: the number 9007199254740993/],
  ['a decimal with too many digits', '0.1000000000000000000001', /the body: /],
  ['a number that would become 0', '1e-400', /1e-400/],
  ['a long integer', '12345678901234567890', /12345678901234567890/],
  ['a very long number', `1${'0'.repeat(100)}1`, /…/],
];

for (const [what, body, detail] of REFUSED)
  test(`${what} is 400 and named, in a record and in a batch`, async () => {
    for (const reply of [await put(body), await push(body)]) {
      assert.deepEqual([reply.status, reply.body.code], [400, 'invalid_request']);
      assert.match(reply.body.detail, detail);
    }
    assert.equal((await functions.record('GET', 'acme', 'a')).status, 404);
  });

for (const [what, bytes] of [
  ['a lone continuation byte', [0x22, 0x80, 0x22]],
  ['an overlong form', [0x22, 0xc0, 0xaf, 0x22]],
  ['an encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
  ['half a character', [0x22, 0xe2, 0x82, 0x22]],
] as const)
  test(`${what} is not UTF-8 and 400`, async () => {
    const reply = await put(Uint8Array.from(bytes));
    assert.equal(reply.status, 400);
    assert.match(reply.body.detail, /not UTF-8/);
  });

test('half a surrogate pair, and too deep a nesting, are refused in a record with their place', async () => {
  const lone = await put('{"a":["x","\\ud83d"]}');
  assert.equal(lone.status, 400);
  assert.match(lone.body.detail, /^\/a\/1 holds half of a surrogate pair/);
  const depth = JSON_DEPTH_MAX + 1;
  const deep = await put(`${'['.repeat(depth)}${']'.repeat(depth)}`);
  assert.equal(deep.status, 400);
  assert.match(deep.body.detail, /nested deeper than 64/);
  assert.equal((await put(`${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}`)).status, 201);
});

test('hundreds of thousands of brackets are refused, not a crash', async () => {
  const depth = 500_000;
  for (const body of ['['.repeat(depth), `${'['.repeat(depth)}${']'.repeat(depth)}`])
    assert.equal((await put(body)).status, 400);
});

test('an operation with half a surrogate pair is rejected alone', async () => {
  const device = new Device();
  const [bad, good] = [device.put('p', 'HERE'), device.put('q', 1)];
  const body = JSON.stringify({ operations: [bad, good] }).replace('HERE', '\\ud800');
  const reply = await push(body);
  assert.equal(reply.status, 200);
  assert.deepEqual(
    reply.body.verdicts.map((it) => ('reason' in it ? it.reason : it.verdict)),
    ['invalid', 'applied'],
  );
});

for (const body of [
  '1',
  'null',
  '[]',
  '{}',
  '{"operations":{}}',
  '{"operations":null}',
  '{"operations":[],"more":1}',
])
  test(`the batch ${body} is 400`, async () => {
    assert.equal((await push(body)).status, 400);
  });

test('an empty batch has no verdicts', async () => {
  assert.deepEqual((await push('{"operations":[]}')).body, { verdicts: [] });
});

test('100 operations are taken, 101 are not', async () => {
  const device = new Device();
  const operations = Array.from({ length: BATCH_OPERATIONS_MAX + 1 }, (_, n) => device.put(`m-${n}`, n));
  const all = await functions.push('many', operations);
  assert.equal(all.status, 400);
  assert.match(all.body.detail, /at most 100, got 101/);
  const verdicts = await functions.verdicts('many', operations.slice(1));
  assert.deepEqual(
    verdicts.map(({ verdict, sequence }) => [verdict, sequence]),
    operations.slice(1).map(({ sequence }) => ['applied', sequence]),
  );
});

test('a body of 1 MB is read, one more byte is 413, base64 or not', async () => {
  const fits = JSON.stringify({ operations: [] }).padEnd(BODY_BYTES_MAX);
  assert.equal((await push(fits)).status, 200);
  for (const body of [`${fits} `, Buffer.from(`${fits} `)]) {
    const reply = await push(body);
    assert.deepEqual([reply.status, reply.body.code], [413, 'too_large']);
  }
});

for (const [type, status] of [
  ['application/json', 201],
  ['Application/JSON; charset=UTF-8', 201],
  ['application/json;charset="utf-8"', 201],
  ['application/json; charset=latin1', 415],
  ['text/json', 415],
  ['application/json, application/json', 415],
  ['', 415],
] as const)
  test(`the content type ${JSON.stringify(type)} is ${status}`, async () => {
    const id = `ct-${Math.random().toString(36).slice(2)}`;
    const reply = await functions.record('PUT', 'acme', id, {
      body: '{}',
      headers: { 'content-type': type },
    });
    assert.equal(reply.status, status);
  });

test('a query parameter or a header given twice is not guessed at', async () => {
  const twice = await functions.call(
    'GET',
    '/v1/sync/pull',
    { tenant: 'acme', headers: SYNC },
    { multiValueQueryStringParameters: { limit: ['1', '2'] } },
  );
  assert.equal(twice.status, 400);
  const header = await functions.call(
    'GET',
    '/v1/sync/pull',
    { tenant: 'acme' },
    { multiValueHeaders: { 'Eden-Restore-Epoch': [String(EPOCH), String(EPOCH)] } },
  );
  assert.equal(header.status, 400);
});

const VALID = new Device().put('a', 1);
const BAD: readonly (readonly [string, object | number | null])[] = [
  ['a number', 5],
  ['null', null],
  ['a list', [VALID]],
  ['nothing', {}],
  ['no kind', { ...VALID, kind: undefined }],
  ['another kind', { ...VALID, kind: 'merge' }],
  ['an unknown member', { ...VALID, extra: 1 }],
  ['no payload', { ...VALID, payload: undefined }],
  ['a deletion with a payload', { ...VALID, kind: 'delete' }],
  ['a short session', { ...VALID, session: 'a' }],
  ['sequence 0', { ...VALID, sequence: 0 }],
  ['half a sequence', { ...VALID, sequence: 1.5 }],
  ['a sequence as text', { ...VALID, sequence: '1' }],
  ['a collection with #', { ...VALID, collection: 'a#b' }],
  ['an id with /', { ...VALID, id: 'a/b' }],
  ['no version', { ...VALID, version: undefined }],
  ['a version in upper case', { ...VALID, version: VALID.version.toUpperCase() }],
  ['a base that is null', { ...VALID, base: null }],
  ['a base that is its own version', { ...VALID, base: VALID.version }],
  ['replayed: false', { ...VALID, replayed: false }],
  ['a tenant of its own', { ...VALID, tenant: 'other' }],
];

for (const [what, operation] of BAD)
  test(`an operation that is ${what} is rejected as invalid and leaves its neighbours alone`, async () => {
    const device = new Device();
    const before_ = device.put('neighbour', 1);
    const after_ = device.put('neighbour', 2, { base: before_.version });
    const reply = await functions.call('POST', '/v1/sync/push', {
      tenant: `t-${what.replaceAll(/[^a-z]/g, '')}`,
      headers: SYNC,
      body: { operations: [before_, operation, after_] },
    });
    assert.equal(reply.status, 200);
    assert.deepEqual(
      reply.body.verdicts.map((it) => ('reason' in it ? it.reason : it.verdict)),
      ['applied', 'invalid', 'applied'],
    );
  });

test('what the description calls an operation is taken, and what it does not is rejected', () => {
  for (const operation of [VALID, new Device().delete('x'), { ...VALID, replayed: true }]) {
    assert.ok(isDescribed('Operation', operation));
    assert.equal(checkOperations([JSON.parse(JSON.stringify(operation))], 'acme')[0]?.kind, 'edit');
  }
  // The order of two versions is beyond a schema.
  const beyond = new Set(['a base that is its own version']);
  for (const [what, operation] of BAD)
    assert.equal(isDescribed('Operation', JSON.parse(JSON.stringify(operation))), beyond.has(what), what);
});

test('a sequence below an earlier one of its session on the key is rejected, not taken for settled', async () => {
  const device = new Device();
  const [first, second] = [device.put('order', 1), device.put('order', 2)];
  const verdicts = await functions.verdicts('acme', [second, first]);
  assert.deepEqual(
    verdicts.map((it) => ('reason' in it ? it.reason : it.verdict)),
    ['applied', 'invalid'],
  );
});

test('parses what JSON.parse does, to the same value, and canonical text parses back to it', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value);
      if (text.includes('"__proto__"')) return;
      const parsed = parseStrictJson(Buffer.from(text));
      assert.deepEqual(parsed.value, JSON.parse(text));
      if (parsed.unstorable.length > 0) return;
      const { payload } = contentOf(parsed.value);
      assert.deepEqual(JSON.parse(payload), JSON.parse(text.replaceAll(/(?<=[[:,]|^)-0(?=[,\]}]|$)/g, '0')));
      assert.equal(contentOf(JSON.parse(payload)).payload, payload);
    }),
    { examples: [[-0], [[-0, { a: -0 }]], [{ toJSON: 1 }], [{ constructor: null }]] },
  );
});

test('takes every double that JavaScript writes, in any exact spelling', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (double) => {
      for (const text of [String(double), JSON.stringify(double), double.toExponential()])
        if (Number(text) === double) assert.equal(parseStrictJson(Buffer.from(text)).value, JSON.parse(text));
    }),
    { examples: [[5e-324], [1.7976931348623157e308], [1e23], [0.1], [-0], [2 ** 53]] },
  );
  for (const text of ['1.0', '1e2', '100E-2', '0.10', '0e999999', '9007199254740994', '1.50e+3'])
    assert.equal(parseStrictJson(Buffer.from(text)).value, Number(text));
});

test('takes an integer exactly when it is the one that JavaScript writes for it', () => {
  const written = (double: number): bigint => {
    const [digits = '', exponent = '0'] = String(double).split('e+');
    const [whole = '', fraction = ''] = digits.split('.');
    return BigInt(whole + fraction) * 10n ** BigInt(Number(exponent) - fraction.length);
  };
  fc.assert(
    fc.property(fc.bigInt({ min: 2n ** 52n, max: 2n ** 80n }), (integer) => {
      const read = () => parseStrictJson(Buffer.from(String(integer)));
      if (written(Number(integer)) === integer) assert.equal(read().value, Number(integer));
      else assert.throws(read, StrictJsonError);
    }),
    { examples: [[2n ** 53n], [2n ** 53n + 1n], [10n ** 23n], [2n ** 80n]] },
  );
});
