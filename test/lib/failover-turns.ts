// Every part of failover's templates, turned round one at a time: each has to break a promise (failover-promises.ts).
import { METRICS } from '../../protocol/metrics.ts';
import { DEV, type Resource } from './assembly.ts';
import { ALARM, CALCULATED, CHECK, NAME, NOT_EVACUATED, OBSERVERS, RECORD } from './failover-promises.ts';

// biome-ignore lint/suspicious/noExplicitAny: a template's values are whatever CloudFormation takes
type Properties = any;

/** Properties of the one resource of a layer, type and kind. */
type Part = (layer: string, type: string, where?: (resource: Resource) => boolean) => Properties;

export interface Turn {
  readonly what: string;
  readonly turn: (part: Part) => void;
}

const check = (part: Part, name: string): Properties =>
  part('traffic', CHECK, (it) =>
    it.Properties.HealthCheckTags.some(({ Value }: { Value: string }) => Value === name),
  ).HealthCheckConfig;
const primaryCheck = (part: Part) => check(part, 'eden-field-dev primary answers');
const standbyCheck = (part: Part) => check(part, 'eden-field-dev standby answers');
const alarmCheck = (part: Part) => check(part, NOT_EVACUATED);
const calculated = (part: Part) => check(part, CALCULATED);
const record = (part: Part, failover: string): Properties =>
  part('traffic', RECORD, (it) => it.Properties.Failover === failover);
const alarm = (part: Part): Properties => part('traffic', ALARM);
const page = (part: Part, layer: string): Properties =>
  part(layer, ALARM, (it) => it.Properties.AlarmName === 'eden-field-dev-failover-page');

const silence = (part: Part, layer: string): Properties =>
  part(layer, ALARM, (it) => it.Properties.AlarmName === 'eden-field-dev-observer-silent');

function swap(a: Properties, b: Properties, key: string): void {
  [a[key], b[key]] = [b[key], a[key]];
}

/** One property of one part, set to something else. */
function set(
  what: string,
  find: (part: Part) => Properties,
  values: Readonly<Record<string, unknown>>,
): Turn[] {
  return Object.entries(values).map(([key, value]) => ({
    what: `${what}: ${key} ${JSON.stringify(value) ?? 'left out'}`,
    turn: (part) => Object.assign(find(part), { [key]: value }),
  }));
}

function dimensions(what: string, find: (part: Part) => Properties): Turn[] {
  const others = { Stage: 'prod', Region: 'eu-west-1', Service: 'api' };
  return Object.entries(others).flatMap(([name, value]) => [
    {
      what: `${what}: dimension ${name} ${value}`,
      turn: (part) => {
        const all: { Name: string; Value: string }[] = find(part).Dimensions;
        for (const it of all) if (it.Name === name) it.Value = value;
      },
    },
    {
      what: `${what}: dimension ${name} left out`,
      turn: (part) => {
        const alarm = find(part);
        alarm.Dimensions = alarm.Dimensions.filter(({ Name }: { Name: string }) => Name !== name);
      },
    },
  ]) satisfies Turn[];
}

const INVERTED: readonly Turn[] = [primaryCheck, standbyCheck, alarmCheck, calculated].flatMap((find, n) =>
  set(['primary check', 'standby check', 'alarm check', 'calculated check'][n] as string, find, {
    Inverted: true,
  }),
);

const CHECKS: readonly Turn[] = [
  ...[0, 1, 3].flatMap((HealthThreshold) => set('calculated check', calculated, { HealthThreshold })),
  ...[0, 1].map((left) => ({
    what: `calculated check without child ${left}`,
    turn: (part: Part) => {
      const it = calculated(part);
      it.ChildHealthChecks = it.ChildHealthChecks.filter((_: unknown, n: number) => n !== left);
      it.HealthThreshold = 1;
    },
  })),
  {
    what: 'calculated check over the standby’s endpoint',
    turn: (part) => {
      const { ChildHealthChecks } = calculated(part);
      ChildHealthChecks[0] = record(part, 'SECONDARY').HealthCheckId;
    },
  },
  {
    what: 'endpoint checks of each other’s Region',
    turn: (part) => swap(primaryCheck(part), standbyCheck(part), 'FullyQualifiedDomainName'),
  },
  ...set('primary check', primaryCheck, {
    FullyQualifiedDomainName: NAME,
    ResourcePath: '/',
    Type: 'HTTPS_STR_MATCH',
  }),
  ...set('standby check', standbyCheck, { FullyQualifiedDomainName: NAME, ResourcePath: '/ready' }),
  ...set('alarm check', alarmCheck, { Type: 'RECOVERY_CONTROL' }),
  ...['Healthy', 'Unhealthy'].flatMap((InsufficientDataHealthStatus) =>
    set('alarm check', alarmCheck, { InsufficientDataHealthStatus }),
  ),
  ...set('alarm check', (part) => alarmCheck(part).AlarmIdentifier, {
    Name: 'eden-field-dev-failover-page',
    Region: DEV.regions.primary,
  }),
];

const RECORDS: readonly Turn[] = [
  ...['Failover', 'ResourceRecords', 'HealthCheckId'].map((key) => ({
    what: `records with each other’s ${key}`,
    turn: (part: Part) => swap(record(part, 'PRIMARY'), record(part, 'SECONDARY'), key),
  })),
  {
    what: 'the primary’s record on its endpoint check alone',
    turn: (part) => {
      record(part, 'PRIMARY').HealthCheckId = calculated(part).ChildHealthChecks[0];
    },
  },
];

const EVACUATED: readonly Turn[] = [
  ...[0, 2].flatMap((Threshold) => set('evacuated', alarm, { Threshold })),
  ...['GreaterThanThreshold', 'LessThanThreshold', 'LessThanOrEqualToThreshold'].flatMap(
    (ComparisonOperator) => set('evacuated', alarm, { ComparisonOperator }),
  ),
  ...['notBreaching', 'breaching', 'missing', undefined].flatMap((TreatMissingData) =>
    set('evacuated', alarm, { TreatMissingData }),
  ),
  ...['Minimum', 'Average', 'SampleCount'].flatMap((Statistic) => set('evacuated', alarm, { Statistic })),
  ...set('evacuated', alarm, {
    MetricName: METRICS.failovers,
    Namespace: 'EdenField/dev',
    AlarmName: 'eden-field-dev-evacuation',
    EvaluationPeriods: 2,
    Period: 300,
    ActionsEnabled: false,
    AlarmActions: [],
  }),
  ...dimensions('evacuated', alarm),
];

const PAGES: readonly Turn[] = OBSERVERS.flatMap((layer) => {
  const find = (part: Part) => page(part, layer);
  const what = `failover-page of ${layer}`;
  return [
    ...set(what, find, {
      Threshold: 2,
      ComparisonOperator: 'LessThanThreshold',
      Statistic: 'Minimum',
      MetricName: METRICS.failoverVotes,
      Namespace: 'AWS/Lambda',
      AlarmActions: undefined,
      ActionsEnabled: false,
      AlarmName: 'eden-field-dev-page',
    }),
    ...set(what, find, { ComparisonOperator: 'GreaterThanThreshold' }),
    ...['breaching', 'ignore', 'missing'].flatMap((TreatMissingData) =>
      set(what, find, { TreatMissingData }),
    ),
    ...dimensions(what, find),
    toldToAnother(what, find),
  ] satisfies Turn[];
});

const SILENCE: readonly Turn[] = OBSERVERS.flatMap((layer) => {
  const find = (part: Part) => silence(part, layer);
  const what = `observer-silent of ${layer}`;
  return [
    ...set(what, find, {
      Threshold: 9,
      ComparisonOperator: 'GreaterThanOrEqualToThreshold',
      MetricName: METRICS.heartbeats,
      Namespace: 'AWS/Lambda',
      AlarmActions: undefined,
      ActionsEnabled: false,
      AlarmName: 'eden-field-dev-silent',
    }),
    ...['notBreaching', 'ignore', 'missing'].flatMap((TreatMissingData) =>
      set(what, find, { TreatMissingData }),
    ),
    ...dimensions(what, find),
    toldToAnother(what, find),
  ] satisfies Turn[];
});

function toldToAnother(what: string, find: (part: Part) => Properties): Turn {
  return {
    what: `${what}: told to another topic`,
    turn: (part) => {
      const [action] = find(part).AlarmActions;
      action['Fn::Join'][1] = action['Fn::Join'][1].map((it: unknown) =>
        typeof it === 'string' ? it.replace(/-(incident|critical)$/, '-warning') : it,
      );
    },
  };
}

export const TURNS: readonly Turn[] = [
  ...INVERTED,
  ...CHECKS,
  ...RECORDS,
  ...EVACUATED,
  ...PAGES,
  ...SILENCE,
];
