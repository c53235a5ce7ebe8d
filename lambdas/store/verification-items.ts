// How far a Region's verification has come, between its invocations. Saved under the condition that nobody else saved
// since, so that of two that run at once one finds out and stops.
import { verificationKey } from '../../protocol/items.ts';
import { numberOf, textOf } from './record-items.ts';
import { controlKey, type TableCalls } from './table-calls.ts';
import { UpdateDraft } from './update-draft.ts';

export interface SavedVerification {
  /** 0 where nothing was ever saved. */
  readonly revision: number;
  /** JSON; undefined when nothing is under way. */
  readonly state: string | undefined;
}

/** By Region and tier. Both throw `StoreUnavailableError` when the table does not answer. */
export interface VerificationLog {
  load(what: string): Promise<SavedVerification>;
  /** Returns false, and writes nothing, when another revision than the one before `saved` stands there. */
  save(what: string, saved: SavedVerification): Promise<boolean>;
}

export function verificationItems(calls: Pick<TableCalls, 'get' | 'update'>): VerificationLog {
  return {
    async load(what) {
      const item = await calls.get(controlKey(verificationKey(what)));
      if (!item) return { revision: 0, state: undefined };
      return {
        revision: numberOf(item, 'revision'),
        state: item['state'] ? textOf(item, 'state') : undefined,
      };
    },

    async save(what, { revision, state }) {
      const draft = new UpdateDraft(controlKey(verificationKey(what)));
      draft.set('revision', { N: String(revision) });
      if (state === undefined) draft.remove('state');
      else draft.set('state', { S: state });
      const stored = draft.name('revision');
      draft.require(
        revision === 1
          ? `attribute_not_exists(${stored})`
          : `${stored} = ${draft.value({ N: String(revision - 1) })}`,
      );
      return (await calls.update(draft.build())) === true;
    },
  };
}
