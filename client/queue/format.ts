// How rows are written and proved. An operation is one line; the lines of a commit form a group; groups are chained.
// What happens to an operation later stands beside the chain, in the group's outcomes, so that neither settling nor
// re-stamping ever touches what was chained. Every row is sealed by a hash, and the state row, which every commit
// rewrites, carries the sum of all seals: an old copy of a page is damage too, though each of its rows looks right.
import { hash } from 'node:crypto';
import type { RejectedReason } from '../../protocol/verdicts.ts';
import { CLOCK_ZERO, type Clock, type Version } from '../../protocol/versions.ts';
import type { GroupRow, OutcomeRow, RecordRow, StateRow } from './disk.ts';

/** `PRAGMA user_version` of the file. */
export const FORMAT = 1;
/** What the first group is chained to. */
export const CHAIN_START = '0'.repeat(64);

export interface Line {
  readonly kind: 'put' | 'delete';
  readonly collection: string;
  readonly id: string;
  readonly version: Version;
  readonly base: Version | undefined;
  /** Canonical JSON; '' for a delete. */
  readonly payload: string;
}

/** Tabs and line feeds part it: names cannot contain them and JSON escapes them. */
export function lineOf(
  { kind, collection, id, payload }: Pick<Line, 'kind' | 'collection' | 'id' | 'payload'>,
  version: Version,
  base: Version | undefined,
): string {
  return `${kind}\t${collection}\t${id}\t${version}\t${base ?? ''}\t${payload}`;
}

export function parseLine(line: string): Line {
  const afterKind = line.indexOf('\t');
  const afterCollection = line.indexOf('\t', afterKind + 1);
  const afterId = line.indexOf('\t', afterCollection + 1);
  const afterVersion = line.indexOf('\t', afterId + 1);
  const afterBase = line.indexOf('\t', afterVersion + 1);
  if (afterKind < 0 || afterBase <= afterVersion || afterVersion <= afterId)
    throw new RangeError(`an operation has six fields, got ${JSON.stringify(line.slice(0, 80))}`);
  const head = copyOf(line.slice(0, afterBase));
  const base = head.slice(afterVersion + 1);
  return {
    kind: head.slice(0, afterKind) === 'delete' ? 'delete' : 'put',
    collection: head.slice(afterKind + 1, afterCollection),
    id: head.slice(afterCollection + 1, afterId),
    version: head.slice(afterId + 1, afterVersion) as Version,
    base: base === '' ? undefined : (base as Version),
    payload: line.slice(afterBase + 1),
  };
}

/**
 * A slice keeps the string it was cut from in memory: the version alone of an operation that waits would keep the
 * payloads of its whole group. Joining and cutting again makes V8 lay out a string of its own.
 */
function copyOf(slice: string): string {
  return ` ${slice}`.slice(1);
}

/** Version and base an operation has now, where they are not those of its line. */
export interface Stamp {
  readonly version: Version;
  readonly base: Version | undefined;
}

/** What became of an operation; undefined while it waits as it was made. */
export type Outcome =
  /** Waits, re-stamped or queued again. */
  | { readonly state: 'pending'; readonly stamp?: Stamp; readonly replayed?: true }
  /** Settled at that Unix ms; kept for a restore (PROTOCOL 8.2). */
  | { readonly state: 'kept'; readonly at: number; readonly stamp?: Stamp }
  | {
      readonly state: 'quarantined';
      readonly at: number;
      readonly reason: QuarantineReason;
      readonly detail: string;
      readonly stamp?: Stamp;
    }
  /** Settled and no longer kept; its line may be gone. */
  | { readonly state: 'dropped' };

/** `unproven`: saved from a damaged file with nothing to vouch for it. */
export type QuarantineReason = RejectedReason | 'unproven';

export const DROPPED: Outcome = { state: 'dropped' };

/** A list, one entry an operation: null waits, a number is when it was settled, 0 is dropped, the rest in full. */
export function outcomesText(outcomes: readonly (Outcome | undefined)[]): string {
  return JSON.stringify(
    outcomes.map((outcome) => {
      if (outcome === undefined) return null;
      if (outcome.state === 'dropped') return 0;
      return outcome.state === 'kept' && outcome.stamp === undefined ? outcome.at : outcome;
    }),
  );
}

export function parseOutcomes(body: string): (Outcome | undefined)[] {
  let previous: Outcome = DROPPED;
  return (JSON.parse(body) as (null | number | Outcome)[]).map((entry) => {
    if (entry === null) return undefined;
    if (typeof entry !== 'number') return entry;
    if (entry === 0) return DROPPED;
    // Those settled together share one object.
    if (previous.state !== 'kept' || previous.at !== entry) previous = { state: 'kept', at: entry };
    return previous;
  });
}

/** Count and exclusive-or of the seals of all rows of a table. */
export interface SealSum {
  readonly count: number;
  readonly sum: bigint;
}

export const NO_SEALS: SealSum = { count: 0, sum: 0n };

export function addSeal({ count, sum }: SealSum, seal: string): SealSum {
  return { count: count + 1, sum: sum ^ BigInt(`0x${seal}`) };
}

export function removeSeal({ count, sum }: SealSum, seal: string): SealSum {
  return { count: count - 1, sum: sum ^ BigInt(`0x${seal}`) };
}

/** All the file knows beside operations and records. One row, rewritten by every commit. */
export interface QueueState {
  /** Commits made in the life of the file. */
  readonly commit: number;
  /** Names this file as the maker of versions (PROTOCOL 1.2). */
  readonly fileId: string;
  readonly clock: Clock;
  /** What to add to this machine's clock to get the server's, in ms. */
  readonly offsetMs: number;
  readonly restoreEpoch: number;
  /** Where the next pull goes on; null starts from nothing. */
  readonly cursor: string | null;
  /** Which resync is the latest, and whether it is still under way. */
  readonly resync: { readonly number: number; readonly active: boolean };
  /** Operations up to here were dropped from the front; the chain goes on from this link. */
  readonly tail: { readonly position: number; readonly link: string };
  readonly head: { readonly position: number; readonly link: string };
  readonly sums: { readonly groups: SealSum; readonly outcomes: SealSum; readonly records: SealSum };
}

/** Of a file nothing was committed to yet. */
export function newState(fileId: string): QueueState {
  return {
    commit: 0,
    fileId,
    clock: CLOCK_ZERO,
    offsetMs: 0,
    restoreEpoch: 0,
    cursor: null,
    resync: { number: 0, active: false },
    tail: { position: 0, link: CHAIN_START },
    head: { position: 0, link: CHAIN_START },
    sums: { groups: NO_SEALS, outcomes: NO_SEALS, records: NO_SEALS },
  };
}

export function stateRowOf(state: QueueState): StateRow {
  const { groups, outcomes, records } = state.sums;
  const sums = { groups: inHex(groups), outcomes: inHex(outcomes), records: inHex(records) };
  const body = JSON.stringify({ ...state, sums });
  return { body, seal: sealOf('state', body) };
}

function inHex({ count, sum }: SealSum) {
  return { count, sum: sum.toString(16) };
}

export function parseState(row: StateRow): QueueState {
  return JSON.parse(row.body, (key, value: unknown) =>
    key === 'sum' && typeof value === 'string' ? BigInt(`0x${value}`) : value,
  ) as QueueState;
}

/** The high-water mark, kept outside the database: SQLite drops a damaged tail of its log without a word. */
export interface Mark {
  readonly commit: number;
  /** Position of the last operation, for the message. */
  readonly head: number;
  /** Seal of the state row of that commit. */
  readonly state: string;
}

export function markText({ commit, head, state }: Mark): string {
  const body = `${commit} ${head} ${state}`;
  return `${body} ${sealOf('mark', body)}`;
}

/** Undefined for a slot never written, torn or damaged. */
export function parseMark(text: string): Mark | undefined {
  const end = text.lastIndexOf(' ');
  if (end < 0 || sealOf('mark', text.slice(0, end)) !== text.slice(end + 1)) return undefined;
  const [commit, head, state = ''] = text.slice(0, end).split(' ');
  return { commit: Number(commit), head: Number(head), state };
}

export function linkOf(previous: string, group: Omit<GroupRow, 'link' | 'seal'>): string {
  const { position, count, session, sequence, body } = group;
  return sealOf('group', previous, position, count, session, sequence, digestOf(body));
}

/** Of a group whose body is no longer what its link was made of. */
export function thinnedSealOf(group: Omit<GroupRow, 'seal'>): string {
  const { link, position, count, session, sequence, body } = group;
  return sealOf('thinned', link, position, count, session, sequence, digestOf(body));
}

export function outcomeSealOf({ position, body }: Omit<OutcomeRow, 'seal'>): string {
  return sealOf('outcomes', position, body);
}

export function recordSealOf(record: Omit<RecordRow, 'seal'>): string {
  const { row, collection, id, version, payload, seen } = record;
  return sealOf(
    'record',
    row,
    collection,
    id,
    version,
    seen,
    payload === null ? 'deleted' : 'held',
    payload ?? '',
  );
}

/** Only the last field may contain line feeds, so no two lists of fields give one text. */
function sealOf(...fields: readonly (string | number)[]): string {
  return digestOf(fields.join('\n'));
}

function digestOf(text: string): string {
  return hash('sha256', text, 'hex');
}
