// So many things at once and no more: whoever wants to begin one waits for a place, so that what is read never runs far
// ahead of what is written.

export class Lanes {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @throws {RangeError} not one lane */
  constructor(count: number) {
    if (!(Number.isSafeInteger(count) && count > 0))
      throw new RangeError(`lanes: expected a whole number above 0, got ${count}`);
    this.#free = count;
  }

  /** Resolves once a place is free and it has begun; `done` then settles as it does. */
  async begin(task: () => Promise<void>): Promise<{ readonly done: Promise<void> }> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const done = task().finally(() => {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    });
    // Whoever waits for it hears of it; nobody may be waiting yet.
    done.catch(() => undefined);
    return { done };
  }
}

/** Work on each, so many at once; after the first that fails none is begun, and its error is thrown once the rest ended. */
export async function eachAtOnce<T>(
  items: Iterable<T>,
  count: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  const lane = async () => {
    for (let next = waiting.next(); !next.done && !failure; next = waiting.next())
      try {
        await work(next.value);
      } catch (error) {
        failure ??= { error };
      }
  };
  await Promise.all(Array.from({ length: count }, lane));
  if (failure) throw failure.error;
}
