// What a benchmark is: pairs measured side by side in one run (A B A B …), since a machine's speed changes from minute
// to minute and only neighbours compare; a ratio per pair; and a target with its reason.

export interface Target {
  readonly bound: 'at least' | 'at most';
  readonly value: number;
  /** Why this number and no other. */
  readonly reason: string;
}

export interface Ratio {
  /** What is divided by what. */
  readonly name: string;
  /** One per pair. */
  readonly values: readonly number[];
  /** Holds for the median. */
  readonly target: Target;
}

export interface Benchmark {
  /** As on the command line. */
  readonly name: string;
  readonly about: string;
  run(options: RunOptions): Promise<readonly Ratio[]>;
}

export interface RunOptions {
  /** `--long`: with what takes minutes, where a benchmark has such. */
  readonly long: boolean;
}

export interface Summary {
  readonly name: string;
  readonly min: number;
  readonly median: number;
  readonly max: number;
  readonly target: Target;
  readonly met: boolean;
}

/** Throws when there is nothing to summarize; a ratio that is no number has missed its target. */
export function summarize({ name, values, target }: Ratio): Summary {
  if (values.length === 0) throw new Error(`${name}: no pair was measured`);
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] as number;
  const median = sorted.length % 2 === 1 ? high : ((sorted[middle - 1] as number) + high) / 2;
  return {
    name,
    min: sorted[0] as number,
    median,
    max: sorted.at(-1) as number,
    target,
    met: target.bound === 'at least' ? median >= target.value : median <= target.value,
  };
}

/** Measures A and B in turn, as many times as there are pairs, after one of each that does not count. */
export async function inPairs<Result>(
  pairs: number,
  a: () => Promise<Result>,
  b: () => Promise<Result>,
): Promise<readonly (readonly [Result, Result])[]> {
  await a();
  await b();
  const measured: (readonly [Result, Result])[] = [];
  for (let pair = 0; pair < pairs; pair += 1) measured.push([await a(), await b()]);
  return measured;
}
