// The scenarios there are. A new one is a file beside the others and a line here.
import type { Scenario } from './scenario.ts';
import { bothRegionsBad } from './scenarios/both-regions-bad.ts';
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
];

/** A name on the command line that is no scenario's. */
export class UnknownScenarioError extends Error {
  override readonly name = 'UnknownScenarioError';
  constructor(name: string) {
    const known = SCENARIOS.map((scenario) => scenario.name).join(', ');
    super(`there is no scenario "${name}"; there is ${known}`);
  }
}

/** The named ones in that order, or all. @throws UnknownScenarioError */
export function scenariosOf(names: readonly string[]): readonly Scenario[] {
  if (names.length === 0) return SCENARIOS;
  return names.map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name);
    if (found === undefined) throw new UnknownScenarioError(name);
    return found;
  });
}
