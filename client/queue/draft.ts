// One commit in the making: what changes in the file, and what changes in memory once it has. Nothing of the ledger
// is touched before the disk said yes, so a commit that fails leaves memory and file as they were.
import type { Version } from '../../protocol/versions.ts';
import { type Clock, observe } from '../../protocol/versions.ts';
import type { GroupRow, OutcomeRow, RecordRow, Writes } from './disk.ts';
import {
  addSeal,
  type Outcome,
  outcomeSealOf,
  outcomesText,
  type QueueState,
  recordSealOf,
  removeSeal,
  type SealSum,
  stateRowOf,
} from './format.ts';
import type { Group, Held, Ledger } from './ledger.ts';

export class Draft {
  readonly #ledger: Ledger;
  #state: QueueState;
  #sums: { groups: SealSum; outcomes: SealSum; records: SealSum };
  readonly #groups = new Map<number, GroupRow>();
  readonly #droppedGroups: Group[] = [];
  readonly #outcomes = new Map<Group, (Outcome | undefined)[]>();
  /** Null: the record goes. */
  readonly #records = new Map<string, RecordRow | null>();
  readonly #settledMs = new Map<string, number | undefined>();
  readonly #droppedOutcomes: number[] = [];
  /** Outcomes are adopted first: a group that is replaced takes along those it has by then. */
  readonly #outcomesAdopted: (() => void)[] = [];
  readonly #afterwards: (() => void)[] = [];
  #nextRecordRow: number;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#state = ledger.state;
    this.#sums = { ...ledger.state.sums };
    this.#nextRecordRow = ledger.nextRecordRow;
  }

  get state(): QueueState {
    return this.#state;
  }

  setState(changes: Partial<Omit<QueueState, 'sums' | 'commit'>>): void {
    this.#state = { ...this.#state, ...changes };
  }

  set clock(clock: Clock) {
    this.setState({ clock });
  }

  /** Versions seen advance the clock past them (PROTOCOL 1.1). */
  observe(version: Version): void {
    const clock = observe(this.#state.clock, version);
    if (clock !== this.#state.clock) this.setState({ clock });
  }

  /** Runs once the commit is durable, in the order given. */
  afterwards(change: () => void): void {
    this.#afterwards.push(change);
  }

  outcomesOf(group: Group): readonly (Outcome | undefined)[] {
    return this.#outcomes.get(group) ?? group.outcomes ?? [];
  }

  setOutcome(group: Group, index: number, outcome: Outcome): void {
    let outcomes = this.#outcomes.get(group);
    if (outcomes === undefined) {
      outcomes = [...(group.outcomes ?? new Array<undefined>(group.count).fill(undefined))];
      this.#outcomes.set(group, outcomes);
    }
    outcomes[index] = outcome;
  }

  addGroup(row: GroupRow, group: Group): void {
    this.#groups.set(row.position, row);
    this.#sums.groups = addSeal(this.#sums.groups, row.seal ?? row.link);
    this.#afterwards.push(() => this.#ledger.addGroup(group));
  }

  /** Writes what is left of a group, a gap included, in its place. */
  changeGroup(group: Group, row: GroupRow, bytes: readonly number[]): void {
    const before = this.#groups.get(group.position) ?? group;
    this.#groups.set(row.position, row);
    this.#sums.groups = removeSeal(this.#sums.groups, before.seal ?? before.link);
    this.#sums.groups = addSeal(this.#sums.groups, row.seal ?? row.link);
    const { count, session, link, seal } = row;
    this.#afterwards.push(() => this.#ledger.changeGroup(group, { count, session, link, seal, bytes }));
  }

  dropGroup(group: Group): void {
    this.#groups.delete(group.position);
    this.#droppedGroups.push(group);
    this.#sums.groups = removeSeal(this.#sums.groups, group.seal ?? group.link);
    this.dropOutcomes(group);
    this.#afterwards.push(() => this.#ledger.removeGroup(group));
  }

  /** A gap has none. */
  dropOutcomes(group: Group): void {
    this.#outcomes.delete(group);
    if (group.outcomesSeal === undefined) return;
    this.#sums.outcomes = removeSeal(this.#sums.outcomes, group.outcomesSeal);
    this.#droppedOutcomes.push(group.position);
  }

  versionHeld(key: string): Pick<Held, 'version' | 'seen' | 'settledMs'> | undefined {
    const drafted = this.#records.get(key);
    if (drafted === null) return undefined;
    if (drafted === undefined) return this.#ledger.held.get(key);
    return {
      version: drafted.version as Version,
      seen: drafted.seen,
      settledMs: this.#settledMs.get(key),
    };
  }

  /** `settledMs` where it is our own, just settled; what was pulled has none. */
  hold(key: string, version: Version, payload: string | null, seen: number, settledMs?: number): void {
    this.#settledMs.set(key, settledMs);
    const old = this.#records.get(key) ?? this.#ledger.held.get(key);
    const slash = key.indexOf('/');
    const unsealed = {
      row: old?.row ?? this.#nextRecordRow++,
      collection: key.slice(0, slash),
      id: key.slice(slash + 1),
      version,
      payload,
      seen,
    };
    this.#records.set(key, { ...unsealed, seal: recordSealOf(unsealed) });
  }

  forget(key: string): void {
    this.#records.set(key, null);
  }

  /** Whether there is anything to commit, state aside. */
  get hasChanges(): boolean {
    return this.#groups.size + this.#outcomes.size + this.#records.size + this.#droppedGroups.length > 0;
  }

  /** What to hand to the disk; call {@link adopt} when it has it. */
  writes(): Writes {
    const outcomes = this.#outcomeRows();
    const { records, droppedRecords } = this.#recordRows();
    this.#state = { ...this.#state, commit: this.#state.commit + 1, sums: this.#sums };
    return {
      state: stateRowOf(this.#state),
      groups: [...this.#groups.values()],
      outcomes,
      records,
      droppedGroups: this.#droppedGroups.map((group) => group.position),
      droppedOutcomes: this.#droppedOutcomes,
      droppedRecords,
    };
  }

  adopt(): void {
    for (const change of [...this.#outcomesAdopted, ...this.#afterwards]) change();
    this.#ledger.state = this.#state;
  }

  #outcomeRows(): OutcomeRow[] {
    const ledger = this.#ledger;
    return [...this.#outcomes].map(([group, outcomes]) => {
      const unsealed = { position: group.position, body: outcomesText(outcomes) };
      const seal = outcomeSealOf(unsealed);
      if (group.outcomesSeal !== undefined)
        this.#sums.outcomes = removeSeal(this.#sums.outcomes, group.outcomesSeal);
      this.#sums.outcomes = addSeal(this.#sums.outcomes, seal);
      this.#outcomesAdopted.push(() => ledger.setOutcomes(group, outcomes, seal));
      return { ...unsealed, seal };
    });
  }

  #recordRows(): { records: RecordRow[]; droppedRecords: number[] } {
    const ledger = this.#ledger;
    const records: RecordRow[] = [];
    const droppedRecords: number[] = [];
    for (const [key, row] of this.#records) {
      const old = ledger.held.get(key);
      if (old !== undefined) this.#sums.records = removeSeal(this.#sums.records, old.seal);
      if (row === null) {
        if (old !== undefined) droppedRecords.push(old.row);
        this.#afterwards.push(() => ledger.setHeld(key, undefined));
        continue;
      }
      this.#sums.records = addSeal(this.#sums.records, row.seal);
      records.push(row);
      const { version, payload, seen, seal } = row;
      const bytes = payload === null ? 0 : Buffer.byteLength(payload);
      const held = {
        row: row.row,
        version: version as Version,
        deleted: payload === null,
        bytes,
        seen,
        seal,
        settledMs: this.#settledMs.get(key),
      };
      this.#afterwards.push(() => ledger.setHeld(key, held));
    }
    return { records, droppedRecords };
  }
}
