// The time that buckets' lifecycles, locks and point-in-time recovery go by: as fast as the machine's, or so many times
// as fast, and it can be set ahead. Everything that is measured goes by the machine's own clock.

export interface ClockOptions {
  /** How many ms pass in a real one. @default 1 */
  readonly scale?: number;
  /** Unix ms of the machine. @default Date.now */
  readonly real?: () => number;
}

export class Clock {
  readonly #scale: number;
  readonly #real: () => number;
  readonly #startedAt: number;
  #aheadMs = 0;

  /** @throws RangeError the scale is not above 0 */
  constructor({ scale = 1, real = Date.now }: ClockOptions = {}) {
    if (!(scale > 0 && Number.isFinite(scale)))
      throw new RangeError(`scale: expected a number above 0, got ${scale}`);
    this.#scale = scale;
    this.#real = real;
    this.#startedAt = real();
  }

  /** Unix ms. */
  readonly now = (): number => {
    const passedMs = (this.#real() - this.#startedAt) * this.#scale;
    return Math.floor(this.#startedAt + passedMs + this.#aheadMs);
  };

  /** @throws RangeError time would go back */
  advance(ms: number): void {
    if (!(ms >= 0 && Number.isFinite(ms))) throw new RangeError(`expected 0 ms or more, got ${ms}`);
    this.#aheadMs += ms;
  }
}
