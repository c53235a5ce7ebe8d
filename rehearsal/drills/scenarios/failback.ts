// Back to the primary, by the operator's own commands and under load: no client's call fails.
import { DRAIN_MS, HOLD_DOWN_MS } from '../../../protocol/limits.ts';
import { runFailover } from '../failover/run.ts';
import type { Acts, FailoverPlan } from '../failover/scenario.ts';
import type { Seen } from '../failover/seen.ts';
import {
  activeLine,
  drainsLine,
  epochsLine,
  forcedLine,
  latchTakenAwayLines,
  movesLine,
  orderLines,
  refusedLine,
} from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { MOVED_WITHIN_MS, NOBODY_HARMED } from './failover-limits.ts';
import { STEADY_LOAD } from './steady-load.ts';

const DNS_WITHIN_MS = 180_000;
/** Until everything that a cut-off region makes refuse can be seen: heartbeats and the check of the feed. */
const CUT_OFF_MS = 60_000;
/** Two minutes of the alarm and Route 53's own time: DNS would have followed by then, had anybody told it to. */
const HELD_MS = 125_000;
/** Of Route 53, to a changed check. */
const FOLLOWS_WITHIN_MS = 20_000;
/** Until the standby's observer has told the alarm, which then goes back to OK. */
const ALARM_OK_MS = 135_000;
/** Looks enough to see whether DNS stays when its latch is back. */
const STAYS_FOR_MS = 30_000;

const EVACUATED_BY = ['--reason', 'drill', '--yes'];
const FORCED_BACK = ['--reason', 'drill', '--yes', '--force'];

const movedTwice = (seen: Seen) => [
  ...orderLines(seen),
  movesLine(seen, '=', 2),
  drainsLine(seen, DRAIN_MS),
  epochsLine(seen),
  activeLine(seen, seen.region),
];

async function evacuated(acts: Acts): Promise<void> {
  await acts.order('evacuate', [acts.regionOf('primary'), ...EVACUATED_BY]);
  await acts.untilDnsServedBy('standby', acts.dnsWithinMs && DNS_WITHIN_MS);
}

export const FAILBACK: FailoverPlan = {
  name: 'failback',
  load: STEADY_LOAD,
  warmUpMs: 15_000,
  settleMs: 3_000,
  variants: [
    {
      name: 'failback',
      role: 'primary',
      done: 'evacuated, and failed back to',
      async act(acts) {
        await evacuated(acts);
        await acts.order('failback', EVACUATED_BY);
        await acts.order('failback', FORCED_BACK);
        await acts.untilDnsServedBy('primary', acts.dnsWithinMs && DNS_WITHIN_MS);
      },
    },
    {
      name: 'cut-off',
      role: 'primary',
      done: 'evacuated, and failed back to from a standby that is cut off',
      async act(acts) {
        await evacuated(acts);
        await acts.fault('standby', 'partition');
        await acts.pause(CUT_OFF_MS);
        // It watches until DNS follows; meanwhile somebody does what it says.
        await Promise.all([acts.order('failback', FORCED_BACK), takeLatchAway(acts)]);
        await acts.revive('standby');
        await acts.pause(ALARM_OK_MS);
        acts.latch('enable');
        await acts.pause(STAYS_FOR_MS);
      },
      // Whoever knows only the name is led to a region that cannot serve, until DNS follows.
      limits: () => NOBODY_HARMED,
      follow: (seen) => [...latchTakenAwayLines(seen, FOLLOWS_WITHIN_MS), ...movedTwice(seen)],
    },
  ],
  leaves: false,
  limits: () => ({ ...NOBODY_HARMED, dnsRequestsFailed: 0 }),
  follow: (seen) => [refusedLine(seen, 'failback'), forcedLine(seen), ...movedTwice(seen)],
  notes: [
    `An operator waits out the hold-down of ${HOLD_DOWN_MS / 60_000} min before failing back. The drill does not: it shows that the command refuses, and then overrides it with --force.`,
    "A standby that is cut off cannot tell its alarm that the evacuation is over, and its /health goes on answering 200: DNS stays there after the failback until the alarm's check is disabled, which failback says how to do.",
  ],
};

async function takeLatchAway(acts: Acts): Promise<void> {
  await acts.untilActive('primary', MOVED_WITHIN_MS);
  await acts.pause(HELD_MS);
  acts.latch('disable');
}

export const failback: Scenario = {
  name: FAILBACK.name,
  title: 'The primary is evacuated, and an operator fails back to it',
  about:
    'Under load, an operator evacuates the primary, then fails back as the runbook says. So soon after a move that is refused; forced, it drains, moves and watches. No call may fail, not even of a client that knows only the failover name; the epoch rises with every change, so that what ran once elsewhere finds out before it acts. Then the same from a standby that is cut off from the other regions: clients of the library go on, and DNS follows when the operator takes its latch away, as the command says.',
  variants: FAILBACK.variants.map(({ name }) => name),
  run: (fresh, options) => runFailover(FAILBACK, fresh, options),
};
