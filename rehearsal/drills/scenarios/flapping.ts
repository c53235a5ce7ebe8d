// The primary goes up and down: it is left once, and that is that.

import { preciseNow } from '../../measuring.ts';
import { runFailover } from '../failover/run.ts';
import type { FailoverPlan } from '../failover/scenario.ts';
import { activeLine, movedLineUnjudged, movesLine } from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { STEADY_LOAD } from './steady-load.ts';

const EVERY_MS = 20_000;
const FOR_MS = 5 * 60_000;

export const FLAPPING: FailoverPlan = {
  name: 'flapping',
  load: STEADY_LOAD,
  warmUpMs: 15_000,
  settleMs: 3_000,
  variants: [
    {
      name: 'flapping',
      role: 'primary',
      done: `killed and revived every ${EVERY_MS / 1_000} s for ${FOR_MS / 60_000} min`,
      async act(acts) {
        for (const until = preciseNow() + FOR_MS; preciseNow() < until; ) {
          await acts.fault('primary', 'kill');
          await acts.pause(EVERY_MS);
          await acts.revive('primary');
          await acts.pause(EVERY_MS);
        }
      },
    },
  ],
  leaves: false,
  limits: () => ({ requestsFailed: 0, acknowledgedWritesLost: 0, staleReads: 0 }),
  follow: (seen) => [movesLine(seen, '≤', 1), movedLineUnjudged(seen), activeLine(seen)],
};

export const flapping: Scenario = {
  name: FLAPPING.name,
  title: 'The primary goes up and down every 20 seconds',
  about:
    'For five minutes the primary is dead for 20 s and alive for 20 s, in turn. Clients must not be sent back and forth with it: there may be one failover, after which it stays evacuated however often it comes back, and nothing acknowledged is lost.',
  run: (fresh, options) => runFailover(FLAPPING, fresh, options),
};
