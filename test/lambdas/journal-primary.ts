// One region's journal on buckets in memory, with a clock of its own.

import type { StreamedChange } from '../../lambdas/core/journaling.ts';
import { createJournal } from '../../lambdas/journal.ts';
import type { JournalChange } from '../../protocol/journal.ts';
import { itemOf } from '../../protocol/journal-history.ts';
import { REGIONS, Recorder } from './functions.ts';
import { historyIn, MemoryBucket, segmentsIn } from './journal-world.ts';

/** The primary's journal. */
export class JournalWorld {
  readonly own = new MemoryBucket();
  readonly standby = new MemoryBucket();
  readonly quorum = new MemoryBucket();
  readonly telemetry = new Recorder();
  nowMs: number;
  waits = 0;
  #environments = 0;
  run: ReturnType<typeof createJournal>;

  constructor(nowMs: number) {
    this.nowMs = nowMs;
    this.run = this.restart();
  }

  /** A new environment, which remembers nothing. */
  restart(): ReturnType<typeof createJournal> {
    this.#environments += 1;
    this.run = createJournal({
      place: { stage: 'dev', role: 'primary', region: REGIONS.primary, regions: REGIONS },
      telemetry: this.telemetry,
      now: () => this.nowMs,
      random: () => 0,
      wait: async () => {
        this.waits += 1;
      },
      writer: `w${this.#environments}`,
      journals: {
        own: this.own,
        peers: new Map([
          [REGIONS.standby, this.standby],
          [REGIONS.quorum, this.quorum],
        ]),
      },
    });
    return this.run;
  }

  /** What the batch's answer says failed. */
  async deliver(records: readonly StreamedChange[]): Promise<readonly string[]> {
    const { batchItemFailures } = await this.run({ Records: records });
    return batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
  }

  keys(): readonly string[] {
    return [...this.own.objects.keys()];
  }

  history() {
    return historyIn(segmentsIn(this.own, this.standby, this.quorum), REGIONS.primary);
  }
}

/** Every item's changes, as they should be read back. */
export const truthOf = (changes: readonly JournalChange[]) => [...Map.groupBy(changes, itemOf)].sort();
export const readBack = (world: JournalWorld) => [...world.history()].sort();
