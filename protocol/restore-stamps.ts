// Commit versions for everything that is restored, above all that are met on the way (PROTOCOL 1.3, 8.1).
import { CLOCK_ZERO, type Clock, clockOf, observe, tick, type Version, versionOf } from './versions.ts';

/** Of a commit version that is further ahead nothing is learned: it is damage. */
const AHEAD_MS_MAX = 3_600_000;

export class Stamps {
  readonly #maker: string;
  readonly #now: () => number;
  #clock: Clock = CLOCK_ZERO;
  #elsewhereMs = 0;

  /** `maker`: 16 random hex digits. `now`: Unix ms. */
  constructor(maker: string, now: () => number) {
    this.#maker = maker;
    this.#now = now;
  }

  stamp(...above: readonly (Version | undefined)[]): Version {
    const nowMs = this.#now();
    for (const version of above)
      if (version !== undefined && clockOf(version).ms <= nowMs + AHEAD_MS_MAX)
        this.#clock = observe(this.#clock, version);
    this.#clock = tick(this.#clock, nowMs);
    return versionOf(this.#clock, this.#maker);
  }

  /** What others stamped for the same restore, up to this moment. */
  stampedElsewhere(ms: number): void {
    this.#elsewhereMs = Math.max(this.#elsewhereMs, ms);
  }

  /** Of the last one, Unix ms: the restore epoch must not be below it. */
  get lastMs(): number {
    return Math.max(this.#clock.ms, this.#elsewhereMs);
  }
}
