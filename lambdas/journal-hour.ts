// One hour of a Region's journal: what is missing there is found and copied from the other Regions', each of which is
// asked by itself. The hour before is read with it, since a change names the state it took the place of.
import { hash } from 'node:crypto';
import {
  JOURNAL_PARKED_PREFIX,
  JOURNAL_PREFIX,
  journalHour,
  journalHourMs,
  parseJournalKey,
  type Segment,
  unparkedKey,
} from '../protocol/journal.ts';
import { fillerOf, fillsFrom, JournalCheck, type JournalGap } from '../protocol/journal-gaps.ts';
import { identityOf, outlineOf, type SegmentOutline } from '../protocol/journal-history.ts';
import type { AuditCare } from './audit-care.ts';
import type { HourOutcome } from './core/journal-hours.ts';
import { eachSegment, type JournalSource, keysUnder, type ReadSegment } from './journal-reading.ts';
import type { JournalStore } from './store/journal-store.ts';
import { StoreUnavailableError } from './store/store.ts';
import type { Telemetry } from './telemetry.ts';

export interface HourCareParts {
  readonly region: string;
  readonly own: JournalSource & JournalStore;
  /** By Region, without its own. */
  readonly peers: ReadonlyMap<string, JournalSource>;
  readonly audit: AuditCare;
  /** Whether every Region's stream says the same; otherwise each leaves out what replication did (docs/GOVCLOUD.md). */
  readonly alike: boolean;
  /** Of each of the own hours; see {@link HourTooLargeError}. */
  readonly changesMax: number;
  readonly telemetry: Telemetry;
  readonly isTimeUp: () => boolean;
}

/** An hour has more changes than are held in memory here. `npm run journal` has no such limit. */
export class HourTooLargeError extends Error {
  override readonly name = 'HourTooLargeError';
}

/** Time was up before the hour was done. What was copied stays. */
export class OutOfTimeError extends Error {
  override readonly name = 'OutOfTimeError';
}

const HOUR_MS = 3_600_000;
/** Of what no Region has, so many are named in the log. */
const NAMED_MAX = 20;

/**
 * Copies what the others have, and tells what nobody has. `reached`: which of the others are asked.
 * @throws {StoreUnavailableError} the Region's own bucket does not answer
 * @throws {HourTooLargeError} @throws {OutOfTimeError}
 */
export async function careForHour(
  parts: HourCareParts,
  hour: string,
  reached: ReadonlySet<string>,
): Promise<HourOutcome> {
  const { peers, telemetry, audit, isTimeUp } = parts;
  const care = new HourCare(parts, hour);
  let gaps = await care.readOwn({ first: true });
  const unasked = [...peers.keys()].filter((peer) => !reached.has(peer));
  for (const [peer, source] of peers)
    if (reached.has(peer) && !(await care.fillFrom(peer, source, gaps))) unasked.push(peer);
  if (care.copied > 0) {
    telemetry.warn('a gap in the journal was filled', { hour, segments: care.copied });
    gaps = await care.readOwn({ first: false });
  }
  // With all that the others have here, a silence was quiet, and a segment that is gone took nothing with it.
  const lost = peers.size > 0 ? gaps.filter(({ kind }) => kind === 'change') : gaps;
  if (unasked.length === 0) tellLost(lost, hour, telemetry);
  const { filled, missing, open } = await audit.finish(isTimeUp);
  if (filled > 0) telemetry.warn('a gap in the audit archive was filled', { hour, entries: filled });
  return { unasked, journalGaps: lost.length, auditGaps: missing, auditOpen: open };
}

/** What the Region's own buckets throw must not be taken for another's trouble. */
class OwnTrouble extends Error {}

async function ours<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new OwnTrouble("the Region's own", { cause: error });
  }
}

class HourCare {
  readonly #parts: HourCareParts;
  readonly #hour: string;
  readonly #startMs: number;
  /** Of what this journal has of the hour and those beside it: each stream tells hours by a clock of its own. */
  readonly #known = new Set<number>();
  /** The own hour's keys. */
  readonly #keys = new Set<string>();
  copied = 0;

  constructor(parts: HourCareParts, hour: string) {
    this.#parts = parts;
    this.#hour = hour;
    this.#startMs = journalHourMs(hour) ?? 0;
  }

  /** What is missing by the journal's own word. `first`: audit entries are seen to on the way. */
  async readOwn({ first }: { readonly first: boolean }): Promise<readonly JournalGap[]> {
    const { region, own, alike, audit } = this.#parts;
    const sinceMs = this.#startMs - HOUR_MS;
    const [firstKey = ''] = (await own.keys(JOURNAL_PREFIX)).keys;
    const begun = (parseJournalKey(firstKey)?.hour ?? '~') < journalHour(sinceMs);
    const check = new JournalCheck({ region, sinceMs: begun ? sinceMs : undefined });
    check.add(await this.#outlines(journalHour(sinceMs)));
    const see = first ? (segment: Segment) => audit.look(segment.changes) : undefined;
    check.add(await this.#outlines(this.#hour, see));
    if (first && alike) await this.#outlines(journalHour(this.#startMs + HOUR_MS));
    return check.gaps(this.#startMs + HOUR_MS);
  }

  async #outlines(
    hour: string,
    see?: (segment: Segment) => Promise<void>,
  ): Promise<readonly SegmentOutline[]> {
    const { own, telemetry, changesMax } = this.#parts;
    const keys = await keysUnder(own, `${JOURNAL_PREFIX}${hour}/`);
    const outlines: SegmentOutline[] = [];
    let changes = 0;
    await this.#each(own, keys, async ({ key, read }) => {
      if (hour === this.#hour) this.#keys.add(key);
      if (typeof read === 'string') return telemetry.warn('a journal segment is damaged', { key, why: read });
      changes += read.changes.length;
      if (changes > changesMax)
        throw new HourTooLargeError(`${hour}: expected at most ${changesMax} changes, got more`);
      const outline = outlineOf(key, read);
      outlines.push(outline);
      this.#learn(outline);
      await see?.(read);
    });
    return outlines.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** False when it did not answer all along. */
  async fillFrom(peer: string, source: JournalSource, gaps: readonly JournalGap[]): Promise<boolean> {
    const { alike, telemetry } = this.#parts;
    try {
      await this.#bringHome(source);
      if (!alike && gaps.length === 0) return true;
      // What is missing by the journal's own word may be of the hour before.
      const hours = alike ? [this.#hour] : [journalHour(this.#startMs - HOUR_MS), this.#hour];
      const options = {
        knows: (identity: string) => this.#known.has(fingerprint(identity)),
        untilMs: this.#startMs + HOUR_MS,
        ...(!alike && { fills: fillerOf(gaps) }),
      };
      for (const hour of hours)
        await this.#each(source, await keysUnder(source, `${JOURNAL_PREFIX}${hour}/`), async (segment) => {
          const { key, read } = segment;
          if (typeof read === 'string')
            return telemetry.warn('a journal segment is damaged', { key, at: peer, why: read });
          if (fillsFrom([outlineOf(key, read)], options).length > 0) await this.#copy(segment, read, key);
        });
      return true;
    } catch (error) {
      if (error instanceof OwnTrouble) throw error.cause;
      if (!(error instanceof StoreUnavailableError)) throw error;
      telemetry.warn("another Region's journal cannot be read", { at: peer, why: error.message });
      return false;
    }
  }

  /** What the Region's own bucket would not take, and was parked there. */
  async #bringHome(source: JournalSource): Promise<void> {
    const { region } = this.#parts;
    const parked = await keysUnder(source, `${JOURNAL_PARKED_PREFIX}${this.#hour}/`);
    const homeOf = (key: string) => unparkedKey(key) ?? key;
    const strays = parked.filter((key) => {
      const home = homeOf(key);
      return parseJournalKey(home)?.region === region && !this.#keys.has(home);
    });
    const bring = async (segment: ReadSegment) => {
      if (typeof segment.read !== 'string') await this.#copy(segment, segment.read, homeOf(segment.key));
    };
    await this.#each(source, strays, bring, homeOf);
  }

  async #copy({ content }: ReadSegment, segment: Segment, key: string): Promise<void> {
    const { own, audit } = this.#parts;
    await ours(own.put(key, content));
    this.#keys.add(key);
    this.#learn(outlineOf(key, segment));
    this.copied += 1;
    // What the stream lost for the journal it lost for the archive too.
    await ours(audit.look(segment.changes));
  }

  #learn({ changes }: SegmentOutline): void {
    for (const change of changes) {
      const identity = identityOf(change);
      if (identity !== undefined) this.#known.add(fingerprint(identity));
    }
  }

  async #each(
    source: JournalSource,
    keys: readonly string[],
    act: (segment: ReadSegment) => Promise<void> | void,
    keyOf?: (key: string) => string,
  ): Promise<void> {
    const { isTimeUp } = this.#parts;
    if (await eachSegment(source, keys, isTimeUp, act, keyOf)) return;
    throw new OutOfTimeError(`${this.#hour}: expected to be done in time`);
  }
}

/** 52 bits: of ten million changes, one is taken for another once in some billion hours. */
function fingerprint(identity: string): number {
  return Number.parseInt(hash('sha1', identity).slice(0, 13), 16);
}

function tellLost(gaps: readonly JournalGap[], hour: string, telemetry: Telemetry): void {
  for (const gap of gaps.slice(0, NAMED_MAX))
    telemetry.error(
      "what a journal lacks is in no Region's",
      new Error(
        gap.kind === 'change'
          ? `${gap.pk}: ${gap.removal ? 'the removal of' : 'the change to'} ${gap.commitVersion}, by change ${gap.namedBy.seq} of ${gap.namedBy.key}`
          : JSON.stringify(gap),
      ),
      { hour, gaps: gaps.length },
    );
}
