// CloudWatch as far as the rehearsal needs it: metric points in, the states of single-metric, static-threshold alarms
// out. The evaluation is pure; the board around it keeps only the points that some alarm watches.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
import type { MetricPoint } from './supervisor/messages.ts';

export type AlarmStateValue = 'OK' | 'ALARM' | 'INSUFFICIENT_DATA';
export type MissingData = 'missing' | 'ignore' | 'breaching' | 'notBreaching';

const STATISTICS = ['SampleCount', 'Average', 'Sum', 'Minimum', 'Maximum'] as const;
type Statistic = (typeof STATISTICS)[number];

const COMPARISONS = {
  GreaterThanOrEqualToThreshold: (value: number, threshold: number) => value >= threshold,
  GreaterThanThreshold: (value: number, threshold: number) => value > threshold,
  LessThanThreshold: (value: number, threshold: number) => value < threshold,
  LessThanOrEqualToThreshold: (value: number, threshold: number) => value <= threshold,
} as const;
type Comparison = keyof typeof COMPARISONS;

export interface AlarmDefinition {
  readonly region: string;
  readonly name: string;
  readonly description: string;
  readonly namespace: string;
  readonly metric: string;
  readonly dimensions: Readonly<Record<string, string>>;
  readonly statistic: Statistic;
  readonly periodS: number;
  readonly evaluationPeriods: number;
  readonly datapointsToAlarm: number;
  readonly comparison: Comparison;
  readonly threshold: number;
  readonly missingData: MissingData;
}

export interface AlarmState {
  readonly region: string;
  readonly name: string;
  readonly description: string;
  readonly state: AlarmStateValue;
  /** Unix ms of the last change. */
  readonly since: number;
  readonly why: string;
}

/** What came of one metric in a stretch of time; CloudWatch's own statistic set. */
export interface StatisticSet {
  readonly fromMs: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

/** Periods looked at beyond the evaluation periods, in case some of those are missing. The documentation says "more"
 * and shows 5 for 3: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html */
const EXTRA_PERIODS = 2;

/**
 * One alarm's state from its template, or why it is not rehearsed: `AWS::CloudWatch::Alarm` over metric math,
 * anomaly bands, percentiles, or metrics that AWS services publish of themselves.
 */
export function readAlarm(
  region: string,
  properties: Readonly<Record<string, unknown>>,
  physicalId: string,
): AlarmDefinition | { readonly name: string; readonly notRehearsed: string } {
  const name = text(properties['AlarmName']) ?? physicalId;
  const not = (why: string) => ({ name, notRehearsed: why });
  const namespace = text(properties['Namespace']);
  const metric = text(properties['MetricName']);
  if (namespace === undefined || metric === undefined) return not('of metric math or a query');
  if (namespace.startsWith('AWS/')) return not(`on ${namespace}, which publishes no metrics here`);
  const statistic = STATISTICS.find((known) => known === properties['Statistic']);
  if (statistic === undefined) return not(`of statistic ${properties['ExtendedStatistic'] ?? 'unknown'}`);
  const comparison = text(properties['ComparisonOperator']);
  if (comparison === undefined || !(comparison in COMPARISONS)) return not(`of comparison ${comparison}`);
  const evaluationPeriods = Number(properties['EvaluationPeriods']);
  return {
    region,
    name,
    description: text(properties['AlarmDescription']) ?? '',
    namespace,
    metric,
    dimensions: dimensionsOf(properties['Dimensions']),
    statistic,
    periodS: Number(properties['Period']),
    evaluationPeriods,
    datapointsToAlarm: Number(properties['DatapointsToAlarm'] ?? evaluationPeriods),
    comparison: comparison as Comparison,
    threshold: Number(properties['Threshold']),
    missingData: (text(properties['TreatMissingData']) ?? 'missing') as MissingData,
  };
}

/**
 * What the alarm says at `nowMs`, of the complete periods before it. `sets` in any order; `current` is its state so
 * far, which `ignore` keeps.
 */
export function evaluateAlarm(
  alarm: AlarmDefinition,
  sets: readonly StatisticSet[],
  nowMs: number,
  current: AlarmStateValue,
): { readonly state: AlarmStateValue; readonly why: string } {
  const values = periodValues(alarm, sets, nowMs);
  const state = judge(
    values.map((value) =>
      value === undefined ? undefined : COMPARISONS[alarm.comparison](value, alarm.threshold),
    ),
    alarm,
    current,
  );
  const shown = values.slice(-alarm.evaluationPeriods).map((value) => value?.toPrecision(4) ?? 'missing');
  const why =
    `${alarm.statistic} of ${alarm.metric} per ${alarm.periodS} s: ${shown.join(', ')}; ` +
    `alarms when ${alarm.datapointsToAlarm} of ${alarm.evaluationPeriods} are ` +
    `${alarm.comparison} ${alarm.threshold}, missing data is ${alarm.missingData}`;
  return { state, why };
}

/** One value per period of the evaluation range, oldest first; undefined where nothing came. */
function periodValues(
  alarm: AlarmDefinition,
  sets: readonly StatisticSet[],
  nowMs: number,
): (number | undefined)[] {
  const periodMs = alarm.periodS * 1_000;
  const end = lastBoundary(alarm, nowMs);
  const periods = alarm.evaluationPeriods + EXTRA_PERIODS;
  const values: (number | undefined)[] = [];
  for (let back = periods; back > 0; back -= 1) {
    const from = end - back * periodMs;
    const within = sets.filter(({ fromMs }) => fromMs >= from && fromMs < from + periodMs);
    values.push(within.length === 0 ? undefined : STATISTIC[alarm.statistic](within.reduce(merge)));
  }
  return values;
}

/** Ordinary alarms are evaluated every minute, those of shorter periods every ten seconds. */
function lastBoundary({ periodS }: AlarmDefinition, nowMs: number): number {
  const stepMs = periodS < 60 ? 10_000 : 60_000;
  return Math.floor(nowMs / stepMs) * stepMs;
}

/** The documentation's two tables, as rules; the tests hold every row of them. */
function judge(
  breaching: readonly (boolean | undefined)[],
  { evaluationPeriods, datapointsToAlarm, missingData }: AlarmDefinition,
  current: AlarmStateValue,
): AlarmStateValue {
  const real = breaching.filter((it) => it !== undefined);
  if (real.length >= evaluationPeriods) {
    // Enough that is real: nothing missing counts.
    const bad = real.slice(-evaluationPeriods).filter(Boolean).length;
    return bad >= datapointsToAlarm ? 'ALARM' : 'OK';
  }
  const bad = real.filter(Boolean).length;
  const filled = missingData === 'breaching' ? evaluationPeriods - real.length : 0;
  if (bad + filled >= datapointsToAlarm) return 'ALARM';
  if (missingData === 'breaching' || missingData === 'notBreaching') return 'OK';
  if (real.length === 0) return missingData === 'ignore' ? current : 'INSUFFICIENT_DATA';
  if (bad < real.length) return 'OK';
  // Too few points, all of them bad: an alarm only once the oldest is as old as the datapoints to alarm, so that a
  // single point does not alarm before its successors had a chance to come.
  if (missingData === 'ignore') return current;
  const age = breaching.length - breaching.indexOf(true);
  return age >= datapointsToAlarm ? 'ALARM' : 'OK';
}

const STATISTIC: Readonly<Record<Statistic, (set: StatisticSet) => number>> = {
  SampleCount: ({ count }) => count,
  Average: ({ sum, count }) => sum / count,
  Sum: ({ sum }) => sum,
  Minimum: ({ min }) => min,
  Maximum: ({ max }) => max,
};

function merge(a: StatisticSet, b: StatisticSet): StatisticSet {
  return {
    fromMs: a.fromMs,
    count: a.count + b.count,
    sum: a.sum + b.sum,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
  };
}

/** Points are gathered by this, the shortest period an alarm can have. */
const GATHER_MS = 10_000;

/** All alarms of the deployment, with the points they watch. */
export class AlarmBoard {
  readonly #watched = new Map<string, Map<number, StatisticSet>>();
  readonly #alarms: { readonly definition: AlarmDefinition; readonly series: string; state: AlarmState }[];

  constructor(definitions: readonly AlarmDefinition[], nowMs: number) {
    this.#alarms = definitions.map((definition) => {
      const { region, name, description, namespace, metric, dimensions } = definition;
      const series = seriesOf(region, namespace, metric, dimensions);
      this.#watched.set(series, new Map());
      const state = {
        region,
        name,
        description,
        state: 'INSUFFICIENT_DATA',
        since: nowMs,
        why: 'not yet evaluated',
      } as const;
      return { definition, series, state };
    });
  }

  get states(): readonly AlarmState[] {
    return this.#alarms.map(({ state }) => state);
  }

  stateOf(region: string, name: string): AlarmState | undefined {
    return this.#alarms.find(({ state }) => state.region === region && state.name === name)?.state;
  }

  /** Points that a region's functions published. */
  add(region: string, points: readonly MetricPoint[]): void {
    for (const { namespace, name, dimensions, timestampMs, values } of points) {
      const sets = this.#watched.get(seriesOf(region, namespace, name, dimensions));
      if (!sets || values.length === 0) continue;
      const fromMs = Math.floor(timestampMs / GATHER_MS) * GATHER_MS;
      const came: StatisticSet = {
        fromMs,
        count: values.length,
        sum: values.reduce((sum, value) => sum + value, 0),
        min: Math.min(...values),
        max: Math.max(...values),
      };
      const before = sets.get(fromMs);
      sets.set(fromMs, before ? merge(before, came) : came);
    }
  }

  /** Evaluates every alarm and forgets what none looks at any more. Returns those that changed. */
  evaluate(nowMs: number): readonly AlarmState[] {
    const changed: AlarmState[] = [];
    const oldest = new Map<string, number>();
    for (const alarm of this.#alarms) {
      const { definition, series } = alarm;
      const sets = [...(this.#watched.get(series)?.values() ?? [])];
      const { state, why } = evaluateAlarm(definition, sets, nowMs, alarm.state.state);
      const changes = state !== alarm.state.state;
      alarm.state = { ...alarm.state, state, why, since: changes ? nowMs : alarm.state.since };
      if (changes) changed.push(alarm.state);
      // Beyond the range, and a minute more because evaluations end on whole minutes.
      const range = (definition.evaluationPeriods + EXTRA_PERIODS) * definition.periodS * 1_000 + 60_000;
      oldest.set(series, Math.min(oldest.get(series) ?? Number.POSITIVE_INFINITY, nowMs - range));
    }
    for (const [series, before] of oldest) {
      const sets = this.#watched.get(series);
      for (const fromMs of sets?.keys() ?? []) if (fromMs < before) sets?.delete(fromMs);
    }
    return changed;
  }
}

/** Names a metric; its dimensions count whatever order they come in. */
function seriesOf(
  region: string,
  namespace: string,
  name: string,
  dimensions: Readonly<Record<string, string>>,
): string {
  const sorted = Object.entries(dimensions).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([region, namespace, name, sorted]);
}

function dimensionsOf(given: unknown): Record<string, string> {
  if (!Array.isArray(given)) return {};
  return Object.fromEntries(
    given.map((pair: { Name: string; Value: unknown }) => [pair.Name, String(pair.Value)]),
  );
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
