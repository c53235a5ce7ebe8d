// What a scrubber reads of its Region's own replica, and the one item it writes. Pages are eventually consistent: they
// cost half, and answer from what is here; https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html
import { ScanCommand } from '@aws-sdk/client-dynamodb';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { fromItem } from '../../protocol/item-values.ts';
import { ATTRIBUTES, scrubberKey } from '../../protocol/items.ts';
import type { ItemPlace } from '../core/scrubbing.ts';

import { textOf } from './record-items.ts';
import { controlKey, type TableCalls } from './table-calls.ts';
import { UpdateDraft } from './update-draft.ts';

export type SavedScrub =
  | { readonly kind: 'none' }
  | { readonly kind: 'saved'; readonly revision: number; readonly state: string }
  /** Something stands there that no scrubber has written. */
  | { readonly kind: 'unreadable' };

export interface ItemPage {
  readonly items: readonly ExportedItem[];
  /** The place of the last one; undefined when there are no more. */
  readonly next: ItemPlace | undefined;
}

/** Every method throws `StoreUnavailableError` when the table refuses or does not answer. */
export interface ScrubbedItems {
  /** At most `limit` items behind a place, in the table's own order: eventually consistent. Nothing need be at the place,
   * as where an item was removed between two pages. */
  page(after: ItemPlace | undefined, limit: number): Promise<ItemPage>;
  /** Consistent. */
  item(place: ItemPlace): Promise<ExportedItem | undefined>;
  load(region: string): Promise<SavedScrub>;
  /** Returns false, and writes nothing, when what `over` was read from is not what is there any more. */
  save(region: string, state: string, over: SavedScrub): Promise<boolean>;
}

export function scrubbedItems(
  calls: Pick<TableCalls, 'get' | 'update' | 'reading' | 'client' | 'tableName'>,
): ScrubbedItems {
  return {
    async page(after, limit) {
      const command = new ScanCommand({
        TableName: calls.tableName,
        Limit: limit,
        ...(after && { ExclusiveStartKey: controlKey(after) }),
      });
      const { Items = [], LastEvaluatedKey: last } = await calls.reading((abortSignal) =>
        calls.client.send(command, { abortSignal }),
      );
      return {
        items: Items.map(fromItem),
        next: last && { pk: textOf(last, ATTRIBUTES.pk), sk: textOf(last, ATTRIBUTES.sk) },
      };
    },

    async item(place) {
      const item = await calls.get(controlKey(place));
      return item && fromItem(item);
    },

    async load(region) {
      const item = await calls.get(controlKey(scrubberKey(region)));
      if (!item) return { kind: 'none' };
      const revision = Number(item['revision']?.N);
      const state = item['state']?.S;
      return Number.isSafeInteger(revision) && revision > 0 && state !== undefined
        ? { kind: 'saved', revision, state }
        : { kind: 'unreadable' };
    },

    async save(region, state, over) {
      const draft = new UpdateDraft(controlKey(scrubberKey(region)));
      const before = over.kind === 'saved' ? over.revision : 0;
      draft.set('revision', { N: String(before + 1) }).set('state', { S: state });
      if (over.kind === 'saved')
        draft.require(`${draft.name('revision')} = ${draft.value({ N: String(before) })}`);
      else {
        const exists = over.kind === 'none' ? 'attribute_not_exists' : 'attribute_exists';
        draft.require(`${exists}(${draft.name(ATTRIBUTES.pk)})`);
      }
      return (await calls.update(draft.build())) === true;
    },
  };
}
