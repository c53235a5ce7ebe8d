// A scrubber on a replica in memory: items in the order of their keys' hashes, as a table has them, each of whose pages
// and reads can fail, and a clock that only moves when somebody waits.

import { sha256Of } from '../../lambdas/core/canonical.ts';
import type { ItemPlace } from '../../lambdas/core/scrubbing.ts';
import { createScrubber } from '../../lambdas/routes/scrubber.ts';
import type { SavedScrub, ScrubbedItems } from '../../lambdas/store/scrubbed-items.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { recordPk } from '../../protocol/items.ts';
import { DAY, recordItem } from './exports.ts';
import { REGIONS, Recorder } from './functions.ts';

const INTERVAL_MS = 300_000;

export const throttled = () =>
  new StoreUnavailableError('the table refused: ThrottlingException', {
    retryable: true,
    mayHaveLanded: false,
  });
export const denied = () =>
  new StoreUnavailableError('the table does not take this call: AccessDeniedException', {
    retryable: false,
    mayHaveLanded: false,
  });

export const pkOf = (id: string) => recordPk({ tenant: 'acme', collection: 'notes', id });

/** What is wrong with it is its payload. */
export function damaged(id: string): ExportedItem {
  return { ...recordItem(id, DAY, '{"a":1}'), payload: { S: '{"a":2}' } };
}

export function whole(id: string): ExportedItem {
  return recordItem(id, DAY, id.endsWith('7') ? undefined : '{"a":1}');
}

export class ScrubberWorld {
  /** By partition key. */
  readonly items = new Map<string, ExportedItem>();
  /** What pages show of an item in place of what is there. */
  readonly stale = new Map<string, ExportedItem>();
  saved: SavedScrub = { kind: 'none' };
  telemetry = new Recorder();
  nowMs = DAY;
  itemsPerRun = 10_000;
  /** Items that make a page full before its limit does. */
  pageItems = Number.POSITIVE_INFINITY;
  /** How long a page takes. */
  pageMs = 0;
  /** Keys that pages of the pass and of the sample showed, in order. */
  readonly shown: string[] = [];
  readonly reads: string[] = [];
  pages = 0;
  /** Each is called first, and may throw. */
  onPage: (page: number) => void = () => {};
  onRead: (pk: string) => void = () => {};
  onLoad: () => void = () => {};
  onSave: () => void = () => {};
  random: () => number = () => 0.5;

  constructor(ids: readonly string[] = []) {
    for (const id of ids) this.put(whole(id));
  }

  put(item: ExportedItem): void {
    const { pk } = item;
    this.items.set(pk && 'S' in pk ? pk.S : '', item);
  }

  /** Of the last run. */
  last(name: string): number | undefined {
    return this.telemetry.samples.findLast((sample) => sample.name === name)?.value;
  }

  /** Keys that pages have shown since the last call. */
  takeShown(): readonly string[] {
    return this.shown.splice(0);
  }

  readonly store: ScrubbedItems = {
    page: async (after, limit) => {
      this.pages += 1;
      this.nowMs += this.pageMs;
      this.onPage(this.pages);
      const from = after && placeOf(after.pk);
      const behind = [...this.items.keys()]
        .map((pk) => ({ pk, place: placeOf(pk) }))
        .filter(({ place }) => from === undefined || place > from)
        .sort((a, b) => (a.place < b.place ? -1 : 1));
      const page = behind.slice(0, Math.min(limit, this.pageItems)).map(({ pk }) => pk);
      this.shown.push(...page);
      const last = page.at(-1);
      return {
        items: page.map((pk) => this.stale.get(pk) ?? (this.items.get(pk) as ExportedItem)),
        // As DynamoDB, which only knows that there are no more when it looks for them.
        next:
          last !== undefined && page.length === Math.min(limit, this.pageItems)
            ? { pk: last, sk: 'STATE' }
            : undefined,
      };
    },
    item: async ({ pk }: ItemPlace) => {
      this.reads.push(pk);
      this.onRead(pk);
      return this.items.get(pk);
    },
    load: async () => {
      this.onLoad();
      return this.saved;
    },
    save: async (_region, state, over) => {
      this.onSave();
      const revision = (it: SavedScrub) => (it.kind === 'saved' ? it.revision : it.kind);
      if (revision(this.saved) !== revision(over)) return false;
      this.saved = { kind: 'saved', revision: over.kind === 'saved' ? over.revision + 1 : 1, state };
      return true;
    },
  };

  /** What is said in it is all there is in {@link telemetry} afterwards. */
  async run(): Promise<void> {
    this.telemetry = new Recorder();
    this.nowMs += INTERVAL_MS;
    await createScrubber({
      place: { stage: 'dev', role: 'primary', region: REGIONS.primary, regions: REGIONS },
      telemetry: this.telemetry,
      now: () => this.nowMs,
      random: () => this.random(),
      wait: async (ms) => {
        this.nowMs += ms;
      },
      items: this.store,
      itemsPerRun: this.itemsPerRun,
    })();
  }
}

function placeOf(pk: string): string {
  return sha256Of(pk);
}
