// Brings into one region's journal what it lacks: first what was parked elsewhere because its bucket would not take it,
// then what another region's journal has. Segments are copied as they are and held to their hash before.
import { JOURNAL_PARKED_PREFIX, parseJournalKey, unparkedKey } from '../../protocol/journal.ts';
import type { JournalPlace } from './places.ts';
import { outlined, parkedHoursOf } from './reading.ts';
import type { Lacking } from './verify.ts';

export interface Parked {
  readonly from: JournalPlace;
  readonly key: string;
  /** Where it belongs; undefined for a stream record that could not be read as a change. */
  readonly home: string | undefined;
}

/** Of one region's journal, what is parked anywhere and not back yet. */
export async function parkedOf(
  place: JournalPlace,
  everywhere: readonly JournalPlace[],
): Promise<readonly Parked[]> {
  const found: Parked[] = [];
  for (const from of everywhere)
    for (const hour of await parkedHoursOf(from))
      for await (const key of from.keys(`${JOURNAL_PARKED_PREFIX}${hour}/`)) {
        const home = unparkedKey(key);
        const isOfPlace =
          home === undefined
            ? key.slice(key.lastIndexOf('/') + 1).startsWith(`${place.region}-`)
            : parseJournalKey(home)?.region === place.region;
        if (!isOfPlace) continue;
        if (home !== undefined && (await place.content(home)) !== undefined) continue;
        found.push({ from, key, home });
      }
  return found;
}

export interface FillReport {
  readonly copied: number;
  /** Keys whose copy is not whole, with why. */
  readonly damaged: readonly { readonly key: string; readonly why: string }[];
}

/** Brings parked segments home. */
export async function bringHome(place: JournalPlace, parked: readonly Parked[]): Promise<FillReport> {
  return await copyAll(
    place,
    parked.flatMap(({ from, key, home }) => (home === undefined ? [] : { from, key, to: home })),
  );
}

/** Copies what the others have. */
export async function fillJournal(place: JournalPlace, lacking: readonly Lacking[]): Promise<FillReport> {
  return await copyAll(
    place,
    lacking.map(({ from, segment: { key } }) => ({ from, key, to: key })),
  );
}

async function copyAll(
  place: JournalPlace,
  copies: readonly { readonly from: JournalPlace; readonly key: string; readonly to: string }[],
): Promise<FillReport> {
  const damaged: { readonly key: string; readonly why: string }[] = [];
  let copied = 0;
  for (const { from, key, to } of copies) {
    const content = await from.content(key);
    const read = content === undefined ? 'it is not there any more' : await outlined(to, content);
    if (content === undefined || typeof read === 'string') {
      damaged.push({ key: `${from.region} ${key}`, why: String(read) });
      continue;
    }
    await place.put(to, content);
    copied += 1;
  }
  return { copied, damaged };
}
