// Drains the queue (PROTOCOL §5). A batch leaves when it is full or its oldest operation has waited long enough; several
// are under way at once, never two with the same key; what comes back is made durable before anyone is told. Nothing
// here repeats a request: that is the layer below. Here a batch without an answer is given back to the queue, and what
// is sent next is decided anew.
import { ClientClosedError, TokenError } from '../errors.ts';
import type { Batch } from '../queue/contract.ts';
import { QueueFullError } from '../queue/errors.ts';
import type { Queue } from '../queue/queue.ts';
import type { Settlement } from '../queue/settle.ts';
import { Gate, KeyWaits } from './backoff.ts';
import type {
  FlushResult,
  PushAnswer,
  Refused,
  SenderOptions,
  SenderParts,
  SyncHooks,
  SyncWorld,
} from './contract.ts';
import { SyncRefusedError } from './errors.ts';
import { Flushes } from './flushes.ts';
import { guarded } from './hooks.ts';
import { checkSenderOptions } from './options.ts';
import { Pace } from './pace.ts';
import { faultOf, isServiceStuck, outcomesByKey } from './verdicts.ts';

const NEVER = Number.POSITIVE_INFINITY;
/** An operation refused by itself, whole request and all, is a fault between this release and the service. It is tried
 * again so seldom that it stands in nobody's way. */
const REFUSED_HOLD_MS = 600_000;
/** Giving room back to the disk is for quiet moments, and not for every one of them. */
const COMPACT_EVERY_MS = 60_000;

interface Sent {
  readonly batch: Batch;
  readonly restoreEpoch: number;
  readonly startedAt: number;
  /** Of the gate. */
  readonly era: number;
}

export class Sender {
  readonly #queue: Queue;
  readonly #world: SyncWorld;
  readonly #options: SenderOptions;
  readonly #hooks: Required<SyncHooks>;
  readonly #gate: Gate;
  readonly #keys: KeyWaits;
  readonly #pace: Pace;
  readonly #flushes = new Flushes(() => this.#arm());
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  readonly #sent = { batches: 0, operations: 0 };
  #operationsUnderWay = 0;
  #auto = false;
  /** Closed, or the queue failed: nothing is sent any more, and this is why. */
  #over: unknown;
  /** Something has waited its time: what can leave leaves, full or not. */
  #urgent = false;
  #waitingSince: number | undefined;
  /** Fewer operations than that do not fill a batch. */
  #fullFrom = 0;
  #alarm: { readonly at: number; readonly off: AbortController } | undefined;
  #isNotified = false;
  #isIdle = true;
  #compactedAt: number;

  /** @throws RangeError an option is out of range */
  constructor({ queue, world, options, hooks = {} }: SenderParts) {
    this.#queue = queue;
    this.#world = world;
    this.#options = checkSenderOptions(options);
    this.#hooks = guarded(hooks);
    const { resendBaseMs, resendMaxMs, deferBaseMs, deferMaxMs } = this.#options;
    const { batchOperationsMax, batchBytesMax, batchTargetMs } = this.#options;
    const { random } = world;
    this.#gate = new Gate({ baseMs: resendBaseMs, maxMs: resendMaxMs, random });
    this.#keys = new KeyWaits({ baseMs: deferBaseMs, maxMs: deferMaxMs, random });
    this.#pace = new Pace({
      operationsMax: batchOperationsMax,
      bytesMax: batchBytesMax,
      targetMs: batchTargetMs,
    });
    this.#compactedAt = world.now();
  }

  /** Pushes since it was made, and the operations in them. */
  get sent(): { readonly batches: number; readonly operations: number } {
    return { ...this.#sent };
  }

  /** Sends in the background from now on. What waits already has waited long enough. */
  start(): void {
    this.#auto = true;
    this.sendNow();
  }

  /** What waits by now waits for no company: it was left by a crash, or a pull found that it has to be sent again. */
  sendNow(): void {
    this.#urgent = true;
    this.#pump();
  }

  /** Something was appended. */
  notify(): void {
    this.#isIdle = false;
    if (!this.#isDriven) return;
    this.#waitingSince ??= this.#world.now();
    // One look for all that were committed together.
    if (this.#isNotified) return;
    this.#isNotified = true;
    queueMicrotask(() => {
      this.#isNotified = false;
      this.#pump();
    });
  }

  /** There is reason to think that the service can be reached again. */
  retryNow(): void {
    if (this.#gate.failures === 0 || this.#over !== undefined) return;
    this.#gate.open();
    this.#pump();
  }

  /**
   * Sends until nothing waits, beginning at once even in a pause after failures. When `signal` fires no further batch leaves for this call, what is under way ends by
   * itself, and the call resolves to what came by then.
   * @throws TokenError, SyncRefusedError, ClientClosedError, or what the queue failed with
   */
  flush(signal?: AbortSignal): Promise<FlushResult> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    const flush = this.#flushes.add(signal);
    this.#gate.open();
    this.#pump();
    return flush;
  }

  /** Ends what is under way. Resolves when nothing touches the queue any more. */
  async close(): Promise<void> {
    if (this.#over === undefined) this.#end(new ClientClosedError());
    await Promise.all(this.#underWay);
  }

  get #isDriven(): boolean {
    return this.#over === undefined && (this.#auto || this.#flushes.size > 0);
  }

  /** Lets go what may leave; called whenever that may have changed. */
  #pump(): void {
    try {
      while (this.#isDriven && this.#underWay.size < this.#slots) {
        const batch = this.#nextBatch();
        if (batch === undefined) break;
        this.#launch(batch);
      }
      if (this.#over === undefined && this.#queue.pending === 0 && this.#underWay.size === 0) this.#drained();
    } catch (error) {
      this.#end(error);
    }
    this.#arm();
  }

  /** Without an answer for certain, or in search of what was refused, one batch at a time. */
  get #slots(): number {
    return this.#gate.failures > 0 || this.#pace.isCut ? 1 : this.#options.batchesInFlightMax;
  }

  #nextBatch(): Batch | undefined {
    const now = this.#world.now();
    const unsent = this.#queue.pending - this.#operationsUnderWay;
    if (unsent === 0) {
      this.#rest(undefined);
      return undefined;
    }
    if (now < this.#gate.opensAt) return undefined;
    if (this.#keys.release(now)) this.#urgent = true;
    const isUrgent = this.#urgent || this.#flushes.size > 0 || now >= this.#dueAt;
    if (!isUrgent && unsent < this.#fullFrom) return undefined;
    const { operationsMax, bytesMax } = this.#pace;
    const batch = this.#queue.nextBatch({ operationsMax, bytesMax, excluded: this.#keys.excluded });
    if (batch?.full) return batch;
    const found = batch?.operations.length ?? 0;
    if (isUrgent) {
      // All that can leave is in it; the rest is on keys under way or waiting, which have times of their own.
      this.#rest(unsent > found ? now : undefined);
      return batch;
    }
    if (batch) this.#queue.release(batch);
    this.#fullFrom = unsent - found + operationsMax;
    return undefined;
  }

  #rest(waitingSince: number | undefined): void {
    this.#urgent = false;
    this.#waitingSince = waitingSince;
  }

  /** When what waits for company has waited enough. */
  get #dueAt(): number {
    return this.#waitingSince === undefined ? NEVER : this.#waitingSince + this.#options.batchWaitMs;
  }

  #launch(batch: Batch): void {
    this.#isIdle = false;
    this.#sent.batches += 1;
    this.#sent.operations += batch.operations.length;
    this.#operationsUnderWay += batch.operations.length;
    const { restoreEpoch } = this.#queue;
    const sent = { batch, restoreEpoch, startedAt: this.#world.now(), era: this.#gate.era };
    const sending = this.#send(sent).finally(() => {
      this.#underWay.delete(sending);
      this.#operationsUnderWay -= batch.operations.length;
      this.#queue.release(batch);
      this.#fullFrom = 0;
      this.#pump();
    });
    this.#underWay.add(sending);
  }

  /** Never rejects. */
  async #send(sent: Sent): Promise<void> {
    const { batch, restoreEpoch } = sent;
    let answer: PushAnswer;
    try {
      answer = await this.#world.wire.push({
        operations: batch.operations,
        restoreEpoch,
        signal: this.#closing.signal,
      });
    } catch (error) {
      this.#unanswered(sent, error);
      return;
    }
    if (this.#over !== undefined) return;
    try {
      this.#answered(sent, answer);
    } catch (error) {
      // On a full disk all else goes on; after anything else the queue takes no more.
      if (error instanceof QueueFullError) this.#unanswered(sent, error);
      else this.#end(error);
    }
  }

  #answered(sent: Sent, answer: PushAnswer): void {
    const { batch, startedAt, restoreEpoch } = sent;
    const fault = faultOf(answer, batch.operations, restoreEpoch);
    if (fault !== undefined) {
      this.#unanswered(sent, fault);
      return;
    }
    const now = this.#world.now();
    this.#pace.ended(startedAt, now, batch.full);
    if (answer.kind === 'refused') {
      this.#refused(sent, answer);
      return;
    }
    // A restore that another answer has told of is no news, but what this one leaves goes out all the same.
    if (answer.kind === 'restored') this.#urgent = true;
    this.#raise(answer.restoreEpoch);
    if (answer.kind === 'verdicts') this.#settle(sent, answer, now);
    else this.#gate.answered();
  }

  #settle({ batch, startedAt, era }: Sent, answer: PushAnswer & { kind: 'verdicts' }, now: number): void {
    this.#pace.mend();
    const settlement = this.#queue.settle(answer);
    if (settlement === undefined) {
      // Of a lower epoch than another answer has shown meanwhile: it says nothing of the data there is now (8.2).
      this.#urgent = true;
      return;
    }
    // What it leaves has waited for company already.
    if (settlement.counts.deferred > 0) this.#urgent = true;
    const outcomes = outcomesByKey(batch.operations, answer.verdicts);
    for (const [key, { progressed, stuck, isAhead }] of outcomes) {
      if (progressed) this.#keys.progressed(key);
      // Without progress or reason it would go round at once.
      if (stuck || !progressed)
        this.#keys.stuck(key, now, isAhead ? Math.min(settlement.waitMs, this.#options.deferMaxMs) : 0);
    }
    if (isServiceStuck(outcomes)) this.#gate.failed(era, now);
    else this.#gate.answered();
    this.#report(settlement, batch.operations.length, now - startedAt);
  }

  #report(settlement: Settlement, operations: number, latencyMs: number): void {
    this.#flushes.count(settlement.counts);
    this.#hooks.metric('sync_batch_size', operations);
    this.#hooks.metric('sync_batch_latency', latencyMs);
    this.#hooks.settled(settlement);
  }

  #raise(restoreEpoch: number): void {
    if (restoreEpoch <= this.#queue.restoreEpoch) return;
    this.#urgent = true;
    this.#hooks.restored(this.#queue.raiseRestoreEpoch(restoreEpoch));
  }

  /** Nothing of it was processed: smaller batches find out which part is at fault. */
  #refused({ batch, era }: Sent, { status, code, detail }: Refused): void {
    const now = this.#world.now();
    this.#urgent = true;
    const isDivisible = code === 'invalid_request' || code === 'too_large';
    if (isDivisible) this.#gate.answered();
    if (isDivisible && batch.operations.length > 1) {
      this.#pace.cut(batch.operations.length);
      return;
    }
    if (isDivisible) {
      this.#pace.mend();
      for (const key of batch.keys) this.#keys.stuck(key, now, REFUSED_HOLD_MS);
    } else this.#gate.failed(era, now);
    const [key] = batch.keys;
    const what = isDivisible ? `the operation on ${key} alone` : 'to take operations';
    const error = new SyncRefusedError(what, status, code, detail);
    this.#hooks.degraded({ because: 'refused', detail: error.message, error });
    this.#flushes.fail(error);
  }

  /** The batch goes back as it was: whether it had an effect the next answer tells (PROTOCOL 3.2). */
  #unanswered({ startedAt, era }: Sent, error: unknown): void {
    if (this.#over !== undefined) return;
    const now = this.#world.now();
    this.#gate.failed(era, now);
    this.#pace.ended(startedAt, now, false);
    this.#urgent = true;
    const detail = error instanceof Error ? error.message : String(error);
    const isToken = error instanceof TokenError;
    const because = isToken ? 'refused' : error instanceof QueueFullError ? 'queue' : 'unanswered';
    this.#hooks.degraded({ because, detail, error });
    if (isToken) this.#flushes.fail(error);
  }

  #drained(): void {
    if (!this.#isIdle) {
      this.#isIdle = true;
      this.#compact();
      this.#hooks.idle();
    }
    this.#flushes.resolve();
  }

  #compact(): void {
    const now = this.#world.now();
    if (now - this.#compactedAt < COMPACT_EVERY_MS) return;
    this.#compactedAt = now;
    try {
      this.#queue.compact();
    } catch (error) {
      // Without room to make room: settling makes some.
      if (!(error instanceof QueueFullError)) throw error;
    }
  }

  #end(reason: unknown): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    this.#closing.abort();
    this.#disarm();
    if (!(reason instanceof ClientClosedError)) {
      const detail = reason instanceof Error ? reason.message : String(reason);
      this.#hooks.degraded({ because: 'queue', detail, error: reason });
    }
    this.#flushes.fail(reason);
  }

  /** Wakes up when the next thing can be due by time alone. */
  #arm(): void {
    const unsent = this.#queue.pending - this.#operationsUnderWay;
    const isWaiting = this.#isDriven && this.#underWay.size < this.#slots && unsent > 0;
    const now = this.#world.now();
    const shut = this.#gate.opensAt > now;
    const at = !isWaiting ? NEVER : shut ? this.#gate.opensAt : Math.min(this.#dueAt, this.#keys.nextAt);
    if (this.#alarm?.at === at) return;
    this.#disarm();
    if (at === NEVER) return;
    const alarm = { at, off: new AbortController() };
    this.#alarm = alarm;
    void this.#world.wait(Math.max(0, Math.ceil(at - now)), alarm.off.signal).then(() => {
      if (this.#alarm !== alarm) return;
      this.#alarm = undefined;
      this.#pump();
    });
  }

  #disarm(): void {
    this.#alarm?.off.abort();
    this.#alarm = undefined;
  }
}
