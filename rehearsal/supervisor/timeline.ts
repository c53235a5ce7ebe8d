// The events of a rehearsal: told to whoever listens, and the ones a person would want to read kept for later comers.
import type { RehearsalEvent } from './state.ts';

/** Kept for the console and for status; older ones are forgotten. */
const KEPT = 200;
/** Too many to keep, or no news. */
const PASSING: ReadonlySet<RehearsalEvent['type']> = new Set(['traffic', 'client', 'log']);

export class Timeline {
  readonly #listeners = new Set<(event: RehearsalEvent) => void>();
  readonly #kept: RehearsalEvent[] = [];

  get events(): readonly RehearsalEvent[] {
    return [...this.#kept];
  }

  add(event: RehearsalEvent): void {
    if (!PASSING.has(event.type)) {
      this.#kept.push(event);
      if (this.#kept.length > KEPT) this.#kept.shift();
    }
    for (const listener of this.#listeners) listener(event);
  }

  /** Calls back with every event from now on, until the returned function is called. */
  listen(listener: (event: RehearsalEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
