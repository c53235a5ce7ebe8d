// The table of a drill that has one column: each line a measurement, some with a promise beside it.
import type { Row, TargetResult } from './scenario.ts';

export interface Line {
  readonly label: string;
  /** For people, e.g. `0 of 100000`. */
  readonly text: string;
  /** What is promised of it; absent: measured only. */
  readonly promise?: Promised;
}

export interface Promised {
  /** null: it never happened. */
  readonly measured: number | null;
  readonly is: '<' | '≤' | '≥' | '=';
  readonly limit: number;
  readonly unit: string;
}

/** What never happened, and what is no number, has missed its target. */
export function keeps({ measured, is, limit }: Promised): boolean {
  if (measured === null) return false;
  if (is === '<') return measured < limit;
  if (is === '≤') return measured <= limit;
  return is === '≥' ? measured >= limit : measured === limit;
}

/** Rows of a table with one column, and the targets among them. */
export function judged(lines: readonly Line[]): {
  readonly rows: readonly Row[];
  readonly targets: readonly TargetResult[];
} {
  const all = lines.map(({ label, text, promise }) => ({
    label,
    text,
    target: promise && targetOf(label, promise),
  }));
  return {
    rows: all.map(({ label, text, target }) => ({
      label,
      target: target === undefined ? '' : withUnit(target),
      cells: [{ text, judged: target }],
    })),
    targets: all.flatMap(({ target }) => target ?? []),
  };
}

function targetOf(name: string, promise: Promised): TargetResult {
  const { is, limit, unit, measured } = promise;
  return {
    name,
    target: `${is} ${limit}`,
    measured: measured === null || Number.isNaN(measured) ? null : measured,
    unit,
    passed: keeps(promise),
  };
}

/** Counts speak for themselves; times say what they are. */
export function withUnit({ target, unit }: TargetResult): string {
  return unit === 'ms' || unit === 's' ? `${target} ${unit}` : target;
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

export function milliseconds(value: number): string {
  return `${value.toFixed(value < 100 ? 1 : 0)} ms`;
}
