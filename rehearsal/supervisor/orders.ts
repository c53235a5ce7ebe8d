// Orders to another process over Node's IPC channel, each answered in its own time: whoever gives one waits until it is
// done, has failed, or the process is gone.

/** How one ended; `refused` when it cannot be done as it was asked, so that nothing was. */
export type OrderOutcome<Answer> =
  | { readonly answer: Answer }
  | { readonly error: string; readonly refused: boolean };

export class Orders<Answer> {
  readonly #waiting = new Map<number, (outcome: OrderOutcome<Answer>) => void>();
  #nextId = 0;
  #gone: string | undefined;

  /**
   * Gives an order and waits for its end.
   * @throws RangeError it was refused
   * @throws Error it failed, or the process has ended
   */
  async give(send: (id: number) => void): Promise<Answer> {
    if (this.#gone !== undefined) throw new Error(this.#gone);
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<OrderOutcome<Answer>>();
    this.#waiting.set(id, resolve);
    send(id);
    const outcome = await promise;
    if ('answer' in outcome) return outcome.answer;
    throw outcome.refused ? new RangeError(outcome.error) : new Error(outcome.error);
  }

  hear(id: number, outcome: OrderOutcome<Answer>): void {
    this.#waiting.get(id)?.(outcome);
    this.#waiting.delete(id);
  }

  /** The process has ended: so has all that waits, and whatever is asked from now on. */
  end(why: string): void {
    this.#gone = why;
    for (const settle of this.#waiting.values()) settle({ error: why, refused: false });
    this.#waiting.clear();
  }
}

/** The outcome of doing what was asked, to be sent back. */
export async function outcomeOf<Answer>(work: () => Promise<Answer>): Promise<OrderOutcome<Answer>> {
  try {
    return { answer: await work() };
  } catch (error) {
    return {
      error: error instanceof Error ? error.message : String(error),
      refused: error instanceof RangeError,
    };
  }
}
