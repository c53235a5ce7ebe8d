// The client library, all of its public surface. A device writes into a file of its own first and is never kept waiting
// by a network; the file is brought in step with the service whenever one of its regions can be reached.
//
//   const client = await openSyncClient({ path: 'field.db', endpoints: [primaryUrl, standbyUrl], token: async () => jwt });
//   await client.put('notes', 'n1', { text: 'hello' });
//   await client.flush();

export { EdenFieldError } from '../protocol/errors.ts';
export type { Json } from '../protocol/operations.ts';
export type { DeferredReason, RejectedReason, VerdictName } from '../protocol/verdicts.ts';
export type { Version } from '../protocol/versions.ts';
export {
  AnswerError,
  type AttemptKind,
  type AttemptOutcome,
  type AttemptRecord,
  AttemptTimeoutError,
  ClientClosedError,
  DeadlineError,
  RequestAbortedError,
  RequestError,
  RequestFailedError,
  TokenError,
} from './errors.ts';
export type { RequestCounts, RequestEvent } from './events.ts';
export type { Health } from './health.ts';
export type { TokenSource } from './options.ts';
export type { LocalRecord, NewEdit, QuarantinedOperation, Receipt } from './queue/contract.ts';
export {
  type Finding,
  InvalidEditError,
  QueueClosedError,
  QueueCorruptError,
  QueueDiskError,
  QueueFullError,
  QueueLockedError,
  QueueVersionError,
} from './queue/errors.ts';
export type { QuarantineReason } from './queue/format.ts';
export type { Recovery } from './queue/recover.ts';
export type { LostOperation } from './queue/settle.ts';
export { recoverQueueFile } from './queue.ts';
export type { EndpointStatus } from './requests.ts';
export type {
  Degradation,
  FlushResult,
  PullResult,
  SyncMetric,
  SyncMetricHook,
  SyncWorld,
  Wire,
} from './sync/contract.ts';
export { SyncRefusedError, UnexpectedAnswerError } from './sync/errors.ts';
export type { Conflict, Recovered, Rejection, SyncEvents, SyncProgress } from './sync/events.ts';
export type { SyncClientOptions } from './sync/options.ts';
export { type Abortable, openSyncClient, type SyncClient, type SyncCounts } from './sync/sync-client.ts';
