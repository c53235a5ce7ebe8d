// Routing states for tests that do not care how they came about, and the items of jobs that run once.
import type { Store } from '../../lambdas/store/store.ts';
import type { RoutingState } from '../../protocol/routing.ts';

export function activeIn(region: string, epoch: number, over: Partial<RoutingState> = {}): RoutingState {
  return { activeRegion: region, epoch, since: 0, reason: '', restoreEpoch: 0, changes: [], ...over };
}

/** What the table keeps of jobs, as `enterJob` of the store has it. */
export class Jobs {
  readonly entries = new Map<string, Parameters<Store['enterJob']>[1]>();

  enter: Store['enterJob'] = async (job, entry) => {
    const recorded = this.entries.get(job);
    if (recorded && recorded.epoch > entry.epoch) return false;
    this.entries.set(job, entry);
    return true;
  };
}
