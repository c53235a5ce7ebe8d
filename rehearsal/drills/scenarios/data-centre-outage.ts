// The whole primary region dies: its functions, its copy of the data, its links. The data-centre row of the recovery
// table, and the latch that keeps what comes back from taking over again.
import { RECOVERY_MS_MAX } from '../../../config/promises.ts';
import { dnsFailoverMs } from '../../../config/recovery.ts';
import { runFailover } from '../failover/run.ts';
import type { FailoverPlan } from '../failover/scenario.ts';
import {
  activeLine,
  HELD_AFTER_MS,
  latchLines,
  memorylessLines,
  movedLine,
  movesLine,
  verifiedLine,
} from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { LATCHED_FOR_MS, LEARNS_WITHIN_MS, MOVED_WITHIN_MS, NOBODY_HARMED } from './failover-limits.ts';
import { STEADY_LOAD } from './steady-load.ts';

const PROMISE_MS = RECOVERY_MS_MAX.dataCentreOutage;
/** A good `/ready`, and the same a probe interval later, with room for one bad one between. */
const VERIFIED_WITHIN_MS = 60_000;
/** Good looks at `/health` that would be enough for its check to turn, and for DNS to lead back. */
const LOOKS_MIN = 45;

export const DATA_CENTRE_OUTAGE: FailoverPlan = {
  name: 'data-centre-outage',
  load: STEADY_LOAD,
  warmUpMs: 15_000,
  settleMs: 0,
  variants: [
    {
      name: 'outage',
      role: 'primary',
      done: 'gone, with its links and its copy of the data',
      async act(acts) {
        await acts.fault('primary', 'outage');
        await acts.untilActive('standby', MOVED_WITHIN_MS);
        await acts.untilVerified('standby', VERIFIED_WITHIN_MS);
        await acts.untilDnsServedBy('standby', acts.dnsWithinMs);
        // With no memory of its evacuation, and nobody to learn of it from, until the alarm has to hold; and then as long
        // as DNS would need to lead back.
        await acts.revive('primary', 'partition');
        await acts.pause(HELD_AFTER_MS + dnsFailoverMs(acts.config));
        await acts.revive('primary');
        await acts.pause(LATCHED_FOR_MS);
      },
    },
  ],
  leaves: true,
  limits: (config) => ({
    longestGapMs: PROMISE_MS,
    dnsOutageMs: dnsFailoverMs(config),
    ...NOBODY_HARMED,
  }),
  follow: (seen) => [
    movedLine(seen, PROMISE_MS),
    verifiedLine(seen, PROMISE_MS),
    movesLine(seen, '=', 1),
    ...memorylessLines(seen, { heldAfterMs: HELD_AFTER_MS, looksMin: LOOKS_MIN }),
    ...latchLines(seen, LEARNS_WITHIN_MS),
    activeLine(seen, seen.other),
  ],
  notes: [
    `The primary is revived cut off from the other regions first: it cannot read the routing state and has none in memory, so its /health answers 200 and the alarm that the standby's observer feeds is all that holds DNS. That alarm takes up to ${HELD_AFTER_MS / 1_000} s from the move on; what comes back sooner, as here, may have DNS lead to it for that long, and whoever follows is refused, as a region that reaches no other serves nothing. Then it reaches the others again, and has to learn.`,
  ],
};

export const dataCentreOutage: Scenario = {
  name: DATA_CENTRE_OUTAGE.name,
  title: 'The whole primary region is gone, and comes back',
  about:
    'Nothing of the primary answers any more, neither clients nor other regions. Clients of the library go on; the observers move to the standby, which has to be found ready twice; a client that knows only the failover name is served again within the time of DNS. What comes back, with no memory of it and cut off at first, answers health checks: DNS has to stay where it is all the same, and the primary has to learn that it is evacuated as soon as it can, until an operator says otherwise.',
  variants: DATA_CENTRE_OUTAGE.variants.map(({ name }) => name),
  run: (fresh, options) => runFailover(DATA_CENTRE_OUTAGE, fresh, options),
};
