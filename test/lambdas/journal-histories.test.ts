// Whatever batches a stream is delivered in, how often, and whatever fails on the way: what stands in the buckets in the
// end is every change of every item, in order.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { StreamedChange } from '../../lambdas/core/journaling.ts';
import { apart } from '../../lambdas/journal.ts';
import { compareSequenceNumbers, type JournalChange } from '../../protocol/journal.ts';
import { JournalWorld, readBack, truthOf } from './journal-primary.ts';
import { StreamedTable, segmentsIn, streamed } from './journal-world.ts';

const T = Date.UTC(2026, 6, 1, 5);
const HOUR = 3_600_000;

// A stream as an event source mapping reads it: a shard's records in order, as many as it likes at once, again and again
// until they are done with, and sometimes again after that.

interface Step {
  readonly shard: number;
  /** Of the batch. */
  readonly size: number;
  readonly own: 'well' | 'busy' | 'lost' | 'refused';
  readonly peers: 'well' | 'busy';
  /** After the puts: the invocation's answer does not come through. */
  readonly crash: boolean;
  /** The mapping lost its place, so many records. */
  readonly back: number;
  readonly passedMs: number;
  /** Of the reader beside the journal: which record of the batch it fails, if any. */
  readonly besideFails: number;
}

const step = fc.record<Step>({
  shard: fc.nat(1),
  size: fc.integer({ min: 1, max: 9 }),
  own: fc.constantFrom('well', 'well', 'busy', 'lost', 'refused'),
  peers: fc.constantFrom('well', 'busy'),
  crash: fc.boolean(),
  back: fc.constantFrom(0, 0, 0, 1, 5),
  passedMs: fc.constantFrom(0, 1_000, 40_000, HOUR),
  besideFails: fc.integer({ min: 0, max: 14 }),
});

/** Two shards, each with items of its own. */
function shardsOf(writes: readonly (readonly [number, number])[]): readonly (readonly JournalChange[])[] {
  const table = new StreamedTable(T, 95);
  for (const [index, [item, kind]] of writes.entries()) {
    const at = T + HOUR - 10_000 + index * 1_000;
    if (kind === 0) table.remove(`n${item}`, at);
    else if (kind === 1) table.touch(`n${item}`, at);
    else table.write(`n${item}`, at, `${index}`);
  }
  const isFirst = ({ pk }: JournalChange) => /[02]$/.test(pk);
  return [table.changes.filter(isFirst), table.changes.filter((it) => !isFirst(it))];
}

/** Where a shard goes on after a batch of which these failed. */
function checkpointAfter(batch: readonly JournalChange[], from: number, failed: readonly string[]): number {
  const lowest = failed.toSorted(compareSequenceNumbers)[0];
  return lowest === undefined ? from + batch.length : from + batch.findIndex(({ seq }) => seq === lowest);
}

test('any batches, redeliveries, failures and crashes: everything is there, in order, and a checkpoint is behind nothing that is not', async () => {
  const writes = fc.array(fc.tuple(fc.nat(3), fc.nat(5)), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(writes, fc.array(step, { maxLength: 40 }), async (drawn, steps) => {
      const world = new JournalWorld(T);
      const shards = shardsOf(drawn);
      const at = [0, 0];
      const beside = new Set<string>();
      let fails = -1;
      const both = () =>
        apart<{ readonly Records: readonly StreamedChange[] }>(world.run, async ({ Records }) => {
          const failed = Records[fails]?.dynamodb?.SequenceNumber;
          for (const [index, { dynamodb }] of Records.entries())
            if (index !== fails) beside.add(String(dynamodb?.SequenceNumber));
          return { batchItemFailures: failed === undefined ? [] : [{ itemIdentifier: failed }] };
        });
      const deliver = async (shard: number, size: number, crash: boolean) => {
        const from = at[shard] ?? 0;
        const batch = (shards[shard] ?? []).slice(from, from + size);
        if (batch.length === 0) return;
        const { batchItemFailures } = await both()({ Records: batch.map(streamed) });
        if (crash) world.restart();
        else
          at[shard] = checkpointAfter(
            batch,
            from,
            batchItemFailures.map(({ itemIdentifier }) => itemIdentifier),
          );
      };
      const isSafe = () => {
        const held = new Set(
          segmentsIn(world.own, world.standby, world.quorum).flatMap(({ changes }) =>
            changes.map(({ seq }) => seq),
          ),
        );
        for (const [shard, changes] of shards.entries())
          for (const { seq } of changes.slice(0, at[shard]))
            assert.ok(held.has(seq) && beside.has(seq), `${seq} is behind the checkpoint and not everywhere`);
      };
      world.nowMs = T + HOUR;
      for (const { shard, size, own, peers, crash, back, passedMs, besideFails } of steps) {
        world.nowMs += passedMs;
        world.own.mood = () => own;
        world.standby.mood = () => peers;
        world.quorum.mood = () => peers;
        fails = besideFails;
        await deliver(shard, size, crash);
        isSafe();
        at[shard] = Math.max(0, (at[shard] ?? 0) - back);
      }
      for (const bucket of [world.own, world.standby, world.quorum]) bucket.mood = () => 'well';
      fails = -1;
      for (const shard of [0, 1]) for (const _ of shards[shard] ?? []) await deliver(shard, 7, false);
      assert.deepEqual(
        at,
        shards.map(({ length }) => length),
        'once faults end the stream is read to its end',
      );
      isSafe();
      assert.deepEqual(readBack(world), truthOf(shards.flat()));
    }),
    { numRuns: 120 },
  );
});
