// What a Region's backup function has to ask of DynamoDB for a tick (DESIGN §6): nothing, a full export, or an
// incremental one on top of a chain. Decided from what stands in the Region's own bucket and from how far back and up to
// when its own replica can be exported; no other Region is asked, so that one that is gone holds up nobody.
import type { BackupVerdict } from '../../protocol/backup-verdicts.ts';
import {
  type BackupId,
  type BackupTier,
  backupPrefix,
  DAY_MS,
  HOUR_MS,
  tickBefore,
  tickOf,
  tickText,
} from '../../protocol/backups.ts';

const MINUTE_MS = 60_000;
/** An incremental export covers no less and no more:
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html */
export const WINDOW_MS = { min: 15 * MINUTE_MS, max: DAY_MS } as const;
/** After the start of a tick, its export is asked for: the latest restorable time lags by about five minutes.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/PointInTimeRecovery_Howitworks.html */
export const ASKED_AFTER_MS = 20 * MINUTE_MS;
/** After the start of a tick, its copies are counted, and what is not complete has failed. */
export const COMPLETE_WITHIN_MS: Readonly<Record<BackupTier, number>> = {
  hourly: HOUR_MS + ASKED_AFTER_MS,
  daily: 6 * HOUR_MS,
  weekly: 12 * HOUR_MS,
  offsite: 12 * HOUR_MS,
};
/** Exports of one tick that may fail before it is left alone. */
export const ATTEMPTS_MAX = 3;

/** A backup that stands in the Region's bucket. */
export interface KnownBackup extends BackupId {
  readonly kind: 'full' | 'incremental';
  readonly toMs: number;
  readonly chain: readonly string[];
  readonly attempt: number;
  readonly exportArn: string;
  readonly state: 'under_way' | 'completed' | 'failed';
  /** Absent until it was verified. */
  readonly verdict?: Pick<BackupVerdict, 'verdict'>;
}

/** Which moments the Region's own replica can be exported at: `EarliestRestorableDateTime` and
 * `LatestRestorableDateTime`. Undefined while point-in-time recovery is off or was just switched on. */
export interface Restorable {
  readonly earliestMs: number;
  readonly latestMs: number;
}

export interface Scene extends BackupId {
  readonly region: string;
  /** At least those of the tick itself and of the two days before it, hourly and daily. */
  readonly known: readonly KnownBackup[];
  readonly restorable: Restorable | undefined;
}

export type BackupPlan =
  | ExportPlan
  /** It is asked for already: see how it goes. */
  | { readonly kind: 'follow'; readonly exportArn: string }
  /** Too early: the replica cannot be exported at that moment yet. */
  | { readonly kind: 'wait'; readonly why: string }
  /** Complete, or never to be had. */
  | { readonly kind: 'nothing'; readonly ok: boolean; readonly why: string };

export interface ExportPlan {
  readonly kind: 'full' | 'incremental';
  readonly prefix: string;
  /** Set for an incremental export. */
  readonly fromMs?: number;
  readonly toMs: number;
  readonly chain: readonly string[];
  readonly attempt: number;
  /** The same for everybody who plans the same export: DynamoDB makes it once within 8 h. Two who plan different ones get
   * two, of which either will do. https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExportTableToPointInTime.html */
  readonly clientToken: string;
  readonly why: string;
}

/** The tick a schedule's call is for: the one it began in, though it comes late. */
export function planBackup({ tier, tickMs, region, known, restorable }: Scene): BackupPlan {
  const id = { tier, tickMs };
  const own = known
    .filter((it) => it.tier === tier && it.tickMs === tickMs)
    .sort((a, b) => b.attempt - a.attempt)[0];
  if (own?.state === 'completed')
    return { kind: 'nothing', ok: true, why: `${backupPrefix(id)} is complete` };
  if (own?.state === 'under_way') return { kind: 'follow', exportArn: own.exportArn };
  const attempt = (own?.attempt ?? 0) + 1;
  if (attempt > ATTEMPTS_MAX)
    return { kind: 'nothing', ok: false, why: `${ATTEMPTS_MAX} exports to ${backupPrefix(id)} have failed` };
  if (!restorable) return { kind: 'wait', why: 'the replica has no point-in-time recovery yet' };
  if (restorable.latestMs < tickMs)
    return {
      kind: 'wait',
      why: `the replica can be exported up to ${iso(restorable.latestMs)}, the tick is ${iso(tickMs)}`,
    };
  if (restorable.earliestMs > tickMs)
    return {
      kind: 'nothing',
      ok: false,
      why: `the replica's history begins at ${iso(restorable.earliestMs)}, after the tick ${iso(tickMs)}`,
    };
  const base = {
    prefix: backupPrefix(id),
    toMs: tickMs,
    attempt,
  };
  const token = `${region}.${tier}.${tickText(id)}.${attempt}`;
  const full = (why: string): ExportPlan => ({
    kind: 'full',
    ...base,
    chain: [],
    clientToken: `${token}.full`,
    why,
  });
  if (tier !== 'hourly') return full(`${tier} backups are full`);
  const link = linkFor(tickMs, known, restorable.earliestMs);
  return typeof link === 'string'
    ? full(link)
    : { kind: 'incremental', ...base, ...link, clientToken: `${token}.from.${link.fromMs}` };
}

type Link = Pick<ExportPlan, 'chain' | 'why'> & { readonly fromMs: number };

/** What an hourly backup can go on top of, or why there is nothing. */
function linkFor(tickMs: number, known: readonly KnownBackup[], earliestMs: number): Link | string {
  const dayMs = chainDayOf(tickMs);
  const usable = usableChains(known);
  const last = usable
    .filter((it) => it.toMs < tickMs && rootMsOf(it, usable) >= dayMs)
    // Of two that hold the same moment the full one: each daily one starts a new chain.
    .sort((a, b) => b.toMs - a.toMs || a.chain.length - b.chain.length)[0];
  if (!last) return `no chain of ${iso(dayMs).slice(0, 10)} is complete and sound`;
  const windowMs = tickMs - last.toMs;
  if (windowMs < WINDOW_MS.min || windowMs > WINDOW_MS.max)
    return `from ${iso(last.toMs)} it would be ${windowMs / MINUTE_MS} min, an incremental export takes ${WINDOW_MS.min / MINUTE_MS} to ${WINDOW_MS.max / MINUTE_MS}`;
  // The table was replaced, or its recovery switched off and on: the chain is of another history.
  if (earliestMs > last.toMs)
    return `the replica's history begins at ${iso(earliestMs)}, after the chain's end ${iso(last.toMs)}`;
  return {
    fromMs: last.toMs,
    chain: [...last.chain, backupPrefix(last)],
    why: `goes on from ${backupPrefix(last)}`,
  };
}

/**
 * The day whose chain an hour belongs to; midnight ends the day before. A chain never goes on into the next day: S3
 * expires what was made in one day at one midnight, so that a chain's parts go together and every hour of the seven days
 * can be restored until its own are over. https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
 */
export function chainDayOf(tickMs: number): number {
  return tickOf('daily', tickMs - 1);
}

/** Complete ones that nothing speaks against, in their whole chain. */
function usableChains(known: readonly KnownBackup[]): readonly KnownBackup[] {
  const sound = known.filter(
    ({ tier, state, verdict }) =>
      (tier === 'hourly' || tier === 'daily') && state === 'completed' && verdict?.verdict !== 'corrupted',
  );
  const prefixes = new Set(sound.map(backupPrefix));
  return sound.filter(({ chain }) => chain.every((prefix) => prefixes.has(prefix)));
}

/** The moment of the full backup a chain begins with. */
function rootMsOf({ toMs, chain: [root] }: KnownBackup, usable: readonly KnownBackup[]): number {
  return root === undefined ? toMs : (usable.find((it) => backupPrefix(it) === root)?.toMs ?? -Infinity);
}

/** What one Region's bucket has of a tick, or that it could not be asked. */
export interface CopyOutcome {
  /** Or what else the bucket is called. */
  readonly region: string;
  readonly state: KnownBackup['state'] | 'missing' | 'unreachable';
  readonly why?: string;
}

export interface CopiesJudged extends BackupId {
  readonly copies: number;
  readonly failed: number;
  /** Of each failed copy, in words. */
  readonly failures: readonly string[];
}

/** The latest tick whose copies must all be complete by now. */
export function tickDue(tier: BackupTier, nowMs: number): number {
  let tickMs = tickOf(tier, nowMs);
  while (tickMs + COMPLETE_WITHIN_MS[tier] > nowMs) tickMs = tickBefore(tier, tickMs);
  return tickMs;
}

/** All copies of a tick that is due, as settled: a Region that does not answer has failed, and holds up no other. */
export function judgeCopies(id: BackupId, outcomes: readonly CopyOutcome[]): CopiesJudged {
  const failures = outcomes
    .filter(({ state }) => state !== 'completed')
    .map(({ region, state, why }) => `${region}: ${state}${why === undefined ? '' : `, ${why}`}`);
  return { ...id, copies: outcomes.length - failures.length, failed: failures.length, failures };
}

function iso(atMs: number): string {
  return Number.isFinite(atMs) ? new Date(atMs).toISOString() : String(atMs);
}
