// The restore function of a Region (DESIGN §6): does the tasks that `npm run restore -- --workers` puts into its queue.
// What a task came to stands in the backup bucket, under a name that is the task's own, so that one that comes again is
// seen to be done; one that failed comes again soon, and after some attempts is put aside by the queue.
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { METRICS } from '../../protocol/metrics.ts';
import { Stamps } from '../../protocol/restore-stamps.ts';
import {
  failureKey,
  indexFromBytes,
  indexKey,
  type NewerIndex,
  parseTask,
  type RestoreTask,
  type RestoreTaskResult,
  resultKey,
} from '../../protocol/restore-work.ts';
import { loadTask, lookTask, NOTHING_NEWER, NotUnderWayError, sha256 } from '../restore-task.ts';
import type { Service } from '../service.ts';
import type { BackupStore } from '../store/backup-store.ts';
import type { RestoreQueue } from '../store/restore-queue.ts';
import type { RestoreTable } from '../store/restore-table.ts';

export interface RestoreParts extends Pick<Service, 'generation' | 'telemetry' | 'now' | 'random' | 'wait'> {
  readonly store: Pick<BackupStore, 'text' | 'putJson' | 'file'>;
  readonly table: RestoreTable;
  readonly queue: RestoreQueue;
  /** Names this environment in the commit versions it stamps: 16 hex digits. */
  readonly maker: string;
  /** Where replicas only follow each other: the Region that is written through. */
  readonly through: string | undefined;
}

/** Two thirds of what the function may take: what is under way then still has the rest. */
const RUN_MS_MAX = 200_000;
/** What failed comes again after so long, times how often it did. */
const AGAIN_AFTER_S = 5;

export function createRestore(parts: RestoreParts) {
  const { generation, telemetry, now, random, wait, store, table, queue, maker, through } = parts;
  const stamps = new Stamps(maker, now);
  let indexInUse: { readonly key: string; readonly index: Promise<NewerIndex> } | undefined;

  async function isUnderWay(restoreId: string): Promise<boolean> {
    const current = await generation.current();
    return current?.status === 'restoring' && current.restoreId === restoreId;
  }

  /** One at a time is kept: it may be as large as what changed in a day. */
  async function indexFor({ restoreId, index: fingerprint }: RestoreTask): Promise<NewerIndex> {
    if (fingerprint === undefined) return NOTHING_NEWER;
    const key = indexKey(restoreId, fingerprint);
    if (indexInUse?.key !== key) indexInUse = { key, index: readIndex(key, fingerprint) };
    try {
      return await indexInUse.index;
    } catch (error) {
      indexInUse = undefined;
      throw error;
    }
  }

  async function readIndex(key: string, fingerprint: string): Promise<NewerIndex> {
    const bytes = await store.file(key);
    if (!bytes) throw new Error(`${key}: expected the index of what is newer, got none`);
    return indexFromBytes(sha256, Buffer.concat(await Array.fromAsync(bytes)), fingerprint);
  }

  async function resultOf(task: RestoreTask): Promise<RestoreTaskResult> {
    if (task.what === 'look') return await lookTask(task, await store.file(task.file.key));
    const index = await indexFor(task);
    const untilMs = now() + RUN_MS_MAX;
    return await loadTask(task, await store.file(task.file.key), index, {
      ...{ table, stamps, through, wait, random },
      isUnderWay: () => isUnderWay(task.restoreId),
      isTimeUp: () => now() >= untilMs,
    });
  }

  async function carryOut(task: RestoreTask): Promise<void> {
    const { restoreId, what, file } = task;
    const facts = { restoreId, file: file.key };
    try {
      if (what === 'load' && !(await isUnderWay(restoreId))) throw new NotUnderWayError('it came late');
      // Delivered again: it was done and nobody heard of it, or somebody was told twice.
      if ((await store.text(resultKey(task))) !== undefined) return;
      const result = await resultOf(task);
      await store.putJson(resultKey(task), result);
      telemetry.measure(
        [
          { name: METRICS.restoreTasks, value: 1 },
          { name: METRICS.restoredRecords, value: result.facts.records },
        ],
        facts,
      );
    } catch (error) {
      if (!(error instanceof NotUnderWayError)) throw error;
      telemetry.warn('a task of a restore that is not under way is left undone', {
        ...facts,
        why: error.message,
      });
    }
  }

  /** Tells whoever waits for it why, and has it tried again soon. */
  async function failed({ body, receiptHandle, attributes }: SQSRecord, error: unknown): Promise<void> {
    const attempt = Number(attributes.ApproximateReceiveCount);
    telemetry.error('a task of a restore failed', error, { attempt });
    telemetry.measure([{ name: METRICS.restoreFailures, value: 1 }]);
    const why = error instanceof Error ? error.message : String(error);
    const told = async () => store.putJson(failureKey(parseTask(body)), { attempt, why, atMs: now() });
    const settled = await Promise.allSettled([
      told(),
      queue.showAgain(receiptHandle, attempt * AGAIN_AFTER_S),
    ]);
    for (const it of settled)
      if (it.status === 'rejected') telemetry.warn('a failure was not told', { why: String(it.reason) });
  }

  return async ({ Records }: Pick<SQSEvent, 'Records'>): Promise<SQSBatchResponse> => {
    const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
    for (const record of Records)
      try {
        await carryOut(parseTask(record.body));
      } catch (error) {
        await failed(record, error);
        batchItemFailures.push({ itemIdentifier: record.messageId });
      }
    return { batchItemFailures };
  };
}
