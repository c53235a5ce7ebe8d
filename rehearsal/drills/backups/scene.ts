// The stage of these drills: a system with proven backups, load on it, and everything that looks on. Undone when the drill
// is over, however it ends.
import type { MetricName } from '../../../protocol/metrics.ts';
import { preciseNow } from '../../measuring.ts';
import { Cleanup } from '../../supervisor/cleanup.ts';
import type { DrillOptions } from '../scenario.ts';
import { SyncDrill } from '../sync/sync-drill.ts';
import type { FreshSystem, StoredSystem } from '../system.ts';
import { BucketReads } from './bucket-reads.ts';
import { type Proven, provenSystem } from './proven.ts';
import { Replicas } from './replicas.ts';
import { type RestoreSaid, restoreSaid } from './restore-said.ts';
import { SteadyWork } from './steady-work.ts';
import { StorageWatch } from './storage-watch.ts';

export const RECORDS_DEFAULT = 100_000;

export interface BackupScene {
  readonly proven: Proven;
  readonly system: StoredSystem;
  readonly drill: SyncDrill;
  readonly work: SteadyWork;
  readonly watch: StorageWatch;
  readonly reads: BucketReads;
  readonly replicas: Replicas;
  /** Runs `npm run restore -- … --json --yes` to its end, as an operator would. */
  restore(args: readonly string[]): Promise<RestoreRun>;
  /** Waits until something is so; resolves to whether it came true in time. */
  within(ms: number, isSo: () => boolean | Promise<boolean>): Promise<boolean>;
}

export type RestoreRun = RestoreSaid & { readonly startedAt: number; readonly endedAt: number };

const STEADY_MS = 15_000;
const LOOK_EVERY_MS = 250;

export async function onProvenSystem<Result>(
  name: string,
  fresh: FreshSystem,
  options: DrillOptions & { readonly metrics: readonly MetricName[] },
  act: (scene: BackupScene) => Promise<Result>,
): Promise<Result> {
  const { records = RECORDS_DEFAULT, seed, signal, metrics } = options;
  const onStep = options.onStep ?? (() => undefined);
  const proving: Proven[] = [];
  const started: FreshSystem = async () => {
    proving.push(await provenSystem(fresh, { records, onStep, signal }));
    return (proving[0] as Proven).system;
  };
  return SyncDrill.run(name, started, options, async (drill) => {
    const proven = proving[0] as Proven;
    const { system } = proven;
    const cleanup = new Cleanup();
    try {
      const watch = new StorageWatch(system, metrics);
      cleanup.add(() => watch.close());
      const reads = new BucketReads(system);
      cleanup.add(() => reads.close());
      const replicas = new Replicas(system.table, reads.regions);
      cleanup.add(() => replicas.close());
      drill.step('devices and bare calls are at work');
      const work = await SteadyWork.begin(drill, seed);
      cleanup.add(() => work.bare.close());
      await drill.pause(STEADY_MS);
      return await act({
        ...{ proven, system, drill, work, watch, reads, replicas },
        restore: (args) => restore(drill, system, args, signal),
        within: (ms, isSo) => within(drill, ms, isSo),
      });
    } finally {
      await cleanup.run();
    }
  });
}

async function restore(
  drill: SyncDrill,
  system: StoredSystem,
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<RestoreRun> {
  const shown = args.length > 8 ? [...args.slice(0, 4), '…', ...args.slice(-2)] : args;
  drill.step(`operator: npm run restore -- ${shown.join(' ')}`);
  const startedAt = preciseNow();
  const { code, said } = await drill.orStopped(
    system.operator('restore', [...args, '--yes', '--json'], signal),
  );
  const run = { ...restoreSaid(code, said), startedAt, endedAt: preciseNow() };
  drill.step(`restore ended with ${code}: ${run.why.split('\n').at(-1)}`);
  return run;
}

async function within(
  drill: SyncDrill,
  ms: number,
  isSo: () => boolean | Promise<boolean>,
): Promise<boolean> {
  const giveUpAt = preciseNow() + ms;
  while (!(await drill.orStopped(Promise.resolve(isSo())))) {
    if (preciseNow() >= giveUpAt) return false;
    await drill.pause(LOOK_EVERY_MS);
  }
  return true;
}
