// A drill's outcome for people and for programs: a table in Markdown, and the JSON.
import type { TargetResult } from './judge.ts';
import type { Measurements } from './measure.ts';
import type { ScenarioResult, VariantResult } from './run.ts';

/** One table per scenario: what was measured, per variant, with its target. */
export function tableOf({ scenario, seed, passed, variants }: ScenarioResult): string {
  const head = ['', 'target', ...variants.map(({ variant }) => variant.name)];
  const rows = rowsOf(variants);
  const widths = head.map((cell, column) =>
    Math.max(...[head, ...rows].map((row) => (row[column] ?? cell).length)),
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? `${'-'.repeat(width + 2)}` : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
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
    variants: variants.map(({ history: _, targets: __, variant, missing, ...rest }) => ({
      variant: variant.name,
      fault: variant.fault,
      missing: missing.slice(0, MISSING_MAX),
      ...rest,
    })),
  }));
  return all.length === 1 ? all[0] : all;
}

/** Enough to look into; the count stands beside. */
const MISSING_MAX = 100;

function sum(variants: readonly VariantResult[], of: (measurements: Measurements) => number): number {
  return variants.reduce((total, { measurements }) => total + of(measurements), 0);
}

function rowsOf(variants: readonly VariantResult[]): string[][] {
  const target = ({ targets }: VariantResult, name: string): TargetResult | undefined =>
    targets.find((it) => it.name.endsWith(`: ${name}`));
  const row = (
    label: string,
    name: string | undefined,
    show: (measurements: Measurements) => string,
  ): string[] => {
    const first = variants.map((it) => (name ? target(it, name) : undefined)).find((it) => it !== undefined);
    return [
      label,
      first ? `${first.target}${first.unit.length <= 2 ? ` ${first.unit}` : ''}` : '',
      ...variants.map((it) => {
        const judged = name ? target(it, name) : undefined;
        return `${show(it.measurements)}${judged ? (judged.passed ? ' ok' : ' FAILED') : ''}`;
      }),
    ];
  };
  const rows = [
    row('redirect', 'redirect', ({ redirectMs }) => (redirectMs === null ? 'never' : ms(redirectMs))),
    row('longest gap between successes', undefined, ({ longestGapMs }) => ms(longestGapMs)),
    row('worst request latency', undefined, ({ worstLatencyMs }) => ms(worstLatencyMs)),
  ];
  if (variants.some(({ measurements }) => measurements.dnsOutageMs !== undefined))
    rows.push(
      row('DNS-only outage', 'DNS-only outage', ({ dnsOutageMs }) =>
        dnsOutageMs === undefined
          ? ''
          : dnsOutageMs === null
            ? 'not over'
            : `${(dnsOutageMs / 1_000).toFixed(1)} s`,
      ),
    );
  rows.push(
    row(
      'requests failed',
      'requests failed',
      ({ requestsFailed, requests }) => `${requestsFailed} of ${requests}`,
    ),
    row(
      'acknowledged writes lost',
      'acknowledged writes lost',
      ({ acknowledgedWritesLost, acknowledgedWrites }) =>
        `${acknowledgedWritesLost} of ${acknowledgedWrites}`,
    ),
    row('stale reads', 'stale reads', ({ staleReads }) => String(staleReads)),
    row('attempts per operation, steady', 'attempts per operation, steady', ({ attemptsPerOperation }) =>
      attemptsPerOperation.toFixed(3),
    ),
    row('latency p95, steady', undefined, ({ steadyLatencyMsP95 }) => ms(steadyLatencyMsP95)),
  );
  return rows;
}

function ms(value: number): string {
  return `${value.toFixed(value < 100 ? 1 : 0)} ms`;
}
