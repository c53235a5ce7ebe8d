// One batch of a replica's stream into this region's audit bucket (PROTOCOL 4.3). An entry goes first, then the losing
// payload it only names; what failed comes back in the batch's answer, and the stream delivers it again. Only then,
// and only where the service is active, does the item's outbox lose what was archived.
import type { DynamoDBBatchResponse } from 'aws-lambda';
import { type AuditEntry, auditKey, lostElsewhere } from '../../protocol/audit.ts';
import { recordPk, type StoredItem } from '../../protocol/items.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { mapAtOnce } from '../at-once.ts';
import type { AuditRegions } from '../audit-regions.ts';
import {
  type Archivable,
  archivableOf,
  linkBefore,
  parseEntry,
  RecentKeys,
  unseenHeadOf,
} from '../core/archiving.ts';
import { enterJob } from '../fence.ts';
import { copyPayload, createGapFiller } from '../gaps.ts';
import type { GenerationCopy } from '../generation.ts';
import type { Service } from '../service.ts';
import { type Store, StoreUnavailableError } from '../store/store.ts';

/** Of DynamoDB Streams' event, what an archiver reads. */
export interface StreamEvent {
  readonly Records: readonly {
    readonly dynamodb?: {
      readonly SequenceNumber?: string;
      /** Unix seconds. */
      readonly ApproximateCreationDateTime?: number;
      readonly OldImage?: StoredItem;
      readonly NewImage?: StoredItem;
    };
  }[];
}

export interface ArchiverParts extends Pick<Service, 'place' | 'telemetry' | 'now' | 'random' | 'wait'> {
  readonly store: Pick<Store, 'routing' | 'enterJob' | 'trim'>;
  readonly generation: Pick<GenerationCopy, 'current'>;
  readonly audits: AuditRegions;
}

/** Records of a batch worked on at once; entries of one record go in turn. */
const RECORDS_AT_ONCE = 8;
/** Keys remembered as archived, about 200 bytes each. */
const RECENT_MAX = 20_000;
const TRIM_ATTEMPTS_MAX = 3;
const TRIM_BACKOFF_MS_MAX = 200;
/** How old a stream's record may be and still wait for a losing payload of another region. After that a region that
 * is gone must not hold up every later entry here; `npm run audit -- fill` brings what is missing. */
const PAYLOAD_PATIENCE_MS = 15 * 60_000;

interface Delivered extends Archivable {
  readonly sequenceNumber: string;
  /** Unix ms; undefined where the stream did not say. */
  readonly atMs: number | undefined;
}

export function createArchiver(parts: ArchiverParts) {
  const { store, place, generation, telemetry, now, random, wait, audits } = parts;
  const { region } = place;
  const recent = new RecentKeys(RECENT_MAX);
  const gaps = createGapFiller({ region, audits, telemetry, recent });

  /** Returns how many entries went into the bucket. */
  async function archive(image: Delivered): Promise<number> {
    const { record, entries } = image;
    let archived = 0;
    for (const { sequence, hash, text } of entries) {
      const key = auditKey(record, sequence, hash);
      if (recent.has(key)) continue;
      await audits.own.archive(record, sequence, hash, text);
      archived += 1;
      const entry = parseEntry(text);
      if (!entry) telemetry.warn('archived what is no audit entry', { key });
      else {
        await bringPayload(entry, image);
        const before = linkBefore({ ...entry, record, sequence });
        if (before) gaps.suspect(before);
      }
      recent.add(key);
    }
    return archived;
  }

  async function bringPayload(entry: AuditEntry, { record, atMs = now() }: Delivered): Promise<void> {
    const sha256 = lostElsewhere(entry);
    if (sha256 === undefined) return;
    try {
      await copyPayload(audits, entry.region, record.tenant, sha256);
    } catch (error) {
      if (now() - atMs <= PAYLOAD_PATIENCE_MS) throw error;
      telemetry.error('a losing payload stays where it was put', error, { from: entry.region, sha256 });
      telemetry.measure([{ name: METRICS.auditFailures, value: 1 }]);
    }
  }

  /** Asked once an invocation: trimming where another region is active now does no harm, since each archives for itself. */
  async function mayTrim(): Promise<boolean> {
    try {
      return (await enterJob({ store, place, now }, 'trim')).entered;
    } catch (error) {
      telemetry.warn('outboxes stay as they are: who is active cannot be read', { why: String(error) });
      return false;
    }
  }

  /** What is not trimmed now is trimmed with the record's next image, by the writer that finds the outbox full, or by
   * the sweeper; so trouble here holds nothing up. */
  async function trim({ record, commitVersion }: Archivable): Promise<void> {
    for (let tried = 1; ; tried += 1)
      try {
        if ((await generation.current())?.status !== 'open') return;
        await store.trim(record, commitVersion, []);
        return;
      } catch (error) {
        const again = error instanceof StoreUnavailableError && error.retryable && tried < TRIM_ATTEMPTS_MAX;
        if (!again) {
          telemetry.warn('an outbox could not be trimmed', { record: recordPk(record), why: String(error) });
          return;
        }
        await wait(random() * TRIM_BACKOFF_MS_MAX);
      }
  }

  return async (event: StreamEvent): Promise<DynamoDBBatchResponse> => {
    const failed: string[] = [];
    let archived = 0;
    let trims: Promise<boolean> | undefined;

    async function archiveRecord(images: readonly Delivered[]): Promise<void> {
      for (const image of images) {
        try {
          archived += await archive(image);
        } catch (error) {
          telemetry.error('an audit entry could not be archived', error, { record: recordPk(image.record) });
          failed.push(image.sequenceNumber);
          return;
        }
      }
      // An earlier image is stale by its commit version.
      const last = images.at(-1);
      trims ??= mayTrim();
      if (last && (await trims)) await trim(last);
    }

    await mapAtOnce(RECORDS_AT_ONCE, imagesByRecord(event), archiveRecord);
    for (const { dynamodb } of event.Records) {
      const head = unseenHeadOf(dynamodb?.OldImage, dynamodb?.NewImage);
      if (head) gaps.suspect(head);
    }
    await gaps.fill();
    telemetry.measure([
      { name: METRICS.auditArchived, value: archived },
      { name: METRICS.auditFailures, value: failed.length },
    ]);
    return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
  };
}

/** Each record's images in the stream's order. */
function imagesByRecord(event: StreamEvent): readonly (readonly Delivered[])[] {
  const byRecord = new Map<string, Delivered[]>();
  for (const { dynamodb } of event.Records) {
    const archivable = archivableOf(dynamodb?.NewImage);
    if (!archivable || dynamodb?.SequenceNumber === undefined) continue;
    const pk = recordPk(archivable.record);
    const images = byRecord.get(pk) ?? [];
    const seconds = dynamodb.ApproximateCreationDateTime;
    images.push({
      ...archivable,
      sequenceNumber: dynamodb.SequenceNumber,
      atMs: seconds === undefined ? undefined : seconds * 1_000,
    });
    byRecord.set(pk, images);
  }
  return [...byRecord.values()];
}
