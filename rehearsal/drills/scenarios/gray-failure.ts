// Health answers, work fails: what a health check of the process alone would never notice.
import { RECOVERY_MS_MAX } from '../../../config/promises.ts';
import { dnsByObserversMs } from '../../../config/recovery.ts';
import { runFailover } from '../failover/run.ts';
import type { Acts, FailoverPlan } from '../failover/scenario.ts';
import { activeLine, healthLine, latchLines, movedLine, movesLine } from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { LATCHED_FOR_MS, LEARNS_WITHIN_MS, MOVED_WITHIN_MS, NOBODY_HARMED } from './failover-limits.ts';
import { STEADY_LOAD } from './steady-load.ts';

const PROMISE_MS = RECOVERY_MS_MAX.dataCentreOutage;

export const GRAY_FAILURE: FailoverPlan = {
  name: 'gray-failure',
  load: STEADY_LOAD,
  warmUpMs: 15_000,
  settleMs: 0,
  variants: [
    {
      name: 'gray',
      role: 'primary',
      done: 'answering /health and failing at work',
      act: failing('gray'),
    },
    {
      name: 'hollow',
      role: 'primary',
      done: 'answering /health and /ready and failing at work',
      act: failing('hollow'),
    },
  ],
  leaves: true,
  limits: (config) => ({
    longestGapMs: PROMISE_MS,
    dnsOutageMs: dnsByObserversMs(config),
    ...NOBODY_HARMED,
  }),
  // It hears of its evacuation while its work fails, as its `/health` works.
  follow: (seen) => [
    healthLine(seen),
    movedLine(seen, PROMISE_MS),
    movesLine(seen, '=', 1),
    ...latchLines(seen, LEARNS_WITHIN_MS),
    activeLine(seen, seen.other),
  ],
  notes: [
    'DNS checks ask /health, which answered 200 all the while: by themselves they would never have noticed. The observers ask whether each function that works can do its work, and their move is what made /health of the primary and the alarm say that it is evacuated.',
    'A hollow region is one whose function behind /ready works and whose other functions do not: as after a bad release of those.',
  ],
};

function failing(fault: 'gray' | 'hollow') {
  return async (acts: Acts): Promise<void> => {
    await acts.fault('primary', fault);
    await acts.untilActive('standby', MOVED_WITHIN_MS);
    await acts.untilDnsServedBy('standby', acts.dnsWithinMs);
    await acts.revive('primary');
    await acts.pause(LATCHED_FOR_MS);
  };
}

export const grayFailure: Scenario = {
  name: GRAY_FAILURE.name,
  title: 'The primary answers health checks, and its work fails',
  about:
    'Every request but /health fails in the primary, then every one but /health and /ready. Clients of the library notice by its answers and go on with the standby. DNS checks, which ask /health, never would: clients that know only the failover name are moved because the observers, who ask every function that works, vote to leave.',
  variants: GRAY_FAILURE.variants.map(({ name }) => name),
  run: (fresh, options) => runFailover(GRAY_FAILURE, fresh, options),
};
