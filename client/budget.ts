// The retry budget: a bucket that every operation puts a fraction of a token into and every attempt beyond an
// operation's first takes one from. So extra load stays a fixed fraction of the load that is wanted, in an outage too.
//
// The bucket leans towards its reserve: what is above drains, what is missing comes back, both over `RELAX_MS`. This
// makes its size follow the load (at `r` operations a second it holds about reserve + ratio × r × 120 s, enough to
// redirect all that is outstanding at once) and lets a client that ran dry while all regions were away start again.

export interface BudgetOptions {
  /** Extra attempts per operation that the budget can pay for in the long run. */
  readonly ratio: number;
  /** Tokens a client starts with, for the first fault to meet it. */
  readonly reserve: number;
}

export const RELAX_MS = 120_000;

export class RetryBudget {
  readonly #ratio: number;
  readonly #reserve: number;
  #tokens: number;
  #at: number;

  constructor({ ratio, reserve }: BudgetOptions, now: number) {
    this.#ratio = ratio;
    this.#reserve = reserve;
    this.#tokens = reserve;
    this.#at = now;
  }

  /** An operation begins. */
  earn(now: number): void {
    this.#relax(now);
    this.#tokens += this.#ratio;
  }

  /** Takes a token for an extra attempt; false when there is none. A hedge is a guess, so it leaves half of the reserve
   * to attempts that answer a failure. */
  spend(kind: 'hedge' | 'repeat', now: number): boolean {
    this.#relax(now);
    const kept = kind === 'hedge' ? this.#reserve / 2 : 0;
    if (this.#tokens - 1 < kept) return false;
    this.#tokens -= 1;
    return true;
  }

  /** An attempt after a failure succeeded: it was load well spent. Without this, operations that waited out an outage
   * would starve behind an empty bucket after it. Hedges get nothing back. */
  refund(): void {
    this.#tokens += 1;
  }

  tokens(now: number): number {
    this.#relax(now);
    return this.#tokens;
  }

  #relax(now: number): void {
    const elapsed = now - this.#at;
    // Relaxing in steps of 10 ms or more keeps `exp` off the path of every operation.
    if (elapsed < 10) return;
    this.#tokens = this.#reserve + (this.#tokens - this.#reserve) * Math.exp(-elapsed / RELAX_MS);
    this.#at = now;
  }
}
