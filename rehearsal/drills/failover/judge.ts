// Measurements against limits. A number that is missing or no number has missed its target.
import type { TargetResult } from '../scenario.ts';
import type { Measurements } from './measure.ts';
import type { Limits } from './scenario.ts';

interface Rule {
  readonly name: string;
  readonly unit: string;
  readonly below: '<' | '≤';
  readonly limit: (limits: Limits) => number | undefined;
  readonly measured: (measurements: Measurements) => number | null | undefined;
  /** What a limit or a measurement is multiplied by for people. */
  readonly scale?: number;
}

const RULES: readonly Rule[] = [
  {
    name: 'redirect',
    unit: 'ms',
    below: '<',
    limit: ({ redirectMs }) => redirectMs,
    measured: ({ redirectMs }) => redirectMs,
  },
  {
    name: 'longest gap between successes',
    unit: 's',
    below: '<',
    limit: ({ longestGapMs }) => longestGapMs,
    measured: ({ longestGapMs }) => longestGapMs,
    scale: 1 / 1_000,
  },
  {
    name: 'requests failed',
    unit: 'requests',
    below: '≤',
    limit: ({ requestsFailed }) => requestsFailed,
    measured: ({ requestsFailed }) => requestsFailed,
  },
  {
    name: 'acknowledged writes lost',
    unit: 'writes',
    below: '≤',
    limit: ({ acknowledgedWritesLost }) => acknowledgedWritesLost,
    measured: ({ acknowledgedWritesLost }) => acknowledgedWritesLost,
  },
  {
    name: 'stale reads',
    unit: 'reads',
    below: '≤',
    limit: ({ staleReads }) => staleReads,
    measured: ({ staleReads }) => staleReads,
  },
  {
    name: 'attempts per operation, steady',
    unit: 'attempts',
    below: '≤',
    limit: ({ attemptsPerOperation }) => attemptsPerOperation,
    measured: ({ attemptsPerOperation }) => attemptsPerOperation,
  },
  {
    name: 'DNS-only outage',
    unit: 's',
    below: '≤',
    limit: ({ dnsOutageMs }) => dnsOutageMs,
    measured: ({ dnsOutageMs }) => dnsOutageMs,
    scale: 1 / 1_000,
  },
  {
    name: 'DNS-only requests failed',
    unit: 'requests',
    below: '≤',
    limit: ({ dnsRequestsFailed }) => dnsRequestsFailed,
    measured: ({ dnsRequestsFailed }) => dnsRequestsFailed,
  },
];

/** What was not looked at (`undefined`) is not judged; what did not happen (`null`) has failed. */
export function judge(variant: string, measurements: Measurements, limits: Limits): readonly TargetResult[] {
  return RULES.flatMap(({ name, unit, below, limit, measured, scale = 1 }) => {
    const max = limit(limits);
    const value = measured(measurements);
    if (max === undefined || value === undefined) return [];
    const passed = value !== null && (below === '<' ? value < max : value <= max);
    return [
      {
        name: `${variant}: ${name}`,
        target: `${below} ${max * scale}`,
        measured: value === null || Number.isNaN(value) ? null : value * scale,
        unit,
        passed,
      },
    ];
  });
}
