// What openSyncClient can be told, its defaults, and the checks that name what came instead.
import {
  BATCH_OPERATIONS_MAX,
  BATCH_WAIT_MS,
  BODY_BYTES_MAX,
  PULL_LIMIT_MAX,
} from '../../protocol/limits.ts';
import { checkOptions, type RequestsOptions, TIMER_MS_MAX, whole } from '../options.ts';
import type { PullerOptions, SenderOptions, SyncMetricHook, SyncWorld } from './contract.ts';

/** How endpoints are asked (`endpoints`, `token`, `deadlineMs` …), how batches are made, and what the queue may hold. */
export interface SyncClientOptions
  extends Omit<RequestsOptions, 'deadlineMs' | 'attemptTimeoutMs' | 'retryReserve'>,
    Partial<SenderOptions>,
    Partial<PullerOptions> {
  /** The queue file; `<path>-wal`, `<path>-mark` and `<path>-reserve` belong to it. One file, one open client. */
  readonly path: string;
  /** One request from its start to its answer, all copies and repetitions included. @default 90000: a megabyte on a
   * slow link takes its time, and hedges do not wait for it */
  readonly deadlineMs?: number;
  /** One copy of a request. @default 30000, the 25 s a push may take at the server and its way there */
  readonly attemptTimeoutMs?: number;
  /** Extra copies of requests a fresh client can make. A request here is a whole batch, and few are under way at once.
   * @default 30 */
  readonly retryReserve?: number;
  /** Sends by itself when 100 operations wait or the oldest has waited 5 s. Off: only in {@link SyncClient.flush}.
   * @default true */
  readonly autoSync?: boolean;
  /** Pulls by itself so often, in ms. @default never: only when asked, and after a restore where `autoSync` is on */
  readonly pullIntervalMs?: number;
  /** Operations and records in the file, in bytes; past it new edits are refused, all else goes on. @default 1 GiB */
  readonly bytesMax?: number;
  /** How long settled operations are kept, so that a restore of the service loses nothing, in ms. @default 24 h */
  readonly keptMsMax?: number;
  /** How many bytes of them at most; the oldest go first. @default 64 MiB */
  readonly keptBytesMax?: number;
  /** Called once for every batch that was answered, synchronously: `sync_batch_size`, `sync_batch_latency` in ms. */
  readonly onMetric?: SyncMetricHook;
  /** This machine's clock, Unix ms. @default Date.now */
  readonly now?: () => number;
  /** Parts of the world in place of the real ones, for tests. */
  readonly world?: Partial<SyncWorld>;
}

export const SENDER_DEFAULTS: SenderOptions = {
  batchOperationsMax: BATCH_OPERATIONS_MAX,
  batchBytesMax: BODY_BYTES_MAX,
  batchWaitMs: BATCH_WAIT_MS,
  batchesInFlightMax: 4,
  batchTargetMs: 2_000,
  resendBaseMs: 500,
  resendMaxMs: 30_000,
  deferBaseMs: 250,
  deferMaxMs: 30_000,
};

export const PULLER_DEFAULTS: PullerOptions = { pullLimit: 500 };

const REQUEST_DEFAULTS = { deadlineMs: 90_000, attemptTimeoutMs: 30_000, retryReserve: 30 };
/** A put of the largest payload fits. */
const BATCH_BYTES_MIN = 512 * 1024;

/** @throws RangeError an option is out of range; it names the option, what was expected and what came */
export function checkSenderOptions(options: Partial<SenderOptions> = {}): SenderOptions {
  const checked = withDefaults(SENDER_DEFAULTS, options);
  whole('batchOperationsMax', checked.batchOperationsMax, 1, BATCH_OPERATIONS_MAX);
  whole('batchBytesMax', checked.batchBytesMax, BATCH_BYTES_MIN, BODY_BYTES_MAX);
  whole('batchWaitMs', checked.batchWaitMs, 0, TIMER_MS_MAX);
  whole('batchesInFlightMax', checked.batchesInFlightMax, 1, 64);
  whole('batchTargetMs', checked.batchTargetMs, 1, TIMER_MS_MAX);
  whole('resendBaseMs', checked.resendBaseMs, 1, 60_000);
  whole('resendMaxMs', checked.resendMaxMs, checked.resendBaseMs, TIMER_MS_MAX);
  whole('deferBaseMs', checked.deferBaseMs, 1, 60_000);
  whole('deferMaxMs', checked.deferMaxMs, checked.deferBaseMs, TIMER_MS_MAX);
  return checked;
}

/** @throws RangeError as {@link checkSenderOptions} */
export function checkPullerOptions(options: Partial<PullerOptions> = {}): PullerOptions {
  const checked = withDefaults(PULLER_DEFAULTS, options);
  whole('pullLimit', checked.pullLimit, 1, PULL_LIMIT_MAX);
  return checked;
}

/**
 * Those of the request layer, with the longer waits of whole batches.
 * @throws RangeError any option is out of range, those of other parts included
 */
export function checkSyncOptions(options: SyncClientOptions): RequestsOptions {
  const { path, autoSync, pullIntervalMs, bytesMax, keptMsMax, keptBytesMax, onMetric, now } = options;
  if (typeof path !== 'string' || path === '' || path.startsWith(':'))
    throw new RangeError(`path is the name of a file, got ${JSON.stringify(path) ?? String(path)}`);
  if (autoSync !== undefined && typeof autoSync !== 'boolean')
    throw new RangeError(`autoSync is true or false, got ${JSON.stringify(autoSync)}`);
  if (pullIntervalMs !== undefined) whole('pullIntervalMs', pullIntervalMs, 10, TIMER_MS_MAX);
  if (bytesMax !== undefined) whole('bytesMax', bytesMax, 1, Number.MAX_SAFE_INTEGER);
  if (keptMsMax !== undefined) whole('keptMsMax', keptMsMax, 0, Number.MAX_SAFE_INTEGER);
  if (keptBytesMax !== undefined) whole('keptBytesMax', keptBytesMax, 0, Number.MAX_SAFE_INTEGER);
  for (const [name, value] of Object.entries({ onMetric, now }))
    if (value !== undefined && typeof value !== 'function')
      throw new RangeError(`${name} is a function, got ${JSON.stringify(value) ?? String(value)}`);
  checkSenderOptions(options);
  checkPullerOptions(options);
  const requests = { ...options, ...withDefaults(REQUEST_DEFAULTS, options) };
  checkOptions(requests);
  return requests;
}

/** Only what `defaults` names; an explicit `undefined` is the same as leaving an option out. */
function withDefaults<Options extends object>(defaults: Options, given: Partial<Options>): Options {
  const all = { ...defaults };
  for (const name of Object.keys(defaults) as (keyof Options)[]) {
    const value = given[name];
    if (value !== undefined) all[name] = value;
  }
  return all;
}
