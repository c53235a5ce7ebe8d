// Two replicas that follow each other, brought together (docs/GOVCLOUD.md). Of two writes at once replication keeps the
// later one and drops the other, and the replica that made the other sees it go: what replaces it was not written on top
// of that replica's own last write. Nobody else ever had what was dropped, so nobody else needs to look for it; and what
// is taken up again is marked as such, so that two reconcilers cannot go on answering each other.
import type { AuditEntry } from '../../protocol/audit.ts';
import { FEED_SETTLE_MS, TOMBSTONE_AGE_MS_MIN } from '../../protocol/limits.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { clockOf, compareVersions, type Version } from '../../protocol/versions.ts';
import { parseEntry } from './archiving.ts';
import { append, type Scene, stateOf } from './audit.ts';
import { isWhole } from './canonical.ts';
import type { AuditState, Content, Settled, StoredRecord } from './record.ts';
import { SETTLED_SESSIONS_MAX } from './settled-room.ts';

/** A change of a record, as a replica's stream tells it. */
export interface Change {
  readonly key: RecordKey;
  readonly before: StoredRecord | undefined;
  readonly after: StoredRecord | undefined;
  /** When this replica made it, Unix ms. */
  readonly atMs: number;
}

/** What about a change has to be put right. */
export type Concern =
  /** What replaced this was written beside it. */
  | { readonly kind: 'left_out'; readonly before: StoredRecord }
  /** It came so late that readers of the feed may have passed its place. */
  | { readonly kind: 'late'; readonly after: StoredRecord };

/** The whole of a record in one write, over exactly what it was made for. */
export interface Reconciliation {
  readonly key: RecordKey;
  /** The commit version that must be stored; undefined when nothing may be. */
  readonly over: Version | undefined;
  readonly version: Version;
  readonly content: Content;
  readonly commitVersion: Version;
  /** What the sessions have settled, beside what is stored. */
  readonly settled: ReadonlyMap<string, Settled>;
  readonly through: ReadonlyMap<string, Version>;
  readonly takenUp: readonly Version[];
  /** Undefined when the trail stays as it is stored. */
  readonly audit: AuditState | undefined;
}

export type Plan =
  | { readonly kind: 'nothing' }
  | {
      readonly kind: 'write';
      readonly write: Reconciliation;
      /** Goes into the audit bucket first: what lost is too large for the outbox. */
      readonly payload: Extract<Content, { deleted: false }> | undefined;
      /** The branch that the trail leaves: what stands in its outbox is archived first, since the write takes it away. */
      readonly leaves: AuditState | undefined;
      /** Whether one side is not what its hash says. */
      readonly corrupt: boolean;
    }
  /** These are archived first; then plan with `emptied`. */
  | { readonly kind: 'outbox_full'; readonly trail: AuditState }
  /** What should stand there is not what its hash says. */
  | { readonly kind: 'corrupt' };

export interface PlanScene extends Scene {
  /** Stamped for this attempt, above both sides' commit versions. */
  readonly commitVersion: Version;
  /** Whether the outbox was archived, and may be left empty. */
  readonly emptied: boolean;
}

/** Half of what a checkpoint stays behind: the rest is the reconciler's own. */
const LATE_MS = FEED_SETTLE_MS / 2;
/** As many as can be delivered again at once; more would only cost a redundant entry. */
const TAKEN_UP_MAX = 8;
/** Sessions in one write, 15 bytes each in its expression, which has room for 4 KB:
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html */
const SESSIONS_AT_ONCE_MAX = 200;

/**
 * Undefined for a change as it should be. `region`: whose replica made it. `restoreEpoch`: what is older than the last
 * restore, or was written by it, is not to be brought back.
 */
export function concernOf(
  { before, after, atMs }: Change,
  region: string,
  restoreEpoch: number,
): Concern | undefined {
  if (atMs < restoreEpoch || (after && msOf(after) < restoreEpoch)) return undefined;
  if (before && !after) return isSwept(before, atMs) ? undefined : { kind: 'left_out', before };
  if (before && after && !follows(after, before, region)) return { kind: 'left_out', before };
  // Readers have a version that stood here before; and stamped again for being late, what one reconciler wrote would be
  // late to the other, and so on for as long as replication is slow both ways.
  const isNew = after && after.version !== before?.version;
  return isNew && atMs - msOf(after) > LATE_MS ? { kind: 'late', after } : undefined;
}

/** Whether a replica's state was written on top of the one it replaced there: here, or elsewhere by somebody who had the
 * last write made here. */
function follows(after: StoredRecord, before: StoredRecord, region: string): boolean {
  const own = before.through?.get(region);
  if (own === undefined || after.through?.get(region) === own) return true;
  const isLocal = after.through?.get(region) === after.commitVersion;
  // A write is stamped above what it replaces; an older one that somebody trimmed elsewhere is not.
  return isLocal && compareVersions(after.commitVersion, before.commitVersion) > 0;
}

/** What to write over `current`, which stands there now, to put a concern right. */
export function planFor(
  key: RecordKey,
  concern: Concern,
  current: StoredRecord | undefined,
  scene: PlanScene,
): Plan {
  if (concern.kind === 'late')
    return current && isAsLate(current, concern.after, scene.region)
      ? planWrite(restated(key, current, current, scene))
      : { kind: 'nothing' };
  const { before } = concern;
  if (!current) return isWhole(before.content) ? planWrite(putBack(key, before, scene)) : { kind: 'corrupt' };
  return isTakenUp(before, current) ? { kind: 'nothing' } : unite(key, before, current, scene);
}

/** Whether nobody stamped it in this region since it came: what else came with that version may be as late. */
function isAsLate(current: StoredRecord, after: StoredRecord, region: string): boolean {
  return current.version === after.version && current.through?.get(region) === after.through?.get(region);
}

function planWrite(write: Reconciliation, corrupt = false): Plan {
  return { kind: 'write', write, payload: undefined, leaves: undefined, corrupt };
}

/** Nothing took its place, so nothing lost. */
function putBack(key: RecordKey, before: StoredRecord, scene: PlanScene): Reconciliation {
  const { settled, audit, takenUp = [], commitVersion } = before;
  return {
    ...restated(key, before, before, scene),
    over: undefined,
    settled: latest(settled),
    audit,
    takenUp: [...takenUp, commitVersion].slice(-TAKEN_UP_MAX),
  };
}

/** What a record said, written over `current` through this region's replica. */
function restated(
  key: RecordKey,
  { version, content }: StoredRecord,
  { commitVersion: over, through }: Pick<StoredRecord, 'commitVersion' | 'through'>,
  { region, commitVersion }: PlanScene,
): Reconciliation {
  return {
    key,
    over,
    version,
    content,
    commitVersion,
    settled: new Map(),
    // The other region must find its own last write in it, which is that of the state it is written over.
    through: new Map(through).set(region, commitVersion),
    takenUp: [],
    audit: undefined,
  };
}

function isTakenUp(
  { commitVersion }: StoredRecord,
  { commitVersion: at, takenUp = [] }: StoredRecord,
): boolean {
  return at === commitVersion || takenUp.includes(commitVersion);
}

function unite(key: RecordKey, before: StoredRecord, current: StoredRecord, scene: PlanScene): Plan {
  const order = compareVersions(before.version, current.version);
  const whole = { before: isWhole(before.content), current: isWhole(current.content) };
  // Damaged, what was dropped stays dropped; what stands there stays, and what lost to it is told all the same.
  if (order > 0 && !whole.before) return { kind: 'corrupt' };
  const corrupt = !whole.before || !whole.current;
  const takesBefore = order > 0 || (order === 0 && whole.before && !whole.current);
  const { trail, left } = joined(before.audit, current.audit);
  const write = {
    ...restated(key, takesBefore ? before : current, current, scene),
    settled: settledBeside(current, before),
    takenUp: [...(before.takenUp ?? []), ...(current.takenUp ?? []), before.commitVersion].slice(
      -TAKEN_UP_MAX,
    ),
    audit: trail,
  };
  if (order === 0 && !left) return planWrite(write, corrupt);
  const begun = scene.emptied ? { ...trail, outbox: [] } : trail;
  const damaged = order > 0 ? !whole.current : order < 0 && !whole.before;
  const lost: Content = order === 0 || damaged ? { deleted: true } : (order > 0 ? current : before).content;
  const entry: AuditEntry = {
    record: key,
    sequence: trail.sequence + 1,
    previous: trail.head,
    at: scene.atMs,
    region: scene.region,
    outcome: order > 0 ? 'stored' : 'incoming',
    votes: [],
    quorum: 'none',
    incoming: stateOf(current),
    stored: { ...stateOf(before), commitVersion: before.commitVersion },
    ...(left && { merges: { sequence: left.sequence, hash: left.head } }),
    ...(damaged && { damaged }),
  };
  const recorded = append(entry, lost, begun);
  if (recorded.kind === 'outbox_full') return { kind: 'outbox_full', trail };
  const { audit, payload } = recorded;
  return { kind: 'write', write: { ...write, audit }, payload, leaves: left, corrupt };
}

/** The longer trail, and the other one where its end is not known to be on it. */
function joined(
  before: AuditState,
  current: AuditState,
): { readonly trail: AuditState; readonly left?: AuditState } {
  const [trail, other] = before.sequence > current.sequence ? [before, current] : [current, before];
  return isOn(trail, other) ? { trail } : { trail, left: other };
}

function isOn(trail: AuditState, { sequence, head }: AuditState): boolean {
  if (sequence === 0) return true;
  if (sequence === trail.sequence) return head === trail.head;
  return trail.outbox
    .map(parseEntry)
    .some((entry) => entry?.sequence === sequence + 1 && entry.previous === head);
}

/** What `other` knows to be settled and `current` does not, the latest first as far as there is room in the item and in
 * the write: what is left out may be judged once more, against the same versions. */
function settledBeside(current: StoredRecord, other: StoredRecord): ReadonlyMap<string, Settled> {
  const higher = [...other.settled].filter(
    ([session, { sequence }]) => sequence > (current.settled.get(session)?.sequence ?? 0),
  );
  const known = higher.filter(([session]) => current.settled.has(session));
  const added = higher.filter(([session]) => !current.settled.has(session));
  const room = Math.max(0, SETTLED_SESSIONS_MAX - current.settled.size);
  return latest([...known, ...latest(added, room)]);
}

function latest(
  settled: Iterable<readonly [string, Settled]>,
  countMax = SESSIONS_AT_ONCE_MAX,
): ReadonlyMap<string, Settled> {
  return new Map([...settled].sort(([, a], [, b]) => b.atMs - a.atMs).slice(0, countMax));
}

/** Only a tombstone that is old enough is ever removed by us (PROTOCOL 7). */
function isSwept(record: StoredRecord, atMs: number): boolean {
  return record.content.deleted && atMs - msOf(record) >= TOMBSTONE_AGE_MS_MIN;
}

function msOf({ commitVersion }: StoredRecord): number {
  return clockOf(commitVersion).ms;
}
