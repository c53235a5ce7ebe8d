// A Region's journal and audit archive, kept whole without a person (DESIGN §6): once an hour has settled, what is missing
// there is found, by the journal's own word and against the other Regions' (ADR 0015), and copied from them; audit
// entries that it tells of are seen to as well. What no Region has is counted, and alarmed.
import { JOURNAL_PREFIX } from '../protocol/journal.ts';
import { METRICS } from '../protocol/metrics.ts';
import type { AuditCare } from './audit-care.ts';
import {
  type CareState,
  gapsIn,
  type HourOutcome,
  hourLooked,
  hoursToLookAt,
  withoutOld,
} from './core/journal-hours.ts';
import { hasQuorum } from './env.ts';
import { careForHour, HourTooLargeError, OutOfTimeError } from './journal-hour.ts';
import type { JournalSource } from './journal-reading.ts';
import type { Service } from './service.ts';
import type { JournalStore } from './store/journal-store.ts';
import type { VerificationLog } from './store/verification-items.ts';

export interface JournalCareParts extends Pick<Service, 'place' | 'telemetry' | 'now'> {
  readonly log: VerificationLog;
  readonly own: JournalSource & JournalStore;
  /** By Region, without its own. */
  readonly peers: ReadonlyMap<string, JournalSource>;
  readonly audit: AuditCare;
  /** Changes in an hour, of which some 1 KB each is held. @default 200,000 */
  readonly changesMax?: number;
}

/** Of an invocation. An hour takes the reading of three of one's own and of one of each of the others'. */
const RUN_MS_MAX = 240_000;
const CHANGES_MAX = 200_000;

/** Gives a run. It rejects when the Region's own buckets or its table do not answer; what was found out until then is
 * saved. */
export function createJournalCare(parts: JournalCareParts): () => Promise<void> {
  const { place, telemetry, now, log, own, peers, audit, changesMax = CHANGES_MAX } = parts;
  const { region } = place;
  const alike = hasQuorum(place);

  /** Those that answer now. */
  async function reachedPeers(): Promise<ReadonlySet<string>> {
    const asked = await Promise.all(
      [...peers].map(async ([at, source]) => {
        try {
          await source.keys(JOURNAL_PREFIX);
          return [at];
        } catch (error) {
          telemetry.warn("another Region's journal cannot be read", { at, why: String(error) });
          return [];
        }
      }),
    );
    return new Set(asked.flat());
  }

  /** Undefined when time was up before it was done. One that had all the time there is and was not done is too large. */
  async function lookAt(
    hour: string,
    reached: ReadonlySet<string>,
    isTimeUp: () => boolean,
    hadAllTime: boolean,
  ): Promise<HourOutcome | undefined> {
    try {
      const hourParts = { region, own, peers, audit, alike, changesMax, telemetry, isTimeUp };
      return await careForHour(hourParts, hour, reached);
    } catch (error) {
      const isOut = error instanceof OutOfTimeError;
      if (isOut && !hadAllTime) return undefined;
      if (!isOut && !(error instanceof HourTooLargeError)) throw error;
      // It is one gap as long as nobody has looked.
      telemetry.error('an hour of the journal is too large to be looked through here', error, { hour });
      return { unasked: [], journalGaps: 1, auditGaps: 0, auditOpen: 0 };
    }
  }

  return async () => {
    const untilMs = now() + RUN_MS_MAX;
    const isTimeUp = () => now() >= untilMs;
    const what = `${region}#journal`;
    const saved = await log.load(what);
    let { revision } = saved;
    let state = saved.state === undefined ? undefined : letGo(JSON.parse(saved.state) as CareState);
    const reached = await reachedPeers();
    try {
      const hours = hoursToLookAt(state, now(), (it) => reached.has(it));
      for (const [index, hour] of hours.entries()) {
        if (isTimeUp()) return;
        const outcome = await lookAt(hour, reached, isTimeUp, index === 0);
        if (!outcome) return;
        state = hourLooked(state, hour, outcome, now());
        revision += 1;
        // Somebody else is at it.
        if (!(await log.save(what, { revision, state: JSON.stringify(state) }))) return;
      }
    } finally {
      const { journalGaps, auditGaps } = gapsIn(state);
      telemetry.measure([
        { name: METRICS.journalGaps, value: journalGaps },
        { name: METRICS.auditGaps, value: auditGaps },
      ]);
    }
  };

  function letGo(state: CareState): CareState {
    const { state: kept, givenUp } = withoutOld(state, now());
    for (const { hour, journalGaps, auditGaps } of givenUp)
      telemetry.error('a gap stays open', new Error(`no Region has what is missing of ${hour}`), {
        hour,
        journalGaps,
        auditGaps,
      });
    return kept;
  }
}
