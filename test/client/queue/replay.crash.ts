import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { folderOf } from './queues.ts';
import {
  type DiskEvent,
  isStraceInstalled,
  reconstructWriter,
  recordWriter,
  wholeLines,
} from './recording.ts';
import { type ReplayOptions, replay } from './replay.ts';
import { seededRandom } from './seeded.ts';

const EDITS = 30;
/** So that a few commits already write the log back and start it over. */
const LOG_PAGES = 12;

function sampled(seed: number): ReplayOptions {
  return { random: seededRandom(seed), tears: 4, share: 0.15 };
}

function seedOf(t: { diagnostic(message: string): void }): number {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`SEED=${seed}`);
  return seed;
}

test('no power cut loses what was acknowledged: recorded writes replayed, unsynced ones dropped and torn', (t) => {
  if (!isStraceInstalled()) {
    t.skip('not run: strace is not installed; the reconstructed recording stands in');
    return;
  }
  const events = recordWriter(join(folderOf(t), 'queue.db'), EDITS, LOG_PAGES);
  const { openings, wrong } = replay(events, sampled(seedOf(t)));
  assert.deepEqual(wrong, []);
  assert.ok(openings > 200, `expected over 200 different disks, got ${openings}`);
});

test('no power cut loses what was acknowledged: writes reconstructed from the files, dropped and torn', async (t) => {
  const events = await reconstructWriter(join(folderOf(t), 'queue.db'), EDITS, LOG_PAGES);
  const { openings, wrong } = replay(events, sampled(seedOf(t)));
  assert.deepEqual(wrong, []);
  assert.ok(openings > 100, `expected over 100 different disks, got ${openings}`);
});

test('a call that another thread came into is recorded, where it ended', () => {
  const cut = [
    '7 fsync(3<a> <unfinished ...>',
    '8 write(5<b>, "", 0) = 0',
    '7 <... fsync resumed>)          = 0',
  ];
  assert.deepEqual(wholeLines(cut), ['8 write(5<b>, "", 0) = 0', '7 fsync(3<a>)          = 0']);
  assert.throws(() => wholeLines(cut.slice(1)), /expected the start of a call before 7 <\.\.\. fsync/);
});

test('the replay sees a missing sync of the log (planted bug)', async (t) => {
  const events = await reconstructWriter(join(folderOf(t), 'queue.db'), EDITS, LOG_PAGES);
  const unsynced = events.filter(
    (event, index) => index < 25 || !(event.what === 'sync' && event.file.endsWith('-wal')),
  );
  const { wrong } = replay(unsynced, { ...sampled(seedOf(t)), share: 0.03 });
  assert.match(wrong.join('\n'), /is lost|was acknowledged/);
});

test('the replay sees an edit acknowledged before it is durable (planted bug)', async (t) => {
  const events = await reconstructWriter(join(folderOf(t), 'queue.db'), EDITS, LOG_PAGES);
  const early: DiskEvent[] = [];
  for (const event of events) {
    const lastSaid = event.what === 'said' && event.text.startsWith('a ');
    // The acknowledgement moves in front of what was written for it.
    const begun = early.findLastIndex((before) => before.what === 'said');
    if (lastSaid) early.splice(begun + 1, 0, event);
    else early.push(event);
  }
  const { wrong } = replay(early, { ...sampled(seedOf(t)), share: 0.1 });
  assert.match(wrong.join('\n'), /is lost/);
});
