// A digest is the sum of hashes, 32 bits at a time: it minds no order, and gives back what was taken in.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { DigestSum } from '../../protocol/digest-sums.ts';

const texts = fc.array(fc.string(), { maxLength: 20 });
const sha256 = (text: string) => hash('sha256', text, 'binary');

/** The same said with big numbers, lane by lane. */
function expected(hashes: readonly string[]): string {
  return Array.from({ length: 8 }, (_, lane) => {
    const sum = hashes.reduce((total, it) => total + BigInt(`0x${it.slice(lane * 8, lane * 8 + 8)}`), 0n);
    return (sum % 2n ** 32n).toString(16).padStart(8, '0');
  }).join('');
}

test('the digest is the sum of the hashes, in any order', () => {
  fc.assert(
    fc.property(texts, (all) => {
      const [there, back] = [new DigestSum(), new DigestSum()];
      for (const text of all) there.addHash(sha256(text));
      for (const text of all.toReversed()) back.addHash(sha256(text));
      assert.equal(there.toString(), expected(all.map((text) => hash('sha256', text, 'hex'))));
      assert.equal(back.toString(), there.toString());
    }),
  );
});

test('what is taken away again leaves nothing, and parts add up to the whole', () => {
  fc.assert(
    fc.property(texts, texts, (first, second) => {
      const [one, two, both] = [new DigestSum(), new DigestSum(), new DigestSum()];
      for (const text of first) one.addHash(sha256(text));
      for (const text of second) two.addHash(sha256(text));
      for (const text of [...first, ...second]) both.addHash(sha256(text));
      assert.equal(one.plus(two).toString(), both.toString());
      assert.equal(new DigestSum(one.toString()).plus(two).toString(), both.toString());
      for (const text of second) both.removeHash(sha256(text));
      assert.equal(both.toString(), one.toString());
    }),
  );
});

test('what is no digest is refused', () => {
  assert.throws(() => new DigestSum('12'), /expected 64 hex digits, got "12"/);
});
