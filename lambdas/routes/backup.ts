// The backup function of a Region (DESIGN §6). A schedule's call is for one tier at its tick: it asks DynamoDB for the
// export that the plan says and writes beside it what it asked for. The hourly call also makes up for ticks of other
// tiers that are missing, and counts everybody's copies of those that should be complete. Nothing here waits for an
// export: that goes on by itself, and the next hour sees what came of it.
import {
  BACKUP_FILE,
  BACKUP_TIERS,
  type Backup,
  type BackupId,
  type BackupTier,
  backupPrefix,
  tickOf,
  tickText,
} from '../../protocol/backups.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { copyOutcome, knownFor } from '../backups.ts';
import {
  ASKED_AFTER_MS,
  type BackupPlan,
  type CopiesJudged,
  type CopyOutcome,
  type ExportPlan,
  judgeCopies,
  type KnownBackup,
  planBackup,
  tickDue,
} from '../core/backup-plan.ts';
import type { Service } from '../service.ts';
import type { BackupReader, BackupStore, Exporter, ExportTarget } from '../store/backup-store.ts';
import type { Store } from '../store/store.ts';

/** Where backups of some tiers go, and which Regions have copies of them. */
export interface BackupPlace {
  readonly tiers: readonly BackupTier[];
  readonly store: BackupStore;
  readonly target: ExportTarget;
  /** The other Regions' buckets, by Region. */
  readonly peers: ReadonlyMap<string, BackupReader>;
}

export interface BackupParts extends Pick<Service, 'place' | 'telemetry' | 'now' | 'wait' | 'generation'> {
  readonly store: Pick<Store, 'enterJob'>;
  readonly exporter: Exporter;
  readonly tableArn: string;
  readonly places: readonly BackupPlace[];
  /** The offsite copies, where no third Region has a copy of each tick: what is due of them counts as every backup's third
   * copy. @default there are three Regions */
  readonly thirdCopy?: { readonly name: string; readonly reader: BackupReader };
}

/** A schedule's call. */
export interface BackupCall {
  readonly tier: BackupTier;
  /** When it was due: a call that comes late is still for its own tick. */
  readonly atMs: number;
}

/** Half of what the function may take: the rest is for what is under way. */
const RUN_MS_MAX = 150_000;
const WAIT_MS = 15_000;
/** A tier's own schedule gets its turn before the hourly call makes up for it. */
const MADE_UP_AFTER_MS = 2 * ASKED_AFTER_MS;

/** @throws {TypeError} the event is no schedule's */
export function backupCallOf(event: unknown): BackupCall {
  const { tier, at } = (typeof event === 'object' && event !== null ? event : {}) as Record<string, unknown>;
  const known = BACKUP_TIERS.find((it) => it === tier);
  const atMs = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (!known || !Number.isFinite(atMs))
    throw new TypeError(
      `a call of the backup function: expected {"tier":"${BACKUP_TIERS.join('|')}","at":"<time>"}, got ${JSON.stringify(event)}`,
    );
  return { tier: known, atMs };
}

/** Rejects when a backup could not be asked for; what could be done was done by then. */
export function createBackup(parts: BackupParts) {
  const { place, telemetry, now, wait, generation, store, exporter, tableArn, places, thirdCopy } = parts;
  const { region } = place;

  const placeOf = (tier: BackupTier) => places.find(({ tiers }) => tiers.includes(tier));

  /** A run that comes after one for a later tick is over. A table that does not answer keeps nobody from backing up what
   * there is: two runs of one tick do no harm. */
  async function enter({ tier, tickMs }: BackupId): Promise<boolean> {
    try {
      return await store.enterJob(`backup#${region}#${tier}`, { epoch: tickMs, region, at: now() });
    } catch (error) {
      telemetry.error('the lease of a backup could not be taken; it is made all the same', error, { tier });
      return true;
    }
  }

  async function restoreEpoch(): Promise<number> {
    try {
      return (await generation.refresh())?.restoreEpoch ?? 0;
    } catch (error) {
      telemetry.error('the restore epoch could not be read', error);
      return 0;
    }
  }

  async function ask(id: BackupId, plan: ExportPlan, { store: bucket, target }: BackupPlace): Promise<void> {
    const exportArn = await exporter.ask(plan, target);
    const backup: Backup = {
      format: 1,
      tier: id.tier,
      tick: tickText(id),
      region,
      tableArn,
      exportArn,
      kind: plan.kind,
      ...(plan.fromMs !== undefined && { fromMs: plan.fromMs }),
      toMs: plan.toMs,
      chain: plan.chain,
      askedAtMs: now(),
      attempt: plan.attempt,
      restoreEpoch: await restoreEpoch(),
      why: plan.why,
    };
    await bucket.putJson(`${plan.prefix}${BACKUP_FILE}`, backup);
  }

  /** The tick's own export as DynamoDB sees it: only that tells one that failed from one under way. */
  async function withProgress(id: BackupId, known: readonly KnownBackup[]): Promise<readonly KnownBackup[]> {
    return Promise.all(
      known.map(async (it) => {
        if (it.tier !== id.tier || it.tickMs !== id.tickMs || it.state !== 'under_way') return it;
        const { state, why } = await exporter.progress(it.exportArn);
        if (state === 'failed')
          telemetry.error('an export failed', new Error(why), {
            prefix: backupPrefix(id),
            exportArn: it.exportArn,
          });
        return state === 'failed' ? { ...it, state } : it;
      }),
    );
  }

  async function make(id: BackupId, at: BackupPlace, untilMs: number): Promise<void> {
    if (!(await enter(id))) return;
    for (;;) {
      const [known, restorable] = await Promise.all([knownFor(at.store, id), exporter.restorable()]);
      const plan: BackupPlan = planBackup({
        ...id,
        region,
        known: await withProgress(id, known),
        restorable,
      });
      if (plan.kind === 'full' || plan.kind === 'incremental') return ask(id, plan, at);
      if (plan.kind === 'nothing' && !plan.ok) telemetry.warn('a backup is left out', { why: plan.why });
      if (plan.kind !== 'wait') return;
      if (now() + WAIT_MS > untilMs) throw new Error(`${backupPrefix(id)} was not asked for: ${plan.why}`);
      await wait(WAIT_MS);
    }
  }

  /** All that a call is for; a place that has no such tier makes nothing. */
  function ticksOf({ tier, atMs }: BackupCall): readonly BackupId[] {
    const own = { tier, tickMs: tickOf(tier, atMs) };
    if (tier !== 'hourly') return [own];
    const others = BACKUP_TIERS.filter((it) => it !== 'hourly')
      .map((it) => ({ tier: it, tickMs: tickOf(it, atMs) }))
      .filter(({ tickMs }) => atMs - tickMs >= MADE_UP_AFTER_MS);
    return [own, ...others];
  }

  /** Every Region's copies of the ticks that should be complete, each Region asked by itself. A tick of before the table
   * had a history is nobody's failure; one of a table whose history is not known is. */
  async function count(atMs: number): Promise<readonly CopiesJudged[]> {
    const [known] = await Promise.allSettled([exporter.restorable()]);
    const { earliestMs = 0 } = (known.status === 'fulfilled' ? known.value : undefined) ?? {};
    const due = places.flatMap(({ tiers, ...at }) =>
      tiers
        .map((tier) => ({ ...at, id: { tier, tickMs: tickDue(tier, atMs) } }))
        .filter(({ id }) => id.tickMs >= earliestMs),
    );
    const third = await thirdOutcome(atMs, earliestMs);
    return Promise.all(
      due.map(async ({ id, store: own, peers }) => {
        const readers: readonly (readonly [string, BackupReader])[] = [[region, own], ...peers];
        const outcomes = await Promise.all(readers.map(([of, reader]) => copyOutcome(of, reader, id)));
        return judgeCopies(id, id.tier === 'offsite' ? outcomes : [...outcomes, ...third]);
      }),
    );
  }

  async function thirdOutcome(atMs: number, earliestMs: number): Promise<readonly CopyOutcome[]> {
    const id = { tier: 'offsite', tickMs: tickDue('offsite', atMs) } as const;
    if (!thirdCopy || id.tickMs < earliestMs) return [];
    return [await copyOutcome(thirdCopy.name, thirdCopy.reader, id)];
  }

  function report(judged: readonly CopiesJudged[]): void {
    for (const { failures, ...id } of judged)
      if (failures.length > 0)
        telemetry.warn('copies of a backup are missing', {
          prefix: backupPrefix(id),
          failures: failures.join('; '),
        });
    const worst = judged.toSorted((a, b) => b.failed - a.failed)[0];
    telemetry.measure(
      [
        { name: METRICS.backupReplicasFailed, value: worst?.failed ?? 0 },
        ...(worst ? [{ name: METRICS.backupCopies, value: worst.copies } as const] : []),
      ],
      worst && worst.failed > 0 ? { prefix: backupPrefix(worst), failures: worst.failures.join('; ') } : {},
    );
  }

  return async (call: BackupCall): Promise<void> => {
    const untilMs = now() + RUN_MS_MAX;
    const made = await Promise.allSettled(
      ticksOf(call).map(async (id) => {
        const at = placeOf(id.tier);
        if (at) await make(id, at, untilMs);
      }),
    );
    const failures = made.flatMap((it) => (it.status === 'rejected' ? [it.reason] : []));
    for (const failure of failures) telemetry.error('a backup could not be asked for', failure);
    if (call.tier === 'hourly') report(await count(call.atMs));
    if (failures.length > 0) throw new AggregateError(failures, 'not every backup could be asked for');
  };
}
