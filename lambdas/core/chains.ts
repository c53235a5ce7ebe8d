// The order of a batch (PROTOCOL 5.3): operations on one key form a chain and go one after the other, stopping at
// the first that does not go through; chains run side by side, a bounded number at once.

export interface Chains<Entry, Outcome> {
  /** Entries with the same key form a chain, in the order given; undefined stands alone. */
  readonly keyOf: (entry: Entry) => string | undefined;
  readonly run: (entry: Entry) => Promise<Outcome>;
  /** Whether what follows in the chain must not run. */
  readonly stops: (outcome: Outcome) => boolean;
  /** The outcome of an entry behind one that stopped its chain. */
  readonly skip: (entry: Entry) => Outcome;
  readonly concurrencyMax: number;
}

/** Outcomes in the order of the entries. Rejects as soon as a `run` rejects; it should not. */
export async function inChains<Entry, Outcome>(
  entries: readonly Entry[],
  { keyOf, run, stops, skip, concurrencyMax }: Chains<Entry, Outcome>,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = new Array(entries.length);
  const chains = new Map<string, number[]>();
  for (const [index, entry] of entries.entries()) {
    const key = keyOf(entry) ?? `#${index}`;
    const chain = chains.get(key);
    if (chain) chain.push(index);
    else chains.set(key, [index]);
  }
  const waiting = chains.values();
  const worker = async () => {
    for (const chain of waiting) {
      let stopped = false;
      for (const index of chain) {
        const entry = entries[index] as Entry;
        const outcome = stopped ? skip(entry) : await run(entry);
        stopped ||= stops(outcome);
        outcomes[index] = outcome;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, chains.size) }, worker));
  return outcomes;
}
