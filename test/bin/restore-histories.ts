// Histories of records with everything that backups and journals leave of them in three Regions' buckets, and whoever takes
// what a restore hands on.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Source } from '../../bin/restore/places.ts';
import type { Sink } from '../../bin/restore/states.ts';
import { backupPrefix, HOUR_MS } from '../../protocol/backups.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import type { Wanted } from '../../protocol/restored-items.ts';
import { DAY } from '../lambdas/exports.ts';
import { backupObjects, History, journalObjects, MemoryBucket } from './restore-world.ts';

export const REGIONS = ['us-east-2', 'us-west-2', 'us-east-1'] as const;
export const DAILY = backupPrefix({ tier: 'daily', tickMs: DAY });
export const FIRST = backupPrefix({ tier: 'hourly', tickMs: DAY + HOUR_MS });
export const END = DAY + 2.9 * HOUR_MS;

/** Takes everything, batch by batch, each after a while. */
export class Taken implements Sink {
  readonly batchMax = 4;
  readonly wanted: Wanted[] = [];
  async put(batch: readonly Wanted[]) {
    await Promise.resolve();
    this.wanted.push(...batch);
  }
  /** By partition key; each at most once. */
  get items(): ReadonlyMap<string, ExportedItem> {
    const items = new Map(this.wanted.map(({ item }) => [(item['pk'] as { S: string }).S, item]));
    assert.equal(items.size, this.wanted.length, 'handed on twice');
    return items;
  }
}

/** A full backup at midnight, two hours on top of it, and what came after them in the journals only. */
export function bucketsOf(history: History): readonly MemoryBucket[] {
  return REGIONS.map((region, index) => {
    const bucket = new MemoryBucket().add(backupObjects(history, { tier: 'daily', tickMs: DAY, region }));
    bucket.add(
      backupObjects(history, { tier: 'hourly', tickMs: DAY + HOUR_MS, fromMs: DAY, chain: [DAILY], region }),
    );
    bucket.add(
      backupObjects(history, {
        tier: 'hourly',
        tickMs: DAY + 2 * HOUR_MS,
        fromMs: DAY + HOUR_MS,
        chain: [DAILY, FIRST],
        region,
      }),
    );
    return bucket.add(
      journalObjects(history, region, { fromMs: DAY, laterMs: index * 700, size: 2 + index }),
    );
  });
}

export const sourcesOf = (buckets: readonly MemoryBucket[]): readonly Source[] =>
  buckets.map((bucket, index) => ({ name: REGIONS[index] ?? '', bucket, isJournal: true }));

export const recordsBefore = (history: History, ms: number) =>
  new Map([...history.before(ms)].filter(([pk]) => pk.startsWith('R#')));

/** Ten minutes a step at most, from before the full backup to after the last one; each write at a time of its own. */
export const histories = fc
  .array(
    fc.record({
      id: fc.integer({ min: 0, max: 11 }),
      gap: fc.integer({ min: 1, max: 600_000 }),
      deletes: fc.boolean(),
    }),
    { minLength: 20, maxLength: 60, size: 'max' },
  )
  .map((steps) => {
    const history = new History();
    let at = DAY - HOUR_MS;
    for (const { id, gap, deletes } of steps) {
      at += gap;
      if (at < END) history.write(`n${id}`, at, deletes ? undefined : `{"at":${at}}`);
    }
    history.beat(END);
    return history;
  });
