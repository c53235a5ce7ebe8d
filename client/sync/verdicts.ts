// What the verdicts of an answer say of a batch: whether they are the answer to it at all, and which keys got somewhere.
import type { Operation } from '../../protocol/operations.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import { keyOf } from '../queue/ledger.ts';
import type { PushAnswer } from './contract.ts';
import { UnexpectedAnswerError } from './errors.ts';

/**
 * Why `answer` is none to a push of `operations` that knew of `restoreEpoch`; undefined when it is one. There is exactly
 * one verdict on each operation, in any order, and epochs never run backwards (PROTOCOL 1.4).
 */
export function faultOf(
  answer: PushAnswer,
  operations: readonly Operation[],
  restoreEpoch: number,
): UnexpectedAnswerError | undefined {
  if (answer.kind === 'refused') return undefined;
  const epochMin = answer.kind === 'restored' ? restoreEpoch + 1 : restoreEpoch;
  if (!(answer.restoreEpoch >= epochMin))
    return new UnexpectedAnswerError(`a restore epoch from ${epochMin}`, String(answer.restoreEpoch));
  const wrong = answer.kind === 'verdicts' ? mismatch(operations, answer.verdicts) : undefined;
  return wrong === undefined ? undefined : new UnexpectedAnswerError('one verdict on each operation', wrong);
}

/** Matched by session and sequence: an answer that is off by one would settle what was never decided. */
function mismatch(operations: readonly Operation[], verdicts: readonly Verdict[]): string | undefined {
  const asked = new Set(operations.map(nameOf));
  for (const verdict of verdicts) {
    const name = nameOf(verdict);
    if (!asked.delete(name)) return `one on ${name}, which was not asked about or has one already`;
  }
  const [missing] = asked;
  return missing === undefined ? undefined : `none on ${missing}`;
}

/** What became of a key in a batch. */
export interface KeyOutcome {
  /** An operation of it was settled. */
  progressed: boolean;
  /** One was not, for a reason of its own: it has to wait. */
  stuck: boolean;
  /** Because its clock is ahead. */
  isAhead: boolean;
}

export function outcomesByKey(
  operations: readonly Operation[],
  verdicts: readonly Verdict[],
): ReadonlyMap<string, KeyOutcome> {
  const byName = new Map(verdicts.map((verdict) => [nameOf(verdict), verdict]));
  const outcomes = new Map<string, KeyOutcome>();
  for (const operation of operations) {
    const key = keyOf(operation.collection, operation.id);
    const outcome = outcomes.get(key) ?? { progressed: false, stuck: false, isAhead: false };
    outcomes.set(key, outcome);
    const verdict = byName.get(nameOf(operation));
    if (verdict?.verdict === 'clock_ahead') {
      outcome.stuck = true;
      outcome.isAhead = true;
    } else if (verdict?.verdict !== 'deferred') outcome.progressed = true;
    // Behind a predecessor that was rejected in this very batch there is nothing to wait for.
    else if (verdict.reason !== 'predecessor') outcome.stuck = true;
  }
  return outcomes;
}

/** One record without a quorum is that record's matter; if it is ten out of ten, the store is down. */
const STUCK_KEYS_MIN = 10;

/** Whether sending other keys now would only add to the load. */
export function isServiceStuck(outcomes: ReadonlyMap<string, KeyOutcome>): boolean {
  if (outcomes.size < STUCK_KEYS_MIN) return false;
  for (const { progressed, isAhead } of outcomes.values()) if (progressed || isAhead) return false;
  return true;
}

function nameOf({ session, sequence }: { readonly session: string; readonly sequence: number }): string {
  return `${session}:${sequence}`;
}
