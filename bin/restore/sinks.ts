// What becomes of a record that is to be as it was. Into a table that was empty it is simply put. In one that is in use
// it is weighed against what every replica has of it, and written only where that is missing or damaged, unless told
// otherwise, under the condition that it still is what was weighed.
import { DigestSum } from '../../protocol/digest-sums.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { ATTRIBUTES, recordPk } from '../../protocol/items.ts';
import type { Stamps } from '../../protocol/restore-stamps.ts';
import {
  commitVersionIn,
  keyIn,
  type Need,
  needOf,
  stamped,
  type Wanted,
} from '../../protocol/restored-items.ts';
import type { Version } from '../../protocol/versions.ts';
import { addContent, copyOf } from './examine.ts';
import type { Sink } from './states.ts';
import { BATCH_MAX, type Target } from './target.ts';

export interface SinkParts {
  readonly target: Target;
  readonly stamps: Stamps;
  /** Where replicas only follow each other: the Region that is written through. */
  readonly through: string | undefined;
  /** Ends the work between two batches. */
  readonly interrupted: AbortSignal;
}

/** Into a closed table without records. */
export function loadSink({ target, stamps, through, interrupted }: SinkParts): Sink {
  return {
    batchMax: BATCH_MAX,
    async put(batch) {
      interrupted.throwIfAborted();
      await target.putAll(
        batch.map(({ item, record }) => stamped(item, record, stamps.stamp(record.commitVersion), through)),
      );
    },
  };
}

export interface RepairCounts {
  /** There and whole. */
  readonly kept: number;
  readonly mended: number;
  readonly filled: number;
  readonly replaced: number;
}

export const NO_COUNTS: RepairCounts = { kept: 0, mended: 0, filled: 0, replaced: 0 };

export function addCounts(a: RepairCounts, b: RepairCounts): RepairCounts {
  return {
    kept: a.kept + b.kept,
    mended: a.mended + b.mended,
    filled: a.filled + b.filled,
    replaced: a.replaced + b.replaced,
  };
}

export interface RepairOptions {
  /** Nothing; only what leaves every state what it is, which an open table takes; everything. */
  readonly writes: 'nothing' | 'mends' | 'all';
  /** Also over what is whole. */
  readonly overwrite: boolean;
  /** Keeps what is about to be replaced. */
  readonly keep: (items: readonly ExportedItem[]) => Promise<void>;
}

const ROUNDS = 4;
const COUNTED_AS = { nothing: 'kept', mend: 'mended', fill: 'filled', replace: 'replaced' } as const;

/** Into a table in use. */
export class RepairSink implements Sink {
  readonly batchMax = BATCH_MAX;
  readonly #parts: SinkParts;
  readonly #options: RepairOptions;
  readonly #written = new DigestSum();
  readonly #readBack = new DigestSum();
  #counts = NO_COUNTS;

  constructor(parts: SinkParts, options: RepairOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** What was done, or, where nothing is written, what there would be to do. */
  get counts(): RepairCounts {
    return this.#counts;
  }

  /** Whether all that was written was read back as it was. */
  get agrees(): boolean {
    return this.#written.toString() === this.#readBack.toString();
  }

  async put(batch: readonly Wanted[]): Promise<void> {
    let left = batch;
    const written: Wanted[] = [];
    for (let round = 1; left.length > 0; round += 1) {
      this.#parts.interrupted.throwIfAborted();
      const refused: Wanted[] = [];
      const needs = await this.#weigh(left);
      await this.#keep(needs);
      await Promise.all(
        needs.map(async ({ wanted, need }) => {
          const done = await this.#meet(need);
          if (!done) return refused.push(wanted);
          this.#counts = addCounts(this.#counts, { ...NO_COUNTS, [COUNTED_AS[need.kind]]: 1 });
          if (need.kind !== 'nothing' && this.#mayWrite(need)) written.push(need.wanted);
          return undefined;
        }),
      );
      left = refused;
      if (left.length > 0 && round === ROUNDS)
        throw new Error(
          `${left.map(({ record }) => recordPk(record.key)).join(', ')}: expected nobody else to write, somebody did ${ROUNDS} times`,
        );
    }
    if (written.length > 0) await this.#compare(written);
  }

  async #weigh(
    batch: readonly Wanted[],
  ): Promise<readonly { readonly wanted: Wanted; readonly need: Need }[]> {
    const { target } = this.#parts;
    const replicas = await target.copies(batch.map(({ record }) => recordPk(record.key)));
    return batch.map((wanted) => {
      const pk = recordPk(wanted.record.key);
      const copies = replicas.map((items) => copyOf(items.get(pk)));
      return { wanted, need: needOf(copies, wanted, this.#options) };
    });
  }

  async #keep(needs: readonly { readonly need: Need }[]): Promise<void> {
    const replaced = needs.flatMap(({ need }) =>
      need.kind === 'replace' && this.#mayWrite(need) ? [need.over] : [],
    );
    if (replaced.length > 0) await this.#options.keep(replaced);
  }

  #mayWrite({ kind }: Need): boolean {
    const { writes } = this.#options;
    return writes === 'all' || (writes === 'mends' && kind === 'mend');
  }

  /** False: it is not what was weighed any more. */
  async #meet(need: Need): Promise<boolean> {
    if (need.kind === 'nothing' || !this.#mayWrite(need)) return true;
    const { target, stamps, through } = this.#parts;
    const { item, record } = need.wanted;
    const over =
      need.kind === 'mend' ? need.over : need.kind === 'replace' ? commitVersionIn(need.over) : undefined;
    const commitVersion = stamps.stamp(record.commitVersion, over);
    return await target.put(stamped(item, record, commitVersion, through), conditionOf(need, over));
  }

  async #compare(written: readonly Wanted[]): Promise<void> {
    const { target } = this.#parts;
    const { writes } = this.#options;
    const replicas = await target.copies(written.map(({ record }) => recordPk(record.key)));
    for (const { record } of written)
      for (const items of replicas) {
        addContent(this.#written, record);
        const copy = copyOf(items.get(recordPk(record.key)));
        // While the table is open, what was mended may have been edited since.
        if (copy.kind === 'whole') addContent(this.#readBack, writes === 'mends' ? record : copy.record);
      }
  }
}

function conditionOf(need: Need, over: Version | undefined) {
  if (need.kind === 'fill')
    return {
      ConditionExpression: 'attribute_not_exists(#pk)',
      ExpressionAttributeNames: { '#pk': ATTRIBUTES.pk },
    };
  if (over === undefined)
    return {
      ConditionExpression: 'attribute_exists(#pk)',
      ExpressionAttributeNames: { '#pk': ATTRIBUTES.pk },
    };
  return {
    ConditionExpression: '#c = :c',
    ExpressionAttributeNames: { '#c': ATTRIBUTES.commitVersion },
    ExpressionAttributeValues: { ':c': { S: over } },
  };
}

/** As lines of JSON: what was replaced, for whoever wants to look at it again. */
export function replacedText(items: readonly ExportedItem[]): string {
  return items.map((item) => `${JSON.stringify({ ...keyIn(item), item })}\n`).join('');
}
