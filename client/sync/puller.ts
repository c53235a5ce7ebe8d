// Applies what others changed (PROTOCOL §6): page after page, each in one commit with the checkpoint that covers it, so
// that wherever it is interrupted the next pull goes on from the last page. However many ask for it, one pull runs.
import { ClientClosedError, TokenError } from '../errors.ts';
import { QueueFullError } from '../queue/errors.ts';
import type { Queue } from '../queue/queue.ts';
import type {
  PullAnswer,
  PullCall,
  PullerOptions,
  PullerParts,
  PullResult,
  SyncHooks,
  SyncWorld,
} from './contract.ts';
import { SyncRefusedError, UnexpectedAnswerError } from './errors.ts';
import { guarded } from './hooks.ts';
import { checkPullerOptions } from './options.ts';

interface Run {
  readonly giveUp: AbortController;
  /** Who waits for it; when the last one leaves it is given up. */
  callers: number;
  applied: number;
  dropped: number;
  ended: Promise<void>;
}

export class Puller {
  readonly #queue: Queue;
  readonly #world: SyncWorld;
  readonly #options: PullerOptions;
  readonly #hooks: Required<SyncHooks>;
  #run: Run | undefined;
  /** Of a run given up, until it has let go of the queue. */
  #leaving: Promise<void> = Promise.resolve();
  #closed = false;

  /** @throws RangeError an option is out of range */
  constructor({ queue, world, options, hooks = {} }: PullerParts) {
    this.#queue = queue;
    this.#world = world;
    this.#options = checkPullerOptions(options);
    this.#hooks = guarded(hooks);
  }

  /**
   * Pulls until there is nothing more. When `signal` fires it resolves to what was applied by then, not complete; other
   * callers are not disturbed.
   * @throws what the wire rejects with, SyncRefusedError, UnexpectedAnswerError, ClientClosedError, or what the queue
   * failed with
   */
  pull(signal?: AbortSignal): Promise<PullResult> {
    if (this.#closed) return Promise.reject(new ClientClosedError());
    if (signal?.aborted) return Promise.resolve({ applied: 0, dropped: 0, complete: false });
    this.#run ??= this.#begin();
    const run = this.#run;
    const before = { applied: run.applied, dropped: run.dropped };
    const result = (complete: boolean) => ({
      applied: run.applied - before.applied,
      dropped: run.dropped - before.dropped,
      complete,
    });
    run.callers += 1;
    return new Promise((resolve, reject) => {
      const aborted = () => {
        run.callers -= 1;
        if (run.callers === 0) this.#giveUp(run);
        resolve(result(false));
      };
      signal?.addEventListener('abort', aborted, { once: true });
      run.ended
        .then(() => resolve(result(true)), reject)
        .finally(() => signal?.removeEventListener('abort', aborted));
    });
  }

  /** Ends what is under way. Resolves when nothing touches the queue any more. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#run) this.#giveUp(this.#run);
    await this.#leaving;
  }

  #giveUp(run: Run): void {
    run.giveUp.abort();
    if (this.#run === run) this.#run = undefined;
    this.#leaving = run.ended.catch(() => undefined);
  }

  #begin(): Run {
    const run: Run = {
      giveUp: new AbortController(),
      callers: 0,
      applied: 0,
      dropped: 0,
      ended: Promise.resolve(),
    };
    run.ended = this.#leaving
      .then(() => this.#pages(run))
      .catch((error: unknown) => {
        // Only a closed client has callers left when a run is given up.
        throw run.giveUp.signal.aborted ? new ClientClosedError() : error;
      });
    // Whoever waits hears of it; nobody waiting is no fault.
    run.ended
      .catch((error: unknown) => this.#failed(run, error))
      .finally(() => {
        if (this.#run === run) this.#run = undefined;
      });
    return run;
  }

  async #pages(run: Run): Promise<void> {
    const { signal } = run.giveUp;
    for (let more = true; more && !signal.aborted; ) {
      const { cursor, restoreEpoch } = this.#queue;
      const call: PullCall = { cursor, limit: this.#options.pullLimit, restoreEpoch, signal };
      const answer = await this.#world.wire.pull(call);
      // Given up meanwhile: the queue may be closed by now.
      signal.throwIfAborted();
      more = this.#take(run, call, answer);
    }
    signal.throwIfAborted();
  }

  /** Whether there is more to ask for. */
  #take(run: Run, call: PullCall, answer: PullAnswer): boolean {
    switch (answer.kind) {
      case 'refused':
        throw new SyncRefusedError('a pull', answer.status, answer.code, answer.detail);
      case 'expired':
        if (call.cursor === null) throw new UnexpectedAnswerError('a page', 'that no cursor is too old');
        if (this.#queue.cursor === call.cursor) this.#queue.restartPull();
        return true;
      case 'restored':
        if (answer.restoreEpoch <= call.restoreEpoch)
          throw new UnexpectedAnswerError(
            `a restore epoch above ${call.restoreEpoch}`,
            `${answer.restoreEpoch}`,
          );
        this.#raise(answer.restoreEpoch);
        return true;
      case 'page':
        return this.#apply(run, call, answer);
    }
  }

  #apply(run: Run, call: PullCall, { page, restoreEpoch }: PullAnswer & { kind: 'page' }): boolean {
    if (restoreEpoch < call.restoreEpoch)
      throw new UnexpectedAnswerError(
        `a page of restore epoch ${call.restoreEpoch}`,
        `one of ${restoreEpoch}`,
      );
    if (page.more && page.cursor === call.cursor && page.changes.length === 0)
      throw new UnexpectedAnswerError('a page that leads on', 'an empty one that leads to itself');
    this.#raise(restoreEpoch);
    // Undefined: the epoch rose while the page was on its way, or with it. It is of data that is no more (8.2).
    const pulled = restoreEpoch === call.restoreEpoch ? this.#queue.applyPull(page, restoreEpoch) : undefined;
    if (pulled === undefined) return true;
    run.applied += pulled.applied;
    run.dropped += pulled.dropped;
    this.#hooks.pulled(pulled);
    return page.more;
  }

  #raise(restoreEpoch: number): void {
    if (restoreEpoch <= this.#queue.restoreEpoch) return;
    this.#hooks.restored(this.#queue.raiseRestoreEpoch(restoreEpoch));
  }

  #failed(run: Run, error: unknown): void {
    if (run.giveUp.signal.aborted) return;
    const isRefused = error instanceof TokenError || error instanceof SyncRefusedError;
    const because = isRefused ? 'refused' : error instanceof QueueFullError ? 'queue' : 'unanswered';
    const detail = error instanceof Error ? error.message : String(error);
    this.#hooks.degraded({ because, detail, error });
  }
}
