// What sender and puller are made of: the world they act on, which comes in from outside so that a simulation can be
// that world, what the service can say to them, and what they report.
//
//   new Sender({ queue, world, options, hooks })    drains the queue: flush(signal); or start(), and notify() after
//                                                   every append; sendNow(), retryNow(), close()
//   new Puller({ queue, world, options, hooks })    applies remote changes: pull(signal), close()

import type { PullResponse } from '../../protocol/messages.ts';
import type { Operation } from '../../protocol/operations.ts';
import type { Verdict, VerdictName } from '../../protocol/verdicts.ts';
import type { Pulled } from '../queue/pull.ts';
import type { Queue } from '../queue/queue.ts';
import type { Settlement } from '../queue/settle.ts';

/** Everything outside of this process that sender and puller touch, the queue's disk aside. */
export interface SyncWorld {
  readonly wire: Wire;
  /** In ms; only differences matter. */
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Resolves after `ms`, or at once and without an error when `signal` fires. */
  readonly wait: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/**
 * The way to the service. One call is one request, however many copies of it travel; that layer does all repeating
 * there is to do within a call. A call rejects when there was no answer (the `RequestError`s of errors.ts, or anything
 * else), when an answer is not this service's, and soon after `signal` has fired.
 */
export interface Wire {
  push(call: PushCall): Promise<PushAnswer>;
  pull(call: PullCall): Promise<PullAnswer>;
}

export interface PushCall {
  readonly operations: readonly Operation[];
  /** The highest one known here (PROTOCOL 8.2). */
  readonly restoreEpoch: number;
  readonly signal: AbortSignal;
}

export type PushAnswer =
  /** In any order; whoever reads them matches by session and sequence, never by place. */
  | { readonly kind: 'verdicts'; readonly verdicts: readonly Verdict[]; readonly restoreEpoch: number }
  | Restored
  | Refused;

export interface PullCall {
  /** Null: a resync. */
  readonly cursor: string | null;
  readonly limit: number;
  readonly restoreEpoch: number;
  readonly signal: AbortSignal;
}

export type PullAnswer =
  | { readonly kind: 'page'; readonly page: PullResponse; readonly restoreEpoch: number }
  /** The cursor is too old: start again without one (PROTOCOL 6.4). */
  | { readonly kind: 'expired' }
  | Restored
  | Refused;

/** The data was restored since, and nothing was processed: `restoreEpoch` is the new one (PROTOCOL 8.2). */
export interface Restored {
  readonly kind: 'restored';
  readonly restoreEpoch: number;
}

/** The service takes the request as a whole for wrong, and did nothing. */
export interface Refused {
  readonly kind: 'refused';
  readonly status: number;
  /** Of `PROBLEMS` in protocol/errors.ts, where it is one of them. */
  readonly code: string;
  readonly detail: string;
}

export interface SenderOptions {
  /** Operations in a batch, at most, and how many must wait for one to leave early. @default 100 */
  readonly batchOperationsMax: number;
  /** Body of a batch, at most, in bytes. @default 1 MiB, what the server takes */
  readonly batchBytesMax: number;
  /** How long an operation waits for company. @default 5000 */
  readonly batchWaitMs: number;
  /** Batches under way at once, all of different keys (PROTOCOL 5.2). @default 4 */
  readonly batchesInFlightMax: number;
  /** A batch that takes longer makes the following ones smaller. @default 2000 */
  readonly batchTargetMs: number;
  /** Pause after a request without an answer: from 0 to this, doubling each time. @default 500 */
  readonly resendBaseMs: number;
  /** Its limit. @default 30000 */
  readonly resendMaxMs: number;
  /** Pause of a key whose operation was deferred: from 0 to this, doubling each time. @default 250 */
  readonly deferBaseMs: number;
  /** Its limit. @default 30000 */
  readonly deferMaxMs: number;
}

export interface PullerOptions {
  /** Changes a page, at most. @default 500 */
  readonly pullLimit: number;
}

/** `sync_batch_size`: operations of a batch that was answered; `sync_batch_latency`: how long that took, in ms. */
export type SyncMetric = 'sync_batch_size' | 'sync_batch_latency';
export type SyncMetricHook = (name: SyncMetric, value: number) => void;

/** Something is not as it should be; nothing is lost. */
export interface Degradation {
  /**
   * `answer`: the service says so of its answer (`eden-degraded`). `unanswered`: a request got no answer, or none that
   * is this service's. `refused`: the service takes the request for wrong, or the token. `queue`: the queue or the disk
   * fills up, or failed.
   */
  readonly because: 'answer' | 'unanswered' | 'refused' | 'queue';
  readonly detail: string;
  readonly error?: unknown;
}

/** What sender and puller report, synchronously. What a hook throws becomes an uncaught exception and disturbs nothing
 * here. */
export interface SyncHooks {
  /** The answer to a batch is durable. */
  readonly settled?: (settlement: Settlement) => void;
  /** Nothing waits any more, and nothing is under way. */
  readonly idle?: () => void;
  /** A page is durable. */
  readonly pulled?: (pulled: Pulled) => void;
  /** The restore epoch rose: so many kept operations wait again, and the next pull is a resync (PROTOCOL 8.2). Whoever
   * holds both parts pulls then, and has the sender {@link Sender.sendNow}. */
  readonly restored?: (operations: number) => void;
  readonly degraded?: (degradation: Degradation) => void;
  readonly metric?: SyncMetricHook;
}

export interface SenderParts {
  readonly queue: Queue;
  readonly world: SyncWorld;
  readonly options?: Partial<SenderOptions>;
  readonly hooks?: SyncHooks;
}

export interface PullerParts {
  readonly queue: Queue;
  readonly world: SyncWorld;
  readonly options?: Partial<PullerOptions>;
  readonly hooks?: SyncHooks;
}

/** Verdicts that came during a flush. `deferred` and `clock_ahead` settle nothing: one operation may count often. */
export type FlushResult = Readonly<Record<VerdictName, number>>;

export interface PullResult {
  /** Changes that were news. */
  readonly applied: number;
  /** Records that a resync did not return, dropped. */
  readonly dropped: number;
  /** False when it was given up for the signal; what was applied stays, and the next pull goes on from there. */
  readonly complete: boolean;
}
