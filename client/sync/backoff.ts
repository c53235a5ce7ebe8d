// When to try again. One gate for all requests, and a wait of its own for every key whose operation was deferred, so that
// a record without a quorum holds nothing up but itself. Both with full jitter: anything from nothing to a limit that
// doubles (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).

export interface BackoffRange {
  readonly baseMs: number;
  readonly maxMs: number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** The pause after that many failures in a row, from 1. */
export function pauseMs(failures: number, { baseMs, maxMs, random }: BackoffRange): number {
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30));
}

/** Shut for a while after every request without an answer. */
export class Gate {
  readonly #range: BackoffRange;
  #failures = 0;
  #era = 0;
  #opensAt = Number.NEGATIVE_INFINITY;

  constructor(range: BackoffRange) {
    this.#range = range;
  }

  /** In a row; while there are any, one request at a time finds out whether things are better. */
  get failures(): number {
    return this.#failures;
  }

  get opensAt(): number {
    return this.#opensAt;
  }

  /** Between two failures; whoever sends notes it. */
  get era(): number {
    return this.#era;
  }

  /** Requests under way together fail together: those sent before the last failure was known count with it. */
  failed(sentInEra: number, now: number): void {
    if (sentInEra !== this.#era) return;
    this.#era += 1;
    this.#failures += 1;
    this.#opensAt = now + pauseMs(this.#failures, this.#range);
  }

  answered(): void {
    this.#failures = 0;
    this.#opensAt = Number.NEGATIVE_INFINITY;
  }

  /** There is reason to think that things are better now. */
  open(): void {
    this.#opensAt = Number.NEGATIVE_INFINITY;
  }
}

interface KeyWait {
  failures: number;
  until: number;
}

/** Looking at so many takes about 20 µs: one look a millisecond for each keeps it at a fiftieth of a core. */
const KEYS_A_LOOK = 300;

/** Keys, as `collection/id`, that wait for a retry. */
export class KeyWaits {
  readonly #range: BackoffRange;
  readonly #waits = new Map<string, KeyWait>();
  readonly #excluded = new Set<string>();
  #nextAt = Number.POSITIVE_INFINITY;
  /** With many waiting, some are let go a little late instead of each with a look at all of them. */
  #lookFrom = Number.NEGATIVE_INFINITY;

  constructor(range: BackoffRange) {
    this.#range = range;
  }

  /** Those whose time has not come, as of the last {@link release}. */
  get excluded(): ReadonlySet<string> {
    return this.#excluded;
  }

  /** When the next one is let go. */
  get nextAt(): number {
    return Math.max(this.#nextAt, this.#lookFrom);
  }

  /** It got somewhere: the next wait starts small again. */
  progressed(key: string): void {
    this.#waits.delete(key);
  }

  /** It did not; `atLeastMs`: not sooner, whatever the dice say. */
  stuck(key: string, now: number, atLeastMs = 0): void {
    const failures = (this.#waits.get(key)?.failures ?? 0) + 1;
    const until = now + Math.max(atLeastMs, pauseMs(failures, this.#range));
    this.#waits.set(key, { failures, until });
    this.#excluded.add(key);
    this.#nextAt = Math.min(this.#nextAt, until);
  }

  /** Lets go of keys whose time has come; whether there were any. */
  release(now: number): boolean {
    if (now < this.nextAt) return false;
    const before = this.#excluded.size;
    this.#lookFrom = now + Math.floor(before / KEYS_A_LOOK);
    this.#nextAt = Number.POSITIVE_INFINITY;
    for (const key of this.#excluded) {
      const until = this.#waits.get(key)?.until ?? now;
      if (until <= now) this.#excluded.delete(key);
      else this.#nextAt = Math.min(this.#nextAt, until);
    }
    return this.#excluded.size < before;
  }
}
