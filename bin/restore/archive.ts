// The restore's own record, in every Region's audit bucket, where nobody changes it any more: who asked for what and why
// before anything is closed, what is replaced before it is, and what came of it.
import { randomUUID } from 'node:crypto';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { restoreRecordKey } from '../../protocol/restoring.ts';
import type { Archive } from './places.ts';
import { replacedText } from './sinks.ts';

/** By Region, why its bucket did not take it. */
export type Missed = readonly { readonly region: string; readonly why: string }[];

export class RestoreArchive {
  readonly #archives: readonly Archive[];
  readonly #id: string;

  constructor(archives: readonly Archive[], id: string) {
    this.#archives = archives;
    this.#id = id;
  }

  /** @throws {Error} no bucket took it */
  begun(record: object): Promise<Missed> {
    return this.#put(restoreRecordKey(this.#id, 'begun'), JSON.stringify(record), 'application/json');
  }

  ended(record: object): Promise<Missed> {
    return this.#put(restoreRecordKey(this.#id, 'ended'), JSON.stringify(record), 'application/json');
  }

  /** @throws {Error} no bucket took it: then nothing may be replaced */
  async replaced(items: readonly ExportedItem[]): Promise<void> {
    const key = restoreRecordKey(this.#id, `replaced-${randomUUID()}`);
    await this.#put(key, replacedText(items), 'application/x-ndjson');
  }

  async #put(key: string, text: string, type: string): Promise<Missed> {
    const settled = await Promise.allSettled(this.#archives.map(({ bucket }) => bucket.put(key, text, type)));
    const missed = settled.flatMap((it, index) =>
      it.status === 'rejected'
        ? [{ region: this.#archives[index]?.region ?? '', why: String(it.reason?.message ?? it.reason) }]
        : [],
    );
    if (missed.length === settled.length)
      throw new Error(
        `no audit bucket takes ${key} (${missed.map(({ region, why }) => `${region}: ${why}`).join('; ')})`,
      );
    return missed;
  }
}
