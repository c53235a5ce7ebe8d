// Percentiles over a sliding window: the last samples, none older than the window. Sorting is put off until enough
// has changed, so that asking on every request costs next to nothing.

/** Five seconds at 200 requests a second: one stall of a tenth of a second does not move the percentile. */
const SAMPLES = 1_024;
/** The first samples each say much; later ones only together. */
const SORT_EVERY_FIRST = 16;
const SORT_EVERY = 256;

export class LatencyWindow {
  readonly #windowMs: number;
  readonly #values = new Float64Array(SAMPLES);
  readonly #times = new Float64Array(SAMPLES);
  #next = 0;
  #count = 0;
  #sinceSort = 0;
  #sorted = new Float64Array();
  #sortedUntil = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  add(latencyMs: number, now: number): void {
    this.#values[this.#next] = latencyMs;
    this.#times[this.#next] = now;
    this.#next = (this.#next + 1) % SAMPLES;
    this.#count = Math.min(this.#count + 1, SAMPLES);
    this.#sinceSort += 1;
    if (this.#sorted.length < SORT_EVERY_FIRST || this.#sinceSort >= SORT_EVERY) this.#sortedUntil = 0;
  }

  /**
   * Undefined while the window is empty.
   * @param percentile from 0 to below 1
   */
  value(percentile: number, now: number): number | undefined {
    if (now >= this.#sortedUntil) this.#sort(now);
    return this.#sorted[Math.floor(this.#sorted.length * percentile)];
  }

  #sort(now: number): void {
    let kept = 0;
    let oldest = now;
    const values = new Float64Array(this.#count);
    for (let index = 0; index < this.#count; index += 1) {
      const at = this.#times[index] as number;
      if (now - at >= this.#windowMs) continue;
      values[kept] = this.#values[index] as number;
      kept += 1;
      oldest = Math.min(oldest, at);
    }
    this.#sorted = values.subarray(0, kept).sort();
    this.#sinceSort = 0;
    this.#sortedUntil = oldest + this.#windowMs;
  }
}
