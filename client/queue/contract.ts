// What a queue is opened with and what it hands out.
import type { Json, Operation } from '../../protocol/operations.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import type { Version } from '../../protocol/versions.ts';
import type { QuarantineReason } from './format.ts';

export interface QueueOptions {
  /** This machine's clock, Unix ms. */
  readonly now: () => number;
  /** That many random bytes in hex. */
  readonly random: (bytes: number) => string;
  /** Runs `work` at the end of this turn: all appends until then share a commit. */
  readonly defer: (work: () => void) => void;
  /**
   * Operations and records together, in bytes; past it new edits are refused, all else goes on.
   * The file itself is up to a third larger, and its log has 4 MB.
   * @default 1 GiB
   */
  readonly bytesMax?: number;
  /** How long settled operations are kept for a restore (PROTOCOL 8.2), ms. @default 24 h */
  readonly keptMsMax?: number;
  /** How many bytes of them at most; the oldest go first. @default 64 MiB */
  readonly keptBytesMax?: number;
  /** Called when the queue fills its limit, or anything the disk, to 90 %; again only after it was below 85 %. */
  readonly onWarning?: (warning: FillWarning) => void;
}

export interface FillWarning {
  readonly reason: 'limit' | 'disk';
  readonly usedBytes: number;
  readonly limitBytes: number;
}

export type NewEdit =
  | { readonly kind: 'put'; readonly collection: string; readonly id: string; readonly payload: Json }
  | { readonly kind: 'delete'; readonly collection: string; readonly id: string };

/** The operation an edit became, durable now. */
export interface Receipt {
  readonly session: string;
  readonly sequence: number;
  readonly version: Version;
}

export interface LocalRecord {
  readonly payload: Json;
  readonly version: Version;
  /** Whether this is an own write not settled yet. */
  readonly pending: boolean;
}

/** Operations to send together. Their keys go into no other batch until this one is released (PROTOCOL 5.2). */
export interface Batch {
  readonly operations: readonly Operation[];
  /** `collection/id` of each record touched. */
  readonly keys: ReadonlySet<string>;
  /** Whether it is as large as the limits allow. */
  readonly full: boolean;
}

export interface BatchLimits {
  /** @default 100 */
  readonly operationsMax?: number;
  /** Of the request's body. @default what the server takes */
  readonly bytesMax?: number;
  /** Keys to leave out, as `collection/id`: those that wait for a retry. */
  readonly excluded?: ReadonlySet<string>;
}

export interface Answer {
  readonly verdicts: readonly Verdict[];
  /** The epoch it was admitted under; an answer of a lower one than known is ignored (PROTOCOL 8.2). */
  readonly restoreEpoch: number;
}

export interface QuarantinedOperation {
  readonly session: string;
  readonly sequence: number;
  readonly edit: NewEdit;
  readonly version: Version;
  readonly reason: QuarantineReason;
  readonly detail: string;
  /** Unix ms. */
  readonly at: number;
}
