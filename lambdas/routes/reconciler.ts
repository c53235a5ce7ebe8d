// One batch of a replica's stream, where the replicas only follow each other (docs/GOVCLOUD.md): what replication
// dropped here is taken up again, what came too late for readers is stamped again. What failed comes back in the
// batch's answer, and the stream delivers it again; a change that was put right before is found to be so.
import type { DynamoDBBatchResponse } from 'aws-lambda';
import { recordKeyOf, recordPk } from '../../protocol/items.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { outboxEntries } from '../core/audit.ts';
import { type Change, type Concern, concernOf, type Plan, planFor } from '../core/reconciling.ts';
import type { AuditState, StoredRecord } from '../core/record.ts';
import type { GenerationCopy } from '../generation.ts';
import type { Service } from '../service.ts';
import type { AuditStore } from '../store/audit-store.ts';
import type { ReconcilingStore } from '../store/reconciling-store.ts';
import { recordOf } from '../store/record-items.ts';
import { StoreUnavailableError } from '../store/store.ts';
import type { Item } from '../store/update-draft.ts';

/** Of DynamoDB Streams' event, what a reconciler reads. */
export interface ChangeEvent {
  readonly Records: readonly {
    readonly dynamodb?: {
      readonly SequenceNumber?: string;
      /** Unix seconds. */
      readonly ApproximateCreationDateTime?: number;
      readonly OldImage?: Item;
      readonly NewImage?: Item;
    };
  }[];
}

export interface ReconcilerParts
  extends Pick<Service, 'place' | 'commits' | 'telemetry' | 'now' | 'random' | 'wait'> {
  readonly store: ReconcilingStore;
  readonly generation: Pick<GenerationCopy, 'current'>;
  /** The own region's. */
  readonly audit: Pick<AuditStore, 'archive' | 'putPayload'>;
}

/** Of one change: a write that another one beat is planned anew. */
const ATTEMPTS_MAX = 6;
const BACKOFF_MS_MAX = 200;

interface Delivered extends Change {
  readonly sequenceNumber: string;
}

export function createReconciler(parts: ReconcilerParts) {
  const { place, telemetry, generation } = parts;

  /** One after the other: changes of a record must be, and there are few that need anything. */
  async function putRight(changes: readonly Delivered[]): Promise<{ done: number; failed: string[] }> {
    const failed: string[] = [];
    let done = 0;
    const open = await openGeneration();
    for (const change of changes)
      try {
        // The restore is not over: what it writes cannot be told from what it replaces.
        if (!open) throw new Error('the table is not open');
        const concern = concernOf(change, place.region, open.restoreEpoch);
        if (concern && (await reconcile(change, concern, parts))) done += 1;
      } catch (error) {
        telemetry.error('a record could not be reconciled', error, { record: recordPk(change.key) });
        failed.push(change.sequenceNumber);
        // The stream delivers everything from here on again.
        break;
      }
    return { done, failed };
  }

  async function openGeneration(): Promise<{ readonly restoreEpoch: number } | undefined> {
    try {
      const current = await generation.current();
      return current?.status === 'open' ? current : undefined;
    } catch (error) {
      telemetry.warn('whether the table is open cannot be read', { why: String(error) });
      return undefined;
    }
  }

  return async (event: ChangeEvent): Promise<DynamoDBBatchResponse> => {
    const concerning = changesIn(event, parts).filter((change) => concernOf(change, place.region, 0));
    const { done, failed } =
      concerning.length > 0 ? await putRight(concerning) : { done: 0, failed: [] as string[] };
    telemetry.measure([
      { name: METRICS.reconciled, value: done },
      { name: METRICS.reconcileFailures, value: failed.length },
    ]);
    return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
  };
}

function changesIn(event: ChangeEvent, { telemetry, now }: ReconcilerParts): readonly Delivered[] {
  return event.Records.flatMap(({ dynamodb }) => {
    const { SequenceNumber: sequenceNumber, OldImage: old, NewImage: fresh } = dynamodb ?? {};
    const key = recordKeyOf((fresh ?? old)?.['pk']?.S ?? '');
    if (!key || sequenceNumber === undefined) return [];
    const seconds = dynamodb?.ApproximateCreationDateTime;
    // It is cut to whole seconds: too early, a change right after a restore would be taken for one before it.
    const atMs = seconds === undefined ? now() : seconds * 1_000 + 999;
    try {
      return [{ key, sequenceNumber, atMs, before: old && recordOf(old), after: fresh && recordOf(fresh) }];
    } catch (error) {
      // Delivered again it would be the same.
      telemetry.error('an image is no record of ours', error, { record: recordPk(key) });
      return [];
    }
  });
}

/** Returns whether something was written. */
async function reconcile(change: Change, concern: Concern, parts: ReconcilerParts): Promise<boolean> {
  const { store, commits, place, now, random, wait } = parts;
  const { key, before } = change;
  let current: StoredRecord | undefined = change.after;
  let emptied = false;
  for (let tried = 1; tried <= ATTEMPTS_MAX; tried += 1) {
    for (const side of [before, current]) if (side) commits.observe(side.commitVersion);
    const atMs = now();
    const scene = { region: place.region, atMs, commitVersion: commits.stamp(atMs), emptied };
    const plan: Plan = planFor(key, concern, current, scene);
    switch (plan.kind) {
      case 'nothing':
        return false;
      case 'corrupt':
        countCorruption(key, 'a record that was dropped is not whole: it stays dropped', parts);
        return false;
      case 'outbox_full':
        await archiveAll(key, plan.trail, parts);
        emptied = true;
        break;
      case 'write': {
        if (plan.payload) await parts.audit.putPayload(key.tenant, plan.payload.sha256, plan.payload.payload);
        if (plan.leaves) await archiveAll(key, plan.leaves, parts);
        try {
          const outcome = await store.reconcile(plan.write);
          if (outcome.written) {
            if (plan.corrupt) countCorruption(key, 'one side of a record is not whole', parts);
            return true;
          }
          current = outcome.stored;
          emptied = false;
        } catch (error) {
          if (!(error instanceof StoreUnavailableError && error.retryable)) throw error;
          await wait(random() * BACKOFF_MS_MAX);
        }
      }
    }
  }
  throw new Error(`${ATTEMPTS_MAX} attempts were not enough`);
}

function countCorruption(key: Change['key'], what: string, { telemetry }: ReconcilerParts): void {
  telemetry.measure([{ name: METRICS.dataCorruption, value: 1 }]);
  telemetry.warn(what, { record: recordPk(key) });
}

async function archiveAll(key: Change['key'], trail: AuditState, { audit }: ReconcilerParts): Promise<void> {
  await Promise.all(
    outboxEntries(trail).map(({ sequence, hash, text }) => audit.archive(key, sequence, hash, text)),
  );
}

/** Handlers of one batch in turn; what any of them could not do is delivered to all of them again. */
export function inTurn<Event>(
  ...handlers: readonly ((event: Event) => Promise<DynamoDBBatchResponse>)[]
): (event: Event) => Promise<DynamoDBBatchResponse> {
  return async (event) => {
    const failed = new Map<string, { readonly itemIdentifier: string }>();
    for (const handler of handlers)
      for (const failure of (await handler(event)).batchItemFailures)
        failed.set(failure.itemIdentifier, failure);
    return { batchItemFailures: [...failed.values()] };
  };
}
