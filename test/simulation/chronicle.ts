// What really happened: every operation from the moment its author made it, every state of every record, every audit
// entry, every restore. The simulation sees all of it, which no machine in it does; the invariants are judged on this.
import { type AuditEntry, CHAIN_START } from '../../protocol/audit.ts';
import { ATTRIBUTES, recordKeyOf, recordPk } from '../../protocol/items.ts';
import type { Json, Operation } from '../../protocol/operations.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import type { Item } from './expressions.ts';
import type { Scheduler } from './scheduler.ts';
import type { Entry } from './table.ts';

/** One edit of a device. */
export interface Made {
  /** `<session>:<sequence>`. */
  readonly id: string;
  readonly device: string;
  readonly tenant: string;
  readonly pk: string;
  readonly kind: 'put' | 'delete';
  /** The payload is `{"n": token}`; no two edits share one. */
  readonly token: number;
  /** Counts the edits of a device, over all its sessions. */
  readonly order: number;
  /** Versions of the record that the device had been shown by then. */
  readonly seen: ReadonlySet<string>;
  /** The edits this one was made on top of, as far back as they go. */
  readonly ancestors: ReadonlySet<string>;
  /** True once its author was told that it is safe. */
  acknowledged: boolean;
  /** When a verdict that settles it last reached the device. */
  settledAtMs: number | undefined;
  rejected: boolean;
}

/** A state that a record was in. */
export interface State {
  readonly entry: number;
  readonly atMs: number;
  readonly version: string;
  /** Undefined: deleted. */
  readonly payload: string | undefined;
  /** Whose; undefined when nobody's version is known to be that. */
  readonly made: Made | undefined;
}

/** An entry of an audit trail as it was written. */
export interface Audited {
  readonly pk: string;
  readonly entry: number;
  readonly sequence: number;
  readonly text: string;
  readonly content: AuditEntry;
  readonly incoming: Made | undefined;
  readonly stored: Made | undefined;
}

export interface Restore {
  /** The last entry of the log that the backup holds. */
  readonly backup: number;
  /** The log's length when loading began. */
  readonly from: number;
  /** The new restore epoch, once it is raised. */
  epoch: number | undefined;
}

export class Violation extends Error {
  readonly invariant: string;

  constructor(invariant: string, what: string) {
    super(what);
    this.invariant = invariant;
  }
}

export const SETTLES: ReadonlySet<Verdict['verdict']> = new Set([
  'applied',
  'duplicate',
  'superseded',
  'rejected',
]);

export class Chronicle {
  readonly made = new Map<string, Made>();
  /** By record, in the order written; a restore loads older ones anew. */
  readonly states = new Map<string, State[]>();
  readonly audited: Audited[] = [];
  readonly restores: Restore[] = [];
  readonly #byPayload = new Map<string, Made>();
  readonly #byVersion = new Map<string, readonly Made[]>();
  readonly #scheduler: Scheduler;
  readonly #judge: (change: Change) => void;

  constructor(scheduler: Scheduler, judge: (change: Change) => void) {
    this.#scheduler = scheduler;
    this.#judge = judge;
  }

  add(made: Made): void {
    this.made.set(made.id, made);
    this.#byPayload.set(payloadOf(made) ?? '', made);
  }

  /** An operation is on its way under this version. */
  sent(device: string, tenant: string, operation: Operation): Made | undefined {
    const made = this.made.get(idOf(operation)) ?? this.#underOtherName(device, tenant, operation);
    if (made === undefined) return undefined;
    this.versionMade(operation.version, made);
    return made;
  }

  /** An operation that goes under another session or sequence than it was made with is still the same edit. */
  #underOtherName(device: string, tenant: string, operation: Operation): Made | undefined {
    const { collection, id, kind, sequence } = operation;
    const pk = recordPk({ tenant, collection, id });
    const made = [...this.made.values()].findLast(
      (other) =>
        other.device === device &&
        other.pk === pk &&
        other.kind === kind &&
        (operation.kind === 'put'
          ? `{"n":${other.token}}` === JSON.stringify(operation.payload)
          : other.id.endsWith(`:${sequence}`)),
    );
    if (made) this.made.set(idOf(operation), made);
    return made;
  }

  versionMade(version: string, made: Made): void {
    const name = stateName(made.pk, version, payloadOf(made));
    this.#byVersion.set(name, [...(this.#byVersion.get(name) ?? []).filter((it) => it !== made), made]);
  }

  /**
   * Whose edit a state is. Its version alone does not tell: edits of two records may get the same when they are
   * re-stamped, and two of one record when the first lost its vote. Two deletes have no payload to tell them apart:
   * then it is the one that was settled with it, else the latest.
   */
  madeOf(
    pk: string,
    version: string | undefined,
    payload: string | undefined,
    settled: readonly string[] = [],
  ): Made | undefined {
    if (version === undefined) return undefined;
    const candidates = this.#byVersion.get(stateName(pk, version, payload)) ?? [];
    return candidates.find(({ id }) => settled.includes(id)) ?? candidates.at(-1);
  }

  /** Who put such a payload; no two edits share one. */
  madeWith(payload: Json): Made | undefined {
    return this.#byPayload.get(JSON.stringify(payload));
  }

  /** A verdict reached its device. */
  heard(verdict: Verdict): void {
    const made = this.made.get(idOf(verdict));
    if (made === undefined || !SETTLES.has(verdict.verdict)) return;
    made.settledAtMs = this.#scheduler.nowMs;
    if (verdict.verdict === 'rejected') made.rejected = true;
  }

  /** Whether an entry of the log is part of the table's present: no later restore has undone it. */
  isInLineage(entry: number): boolean {
    return this.restores.every(({ backup, from }) => entry >= from || entry <= backup);
  }

  /** Whether an operation ever took effect, or lost in a decision. */
  settledOnce(made: Made): boolean {
    return (
      this.statesOf(made.pk).some((state) => state.made === made) ||
      this.audited.some(({ incoming }) => incoming === made)
    );
  }

  statesOf(pk: string): readonly State[] {
    return this.states.get(pk) ?? [];
  }

  /** Something was written. */
  take(entry: Entry): void {
    if (recordKeyOf(entry.pk) === undefined) return;
    const { before, after, pk } = entry;
    const isRestored = entry.region === undefined;
    const entries = isRestored ? [] : this.#auditEntries(entry);
    const [was, is] = [stateOf(before), stateOf(after)];
    const change: Change = {
      entry,
      isRestored,
      before: was,
      after: is,
      author: this.madeOf(pk, is?.version, is?.payload, settledBy(entry)),
      replaced: this.madeOf(pk, was?.version, was?.payload, this.#authorOf(pk, was)),
      audited: entries,
    };
    this.#judge(change);
    this.audited.push(...entries);
    if (change.after && change.after.version !== change.before?.version) {
      const states = this.states.get(pk) ?? [];
      this.states.set(pk, states);
      states.push({ entry: entry.index, atMs: entry.atMs, ...change.after, made: change.author });
    }
  }

  /** Of the state that a write finds, as it was judged when it came. */
  #authorOf(pk: string, was: Change['before']): readonly string[] {
    const state = this.statesOf(pk).at(-1);
    return state?.made && state.version === was?.version ? [state.made.id] : [];
  }

  /** Entries that this write put into the outbox; checks that they go on from the head. */
  #auditEntries({ pk, index, before, after }: Entry): Audited[] {
    const [had, has] = [
      Number(before?.[ATTRIBUTES.auditSequence]?.N ?? 0),
      Number(after?.[ATTRIBUTES.auditSequence]?.N ?? 0),
    ];
    if (after === undefined || has === had) return [];
    if (has !== had + 1)
      throw new Violation('5 audit chains', `${pk}: the audit sequence goes from ${had} to ${has}`);
    const text = after[ATTRIBUTES.outbox]?.L?.at(-1)?.S;
    if (text === undefined) throw new Violation('5 audit chains', `${pk}: entry ${has} is in no outbox`);
    const content = JSON.parse(text) as AuditEntry;
    const head = before?.[ATTRIBUTES.auditHead]?.S ?? CHAIN_START;
    if (content.previous !== head || content.sequence !== has)
      throw new Violation('5 audit chains', `${pk}: entry ${has} does not follow the head ${head}`);
    return [
      {
        pk,
        entry: index,
        sequence: has,
        text,
        content,
        incoming: this.made.get(idOf(content.incoming)),
        stored: this.statesOf(pk).findLast(({ version }) => version === content.stored?.version)?.made,
      },
    ];
  }
}

/** One write of a record. */
export interface Change {
  readonly entry: Entry;
  readonly isRestored: boolean;
  readonly before: { readonly version: string; readonly payload: string | undefined } | undefined;
  readonly after: { readonly version: string; readonly payload: string | undefined } | undefined;
  readonly author: Made | undefined;
  readonly replaced: Made | undefined;
  readonly audited: readonly Audited[];
}

/** The operations that a write settles: `<session>:<sequence>` of every `w#` that rose. */
function settledBy({ before, after }: Entry): readonly string[] {
  return Object.entries(after ?? {}).flatMap(([name, value]) => {
    const sequence = name.startsWith('w#') ? value.M?.['s']?.N : undefined;
    return sequence === undefined || sequence === before?.[name]?.M?.['s']?.N
      ? []
      : [`${name.slice(2)}:${sequence}`];
  });
}

function stateOf(item: Item | undefined): Change['before'] {
  const version = item?.[ATTRIBUTES.version]?.S;
  if (item === undefined || version === undefined) return undefined;
  return { version, payload: item[ATTRIBUTES.deleted]?.BOOL ? undefined : item[ATTRIBUTES.payload]?.S };
}

/** Undefined: it is a delete. */
export function payloadOf({ kind, token }: Made): string | undefined {
  return kind === 'delete' ? undefined : `{"n":${token}}`;
}

function stateName(pk: string, version: string, payload: string | undefined): string {
  return `${pk} ${version} ${payload}`;
}

export function idOf({
  session,
  sequence,
}: {
  readonly session?: string;
  readonly sequence?: number;
}): string {
  return `${session}:${sequence}`;
}
