import assert from 'node:assert/strict';
import { test } from 'node:test';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { canonicalPayload, PAYLOAD_DEPTH_MAX } from '../../../client/queue/canonical.ts';
import { InvalidEditError } from '../../../client/queue/errors.ts';
import { PAYLOAD_BYTES_MAX } from '../../../protocol/limits.ts';
import type { Json } from '../../../protocol/operations.ts';

test('a payload becomes the text RFC 8785 gives it, as another implementation writes it', () => {
  const text = fc.string({ unit: 'grapheme' });
  const key = text.filter((name) => name !== '__proto__');
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { depthSize: 'small' },
      fc.constant(null),
      fc.boolean(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      text,
      fc.array(tie('json'), { maxLength: 4 }),
      fc.dictionary(key, tie('json'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(fc.property(json, (value) => canonicalPayload(value as Json) === canonicalize(value)));
});

test('keys are ordered by UTF-16 code units, integer-like ones too', () => {
  assert.equal(canonicalPayload({ b: 1, a: { 10: 1, 9: 2 } }), '{"a":{"10":1,"9":2},"b":1}');
  assert.equal(canonicalPayload({ '\u{1f600}': 1, '\ufb33': 2 }), '{"\u{1f600}":1,"\ufb33":2}');
});

const REFUSED: Readonly<Record<string, { value: unknown; at: string }>> = {
  undefined: { value: { a: { b: undefined } }, at: 'payload.a.b' },
  'a hole in an array': { value: { a: new Array(1) }, at: 'payload.a.0' },
  NaN: { value: [1, Number.NaN], at: 'payload.1' },
  Infinity: { value: Number.POSITIVE_INFINITY, at: 'payload' },
  'a Date': { value: { at: new Date(0) }, at: 'payload.at' },
  'a Map': { value: new Map(), at: 'payload' },
  'a function': { value: { f: () => 0 }, at: 'payload.f' },
  'a bigint': { value: { n: 1n }, at: 'payload.n' },
  'a lone surrogate': { value: { t: '\ud800' }, at: 'payload.t' },
  'a lone surrogate in a key': { value: { '\udc00': 1 }, at: 'payload' },
  'a __proto__ key': { value: JSON.parse('{"x":{"__proto__":1}}'), at: 'payload.x' },
};

for (const [what, { value, at }] of Object.entries(REFUSED))
  test(`refuses ${what} and says where`, () => {
    assert.throws(
      () => canonicalPayload(value as Json),
      (error) =>
        error instanceof InvalidEditError && error.at === at && /expected .*, got /.test(error.message),
    );
  });

test('nesting is refused past the depth a request has room for, a cycle with it', () => {
  const nested = (levels: number): Json => (levels === 0 ? 1 : [nested(levels - 1)]);
  assert.ok(canonicalPayload(nested(PAYLOAD_DEPTH_MAX)));
  assert.throws(() => canonicalPayload(nested(PAYLOAD_DEPTH_MAX + 1)), InvalidEditError);
  const cycle: { self?: Json } = {};
  cycle.self = cycle;
  assert.throws(() => canonicalPayload(cycle as Json), InvalidEditError);
});

test('256 KB of UTF-8 are taken, one byte more is refused', () => {
  const fits = 'é'.repeat((PAYLOAD_BYTES_MAX - 2) / 2);
  assert.equal(Buffer.byteLength(canonicalPayload(fits)), PAYLOAD_BYTES_MAX);
  assert.throws(() => canonicalPayload(`${fits}x`), /expected at most 262144 bytes, got 262145 bytes/);
});
