// One observer alone is in trouble, and the primary is well: what it sees or cannot see moves nobody.
import { runFailover } from '../failover/run.ts';
import type { FailoverPlan } from '../failover/scenario.ts';
import type { Seen } from '../failover/seen.ts';
import {
  activeLine,
  movesLine,
  observersLine,
  onlyPagingLines,
  stayedInDnsLine,
} from '../failover/verdicts.ts';
import type { Scenario } from '../scenario.ts';
import { NOBODY_HARMED } from './failover-limits.ts';
import { STEADY_LOAD } from './steady-load.ts';

/** Six looks, where three in a row make a vote. */
const CUT_MS = 90_000;
/** A look that is given up, and the alarm's minute twice: a page may begin in one and show at the end of the next. */
const PAGES_WITHIN_MS = 150_000;
/** A good look, and the alarm's minute after the one in which the last page was. */
const CLEARED_WITHIN_MS = 180_000;

const stayed = (seen: Seen) => [
  movesLine(seen, '=', 0),
  stayedInDnsLine(seen),
  activeLine(seen, seen.region),
];

export const LONE_OBSERVER: FailoverPlan = {
  name: 'lone-observer',
  load: STEADY_LOAD,
  warmUpMs: 15_000,
  settleMs: 3_000,
  variants: [
    {
      name: 'one-way',
      role: 'primary',
      done: 'not reached by the standby alone',
      async act(acts) {
        acts.cutWay('standby', 'primary', 'everything');
        await acts.pause(CUT_MS);
        acts.healWays();
      },
      follow: (seen) => [
        observersLine(seen, 'voting', [seen.other]),
        observersLine(seen, 'abstaining', []),
        // Whom nobody joins may call for a person, and nobody else has a reason to.
        ...onlyPagingLines(seen, seen.other),
        ...stayed(seen),
      ],
    },
    {
      name: 'abstains',
      role: 'primary',
      done: 'not reached by the observer of the quorum region, which reaches nothing else either',
      async act(acts) {
        acts.cutWay('quorum', 'primary', 'questions');
        acts.cutWay('quorum', 'standby', 'everything');
        await acts.untilPaging('quorum', PAGES_WITHIN_MS);
        acts.healWays();
        await acts.untilPaging('none', CLEARED_WITHIN_MS);
      },
      follow: (seen) => [
        observersLine(seen, 'voting', []),
        observersLine(seen, 'abstaining', [onlyVoter(seen)]),
        ...onlyPagingLines(seen, onlyVoter(seen), { clearedWithinMs: CLEARED_WITHIN_MS }),
        ...stayed(seen),
      ],
    },
    {
      name: 'cut-off',
      role: 'primary',
      done: 'not reached by the quorum region, which is cut off with its copy of the data',
      async act(acts) {
        await acts.fault('quorum', 'partition');
        await acts.untilPaging('quorum', PAGES_WITHIN_MS);
        await acts.revive('quorum');
        await acts.untilPaging('none', CLEARED_WITHIN_MS);
      },
      follow: (seen) => [
        observersLine(seen, 'voting', []),
        ...onlyPagingLines(seen, onlyVoter(seen), { clearedWithinMs: CLEARED_WITHIN_MS }),
        ...stayed(seen),
      ],
    },
  ],
  leaves: false,
  limits: () => ({ ...NOBODY_HARMED, dnsRequestsFailed: 0 }),
  notes: [
    'Two of three votes move the service. Where one way is cut, the standby votes and the other two, who find the primary ready, do not.',
    'In the second variant the data of the quorum region still follows that of the primary, so that its observer can write down that it abstains. In the third it can neither read nor write the routing state: it has no vote then, and what it says it says by its page alone.',
  ],
};

/** The observer of the region that serves nobody. */
function onlyVoter({ observers, region, other }: Seen): string {
  return observers.find((it) => it !== region && it !== other) ?? 'no region';
}

export const loneObserver: Scenario = {
  name: LONE_OBSERVER.name,
  title: 'One observer alone loses sight of the primary, or of everything',
  about:
    'First only the way between the standby and the primary is cut: the standby sees the primary down and votes, nobody joins it, and nothing moves. Then the observer of the quorum region reaches nothing at all: it cannot tell whether the primary is gone or it is itself, abstains and pages. Then that whole region is cut off, and pages. The primary serves all the while.',
  variants: LONE_OBSERVER.variants.map(({ name }) => name),
  run: (fresh, options) => runFailover(LONE_OBSERVER, fresh, options),
};
