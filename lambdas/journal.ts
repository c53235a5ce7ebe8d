// A batch of the stream into the region's own journal (DESIGN §6, ADR 0015). A segment that its bucket does not take is
// tried again, then given back to the stream, and once its changes are too old to wait it is parked in another region's
// bucket. Only when no bucket takes it does the stream stand still. Nothing is ever passed over.
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { DynamoDBBatchResponse } from 'aws-lambda';
import { type JournalChange, parkedKey, poisonKey, sealSegment } from '../protocol/journal.ts';
import { METRICS } from '../protocol/metrics.ts';
import { sha256Of } from './core/canonical.ts';
import { type Poison, planJournal, type StreamedChange } from './core/journaling.ts';
import type { Service } from './service.ts';
import type { JournalStore } from './store/journal-store.ts';
import { StoreUnavailableError } from './store/store.ts';

export interface JournalEvent {
  readonly Records: readonly StreamedChange[];
}

/** The backup buckets of all regions, seen from one. */
export interface JournalRegions {
  readonly own: JournalStore;
  /** By region, without its own. */
  readonly peers: ReadonlyMap<string, JournalStore>;
}

export interface JournalParts extends Pick<Service, 'place' | 'telemetry' | 'now' | 'random' | 'wait'> {
  readonly journals: JournalRegions;
  /** Names this environment in the segments it writes. */
  readonly writer: string;
}

/** Of one put; with the pauses between, and the others' buckets after it, well within the function's time. */
const ATTEMPTS_MAX = 4;
const BACKOFF_MS_MAX = 200;
/** From then on a segment is parked: whoever waits longer is woken anyway (config/promises.ts, JOURNAL_LAG_MS_MAX), and
 * what waits behind it in its shard, audit entries too, has waited as long. */
const PARK_AFTER_MS = 60_000;

const compressed = promisify(gzip);

export function createJournal(parts: JournalParts): (event: JournalEvent) => Promise<DynamoDBBatchResponse> {
  const { place, telemetry, now, random, wait, journals, writer } = parts;
  const { region } = place;
  /** Of the segment written last. */
  let previous: string | null = null;

  async function put(store: JournalStore, key: string, content: Uint8Array | string): Promise<void> {
    for (let tried = 1; ; tried += 1)
      try {
        await store.put(key, content);
        return;
      } catch (error) {
        const again = error instanceof StoreUnavailableError && error.retryable && tried < ATTEMPTS_MAX;
        if (!again) throw error;
        await wait(random() * BACKOFF_MS_MAX * 2 ** tried);
      }
  }

  /** Returns whose bucket took it. Each is asked once: there is another, or the stream tries again. */
  async function park(
    buckets: ReadonlyMap<string, JournalStore>,
    key: string,
    content: Uint8Array | string,
  ): Promise<string> {
    let failure: unknown;
    for (const [at, store] of buckets)
      try {
        await store.put(key, content);
        return at;
      } catch (error) {
        failure = error;
      }
    throw new Error(`no bucket of ${[...buckets.keys()].join(', ')} takes ${key}`, { cause: failure });
  }

  /** Returns whether it had to be parked. */
  async function write(changes: readonly JournalChange[]): Promise<boolean> {
    const { key, text } = sealSegment(changes, { region, writer, previous }, sha256Of);
    const content = await compressed(text);
    let parked = false;
    try {
      await put(journals.own, key, content);
    } catch (error) {
      const oldestMs = Math.min(...changes.map(({ at }) => at));
      if (now() - oldestMs < PARK_AFTER_MS) throw error;
      const at = await park(journals.peers, parkedKey(key), content);
      telemetry.error('a journal segment is parked', error, { key, at });
      parked = true;
    }
    previous = key;
    return parked;
  }

  async function setApart({ text, atMs = now(), why, sequenceNumber = 'none' }: Poison): Promise<void> {
    const key = poisonKey(atMs, region, sha256Of(text));
    const at = await park(new Map([[region, journals.own], ...journals.peers]), key, text);
    telemetry.error('a stream record is no change', new Error(why), { key, at, sequenceNumber });
  }

  return async ({ Records: records }) => {
    const { segments, poison, oldestMs } = planJournal(records);
    const failed: (string | undefined)[] = [];
    let parked = 0;
    for (const changes of segments)
      try {
        if (await write(changes)) parked += 1;
      } catch (error) {
        const first = changes[0]?.seq;
        telemetry.error('a journal segment could not be written', error, { first: String(first) });
        failed.push(first);
      }
    for (const each of poison)
      try {
        await setApart(each);
        parked += 1;
      } catch (error) {
        telemetry.error('a stream record that is no change could not be parked', error, { why: each.why });
        failed.push(each.sequenceNumber);
      }
    // Also of what failed, or was here before: of what waits behind it in the stream nothing is known but that it is later.
    if (oldestMs !== undefined)
      telemetry.measure([
        { name: METRICS.journalLag, value: Math.max(0, now() - oldestMs), unit: 'Milliseconds' },
        { name: METRICS.journalParked, value: parked },
      ]);
    // Without a number there is no other way to give it back than with everything it came with.
    if (failed.includes(undefined))
      throw new Error('a stream record without a sequence number is not parked');
    return { batchItemFailures: failed.flatMap((it) => (it === undefined ? [] : { itemIdentifier: it })) };
  };
}

/**
 * Readers that know nothing of each other: each gets every batch whole, whatever becomes of the others, and what any of
 * them could not do is delivered to all of them again. So the stream's checkpoint moves behind all of them only.
 */
export function apart<Event>(
  ...readers: readonly ((event: Event) => Promise<DynamoDBBatchResponse>)[]
): (event: Event) => Promise<DynamoDBBatchResponse> {
  return async (event) => {
    const outcomes = await Promise.allSettled(readers.map((read) => read(event)));
    const failed = new Set<string>();
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason;
      for (const { itemIdentifier } of outcome.value.batchItemFailures) failed.add(itemIdentifier);
    }
    return { batchItemFailures: [...failed].map((itemIdentifier) => ({ itemIdentifier })) };
  };
}
