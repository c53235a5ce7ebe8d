// The one table, three regions: a global table with strong consistency. Writes are judged at the head of one log and
// need a second region; a region that reaches none refuses them, and consistent reads too. Copies that are read
// without consistency, and the indexes, come along later, each region in its own time; in a region that is cut off
// they stand still, and catch up with gaps once it is back.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
import { ATTRIBUTES } from '../../protocol/items.ts';
import type { Dice } from './dice.ts';
import type { Item } from './expressions.ts';
import type { Scheduler } from './scheduler.ts';

export interface Entry {
  readonly index: number;
  readonly atMs: number;
  readonly pk: string;
  readonly before: Item | undefined;
  readonly after: Item | undefined;
  /** The region that wrote it; a restore writes as none. */
  readonly region: string | undefined;
  /** By region: when its copy, and its indexes, show it. */
  readonly copied: Map<string, number>;
  readonly indexed: Map<string, number>;
}

export interface TableFaults {
  /** ms until a copy or an index shows a write, at most, usually; and now and then (a feed delay of 20 s alarms). */
  readonly lagMsMax: number;
  readonly lagMsMaxRare: number;
  readonly rareLag: number;
  /** ms a region that is back takes to catch up, at most. */
  readonly catchUpMsMax: number;
}

export class Table {
  readonly regions: readonly string[];
  readonly log: Entry[] = [];
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  readonly #faults: TableFaults;
  readonly #head = new Map<string, Item>();
  readonly #byKey = new Map<string, Entry[]>();
  readonly #byPartition = new Map<string, Set<string>>();
  /** Links between regions that are down, as `a|b`. */
  readonly #cuts = new Set<string>();
  /** Entries that a cut-off region has not seen. */
  readonly #missed = new Map<string, Entry[]>();
  /** By region and key: the commit version of a copy that is damaged there. */
  readonly #damaged = new Map<string, string>();
  readonly #listeners: ((entry: Entry) => void)[] = [];

  constructor(regions: readonly string[], scheduler: Scheduler, dice: Dice, faults: TableFaults) {
    this.regions = regions;
    this.#scheduler = scheduler;
    this.#dice = dice;
    this.#faults = faults;
  }

  onEntry(listener: (entry: Entry) => void): void {
    this.#listeners.push(listener);
  }

  /** Whether the region reaches another one, and so is part of a majority. */
  reachesMajority(region: string): boolean {
    return this.regions.some((other) => other !== region && !this.#cuts.has(linkOf(region, other)));
  }

  areLinked(a: string, b: string): boolean {
    return a === b || !this.#cuts.has(linkOf(a, b));
  }

  cut(a: string, b: string): void {
    const before = this.regions.filter((region) => this.reachesMajority(region));
    this.#cuts.add(linkOf(a, b));
    for (const region of before) if (!this.reachesMajority(region)) this.#freeze(region);
  }

  join(a: string, b: string): void {
    const before = this.regions.filter((region) => !this.reachesMajority(region));
    this.#cuts.delete(linkOf(a, b));
    for (const region of before) if (this.reachesMajority(region)) this.#thaw(region);
  }

  get cuts(): number {
    return this.#cuts.size;
  }

  joinAll(): void {
    for (const link of [...this.#cuts]) {
      const [a = '', b = ''] = link.split('|');
      this.join(a, b);
    }
  }

  /** What stands at the head, whole. */
  head(pk: string): Item | undefined {
    return this.#head.get(pk);
  }

  /** What stood there from then until now, one after the other. */
  between(pk: string, fromMs: number): (Item | undefined)[] {
    const items: (Item | undefined)[] = [];
    for (const { atMs, before, after } of this.#byKey.get(pk) ?? [])
      if (atMs >= fromMs) items.push(...(items.length === 0 ? [before] : []), after);
    return items.length === 0 ? [this.#head.get(pk)] : items;
  }

  headKeys(): readonly string[] {
    return [...this.#head.keys()];
  }

  /** The head as this region's replica holds it: the same, unless its copy is damaged. */
  headAt(pk: string, region: string): Item | undefined {
    return this.#asHeld(pk, region, this.#head.get(pk));
  }

  /** Eventually consistent: what the region's copy shows now. */
  copyAt(pk: string, region: string): Item | undefined {
    return this.#asHeld(pk, region, this.#shown(pk, 'copied', region)?.after);
  }

  /** Rows of an index partition as the region shows them now, in order. */
  rows(partitionName: string, sortName: string, partition: string, region: string): Item[] {
    const rows: Item[] = [];
    for (const pk of this.#byPartition.get(partition) ?? []) {
      const item = this.#shown(pk, 'indexed', region)?.after;
      if (item?.[partitionName]?.S === partition && item[sortName] !== undefined) rows.push(item);
    }
    return rows.sort((a, b) => ((a[sortName]?.S as string) < (b[sortName]?.S as string) ? -1 : 1));
  }

  put(pk: string, after: Item | undefined, region: string | undefined): Entry {
    const atMs = this.#scheduler.nowMs;
    const before = this.#head.get(pk);
    const entry: Entry = {
      index: this.log.length,
      atMs,
      pk,
      before,
      after,
      region,
      copied: new Map(),
      indexed: new Map(),
    };
    this.log.push(entry);
    if (after === undefined) this.#head.delete(pk);
    else this.#head.set(pk, after);
    this.#enter(entry);
    for (const each of this.regions) this.#spread(entry, each);
    for (const listener of this.#listeners) listener(entry);
    return entry;
  }

  /** Damages this region's copy of what stands there now: its payload no longer matches its hash. */
  damage(pk: string, region: string): void {
    const commit = this.#head.get(pk)?.[ATTRIBUTES.commitVersion]?.S;
    if (commit !== undefined) this.#damaged.set(`${region}|${pk}`, commit);
  }

  repairAll(): void {
    this.#damaged.clear();
  }

  get damages(): number {
    return this.#damaged.size;
  }

  #asHeld(pk: string, region: string, item: Item | undefined): Item | undefined {
    if (item === undefined || this.#damaged.size === 0) return item;
    const damaged = this.#damaged.get(`${region}|${pk}`);
    if (damaged === undefined || damaged !== item[ATTRIBUTES.commitVersion]?.S) return item;
    const payload = item[ATTRIBUTES.payload]?.S;
    return payload === undefined ? item : { ...item, [ATTRIBUTES.payload]: { S: `${payload} ` } };
  }

  #enter(entry: Entry): void {
    const entries = this.#byKey.get(entry.pk);
    if (entries) entries.push(entry);
    else this.#byKey.set(entry.pk, [entry]);
    for (const name of [ATTRIBUTES.feedShard, ATTRIBUTES.sweepShard]) {
      const partition = entry.after?.[name]?.S;
      if (partition === undefined) continue;
      const keys = this.#byPartition.get(partition);
      if (keys) keys.add(entry.pk);
      else this.#byPartition.set(partition, new Set([entry.pk]));
    }
  }

  #spread(entry: Entry, region: string): void {
    if (!this.reachesMajority(region)) {
      entry.copied.set(region, Number.POSITIVE_INFINITY);
      entry.indexed.set(region, Number.POSITIVE_INFINITY);
      this.#missedBy(region).push(entry);
      return;
    }
    const { lagMsMax, lagMsMaxRare, rareLag } = this.#faults;
    const lag = this.#dice.chance(rareLag) ? lagMsMaxRare : lagMsMax;
    const copied = entry.atMs + this.#dice.next() * lag;
    entry.copied.set(region, copied);
    entry.indexed.set(region, copied + this.#dice.next() * lag * 0.1);
  }

  /** What has not come through yet will not before the region is back. */
  #freeze(region: string): void {
    const { nowMs } = this.#scheduler;
    const missed = this.#missedBy(region);
    for (let index = this.log.length - 1; index >= 0; index -= 1) {
      const entry = this.log[index] as Entry;
      if (entry.atMs < nowMs - 2 * (this.#faults.lagMsMaxRare + this.#faults.catchUpMsMax) - 60_000) break;
      if ((entry.indexed.get(region) as number) <= nowMs) continue;
      entry.copied.set(region, Number.POSITIVE_INFINITY);
      entry.indexed.set(region, Number.POSITIVE_INFINITY);
      missed.push(entry);
    }
  }

  /** Copies and indexes catch up, row by row in any order. */
  #thaw(region: string): void {
    const { nowMs } = this.#scheduler;
    for (const entry of this.#missedBy(region)) {
      entry.copied.set(region, nowMs + this.#dice.next() * this.#faults.catchUpMsMax);
      entry.indexed.set(region, nowMs + this.#dice.next() * this.#faults.catchUpMsMax);
    }
    this.#missed.delete(region);
  }

  #missedBy(region: string): Entry[] {
    const missed = this.#missed.get(region) ?? [];
    this.#missed.set(region, missed);
    return missed;
  }

  /** The last entry of the key that a copy or an index shows. */
  #shown(pk: string, where: 'copied' | 'indexed', region: string): Entry | undefined {
    const entries = this.#byKey.get(pk) ?? [];
    const { nowMs } = this.#scheduler;
    for (let index = entries.length - 1; index >= 0; index -= 1) {
      const entry = entries[index] as Entry;
      if ((entry[where].get(region) as number) <= nowMs) return entry;
    }
    return undefined;
  }
}

function linkOf(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}
