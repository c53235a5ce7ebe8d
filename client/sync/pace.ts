// How much goes into a batch. A link that is slow, or a service that is, shows in how long batches take: one that takes
// longer than the target halves the next ones, operations and bytes alike, and every full one within the target makes
// them a little larger again (additive increase, multiplicative decrease). So a slow link carries many small requests
// that each end in time instead of few that never do.

export interface PaceOptions {
  readonly operationsMax: number;
  readonly bytesMax: number;
  readonly targetMs: number;
}

/** An unknown link is not given the largest body at once. */
const FIRST_BYTES = 256 * 1024;
const BYTES_MIN = 16 * 1024;
/** Steps up, as shares of what is allowed at most. */
const STEPS = 16;

export class Pace {
  readonly #options: PaceOptions;
  #operations: number;
  #bytes: number;
  /** A request refused as a whole is cut down until the part at fault is found. */
  #cut: number | undefined;
  #slowedAt = Number.NEGATIVE_INFINITY;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#operations = options.operationsMax;
    this.#bytes = Math.min(FIRST_BYTES, options.bytesMax);
  }

  /** Operations in a batch, now. */
  get operationsMax(): number {
    return Math.min(this.#operations, this.#cut ?? this.#operations);
  }

  /** Bytes of a batch's body, now; a single operation may be larger. */
  get bytesMax(): number {
    return this.#bytes;
  }

  get isCut(): boolean {
    return this.#cut !== undefined;
  }

  /** A batch ended, answered or not. `full`: it was as large as it could be. */
  ended(startedAt: number, now: number, full: boolean): void {
    const { operationsMax, bytesMax, targetMs } = this.#options;
    if (now - startedAt > targetMs) {
      // Batches under way together are slow together: that counts once.
      if (startedAt < this.#slowedAt) return;
      this.#slowedAt = now;
      this.#operations = Math.max(1, Math.floor(this.#operations / 2));
      this.#bytes = Math.max(BYTES_MIN, Math.floor(this.#bytes / 2));
    } else if (full) {
      this.#operations = Math.min(operationsMax, this.#operations + Math.ceil(operationsMax / STEPS));
      this.#bytes = Math.min(bytesMax, this.#bytes + Math.ceil(bytesMax / STEPS));
    }
  }

  /** A batch of so many operations was refused as a whole. */
  cut(operations: number): void {
    this.#cut = Math.max(1, Math.floor(operations / 2));
  }

  /** A batch was taken: twice as many may be tried. */
  mend(): void {
    if (this.#cut === undefined) return;
    this.#cut *= 2;
    if (this.#cut >= this.#options.operationsMax) this.#cut = undefined;
  }
}
