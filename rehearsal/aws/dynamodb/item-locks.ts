// Who is writing which item right now. Writes of one region to one item queue up; another region's is turned away.

interface Held {
  readonly region: string;
  readonly queue: (() => void)[];
}

export class ItemLocks {
  readonly #held = new Map<string, Held>();

  /** Waits for earlier writes of the same region; undefined while another region is writing the item. */
  async take(key: string, region: string): Promise<(() => void) | undefined> {
    const held = this.#held.get(key);
    if (held && held.region !== region) return undefined;
    if (held) await new Promise<void>((resolve) => held.queue.push(resolve));
    else this.#held.set(key, { region, queue: [] });
    return () => this.#release(key);
  }

  #release(key: string): void {
    const next = this.#held.get(key)?.queue.shift();
    if (next) next();
    else this.#held.delete(key);
  }
}
