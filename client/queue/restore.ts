// The restore epoch rose: the server's data is from before, so all that is kept is sent again (PROTOCOL 8.2).
import type { Draft } from './draft.ts';
import { parseLine } from './format.ts';
import { keyOf, type Ledger } from './ledger.ts';
import type { ReadLines } from './lines.ts';
import { Waiting } from './waiting.ts';

/** One commit: the epoch, all kept operations queued again, marked and in the order made, and a resync to come. */
export function draftReplay(ledger: Ledger, draft: Draft, epoch: number, lines: ReadLines): number {
  const again: Waiting[] = [];
  for (const group of ledger.groups.values()) {
    for (const [index, outcome] of (group.outcomes ?? []).entries()) {
      if (outcome?.state !== 'kept') continue;
      const line = parseLine(lines(group)[index] as string);
      const { version, base } = outcome.stamp ?? line;
      again.push(new Waiting(group, index, keyOf(line.collection, line.id), version, base, true));
      draft.setOutcome(group, index, {
        state: 'pending',
        replayed: true,
        ...(outcome.stamp ? { stamp: outcome.stamp } : {}),
      });
    }
  }
  draft.setState({
    restoreEpoch: epoch,
    cursor: null,
    // What was settled ahead of the next resync is of the data before the restore too.
    resync: { number: draft.state.resync.number + 1, active: false },
  });
  draft.afterwards(() => ledger.waiting.addAgain(again));
  return again.length;
}
