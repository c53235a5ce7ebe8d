// How far a scratch table is: whole files up to a size, and what came out against what went in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  beginScratch,
  nextScratchStep,
  scratchFault,
  scratchLoaded,
  scratchReadBack,
} from '../../lambdas/core/scratch.ts';
import { CONTROL, DAY, exported, itemsOf, recordItem, tableOf } from './exports.ts';

const ZERO = '0'.repeat(64);
const NOTES = Array.from({ length: 8 }, (_, at) => recordItem(`n${at}`, DAY - 100 + at, `{"n":${at}}`));
const full = exported('daily', DAY, itemsOf(tableOf(...NOTES, CONTROL)));

test('of a backup that is larger than what is loaded the first files are, each whole, and the verdict says how many', () => {
  const scratch = { ...beginScratch('scratch'), isMade: true };
  const load = nextScratchStep(scratch, full.files, 10);
  assert.ok(load?.kind === 'load' && load.file === full.files[0] && load.fromLine === 0);
  const part = { records: 1, controls: 0, digest: ZERO, lines: 2, bytes: 11 };
  const half = scratchLoaded(scratch, { ...part, isWhole: false });
  const rest = nextScratchStep(half, full.files, 10);
  assert.ok(rest?.kind === 'load' && rest.fromLine === 2, 'what was begun is ended');
  const done = scratchLoaded(half, { ...part, isWhole: true });
  assert.equal(nextScratchStep(done, full.files, 10)?.kind, 'read_back');
  const found = { records: 2, controls: 0, digest: ZERO };
  const read = scratchReadBack(done, { ...found, after: undefined });
  assert.equal(nextScratchStep(read, full.files, 10), undefined);
  const expected = { records: 8, controls: 1, digest: 'other', files: full.files.length };
  assert.equal(scratchFault(read, expected), undefined, 'compared with what was loaded');
  assert.match(
    scratchFault({ ...read, files: 3 }, expected) ?? '',
    /^expected to load 8 records of digest other and 1 control items, as its files had .*, got 2 records/,
  );
});
