// The primary is cut off from the other regions, and its clients are not. Its `/health` goes on answering what it last
// knew, so that only the others' observers can take clients away from it.
import { RECOVERY_MS_MAX } from '../../../config/promises.ts';
import { dnsByObserversMs } from '../../../config/recovery.ts';
import { runFailover } from '../failover/run.ts';
import type { FailoverPlan } from '../failover/scenario.ts';
import { activeLine, latchLines, minorityLines, movedLine, movesLine } from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { LATCHED_FOR_MS, LEARNS_WITHIN_MS, NOBODY_HARMED } from './failover-limits.ts';
import { STEADY_LOAD } from './steady-load.ts';

const PROMISE_MS = RECOVERY_MS_MAX.networkPartition;

export const NETWORK_PARTITION: FailoverPlan = {
  name: 'network-partition',
  load: STEADY_LOAD,
  warmUpMs: 15_000,
  settleMs: 0,
  variants: [
    {
      name: 'partition',
      role: 'primary',
      done: 'cut off from the other regions',
      async act(acts) {
        await acts.fault('primary', 'partition');
        await acts.untilActive('standby', PROMISE_MS);
        await acts.untilDnsServedBy('standby', acts.dnsWithinMs);
        await acts.revive('primary');
        await acts.pause(LATCHED_FOR_MS);
      },
    },
  ],
  leaves: true,
  limits: (config) => ({
    longestGapMs: PROMISE_MS,
    // Not the two minutes: what synth says of it (config/promises-kept.ts).
    dnsOutageMs: dnsByObserversMs(config),
    ...NOBODY_HARMED,
  }),
  follow: (seen) => [
    movedLine(seen, PROMISE_MS),
    movesLine(seen, '=', 1),
    ...minorityLines(seen),
    ...latchLines(seen, LEARNS_WITHIN_MS),
    activeLine(seen),
  ],
  notes: [
    "While it is cut off, the primary's /health answers what it last knew: it cannot know better, and must not be red for what all regions share. DNS follows the alarm that the standby's observer feeds, which takes up to a minute more than a failed check would.",
  ],
};

export const networkPartition: Scenario = {
  name: NETWORK_PARTITION.name,
  title: 'The primary is cut off from the other regions, and reachable for clients',
  about:
    'The primary reaches no other region, so it may take nothing, and nobody outside can tell from its /health. Clients of the library go on with the standby; the observers outside see three failed probes in a row and move; a client that knows only the failover name follows the alarm.',
  variants: NETWORK_PARTITION.variants.map(({ name }) => name),
  run: (fresh, options) => runFailover(NETWORK_PARTITION, fresh, options),
};
