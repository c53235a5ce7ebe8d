// What one region's journal lacks, and what of another's fills it (ADR 0015). Three things tell: a record's change names
// the state before it, a segment names the one its writer wrote before, and observers beat every 5 s, so that a journal
// is never quiet for long. Sizes: of one hour the outlines, and a version for every record that was changed.

import { RECORD_PK_PREFIX } from './items.ts';
import { journalHourMs, parseJournalKey } from './journal.ts';
import {
  type ChangeOutline,
  historiesOf,
  identityOf,
  isRemoval,
  type SegmentOutline,
} from './journal-history.ts';
import { HEARTBEAT_EVERY_MS } from './limits.ts';
import { clockOf, type Version } from './versions.ts';

export type JournalGap =
  /** Nothing happened for so long that something must be missing. */
  | { readonly kind: 'silence'; readonly fromMs: number; readonly toMs: number }
  /** A segment that another one names. */
  | { readonly kind: 'segment'; readonly key: string; readonly namedBy: string }
  /** A change whose outcome a later one of the same record replaced. */
  | {
      readonly kind: 'change';
      readonly pk: string;
      readonly sk: string;
      readonly commitVersion: Version;
      /** The removal of that state, and not what made it. */
      readonly removal: boolean;
      readonly namedBy: { readonly key: string; readonly seq: string };
    };

/** Sixty beats of one observer, and there are three. */
export const SILENCE_MS_MAX = 60 * HEARTBEAT_EVERY_MS;
/** By how much the clock in a commit version may differ from the stream's. */
const CLOCK_SKEW_MS_MAX = 300_000;

export interface JournalCheckOptions {
  /** Whose journal. */
  readonly region: string;
  /** From when on it should be complete, Unix ms. @default its first change */
  readonly sinceMs?: number | undefined;
  /** @default {@link SILENCE_MS_MAX} */
  readonly silenceMsMax?: number;
}

/** Looks at a journal hour by hour, in their order. */
export class JournalCheck {
  readonly #region: string;
  readonly #silenceMsMax: number;
  #sinceMs: number | undefined;
  /** Of the latest change so far. */
  #lastAtMs: number | undefined;
  readonly #silences: JournalGap[] = [];
  readonly #keys = new Set<string>();
  /** Segments named by others, with who names them. */
  readonly #named = new Map<string, string>();
  /** What each record was last known to be. */
  readonly #heads = new Map<string, { readonly version: Version; readonly removed: boolean }>();
  /** Outcomes seen in the last two hours: hours are told by each stream's own clock. */
  #seen: [Set<string>, Set<string>] = [new Set(), new Set()];
  /** Outcomes that were named and have not been seen. */
  readonly #missing = new Map<string, JournalGap>();

  constructor({ region, sinceMs, silenceMsMax = SILENCE_MS_MAX }: JournalCheckOptions) {
    this.#region = region;
    this.#sinceMs = sinceMs;
    this.#lastAtMs = sinceMs;
    this.#silenceMsMax = silenceMsMax;
  }

  /** All there is of the next hour, what was brought from others included. */
  add(outlines: readonly SegmentOutline[]): void {
    const times = outlines.flatMap(({ changes }) => changes.map(({ at }) => at)).sort((a, b) => a - b);
    this.#sinceMs ??= times[0];
    for (const at of times) this.#hear(at);
    for (const { key, region, previous } of outlines) {
      this.#keys.add(key);
      // The others' own segments stand in the others' buckets.
      if (region === this.#region && previous !== null) this.#named.set(previous, key);
    }
    this.#seen = [this.#seen[1], new Set()];
    const outlineOf = new Map(
      outlines.flatMap((outline) => outline.changes.map((change) => [change, outline] as const)),
    );
    for (const [item, history] of historiesOf(outlines, this.#region))
      if (item.startsWith(RECORD_PK_PREFIX))
        for (const change of history) {
          const outline = outlineOf.get(change);
          if (outline) this.#follow(item, change, outline);
        }
  }

  /** What is missing, as far as can be said; `untilMs`: until when the journal should have come. */
  gaps(untilMs: number): readonly JournalGap[] {
    const sinceMs = this.#sinceMs ?? untilMs;
    const silences = [...this.#silences];
    const lastAtMs = this.#lastAtMs ?? untilMs;
    if (untilMs - lastAtMs > this.#silenceMsMax)
      silences.push({ kind: 'silence', fromMs: lastAtMs, toMs: untilMs });
    const segments = [...this.#named]
      .filter(([key]) => !this.#keys.has(key))
      // Its hour may have begun before this check did, or it has expired since.
      .filter(([key]) => (journalHourMs(parseJournalKey(key)?.hour ?? '') ?? 0) >= sinceMs)
      .map(([key, namedBy]): JournalGap => ({ kind: 'segment', key, namedBy }));
    return [...silences, ...segments, ...this.#missing.values()];
  }

  #hear(atMs: number): void {
    if (this.#lastAtMs !== undefined && atMs - this.#lastAtMs > this.#silenceMsMax)
      this.#silences.push({ kind: 'silence', fromMs: this.#lastAtMs, toMs: atMs });
    this.#lastAtMs = Math.max(this.#lastAtMs ?? 0, atMs);
  }

  #follow(item: string, change: ChangeOutline, { key, region }: SegmentOutline): void {
    const { pk, sk, seq, before, commitVersion } = change;
    const namedBy = { key, seq };
    const known = this.#heads.get(item);
    const head = known?.removed ? undefined : known?.version;
    if (before !== undefined && before !== head)
      this.#expect(outcome(item, before, false), {
        kind: 'change',
        pk,
        sk,
        commitVersion: before,
        removal: false,
        namedBy,
      });
    else if (before === undefined && head !== undefined)
      this.#expect(outcome(item, head, true), {
        kind: 'change',
        pk,
        sk,
        commitVersion: head,
        removal: true,
        namedBy,
      });
    const removed = isRemoval(change);
    const version = removed ? before : commitVersion;
    if (version === undefined) return;
    const made = outcome(item, version, removed);
    this.#seen[1].add(made);
    this.#missing.delete(made);
    // What another region dated an hour later has been replaced already.
    const late =
      known &&
      region !== this.#region &&
      (version < known.version || (version === known.version && known.removed));
    if (!late) this.#heads.set(item, { version, removed });
  }

  #expect(made: string, gap: JournalGap & { kind: 'change' }): void {
    if (this.#seen.some((seen) => seen.has(made))) return;
    // A state from before the journal began is in no segment of it.
    if (!gap.removal && clockOf(gap.commitVersion).ms < (this.#sinceMs ?? 0) + CLOCK_SKEW_MS_MAX) return;
    this.#missing.set(made, gap);
  }
}

function outcome(item: string, version: Version, removal: boolean): string {
  return `${item}\n${removal ? '-' : ''}${version}`;
}

export interface FillOptions {
  /** By {@link identityOf}: whether this journal has it, in that hour or in those around it. */
  readonly knows: (identity: string) => boolean;
  /** Later changes are still on their way. Unix ms. */
  readonly untilMs: number;
  /**
   * Where replicas only follow each other, their streams differ by what replication left out, and only what is known to
   * be missing may be taken for missing. @default every change of a record
   */
  readonly fills?: (change: ChangeOutline) => boolean;
}

export interface Fill {
  readonly segment: SegmentOutline;
  /** Those that are missing; the others do no harm. */
  readonly changes: readonly ChangeOutline[];
}

/** Of another region's segments, those to be copied as they are. */
export function fillsFrom(
  peer: Iterable<SegmentOutline>,
  { knows, untilMs, fills = () => true }: FillOptions,
): readonly Fill[] {
  const found: Fill[] = [];
  for (const segment of peer) {
    const changes = segment.changes.filter((change) => {
      const identity = identityOf(change);
      return identity !== undefined && !knows(identity) && change.at <= untilMs && fills(change);
    });
    if (changes.length > 0) found.push({ segment, changes });
  }
  return found;
}

/** Whether a change may be in one of these gaps. */
export function fillerOf(gaps: readonly JournalGap[]): (change: ChangeOutline) => boolean {
  const outcomes = new Set<string>();
  const spans: { readonly fromMs: number; readonly toMs: number }[] = [];
  for (const gap of gaps)
    if (gap.kind === 'change') outcomes.add(outcome(`${gap.pk}\n${gap.sk}`, gap.commitVersion, gap.removal));
    else if (gap.kind === 'silence') spans.push(gap);
    else {
      const fromMs = journalHourMs(parseJournalKey(gap.key)?.hour ?? '');
      if (fromMs !== undefined) spans.push({ fromMs, toMs: fromMs + HOUR_MS });
    }
  return (change) => {
    const removal = isRemoval(change);
    const version = removal ? change.before : change.commitVersion;
    if (version !== undefined && outcomes.has(outcome(`${change.pk}\n${change.sk}`, version, removal)))
      return true;
    return spans.some(
      ({ fromMs, toMs }) => change.at >= fromMs - CLOCK_SKEW_MS_MAX && change.at <= toMs + CLOCK_SKEW_MS_MAX,
    );
  };
}

const HOUR_MS = 3_600_000;
