// A journal as its bucket holds it, segment by segment, in as much memory as a few of them take.
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { parseSegment, type Segment } from '../protocol/journal.ts';
import { sha256Of } from './core/canonical.ts';
import type { BackupStore } from './store/backup-store.ts';

/** A backup bucket, to be read. */
export type JournalSource = Pick<BackupStore, 'keys' | 'file'>;

/** A segment as it stands under its key. */
export interface ReadSegment {
  readonly key: string;
  readonly content: Uint8Array;
  /** What is wrong with it, when it is a text. */
  readonly read: Segment | string;
}

const SEGMENTS_AT_ONCE = 16;
/** A batch of 6 MB, a few times over: what expands to more was not written by a journal. */
const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;

const expand = promisify(gunzip);

/** All of them. @throws {StoreUnavailableError} */
export async function keysUnder(source: JournalSource, prefix: string): Promise<readonly string[]> {
  const all: string[] = [];
  for (;;) {
    const { keys, more } = await source.keys(prefix, all.at(-1));
    all.push(...keys);
    if (!more || keys.length === 0) return all;
  }
}

/**
 * Several at once, in no order. `keyOf`: the key that a segment is held to, where it stands under another.
 * @returns whether all were read before time was up
 * @throws {StoreUnavailableError}
 */
export async function eachSegment(
  source: JournalSource,
  keys: readonly string[],
  isTimeUp: () => boolean,
  act: (segment: ReadSegment) => Promise<void> | void,
  keyOf: (key: string) => string = (key) => key,
): Promise<boolean> {
  const waiting = keys.values();
  let inTime = true;
  const lanes = Array.from({ length: Math.min(SEGMENTS_AT_ONCE, keys.length) }, async () => {
    for (const key of waiting) {
      if (isTimeUp()) inTime = false;
      if (!inTime) return;
      const content = await contentOf(source, key);
      // Listed, and expired since.
      if (content) await act({ key, content, read: await segmentIn(keyOf(key), content) });
    }
  });
  await Promise.all(lanes);
  return inTime;
}

async function contentOf(source: JournalSource, key: string): Promise<Uint8Array | undefined> {
  const bytes = await source.file(key);
  return bytes && Buffer.concat(await Array.fromAsync(bytes));
}

async function segmentIn(key: string, content: Uint8Array): Promise<Segment | string> {
  try {
    const text = await expand(content, { maxOutputLength: SEGMENT_BYTES_MAX });
    return parseSegment(key, text.toString('utf8'), sha256Of);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
