// What to do after an attempt was not taken: settle the operation, try again differently, or put it to the vote.
import type { Verdict } from '../../protocol/verdicts.ts';
import type { Version } from '../../protocol/versions.ts';
import { classify } from './classify.ts';
import { rejection } from './operations.ts';
import type { Edit, StoredRecord } from './record.ts';
import { roomFor, SETTLED_SESSIONS_MAX } from './settled-room.ts';

/** What one attempt rests on. */
export interface Attempt {
  /** The version that must be stored; undefined when nothing may be. */
  readonly base: Version | undefined;
  /** Whether no live record stood there, as far as is known. */
  readonly creates: boolean;
  /** Sessions to drop in the same write, provided `commitVersion` is still stored. */
  readonly forget: { readonly sessions: readonly string[]; readonly commitVersion: Version } | undefined;
}

export type NextStep =
  | { readonly kind: 'settle'; readonly verdict: Verdict }
  /** The next commit stamp must be above `seen`, where something is stored. */
  | { readonly kind: 'retry'; readonly attempt: Attempt; readonly seen?: Version }
  | ({ readonly kind: 'conflict' } & Conflict);

/** An edit met a state its author had not seen (PROTOCOL §4). */
export interface Conflict {
  /** `ALL_OLD`: what the vote is about. */
  readonly stored: StoredRecord;
  /** Sessions to drop together with the decision, so that this one can be remembered. */
  readonly forget: readonly string[];
}

const NO_ROOM =
  `${SETTLED_SESSIONS_MAX} sessions have edited this record within 93 days, and each must be remembered: ` +
  'edit it again when some of them have been silent that long';

export function firstAttempt({ base }: Edit): Attempt {
  return { base, creates: base === undefined, forget: undefined };
}

/** After a failed condition. `stored` is its `ALL_OLD`, `commit` the attempt's stamp, `nowMs` the server's time. */
export function nextStep(
  edit: Edit,
  attempt: Attempt,
  stored: StoredRecord | undefined,
  commit: Version,
  nowMs: number,
): NextStep {
  const { session, sequence } = edit;
  const finding = classify(edit, stored, commit);
  switch (finding.kind) {
    case 'duplicate':
      return {
        kind: 'settle',
        verdict: { session, sequence, verdict: 'duplicate', version: finding.version },
      };
    case 'clock_ahead':
      return {
        kind: 'settle',
        verdict: { session, sequence, verdict: 'clock_ahead', serverTimeMs: nowMs, version: finding.version },
      };
    case 'missing':
      return { kind: 'retry', attempt: { base: undefined, creates: true, forget: undefined } };
    case 'stamp_again':
      return withRoom(edit, attempt, finding.stored, nowMs);
    case 'own': {
      const creates = finding.stored.content.deleted;
      return withRoom(edit, { ...attempt, base: finding.stored.version, creates }, finding.stored, nowMs);
    }
    case 'conflict':
      return nextStepInConflict(edit, attempt, finding.stored, nowMs);
  }
}

function nextStepInConflict(edit: Edit, attempt: Attempt, stored: StoredRecord, nowMs: number): NextStep {
  // On its base after all: only the sessions to drop were out of date, or the base was gone and is back.
  if (stored.version === attempt.base || stored.version === edit.base) {
    const { version: base, content } = stored;
    return withRoom(edit, { ...attempt, base, creates: content.deleted }, stored, nowMs);
  }
  const room = roomFor(edit.session, stored, nowMs);
  return room.fits ? { kind: 'conflict', stored, forget: room.forget } : noRoom(edit);
}

/** After the item had no room. */
export function nextStepWhenFull(
  edit: Edit,
  attempt: Attempt,
  stored: StoredRecord | undefined,
  nowMs: number,
): NextStep {
  if (!stored) return { kind: 'retry', attempt };
  const step = withRoom(edit, attempt, stored, nowMs);
  const drops = step.kind === 'retry' && (step.attempt.forget?.sessions.length ?? 0) > 0;
  return drops ? step : noRoom(edit);
}

function withRoom(edit: Edit, attempt: Attempt, stored: StoredRecord, nowMs: number): NextStep {
  const room = roomFor(edit.session, stored, nowMs);
  if (!room.fits) return noRoom(edit);
  const forget = { sessions: room.forget, commitVersion: stored.commitVersion };
  return { kind: 'retry', attempt: { ...attempt, forget }, seen: stored.commitVersion };
}

/** An item has no room for what one more edit leaves behind. */
export function noRoom(edit: Edit): NextStep {
  return { kind: 'settle', verdict: rejection(edit, 'too_large', NO_ROOM) };
}
