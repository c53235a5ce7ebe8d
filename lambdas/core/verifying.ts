// The verification of one backup as a machine that is told what was found and says what to do next (DESIGN §6). A step
// is one data file, one page or one comparison, so that an invocation does as many as it has time for and the next one
// goes on from the state, which stays small however large the table is.
import {
  BACKUP_PROBLEMS_MAX,
  type BackupProblem,
  type BackupVerdict,
} from '../../protocol/backup-verdicts.ts';
import type { Backup } from '../../protocol/backups.ts';
import type { ExportFile, ExportSummary } from '../../protocol/export-files.ts';
import type { FileReport } from './file-check.ts';
import {
  beginScratch,
  type LoadedPart,
  nextScratchStep,
  type ScratchPage,
  type ScratchState,
  type ScratchStep,
  scratchFault,
  scratchLoaded,
  scratchReadBack,
} from './scratch.ts';
import { StateDigest } from './state-digest.ts';

/** Invocations that may begin a file without coming to its end: one is cut off when the function is replaced. */
export const FILE_ATTEMPTS_MAX = 3;

/** What is kept between invocations: plain JSON of a few KB. */
export interface VerificationState {
  readonly format: 1;
  readonly prefix: string;
  readonly exportArn: string;
  /** Of both manifests' bytes: the files must not change under the verification. */
  readonly manifest: string;
  /** Files done, in the manifest's order. */
  readonly filesDone: number;
  /** How often the next one was begun. */
  readonly fileAttempts: number;
  readonly items: number;
  readonly records: number;
  readonly controls: number;
  readonly recordsAdded: number;
  readonly digest: string;
  readonly problems: readonly BackupProblem[];
  readonly problemCount: number;
  /** Set when it is loaded into a scratch table, once its files are checked, and read back from there. */
  readonly scratch?: ScratchState;
  /** Objects whose lock was extended, up to this key in the order of their keys. */
  readonly lock?: { readonly after?: string; readonly done: boolean };
  readonly startedAtMs: number;
  readonly invocations: number;
}

/** What is known of the backup itself. */
export interface Subject {
  readonly backup: Backup;
  readonly summary: ExportSummary;
  readonly files: readonly ExportFile[];
  /** Of the bytes of both manifests, as {@link VerificationState.manifest}. */
  readonly manifest: string;
  /** What is wrong with the manifests' own checksums. */
  readonly faults: readonly BackupProblem[];
  /** Until when its objects are to be locked once it is verified; undefined where the bucket's own lock is long enough. */
  readonly lockUntilMs?: number;
}

/** What stands beside it, by prefix, as far as it has been verified. */
export interface Surroundings {
  readonly verdicts: ReadonlyMap<string, BackupVerdict>;
  /** Another backup that holds the same moment: the day's full one and the hour's that ends the chain before it. */
  readonly sameMoment?: string;
}

export type Step =
  | { readonly kind: 'check_file'; readonly index: number; readonly file: ExportFile }
  | ScratchStep
  /** A backup it goes on top of has no verdict yet. */
  | { readonly kind: 'wait'; readonly prefix: string }
  /** It is verified: the next page of its objects stays as long as its tier. */
  | { readonly kind: 'lock'; readonly after: string | undefined; readonly untilMs: number }
  | { readonly kind: 'conclude'; readonly verdict: BackupVerdict };

export interface Begin {
  readonly nowMs: number;
  /** Name of the scratch table, where this Region is the one that loads it; see `loadsScratch`. */
  readonly scratchTable?: string;
}

/** The first state of a verification; problems of the manifests are found at once. */
export function beginVerification(subject: Subject, { nowMs, scratchTable }: Begin): VerificationState {
  const { backup, manifest } = subject;
  const state: VerificationState = {
    format: 1,
    prefix: prefixOf(backup),
    exportArn: backup.exportArn,
    manifest,
    filesDone: 0,
    fileAttempts: 0,
    items: 0,
    records: 0,
    controls: 0,
    recordsAdded: 0,
    digest: new StateDigest().toString(),
    problems: [],
    problemCount: 0,
    ...(scratchTable !== undefined && { scratch: beginScratch(scratchTable) }),
    startedAtMs: nowMs,
    invocations: 1,
  };
  return withProblems(state, [...subject.faults, ...manifestProblems(subject)]);
}

/** A later invocation's state; begins anew when what is verified is not what it was. */
export function resumeVerification(
  state: VerificationState,
  subject: Subject,
  begin: Begin,
): VerificationState {
  const same =
    state.prefix === prefixOf(subject.backup) &&
    state.exportArn === subject.backup.exportArn &&
    state.manifest === subject.manifest;
  return same ? { ...state, invocations: state.invocations + 1 } : beginVerification(subject, begin);
}

export function nextStep(
  state: VerificationState,
  subject: Subject,
  surroundings: Surroundings,
  nowMs: number,
): Step {
  const { files, backup } = subject;
  const file = files[state.filesDone];
  if (file && state.fileAttempts < FILE_ATTEMPTS_MAX)
    return { kind: 'check_file', index: state.filesDone, file };
  // What is damaged already need not be loaded.
  if (!file && state.scratch && state.problemCount === 0) {
    const step = nextScratchStep(state.scratch, files);
    if (step) return step;
  }
  const open = backup.chain.find((prefix) => !surroundings.verdicts.has(prefix));
  if (open !== undefined && state.problemCount === 0) return { kind: 'wait', prefix: open };
  const verdict = conclude(state, subject, surroundings, nowMs);
  const { lockUntilMs } = subject;
  if (verdict.verdict === 'verified' && lockUntilMs !== undefined && !state.lock?.done)
    return { kind: 'lock', after: state.lock?.after, untilMs: lockUntilMs };
  return { kind: 'conclude', verdict };
}

/** To be saved before a file is begun, so that one which is never finished is noticed. */
export function fileBegun(state: VerificationState): VerificationState {
  return { ...state, fileAttempts: state.fileAttempts + 1 };
}

export function fileChecked(state: VerificationState, report: FileReport): VerificationState {
  return withProblems(
    {
      ...state,
      filesDone: state.filesDone + 1,
      fileAttempts: 0,
      items: state.items + report.items,
      records: state.records + report.records,
      controls: state.controls + report.controls,
      recordsAdded: state.recordsAdded + report.recordsAdded,
      digest: new StateDigest(state.digest).plus(new StateDigest(report.digest)).toString(),
    },
    report.problems,
    report.problemCount,
  );
}

/** The scratch table is there, and empty. */
export function tableMade(state: VerificationState): VerificationState {
  return { ...state, scratch: { ...scratchOf(state), isMade: true } };
}

/** It is not there any more, for a reason that is none of the backup's: all of it is loaded again. */
export function tableLost(state: VerificationState): VerificationState {
  return { ...state, scratch: beginScratch(scratchOf(state).table) };
}

/** `problems`: of a file that cannot be loaded as it was checked, or of items that DynamoDB does not take. */
export function partLoaded(
  state: VerificationState,
  part: LoadedPart,
  problems: readonly BackupProblem[],
): VerificationState {
  return withProblems({ ...state, scratch: scratchLoaded(scratchOf(state), part) }, problems);
}

/** A page of the scratch table; `after` undefined: it was the last. */
export function pageReadBack(state: VerificationState, page: ScratchPage): VerificationState {
  return { ...state, scratch: scratchReadBack(scratchOf(state), page) };
}

function scratchOf({ prefix, scratch }: VerificationState): ScratchState {
  if (scratch) return scratch;
  throw new TypeError(`${prefix}: expected a scratch table that it is loaded into, there is none`);
}

/** The verdict on a backup whose manifests cannot be read, so that there is nothing to look through. */
export function unreadableVerdict(backup: Backup, problem: BackupProblem, nowMs: number): BackupVerdict {
  const { exportArn, kind, fromMs, toMs, chain } = backup;
  return {
    format: 1,
    prefix: prefixOf(backup),
    exportArn,
    verdict: 'corrupted',
    kind,
    ...(fromMs !== undefined && { fromMs }),
    toMs,
    chain,
    ...{ files: 0, items: 0, records: 0, controls: 0 },
    state: { records: 0, digest: new StateDigest().toString() },
    loaded: false,
    problems: [problem],
    problemCount: 1,
    ...{ startedAtMs: nowMs, endedAtMs: nowMs, invocations: 1 },
  };
}

/** A page of objects was locked; `after` undefined: it was the last. */
export function pageLocked(state: VerificationState, after: string | undefined): VerificationState {
  return { ...state, lock: { ...(after !== undefined && { after }), done: after === undefined } };
}

function conclude(
  state: VerificationState,
  subject: Subject,
  { verdicts, sameMoment }: Surroundings,
  nowMs: number,
): BackupVerdict {
  const { backup, files, summary } = subject;
  const found: BackupProblem[] = [];
  const problem = (file: string, what: string) => found.push({ file, what });

  const unfinished = files[state.filesDone];
  if (unfinished)
    problem(
      unfinished.key,
      `expected to be read within ${FILE_ATTEMPTS_MAX} invocations, was not: it takes longer than one has`,
    );
  else if (state.items !== summary.itemCount)
    problem(state.prefix, `expected ${summary.itemCount} items by the summary, got ${state.items}`);
  const { scratch } = state;
  const { controls, recordsAdded: records, digest } = state;
  const fault =
    scratch?.readBack && scratchFault(scratch, { files: files.length, records, controls, digest });
  if (fault) problem(state.prefix, fault);

  const base = baseOf(backup, verdicts);
  for (const what of base.problems) problem(state.prefix, what);
  const restored = {
    records: base.state.records + state.recordsAdded,
    digest: base.state.digest.plus(new StateDigest(state.digest)).toString(),
  };
  if (restored.records < 0)
    problem(
      state.prefix,
      `expected no more records to go than its chain has, ${-restored.records} more went`,
    );

  const soundSoFar = state.problemCount + found.length === 0;
  const other = sameMoment === undefined ? undefined : verdicts.get(sameMoment);
  let compared: BackupVerdict['compared'];
  if (soundSoFar && other?.verdict === 'verified' && other.toMs === backup.toMs) {
    const { records, digest } = other.state;
    const same = records === restored.records && digest === restored.digest;
    compared = { prefix: other.prefix, same };
    // A full backup stands for itself; a chain that does not come to the same is what is wrong.
    if (!same && backup.kind === 'incremental')
      problem(
        state.prefix,
        `expected its chain to come to the ${records} records that ${other.prefix} shows at the same moment, got ${restored.records} or others`,
      );
  }

  const { problems, problemCount } = withProblems(state, found);
  return {
    format: 1,
    prefix: state.prefix,
    exportArn: state.exportArn,
    verdict: problemCount === 0 ? 'verified' : 'corrupted',
    kind: backup.kind,
    ...(backup.fromMs !== undefined && { fromMs: backup.fromMs }),
    toMs: backup.toMs,
    chain: backup.chain,
    files: files.length,
    items: state.items,
    records: state.records,
    controls: state.controls,
    state: { ...restored, records: Math.max(0, restored.records) },
    loaded: scratch?.readBack === true && scratch.files === files.length,
    ...(scratch?.readBack && { loadedFiles: scratch.files }),
    ...(compared && { compared }),
    problems,
    problemCount,
    startedAtMs: state.startedAtMs,
    endedAtMs: nowMs,
    invocations: state.invocations,
  };
}

/** What an incremental backup goes on top of: nothing for a full one. */
function baseOf(
  { kind, chain, fromMs }: Backup,
  verdicts: ReadonlyMap<string, BackupVerdict>,
): {
  readonly state: { readonly records: number; readonly digest: StateDigest };
  readonly problems: readonly string[];
} {
  const nothing = { records: 0, digest: new StateDigest() };
  if (kind === 'full') return { state: nothing, problems: [] };
  const problems: string[] = [];
  for (const [index, prefix] of chain.entries()) {
    const verdict = verdicts.get(prefix);
    const before = index === 0 ? undefined : verdicts.get(chain[index - 1] as string);
    if (verdict?.verdict !== 'verified') problems.push(`expected its chain to be verified, ${prefix} is not`);
    else if ((index === 0) !== (verdict.kind === 'full'))
      problems.push(`expected one full backup at the beginning of its chain, ${prefix} is ${verdict.kind}`);
    else if (before && verdict.fromMs !== before.toMs)
      problems.push(`expected its chain to have no gap, ${prefix} begins at ${verdict.fromMs}`);
  }
  const last = verdicts.get(chain.at(-1) ?? '');
  if (last && last.toMs !== fromMs)
    problems.push(`expected to go on from ${last.toMs}, where ${last.prefix} ends, got ${fromMs}`);
  if (!last) return { state: nothing, problems };
  return { state: { ...last.state, digest: new StateDigest(last.state.digest) }, problems };
}

/** What the manifests themselves say wrong: another export, another time, counts that do not add up. */
function manifestProblems({ backup, summary, files }: Subject): readonly BackupProblem[] {
  const file = summary.manifestFilesKey;
  const problems: BackupProblem[] = [];
  const expect = (what: string, expected: unknown, got: unknown) => {
    if (expected !== got) problems.push({ file, what: `expected ${what} ${expected}, got ${got}` });
  };
  expect('the export', backup.exportArn, summary.exportArn);
  expect('an export of', backup.tableArn, summary.tableArn);
  expect('an export that is', backup.kind, summary.kind);
  expect('an export from', backup.fromMs, summary.fromMs);
  expect('an export up to', backup.toMs, summary.toMs);
  expect(
    'data files that together have the items of the summary,',
    summary.itemCount,
    files.reduce((sum, { itemCount }) => sum + itemCount, 0),
  );
  return problems;
}

function withProblems(
  state: VerificationState,
  found: readonly BackupProblem[],
  count = found.length,
): VerificationState {
  if (count === 0) return state;
  return {
    ...state,
    problems: [...state.problems, ...found].slice(0, BACKUP_PROBLEMS_MAX),
    problemCount: state.problemCount + count,
  };
}

function prefixOf({ tier, tick }: Backup): string {
  return `${tier}/${tick}/`;
}
