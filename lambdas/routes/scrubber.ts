// The scrubber of a Region (DESIGN §6): looks at the items of its own replica, so many a run, pass after pass, beside a
// sample of places anywhere, and holds each to its hashes. What it finds it reads again, consistently, before that counts;
// what it knows to be damaged it looks at first in every run, so that a repair is seen as soon as the damage was.
import type { ExportedItem } from '../../protocol/export-files.ts';
import { ATTRIBUTES } from '../../protocol/items.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { mapAtOnce } from '../at-once.ts';
import { itemFault, itemName } from '../core/item-faults.ts';
import {
  beginScrub,
  damagedCount,
  type Finding,
  type ItemPlace,
  NOTED_MAX,
  noteFindings,
  noteRelooks,
  pageLooked,
  parseScrubState,
  type Relook,
  type ScrubState,
  ScrubStateError,
  samplePlace,
  scrubAgeMs,
} from '../core/scrubbing.ts';
import type { Service } from '../service.ts';
import type { SavedScrub, ScrubbedItems } from '../store/scrubbed-items.ts';
import { StoreUnavailableError } from '../store/store.ts';

export interface ScrubberParts extends Pick<Service, 'place' | 'telemetry' | 'now' | 'random' | 'wait'> {
  readonly items: ScrubbedItems;
  /** That a run looks at in order; the sample comes on top. */
  readonly itemsPerRun: number;
}

/** Half of what the function may take, so that what is under way can end. */
const RUN_MS_MAX = 120_000;
const PAGE_ITEMS = 1_000;
/** A page is at most 1 MB, half of which is billed: 128 read units. So many ms apart they take up to 512 a second of the
 * 3,000 that a partition gives, and leave the rest to whoever is served from it:
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html */
const PAGE_EVERY_MS = 250;
const SAMPLE_PLACES = 32;
const SAMPLE_ITEMS = 32;
/** Consistent reads at once. */
const READS_AT_ONCE = 16;

/** One run. */
interface Run {
  readonly untilMs: number;
  state: ScrubState;
  /** Items looked at, whether in order, in the sample or again. */
  looked: number;
  readonly relooks: Relook[];
  readonly findings: Finding[];
  /** Why it ended early. */
  stopped: string | undefined;
  failure: unknown;
}

/** Rejects when its own state could not be read or written, or a call is refused for good; what was found until then is
 * said and counted. */
export function createScrubber({ items, itemsPerRun, place, telemetry, now, random, wait }: ScrubberParts) {
  const { region } = place;

  function stateIn(saved: SavedScrub): ScrubState {
    if (saved.kind === 'none') return beginScrub(now());
    try {
      if (saved.kind === 'saved') return parseScrubState(saved.state);
    } catch (error) {
      if (!(error instanceof ScrubStateError)) throw error;
    }
    telemetry.warn('the state of the scrubber is unreadable: it starts over', { region });
    return beginScrub(now());
  }

  /** Nothing is read any more when the run's time is up. */
  async function look(at: ItemPlace, untilMs: number): Promise<Relook> {
    if (now() >= untilMs) return { ...at, kind: 'unread' };
    try {
      const item = await items.item(at);
      const why = item && itemFault(item);
      return why === undefined ? { ...at, kind: 'whole' } : { ...at, kind: 'damaged', why };
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      return { ...at, kind: 'unread' };
    }
  }

  async function lookAgain(run: Run): Promise<void> {
    const { noted } = run.state;
    const looks = await mapAtOnce(READS_AT_ONCE, noted, ({ pk, sk }) => look({ pk, sk }, run.untilMs));
    run.relooks.push(...looks);
    const unread = looks.filter(({ kind }) => kind === 'unread').length;
    if (unread > 0) telemetry.warn('what was damaged could not be looked at again', { unread });
    run.looked += looks.length - unread;
    run.state = noteRelooks(run.state, looks);
  }

  /** What is wrong in a page, each read again. What cannot be read again now is looked at first in the next run. */
  async function faultsIn(page: readonly ExportedItem[], untilMs: number): Promise<readonly Finding[]> {
    const suspects = page.flatMap((item) => {
      const why = itemFault(item);
      return why === undefined ? [] : [{ ...placeOf(item), why }];
    });
    const looks = await mapAtOnce(READS_AT_ONCE, suspects, ({ pk, sk }) => look({ pk, sk }, untilMs));
    return looks.flatMap((it, at): readonly Finding[] => {
      const { pk, sk } = it;
      if (it.kind === 'whole') return [];
      if (it.kind === 'damaged') return [{ pk, sk, why: it.why, certain: true }];
      return [{ pk, sk, why: suspects[at]?.why ?? '', certain: false }];
    });
  }

  function take(
    run: Run,
    page: readonly ExportedItem[],
    findings: readonly Finding[],
    inPass: boolean,
  ): void {
    run.looked += page.length;
    run.findings.push(...findings);
    run.state = noteFindings(run.state, findings, now(), { inPass });
  }

  /** Page after page from where the pass has come to, and never over its end. Returns whether it went over everything. */
  async function goOn(run: Run): Promise<boolean> {
    const { pass, after: from } = run.state;
    for (let left = itemsPerRun; left > 0 && run.state.pass === pass; ) {
      const startedMs = now();
      if (startedMs >= run.untilMs) {
        run.stopped = 'its time was up';
        return false;
      }
      const page = await items.page(run.state.after, Math.min(PAGE_ITEMS, left));
      const findings = await faultsIn(page.items, run.untilMs);
      take(run, page.items, findings, true);
      run.state = pageLooked(run.state, { items: page.items.length, next: page.next }, now());
      left -= Math.max(1, page.items.length);
      if (left > 0 && page.next) await wait(Math.max(0, startedMs + PAGE_EVERY_MS - now()));
    }
    return from === undefined && run.state.pass > pass;
  }

  async function sample(run: Run): Promise<void> {
    for (let n = 0; n < SAMPLE_PLACES && now() < run.untilMs; n += 1) {
      const page = await items.page(samplePlace(random), SAMPLE_ITEMS);
      take(run, page.items, await faultsIn(page.items, run.untilMs), false);
    }
  }

  /** Under the condition that nobody else saved; else what this run found is put beside what the other has come to. */
  async function save(run: Run, loaded: SavedScrub): Promise<void> {
    if (await items.save(region, JSON.stringify(run.state), loaded)) return;
    const theirs = await items.load(region);
    const seen = noteRelooks(stateIn(theirs), run.relooks);
    run.state = noteFindings(seen, run.findings, now(), { inPass: false });
    if (await items.save(region, JSON.stringify(run.state), theirs)) return;
    telemetry.warn('other runs of the scrubber saved before this one: what it looked at is looked at again');
  }

  /** Ends what it is asked to do early instead of failing the run. */
  async function asFarAsItGoes(run: Run, what: () => Promise<void>): Promise<void> {
    try {
      await what();
    } catch (error) {
      run.stopped = error instanceof Error ? error.message : String(error);
      if (error instanceof StoreUnavailableError && error.retryable)
        telemetry.warn('the scrubber leaves the rest to its next run', { why: run.stopped });
      else run.failure = error;
    }
  }

  function report(run: Run): void {
    const { state, looked, stopped, findings } = run;
    name(state, findings);
    const { pass, looked: inPass, completed, noted } = state;
    const suspected = noted.filter(({ certain }) => !certain).length;
    telemetry.measure(
      [
        { name: METRICS.dataCorruption, value: damagedCount(state) },
        { name: METRICS.scrubbed, value: looked },
        { name: METRICS.scrubAge, value: scrubAgeMs(state, now()), unit: 'Milliseconds' },
      ],
      {
        pass,
        inPass,
        ...(completed && {
          lastPassItems: completed.looked,
          lastPassMs: completed.untilMs - completed.sinceMs,
        }),
        ...(suspected > 0 && { suspected }),
        ...(stopped !== undefined && { stopped }),
      },
    );
  }

  /** Every run says of every item that it knows to be damaged what that is, so that none is missed. */
  function name(state: ScrubState, findings: readonly Finding[]): void {
    const all: readonly (Finding & { readonly sinceMs?: number })[] = [...findings, ...state.noted];
    const byName = new Map(all.filter(({ certain }) => certain).map((it) => [itemName(it), it]));
    for (const [item, { why, sinceMs }] of [...byName].slice(0, NOTED_MAX))
      telemetry.error('an item is damaged', new Error(`${item}: ${why}`), {
        item,
        ...(sinceMs !== undefined && { since: new Date(sinceMs).toISOString() }),
      });
    const more = damagedCount(state) - Math.min(byName.size, NOTED_MAX);
    if (more > 0) telemetry.warn('more items are damaged than are named', { more });
  }

  return async (): Promise<void> => {
    const loaded = await items.load(region);
    const run: Run = {
      untilMs: now() + RUN_MS_MAX,
      state: stateIn(loaded),
      looked: 0,
      relooks: [],
      findings: [],
      stopped: undefined,
      failure: undefined,
    };
    await lookAgain(run);
    await asFarAsItGoes(run, async () => {
      if (!(await goOn(run))) await sample(run);
    });
    try {
      await save(run, loaded);
    } catch (error) {
      run.failure ??= error;
    }
    report(run);
    if (run.failure !== undefined) throw run.failure;
  };
}

function placeOf(item: ExportedItem): ItemPlace {
  const textIn = (attribute: string) => {
    const value = item[attribute];
    return value && 'S' in value ? value.S : '';
  };
  return { pk: textIn(ATTRIBUTES.pk), sk: textIn(ATTRIBUTES.sk) };
}
