// The scenarios there are. A new one is a file beside the others and a line here.
import type { Scenario } from './scenario.ts';
import { backupSabotage } from './scenarios/backup-sabotage.ts';
import { bothRegionsBad } from './scenarios/both-regions-bad.ts';
import { completeLoss } from './scenarios/complete-loss.ts';
import { corruption } from './scenarios/corruption.ts';
import { dataCentreOutage } from './scenarios/data-centre-outage.ts';
import { failback } from './scenarios/failback.ts';
import { flapping } from './scenarios/flapping.ts';
import { grayFailure } from './scenarios/gray-failure.ts';
import { killPrimary } from './scenarios/kill-primary.ts';
import { loneObserver } from './scenarios/lone-observer.ts';
import { networkPartition } from './scenarios/network-partition.ts';
import { offlineDays } from './scenarios/offline-days.ts';
import { slowNetwork } from './scenarios/slow-network.ts';
import { splitBrain } from './scenarios/split-brain.ts';

export const SCENARIOS: readonly Scenario[] = [
  killPrimary,
  dataCentreOutage,
  networkPartition,
  loneObserver,
  grayFailure,
  flapping,
  bothRegionsBad,
  failback,
  offlineDays,
  splitBrain,
  slowNetwork,
  corruption,
  completeLoss,
  backupSabotage,
];

/** What the command line names: a scenario, or one variant of it. */
export interface Chosen {
  readonly scenario: Scenario;
  /** @default all of the scenario's */
  readonly variant?: string;
}

/** A name on the command line that is no scenario's, and no variant's. */
export class UnknownScenarioError extends Error {
  override readonly name = 'UnknownScenarioError';
  constructor(what: string, name: string, known: readonly string[]) {
    super(`there is no ${what} "${name}"; there is ${known.join(', ') || 'none'}`);
  }
}

/** The named ones in that order, each as `scenario` or `scenario/variant`, or all. @throws UnknownScenarioError */
export function scenariosOf(names: readonly string[]): readonly Chosen[] {
  if (names.length === 0) return SCENARIOS.map((scenario) => ({ scenario }));
  return names.map((name) => {
    const [of, ...rest] = name.split('/');
    const variant = rest.length > 0 ? rest.join('/') : undefined;
    const scenario = SCENARIOS.find((it) => it.name === of);
    if (scenario === undefined)
      throw new UnknownScenarioError(
        'scenario',
        name,
        SCENARIOS.map((it) => it.name),
      );
    if (variant === undefined) return { scenario };
    const { variants = [] } = scenario;
    if (!variants.includes(variant))
      throw new UnknownScenarioError(`variant of ${scenario.name}`, variant, variants);
    return { scenario, variant };
  });
}
