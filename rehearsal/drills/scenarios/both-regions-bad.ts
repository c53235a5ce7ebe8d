// Primary and standby fail alike: there is nowhere to go, so nobody goes, and everybody calls for a person.
import { runFailover } from '../failover/run.ts';
import type { FailoverPlan } from '../failover/scenario.ts';
import { activeLine, movesLine, pagingLines } from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { NOTHING_LOST } from './failover-limits.ts';
import { STEADY_LOAD } from './steady-load.ts';

/** Three probes, and the alarm's minute twice: a page may begin in one minute and show at the end of the next. */
const PAGES_WITHIN_MS = 240_000;
/** A good look, and the alarm's minute after the one in which the last page was. */
const CLEARED_WITHIN_MS = 180_000;

export const BOTH_REGIONS_BAD: FailoverPlan = {
  name: 'both-regions-bad',
  load: STEADY_LOAD,
  warmUpMs: 15_000,
  settleMs: 3_000,
  variants: [
    {
      name: 'both-gray',
      role: 'primary',
      done: 'failing at work, and so is the standby',
      async act(acts) {
        await acts.fault('primary', 'gray');
        await acts.fault('standby', 'gray');
        await acts.untilPaging('all', PAGES_WITHIN_MS);
        await acts.revive('standby');
        await acts.revive('primary');
        await acts.untilPaging('none', CLEARED_WITHIN_MS);
      },
    },
  ],
  leaves: false,
  // Clients fail while both regions do; what they had been told stands.
  limits: () => NOTHING_LOST,
  follow: (seen) => [
    movesLine(seen, '=', 0),
    ...pagingLines(seen, { clearedWithinMs: CLEARED_WITHIN_MS }),
    activeLine(seen),
  ],
};

export const bothRegionsBad: Scenario = {
  name: BOTH_REGIONS_BAD.name,
  title: 'Primary and standby answer health checks, and their work fails',
  about:
    'The observers agree that the primary fails, and that the standby is not ready. They must not move: the primary stays active, and the observer of every region pages, until both are well again.',
  variants: BOTH_REGIONS_BAD.variants.map(({ name }) => name),
  run: (fresh, options) => runFailover(BOTH_REGIONS_BAD, fresh, options),
};
