// What sync costs over the writes it cannot do without, and what it is worth to a device: its push function against
// bare conditional updates of the same table, and its client library against two usual ways to send what is pending.
import { randomBytes } from 'node:crypto';
import { type Benchmark, inPairs, type Ratio } from './benchmark.ts';
import { type Side, startSide } from './processes.ts';
import { endToEnd } from './sync/end-to-end.ts';
import type { FunctionOptions, Load, WriterAnswers } from './sync/function.ts';
import { type Plant, startPlant } from './sync/plant.ts';
import type { UpdatesOptions } from './sync/updates.ts';

const PAIRS = 21;
const OPERATIONS = 1_600;
const BATCH = 100;
/** As many as a client has under way. */
const BATCHES_AT_ONCE = 4;
/** As many as the function has: 32 of each batch, but no more than it has sockets. */
const UPDATES_AT_ONCE = 64;

async function throughput({ assemblyDir, region, table, restoreEpoch, engine }: Plant): Promise<Ratio[]> {
  const awsEndpoint = table.endpoint;
  const functionOptions: FunctionOptions = { assemblyDir, region, awsEndpoint, restoreEpoch };
  const updatesOptions: UpdatesOptions = { ...table, atOnce: UPDATES_AT_ONCE };
  const push = await startSide<WriterAnswers>('sync/function.ts', functionOptions);
  const updates = await startSide<WriterAnswers>('sync/updates.ts', updatesOptions);
  const asked: number[] = [];
  try {
    await engine.ask('calls');
    const pairs = await inPairs(
      PAIRS,
      async () => {
        const tookMs = await write(push);
        const calls = Object.values(await engine.ask('calls')).reduce((sum, count) => sum + count, 0);
        asked.push(calls / OPERATIONS);
        return tookMs;
      },
      async () => {
        const tookMs = await write(updates);
        await engine.ask('calls');
        return tookMs;
      },
    );
    return [
      {
        name: 'push function / bare conditional updates, operations per second',
        values: pairs.map(([ours, theirs]) => theirs / ours),
        target: {
          bound: 'at least',
          value: 0.85,
          reason: 'reading, checking, hashing and judging may cost a seventh of writing',
        },
      },
      {
        name: 'calls to the table / operation',
        values: asked,
        target: {
          bound: 'at most',
          value: 1.01,
          reason: 'one write each and no read; whether the table is open is read once in 5 s for all',
        },
      },
    ];
  } finally {
    push.end();
    updates.end();
  }
}

function write(side: Side<WriterAnswers>): Promise<number> {
  const session = randomBytes(16).toString('hex');
  const load: Load = { session, operations: OPERATIONS, batch: BATCH, batchesAtOnce: BATCHES_AT_ONCE };
  return side.ask('write', load);
}

export const syncBenchmark: Benchmark = {
  name: 'sync',
  about: `push function against bare updates of the same table, ${UPDATES_AT_ONCE} at once; client library against others`,
  async run() {
    const plant = await startPlant();
    try {
      return [...(await throughput(plant)), ...(await endToEnd(plant))];
    } finally {
      await plant.end();
    }
  },
};
