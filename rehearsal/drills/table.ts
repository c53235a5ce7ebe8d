// A drill's outcome for people and for programs: its table in Markdown, and the JSON.
import type { ScenarioResult } from './scenario.ts';

/** One table per scenario: what was measured, with its target. */
export function tableOf({ scenario, seed, passed, columns, rows }: ScenarioResult): string {
  const head = ['', 'target', ...columns];
  const body = rows.map(({ label, target, cells }) => [
    label,
    target,
    ...cells.map(({ text, judged }) =>
      judged === undefined ? text : `${text} ${judged.passed ? 'ok' : 'MISSED'}`,
    ),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...body].map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  const verdict = passed ? 'passed' : 'FAILED';
  return [`${scenario.name}: ${verdict} (seed ${seed})`, '', line(head), rule, ...body.map(line)].join('\n');
}

/** `{scenario, seed, passed, targets, …}` with the scenario's own facts for one, a list for several. */
export function jsonOf(results: readonly ScenarioResult[]): unknown {
  const all = results.map(({ scenario, seed, passed, targets, facts }) => ({
    scenario: scenario.name,
    seed,
    passed,
    targets,
    ...facts,
  }));
  return all.length === 1 ? all[0] : all;
}
