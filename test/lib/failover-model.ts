// CloudWatch and Route 53 in miniature, over templates as synthesized: minute by minute, what each alarm says, what each
// health check makes of it, and what the failover name then answers. Written apart from the rehearsal's own, so that two
// readings of the documentation hold each other. What it does not know it refuses, so that nothing passes unread.
import assert from 'node:assert/strict';
import type { Resource, Stack } from './assembly.ts';

export type AlarmState = 'OK' | 'ALARM' | 'INSUFFICIENT_DATA';

/** A metric's value as a function's log line gives it to the CloudWatch of its own Region. */
export interface Point {
  readonly region: string;
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Minute {
  /** Names whose `/health` answers 2xx. */
  readonly answering: readonly string[];
  readonly points?: readonly Point[];
  /** The alarms have just been made anew, and know nothing. */
  readonly alarmsForget?: true;
}

export interface Outcome {
  /** What the failover name's record gives: the target. */
  readonly answer: string;
  /** Health checks by the name in their tags. */
  readonly healthy: Readonly<Record<string, boolean>>;
  /** By `<Region> <alarm>`. */
  readonly alarms: Readonly<Record<string, AlarmState>>;
}

const STATISTICS: Readonly<Record<string, (values: readonly number[]) => number>> = {
  Maximum: (values) => Math.max(...values),
  Minimum: (values) => Math.min(...values),
  Average: (values) => values.reduce((sum, value) => sum + value, 0) / values.length,
  Sum: (values) => values.reduce((sum, value) => sum + value, 0),
  SampleCount: (values) => values.length,
};

const COMPARISONS: Readonly<Record<string, (value: number, threshold: number) => boolean>> = {
  GreaterThanOrEqualToThreshold: (value, threshold) => value >= threshold,
  GreaterThanThreshold: (value, threshold) => value > threshold,
  LessThanThreshold: (value, threshold) => value < threshold,
  LessThanOrEqualToThreshold: (value, threshold) => value <= threshold,
};

/** What a missing minute makes of an alarm's state:
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html */
const MISSING: Readonly<Record<string, (before: AlarmState) => AlarmState>> = {
  ignore: (before) => before,
  missing: () => 'INSUFFICIENT_DATA',
  breaching: () => 'ALARM',
  notBreaching: () => 'OK',
};

function known<T>(table: Readonly<Record<string, T>>, name: unknown, what: string): T {
  const found = table[String(name)];
  assert.ok(found, `${what}: expected one of ${Object.keys(table).join(', ')}, got ${String(name)}`);
  return found;
}

/** Dimensions of an alarm, as a point has them. */
export function dimensionsOf({ Properties }: Resource): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Properties.Dimensions.map(({ Name, Value }: { Name: string; Value: string }) => [Name, Value]),
  );
}

function alarmAfter(
  { Properties: alarm, ...resource }: Resource,
  region: string,
  points: readonly Point[],
  before: AlarmState,
): AlarmState {
  const periods = [alarm.Period, alarm.EvaluationPeriods, alarm.DatapointsToAlarm];
  assert.deepEqual(periods, [60, 1, 1], 'a minute at a time is all that is modelled');
  const wanted = dimensionsOf({ Properties: alarm, ...resource });
  const values = points
    .filter(({ namespace, name }) => namespace === alarm.Namespace && name === alarm.MetricName)
    .filter((point) => point.region === region && sameEntries(point.dimensions, wanted))
    .map(({ value }) => value);
  if (values.length === 0) return known(MISSING, alarm.TreatMissingData, 'TreatMissingData')(before);
  const value = known(STATISTICS, alarm.Statistic, 'Statistic')(values);
  const breaching = known(COMPARISONS, alarm.ComparisonOperator, 'ComparisonOperator');
  return breaching(value, alarm.Threshold) ? 'ALARM' : 'OK';
}

/** A metric is another one as soon as one dimension is missing, or more. */
function sameEntries(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const entries = Object.entries(a);
  return entries.length === Object.keys(b).length && entries.every(([key, value]) => b[key] === value);
}

/** https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html */
class Checks {
  readonly #resources: Readonly<Record<string, Resource>>;
  readonly #last = new Map<string, boolean>();

  constructor(resources: Readonly<Record<string, Resource>>) {
    this.#resources = resources;
  }

  /** By the name in their tags. */
  look(answering: readonly string[], alarms: ReadonlyMap<string, AlarmState>): Record<string, boolean> {
    const checks = Object.entries(this.#resources).filter(([, { Type }]) => Type === CHECK);
    const found = checks.map(([id]) => [id, this.#healthy(id, answering, alarms)] as const);
    for (const [id, healthy] of found) this.#last.set(id, healthy);
    return Object.fromEntries(found.map(([id, healthy]) => [this.#nameOf(id), healthy]));
  }

  #nameOf(id: string): string {
    const tags: readonly { Key: string; Value: string }[] = this.#resources[id]?.Properties.HealthCheckTags;
    return tags.find(({ Key }) => Key === 'Name')?.Value ?? id;
  }

  isHealthy(reference: { readonly 'Fn::GetAtt': readonly [string, string] }): boolean {
    const healthy = this.#last.get(reference['Fn::GetAtt'][0]);
    assert.ok(healthy !== undefined, `a record names no health check: ${reference['Fn::GetAtt'][0]}`);
    return healthy;
  }

  #healthy(id: string, answering: readonly string[], alarms: ReadonlyMap<string, AlarmState>): boolean {
    const check = this.#resources[id]?.Properties.HealthCheckConfig;
    assert.ok(check, `there is no health check ${id}`);
    const plain = (): boolean => {
      switch (check.Type) {
        case 'HTTPS':
          return check.ResourcePath === '/health' && answering.includes(check.FullyQualifiedDomainName);
        case 'CLOUDWATCH_METRIC': {
          const { Name, Region } = check.AlarmIdentifier;
          const state = alarms.get(`${Region} ${Name}`) ?? 'INSUFFICIENT_DATA';
          if (state !== 'INSUFFICIENT_DATA') return state === 'OK';
          // A check that is new counts as healthy until there is enough to tell.
          if (check.InsufficientDataHealthStatus === 'LastKnownStatus') return this.#last.get(id) ?? true;
          return check.InsufficientDataHealthStatus === 'Healthy';
        }
        case 'CALCULATED': {
          const children: readonly { readonly 'Fn::GetAtt': readonly [string, string] }[] =
            check.ChildHealthChecks;
          const well = children.filter((child) => this.#healthy(child['Fn::GetAtt'][0], answering, alarms));
          return well.length >= check.HealthThreshold;
        }
        default:
          return assert.fail(`a health check of type ${check.Type} is not modelled`);
      }
    };
    return check.Inverted ? !plain() : plain();
  }
}

const CHECK = 'AWS::Route53::HealthCheck';
const OF_FAILOVER = /-(evacuated|failover-page|observer-silent)$/;

/** With both unhealthy Route 53 answers with the primary:
 * https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-problems.html */
function answerOf(resources: Readonly<Record<string, Resource>>, checks: Checks): string {
  const record = (failover: string) => {
    const found = Object.values(resources).filter(
      ({ Type, Properties }) => Type === 'AWS::Route53::RecordSet' && Properties.Failover === failover,
    );
    assert.equal(found.length, 1, `expected one ${failover} record, got ${found.length}`);
    return found[0]?.Properties;
  };
  const [primary, secondary] = [record('PRIMARY'), record('SECONDARY')];
  const isHealthy = ({ HealthCheckId }: { readonly HealthCheckId: { 'Fn::GetAtt': [string, string] } }) =>
    checks.isHealthy(HealthCheckId);
  const chosen = !isHealthy(primary) && isHealthy(secondary) ? secondary : primary;
  return chosen.ResourceRecords[0];
}

/** What comes of one minute after the other, from alarms and checks that are new. */
export function play(stacks: readonly Stack[], minutes: readonly Minute[]): readonly Outcome[] {
  const alarms = stacks.flatMap(({ region, template }) =>
    Object.values(template.Resources)
      .filter(
        ({ Type, Properties }) => Type === 'AWS::CloudWatch::Alarm' && OF_FAILOVER.test(Properties.AlarmName),
      )
      .map((resource) => ({ region, resource, key: `${region} ${resource.Properties.AlarmName}` })),
  );
  const resources = Object.assign({}, ...stacks.map(({ template }) => template.Resources));
  const checks = new Checks(resources);
  const states = new Map<string, AlarmState>(alarms.map(({ key }) => [key, 'INSUFFICIENT_DATA']));
  return minutes.map(({ answering, points = [], alarmsForget }) => {
    for (const { region, resource, key } of alarms) {
      const before = alarmsForget ? 'INSUFFICIENT_DATA' : (states.get(key) ?? 'INSUFFICIENT_DATA');
      states.set(key, alarmAfter(resource, region, points, before));
    }
    const healthy = checks.look(answering, states);
    return { answer: answerOf(resources, checks), healthy, alarms: Object.fromEntries(states) };
  });
}
