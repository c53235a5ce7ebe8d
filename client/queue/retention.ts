// Makes room. Settled operations are kept for a restore until they are old or too many, oldest first; a group with
// nothing left goes, from the front of the chain or as a gap that carries the chain across, and one that is mostly
// gone is written again without what is gone, so that a stuck operation never holds more than its own size twice.
import { TOMBSTONE_AGE_MS_MIN } from '../../protocol/limits.ts';
import { clockOf } from '../../protocol/versions.ts';
import type { Draft } from './draft.ts';
import { DROPPED, thinnedSealOf } from './format.ts';
import type { Group, Ledger } from './ledger.ts';
import type { ReadLines } from './lines.ts';

export interface Retention {
  /** Operations settled up to then go, Unix ms (PROTOCOL 8.2). */
  readonly settledMsMax: number;
  /** And so many bytes of the oldest that are left. */
  readonly excessBytes: number;
}

export function draftRetention(
  ledger: Ledger,
  draft: Draft,
  { settledMsMax, excessBytes }: Retention,
  lines: ReadLines,
): void {
  let excess = excessBytes;
  let gap: Gap | undefined;
  let atTail = true;
  for (const group of ledger.groups.values()) {
    const left = dropKept(group, draft, (at, dropped) => at <= settledMsMax || dropped < excess);
    excess -= left.droppedBytes;
    if (!left.anything) {
      if (atTail) moveTail(draft, group);
      else gap = dropBetween(draft, gap, group);
      continue;
    }
    atTail = false;
    gap = undefined;
    if (left.goneBytes * 2 >= left.bytes && left.goneBytes > 0) thin(draft, group, lines);
    // What follows was settled later, or nearly: nothing more to drop.
    if (left.kept && left.droppedBytes === 0) return;
  }
}

interface Left {
  readonly anything: boolean;
  readonly kept: boolean;
  readonly bytes: number;
  /** Dropped, now or before, but still in the file. */
  readonly goneBytes: number;
  readonly droppedBytes: number;
}

function dropKept(group: Group, draft: Draft, isDue: (at: number, droppedBytes: number) => boolean): Left {
  const outcomes = draft.outcomesOf(group);
  const left = { anything: false, kept: false, bytes: 0, goneBytes: 0, droppedBytes: 0 };
  if (group.session === '') return left;
  if (outcomes.length === 0) return { ...left, anything: true };
  for (const [index, bytes] of group.bytes.entries()) {
    const outcome = outcomes[index];
    left.bytes += bytes;
    if (outcome?.state === 'kept' && isDue(outcome.at, left.droppedBytes)) {
      draft.setOutcome(group, index, DROPPED);
      left.droppedBytes += bytes;
      left.goneBytes += bytes;
    } else if (outcome?.state === 'dropped') left.goneBytes += bytes;
    else {
      left.anything = true;
      if (outcome?.state === 'kept') left.kept = true;
    }
  }
  return left;
}

function moveTail(draft: Draft, group: Group): void {
  draft.dropGroup(group);
  draft.setState({ tail: { position: group.position + group.count - 1, link: group.link } });
}

/** A gap, and how many operations it spans once the draft is committed. */
interface Gap {
  readonly group: Group;
  readonly count: number;
}

/** The chain must be followed across: a gap keeps the last link of what is gone. Neighbours become one. */
function dropBetween(draft: Draft, before: Gap | undefined, group: Group): Gap {
  if (before === undefined && group.session === '') return { group, count: group.count };
  const row = {
    position: before?.group.position ?? group.position,
    count: (before?.count ?? 0) + group.count,
    session: '',
    sequence: 0,
    body: '',
    link: group.link,
  };
  if (before === undefined) draft.dropOutcomes(group);
  else draft.dropGroup(group);
  draft.changeGroup(before?.group ?? group, { ...row, seal: thinnedSealOf(row) }, []);
  return { group: before?.group ?? group, count: row.count };
}

function thin(draft: Draft, group: Group, lines: ReadLines): void {
  const outcomes = draft.outcomesOf(group);
  const isGone = (index: number) => outcomes[index]?.state === 'dropped';
  const { position, count, session, sequence, link } = group;
  const body = lines(group)
    .map((line, index) => (isGone(index) ? '' : line))
    .join('\n');
  const row = { position, count, session, sequence, body, link };
  const bytes = group.bytes.map((size, index) => (isGone(index) ? 0 : size));
  draft.changeGroup(group, { ...row, seal: thinnedSealOf(row) }, bytes);
}

/** The server sweeps tombstones (PROTOCOL 7); ours need not outlive them. */
export function draftTombstonePruning(ledger: Ledger, draft: Draft, nowMs: number): number {
  let pruned = 0;
  for (const [key, { deleted, version }] of ledger.held) {
    if (!deleted || clockOf(version).ms > nowMs - TOMBSTONE_AGE_MS_MIN) continue;
    draft.forget(key);
    pruned++;
  }
  return pruned;
}
