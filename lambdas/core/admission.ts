// Whether a request may be served under the table's generation (PROTOCOL 1.4, 8).

/** The generation item. */
export interface Generation {
  readonly status: 'open' | 'restoring';
  /** Unix ms of the last restore, or of the first opening. */
  readonly restoreEpoch: number;
  /** Of the restore that closed it. */
  readonly restoreId?: string;
}

export type Admission =
  | { readonly kind: 'admitted'; readonly restoreEpoch: number }
  /** Being restored, or never opened. */
  | { readonly kind: 'closed' }
  /** The client knows of no, or only of an earlier, restore: nothing of its request is processed. */
  | { readonly kind: 'behind'; readonly restoreEpoch: number }
  /** The client knows of a later restore than this copy does: read it again. */
  | { readonly kind: 'ahead' };

/** `known` is the client's restore epoch; undefined where none is asked for. */
export function admit(generation: Generation | undefined, known: number | undefined): Admission {
  if (generation?.status !== 'open') return { kind: 'closed' };
  const { restoreEpoch } = generation;
  if (known === undefined || known === restoreEpoch) return { kind: 'admitted', restoreEpoch };
  return known < restoreEpoch ? { kind: 'behind', restoreEpoch } : { kind: 'ahead' };
}
