// Two replicas with last-writer-wins replication, as DynamoDB plays them: whole items, the later timestamp stays, what
// is older is dropped, a stream that tells each applied change with both images. Deterministic: time, order and
// deliveries are the caller's. Decisions are the functions' own; the conditional writes are played.

import { firstAttempt, nextStep } from '../../lambdas/core/attempts.ts';
import { outboxEntries, recordRuling } from '../../lambdas/core/audit.ts';
import { createStampClock } from '../../lambdas/core/clock.ts';
import { type Change, concernOf, planFor, type Reconciliation } from '../../lambdas/core/reconciling.ts';
import {
  type AuditState,
  type Content,
  type Edit,
  NO_AUDIT,
  type StoredRecord,
} from '../../lambdas/core/record.ts';
import { judgeAlone } from '../../lambdas/core/voting.ts';
import { type AuditEntry, losingPayloadKey } from '../../protocol/audit.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import type { Version } from '../../protocol/versions.ts';

export const KEY: RecordKey = { tenant: 'acme', collection: 'notes', id: 'n1' };

interface Cell {
  readonly record: StoredRecord | undefined;
  /** Replication's own timestamp; of a removal too. */
  readonly ts: number;
  /** Breaks a tie, the same way everywhere. */
  readonly from: string;
  /** When it was sent. */
  readonly sentMs: number;
}

export class Replica {
  readonly region: string;
  readonly skewMs: number;
  readonly stream: Change[] = [];
  /** Texts of archived entries by hash, and large payloads by key. */
  readonly archive = new Map<string, string>();
  readonly #clock: ReturnType<typeof createStampClock>;
  readonly inbox: Cell[] = [];
  peer: Replica | undefined;
  cell: Cell = { record: undefined, ts: 0, from: '', sentMs: 0 };
  read = 0;
  /** Writes of the reconciler. */
  reconciled = 0;

  constructor(region: string, maker: string, skewMs: number) {
    this.region = region;
    this.skewMs = skewMs;
    this.#clock = createStampClock(maker.repeat(16));
  }

  get record(): StoredRecord | undefined {
    return this.cell.record;
  }

  /** A local write: it always applies here, and its timestamp is above what it replaces. */
  write(record: StoredRecord | undefined, nowMs: number): void {
    const ts = Math.max(nowMs + this.skewMs, this.cell.ts + 1);
    const cell = { record, ts, from: this.region, sentMs: nowMs };
    this.#apply(cell, nowMs);
    this.peer?.inbox.push(cell);
  }

  /** Takes one message of those under way, whichever. */
  deliver(index: number, nowMs: number): void {
    const [cell] = this.inbox.splice(index % Math.max(1, this.inbox.length), 1);
    const later = cell && (cell.ts - this.cell.ts || cell.from.localeCompare(this.cell.from));
    if (cell && Number(later) > 0) this.#apply(cell, nowMs);
  }

  #apply(cell: Cell, atMs: number): void {
    this.stream.push({ key: KEY, before: this.cell.record, after: cell.record, atMs });
    this.cell = cell;
  }

  stamp(nowMs: number, ...above: readonly (StoredRecord | undefined)[]): Version {
    for (const record of above) if (record) this.#clock.observe(record.commitVersion);
    return this.#clock.stamp(nowMs + this.skewMs);
  }

  /** An operation to its verdict through this replica. */
  settle(edit: Edit, nowMs: number): Verdict {
    let attempt = firstAttempt(edit);
    for (let round = 0; round < 8; round += 1) {
      const stored = this.record;
      const commitVersion = this.stamp(nowMs, stored);
      const fits =
        attempt.base === undefined
          ? stored === undefined
          : stored?.version === attempt.base &&
            stored.version < edit.version &&
            (stored.settled.get(edit.session)?.sequence ?? 0) < edit.sequence;
      if (fits) {
        this.#put(edit, edit, stored?.audit ?? NO_AUDIT, commitVersion, nowMs);
        return { session: edit.session, sequence: edit.sequence, verdict: 'applied', version: edit.version };
      }
      const step = nextStep(edit, attempt, stored, commitVersion, nowMs);
      if (step.kind === 'settle') return step.verdict;
      if (step.kind === 'retry') attempt = step.attempt;
      else return this.#decide(edit, step.stored, commitVersion, nowMs);
    }
    throw new Error('expected an operation to settle');
  }

  #decide(edit: Edit, stored: StoredRecord, commitVersion: Version, nowMs: number): Verdict {
    const poll = judgeAlone(edit, stored, this.region);
    if (poll.outcome === 'undecided') throw new Error('expected whole payloads');
    const ruling = { ...poll, stored: poll.voter };
    const scene = { region: this.region, atMs: nowMs };
    let recorded = recordRuling(edit, ruling, stored.audit, scene);
    if (recorded.kind === 'outbox_full') {
      this.archiveOutbox(stored.audit);
      recorded = recordRuling(edit, ruling, { ...stored.audit, outbox: [] }, scene);
    }
    if (recorded.kind === 'outbox_full') throw new Error('expected an entry to fit into an empty outbox');
    this.keepPayload(recorded.payload);
    const { session, sequence, version } = edit;
    const won = poll.outcome === 'incoming';
    this.#put(won ? edit : stored, edit, recorded.audit, commitVersion, nowMs);
    return won
      ? { session, sequence, verdict: 'applied', version }
      : { session, sequence, verdict: 'superseded', version: stored.version };
  }

  #put(
    { version, content }: { readonly version: Version; readonly content: Content },
    { session, sequence }: Edit,
    audit: AuditState,
    commitVersion: Version,
    nowMs: number,
  ): void {
    const { settled = new Map(), through = new Map(), takenUp } = this.record ?? {};
    this.write(
      {
        version,
        content,
        commitVersion,
        audit,
        settled: new Map(settled).set(session, { sequence, atMs: nowMs }),
        through: new Map(through).set(this.region, commitVersion),
        ...(takenUp && { takenUp }),
      },
      nowMs,
    );
  }

  /** Under "commit version unchanged", and without a new one. */
  trim(nowMs: number): void {
    const { record } = this;
    if (!record || record.audit.outbox.length === 0) return;
    this.archiveOutbox(record.audit);
    this.write({ ...record, audit: { ...record.audit, outbox: [] } }, nowMs);
  }

  archiveOutbox(audit: AuditState): void {
    for (const { hash, text } of outboxEntries(audit)) this.archive.set(hash, text);
  }

  keepPayload(payload: Extract<Content, { deleted: false }> | undefined): void {
    if (payload) this.archive.set(losingPayloadKey(KEY.tenant, payload.sha256), payload.payload);
  }

  /** The reconciler on one change of this stream, delivered for the first time or again. */
  reconcile(change: Change, nowMs: number): void {
    if (change.after) this.archiveOutbox(change.after.audit);
    const concern = concernOf(change, this.region, 0);
    if (!concern) return;
    let current = change.after;
    let emptied = false;
    for (let round = 0; round < 4; round += 1) {
      const commitVersion = this.stamp(nowMs, change.before, current);
      const scene = { region: this.region, atMs: nowMs, commitVersion, emptied };
      const plan = planFor(KEY, concern, current, scene);
      if (plan.kind === 'nothing') return;
      if (plan.kind === 'corrupt') throw new Error('expected whole payloads');
      if (plan.kind === 'outbox_full') {
        this.archiveOutbox(plan.trail);
        emptied = true;
      } else if (plan.write.over === this.record?.commitVersion) {
        this.keepPayload(plan.payload);
        if (plan.leaves) this.archiveOutbox(plan.leaves);
        this.reconciled += 1;
        this.write(this.#after(plan.write), nowMs);
        return;
      } else {
        current = this.record;
        emptied = false;
      }
    }
    throw new Error('expected the second look to be at what stands there');
  }

  #after({
    version,
    content,
    commitVersion,
    settled,
    through,
    takenUp,
    audit,
  }: Reconciliation): StoredRecord {
    const stored = this.record;
    return {
      version,
      content,
      commitVersion,
      settled: new Map([...(stored?.settled ?? []), ...settled]),
      through: new Map([...(stored?.through ?? []), ...through]),
      ...(takenUp.length > 0 ? { takenUp } : stored?.takenUp && { takenUp: stored.takenUp }),
      audit: audit ?? stored?.audit ?? NO_AUDIT,
    };
  }
}

/** Two replicas that follow each other. */
export function createPair(skewMs: number): readonly [Replica, Replica] {
  const west = new Replica('us-gov-west-1', 'a', 0);
  const east = new Replica('us-gov-east-1', 'b', skewMs);
  west.peer = east;
  east.peer = west;
  return [west, east];
}

/** Every entry that either Region archived, or that still stands in an outbox. */
export function entriesOf(pair: readonly Replica[]): readonly AuditEntry[] {
  const texts = new Map<string, string>();
  for (const { archive, record } of pair) {
    for (const [key, text] of archive) if (/^[0-9a-f]{64}$/.test(key)) texts.set(key, text);
    for (const { hash, text } of record ? outboxEntries(record.audit) : []) texts.set(hash, text);
  }
  return [...texts.values()].map((text) => JSON.parse(text) as AuditEntry);
}
