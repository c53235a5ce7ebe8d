// Back to the primary, by the operator's own commands and under load: no client's call fails.
import { DRAIN_MS, HOLD_DOWN_MS } from '../../../protocol/limits.ts';
import { runFailover } from '../failover/run.ts';
import type { FailoverPlan } from '../failover/scenario.ts';
import {
  activeLine,
  drainsLine,
  epochsLine,
  movesLine,
  orderLines,
  refusedLine,
} from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { STEADY_LOAD } from './steady-load.ts';

const DNS_WITHIN_MS = 180_000;

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
        await acts.order('evacuate', [acts.regionOf('primary'), '--reason', 'drill', '--yes']);
        await acts.untilDnsServedBy('standby', acts.dnsWithinMs && DNS_WITHIN_MS);
        await acts.order('failback', ['--reason', 'drill', '--yes']);
        await acts.order('failback', ['--reason', 'drill', '--yes', '--force']);
        await acts.untilDnsServedBy('primary', acts.dnsWithinMs && DNS_WITHIN_MS);
      },
    },
  ],
  leaves: false,
  limits: () => ({ requestsFailed: 0, dnsRequestsFailed: 0, acknowledgedWritesLost: 0, staleReads: 0 }),
  follow: (seen) => [
    refusedLine(seen, 'failback'),
    ...orderLines(seen),
    movesLine(seen, '=', 2),
    drainsLine(seen, DRAIN_MS),
    epochsLine(seen),
    activeLine(seen),
  ],
  notes: [
    `An operator waits out the hold-down of ${HOLD_DOWN_MS / 60_000} min before failing back. The drill does not: it shows that the command refuses, and then overrides it with --force.`,
  ],
};

export const failback: Scenario = {
  name: FAILBACK.name,
  title: 'The primary is evacuated, and an operator fails back to it',
  about:
    'Under load, an operator evacuates the primary, then fails back as the runbook says. So soon after a move that is refused; forced, it drains, moves and watches. No call may fail, not even of a client that knows only the failover name; the epoch rises with every change, so that what ran once elsewhere finds out before it acts.',
  run: (fresh, options) => runFailover(FAILBACK, fresh, options),
};
