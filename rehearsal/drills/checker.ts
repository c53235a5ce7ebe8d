// The judge of a recorded history: was anything lost, done twice, taken by a region that may take nothing, or seen in an
// order that no single copy of the data could have shown? Pure; each rule is one of PROTOCOL §9's invariants, and a
// finding names the record and what is wrong with it.
import type { VerdictName } from '../../protocol/verdicts.ts';
import { auditTrails, type Trail } from './sync/audit-trail.ts';
import { type Held, type Made, nameOf, type SyncHistory } from './sync/history.ts';
import { findUnlinearizable } from './sync/linearizable.ts';
import { findMinorityAccepted } from './sync/minority.ts';
import { type Effect, effectsOf, findLogFaults } from './sync/table-log.ts';

export type Rule =
  /** (1) Acknowledged, and neither state at some time, nor in the audit trail, nor in quarantine. */
  | 'lost'
  /** (7) Acknowledged, and still waiting on its device. */
  | 'undelivered'
  /** (2) Took effect more than once, or lost a vote more than once, or both. */
  | 'duplicated'
  /** (3) A record's state went to a lower version, or the log does not end in what the table holds. */
  | 'state_went_back'
  /** (3) A device that pulled everything holds something else than the table. */
  | 'not_converged'
  /** (4) A device's earlier edit of a record came after its later one, or beat it. */
  | 'own_edit_beaten'
  /** (5) An audit trail has a gap, a fork, or an entry that is not what its hash says. */
  | 'chain_broken'
  /** (8) An edit lost to the state it was based on, or to an older one. */
  | 'base_won'
  /** (9) A region that reached no other one settled something. */
  | 'minority_accepted'
  /** (9) No order of reads and writes explains what was answered. */
  | 'not_linearizable'
  /** (10) A state its author had not seen was replaced without a vote. */
  | 'unvoted'
  /** What was answered is not what was done. */
  | 'false_verdict';

export interface Finding {
  readonly rule: Rule;
  /** `<collection>/<id>`. */
  readonly key: string;
  readonly what: string;
}

export interface CheckedHistory {
  readonly findings: readonly Finding[];
  readonly counts: {
    readonly made: number;
    readonly acknowledged: number;
    /** Edits that were the state of their record at some time. */
    readonly effects: number;
    /** Entries in all audit trails. */
    readonly audited: number;
    /** Copies of operations on the wire, those refused unread aside, over distinct operations; NaN when none was sent. */
    readonly copiesPerOperation: number;
    /** Answers by verdict: one operation may get several. */
    readonly verdicts: Readonly<Partial<Record<VerdictName, number>>>;
    readonly reads: number;
  };
}

/** @param hashOf SHA-256 in hex */
export function checkHistory(history: SyncHistory, hashOf: (text: string) => string): CheckedHistory {
  const effects = effectsOf(history.log);
  const trails = auditTrails(history.log, hashOf);
  const findings = [
    ...findLost(history, effects, trails),
    ...findDuplicated(effects, trails),
    ...findFalseVerdicts(history, effects, trails),
    ...findLogFaults(history, effects, trails),
    ...trails.findings,
    ...findMinorityAccepted(history, effects, trails),
    ...findUnlinearizable(history, effects),
    ...findNotConverged(history),
  ];
  return { findings, counts: countsOf(history, effects, trails) };
}

/** How many findings there are of one or more rules. */
export function countOf(findings: readonly Finding[], ...rules: readonly Rule[]): number {
  return findings.filter(({ rule }) => rules.includes(rule)).length;
}

function findLost(
  { made, devices }: SyncHistory,
  effects: ReadonlyMap<string, readonly Effect[]>,
  { lost: audited }: Trail,
): Finding[] {
  const kept = new Set(devices.flatMap(({ quarantined }) => quarantined.map(nameOf)));
  const missing = Map.groupBy(
    made.filter((edit) => {
      const name = nameOf(edit);
      return edit.acknowledgedAt !== undefined && !effects.has(name) && !audited.has(name) && !kept.has(name);
    }),
    ({ by }) => by,
  );
  return [...missing].flatMap(([by, edits]) => {
    // What still waits is in order on its device: the latest ones.
    const waiting = devices.find(({ name }) => name === by)?.pending ?? 0;
    const lostUpTo = edits.length - waiting;
    return edits.map((edit: Made, index) => ({
      rule: index < lostUpTo ? ('lost' as const) : ('undelivered' as const),
      key: edit.key,
      what: `${nameOf(edit)} was acknowledged and is ${index < lostUpTo ? 'nowhere' : 'still waiting'}`,
    }));
  });
}

function findDuplicated(
  effects: ReadonlyMap<string, readonly Effect[]>,
  { lost }: Trail,
): readonly Finding[] {
  const found: Finding[] = [];
  for (const [name, all] of effects) {
    const [first] = all;
    if (first === undefined) continue;
    if (all.length > 1)
      found.push({
        rule: 'duplicated',
        key: first.key,
        what: `${name} became the state ${all.length} times, as ${all.map(({ version }) => version).join(', ')}`,
      });
    if (lost.has(name))
      found.push({
        rule: 'duplicated',
        key: first.key,
        what: `${name} became the state and lost a vote too`,
      });
  }
  for (const [name, entries] of lost)
    if (entries.length > 1)
      found.push({
        rule: 'duplicated',
        key: entries[0]?.key ?? '',
        what: `${name} lost ${entries.length} votes`,
      });
  return found;
}

function findFalseVerdicts(
  { sent }: SyncHistory,
  effects: ReadonlyMap<string, readonly Effect[]>,
  { lost }: Trail,
): readonly Finding[] {
  const found: Finding[] = [];
  for (const operation of sent) {
    const { answer, key } = operation;
    const name = nameOf(operation);
    const isFalse =
      (answer?.verdict === 'applied' && !effects.has(name)) ||
      (answer?.verdict === 'superseded' && !lost.has(name)) ||
      (answer?.verdict === 'duplicate' && !effects.has(name) && !lost.has(name));
    if (isFalse)
      found.push({
        rule: 'false_verdict',
        key,
        what: `${name} was answered ${answer.verdict} by ${operation.region}, and the table's log does not know of it`,
      });
  }
  return found;
}

function findNotConverged({ devices, table }: SyncHistory): readonly Finding[] {
  const found: Finding[] = [];
  const differs = (key: string, name: string, held: Held | undefined, stored: Held | undefined) => {
    if (held?.version === stored?.version) return;
    found.push({
      rule: 'not_converged',
      key,
      what: `${name} holds ${held?.version ?? 'nothing'}, the table ${stored?.version ?? 'nothing'}`,
    });
  };
  for (const { name, held } of devices) {
    if (held === undefined) continue;
    for (const [key, stored] of table) differs(key, name, held.get(key), stored);
    for (const [key, own] of held) if (!table.has(key)) differs(key, name, own, undefined);
  }
  return found;
}

function countsOf(
  { made, sent, reads }: SyncHistory,
  effects: ReadonlyMap<string, readonly Effect[]>,
  { entries }: Trail,
): CheckedHistory['counts'] {
  const verdicts: Partial<Record<VerdictName, number>> = {};
  const operations = new Set<string>();
  const copies = sent.filter(({ refused }) => !refused);
  for (const operation of copies) {
    operations.add(nameOf(operation));
    const verdict = operation.answer?.verdict;
    if (verdict !== undefined) verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
  }
  return {
    made: made.length,
    acknowledged: made.filter(({ acknowledgedAt }) => acknowledgedAt !== undefined).length,
    effects: effects.size,
    audited: entries.length,
    copiesPerOperation: copies.length / operations.size,
    verdicts,
    reads: reads.length,
  };
}
