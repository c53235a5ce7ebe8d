// A percentile over a sliding window: the last samples, none older than the window. Sorting is put off until enough
// has changed, so that asking on every request costs next to nothing.

/** Five seconds at 200 requests a second: one stall of a tenth of a second does not move the percentile. */
const SAMPLES = 1_024;
/** The first samples each say much; later ones only together. */
const SORT_EVERY_FIRST = 16;
const SORT_EVERY = 64;

export class LatencyWindow {
  readonly #windowMs: number;
  readonly #percentile: number;
  readonly #values = new Float64Array(SAMPLES);
  readonly #times = new Float64Array(SAMPLES);
  #next = 0;
  #count = 0;
  #sinceSort = 0;
  #sorted = 0;
  #cached: number | undefined;
  #cachedUntil = 0;

  /** @param percentile from 0 to below 1 */
  constructor(windowMs: number, percentile: number) {
    this.#windowMs = windowMs;
    this.#percentile = percentile;
  }

  add(latencyMs: number, now: number): void {
    this.#values[this.#next] = latencyMs;
    this.#times[this.#next] = now;
    this.#next = (this.#next + 1) % SAMPLES;
    this.#count = Math.min(this.#count + 1, SAMPLES);
    this.#sinceSort += 1;
    if (this.#sorted < SORT_EVERY_FIRST || this.#sinceSort >= SORT_EVERY) this.#cachedUntil = 0;
  }

  /** Undefined while the window is empty. */
  value(now: number): number | undefined {
    if (now < this.#cachedUntil) return this.#cached;
    const values: number[] = [];
    let oldest = now;
    for (let index = 0; index < this.#count; index += 1) {
      const at = this.#times[index] as number;
      if (now - at >= this.#windowMs) continue;
      values.push(this.#values[index] as number);
      oldest = Math.min(oldest, at);
    }
    values.sort((a, b) => a - b);
    this.#cached = values[Math.min(values.length - 1, Math.floor(values.length * this.#percentile))];
    this.#sorted = values.length;
    this.#sinceSort = 0;
    this.#cachedUntil = oldest + this.#windowMs;
    return this.#cached;
  }
}
