// Each region's stream of the table, as far as archivers read it: what the region's replica applied, in order per
// record, delivered again while it fails, and gone after 24 hours.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
import type { StreamEvent } from '../../lambdas/routes/archiver.ts';
import { ATTRIBUTES } from '../../protocol/items.ts';
import type { Dice } from './dice.ts';
import { ALL_REGIONS } from './functions.ts';
import type { Scheduler } from './scheduler.ts';
import type { Entry, Table } from './table.ts';

export interface StreamsParts {
  readonly scheduler: Scheduler;
  readonly table: Table;
  readonly dice: Dice;
  /** Resolves to the records that failed, each by its sequence number. */
  readonly archive: (
    region: string,
    event: StreamEvent,
  ) => Promise<{ readonly batchItemFailures: readonly object[] }>;
}

const RETENTION_MS = 86_400_000;
const BATCH_MAX = 20;
const DELAY_MS = [50, 3_000] as const;
const RETRY_MS = [500, 5_000] as const;

export class Streams {
  readonly #parts: StreamsParts;
  readonly #waiting = new Map<string, Entry[]>(ALL_REGIONS.map((region) => [region, []]));
  readonly #busy = new Set<string>();
  /** By entry of the log: in how many regions no archiver read it in time. */
  readonly expired = new Map<number, number>();
  /** Archivers do not run: what waits grows old. */
  stopped = false;

  constructor(parts: StreamsParts) {
    this.#parts = parts;
  }

  get pending(): number {
    return [...this.#waiting.values()].reduce((sum, entries) => sum + entries.length, 0);
  }

  take(entry: Entry): void {
    if (entry.after?.[ATTRIBUTES.outbox] === undefined) return;
    for (const [region, entries] of this.#waiting) {
      entries.push(entry);
      this.#wake(region, this.#parts.dice.between(...DELAY_MS));
    }
  }

  /** Delivers again after a stop, or a cut. */
  resume(): void {
    this.stopped = false;
    for (const region of ALL_REGIONS) this.#wake(region, 0);
  }

  #wake(region: string, delayMs: number): void {
    if (this.#busy.has(region) || this.stopped) return;
    this.#busy.add(region);
    this.#parts.scheduler.after(delayMs, () => void this.#deliver(region));
  }

  async #deliver(region: string): Promise<void> {
    const { scheduler, table, dice, archive } = this.#parts;
    const entries = this.#waiting.get(region) as Entry[];
    const { nowMs } = scheduler;
    const fresh = entries.findIndex(({ atMs }) => nowMs - atMs <= RETENTION_MS);
    for (const { index } of entries.splice(0, fresh === -1 ? entries.length : fresh))
      this.expired.set(index, (this.expired.get(index) ?? 0) + 1);
    const ready = entries.findIndex((entry) => (entry.copied.get(region) as number) > nowMs);
    const batch = entries.slice(0, ready === -1 ? BATCH_MAX : Math.min(ready, BATCH_MAX));
    let failed = true;
    if (batch.length > 0 && table.reachesMajority(region) && !this.stopped) {
      const { batchItemFailures } = await archive(region, eventOf(batch));
      failed = batchItemFailures.length > 0;
      if (!failed) entries.splice(0, batch.length);
    }
    this.#busy.delete(region);
    const [low, high] = failed ? RETRY_MS : DELAY_MS;
    if (entries.length > 0) this.#wake(region, dice.between(low, high));
  }
}

function eventOf(entries: readonly Entry[]): StreamEvent {
  return {
    Records: entries.map(({ index, atMs, after }) => ({
      dynamodb: {
        SequenceNumber: String(index),
        ApproximateCreationDateTime: Math.floor(atMs / 1_000),
        ...(after && { NewImage: after as Record<string, { readonly S?: string }> }),
      },
    })),
  };
}
