// What the `progress` event says, and when: a hundred thousand operations are not a hundred thousand events.
import type { SyncProgress } from './events.ts';

const EVENT_EVERY_MS = 200;
/** The rate is that of the last few seconds. */
const RATE_WINDOW_MS = 3_000;

export class Progress {
  readonly #now: () => number;
  readonly #pending: () => number;
  readonly #samples: { readonly at: number; readonly settled: number }[] = [];
  #settled = 0;
  #pulled = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #changed = false;

  constructor(now: () => number, pending: () => number) {
    this.#now = now;
    this.#pending = pending;
    this.#samples.push({ at: now(), settled: 0 });
  }

  get settled(): number {
    return this.#settled;
  }

  get pulled(): number {
    return this.#pulled;
  }

  addSettled(operations: number): void {
    this.#settled += operations;
    this.#changed = true;
  }

  addPulled(changes: number): void {
    this.#pulled += changes;
    this.#changed = true;
  }

  /** Undefined while the last event is too recent. */
  due(): SyncProgress | undefined {
    return this.#now() - this.#reportedAt >= EVENT_EVERY_MS ? this.rest() : undefined;
  }

  /** Whatever has not been told. */
  rest(): SyncProgress | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    const now = this.#now();
    this.#reportedAt = now;
    const settledPerSecond = this.#rate(now);
    return { pending: this.#pending(), settled: this.#settled, settledPerSecond, pulled: this.#pulled };
  }

  #rate(now: number): number {
    const samples = this.#samples;
    samples.push({ at: now, settled: this.#settled });
    while (samples.length > 2 && now - (samples[1]?.at ?? now) >= RATE_WINDOW_MS) samples.shift();
    const [first] = samples;
    const elapsedMs = first ? now - first.at : 0;
    return elapsedMs > 0 ? Math.round(((this.#settled - (first?.settled ?? 0)) / elapsedMs) * 1_000) : 0;
  }
}
