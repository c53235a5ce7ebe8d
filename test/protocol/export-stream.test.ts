// A data file's bytes as its lines: whatever pieces they come in, whatever is wrong with them, and whoever stops early.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createGunzip, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { ExportStream } from '../../protocol/export-stream.ts';

const TOOLS = { createHash, createGunzip };
/** Most of it does not compress, so that there are many pieces. */
const LINES = Array.from({ length: 4_000 }, () => randomBytes(200).toString('hex'));
const FILE = gzipSync(`${LINES.join('\n')}\n`);

async function* pieces(file: Uint8Array, size: number, then?: () => void) {
  try {
    for (let at = 0; at < file.length; at += size) yield file.subarray(at, at + size);
  } finally {
    then?.();
  }
}

async function read(stream: ExportStream): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const batch of stream.lines()) lines.push(...batch);
  return lines;
}

test('gives the lines, the size and the MD5, whatever pieces the bytes come in', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1_000, max: 2 * FILE.length }), async (size) => {
      const stream = new ExportStream(pieces(FILE, size), TOOLS);
      assert.deepEqual(await read(stream), LINES);
      assert.equal(stream.size, FILE.length);
      assert.equal(stream.md5Base64(), createHash('md5').update(FILE).digest('base64'));
    }),
    { numRuns: 20 },
  );
});

test('reads a file of several gzip members as one', async () => {
  const file = Buffer.concat([gzipSync('a\nb'), gzipSync('c\nd\n')]);
  assert.deepEqual(await read(new ExportStream(pieces(file, 7), TOOLS)), ['a', 'bc', 'd']);
});

test('throws what the source threw, and not what that made of the file', async () => {
  const broken = new Error('the connection is gone');
  async function* source() {
    yield FILE.subarray(0, 100_000);
    throw broken;
  }
  await assert.rejects(read(new ExportStream(source(), TOOLS)), (error) => error === broken);
});

test('refuses what is cut off, what is no gzip and what has no byte', async () => {
  const wrong = [FILE.subarray(0, FILE.length - 9), Buffer.from('not gzip at all'), Buffer.alloc(0)];
  for (const file of wrong) await assert.rejects(read(new ExportStream(pieces(file, 5_000), TOOLS)), Error);
});

test('never holds what follows the end of gzip for the file', async () => {
  const file = Buffer.concat([FILE, Buffer.alloc(300_000, 'x')]);
  const stream = new ExportStream(pieces(file, 10_000), TOOLS);
  const lines = await read(stream).catch(() => undefined);
  if (lines) assert.notEqual(stream.md5Base64(), createHash('md5').update(FILE).digest('base64'));
});

test('closes the source when whoever reads stops, or when the file turns out to be none', {
  timeout: 10_000,
}, async () => {
  const stopped = Promise.withResolvers<void>();
  for await (const _ of new ExportStream(pieces(FILE, 1_000, stopped.resolve), TOOLS).lines()) break;
  await stopped.promise;

  const refused = Promise.withResolvers<void>();
  const damaged = Buffer.from(FILE).fill(0xff, 50_000, 60_000);
  await assert.rejects(read(new ExportStream(pieces(damaged, 1_000, refused.resolve), TOOLS)), Error);
  await refused.promise;
});

test('takes no piece before the one ahead of it is unpacked', async () => {
  let given = 0;
  async function* source() {
    for await (const piece of pieces(FILE, 4_096)) {
      given += piece.length;
      yield piece;
    }
  }
  const lines = new ExportStream(source(), TOOLS).lines();
  await lines.next();
  // Whatever time it is given: as much as stands unpacked ahead of the reader, and no more.
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(given < FILE.length / 2, `${given} of ${FILE.length} bytes were taken`);
  await lines.return(undefined);
});
