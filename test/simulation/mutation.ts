// Bugs are planted in the shipped source as it is loaded: what stands in the repository stays as it is. A text that is
// not found exactly once fails loudly, since a plant that misses would pass for one that was caught, or for none.
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface Mutation {
  /** From the root of the repository. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const ROOT = normalize(join(import.meta.dirname, '../..'));

/** The source with the mutation in it. @throws Error when its text is not there exactly once */
export function mutated(source: string, { file, find, replace }: Mutation): string {
  const parts = source.split(find);
  if (parts.length !== 2)
    throw new Error(`${file}: expected once, found ${parts.length - 1} times: ${JSON.stringify(find)}`);
  return parts.join(replace);
}

/** Whether the mutations fit the source as it is now. */
export function check(mutations: readonly Mutation[]): void {
  for (const mutation of mutations) mutated(readFileSync(join(ROOT, mutation.file), 'utf8'), mutation);
}

/** From now on in this thread, for modules not loaded yet. Returns the files it was not asked for yet. */
export function plant(mutations: readonly Mutation[]): () => readonly string[] {
  const unused = new Set(mutations.map(({ file }) => file));
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const fitting = mutations.filter(({ file }) => url === pathToFileURL(join(ROOT, file)).href);
      if (fitting.length === 0 || loaded.source == null) return loaded;
      unused.delete(fitting[0]?.file ?? '');
      const source =
        typeof loaded.source === 'string'
          ? loaded.source
          : Buffer.from(loaded.source as Uint8Array).toString('utf8');
      return { ...loaded, source: fitting.reduce(mutated, source) };
    },
  });
  return () => [...unused];
}
