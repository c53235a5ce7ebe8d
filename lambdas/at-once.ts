// Work on many, a few at a time.

/** What `act` gives for each, in order. Rejects with the first failure; what is under way then goes on to its end. */
export async function mapAtOnce<T, R>(
  atOnce: number,
  values: readonly T[],
  act: (value: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const queue = values.entries();
  await Promise.all(
    Array.from({ length: Math.min(atOnce, values.length) }, async () => {
      for (const [at, value] of queue) results[at] = await act(value);
    }),
  );
  return results;
}
