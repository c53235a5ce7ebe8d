import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitFlips, cuts, judge, misplacedPages, specimens } from './damage.ts';
import { seededRandom } from './seeded.ts';

const FLIPS_PER_FILE = 120;

for (const specimen of await specimens()) {
  test(`a flipped bit in the files of a ${specimen.what} queue is found or without effect`, (t) => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
    t.diagnostic(`SEED=${seed}`);
    const random = seededRandom(seed);
    const sampled = (size: number) =>
      Array.from({ length: FLIPS_PER_FILE }, () => Math.floor(random() * size));
    const { refused, wrong } = judge(specimen, bitFlips(specimen, sampled));
    assert.deepEqual(wrong, []);
    assert.ok(refused > 20, `expected many flips to matter, got ${refused}`);
  });

  test(`the files of a ${specimen.what} queue cut short are found, or nothing of worth was cut`, () => {
    assert.deepEqual(judge(specimen, cuts(specimen)).wrong, []);
  });

  test(`pages of a ${specimen.what} queue swapped, doubled and emptied are found or without effect`, () => {
    const { refused, wrong } = judge(specimen, misplacedPages(specimen));
    assert.deepEqual(wrong, []);
    assert.ok(refused > 10, `expected many to matter, got ${refused}`);
  });
}
