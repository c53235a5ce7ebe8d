// What these drills start from: a table full of records, and of the midnight after they were planted a daily backup in
// every Region that is verified. Planting, exports and verification are the real ones; only the clock was set so that
// midnight comes soon.
import type { BackupVerdict } from '../../../protocol/backup-verdicts.ts';
import { backupPrefix } from '../../../protocol/backups.ts';
import type { Planting } from '../../planting.ts';
import { Stopping } from '../stopping.ts';
import { DrillError, type FreshOptions, type FreshSystem, type StoredSystem } from '../system.ts';
import { BucketReads } from './bucket-reads.ts';
import { aheadOfMachine, midnightAfter } from './midnight.ts';

export interface Proven {
  readonly system: StoredSystem;
  readonly planting: Planting;
  /** Start of the day that the backup is of, Unix ms, and its prefix in every Region's bucket. */
  readonly midnight: number;
  readonly prefix: string;
  /** Regions in which it is verified. */
  readonly verified: readonly string[];
  /** Those of them that also loaded all of it into a scratch table and read it back. */
  readonly loaded: readonly string[];
  readonly took: { readonly plantedMs: number; readonly verifiedMs: number };
}

export interface ProvingOptions {
  readonly records: number;
  readonly onStep: (step: string) => void;
  readonly signal: AbortSignal | undefined;
}

/** From the start of the rehearsal to midnight: until it runs, and until everything is planted. */
const START_MS = 60_000;
const PLANTED_PER_S = 800;
/** Nobody has to wait for the five minutes that the latest restorable time lags: nothing here is measured by them. */
const LATEST_LAG_MS = 5_000;
const LOOK_EVERY_MS = 500;
const BACKUP_TRIES = 3;
const SAID_CHARS = 600;
const VERIFIED_WITHIN_MS = 20 * 60_000;
/** As the template has it: twenty minutes past. */
const HOURLY_AFTER_MS = 20 * 60_000;

export function freshOptionsFor(records: number, nowMs: number): FreshOptions {
  const leadMs = START_MS + (records / PLANTED_PER_S) * 1_000;
  return { aheadMs: aheadOfMachine(nowMs, leadMs), exportTimes: { latestLagMs: LATEST_LAG_MS } };
}

/** Starts a system and waits until its backups are proven. @throws DrillError they never were */
export async function provenSystem(fresh: FreshSystem, options: ProvingOptions): Promise<Proven> {
  const { records, onStep, signal } = options;
  const system = await fresh(() => freshOptionsFor(records, Date.now()));
  const stopping = new Stopping(system, signal);
  const midnight = midnightAfter(Date.now());
  const prefix = backupPrefix({ tier: 'daily', tickMs: midnight });
  onStep(`planting ${records} records, ${Math.round((midnight - Date.now()) / 1_000)} s before midnight`);
  const startedAt = Date.now();
  const planting = await stopping.orStopped(system.plantRecords(records));
  const plantedMs = Date.now() - startedAt;
  if (Date.now() >= midnight)
    throw new DrillError(
      `planting took ${Math.round(plantedMs / 1_000)} s and midnight has passed: is the machine busy? Fewer --records take less`,
    );
  onStep(`planted in ${Math.round(plantedMs / 1_000)} s; waiting for midnight`);
  await stopping.pause(midnight + LATEST_LAG_MS + 1_000 - Date.now());
  const reads = new BucketReads(system);
  try {
    onStep(`every Region backs up: ${prefix}`);
    await stopping.orStopped(Promise.all(reads.regions.map((region) => backedUp(system, region, onStep))));
    const found = await verifiedIn(system, reads, prefix, stopping);
    const verifiedMs = Date.now() - midnight;
    const verified = found.map(({ region }) => region);
    const loaded = found.filter(({ verdict }) => verdict.loaded).map(({ region }) => region);
    onStep(
      `verified in ${verified.join(', ')}, loaded into a scratch table in ${loaded.join(', ') || 'none'}, ${Math.round(verifiedMs / 1_000)} s after midnight`,
    );
    return { system, planting, midnight, prefix, verified, loaded, took: { plantedMs, verifiedMs } };
  } finally {
    reads.close();
  }
}

/** Calls the backup function as its schedule would, which calls it again where it fails. @throws DrillError it never went well */
async function backedUp(
  system: StoredSystem,
  region: string,
  onStep: ProvingOptions['onStep'],
): Promise<void> {
  const said: string[] = [];
  const stop = system.listen((event) => {
    if (event.type === 'log' && event.from === region && event.line.includes('"level":"ERROR"'))
      said.push(event.line.slice(0, SAID_CHARS));
  });
  try {
    for (let tried = 1; ; tried += 1)
      try {
        return await system.runSchedule(region, 'backup-daily');
      } catch (error) {
        const why = `${region}: ${error instanceof Error ? error.message : error}; ${said.at(-1) ?? 'its log says nothing'}`;
        if (tried === BACKUP_TRIES) throw new DrillError(why, { cause: error });
        onStep(`${why}; called again`);
      }
  } finally {
    stop();
  }
}

/** Runs every Region's verification until it has a verdict. @throws DrillError one of them is not `verified` */
async function verifiedIn(
  system: StoredSystem,
  reads: BucketReads,
  prefix: string,
  stopping: Stopping,
): Promise<readonly { readonly region: string; readonly verdict: BackupVerdict }[]> {
  const giveUpAt = Date.now() + VERIFIED_WITHIN_MS;
  return stopping.orStopped(
    Promise.all(
      reads.regions.map(async (region) => {
        for (;;) {
          await system.runSchedule(region, 'verification');
          const found = await reads.verdict(region, prefix);
          if (found?.verdict === 'verified') return { region, verdict: found };
          if (found !== undefined)
            throw new DrillError(
              `${prefix} in ${region} is ${found.verdict}: ${found.problems[0]?.what ?? 'it does not say why'}`,
            );
          if (Date.now() > giveUpAt)
            throw new DrillError(
              `${prefix} in ${region} has no verdict after ${VERIFIED_WITHIN_MS / 60_000} min`,
            );
          await stopping.pause(LOOK_EVERY_MS);
        }
      }),
    ),
  );
}

/** The moment at which a Region's hourly call for a tick is due, Unix ms. */
export function hourlyDueAt(tickMs: number): number {
  return tickMs + HOURLY_AFTER_MS;
}
