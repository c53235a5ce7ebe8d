// Reads a whole file, proves every row of it, and builds the ledger. What a crash leaves is a last commit that is
// there or not; anything else that does not fit is damage, and all of it is reported.
import { EdenFieldError } from '../../protocol/errors.ts';
import type { Version } from '../../protocol/versions.ts';
import type { GroupRow, OutcomeRow, QueueDisk, StateRow } from './disk.ts';
import type { Finding } from './errors.ts';
import {
  addSeal,
  type Mark,
  NO_SEALS,
  outcomeSealOf,
  parseLine,
  parseMark,
  parseOutcomes,
  parseState,
  type QueueState,
  recordSealOf,
  type SealSum,
  stateRowOf,
} from './format.ts';
import { type Group, keyOf, Ledger } from './ledger.ts';
import { isProved, rangeOf } from './lines.ts';
import { Waiting } from './waiting.ts';

export interface Loaded {
  /** Undefined for a file nothing was ever committed to. */
  readonly ledger: Ledger | undefined;
  readonly findings: readonly Finding[];
}

export function load(disk: QueueDisk): Loaded {
  const findings: Finding[] = [];
  const mark = highestMark(disk.readMark());
  const row = attempt(findings, 'state', () => disk.readState());
  if (findings.length > 0) return { ledger: undefined, findings };
  if (row === undefined) {
    if (mark !== undefined && mark.commit > 0)
      findings.push({
        where: 'state',
        what: `the file is empty, but ${mark.head} operations were acknowledged`,
      });
    return { ledger: undefined, findings };
  }
  const state = proveState(row, mark, findings);
  if (state === undefined) return { ledger: undefined, findings };
  findings.push(...disk.check());
  const ledger = new Ledger(state);
  const outcomes = attempt(findings, 'outcomes', () => loadOutcomes(disk, state, findings));
  attempt(findings, 'operations', () => loadGroups(disk, ledger, outcomes ?? new Map(), findings));
  attempt(findings, 'records', () => loadRecords(disk, ledger, findings));
  return { ledger, findings };
}

export function highestMark(texts: readonly string[]): Mark | undefined {
  return texts
    .map(parseMark)
    .filter((mark) => mark !== undefined)
    .reduce<Mark | undefined>((best, mark) => (best && best.commit >= mark.commit ? best : mark), undefined);
}

function proveState(row: StateRow, mark: Mark | undefined, findings: Finding[]): QueueState | undefined {
  let state: QueueState | undefined;
  try {
    state = parseState(row);
    if (stateRowOf(state).seal !== row.seal) state = undefined;
  } catch {
    state = undefined;
  }
  if (state === undefined) findings.push({ where: 'state', what: 'the state row does not match its seal' });
  else if (mark === undefined)
    findings.push({
      where: 'mark',
      what: 'the high-water mark is missing, so nothing proves the file complete',
    });
  else if (mark.commit > state.commit)
    findings.push({
      where: 'operations',
      what:
        `commit ${mark.commit} was acknowledged, with operations up to ${mark.head}; ` +
        `the file ends at commit ${state.commit} and operation ${state.head.position}`,
    });
  else if (mark.commit === state.commit && mark.state !== row.seal)
    findings.push({ where: 'state', what: `commit ${state.commit} is another one than was acknowledged` });
  return state;
}

/** Outcomes come first, so that one pass over the groups sees what waits. */
function loadOutcomes(disk: QueueDisk, state: QueueState, findings: Finding[]): Map<number, OutcomeRow> {
  const rows = new Map<number, OutcomeRow>();
  let sum = NO_SEALS;
  for (const row of disk.readOutcomes()) {
    sum = addSealSafely(sum, row.seal);
    if (outcomeSealOf(row) !== row.seal)
      findings.push({
        where: 'outcomes',
        what: `those of the group at ${row.position} do not match their seal`,
      });
    else rows.set(row.position, row);
  }
  compareSums('outcomes', sum, state.sums.outcomes, findings);
  return rows;
}

function loadGroups(
  disk: QueueDisk,
  ledger: Ledger,
  outcomes: Map<number, OutcomeRow>,
  findings: Finding[],
): void {
  const { tail, head, sums } = ledger.state;
  let { position, link } = tail;
  let sum = NO_SEALS;
  for (const row of disk.readGroups()) {
    const follows = row.position === position + 1;
    if (!follows) findings.push(misplaced(position + 1, row));
    // Without its predecessor a whole group cannot be proved; one finding says so already.
    if ((follows || row.seal !== null) && !isProved(link, row))
      findings.push({ where: 'operations', what: `${rangeOf(row)} do not match their seal` });
    else if (follows) enter(ledger, row, link, outcomes.get(row.position));
    outcomes.delete(row.position);
    sum = addSealSafely(sum, row.seal ?? row.link);
    position = row.position + row.count - 1;
    link = row.link;
  }
  if (position !== head.position)
    findings.push({
      where: 'operations',
      what: `the chain ends at operation ${position}, not at ${head.position}`,
    });
  else if (link !== head.link)
    findings.push({
      where: 'operations',
      what: `the link of operation ${position} is not the last one made`,
    });
  for (const orphan of outcomes.keys())
    findings.push({ where: 'outcomes', what: `there is no group at ${orphan} for these` });
  compareSums('operations', sum, sums.groups, findings);
}

function misplaced(expected: number, row: GroupRow): Finding {
  const missing = row.position - expected;
  const what =
    missing > 0
      ? `${rangeOf({ position: expected, count: missing })} are missing`
      : `${rangeOf(row)} stand where operation ${expected} should`;
  return { where: 'operations', what };
}

function enter(ledger: Ledger, row: GroupRow, previous: string, outcomeRow: OutcomeRow | undefined): void {
  const { position, count, session, sequence, link, seal, body } = row;
  const lines = session === '' ? [] : body.split('\n');
  const outcomes = outcomeRow && parseOutcomes(outcomeRow.body);
  const bytes = lines.map((line) => Buffer.byteLength(line));
  const place = { position, count, session, sequence };
  const group: Group = { ...place, previous, link, seal, bytes, outcomes, outcomesSeal: outcomeRow?.seal };
  ledger.addGroup(group);
  for (const [index, text] of lines.entries()) {
    const outcome = outcomes?.[index];
    if (outcome !== undefined && outcome.state !== 'pending') continue;
    const line = parseLine(text);
    const { version, base } = outcome?.stamp ?? line;
    const key = keyOf(line.collection, line.id);
    const waiting = new Waiting(group, index, key, version, base, outcome?.replayed ?? false);
    ledger.waiting.add(waiting, ledger.waiting.lastOf(key));
  }
}

function loadRecords(disk: QueueDisk, ledger: Ledger, findings: Finding[]): void {
  let sum = NO_SEALS;
  for (const record of disk.readRecords()) {
    const { row, collection, id, payload, seen, seal } = record;
    sum = addSealSafely(sum, seal);
    const key = keyOf(collection, id);
    if (recordSealOf(record) !== seal || ledger.held.has(key))
      findings.push({ where: 'records', what: `row ${row}, ${key}, does not match its seal` });
    const bytes = payload === null ? 0 : Buffer.byteLength(payload);
    const version = record.version as Version;
    ledger.setHeld(key, { row, version, deleted: payload === null, bytes, seen, seal, settledMs: undefined });
  }
  compareSums('records', sum, ledger.state.sums.records, findings);
}

function compareSums(where: string, got: SealSum, expected: SealSum, findings: Finding[]): void {
  if (got.count !== expected.count)
    findings.push({ where, what: `expected ${expected.count} rows, got ${got.count}` });
  else if (got.sum !== expected.sum)
    findings.push({ where, what: 'some rows are older copies of what was written last' });
}

/** A damaged seal may be no number at all. */
function addSealSafely(sum: SealSum, seal: string): SealSum {
  return /^[0-9a-f]{64}$/.test(seal) ? addSeal(sum, seal) : { ...sum, count: sum.count + 1 };
}

/** What cannot be read is a finding, not an exception, so that the rest is looked at too. */
function attempt<T>(findings: Finding[], where: string, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof EdenFieldError && error.code !== 'QUEUE_CORRUPT') throw error;
    findings.push({ where, what: error instanceof Error ? error.message : String(error) });
    return undefined;
  }
}
