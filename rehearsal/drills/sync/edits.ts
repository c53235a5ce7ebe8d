// The edits devices make: number n of a device is always the same one, so that whoever knows the plan knows every edit
// without being told. Edits come in pairs on one record, as people save twice; records are drawn at random.
import type { Json } from '../../../protocol/operations.ts';
import { seededRandom } from '../pace.ts';

export interface EditPlan {
  /** In payloads: who made it. */
  readonly by: string;
  readonly seed: number;
  readonly collection: string;
  /** How many records there are to edit. */
  readonly records: number;
  /** Of text in each payload. */
  readonly textBytes: number;
}

export interface PlannedEdit {
  readonly collection: string;
  readonly id: string;
  readonly payload: Json;
}

const PRIME = 2_654_435_761;

/** @param n from 1 */
export function editOf({ by, seed, collection, records, textBytes }: EditPlan, n: number): PlannedEdit {
  const pair = Math.floor((n - 1) / 2);
  // Devices draw apart from each other.
  const own = [...by].reduce((sum, char) => Math.imul(sum, 31) + (char.codePointAt(0) ?? 0), seed);
  const drawn = seededRandom((own + Math.imul(pair + 1, PRIME)) >>> 0)();
  const id = idOf(Math.floor(drawn * records));
  return { collection, id, payload: { by, n, text: 'x'.repeat(textBytes) } };
}

/** Of the record with that index, from 0. */
export function idOf(index: number): string {
  return `r${String(index).padStart(5, '0')}`;
}

export function keyOfEdit(plan: EditPlan, n: number): string {
  const { collection, id } = editOf(plan, n);
  return `${collection}/${id}`;
}
