// The verification function of a Region (DESIGN §6): looks for complete backups in its own buckets that have no verdict,
// and carries their verification on, the most urgent first, file by file until its time is up; where it is this Region's
// turn, through a scratch table. The next invocation goes on from the saved state; the verdict is written beside the
// backup.
import type { BackupVerdict } from '../../protocol/backup-verdicts.ts';
import {
  type BackupId,
  type BackupTier,
  backupPrefix,
  DAY_MS,
  tickBefore,
  tickOf,
  tickText,
  VERDICT_FILE,
} from '../../protocol/backups.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { backupAt, knownBackup, type VerifiableBackup, verdictAt } from '../backups.ts';
import { loadsScratch, nextToVerify, verdictOverdueMs } from '../core/verification-queue.ts';
import {
  type Begin,
  beginVerification,
  fileBegun,
  fileChecked,
  nextStep,
  pageLocked,
  pageReadBack,
  partLoaded,
  resumeVerification,
  type Step,
  type Subject,
  type Surroundings,
  tableLost,
  tableMade,
  type VerificationState,
} from '../core/verifying.ts';
import { readExportFile } from '../file-reading.ts';
import { createScratchLedger } from '../scratch-ledger.ts';
import { loadFile, readBack } from '../scratch-load.ts';
import type { Service } from '../service.ts';
import type { BackupStore } from '../store/backup-store.ts';
import { ScratchTableLostError, type ScratchTables } from '../store/scratch-table.ts';
import type { VerificationLog } from '../store/verification-items.ts';
import { readSubject } from '../verification-subject.ts';

/** Where backups of some tiers stand. */
export interface VerifiedPlace {
  readonly tiers: readonly BackupTier[];
  readonly store: BackupStore;
}

export interface VerificationParts extends Pick<Service, 'place' | 'telemetry' | 'now'> {
  readonly log: VerificationLog;
  readonly places: readonly VerifiedPlace[];
  /** For so many days a verified backup of a tier is locked; a tier without stays with its bucket's own lock. */
  readonly lockDays: Readonly<Partial<Record<BackupTier, number>>>;
  /** Keeps the Region's journal whole; see `createJournalCare`. */
  readonly journal: () => Promise<void>;
  readonly scratch: {
    readonly tables: ScratchTables;
    /** What every name of one begins with. */
    readonly prefix: string;
  };
}

/** Two thirds of what the function may take: a file that was begun still has the rest. */
const RUN_MS_MAX = 600_000;
/** How many ticks of a tier are looked at: a day's hours and those of the night before, and what is not overdue for long. */
const TICKS: Readonly<Record<BackupTier, number>> = { hourly: 26, daily: 4, weekly: 2, offsite: 2 };

interface Looked {
  readonly at: VerifiedPlace;
  /** Those that are complete. */
  readonly complete: readonly VerifiableBackup[];
  readonly verdicts: Map<string, BackupVerdict>;
}

/** One verification under way in this invocation. */
interface Turn {
  readonly subject: Subject;
  readonly prefix: string;
  readonly store: BackupStore;
  readonly isTimeUp: () => boolean;
  /** False: somebody else is at it, and this one stops. */
  readonly save: (state: VerificationState | undefined) => Promise<boolean>;
}

/** Rejects when something could not be read or written; what was found out until then is saved. */
export function createVerification(parts: VerificationParts) {
  const { place, telemetry, now, log, places, lockDays, journal, scratch } = parts;
  const { region } = place;
  const { tables } = scratch;
  const ledger = createScratchLedger({ region, log, tables, telemetry });

  async function look(at: VerifiedPlace): Promise<Looked> {
    const ids = at.tiers.flatMap((tier) => lastTicks(tier, now()));
    const found = await Promise.all(ids.map((id) => knownBackup(at.store, id)));
    const complete = found.flatMap((it) => (it?.state === 'completed' ? it : []));
    const verdicts = new Map(complete.flatMap((it) => (it.verdict ? [[backupPrefix(it), it.verdict]] : [])));
    // A chain may reach back behind what was looked at.
    const missing = complete.flatMap(({ verdict, chain }) => (verdict ? [] : chain));
    const known = new Set(ids.map(backupPrefix));
    for (const prefix of new Set(missing.filter((it) => !known.has(it)))) {
      const verdict = await verdictAt(at.store, prefix);
      if (verdict) verdicts.set(prefix, verdict);
    }
    return { at, complete, verdicts };
  }

  /** Whether there is a verdict now: not when time was up, or somebody else is at it. */
  async function verify(it: VerifiableBackup, { at, verdicts }: Looked, untilMs: number): Promise<boolean> {
    const { tier, tickMs } = it;
    const prefix = backupPrefix(it);
    const backup = await backupAt(at.store, prefix);
    if (!backup) return false;
    const days = lockDays[tier];
    const subject = await readSubject(at.store, backup, days && tickMs + days * DAY_MS, now());
    const what = `${region}#${tier}`;
    let { revision, state: text } = await log.load(what);
    const save = async (state: VerificationState | undefined) => {
      revision += 1;
      return log.save(what, { revision, state: state && JSON.stringify(state) });
    };
    if ('verdict' in subject) return conclude(subject, at, verdicts, () => save(undefined));

    const begin: Begin = { nowMs: now(), ...scratchFor(it, backup.kind) };
    const before = text === undefined ? undefined : (JSON.parse(text) as VerificationState);
    let state = before ? resumeVerification(before, subject, begin) : beginVerification(subject, begin);
    const surroundings: Surroundings = { verdicts, ...sameMomentOf(it) };
    const turn: Turn = { subject, prefix, store: at.store, isTimeUp: () => now() >= untilMs, save };
    for (;;) {
      const step = nextStep(state, subject, surroundings, now());
      if (step.kind === 'conclude') return conclude(step.verdict, at, verdicts, () => save(undefined));
      // A chain without its verdicts was not chosen.
      if (step.kind === 'wait' || turn.isTimeUp()) return false;
      const next = await take(step, state, turn);
      if (!next || !(await save(next))) return false;
      // Somebody took the table away: that is no fault of the backup, and the next invocation loads it again.
      if (state.scratch?.isMade && !next.scratch?.isMade) return false;
      state = next;
    }
  }

  function scratchFor(id: BackupId, kind: 'full' | 'incremental'): Pick<Begin, 'scratchTable'> {
    if (!loadsScratch(id, kind, region, Object.values(place.regions))) return {};
    return { scratchTable: `${scratch.prefix}${id.tier}-${tickText(id)}` };
  }

  /** The state after a step; undefined when somebody else is at it. */
  async function take(
    step: Exclude<Step, { kind: 'wait' | 'conclude' }>,
    state: VerificationState,
    { subject, prefix, store, isTimeUp, save }: Turn,
  ): Promise<VerificationState | undefined> {
    try {
      switch (step.kind) {
        case 'check_file': {
          const begun = fileBegun(state);
          if (!(await save(begun))) return undefined;
          const { file } = step;
          return fileChecked(begun, await readExportFile(file, subject.summary, await store.file(file.key)));
        }
        case 'make_table':
          if (!(await ledger.note(step.table, prefix))) return undefined;
          await tables.make(step.table);
          return tableMade(state);
        case 'load': {
          const bytes = await store.file(step.file.key);
          const { part, problems } = await loadFile(step, bytes, { tables, isTimeUp });
          return partLoaded(state, part, problems);
        }
        case 'read_back':
          return pageReadBack(state, await readBack(step, { tables, isTimeUp }));
        case 'lock':
          return await lockPage(state, step, prefix, store);
      }
    } catch (error) {
      if (!(error instanceof ScratchTableLostError)) throw error;
      telemetry.error('a scratch table is lost', error, { prefix });
      return tableLost(state);
    }
  }

  async function lockPage(
    state: VerificationState,
    { after, untilMs }: { readonly after: string | undefined; readonly untilMs: number },
    prefix: string,
    store: BackupStore,
  ): Promise<VerificationState> {
    const { keys, more } = await store.keys(prefix, after);
    for (const key of keys) await store.lock(key, untilMs);
    return pageLocked(state, more ? keys.at(-1) : undefined);
  }

  async function conclude(
    verdict: BackupVerdict,
    { store }: VerifiedPlace,
    verdicts: Map<string, BackupVerdict>,
    end: () => Promise<boolean>,
  ): Promise<boolean> {
    const { prefix, problems, problemCount, compared } = verdict;
    await store.putJson(`${prefix}${VERDICT_FILE}`, verdict);
    verdicts.set(prefix, verdict);
    for (const { file, line, pk, what } of problems)
      telemetry.error('a backup is corrupted', new Error(`${file}: ${what}`), {
        prefix,
        file,
        ...(line !== undefined && { line }),
        ...(pk !== undefined && { pk }),
        problemCount,
      });
    if (compared?.same === false)
      telemetry.error(
        'two backups of one moment differ',
        new Error(`${prefix} does not restore what ${compared.prefix} restores`),
      );
    await end();
    return true;
  }

  function report(looked: readonly Looked[], verified: number): void {
    const all = looked.flatMap(({ verdicts }) => [...verdicts.values()]);
    const overdue = looked.map(({ complete, verdicts }) => verdictOverdueMs(complete, verdicts, now()));
    const corrupted = all.filter(
      ({ verdict, compared }) => verdict === 'corrupted' || compared?.same === false,
    );
    telemetry.measure(
      [
        { name: METRICS.backupVerified, value: verified },
        { name: METRICS.backupCorrupted, value: corrupted.length },
        { name: METRICS.backupUnverifiedAge, value: Math.max(0, ...overdue), unit: 'Milliseconds' },
      ],
      corrupted.length > 0 ? { corrupted: corrupted.map(({ prefix }) => prefix).join(', ') } : {},
    );
  }

  /** How many got their verdict. One that is not done with stays the first of its place, for the next invocation. */
  async function carryOn(of: Looked, untilMs: number): Promise<number> {
    for (let verified = 0; ; verified += 1) {
      const next = now() < untilMs ? nextToVerify(of.complete, of.verdicts) : undefined;
      if (!next || !(await verify(next, of, untilMs))) return verified;
    }
  }

  /** Those of backups that are not to be loaded any more go, whatever became of them. */
  function sweepScratch(looked: readonly Looked[]): Promise<void> {
    const waiting = new Set(
      looked.flatMap(({ complete, verdicts }) =>
        complete
          .filter((it) => verdicts.get(backupPrefix(it))?.exportArn !== it.exportArn)
          .map((it) => backupPrefix(it)),
      ),
    );
    return ledger.sweep((prefix) => waiting.has(prefix));
  }

  return async (): Promise<void> => {
    const untilMs = now() + RUN_MS_MAX;
    const failures: unknown[] = [];
    // First, since it never takes long, and a file that was begun takes as long as it takes.
    await journal().catch((error: unknown) => {
      telemetry.error('the journal could not be looked through', error);
      failures.push(error);
    });
    const looked = await Promise.all(places.map(look));
    let verified = 0;
    for (const of of looked) {
      try {
        verified += await carryOn(of, untilMs);
      } catch (error) {
        telemetry.error('a verification could not go on', error);
        failures.push(error);
      }
    }
    report(looked, verified);
    await sweepScratch(looked).catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, 'not every verification could go on');
  };
}

function lastTicks(tier: BackupTier, nowMs: number): readonly BackupId[] {
  const ids: BackupId[] = [];
  for (let tickMs = tickOf(tier, nowMs); ids.length < TICKS[tier]; tickMs = tickBefore(tier, tickMs))
    ids.push({ tier, tickMs });
  return ids;
}

/** A day's full backup and the hour that ends the day before hold the same moment. */
function sameMomentOf({ tier, tickMs }: BackupId): Pick<Surroundings, 'sameMoment'> {
  if (tickMs % DAY_MS !== 0) return {};
  if (tier === 'hourly') return { sameMoment: backupPrefix({ tier: 'daily', tickMs }) };
  return tier === 'daily' ? { sameMoment: backupPrefix({ tier: 'hourly', tickMs }) } : {};
}
