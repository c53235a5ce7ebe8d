// The client an application holds: its queue file, the sender and puller that bring it in step with the service, and
// what they report as events. Edits go into the file and nowhere else; everything after that happens on the side.

import type { Json } from '../../protocol/operations.ts';
import { NO_REQUESTS, type RequestCounts, type RequestEvent } from '../events.ts';
import type { LocalRecord, NewEdit, QuarantinedOperation, Receipt } from '../queue/contract.ts';
import type { Queue } from '../queue/queue.ts';
import { openQueueFile } from '../queue.ts';
import { type EndpointStatus, Requests } from '../requests.ts';
import type { FlushResult, PullResult, SyncHooks, SyncWorld } from './contract.ts';
import { SyncEmitter, type SyncEvents, type SyncListener } from './events.ts';
import { HttpWire } from './http-wire.ts';
import { checkSyncOptions, type SyncClientOptions } from './options.ts';
import { Progress } from './progress.ts';
import { Puller } from './puller.ts';
import { Sender } from './sender.ts';
import { realWorld } from './world.ts';

export interface Abortable {
  /** Ends the waiting, without an error; what was done by then stays done. */
  readonly signal?: AbortSignal | undefined;
}

/** Since the client was opened. */
export interface SyncCounts {
  /** Pushes, and operations in them; an operation that was deferred, or went unanswered, is sent again and counts again. */
  readonly batches: number;
  readonly operationsSent: number;
  /** Operations that are done with: applied, duplicate, superseded or rejected. */
  readonly operationsSettled: number;
  readonly changesPulled: number;
  /** Of all requests, and the copies they took. */
  readonly requests: RequestCounts;
}

/**
 * Opens or makes the queue file at `path` and starts to bring it in step with the service. While operations wait to be
 * sent, or with `pullIntervalMs`, an open client keeps its process alive: close it to end.
 * @throws RangeError an option is out of range; it names the option, what was expected and what came
 * @throws QueueLockedError the file is open already, here or in another process
 * @throws QueueCorruptError it is not what was acknowledged; see recoverQueueFile
 * @throws QueueVersionError a later release made it
 * @throws QueueDiskError, QueueFullError the disk fails or is full
 */
export async function openSyncClient(options: SyncClientOptions): Promise<SyncClient> {
  return new SyncClient(options);
}

export class SyncClient {
  /** Operations that waited in the file when it was opened: what the last run, or crash, had left. All wait again. */
  readonly recovered: number;
  readonly #queue: Queue;
  readonly #requests: Requests | undefined;
  readonly #sender: Sender;
  readonly #puller: Puller;
  readonly #progress: Progress;
  readonly #emitter = new SyncEmitter();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: SyncClientOptions) {
    const requests = checkSyncOptions(options);
    const { path, world = {}, autoSync = true, pullIntervalMs, onMetric } = options;
    const early: SyncEvents['degraded'][] = [];
    let tell = (degradation: SyncEvents['degraded']): unknown => early.push(degradation);
    const degraded = (degradation: SyncEvents['degraded']) => void tell(degradation);
    this.#queue = openQueueFile({
      path,
      onWarning: ({ reason, usedBytes, limitBytes }) =>
        degraded({
          because: 'queue',
          detail: `${usedBytes} of ${limitBytes} bytes of the ${reason === 'disk' ? 'disk' : 'queue'} are used`,
        }),
      ...queueOptionsOf(options),
    });
    this.recovered = this.#queue.recovered;
    let wire = world.wire;
    if (wire === undefined) {
      const onEvent = (event: RequestEvent) => {
        if (event.type === 'health') this.#healthChanged(event.health.state === 'healthy', degraded);
        options.onEvent?.(event);
      };
      this.#requests = new Requests({ ...requests, onEvent });
      wire = new HttpWire(this.#requests, (detail) => degraded({ because: 'answer', detail }));
    }
    const parts = {
      queue: this.#queue,
      world: { ...realWorld(wire, options.random), ...world },
      options,
      hooks: this.#hooks(degraded, autoSync, onMetric),
    };
    this.#progress = new Progress(parts.world.now, () => this.#queue.pending);
    this.#sender = new Sender(parts);
    this.#puller = new Puller(parts);
    // Nobody can listen before this constructor has returned.
    setImmediate(() => {
      tell = (degradation) => this.#emitter.emit('degraded', degradation);
      if (this.#closed !== undefined) return;
      const event = { operations: this.recovered, because: 'reopened' } as const;
      if (this.recovered > 0) this.#emitter.emit('recovered', event);
      for (const degradation of early) tell(degradation);
    });
    if (autoSync) this.#sender.start();
    if (pullIntervalMs !== undefined) void this.#pullEvery(pullIntervalMs, parts.world);
  }

  /** Operations that wait to be sent and settled. */
  get pending(): number {
    return this.#queue.pending;
  }

  /** Operations the service will never take, kept with the reason. */
  get quarantined(): number {
    return this.#queue.quarantined;
  }

  /** How the regions look from here, the preferred one first. */
  get endpoints(): readonly EndpointStatus[] {
    return this.#requests?.status ?? [];
  }

  get counts(): SyncCounts {
    const { batches, operations } = this.#sender.sent;
    return {
      batches,
      operationsSent: operations,
      operationsSettled: this.#progress.settled,
      changesPulled: this.#progress.pulled,
      requests: this.#requests?.counts ?? NO_REQUESTS,
    };
  }

  /**
   * Writes a record; resolves when that is durable on this disk, whatever the network does.
   * @throws InvalidEditError it is nothing the service would take
   * @throws QueueFullError there is no room; the edit was not taken
   * @throws QueueDiskError, QueueClosedError
   */
  put(collection: string, id: string, payload: Json): Promise<Receipt> {
    return this.#append({ kind: 'put', collection, id, payload });
  }

  /** Deletes a record, as {@link put}; one that is not known here may be deleted too. */
  delete(collection: string, id: string): Promise<Receipt> {
    return this.#append({ kind: 'delete', collection, id });
  }

  /** What this device knows of a record, its own edits at once. Undefined: nothing, or that it is deleted. */
  get(collection: string, id: string): LocalRecord | undefined {
    return this.#queue.get(collection, id);
  }

  /**
   * Sends until nothing waits, whatever it takes: without a network it goes on trying. `signal` ends that: no further
   * batch leaves, and what is under way ends by itself. Resolves to how often each verdict came.
   * @throws TokenError the token source failed, or the service refused a fresh token
   * @throws SyncRefusedError the service takes the requests for wrong
   * @throws ClientClosedError the client was closed before or meanwhile
   * @throws QueueCorruptError, QueueDiskError
   */
  flush({ signal }: Abortable = {}): Promise<FlushResult> {
    return this.#sender.flush(signal);
  }

  /**
   * Applies what others changed, page by page; after a crash or `signal` the next one goes on from the last page.
   * @throws RequestError no region answered in time, or see {@link flush}
   * @throws UnexpectedAnswerError, SyncRefusedError, TokenError, ClientClosedError, QueueCorruptError, QueueDiskError,
   * QueueFullError
   */
  pull({ signal }: Abortable = {}): Promise<PullResult> {
    return this.#puller.pull(signal);
  }

  /** Rejected operations with the reason, as of now; `for await` takes it too. */
  quarantine(): Iterable<QuarantinedOperation> {
    return this.#queue.quarantine();
  }

  /** Takes an operation out of quarantine as a new one, with `edit` in place of its own if given. */
  async resubmit(session: string, sequence: number, edit?: NewEdit): Promise<Receipt> {
    const receipt = await this.#queue.resubmit(session, sequence, edit);
    this.#sender.notify();
    return receipt;
  }

  /** Drops a quarantined operation for good. */
  discard(session: string, sequence: number): void {
    this.#queue.discard(session, sequence);
  }

  /** Calls `listener` from now on; returns what ends it. What this opening found (`recovered`, a queue or disk
   * that is nearly full) comes after the current turn. */
  on<Name extends keyof SyncEvents>(name: Name, listener: SyncListener<Name>): () => void {
    return this.#emitter.on(name, listener);
  }

  /** Reads the whole file again. @throws QueueCorruptError with all findings; the client refuses to go on then */
  async verify(): Promise<void> {
    this.#queue.verify();
  }

  /** Ends what is under way and gives the file free; what waits stays in it. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    try {
      // Both let go of the queue before it goes.
      await Promise.all([this.#sender.close(), this.#puller.close()]);
    } finally {
      await this.#requests?.close();
      this.#queue.close();
    }
  }

  /** A request in want of an endpoint goes on trying for its whole deadline: the application hears of it sooner. */
  #healthChanged(isHealthy: boolean, degraded: Required<SyncHooks>['degraded']): void {
    if (isHealthy) this.#sender.retryNow();
    else if (this.endpoints.every(({ healthy }) => !healthy))
      degraded({ because: 'unanswered', detail: 'no region answers' });
  }

  async #append(edit: NewEdit): Promise<Receipt> {
    const receipt = await this.#queue.append(edit);
    this.#sender.notify();
    return receipt;
  }

  #hooks(
    degraded: Required<SyncHooks>['degraded'],
    autoSync: boolean,
    metric: SyncHooks['metric'],
  ): SyncHooks {
    const report = () => {
      const progress = this.#progress.due();
      if (progress) this.#emitter.emit('progress', progress);
    };
    return {
      degraded,
      ...(metric ? { metric } : {}),
      settled: ({ counts, superseded, rejected }) => {
        this.#progress.addSettled(counts.applied + counts.duplicate + counts.superseded + counts.rejected);
        for (const conflict of superseded) this.#emitter.emit('conflict', conflict);
        for (const rejection of rejected) this.#emitter.emit('rejected', rejection);
        report();
      },
      idle: () => {
        const progress = this.#progress.rest();
        if (progress) this.#emitter.emit('progress', progress);
      },
      pulled: ({ applied }) => {
        this.#progress.addPulled(applied);
        report();
      },
      restored: (operations) => {
        this.#emitter.emit('recovered', { operations, because: 'restored' });
        this.#sender.sendNow();
        if (autoSync) this.#pullAside();
      },
    };
  }

  async #pullEvery(intervalMs: number, { wait, random }: SyncWorld): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      // Spread, so that a fleet started together does not pull together.
      await wait(intervalMs * (0.75 + random() / 2), signal);
      if (!signal.aborted) await this.#pullAside();
    }
  }

  /** Nobody waits for it: what goes wrong has been reported as a degradation. */
  #pullAside(): Promise<unknown> {
    return this.#puller.pull(this.#closing.signal).catch(() => undefined);
  }
}

function queueOptionsOf({ bytesMax, keptMsMax, keptBytesMax, now }: SyncClientOptions) {
  return {
    ...(bytesMax === undefined ? {} : { bytesMax }),
    ...(keptMsMax === undefined ? {} : { keptMsMax }),
    ...(keptBytesMax === undefined ? {} : { keptBytesMax }),
    ...(now === undefined ? {} : { now }),
  };
}
