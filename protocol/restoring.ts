// What a restore is made from (DESIGN §6): the latest verified backup at or before a moment, what it goes on top of, and
// the journals from its moment on. Pure: what stands in the buckets comes in, what to read and what speaks against it
// comes out. Times are Unix ms.
import type { BackupVerdict } from './backup-verdicts.ts';
import { type Backup, HOUR_MS } from './backups.ts';
import { RECORD_PK_PREFIX, recordPk } from './items.ts';
import { journalHour, parseJournalKey } from './journal.ts';
import type { RecordKey } from './names.ts';

/** A backup as a bucket has it. */
export interface KnownBackup {
  /** Which bucket, in words: a Region, or `<Region> offsite`. */
  readonly source: string;
  /** `<tier>/<tick>/`. */
  readonly prefix: string;
  readonly backup: Backup;
  /** DynamoDB has written its summary, which it writes last. */
  readonly complete: boolean;
  readonly verdict: BackupVerdict | undefined;
  /** What was found wrong with it since it was verified. */
  readonly fault?: string;
}

export interface RestoreScene {
  readonly backups: readonly KnownBackup[];
  /** Names of the buckets, the one to be read first coming first. */
  readonly sources: readonly string[];
  /** The moment to be restored: now, when it is the latest state. */
  readonly untilMs: number;
  /** The first hour that any Region's journal has; undefined: there is none. */
  readonly journalSince: string | undefined;
  /** Prefix of the one backup to be taken. @default the best */
  readonly named?: string | undefined;
}

export type RefusalKind = 'no_backup' | 'not_verified' | 'journal_missing' | 'journal_damaged';

/** What `--force` goes over, with a reason. */
export interface Refusal {
  readonly kind: RefusalKind;
  readonly why: string;
}

export interface RestorePlan {
  /** The full one first; empty when there is none and the journals are all there is. */
  readonly chain: readonly KnownBackup[];
  readonly untilMs: number;
  /** The first hour of the journals that is read; undefined when the backup holds the very moment. */
  readonly journalFrom: string | undefined;
  /** Those that would have been taken, the best first, with what is wrong with each. */
  readonly skipped: readonly { readonly source: string; readonly prefix: string; readonly why: string }[];
  readonly refusals: readonly Refusal[];
}

/** By how much the clocks behind a change's time, its commit version and a backup's moment may differ. */
export const JOURNAL_SKEW_MS = 300_000;

interface Candidate {
  readonly end: KnownBackup;
  /** Its links as far as they are there, itself last. */
  readonly chain: readonly KnownBackup[];
  readonly faults: readonly Fault[];
}

interface Fault {
  /** Nothing can be read of it, so no force helps. */
  readonly absent: boolean;
  readonly corrupted: boolean;
  readonly why: string;
}

export function planRestore(scene: RestoreScene): RestorePlan {
  const { untilMs, named } = scene;
  const candidates = candidatesIn(scene);
  const wanted = named === undefined ? candidates : candidates.filter(({ end }) => end.prefix === named);
  const chosen = wanted.find(({ faults }) => faults.length === 0) ?? leastFaulty(wanted);
  const refusals: Refusal[] = [];
  if (!chosen) refusals.push({ kind: 'no_backup', why: whyNone(scene, wanted) });
  else if (chosen.faults.length > 0)
    refusals.push({ kind: 'not_verified', why: `${nameOf(chosen.end)}: ${faultsInWords(chosen)}` });
  const journal = journalFor(scene, chosen?.end.backup.toMs);
  if (journal.why !== undefined) refusals.push({ kind: 'journal_missing', why: journal.why });
  const better = candidates.slice(0, chosen ? candidates.indexOf(chosen) : undefined);
  const passed = better.filter(({ faults }) => faults.length > 0);
  return {
    chain: chosen?.chain ?? [],
    untilMs,
    journalFrom: journal.from,
    skipped: passed.map((it) => ({
      source: it.end.source,
      prefix: it.end.prefix,
      why: faultsInWords(it),
    })),
    refusals,
  };
}

/** All that end at or before the moment, the best first. */
function candidatesIn({ backups, sources, untilMs }: RestoreScene): readonly Candidate[] {
  const byPlace = new Map(backups.map((it) => [placeOf(it), it]));
  return backups
    .filter(({ backup }) => backup.toMs <= untilMs)
    .map((end) => candidateOf(end, byPlace))
    .sort(
      (a, b) =>
        b.end.backup.toMs - a.end.backup.toMs ||
        a.chain.length - b.chain.length ||
        rankOf(a.end, sources) - rankOf(b.end, sources) ||
        (a.end.prefix < b.end.prefix ? -1 : 1),
    );
}

function rankOf({ source }: KnownBackup, sources: readonly string[]): number {
  const rank = sources.indexOf(source);
  return rank < 0 ? sources.length : rank;
}

function placeOf({ source, prefix }: Pick<KnownBackup, 'source' | 'prefix'>): string {
  return `${source}\n${prefix}`;
}

function candidateOf(end: KnownBackup, byPlace: ReadonlyMap<string, KnownBackup>): Candidate {
  const { source } = end;
  const chain: KnownBackup[] = [];
  const faults: Fault[] = [];
  const fault = (why: string, marks: Partial<Fault> = {}) =>
    faults.push({ absent: false, corrupted: false, ...marks, why });
  for (const prefix of [...end.backup.chain, end.prefix]) {
    const link = byPlace.get(placeOf({ source, prefix }));
    if (!link) {
      fault(`${prefix}, which it goes on top of, is not there`, { absent: true });
      continue;
    }
    const before = chain.at(-1);
    const isFirst = chain.length === 0 && faults.every(({ absent }) => !absent);
    if (isFirst !== (link.backup.kind === 'full'))
      fault(`its chain does not begin with a full backup, ${prefix} is ${link.backup.kind}`, {
        absent: true,
      });
    else if (before && link.backup.fromMs !== before.backup.toMs)
      fault(`there is a gap before ${prefix} in its chain`);
    chain.push(link);
    const own = prefix === end.prefix ? 'it' : prefix;
    if (!link.complete) fault(`${own} is not complete`, { absent: true });
    else faultOfVerdict(link, own, fault);
  }
  return { end, chain, faults };
}

function faultOfVerdict(
  { backup, verdict, fault: found }: KnownBackup,
  own: string,
  fault: (why: string, marks?: Partial<Fault>) => void,
): void {
  if (found !== undefined) fault(`${own} is corrupted: ${found}`, { corrupted: true });
  // A backup that was made again needs a verdict of its own.
  if (!verdict || verdict.exportArn !== backup.exportArn) fault(`${own} is not verified`);
  else if (verdict.verdict === 'corrupted') {
    const [first] = verdict.problems;
    fault(`${own} is corrupted${first ? `: ${first.file}: ${first.what}` : ''}`, { corrupted: true });
  }
}

/** Of those that can be read at all. */
function leastFaulty(candidates: readonly Candidate[]): Candidate | undefined {
  const readable = candidates.filter(({ faults }) => faults.every(({ absent }) => !absent));
  return readable.find(({ faults }) => faults.every(({ corrupted }) => !corrupted)) ?? readable[0];
}

function faultsInWords({ faults }: Candidate): string {
  return faults.map(({ why }) => why).join('; ');
}

function nameOf({ source, prefix }: KnownBackup): string {
  return `${prefix} in ${source}`;
}

function whyNone({ untilMs, named }: RestoreScene, wanted: readonly Candidate[]): string {
  const [first] = wanted;
  if (first) return `no backup can be read; ${nameOf(first.end)}: ${faultsInWords(first)}`;
  return named === undefined
    ? `no bucket has a backup of ${iso(untilMs)} or before`
    : `no bucket has ${named}, or it holds a moment after ${iso(untilMs)}`;
}

/** From where the journals are read; `why` they do not reach it. */
function journalFor(
  { untilMs, journalSince }: RestoreScene,
  toMs: number | undefined,
): { readonly from: string | undefined; readonly why?: string } {
  if (toMs === undefined)
    return journalSince === undefined
      ? { from: undefined, why: 'no journal is there' }
      : { from: journalSince };
  if (toMs >= untilMs) return { from: undefined };
  const what = `what changed between ${iso(toMs)} and ${iso(untilMs)}`;
  if (journalSince === undefined) return { from: undefined, why: `no journal is there to say ${what}` };
  const from = journalHour(toMs - JOURNAL_SKEW_MS);
  if (journalSince > journalHour(toMs))
    return {
      from,
      why: `the journals begin at ${journalSince}, after ${what} began: --at ${iso(toMs)} asks for the backup alone`,
    };
  return { from };
}

/** A segment that is there and cannot be read. */
export interface DamagedSegment {
  /** Whose bucket it is in. */
  readonly source: string;
  /** Where it belongs, or is. */
  readonly key: string;
  readonly why: string;
}

/**
 * Damaged segments that no other Region's journal makes up for: none of the others has all of that hour, and of those
 * beside it, undamaged. `hours`: by Region, those that its journal has anything of.
 */
export function notCovered(
  damaged: readonly DamagedSegment[],
  hours: ReadonlyMap<string, ReadonlySet<string>>,
): readonly DamagedSegment[] {
  const faulty = new Set(damaged.map((it) => `${regionOf(it)}\n${hourOf(it.key)}`));
  return damaged.filter((it) => {
    const [region, hour] = [regionOf(it), hourOf(it.key)];
    if (hour === undefined) return true;
    const startMs = Date.parse(`${hour.slice(0, 13)}:00:00Z`);
    // Each stream tells hours by a clock of its own.
    const around = [startMs - HOUR_MS, startMs, startMs + HOUR_MS].map(journalHour);
    return ![...hours].some(
      ([other, its]) =>
        other !== region && its.has(hour) && around.every((at) => !faulty.has(`${other}\n${at}`)),
    );
  });
}

function regionOf({ key, source }: DamagedSegment): string {
  return parseJournalKey(key)?.region ?? PARKED_REGION.exec(key)?.[1] ?? source;
}

/** What is parked stands in another's bucket. */
const PARKED_REGION = /^[^/]+\/[^/]+\/([a-z0-9-]+-\d+)-[0-9a-f]{40}/;

function hourOf(key: string): string | undefined {
  return /^[^/]+\/(\d{4}-\d{2}-\d{2}T\d{2}Z)\//.exec(key)?.[1];
}

/** What of the table is restored. */
export type Scope =
  | { readonly kind: 'all' }
  | { readonly kind: 'tenant'; readonly tenant: string }
  | { readonly kind: 'records'; readonly records: readonly RecordKey[] };

/** Whether an item with this partition key is a record in the scope, or, of a line of an export, may hold one. */
export interface ScopeTest {
  readonly covers: (pk: string) => boolean;
  readonly mayCover: (line: string) => boolean;
}

export function scopeTest(scope: Scope): ScopeTest {
  if (scope.kind === 'all') return { covers: (pk) => pk.startsWith(RECORD_PK_PREFIX), mayCover: () => true };
  if (scope.kind === 'tenant') {
    const prefix = `${RECORD_PK_PREFIX}${scope.tenant}#`;
    return { covers: (pk) => pk.startsWith(prefix), mayCover: (line) => line.includes(prefix) };
  }
  const pks = new Set(scope.records.map(recordPk));
  const list = [...pks];
  return { covers: (pk) => pks.has(pk), mayCover: (line) => list.some((pk) => line.includes(pk)) };
}

/** In every Region's audit bucket: who restored what, why, from what, and what came of it; and what was replaced. */
export const RESTORES_PREFIX = 'restores/';

export function restoreRecordKey(id: string, what: 'begun' | 'ended' | `replaced-${string}`): string {
  return `${RESTORES_PREFIX}${id}/${what}.${what.startsWith('replaced') ? 'ndjson' : 'json'}`;
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
