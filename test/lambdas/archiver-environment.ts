// An archiver in memory: its region's bucket and the peers', the stream's events, and what it did.
import assert from 'node:assert/strict';
import { createArchiver, type StreamEvent } from '../../lambdas/routes/archiver.ts';
import type { StoredItem } from '../../protocol/items.ts';
import { recordPk } from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import type { Version } from '../../protocol/versions.ts';
import { MemoryAudit, type TrailEntry, versionAt } from './audit-trail.ts';
import { REGIONS, Recorder } from './functions.ts';
import { Jobs } from './who-is-active.ts';

export const T = 1_800_000_000_000;

/** The record's image with these of its entries in the outbox, committed at that time. */
export function imageOf(trail: readonly TrailEntry[], commitMs: number): StoredItem {
  const last = trail.at(-1) ?? assert.fail('expected an entry');
  return {
    pk: { S: recordPk(last.entry.record) },
    sk: { S: 'STATE' },
    commitVersion: { S: versionAt(commitMs) },
    auditSequence: { N: String(last.entry.sequence) },
    auditHead: { S: last.hash },
    outbox: { L: trail.map(({ text }) => ({ S: text })) },
  };
}

function eventOf(images: readonly StoredItem[], ageMs = 0): StreamEvent {
  return {
    Records: images.map((image, index) => ({
      dynamodb: {
        SequenceNumber: String(100 + index),
        ApproximateCreationDateTime: (T - ageMs) / 1_000,
        NewImage: image,
      },
    })),
  };
}

interface Trim {
  readonly record: RecordKey;
  readonly commitVersion: Version;
  readonly outbox: readonly string[];
}

/** One environment of the primary's archiver, unless another region is said. */
export class Archiver {
  readonly own = new MemoryAudit();
  readonly standby = new MemoryAudit();
  readonly quorum = new MemoryAudit();
  readonly telemetry = new Recorder();
  readonly trims: Trim[] = [];
  routing: () => Promise<RoutingState | undefined> = async () => undefined;
  readonly jobs = new Jobs();
  trim: (trim: Trim) => Promise<boolean> = async () => true;
  status: 'open' | 'restoring' = 'open';
  waits = 0;
  run = this.restart();

  /** A new environment, which remembers nothing. */
  restart(): ReturnType<typeof createArchiver> {
    this.run = createArchiver({
      place: { stage: 'dev', role: 'primary', region: REGIONS.primary, regions: REGIONS },
      store: {
        routing: () => this.routing(),
        enterJob: this.jobs.enter,
        trim: (record, commitVersion, outbox) => {
          const trim = { record, commitVersion, outbox };
          this.trims.push(trim);
          return this.trim(trim);
        },
      },
      generation: { current: async () => ({ status: this.status, restoreEpoch: 1 }) },
      telemetry: this.telemetry,
      now: () => T,
      random: () => 0,
      wait: async () => {
        this.waits += 1;
      },
      audits: {
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
  async deliver(images: readonly StoredItem[], ageMs = 0): Promise<readonly string[]> {
    const { batchItemFailures } = await this.run(eventOf(images, ageMs));
    return batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
  }

  puts(): readonly string[] {
    return this.own.calls.filter((call) => call.startsWith('put ')).map((call) => call.slice(4));
  }
}
