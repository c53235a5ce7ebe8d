// What every sync drill is judged by, from its checked history: nothing lost, nothing twice, nothing left over, one state
// for all. What only one of them promises it adds itself.
import { type CheckedHistory, countOf, type Finding, type Rule } from '../checker.ts';
import { judged, type Line, type Promised } from '../lines.ts';
import type { Outcome, Section } from '../scenario.ts';

export function atMost(limit: number, measured: number | null, unit: string): Promised {
  return { is: '≤', limit, measured, unit };
}

export function atLeast(limit: number, measured: number | null, unit: string): Promised {
  return { is: '≥', limit, measured, unit };
}

const NAMED: readonly Rule[] = [
  'lost',
  'undelivered',
  'duplicated',
  'minority_accepted',
  'not_linearizable',
  'not_converged',
];

/** A line that counts what some rules found. */
export function found(
  label: string,
  of: string,
  { findings }: CheckedHistory,
  ...rules: readonly Rule[]
): Line {
  const count = countOf(findings, ...rules);
  return { label, text: `${count}${of}`, promise: atMost(0, count, 'findings') };
}

export function safetyLines(checked: CheckedHistory): readonly Line[] {
  const { counts, findings } = checked;
  const of = ` of ${counts.acknowledged}`;
  const others = findings.filter(({ rule }) => !NAMED.includes(rule)).length;
  return [
    found('acknowledged operations lost', of, checked, 'lost'),
    found('acknowledged operations not delivered', of, checked, 'undelivered'),
    found('operations that took effect twice', ` of ${counts.effects}`, checked, 'duplicated'),
    {
      label: 'other findings of the history checker',
      text: String(others),
      promise: atMost(0, others, 'findings'),
    },
  ];
}

/** Enough to look into; the count stands beside. */
const FINDINGS_SHOWN = 20;

export function syncOutcome(parts: {
  readonly startedAt: number;
  readonly column: string;
  readonly lines: readonly Line[];
  readonly checked: CheckedHistory;
  readonly section: (notes: readonly string[]) => Section;
  readonly facts: Readonly<Record<string, unknown>>;
}): Outcome {
  const { startedAt, column, lines, checked, section, facts } = parts;
  const { rows, targets } = judged(lines);
  const { counts, findings } = checked;
  const shown = findings.slice(0, FINDINGS_SHOWN);
  return {
    passed: targets.every(({ passed }) => passed),
    startedAt,
    targets,
    columns: [column],
    rows,
    sections: [section(shown.map(inWords))],
    facts: {
      acknowledgedWritesLost: countOf(findings, 'lost'),
      duplicated: countOf(findings, 'duplicated'),
      ...facts,
      counts,
      findings: findings.slice(0, FINDINGS_SHOWN * 5),
    },
  };
}

function inWords({ rule, key, what }: Finding): string {
  return `${rule}, ${key}: ${what}`;
}
