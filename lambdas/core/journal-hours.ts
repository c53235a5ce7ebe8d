// Which hours of a Region's journal are looked at next, and which stay open: a Region that could not be asked may still
// have what is missing there, and what nobody has is for somebody to know of for a day. Times are Unix ms.
import { journalHour, journalHourMs } from '../../protocol/journal.ts';

/** How far back the first look goes, and for how long what nobody has is looked for: a stream keeps its records for 24 h,
 * within which a journal that is behind completes itself. */
export const CARE_WINDOW_MS = 25 * 3_600_000;
/** After its end an hour is still being written: batches, retries, and what is parked after a minute. */
export const HOUR_SETTLES_MS = 15 * 60_000;
/** Where looking was interrupted it goes on, and a Region that is gone is asked, for as long as the others' journals are
 * sure to have it (35 days). */
export const REACH_BACK_MS = 34 * 86_400_000;
/** What nobody has is looked for again so often. */
const AGAIN_AFTER_MS = 3_600_000;
const HOUR_MS = 3_600_000;

/** What became of looking at an hour. */
export interface HourOutcome {
  /** Regions that did not answer. */
  readonly unasked: readonly string[];
  /** Changes, and audit entries or payloads, that no Region has. */
  readonly journalGaps: number;
  readonly auditGaps: number;
  /** Audit entries that could not be seen to, because a bucket did not answer. */
  readonly auditOpen: number;
}

export interface OpenHour extends HourOutcome {
  /** As in the journal's keys. */
  readonly hour: string;
  readonly foundAtMs: number;
  readonly lookedAtMs: number;
}

/** What is kept between invocations. */
export interface CareState {
  readonly format: 1;
  /** The first hour that was never looked at. */
  readonly next: string;
  /** In their order. */
  readonly open: readonly OpenHour[];
}

/** Hours to look at: those never looked at, then those that are open. `isReached`: whether a Region answers now. */
export function hoursToLookAt(
  state: CareState | undefined,
  nowMs: number,
  isReached: (region: string) => boolean,
): readonly string[] {
  const fromMs = state ? Math.max(startOf(state.next), nowMs - REACH_BACK_MS) : nowMs - CARE_WINDOW_MS;
  const hours: string[] = [];
  for (let ms = Math.ceil(fromMs / HOUR_MS) * HOUR_MS; ms + HOUR_MS + HOUR_SETTLES_MS <= nowMs; ms += HOUR_MS)
    hours.push(journalHour(ms));
  const due = (state?.open ?? []).filter(({ unasked, lookedAtMs }) =>
    unasked.length > 0 ? unasked.every(isReached) : nowMs - lookedAtMs >= AGAIN_AFTER_MS,
  );
  return [...hours, ...due.map(({ hour }) => hour)];
}

export function hourLooked(
  state: CareState | undefined,
  hour: string,
  outcome: HourOutcome,
  nowMs: number,
): CareState {
  const { unasked, journalGaps, auditGaps, auditOpen } = outcome;
  const isOpen = unasked.length > 0 || journalGaps + auditGaps + auditOpen > 0;
  const open = (state?.open ?? []).filter((it) => it.hour !== hour);
  const foundAtMs = state?.open.find((it) => it.hour === hour)?.foundAtMs ?? nowMs;
  if (isOpen) open.push({ ...outcome, hour, foundAtMs, lookedAtMs: nowMs });
  const after = journalHour(startOf(hour) + HOUR_MS);
  return {
    format: 1,
    next: state && state.next > after ? state.next : after,
    open: open.toSorted((a, b) => (a.hour < b.hour ? -1 : 1)),
  };
}

/** Without the hours that nothing can be done about any more, which are given beside it. */
export function withoutOld(
  state: CareState,
  nowMs: number,
): { readonly state: CareState; readonly givenUp: readonly OpenHour[] } {
  const isOld = ({ hour, unasked, auditOpen, foundAtMs }: OpenHour) =>
    unasked.length > 0 || auditOpen > 0
      ? nowMs - startOf(hour) > REACH_BACK_MS
      : nowMs - foundAtMs > CARE_WINDOW_MS;
  return {
    state: { ...state, open: state.open.filter((it) => !isOld(it)) },
    givenUp: state.open.filter(isOld),
  };
}

/** What no Region has, of the hours that all were asked for. */
export function gapsIn(state: CareState | undefined): {
  readonly journalGaps: number;
  readonly auditGaps: number;
} {
  const open = (state?.open ?? []).filter(({ unasked }) => unasked.length === 0);
  return {
    journalGaps: open.reduce((sum, it) => sum + it.journalGaps, 0),
    auditGaps: open.reduce((sum, it) => sum + it.auditGaps, 0),
  };
}

function startOf(hour: string): number {
  return journalHourMs(hour) ?? 0;
}
