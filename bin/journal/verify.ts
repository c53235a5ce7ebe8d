// Whether one region's journal holds every change: by its own word, and against what the other regions' journals hold
// (ADR 0015). Goes through it hour by hour, so that its length is no limit.
import { journalHour, journalHourMs } from '../../protocol/journal.ts';
import { fillerOf, fillsFrom, JournalCheck, type JournalGap } from '../../protocol/journal-gaps.ts';
import { type ChangeOutline, identityOf, type SegmentOutline } from '../../protocol/journal-history.ts';
import type { JournalPlace } from './places.ts';
import { hoursOf, type JournalHour, readHour } from './reading.ts';

export interface VerifyOptions {
  readonly place: JournalPlace;
  readonly peers: readonly JournalPlace[];
  /** Whether every region's stream says the same; otherwise each leaves out what replication did. */
  readonly alike: boolean;
  /** The first hour looked at. @default the first there is */
  readonly since?: string | undefined;
  /** Until when changes should have come, Unix ms. */
  readonly untilMs: number;
  /** Whether all the others answer. Otherwise nobody can say that nothing is missing. */
  readonly comparable: boolean;
}

/** What of another region's journal this one lacks. */
export interface Lacking {
  readonly from: JournalPlace;
  readonly segment: SegmentOutline;
  readonly changes: readonly ChangeOutline[];
}

export interface JournalReport {
  readonly region: string;
  readonly hours: number;
  readonly segments: number;
  readonly changes: number;
  readonly damaged: JournalHour['damaged'];
  readonly gaps: readonly JournalGap[];
  readonly lacking: readonly Lacking[];
  readonly isWhole: boolean;
}

const HOUR_MS = 3_600_000;

export async function verifyJournal(options: VerifyOptions): Promise<JournalReport> {
  const { place, peers, alike, comparable } = options;
  const own = await ownSide(options);
  // Where streams differ, only what is missing for sure may be asked of the others.
  const lacking = await lackingIn(options, alike ? undefined : fillerOf(own.gaps));
  // With all of theirs here, a silence was quiet, and a segment that is gone or damaged takes nothing with it.
  const complete = comparable && peers.length > 0 && lacking.length === 0;
  const gaps = complete ? own.gaps.filter(({ kind }) => kind === 'change') : own.gaps;
  return {
    region: place.region,
    ...own,
    gaps,
    lacking,
    isWhole: gaps.length === 0 && lacking.length === 0 && (complete || own.damaged.length === 0),
  };
}

async function ownSide({ place, since, untilMs }: VerifyOptions) {
  const hours = (await hoursOf(place)).filter((hour) => hour <= journalHour(untilMs));
  const begun = since !== undefined && hours.some((hour) => hour < since);
  const check = new JournalCheck({
    region: place.region,
    sinceMs: begun ? journalHourMs(since) : undefined,
  });
  const looked = hours.filter((hour) => since === undefined || hour >= since);
  const damaged: JournalHour['damaged'][number][] = [];
  let [segments, changes] = [0, 0];
  for (const hour of looked) {
    const read = await readHour(place, hour);
    check.add(read.segments);
    damaged.push(...read.damaged);
    segments += read.segments.length;
    changes += read.segments.reduce((sum, it) => sum + it.changes.length, 0);
  }
  return { hours: looked.length, segments, changes, damaged, gaps: check.gaps(untilMs) };
}

/** Against each of the others, hour by hour. */
async function lackingIn(
  { place, peers, since, untilMs }: VerifyOptions,
  fills: ((change: ChangeOutline) => boolean) | undefined,
): Promise<readonly Lacking[]> {
  const found: Lacking[] = [];
  /** What is found in one of the others is not looked for in the next. */
  const brought = new Set<string>();
  const hours = await Promise.all(peers.map(hoursOf));
  const all = [...new Set(hours.flat())].filter((hour) => since === undefined || hour >= since).sort();
  const known = new KnownAround(place);
  for (const hour of all)
    for (const [index, from] of peers.entries()) {
      if (!hours[index]?.includes(hour)) continue;
      const { segments } = await readHour(from, hour);
      const here = await known.around(hour);
      const knows = (identity: string) => brought.has(identity) || here(identity);
      const options = { knows, untilMs, ...(fills ? { fills } : {}) };
      for (const { segment, changes } of fillsFrom(segments, options)) {
        found.push({ from, segment, changes });
        for (const change of segment.changes) brought.add(identityOf(change) ?? '');
      }
    }
  return found;
}

/** What a journal has of an hour and of those beside it: each stream tells hours by a clock of its own. */
class KnownAround {
  readonly #place: JournalPlace;
  readonly #hours = new Map<number, ReadonlySet<string>>();

  constructor(place: JournalPlace) {
    this.#place = place;
  }

  async around(hour: string): Promise<(identity: string) => boolean> {
    const ms = journalHourMs(hour) ?? 0;
    for (const known of this.#hours.keys()) if (known < ms - HOUR_MS) this.#hours.delete(known);
    const sets: ReadonlySet<string>[] = [];
    for (const at of [ms - HOUR_MS, ms, ms + HOUR_MS]) sets.push(await this.#of(at));
    return (identity) => sets.some((known) => known.has(identity));
  }

  async #of(ms: number): Promise<ReadonlySet<string>> {
    const held = this.#hours.get(ms);
    if (held) return held;
    const { segments } = await readHour(this.#place, journalHour(ms));
    const known = new Set(segments.flatMap(({ changes }) => changes.flatMap((it) => identityOf(it) ?? [])));
    this.#hours.set(ms, known);
    return known;
  }
}
