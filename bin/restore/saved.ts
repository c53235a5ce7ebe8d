// How far a restore has come, kept in the table it writes into: whoever holds the credentials can go on with it, from
// any machine, and two cannot do it at once.

import { NO_FACTS, plus, type UnitFacts } from '../../protocol/reading-layers.ts';
import type { Ask } from './ask.ts';
import { addCounts, NO_COUNTS, type RepairCounts } from './sinks.ts';
import type { Target } from './target.ts';

export interface Saved {
  readonly format: 1;
  /** E.g. `2026-11-24T130501Z-1a2b3c4d`. */
  readonly id: string;
  readonly ask: Ask;
  readonly reason: string;
  /** `load`: the table was empty. `repair`: it was not. */
  readonly mode: 'load' | 'repair';
  readonly chain: readonly { readonly source: string; readonly prefix: string; readonly exportArn: string }[];
  readonly journalFrom?: string;
  readonly untilMs: number;
  /** What was refused, and is done all the same. */
  readonly overridden: readonly string[];
  readonly startedAtMs: number;
  /** Before it; 0: the table never was open. */
  readonly epochBefore: number;
  readonly wasOpen: boolean;
  /** By prefix, data files that are done. */
  readonly done: Readonly<Record<string, readonly number[]>>;
  /** Of those. */
  readonly facts: UnitFacts;
  readonly counts: RepairCounts;
}

/** @throws {Error} what stands there is none that this release can go on with */
export function parseSaved(text: string): Saved {
  const saved = JSON.parse(text) as Saved;
  if (saved.format !== 1)
    throw new Error(
      `the restore under way: expected format 1, got ${JSON.stringify(saved.format)}; go on with the release that began it`,
    );
  return saved;
}

export function unitsDone({ done }: Saved): ReadonlySet<string> {
  return new Set(
    Object.entries(done).flatMap(([prefix, files]) => files.map((index) => `${prefix}#${index}`)),
  );
}

/** Saves one thing after the other. */
export class SavedRestore {
  readonly #target: Target;
  #saved: Saved;
  #revision: number;
  #last: Promise<void> = Promise.resolve();

  constructor(target: Target, saved: Saved, revision: number) {
    this.#target = target;
    this.#saved = saved;
    this.#revision = revision;
  }

  get now(): Saved {
    return this.#saved;
  }

  begin(): Promise<void> {
    return this.#save(() => this.#saved);
  }

  /** A data file is done. `counts`: what was done to records in it. */
  unitDone(prefix: string, index: number, facts: UnitFacts, counts: RepairCounts = NO_COUNTS): Promise<void> {
    return this.#save(() => ({
      ...this.#saved,
      done: { ...this.#saved.done, [prefix]: [...(this.#saved.done[prefix] ?? []), index] },
      facts: plus(this.#saved.facts, facts),
      counts: addCounts(this.#saved.counts, counts),
    }));
  }

  /** Nothing that was done counts any more: whoever goes on does all of it again. */
  startOver(): Promise<void> {
    return this.#save(() => firstState(this.#saved));
  }

  end(): Promise<void> {
    return this.#save(() => undefined);
  }

  /** @throws {Error} somebody else goes on with it */
  #save(next: () => Saved | undefined): Promise<void> {
    const saving = this.#last.then(async () => {
      const saved = next();
      if (!(await this.#target.save(saved && JSON.stringify(saved), this.#revision)))
        throw new Error('somebody else goes on with this restore: expected to be the only one; ended here');
      this.#revision += 1;
      if (saved) this.#saved = saved;
    });
    this.#last = saving.catch(() => undefined);
    return saving;
  }
}

export function firstState(state: Omit<Saved, 'format' | 'done' | 'facts' | 'counts'>): Saved {
  return { ...state, format: 1, done: {}, facts: NO_FACTS, counts: NO_COUNTS };
}
