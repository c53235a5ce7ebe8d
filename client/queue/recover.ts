// By hand, after damage: what can be proved goes into a new file as it was, what reads well but nothing vouches for
// goes into its quarantine for a person to judge, and what cannot be read is listed. The damaged file stays as it is.
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { COLLECTION_PATTERN, RECORD_ID_PATTERN } from '../../protocol/names.ts';
import { isVersion, makerOf } from '../../protocol/versions.ts';
import type { GroupRow, OutcomeRow } from './disk.ts';
import { Draft } from './draft.ts';
import { type Finding, QueueDiskError } from './errors.ts';
import {
  DROPPED,
  type Line,
  linkOf,
  newState,
  type Outcome,
  outcomeSealOf,
  parseLine,
  parseOutcomes,
  parseState,
  type QueueState,
  recordSealOf,
  stateRowOf,
} from './format.ts';
import { type Group, keyOf, Ledger } from './ledger.ts';
import { isProved, rangeOf } from './lines.ts';
import { highestMark } from './load.ts';
import { LogCopy } from './log-copy.ts';
import { MarkKeeper } from './mark.ts';
import { MarkFile, syncDirectory } from './mark-file.ts';
import { type Salvage, salvageRows } from './salvage.ts';
import { openSqliteDisk, PAGE_BYTES } from './sqlite-disk.ts';
import { repairWal } from './wal-repair.ts';

export interface Recovery {
  /** Operations proved intact that still wait; they keep session and sequence, so sending one twice does no harm. */
  readonly pending: number;
  /** Proved, settled and kept for a restore. */
  readonly kept: number;
  /** In the new file's quarantine: rejected before, or readable with nothing to prove it (`unproven`). */
  readonly quarantined: number;
  readonly unproven: number;
  /** Records held; all are pulled anew as well. */
  readonly records: number;
  /** What is in neither. */
  readonly lost: readonly Finding[];
}

export interface RecoveryOptions {
  /** This machine's clock, Unix ms. @default Date.now */
  readonly now: () => number;
  /** That many random bytes in hex. */
  readonly random: (bytes: number) => string;
}

/**
 * Saves what can be saved of the closed queue file `path` into the new file `newPath`.
 * @throws QueueDiskError when `newPath` exists or a file cannot be read or written.
 */
export function recover(path: string, newPath: string, { now, random }: RecoveryOptions): Recovery {
  const target = resolve(newPath);
  if (existsSync(target)) throw new QueueDiskError(target, 'it exists; recovery needs a new name');
  const copy = `${target}-salvage`;
  const part = `${target}-part`;
  try {
    copyDamaged(resolve(path), copy);
    const rescue = new Rescue(salvageRows(copy), markedHead(resolve(path)), now());
    rescue.writeTo(part, random);
    renameSync(`${part}-mark`, `${target}-mark`);
    renameSync(part, target);
    syncDirectory(dirname(target));
    return rescue.report();
  } finally {
    for (const name of [copy, part])
      for (const suffix of ['', '-wal', '-wal-copy', '-shm', '-journal', '-mark', '-reserve'])
        rmSync(name + suffix, { force: true });
  }
}

function copyDamaged(path: string, copy: string): void {
  copyFileSync(path, copy);
  const log = LogCopy.of(path);
  const wal = log && repairWal(readFileSync(log), PAGE_BYTES);
  if (wal !== undefined) writeFileSync(`${copy}-wal`, wal);
}

/** How far operations were acknowledged, as far as the mark tells. */
function markedHead(path: string): number {
  if (!existsSync(`${path}-mark`)) return 0;
  const file = new MarkFile(`${path}-mark`);
  const head = highestMark(file.read())?.head ?? 0;
  file.close();
  return head;
}

class Rescue {
  readonly #salvage: Salvage;
  readonly #markedHead: number;
  readonly #nowMs: number;
  readonly #lost: Finding[];
  readonly #state: QueueState | undefined;
  readonly #counts = { pending: 0, kept: 0, quarantined: 0, unproven: 0, records: 0 };

  constructor(salvage: Salvage, markedHeadPosition: number, nowMs: number) {
    this.#salvage = salvage;
    this.#markedHead = markedHeadPosition;
    this.#nowMs = nowMs;
    this.#lost = [...salvage.unreadable];
    this.#state = provedState(salvage);
    if (this.#state === undefined)
      this.#lost.push({ where: 'state', what: 'clock offset, restore epoch and checkpoint start anew' });
  }

  report(): Recovery {
    return { ...this.#counts, lost: this.#lost };
  }

  writeTo(path: string, random: (bytes: number) => string): void {
    const disk = openSqliteDisk(path, { reserveBytes: 0 });
    try {
      const ledger = new Ledger(this.#newState(random));
      const mark = new MarkKeeper(disk, ledger.state);
      mark.sync();
      const draft = new Draft(ledger);
      this.#draftGroups(draft);
      this.#draftRecords(draft);
      disk.commit(draft.writes(), false);
      draft.adopt();
      mark.advance(ledger.state, stateRowOf(ledger.state).seal);
      mark.sync();
    } finally {
      disk.close();
    }
  }

  /** The same file id: versions it made stay its own (PROTOCOL 3.2). No checkpoint: the next pull is a resync. */
  #newState(random: (bytes: number) => string): QueueState {
    const fresh = newState(this.#state?.fileId ?? this.#fileIdOfLines() ?? random(8));
    if (this.#state === undefined) return fresh;
    const { clock, offsetMs, restoreEpoch, resync } = this.#state;
    return {
      ...fresh,
      clock,
      offsetMs,
      restoreEpoch,
      resync: { number: resync.number, active: false },
    };
  }

  #fileIdOfLines(): string | undefined {
    for (const { body } of this.#salvage.groups)
      for (const text of body.split('\n')) {
        const line = readableLine(text);
        if (line) return makerOf(line.version);
      }
    return undefined;
  }

  #draftGroups(draft: Draft): void {
    let expected = (this.#state?.tail.position ?? 0) + 1;
    let previous = this.#state?.tail.link;
    for (const row of this.#salvage.groups) {
      if (row.position > expected) this.#miss(expected, row.position - expected);
      const proved = row.seal === null && row.position !== expected ? false : isProved(previous ?? '', row);
      if (row.session !== '') this.#draftGroup(draft, row, proved);
      expected = row.position + row.count;
      previous = row.link;
    }
    const end = Math.max(this.#markedHead, this.#state?.head.position ?? 0);
    if (end >= expected) this.#miss(expected, end - expected + 1);
  }

  #miss(position: number, count: number): void {
    this.#lost.push({ where: 'operations', what: `${rangeOf({ position, count })} cannot be read` });
  }

  #draftGroup(draft: Draft, row: GroupRow, proved: boolean): void {
    const known = this.#outcomesOf(row.position);
    const texts = row.body.split('\n');
    const outcomes: (Outcome | undefined)[] = [];
    for (let index = 0; index < row.count; index++) {
      const line = readableLine(texts[index] ?? '');
      outcomes.push(line === undefined ? DROPPED : outcomeFor(known[index], proved, this.#nowMs));
      // Thinning leaves empty lines, and only of operations dropped.
      const wasDropped = known[index]?.state === 'dropped' || (proved && texts[index] === '');
      if (line === undefined && !wasDropped) this.#miss(row.position + index, 1);
      if (line !== undefined) draft.observe(line.version);
    }
    const body = Array.from({ length: row.count }, (_, index) =>
      outcomes[index] === DROPPED ? '' : (texts[index] as string),
    ).join('\n');
    if (outcomes.every((outcome) => outcome === DROPPED)) return;
    this.#count(outcomes);
    this.#enter(draft, row, body, outcomes);
  }

  #outcomesOf(position: number): readonly (Outcome | undefined)[] {
    const row = this.#salvage.outcomes.get(position);
    return row !== undefined && isSealed(row) ? parseOutcomes(row.body) : [];
  }

  /** As a group of the new file, chained there. */
  #enter(draft: Draft, row: GroupRow, body: string, outcomes: readonly (Outcome | undefined)[]): void {
    const { head } = draft.state;
    const position = head.position + 1;
    const unlinked = { position, count: row.count, session: row.session, sequence: row.sequence, body };
    const link = linkOf(head.link, unlinked);
    const bytes = body.split('\n').map((line) => Buffer.byteLength(line));
    const { body: _, ...place } = unlinked;
    const chained = { ...place, previous: head.link, link, seal: null, bytes };
    const group: Group = { ...chained, outcomes: undefined, outcomesSeal: undefined };
    draft.addGroup({ ...unlinked, link, seal: null }, group);
    for (const [index, outcome] of outcomes.entries()) if (outcome) draft.setOutcome(group, index, outcome);
    draft.setState({ head: { position: position + row.count - 1, link } });
  }

  #count(outcomes: readonly (Outcome | undefined)[]): void {
    for (const outcome of outcomes) {
      const state = outcome?.state ?? 'pending';
      if (state !== 'dropped') this.#counts[state]++;
      if (outcome?.state === 'quarantined' && outcome.reason === 'unproven') this.#counts.unproven++;
    }
  }

  #draftRecords(draft: Draft): void {
    for (const record of this.#salvage.records) {
      const { collection, id, version, payload, seen } = record;
      if (recordSealOf(record) !== record.seal || !isVersion(version)) {
        this.#lost.push({
          where: 'records',
          what: `row ${record.row} does not match its seal; it is pulled anew`,
        });
        continue;
      }
      draft.observe(version);
      draft.hold(keyOf(collection, id), version, payload, seen);
      this.#counts.records++;
    }
  }
}

function provedState({ state }: Salvage): QueueState | undefined {
  if (state === undefined) return undefined;
  try {
    const parsed = parseState(state);
    return stateRowOf(parsed).seal === state.seal ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isSealed(row: OutcomeRow): boolean {
  return outcomeSealOf(row) === row.seal;
}

/** Waits still, and unproved: into quarantine. What was settled stays settled: sending it again would do no harm. */
function outcomeFor(known: Outcome | undefined, proved: boolean, at: number): Outcome | undefined {
  const waits = known === undefined || known.state === 'pending';
  if (proved || known?.state === 'dropped' || known?.state === 'quarantined') return known;
  if (!waits) return DROPPED;
  const detail = 'saved from a damaged file: nothing proves that it is what was written';
  const stamp = known?.stamp;
  return { state: 'quarantined', at, reason: 'unproven', detail, ...(stamp ? { stamp } : {}) };
}

/** Undefined unless every field of it could have been written by us. */
function readableLine(text: string): Line | undefined {
  try {
    const line = parseLine(text);
    if (line.payload !== '') JSON.parse(line.payload);
    const isPlausible =
      COLLECTION_PATTERN.test(line.collection) &&
      RECORD_ID_PATTERN.test(line.id) &&
      isVersion(line.version) &&
      (line.base === undefined || isVersion(line.base)) &&
      (line.kind === 'delete') === (line.payload === '');
    return isPlausible ? line : undefined;
  } catch {
    return undefined;
  }
}
