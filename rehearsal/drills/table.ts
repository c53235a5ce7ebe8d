// A drill's outcome for people and for programs: the cells of its table, the table in Markdown, and the JSON.
import type { TargetResult } from './judge.ts';
import type { Measurements } from './measure.ts';
import type { ScenarioResult, VariantResult } from './run.ts';

export interface Row {
  readonly label: string;
  readonly target: string;
  /** One per variant. */
  readonly cells: readonly { readonly text: string; readonly judged: TargetResult | undefined }[];
}

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
    show: ({ redirectMs }) => (redirectMs === null ? 'never' : milliseconds(redirectMs)),
  },
  { label: 'longest gap between successes', show: ({ longestGapMs }) => milliseconds(longestGapMs) },
  { label: 'worst request latency', show: ({ worstLatencyMs }) => milliseconds(worstLatencyMs) },
  {
    label: 'DNS-only outage',
    judgedAs: 'DNS-only outage',
    show: ({ dnsOutageMs }) =>
      dnsOutageMs === undefined
        ? undefined
        : dnsOutageMs === null
          ? 'not over'
          : `${(dnsOutageMs / 1_000).toFixed(1)} s`,
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

export function cellsOf(variants: readonly VariantResult[]): readonly Row[] {
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

/** One table per scenario: what was measured, per variant, with its target. */
export function tableOf({ scenario, seed, passed, variants }: ScenarioResult): string {
  const head = ['', 'target', ...variants.map(({ variant }) => variant.name)];
  const rows = cellsOf(variants).map(({ label, target, cells }) => [
    label,
    target,
    ...cells.map(({ text, judged }) =>
      judged === undefined ? text : `${text} ${judged.passed ? 'ok' : 'MISSED'}`,
    ),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  const verdict = passed ? 'passed' : 'FAILED';
  return [`${scenario.name}: ${verdict} (seed ${seed})`, '', line(head), rule, ...rows.map(line)].join('\n');
}

/** `{scenario, seed, passed, targets, acknowledgedWritesLost, …}` for one scenario, a list for several. */
export function jsonOf(results: readonly ScenarioResult[]): unknown {
  const all = results.map(({ scenario, seed, passed, variants }) => ({
    scenario: scenario.name,
    seed,
    passed,
    targets: variants.flatMap(({ targets }) => targets),
    acknowledgedWritesLost: sum(variants, ({ acknowledgedWritesLost }) => acknowledgedWritesLost),
    requestsFailed: sum(variants, ({ requestsFailed }) => requestsFailed),
    variants: variants.map(
      ({ variant, region, startedAt, steadyFrom, faultAt, revivedAt, endedAt, measurements, missing }) => ({
        variant: variant.name,
        fault: variant.fault,
        region,
        startedAt,
        steadyFrom,
        faultAt,
        revivedAt,
        endedAt,
        measurements,
        missing: missing.slice(0, MISSING_MAX),
      }),
    ),
  }));
  return all.length === 1 ? all[0] : all;
}

/** Enough to look into; the count stands beside. */
const MISSING_MAX = 100;

function sum(variants: readonly VariantResult[], of: (measurements: Measurements) => number): number {
  return variants.reduce((total, { measurements }) => total + of(measurements), 0);
}

function milliseconds(value: number): string {
  return `${value.toFixed(value < 100 ? 1 : 0)} ms`;
}

function withUnit({ target, unit }: TargetResult): string {
  return unit === 'ms' || unit === 's' ? `${target} ${unit}` : target;
}
