// What journals say of an item, put in order: each change once, whatever batches it came in and however often. A journal
// may hold segments of another region's stream, brought to fill a gap. Sequence numbers order one stream; between two
// the commit versions do, which are the same everywhere and only ever rise (PROTOCOL 1.3).
import { compareSequenceNumbers, type JournalChange, type Segment } from './journal.ts';
import type { Version } from './versions.ts';

/** A segment without its images, which is all that finding gaps takes. */
export interface SegmentOutline {
  readonly key: string;
  readonly region: string;
  readonly previous: string | null;
  readonly changes: readonly ChangeOutline[];
}
export interface ChangeOutline extends Omit<JournalChange, 'image'> {
  readonly removed: boolean;
}

export function outlineOf(key: string, { header: { region, previous }, changes }: Segment): SegmentOutline {
  return {
    key,
    region,
    previous,
    changes: changes.map(({ image, ...change }) => ({ ...change, removed: image === null })),
  };
}

/** Names an item; keys have no line breaks in them. */
export function itemOf({ pk, sk }: Pick<JournalChange, 'pk' | 'sk'>): string {
  return `${pk}\n${sk}`;
}

/**
 * What was made of which state of an item, the same in every region's journal. Undefined for a control item. A trimmed
 * outbox changes no commit version, so two such changes of one state are not told apart: either will do.
 */
export function identityOf(change: JournalChange | ChangeOutline): string | undefined {
  const { before = '', commitVersion = '' } = change;
  return before === '' && commitVersion === '' ? undefined : `${itemOf(change)}\n${before}\n${commitVersion}`;
}

/** One stream's changes; how many of these there are of one stream, and in what order, makes no difference. */
export interface StreamPart<Change> {
  readonly region: string;
  readonly changes: readonly Change[];
}

/**
 * Every item's changes in order. Those of `region`'s own stream come in its order; what only other streams have goes
 * where its commit version says. Items are named by {@link itemOf}; of control items only the own stream counts.
 */
export function historiesOf<Change extends JournalChange | ChangeOutline>(
  parts: Iterable<StreamPart<Change>>,
  region: string,
): ReadonlyMap<string, readonly Change[]> {
  /** By region, item and sequence number. */
  const streams = new Map<string, Map<string, Map<string, Change>>>();
  for (const { region: of, changes } of parts) {
    const items = valueIn(streams, of, () => new Map<string, Map<string, Change>>());
    for (const change of changes)
      valueIn(items, itemOf(change), () => new Map<string, Change>()).set(change.seq, change);
  }
  const histories = new Map<string, Change[]>();
  for (const [item, changes] of streams.get(region) ?? []) histories.set(item, inOrder(changes));
  streams.delete(region);
  for (const items of streams.values())
    for (const [item, changes] of items) {
      const history = histories.get(item) ?? [];
      merge(history, inOrder(changes));
      if (history.length > 0) histories.set(item, history);
    }
  return histories;
}

function inOrder<Change extends JournalChange | ChangeOutline>(
  changes: ReadonlyMap<string, Change>,
): Change[] {
  return [...changes.values()].sort((a, b) => compareSequenceNumbers(a.seq, b.seq));
}

/** Into `history`, what it lacks of `changes`. */
function merge<Change extends JournalChange | ChangeOutline>(
  history: Change[],
  changes: readonly Change[],
): void {
  const known = new Set(history.map(identityOf));
  for (const change of changes) {
    const identity = identityOf(change);
    if (identity === undefined || known.has(identity)) continue;
    known.add(identity);
    const after = history.findLastIndex((it) => compareRanks(it, change) <= 0);
    history.splice(after + 1, 0, change);
  }
}

/** By the state a change is about: first what made it, last its removal, between them what was no commit. */
function compareRanks(a: JournalChange | ChangeOutline, b: JournalChange | ChangeOutline): number {
  const [x, y] = [rankOf(a), rankOf(b)];
  return x < y ? -1 : x > y ? 1 : stageOf(a) - stageOf(b);
}

/** Of changes about one state, which comes later. */
export function stageOf(change: JournalChange | ChangeOutline): number {
  if (isRemoval(change)) return 2;
  return change.before === change.commitVersion ? 1 : 0;
}

/** Commit version of the state that a change is about; '' for a control item. */
export function rankOf({ commitVersion, before }: JournalChange | ChangeOutline): Version | '' {
  return commitVersion ?? before ?? '';
}

export function isRemoval(change: JournalChange | ChangeOutline): boolean {
  return 'removed' in change ? change.removed : change.image === null;
}

function valueIn<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
