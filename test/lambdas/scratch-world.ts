// Scratch tables in memory, that can be throttled, lost and refused, and that keep count.
import {
  type RefusedItem,
  ScratchTableLostError,
  type ScratchTables,
} from '../../lambdas/store/scratch-table.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';

type Call = 'make' | 'put' | 'page' | 'drop';

export class MemoryScratch implements ScratchTables {
  /** Items by key, by table. */
  readonly tables = new Map<string, Map<string, ExportedItem>>();
  readonly calls: string[] = [];
  pageItems = 3;
  /** Throws, or changes things, before a call is carried out. */
  before: (call: Call, table: string) => void = () => {};
  /** Why DynamoDB does not take an item. */
  refuses: (item: ExportedItem) => string | undefined = () => undefined;

  async make(table: string): Promise<void> {
    this.#hear('make', table);
    this.tables.set(table, new Map());
  }

  async put(table: string, items: readonly ExportedItem[]): Promise<readonly RefusedItem[]> {
    this.#hear('put', table);
    const held = this.#held(table);
    const refused: RefusedItem[] = [];
    for (const item of items) {
      const why = this.refuses(item);
      if (why === undefined) held.set(keyOf(item), structuredClone(item));
      else refused.push({ item, why });
    }
    return refused;
  }

  async page(table: string, segment: number, segments: number, after: ExportedItem | undefined) {
    this.#hear('page', table);
    const of = [...this.#held(table).keys()].filter((_, at) => at % segments === segment);
    const from = after === undefined ? 0 : of.indexOf(keyOf(after)) + 1;
    const keys = of.slice(from, from + this.pageItems);
    const items = keys.map((key) => this.#held(table).get(key) as ExportedItem);
    const last = items.at(-1);
    const more = from + keys.length < of.length;
    return { items, after: more && last ? ({ pk: last['pk'], sk: last['sk'] } as ExportedItem) : undefined };
  }

  async drop(table: string): Promise<void> {
    this.#hear('drop', table);
    this.tables.delete(table);
  }

  #hear(call: Call, table: string): void {
    this.calls.push(call);
    this.before(call, table);
  }

  #held(table: string): Map<string, ExportedItem> {
    const held = this.tables.get(table);
    if (!held) throw new ScratchTableLostError(`${table} is gone`);
    return held;
  }
}

export function throttled(): StoreUnavailableError {
  return new StoreUnavailableError('the table refused: ThrottlingException', {
    retryable: true,
    mayHaveLanded: false,
  });
}

function keyOf({ pk, sk }: ExportedItem): string {
  return JSON.stringify([pk, sk]);
}
