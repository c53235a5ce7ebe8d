// Verdicts become outcomes, in one commit (PROTOCOL 5). Settled operations are kept for a restore, what was applied is
// held as the record's state, what was rejected goes to quarantine, and a clock ahead re-stamps its whole key.
import { CLOCK_AHEAD_MS_MAX } from '../../protocol/limits.ts';
import type { Verdict, VerdictName } from '../../protocol/verdicts.ts';
import { clockOf, compareVersions, type Version } from '../../protocol/versions.ts';
import type { Draft } from './draft.ts';
import { type Outcome, parseLine, type QuarantineReason } from './format.ts';
import type { Ledger } from './ledger.ts';
import type { ReadLines } from './lines.ts';
import { putBack, restamp } from './stamps.ts';
import type { Waiting } from './waiting.ts';

/** An operation that lost: to a vote, or to a rule. */
export interface LostOperation {
  readonly session: string;
  readonly sequence: number;
  readonly collection: string;
  readonly id: string;
  readonly kind: 'put' | 'delete';
  readonly version: Version;
}

export interface Settlement {
  /** Verdicts on operations that were in flight; others are not counted. */
  readonly counts: Readonly<Record<VerdictName, number>>;
  /** Lost a vote to `stored`; their payloads are in the server's audit log. */
  readonly superseded: readonly (LostOperation & { readonly stored: Version })[];
  /** Now in quarantine. */
  readonly rejected: readonly (LostOperation & {
    readonly reason: QuarantineReason;
    readonly detail: string;
  })[];
  /** Until then, in ms from the server's time, some re-stamped operations stay ahead of its clock: wait (5.4). */
  readonly waitMs: number;
}

export interface SettleInput {
  readonly verdicts: readonly Verdict[];
  /** Operations in flight by session and sequence; others are passed over. */
  readonly find: (session: string, sequence: number) => Waiting | undefined;
  readonly lines: ReadLines;
  /** This machine's clock, uncorrected, Unix ms. */
  readonly nowMs: number;
}

export function draftSettlement(
  ledger: Ledger,
  draft: Draft,
  input: SettleInput,
): { readonly settlement: Settlement; readonly keptBytes: number } {
  return new Settling(ledger, draft, input).run();
}

class Settling {
  readonly #ledger: Ledger;
  readonly #draft: Draft;
  readonly #input: SettleInput;
  readonly #kept: Outcome;
  readonly #settled = new Set<Waiting>();
  readonly #ahead = new Map<string, Verdict & { verdict: 'clock_ahead' }>();
  readonly #counts = { applied: 0, duplicate: 0, superseded: 0, deferred: 0, rejected: 0, clock_ahead: 0 };
  readonly #superseded: (LostOperation & { stored: Version })[] = [];
  readonly #rejected: (LostOperation & { reason: QuarantineReason; detail: string })[] = [];
  #waitMs = 0;
  #keptBytes = 0;

  constructor(ledger: Ledger, draft: Draft, input: SettleInput) {
    this.#ledger = ledger;
    this.#draft = draft;
    this.#input = input;
    this.#kept = { state: 'kept', at: input.nowMs };
  }

  run(): { settlement: Settlement; keptBytes: number } {
    for (const verdict of this.#input.verdicts) {
      const waiting = this.#input.find(verdict.session, verdict.sequence);
      if (waiting === undefined || this.#settled.has(waiting)) continue;
      this.#counts[verdict.verdict]++;
      this.#take(waiting, verdict);
    }
    for (const [key, verdict] of this.#ahead) this.#restamp(key, verdict);
    this.#draft.afterwards(() => {
      for (const waiting of this.#settled) this.#ledger.waiting.remove(waiting);
    });
    const lost = { superseded: this.#superseded, rejected: this.#rejected };
    const settlement = { counts: this.#counts, ...lost, waitMs: this.#waitMs };
    return { settlement, keptBytes: this.#keptBytes };
  }

  #take(waiting: Waiting, verdict: Verdict): void {
    switch (verdict.verdict) {
      case 'applied':
        this.#keep(waiting, verdict.version);
        this.#hold(waiting, verdict.version);
        break;
      case 'duplicate':
        this.#keep(waiting, waiting.version);
        // Settled before, and perhaps under a stamp it no longer has or overwritten since: its payload is held only
        // where a pull is sure to bring what came after it. The verdict's version alone is never held (5.1).
        if (compareVersions(waiting.version, verdict.version) <= 0) this.#hold(waiting, waiting.version);
        break;
      case 'superseded':
        this.#keep(waiting, waiting.version);
        this.#superseded.push({ ...this.#lost(waiting), stored: verdict.version });
        break;
      case 'rejected':
        this.#quarantine(waiting, verdict.reason, verdict.detail);
        break;
      case 'clock_ahead':
        this.#ahead.set(waiting.key, verdict);
        return;
      case 'deferred':
        return;
    }
    if (verdict.verdict !== 'rejected') this.#draft.observe(verdict.version);
    this.#settled.add(waiting);
  }

  #keep(waiting: Waiting, version: Version): void {
    this.#keptBytes += waiting.bytes;
    const group = waiting.group;
    const before = this.#draft.outcomesOf(group)[waiting.index];
    const restamped = before?.state === 'pending' && before.stamp !== undefined;
    const stamp = { version, base: waiting.base };
    const asMade = !restamped && version === waiting.version;
    this.#draft.setOutcome(group, waiting.index, asMade ? this.#kept : ({ ...this.#kept, stamp } as Outcome));
  }

  #hold(waiting: Waiting, version: Version): void {
    const held = this.#draft.versionHeld(waiting.key);
    const { resync } = this.#draft.state;
    // A resync accepts lower versions (6.4): what it has not returned yet may be gone from the server.
    const stale = held !== undefined && resync.active && held.seen !== resync.number;
    if (held !== undefined && !stale && compareVersions(held.version, version) > 0) return;
    const line = this.#line(waiting);
    const payload = line.kind === 'put' ? line.payload : null;
    this.#draft.hold(waiting.key, version, payload, resync.number, this.#input.nowMs);
  }

  #quarantine(waiting: Waiting, reason: QuarantineReason, detail: string): void {
    const stamp = { version: waiting.version, base: waiting.base };
    const at = this.#input.nowMs;
    this.#draft.setOutcome(waiting.group, waiting.index, {
      state: 'quarantined',
      at,
      reason,
      detail,
      stamp,
    });
    this.#rejected.push({ ...this.#lost(waiting), reason, detail });
  }

  /** 5.4: every unsettled operation of the key. */
  #restamp(key: string, { serverTimeMs, version: stored }: Verdict & { verdict: 'clock_ahead' }): void {
    const chain = this.#ledger.waiting.chainOf(key).filter((waiting) => !this.#settled.has(waiting));
    const stamps = restamp(chain, serverTimeMs, stored, this.#draft.state.fileId);
    this.#draft.setState({
      offsetMs: Math.floor(serverTimeMs) - this.#input.nowMs,
      clock: putBack(this.#draft.state.clock, serverTimeMs),
    });
    if (stored !== undefined) this.#draft.observe(stored);
    for (const [index, stamp] of stamps.entries()) {
      const waiting = chain[index] as Waiting;
      this.#draft.observe(stamp.version);
      this.#draft.setOutcome(waiting.group, waiting.index, {
        state: 'pending',
        stamp,
        ...(waiting.replayed ? { replayed: true } : {}),
      });
      this.#draft.afterwards(() => Object.assign(waiting, stamp));
      const aheadMs = clockOf(stamp.version).ms - serverTimeMs - CLOCK_AHEAD_MS_MAX;
      this.#waitMs = Math.max(this.#waitMs, Math.ceil(aheadMs));
    }
  }

  #lost(waiting: Waiting): LostOperation {
    const { kind, collection, id } = this.#line(waiting);
    const { session, sequence, version } = waiting;
    return { session, sequence, collection, id, kind, version };
  }

  #line(waiting: Waiting) {
    return parseLine(this.#input.lines(waiting.group)[waiting.index] as string);
  }
}
