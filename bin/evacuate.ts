// `npm run evacuate`: takes the active region out of service for good, until somebody fails back. The other serving
// region must be ready; the one that is left drains first, unless it does not answer any more.
import { OPERATOR_USAGE, runCommand, servingRegionIn } from './routing/operator.ts';
import { planEvacuation } from './routing/plan.ts';

await runCommand(
  {
    what: 'evacuate',
    usage: `npm run evacuate -- REGION --reason "…" [--yes] [--force] [--json] [--stage STAGE]\n${OPERATOR_USAGE}`,
    planFrom(positionals, where) {
      const region = servingRegionIn(positionals, where);
      return (looks) => planEvacuation(region, looks);
    },
  },
  process.argv.slice(2),
);
