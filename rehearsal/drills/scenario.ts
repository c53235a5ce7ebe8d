// What every drill is to those who run it and show it: a name, what it shows, how it runs, and an outcome in the same
// words, whatever was broken and measured. A scenario is a file in `scenarios/`.
import type { Config } from '../../config/config.ts';
import type { FreshSystem } from './system.ts';

export interface DrillOptions {
  readonly config: Config;
  readonly seed: number;
  /** One of the scenario's. @default all of them */
  readonly variant?: string;
  /** The clients' own switches; off only to show that a drill then fails. @default true */
  readonly fallback?: boolean;
  readonly silenceDetection?: boolean;
  /** How many records are there before anything happens, in drills that restore. @default 100000 */
  readonly records?: number;
  /** Where histories are kept, as `<scenario>….jsonl`. @default nowhere */
  readonly historyFolder?: string;
  readonly onStep?: (step: string) => void;
  /** Ends the run; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface Scenario {
  /** As on the command line. */
  readonly name: string;
  readonly title: string;
  /** What it shows, in a sentence or two. */
  readonly about: string;
  /** Names of what it does, each on a system of its own, where that is more than one thing. */
  readonly variants?: readonly string[];
  /** @throws DrillError it could not be run as described, so that it says nothing about the system */
  run(fresh: FreshSystem, options: DrillOptions): Promise<Outcome>;
}

export interface TargetResult {
  /** With its variant where there are several, e.g. `SIGKILL: redirect`. */
  readonly name: string;
  /** In words and numbers, e.g. `< 100`. */
  readonly target: string;
  /** null: it never happened. */
  readonly measured: number | null;
  readonly unit: string;
  readonly passed: boolean;
}

export interface Cell {
  readonly text: string;
  /** Absent where nothing is promised. */
  readonly judged?: TargetResult | undefined;
}

export interface Row {
  readonly label: string;
  /** In words, with its unit; empty where nothing is promised. */
  readonly target: string;
  /** One a column. */
  readonly cells: readonly Cell[];
}

/** A part of the report. */
export interface Section {
  readonly heading: string;
  readonly figures: readonly {
    /** Inline SVG, made of what svg.ts gives. */
    readonly svg: string;
    readonly caption: string;
    /** What the colours stand for: classes of the style sheet. */
    readonly keys: readonly { readonly style: string; readonly text: string }[];
  }[];
  /** Below the figures, a line each. */
  readonly notes?: readonly string[];
}

export interface Outcome {
  readonly passed: boolean;
  /** Unix ms. */
  readonly startedAt: number;
  readonly targets: readonly TargetResult[];
  /** Heads of the table's columns. */
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  readonly sections: readonly Section[];
  /** What a program reads beside the targets; JSON. */
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface ScenarioResult extends Outcome {
  readonly scenario: Pick<Scenario, 'name' | 'title' | 'about'>;
  readonly seed: number;
}

export async function runScenario(
  scenario: Scenario,
  fresh: FreshSystem,
  options: DrillOptions,
): Promise<ScenarioResult> {
  return { scenario, seed: options.seed, ...(await scenario.run(fresh, options)) };
}
