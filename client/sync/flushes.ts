// Callers that wait for the queue to be empty, each with its own signal and its own count of what came meanwhile.
import type { VerdictName } from '../../protocol/verdicts.ts';
import type { FlushResult } from './contract.ts';

interface Flush {
  readonly counts: Record<VerdictName, number>;
  readonly resolve: (result: FlushResult) => void;
  readonly reject: (reason: unknown) => void;
  readonly signal: AbortSignal | undefined;
  readonly aborted: () => void;
}

export class Flushes {
  readonly #flushes = new Set<Flush>();
  readonly #onAbort: () => void;

  /** `onAbort`: one of them has left. */
  constructor(onAbort: () => void) {
    this.#onAbort = onAbort;
  }

  get size(): number {
    return this.#flushes.size;
  }

  add(signal: AbortSignal | undefined): Promise<FlushResult> {
    return new Promise((resolve, reject) => {
      const counts = { applied: 0, duplicate: 0, superseded: 0, deferred: 0, rejected: 0, clock_ahead: 0 };
      const aborted = () => {
        this.#remove(flush);
        resolve(counts);
        this.#onAbort();
      };
      const flush: Flush = { counts, resolve, reject, signal, aborted };
      if (signal?.aborted) {
        resolve(counts);
        return;
      }
      signal?.addEventListener('abort', aborted, { once: true });
      this.#flushes.add(flush);
    });
  }

  count(counts: Readonly<Record<VerdictName, number>>): void {
    for (const flush of this.#flushes)
      for (const name of Object.keys(counts) as VerdictName[]) flush.counts[name] += counts[name];
  }

  /** The queue is empty. */
  resolve(): void {
    for (const flush of [...this.#flushes]) {
      this.#remove(flush);
      flush.resolve(flush.counts);
    }
  }

  fail(reason: unknown): void {
    for (const flush of [...this.#flushes]) {
      this.#remove(flush);
      flush.reject(reason);
    }
  }

  #remove(flush: Flush): void {
    this.#flushes.delete(flush);
    flush.signal?.removeEventListener('abort', flush.aborted);
  }
}
