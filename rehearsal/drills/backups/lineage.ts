// The log of a table that lost everything and was restored, as the log of the table that there is now: of each record the
// changes that led to the state it was restored in, and what came after. What the loss took away belongs to a table that
// no longer exists; what a client sends again of it takes effect for the first time here.
//
// The loss itself is in no stream. It shows as a record that is not there any more without having been removed.
import type { Finding } from '../checker.ts';
import type { Held, Logged } from '../sync/history.ts';

/** Which entries a restore wrote: those after the first and up to the second, by their order. */
export interface RestoreSpan {
  readonly closedAfter: number;
  readonly openedAfter: number;
}

export interface Lineage {
  readonly log: readonly Logged[];
  /** Records that the restore wrote. */
  readonly restored: number;
  /** Changes that are of no table any more. */
  readonly forgotten: number;
  /** Records that were restored in a state they never had. */
  readonly findings: readonly Finding[];
}

/** `table`: the records there are in the end. */
export function lineageOf(
  log: readonly Logged[],
  span: RestoreSpan,
  table: ReadonlyMap<string, Held>,
): Lineage {
  const kept: Logged[] = [];
  const findings: Finding[] = [];
  let [restored, own] = [0, 0];
  for (const [key, entries] of Map.groupBy(log, (entry) => entry.key)) {
    const life = new Life(span);
    for (const entry of entries) life.add(entry);
    kept.push(...life.end(table.has(key)));
    restored += life.restored;
    own += life.own;
    findings.push(
      ...life.unknown.map((version) => ({
        rule: 'state_went_back' as const,
        key,
        what: `it was restored as ${version ?? 'nothing'}, which it never was`,
      })),
    );
  }
  kept.sort((a, b) => a.order - b.order);
  return { log: kept, restored, forgotten: own - kept.length, findings };
}

/** Of one record. */
class Life {
  readonly unknown: (string | undefined)[] = [];
  restored = 0;
  /** Changes that were not the restore's. */
  own = 0;
  readonly #span: RestoreSpan;
  readonly #past: (readonly Logged[])[] = [];
  #now: readonly Logged[] = [];

  constructor(span: RestoreSpan) {
    this.#span = span;
  }

  add(entry: Logged): void {
    const { closedAfter, openedAfter } = this.#span;
    if (entry.order > closedAfter && entry.order <= openedAfter) {
      this.#restore(entry);
      return;
    }
    this.own += 1;
    if (entry.before === undefined && this.#now.at(-1)?.after !== undefined) this.#lose();
    this.#now = [...this.#now, entry];
  }

  end(isThere: boolean): readonly Logged[] {
    return !isThere && this.#now.at(-1)?.after !== undefined ? [] : this.#now;
  }

  #restore(entry: Logged): void {
    this.restored += 1;
    // Made whole again, and what it was.
    if (entry.before !== undefined && entry.after?.version === entry.before) return;
    this.#lose();
    const history = this.#historyOf(entry);
    if (!history) this.unknown.push(entry.after?.version);
    // What follows goes on from the state that was restored, known or not.
    this.#now = history ?? [entry];
  }

  #lose(): void {
    this.#past.push(this.#now);
    this.#now = [];
  }

  /** The changes up to the state that an entry brings back. */
  #historyOf({ after }: Logged): readonly Logged[] | undefined {
    for (const run of this.#past.toReversed()) {
      const isSame = (it: Logged) => it.after !== undefined && it.after.version === after?.version;
      const whole = run.findLastIndex((it) => isSame(it) && it.after?.audit.head === after?.audit.head);
      if (whole >= 0) return run.slice(0, whole + 1);
    }
    return undefined;
  }
}
