// `npm run failback`: back to the primary region after a failover, once it is ready, in step with the others, and the
// last move is long enough ago. Gives up before the move when any of it stops being true.
import { OPERATOR_USAGE, runCommand } from './routing/operator.ts';
import { planFailback } from './routing/plan.ts';

await runCommand(
  {
    what: 'failback',
    usage: `npm run failback -- --reason "…" [--yes] [--force] [--json] [--stage STAGE]\n${OPERATOR_USAGE}`,
    planFrom(positionals) {
      if (positionals.length > 0)
        throw new RangeError(
          `failback takes no region: it goes to the primary, got "${positionals.join(' ')}"`,
        );
      return planFailback;
    },
  },
  process.argv.slice(2),
);
