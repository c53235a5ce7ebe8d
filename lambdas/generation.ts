// The functions' copy of the generation item, at most 5 s old whenever it admits anything (PROTOCOL 8.1).
import { GENERATION_AGE_MS_MAX } from '../protocol/limits.ts';
import type { Generation } from './core/admission.ts';
import type { Store } from './store/store.ts';

export interface GenerationCopy {
  /** Undefined: no such item, the table is closed. Throws what the store throws when a fresh copy is needed. */
  current(): Promise<Generation | undefined>;
  /** Reads the item now. */
  refresh(): Promise<Generation | undefined>;
}

export function createGenerationCopy(store: Pick<Store, 'generation'>, now: () => number): GenerationCopy {
  let copy: { readonly generation: Generation | undefined; readonly readAt: number } | undefined;
  let reading: Promise<Generation | undefined> | undefined;

  async function read(): Promise<Generation | undefined> {
    // Its age counts from before the read, since it may have changed right after.
    const readAt = now();
    const generation = await store.generation();
    copy = { generation, readAt };
    return generation;
  }

  return {
    async current() {
      if (copy && now() - copy.readAt < GENERATION_AGE_MS_MAX) return copy.generation;
      reading ??= read().finally(() => {
        reading = undefined;
      });
      return reading;
    },
    refresh: read,
  };
}
