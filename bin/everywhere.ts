// The regions a command was asked about, and the others that may have what those lack.
export interface Everywhere<T> {
  /** Those asked for, in that order. */
  readonly places: readonly T[];
  /** Of the others, those that answer. */
  readonly peers: readonly T[];
  /** Of the others, those that do not: a region that is down must not keep the rest from being looked at. */
  readonly silent: readonly string[];
}

/** @throws whatever `open` does for a region that was asked for */
export async function openEverywhere<T>(
  asked: readonly string[],
  all: readonly string[],
  open: (region: string) => Promise<T>,
): Promise<Everywhere<T>> {
  const others = all.filter((region) => !asked.includes(region));
  const [places, settled] = await Promise.all([
    Promise.all(asked.map(open)),
    Promise.allSettled(others.map(open)),
  ]);
  return {
    places,
    peers: settled.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : [])),
    silent: others.filter((_, index) => settled[index]?.status === 'rejected'),
  };
}
