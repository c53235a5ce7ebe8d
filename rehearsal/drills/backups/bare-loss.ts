// What became of writes by callers without the library, who keep nothing and send nothing again: what they were told is
// stored and the journals had not yet heard of is gone with the table. How much that may be, the journals' lag bounds.

/** A bare write that was answered as stored. */
export interface BareWrite {
  /** `<collection>/<id>`. */
  readonly key: string;
  /** When its answer came, Unix ms. */
  readonly answeredAt: number;
}

export interface BareLoss {
  readonly acknowledged: number;
  readonly lost: readonly BareWrite[];
  /** How long before the loss the earliest of them was answered, ms; 0 when none is lost. */
  readonly oldestMs: number;
}

/** `isThere`: what was read back in the end. `lostAt`: when the table was emptied, Unix ms. */
export function bareLoss(
  writes: readonly BareWrite[],
  isThere: (key: string) => boolean,
  lostAt: number,
): BareLoss {
  const lost = writes.filter(({ key }) => !isThere(key));
  const earliest = Math.min(...lost.map(({ answeredAt }) => answeredAt));
  return {
    acknowledged: writes.length,
    lost,
    oldestMs: lost.length === 0 ? 0 : Math.max(0, lostAt - earliest),
  };
}
