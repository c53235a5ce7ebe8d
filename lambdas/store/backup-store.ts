// The ports of a backup: a bucket that backups stand in, and DynamoDB's own export, which does the work. Every method
// throws `StoreUnavailableError` when the other side refuses or does not answer.
import type { ExportPlan, Restorable } from '../core/backup-plan.ts';

/** A bucket of another Region, or one's own, to look into. */
export interface BackupReader {
  /** Undefined when there is none. */
  text(key: string): Promise<string | undefined>;
}

export interface BackupStore extends BackupReader {
  /** Puts what is said about a backup beside it, as JSON. Over what an attempt before left there: the bucket keeps that as
   * an old version. */
  putJson(key: string, value: object): Promise<void>;
  /** The bytes of a data file, as they come; undefined when there is none. Iterating rejects with
   * `StoreUnavailableError` when they stop coming. */
  file(key: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Keys under a prefix in their order, behind `after`; `more`: there are others behind these. */
  keys(prefix: string, after?: string): Promise<{ readonly keys: readonly string[]; readonly more: boolean }>;
  /** Extends the lock of an object; one that is longer already stays. */
  lock(key: string, untilMs: number): Promise<void>;
}

/** What an export has come to. */
export interface ExportProgress {
  readonly state: 'under_way' | 'completed' | 'failed';
  readonly why?: string;
}

export interface Exporter {
  /** Undefined while point-in-time recovery is off. */
  restorable(): Promise<Restorable | undefined>;
  /** Asks for an export of the Region's own replica into a bucket, and gives its ARN: the same for the same plan. */
  ask(plan: ExportPlan, into: ExportTarget): Promise<string>;
  progress(exportArn: string): Promise<ExportProgress>;
}

export interface ExportTarget {
  readonly bucket: string;
  readonly keyArn: string;
  /** The account of the bucket. @default the table's own */
  readonly owner?: string;
}
