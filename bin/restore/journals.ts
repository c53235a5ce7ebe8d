// What all Regions' journals together say of the records in scope: any of them may have a gap that another fills, and
// what is parked in one may belong to another. Read twice, so that no image has to be kept: first for which change of a
// record is its last whole one, then for those changes themselves.
import { type ExportedItem, ExportFileError, exportedItem } from '../../protocol/export-files.ts';
import { STATE } from '../../protocol/items.ts';
import {
  JOURNAL_PARKED_PREFIX,
  JOURNAL_PREFIX,
  type JournalChange,
  journalHour,
  parseJournalKey,
  unparkedKey,
} from '../../protocol/journal.ts';
import { isRemoval, rankOf, stageOf } from '../../protocol/journal-history.ts';
import { KeyIndex } from '../../protocol/key-index.ts';
import { isSweep, type Wanted } from '../../protocol/restored-items.ts';
import { type DamagedSegment, JOURNAL_SKEW_MS, type ScopeTest } from '../../protocol/restoring.ts';
import { clockOf, type Version } from '../../protocol/versions.ts';
import { segmentIn } from '../journal/reading.ts';
import { readWhole, sha256 } from './examine.ts';
import { eachAtOnce } from './lanes.ts';
import type { Source } from './places.ts';

export interface JournalRange {
  /** The first hour read. */
  readonly from: string;
  /** The moment to be restored, Unix ms. */
  readonly untilMs: number;
}

/** What was found on the way to the index. */
export interface JournalFacts {
  readonly segments: number;
  readonly changes: number;
  /** Of the latest change read, by Region; Unix ms. */
  readonly reachesMs: ReadonlyMap<string, number>;
  /** By Region, hours there is anything of. */
  readonly hours: ReadonlyMap<string, ReadonlySet<string>>;
  readonly damaged: readonly DamagedSegment[];
  /** Images whose payload does not match its hash, or that are no record. */
  readonly damagedImages: number;
  /** Removals that are not the sweeper's. */
  readonly disbelieved: number;
}

const SEGMENTS_AT_ONCE = 16;

export class Journals {
  readonly #sources: readonly Source[];
  readonly #range: JournalRange;
  readonly #scope: ScopeTest;
  /** The last whole change of each record, by commit version and stage; settled: taken, or a backup has it later. */
  readonly index = new KeyIndex(sha256);

  constructor(sources: readonly Source[], range: JournalRange, scope: ScopeTest) {
    this.#sources = sources.filter(({ isJournal }) => isJournal);
    this.#range = range;
    this.#scope = scope;
  }

  /** Fills the {@link index}. */
  async read(onChanges: (count: number) => void): Promise<JournalFacts> {
    const damaged: DamagedSegment[] = [];
    const reachesMs = new Map<string, number>();
    const hours = new Map<string, Set<string>>();
    let [segments, changes, damagedImages, disbelieved] = [0, 0, 0, 0];
    const onDamaged = (it: DamagedSegment) => damaged.push(it);
    await this.#each(onDamaged, (key, found) => {
      const { region = '', hour = '' } = parseJournalKey(key) ?? {};
      if (!hours.has(region)) hours.set(region, new Set());
      hours.get(region)?.add(hour);
      segments += 1;
      changes += found.length;
      for (const change of found) {
        reachesMs.set(region, Math.max(reachesMs.get(region) ?? 0, change.at));
        const what = this.#candidate(change, key);
        if (what === 'damaged') damagedImages += 1;
        else if (what === 'disbelieved') disbelieved += 1;
        else if (what !== 'other') this.#rank(change.pk, what, stageOf(change));
      }
      onChanges(found.length);
    });
    return { segments, changes, reachesMs, hours, damaged, damagedImages, disbelieved };
  }

  /** Each record's last whole change that no backup beats, once. @param take may keep it waiting */
  async take(
    take: (wanted: Wanted) => Promise<void> | undefined,
    onChanges: (count: number) => void,
  ): Promise<void> {
    await this.#each(
      () => undefined,
      async (key, found) => {
        for (const change of found) {
          const rank = rankOf(change);
          const at = this.#scope.covers(change.pk) ? this.index.find(change.pk) : undefined;
          if (at === undefined || rank === '' || isRemoval(change)) continue;
          if (this.index.compareRank(at, rank, stageOf(change)) !== 0) continue;
          const wanted = wantedIn(change, key);
          if (wanted && !this.index.settle(at)) await take(wanted);
        }
        onChanges(found.length);
      },
    );
  }

  #rank(pk: string, version: Version, stage: number): void {
    const known = this.index.find(pk);
    if (known !== undefined && this.index.compareRank(known, version, stage) >= 0) return;
    this.index.setRank(known ?? this.index.add(pk), version, stage);
  }

  /** The commit version of the state a change is about, when it counts. */
  #candidate(change: JournalChange, key: string): Version | 'other' | 'damaged' | 'disbelieved' {
    const { pk, sk, at, before } = change;
    const rank = rankOf(change);
    const removal = isRemoval(change);
    if (!this.#scope.covers(pk) || sk !== STATE) return 'other';
    if (rank === '') return removal ? 'disbelieved' : 'damaged';
    // Commit versions are the same in every Region; a stream's own time is not.
    const madeMs = removal ? at : clockOf(rank).ms;
    if (madeMs > this.#range.untilMs) return 'other';
    if (removal) return before !== undefined && isSweep({ commitVersion: before }, at) ? rank : 'disbelieved';
    return wantedIn(change, key) ? rank : 'damaged';
  }

  async #each(
    onDamaged: (damaged: DamagedSegment) => void,
    take: (key: string, changes: readonly JournalChange[]) => Promise<void> | void,
  ): Promise<void> {
    for (const source of this.#sources) {
      const keys = await segmentKeys(source, this.#range);
      await eachAtOnce(keys, SEGMENTS_AT_ONCE, async (key) => {
        const home = key.startsWith(JOURNAL_PARKED_PREFIX) ? unparkedKey(key) : key;
        const why =
          home === undefined
            ? 'a stream record that is no change'
            : await this.#segment(source, key, home, take);
        if (why !== undefined) onDamaged({ source: source.name, key, why });
      });
    }
  }

  /** What is wrong with it. */
  async #segment(
    { bucket }: Source,
    key: string,
    home: string,
    take: (key: string, changes: readonly JournalChange[]) => Promise<void> | void,
  ): Promise<string | undefined> {
    const content = await bucket.content(key);
    if (!content) return 'it was listed and is not there';
    const segment = await segmentIn(home, content);
    if (typeof segment === 'string') return segment;
    await take(home, segment.changes);
    return undefined;
  }
}

function wantedIn({ image }: JournalChange, key: string): Wanted | undefined {
  let item: ExportedItem;
  try {
    item = exportedItem(image, key, 0);
  } catch (error) {
    if (error instanceof ExportFileError) return undefined;
    throw error;
  }
  return readWhole(item);
}

/** In the order of a listing: a stream's own. What is parked comes last. */
async function segmentKeys({ bucket }: Source, { from, untilMs }: JournalRange): Promise<readonly string[]> {
  const last = journalHour(untilMs + JOURNAL_SKEW_MS);
  const found: string[] = [];
  for (const prefix of [JOURNAL_PREFIX, JOURNAL_PARKED_PREFIX])
    for await (const key of bucket.keys(prefix, `${prefix}${from}`)) {
      if (key.slice(prefix.length, prefix.length + last.length) > last) break;
      found.push(key);
    }
  return found;
}

/** The first hour that any Region's journal has anything of. */
export async function journalSince(sources: readonly Source[]): Promise<string | undefined> {
  const firsts = await Promise.all(
    sources
      .filter(({ isJournal }) => isJournal)
      .map(async ({ bucket }) => {
        for await (const folder of bucket.folders(JOURNAL_PREFIX))
          return folder.slice(JOURNAL_PREFIX.length, -1);
        return undefined;
      }),
  );
  return firsts.filter((hour) => hour !== undefined).sort()[0];
}

/** Whether each Region's journal has a change from `sinceMs` on; gives those that have not. */
export async function journalsBehind(
  sources: readonly Source[],
  sinceMs: number,
): Promise<readonly string[]> {
  const behind: string[] = [];
  for (const source of sources.filter(({ isJournal }) => isJournal)) {
    const keys = await segmentKeys(source, { from: journalHour(sinceMs), untilMs: sinceMs });
    if (!(await reaches(source, keys, sinceMs))) behind.push(source.name);
  }
  return behind;
}

/** The latest come last within an hour, give or take what other shards number higher. */
const LATEST_LOOKED_AT = 8;

async function reaches({ bucket, name }: Source, keys: readonly string[], sinceMs: number): Promise<boolean> {
  const own = keys.filter((key) => parseJournalKey(key)?.region === name);
  for (const key of own.slice(-LATEST_LOOKED_AT)) {
    const content = await bucket.content(key);
    const segment = content && (await segmentIn(key, content));
    if (segment && typeof segment !== 'string' && segment.changes.some(({ at }) => at >= sinceMs))
      return true;
  }
  return false;
}
