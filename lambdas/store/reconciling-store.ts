// What a reconciler asks of its own region's replica, beside the store port: one write of a whole state over exactly the
// one it was made for (docs/GOVCLOUD.md).
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { WRITE_ATTEMPT_MS_MAX } from '../../protocol/limits.ts';
import type { Reconciliation } from '../core/reconciling.ts';
import { reconciliationOf, recordOf } from './record-items.ts';
import type { WriteOutcome } from './store.ts';
import { TableCalls } from './table-calls.ts';

export interface ReconcilingStore {
  /** One attempt. Throws `StoreUnavailableError` when the table refuses or does not answer, `RecordFullError` when the
   * item has no room. */
  reconcile(write: Reconciliation): Promise<WriteOutcome>;
}

export interface ReconcilingStoreOptions {
  /** Of the own region, made by `createDynamoDBClient`: one attempt a call. */
  readonly client: DynamoDBClient;
  readonly tableName: string;
}

export function createReconcilingStore({ client, tableName }: ReconcilingStoreOptions): ReconcilingStore {
  const calls = new TableCalls({
    client,
    tableName,
    writeAttemptMs: WRITE_ATTEMPT_MS_MAX,
    readAttemptMs: WRITE_ATTEMPT_MS_MAX,
  });
  return {
    async reconcile(write) {
      const outcome = await calls.update(reconciliationOf(write));
      return outcome === true ? { written: true } : { written: false, stored: outcome && recordOf(outcome) };
    },
  };
}
