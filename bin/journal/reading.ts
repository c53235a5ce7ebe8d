// An hour of a journal as its bucket holds it: what every segment says, without images, and those that are damaged.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import {
  JOURNAL_PARKED_PREFIX,
  JOURNAL_PREFIX,
  journalHourMs,
  parseSegment,
  type Segment,
} from '../../protocol/journal.ts';
import { outlineOf, type SegmentOutline } from '../../protocol/journal-history.ts';
import type { JournalPlace } from './places.ts';

export interface JournalHour {
  readonly hour: string;
  readonly segments: readonly SegmentOutline[];
  /** With what is wrong with each. */
  readonly damaged: readonly { readonly key: string; readonly why: string }[];
}

const SEGMENTS_AT_ONCE = 16;
/** A batch of 6 MB, a few times over: what expands to more was not written by a journal. */
const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;

const expand = promisify(gunzip);

export function sha256Of(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/** Hours there is anything of, in order. */
export async function hoursOf(place: JournalPlace): Promise<readonly string[]> {
  return await hoursUnder(place, JOURNAL_PREFIX);
}

/** Hours that something of is parked in. */
export async function parkedHoursOf(place: JournalPlace): Promise<readonly string[]> {
  return await hoursUnder(place, JOURNAL_PARKED_PREFIX);
}

async function hoursUnder(place: JournalPlace, prefix: string): Promise<readonly string[]> {
  const folders = await Array.fromAsync(place.folders(prefix));
  return folders
    .map((folder) => folder.slice(prefix.length, -1))
    .filter((hour) => journalHourMs(hour) !== undefined);
}

export async function readHour(place: JournalPlace, hour: string): Promise<JournalHour> {
  const segments: SegmentOutline[] = [];
  const damaged: { readonly key: string; readonly why: string }[] = [];
  const keys = await Array.fromAsync(place.keys(`${JOURNAL_PREFIX}${hour}/`));
  const waiting = keys.values();
  await Promise.all(
    Array.from({ length: Math.min(SEGMENTS_AT_ONCE, keys.length) }, async () => {
      for (const key of waiting) {
        const read = await readSegment(place, key);
        if (typeof read === 'string') damaged.push({ key, why: read });
        else segments.push(read);
      }
    }),
  );
  const inOrder = (a: { readonly key: string }, b: { readonly key: string }) => (a.key < b.key ? -1 : 1);
  return { hour, segments: segments.sort(inOrder), damaged: damaged.sort(inOrder) };
}

/** The segment's outline, or what is wrong with it. Throws when the bucket does not answer. */
async function readSegment(place: JournalPlace, key: string): Promise<SegmentOutline | string> {
  const content = await place.content(key);
  if (content === undefined) return 'it was listed and is not there';
  return await outlined(key, content);
}

/** What a content says as the segment of that key, or what is wrong with it. */
export async function outlined(key: string, content: Uint8Array): Promise<SegmentOutline | string> {
  const segment = await segmentIn(key, content);
  return typeof segment === 'string' ? segment : outlineOf(key, segment);
}

/** As {@link outlined}, with images. */
export async function segmentIn(key: string, content: Uint8Array): Promise<Segment | string> {
  try {
    const text = await expand(content, { maxOutputLength: SEGMENT_BYTES_MAX });
    return parseSegment(key, text.toString('utf8'), sha256Of);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
