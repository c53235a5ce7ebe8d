// Edits that wait for the end of the turn, and what of them goes into one commit.
import { COLLECTION_PATTERN, RECORD_ID_PATTERN } from '../../protocol/names.ts';
import type { Edit } from './append.ts';
import { canonicalPayload } from './canonical.ts';
import type { NewEdit, Receipt } from './contract.ts';
import { InvalidEditError, QueueFullError } from './errors.ts';
import type { Outcome } from './format.ts';
import { keyOf, type Ledger } from './ledger.ts';
import { notInQuarantine } from './quarantine.ts';

/** One commit: operations, and characters of their payloads. */
const COMMIT_OPERATIONS_MAX = 100;
const COMMIT_LENGTH_MAX = 4 * 1024 ** 2;
/** An operation's line beside names and payload, and its share of a group. */
const OPERATION_BYTES = 200;

export interface Staged extends Edit {
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (reason: unknown) => void;
}

export class Staging {
  readonly #ledger: Ledger;
  #staged: Staged[] = [];

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  get isEmpty(): boolean {
    return this.#staged.length === 0;
  }

  /** True when it is the first. */
  add(staged: Staged): boolean {
    return this.#staged.push(staged) === 1;
  }

  /** The next commit's, those refused already: for want of room, or because what they replace is gone. */
  take(bytesFree: number): readonly Staged[] {
    const { groups } = this.#ledger;
    const taken: Staged[] = [];
    const replaced = new Set<Outcome>();
    let room = bytesFree;
    let length = 0;
    let looked = 0;
    for (const staged of this.#staged) {
      const { replaces } = staged;
      const size = sizeOf(staged);
      if (taken.length >= COMMIT_OPERATIONS_MAX || (taken.length > 0 && length + size > COMMIT_LENGTH_MAX))
        break;
      looked++;
      const outcome = replaces && groups.get(replaces.group)?.outcomes?.[replaces.index];
      if (replaces && (outcome?.state !== 'quarantined' || replaced.has(outcome)))
        staged.reject(notInQuarantine('one that was resubmitted or discarded meanwhile'));
      else if (size > room) {
        const detail = `${bytesFree} bytes are left of its limit, and the edit needs ${size}`;
        staged.reject(new QueueFullError('limit', detail));
      } else {
        if (outcome) replaced.add(outcome);
        taken.push(staged);
        room -= size;
        length += size;
      }
    }
    this.#staged = this.#staged.slice(looked);
    return taken;
  }
}

/** What an edit takes of the queue's limit, about. */
export function sizeOf({ payload }: Edit): number {
  return payload.length + OPERATION_BYTES;
}

export function checkedEdit(edit: NewEdit): Edit {
  const { kind, collection, id } = edit;
  if (!COLLECTION_PATTERN.test(collection))
    throw new InvalidEditError('collection', String(COLLECTION_PATTERN), JSON.stringify(collection));
  if (!RECORD_ID_PATTERN.test(id))
    throw new InvalidEditError('id', String(RECORD_ID_PATTERN), JSON.stringify(id));
  const payload = kind === 'put' ? canonicalPayload(edit.payload) : '';
  return { kind, collection, id, key: keyOf(collection, id), payload };
}
