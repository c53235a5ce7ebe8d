// A failover drill's variants as the outcome that every drill has: judged, tabled, drawn, and as JSON.
import type { RoutingChange } from '../../../protocol/routing.ts';
import { seconds } from '../lines.ts';
import type { Outcome, Section } from '../scenario.ts';
import { regionStyle } from '../svg.ts';
import { faultChart, runChart } from './chart.ts';
import type { Measurements } from './measure.ts';
import { rowsOf } from './rows.ts';
import type { VariantResult } from './run.ts';
import type { Ordered } from './seen.ts';

export interface FailoverOutcome extends Outcome {
  readonly variants: readonly VariantResult[];
}

export function outcomeOf(variants: readonly VariantResult[]): FailoverOutcome {
  const targets = variants.flatMap((variant) => variant.targets);
  return {
    passed: targets.every(({ passed }) => passed),
    startedAt: variants[0]?.startedAt ?? 0,
    targets,
    columns: variants.map(({ variant }) => variant.name),
    rows: rowsOf(variants),
    sections: variants.map(sectionOf),
    facts: factsOf(variants),
    variants,
  };
}

/** Enough to look into; the count stands beside. */
const MISSING_MAX = 100;

function factsOf(variants: readonly VariantResult[]): Outcome['facts'] {
  return {
    acknowledgedWritesLost: sum(variants, ({ acknowledgedWritesLost }) => acknowledgedWritesLost),
    requestsFailed: sum(variants, ({ requestsFailed }) => requestsFailed),
    variants: variants.map(
      ({ variant, region, startedAt, steadyFrom, faultAt, revivedAt, endedAt, ...result }) => ({
        variant: variant.name,
        done: variant.done,
        region,
        startedAt,
        steadyFrom,
        faultAt,
        revivedAt,
        endedAt,
        measurements: result.measurements,
        routingChanges: result.changes,
        orders: result.orders,
        missing: result.missing.slice(0, MISSING_MAX),
      }),
    ),
  };
}

function sum(variants: readonly VariantResult[], of: (measurements: Measurements) => number): number {
  return variants.reduce((total, { measurements }) => total + of(measurements), 0);
}

function sectionOf(result: VariantResult): Section {
  const { variant, region, history, notes } = result;
  // The broken region first, the others in the order they appear.
  const others = history.flatMap((entry) => (entry.region === undefined ? [] : [entry.region]));
  const regions = [...new Set([region, ...others])];
  const keys = [
    ...regions.map((text) => ({ style: regionStyle(regions, text), text })),
    { style: 'failed', text: 'failed' },
  ];
  return {
    heading: `${variant.name}: ${region} is ${variant.done}`,
    figures: [
      {
        svg: faultChart(result, regions),
        caption: 'Every answer around the fault: when it came, after how long.',
        keys,
      },
      {
        svg: runChart(result, regions),
        caption: 'Answers per second; the strip below is the DNS-only client.',
        keys,
      },
    ],
    notes: [...result.changes.map(changeNote), ...result.orders.map(orderNote), ...notes],
  };
}

/** The reason of the observers names their votes. */
function changeNote({ what, from, to, by, reason, at }: RoutingChange): string {
  return `${new Date(at).toISOString()} ${what} from ${from} to ${to} by ${by}: ${reason}`;
}

function orderNote({ command, args, at, endedAt, code, said }: Ordered): string {
  const last = said.trim().split('\n').at(-1) ?? '';
  return `${[command, ...args].join(' ')}: ended with ${code} after ${seconds(endedAt - at)}: ${last}`;
}
