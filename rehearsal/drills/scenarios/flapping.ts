// The primary goes up and down, refusing while it is down or silent: it is left once, and that is that.
import { preciseNow } from '../../measuring.ts';
import { runFailover } from '../failover/run.ts';
import type { Acts, FailoverPlan } from '../failover/scenario.ts';
import { activeLine, HELD_AFTER_MS, heldLines, movedLineUnjudged, movesLine } from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { NOBODY_HARMED } from './failover-limits.ts';
import { STEADY_LOAD } from './steady-load.ts';

const FOR_MS = 5 * 60_000;
const KILLED_MS = 20_000;
/** Silence has to outlast three failed probes, or nobody can tell it from a slow moment: then nobody moves. */
const OUT_MS = 60_000;
const ALIVE_MS = 20_000;
/** Of a process that starts, whose answer to the first question may be as old as the cached copy may get. */
const LEARNS_WITHIN_MS = 10_000;

export const FLAPPING: FailoverPlan = {
  name: 'flapping',
  load: STEADY_LOAD,
  warmUpMs: 15_000,
  settleMs: 3_000,
  variants: [
    {
      name: 'flapping',
      role: 'primary',
      done: `killed for ${KILLED_MS / 1_000} s and alive for ${ALIVE_MS / 1_000} s in turn, for ${FOR_MS / 60_000} min`,
      act: upAndDown('kill', KILLED_MS),
    },
    {
      name: 'outage',
      role: 'primary',
      done: `gone for ${OUT_MS / 1_000} s and back for ${ALIVE_MS / 1_000} s in turn, for ${FOR_MS / 60_000} min`,
      act: upAndDown('outage', OUT_MS),
    },
  ],
  leaves: false,
  limits: () => NOBODY_HARMED,
  follow: (seen) => [
    movesLine(seen, '=', 1),
    movedLineUnjudged(seen),
    ...heldLines(seen, { heldAfterMs: HELD_AFTER_MS, learnsWithinMs: LEARNS_WITHIN_MS }),
    activeLine(seen, seen.other),
  ],
  notes: [
    `What is gone for less than three probes in a row leaves no vote: the clients of the library step around it, and nobody is moved for it.`,
  ],
};

function upAndDown(fault: 'kill' | 'outage', downMs: number) {
  return async (acts: Acts): Promise<void> => {
    for (const until = preciseNow() + FOR_MS; preciseNow() < until; ) {
      await acts.fault('primary', fault);
      await acts.pause(downMs);
      await acts.revive('primary');
      await acts.pause(ALIVE_MS);
    }
  };
}

export const flapping: Scenario = {
  name: FLAPPING.name,
  title: 'The primary goes up and down, killed or silent',
  about:
    'For five minutes the primary is dead and alive in turn. Clients must not be sent back and forth with it: there has to be one failover, after which it stays evacuated however often it comes back, DNS never leads there again, and nothing acknowledged is lost.',
  variants: FLAPPING.variants.map(({ name }) => name),
  run: (fresh, options) => runFailover(FLAPPING, fresh, options),
};
