// The table of a failover drill: a line a measurement, a column a variant.
import { milliseconds, seconds, withUnit } from '../lines.ts';
import type { Row } from '../scenario.ts';
import type { Measurements } from './measure.ts';
import type { VariantResult } from './run.ts';

interface Line {
  readonly label: string;
  /** The target's name, where there is one: {@link TargetResult.name} without its variant. */
  readonly judgedAs?: string;
  /** Undefined when it was not looked at. */
  readonly show: (measurements: Measurements) => string | undefined;
}

const LINES: readonly Line[] = [
  {
    label: 'redirect',
    judgedAs: 'redirect',
    show: ({ redirectMs }) =>
      redirectMs === undefined ? undefined : redirectMs === null ? 'never' : milliseconds(redirectMs),
  },
  {
    label: 'longest gap between successes',
    judgedAs: 'longest gap between successes',
    show: ({ longestGapMs }) => lasting(longestGapMs),
  },
  { label: 'worst request latency', show: ({ worstLatencyMs }) => lasting(worstLatencyMs) },
  {
    label: 'DNS-only outage',
    judgedAs: 'DNS-only outage',
    show: ({ dnsOutageMs }) =>
      dnsOutageMs === undefined ? undefined : dnsOutageMs === null ? 'not over' : seconds(dnsOutageMs),
  },
  {
    label: 'DNS-only requests failed',
    judgedAs: 'DNS-only requests failed',
    show: ({ dnsRequestsFailed, dnsRequests }) =>
      dnsRequestsFailed === undefined ? undefined : `${dnsRequestsFailed} of ${dnsRequests}`,
  },
  {
    label: 'requests failed',
    judgedAs: 'requests failed',
    show: ({ requestsFailed, requests }) => `${requestsFailed} of ${requests}`,
  },
  {
    label: 'acknowledged writes lost',
    judgedAs: 'acknowledged writes lost',
    show: ({ acknowledgedWritesLost, acknowledgedWrites }) =>
      `${acknowledgedWritesLost} of ${acknowledgedWrites}`,
  },
  { label: 'stale reads', judgedAs: 'stale reads', show: ({ staleReads }) => String(staleReads) },
  {
    label: 'attempts per operation, steady',
    judgedAs: 'attempts per operation, steady',
    show: ({ attemptsPerOperation }) => attemptsPerOperation.toFixed(3),
  },
  { label: 'latency p95, steady', show: ({ steadyLatencyMsP95 }) => milliseconds(steadyLatencyMsP95) },
];

/** Milliseconds mean something up to some seconds. */
function lasting(ms: number): string {
  return ms < 10_000 ? milliseconds(ms) : seconds(ms);
}

/** What was measured of the load, then what was seen of the system's decisions. */
export function rowsOf(variants: readonly VariantResult[]): readonly Row[] {
  return [...loadRowsOf(variants), ...seenRowsOf(variants)];
}

function seenRowsOf(variants: readonly VariantResult[]): readonly Row[] {
  const labels = new Set(variants.flatMap(({ rows }) => rows.map(({ label }) => label)));
  return [...labels].map((label) => {
    const found = variants.map(({ rows }) => rows.find((row) => row.label === label));
    return {
      label,
      target: found.find((row) => row?.target)?.target ?? '',
      cells: found.map((row) => row?.cells[0] ?? { text: '' }),
    };
  });
}

function loadRowsOf(variants: readonly VariantResult[]): readonly Row[] {
  return LINES.flatMap(({ label, judgedAs, show }) => {
    const cells = variants.map(({ measurements, targets, variant }) => ({
      text: show(measurements),
      judged: targets.find(({ name }) => name === `${variant.name}: ${judgedAs}`),
    }));
    if (cells.every(({ text }) => text === undefined)) return [];
    const target = cells.find(({ judged }) => judged !== undefined)?.judged;
    return [
      {
        label,
        target: target === undefined ? '' : withUnit(target),
        cells: cells.map(({ text = '', judged }) => ({ text, judged })),
      },
    ];
  });
}
