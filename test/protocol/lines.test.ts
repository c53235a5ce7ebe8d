// Lines out of pieces: the same whatever the pieces are, strict about UTF-8, and bounded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LINE_BYTES_MAX, lineBatches } from '../../protocol/lines.ts';

async function linesOf(
  pieces: readonly Uint8Array[],
  reused = new Uint8Array(0),
): Promise<readonly string[]> {
  const lines: string[] = [];
  async function* source() {
    for (const piece of pieces) {
      if (piece.length > reused.length) yield piece;
      else {
        // A giver that takes its memory back.
        reused.set(piece);
        yield reused.subarray(0, piece.length);
        reused.fill(0);
      }
    }
  }
  for await (const batch of lineBatches(source())) lines.push(...batch);
  return lines;
}

const texts = fc.array(fc.string({ unit: fc.constantFrom('a', '{', 'é', '“', '😀', '\r', '\uFEFF', ' ') }), {
  maxLength: 12,
});

test('lines are the same however the bytes are cut into pieces', async () => {
  await fc.assert(
    fc.asyncProperty(texts, fc.boolean(), fc.integer({ min: 1, max: 9 }), async (lines, isEnded, size) => {
      const bytes = Buffer.from(lines.join('\n') + (isEnded && lines.length > 0 ? '\n' : ''));
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
      const expected = !isEnded && lines.at(-1) === '' ? lines.slice(0, -1) : lines;
      assert.deepEqual(await linesOf(pieces), expected);
      assert.deepEqual(await linesOf(pieces, new Uint8Array(size)), expected);
    }),
  );
});

test('what is not UTF-8 is refused, also where it ends in the middle of a character', async () => {
  for (const bytes of [
    [0x61, 0xff, 0x0a],
    [0x61, 0xc3, 0x0a],
    [0x61, 0xe2, 0x80],
  ])
    await assert.rejects(linesOf([Uint8Array.from(bytes)]), TypeError);
});

test('a line that does not end is refused before it takes all memory', async () => {
  const piece = new Uint8Array(1024 * 1024).fill(0x61);
  const endless = Array.from({ length: 1_000 }, () => piece);
  await assert.rejects(linesOf(endless), new RegExp(`a line of more than ${LINE_BYTES_MAX} bytes`));
});
