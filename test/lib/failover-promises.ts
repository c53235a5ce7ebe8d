// What must be true of failover's templates when they are played (failover-model.ts), with metrics as the observers' own
// functions get them out.
import assert from 'node:assert/strict';
import { mock } from 'node:test';
import type { Severity } from '../../config/promises.ts';
import { readPlace } from '../../lambdas/env.ts';
import { createTelemetry, type Telemetry } from '../../lambdas/telemetry.ts';
import { METRICS, type MetricName, SERVICES } from '../../protocol/metrics.ts';
import { metricPointsOf } from '../../rehearsal/region/emf.ts';
import { DEV, ofType, only, type Resource, type Stack, stackNamed, synthesize } from './assembly.ts';
import { type Minute, type Outcome, type Point, play } from './failover-model.ts';

export const NAME = 'api.dev.eden-field.example';
const OWN = { primary: `us-east-2.${NAME}`, standby: `us-west-2.${NAME}` };
export const BOTH = [OWN.primary, OWN.standby];
const PRIMARY = `origin-us-east-2.${NAME}`;
const STANDBY = `origin-us-west-2.${NAME}`;
export const CALCULATED = 'eden-field-dev primary answers and is not evacuated';
export const NOT_EVACUATED = 'eden-field-dev primary is not evacuated';
const EVACUATED_ALARM = 'us-west-2 eden-field-dev-evacuated';
export const OBSERVERS = ['service-primary', 'service-standby', 'quorum'];
export const ALARM = 'AWS::CloudWatch::Alarm';
export const CHECK = 'AWS::Route53::HealthCheck';
export const RECORD = 'AWS::Route53::RecordSet';

const synthesized = synthesize(DEV);

/** Its stacks, with what failover is made of and no more. */
export const FAILOVER: readonly Stack[] = synthesized.map((stack) => ({
  ...stack,
  template: {
    Resources: Object.fromEntries(
      Object.entries(stack.template.Resources).filter(([, { Type }]) =>
        [ALARM, CHECK, RECORD, 'AWS::SNS::Topic'].includes(Type),
      ),
    ),
  },
}));

/** The environment of this stack's observer, as CloudFormation would make it. */
export function environmentOf(stack: Stack): Readonly<Record<string, string>> {
  const { Variables } = only(
    stack,
    'AWS::Lambda::Function',
    (it) => it.Properties.FunctionName === 'eden-field-dev-observer',
  ).Properties.Environment;
  const pseudo: Readonly<Record<string, string>> = {
    'AWS::URLSuffix': 'amazonaws.com',
    'AWS::AccountId': '123456789012',
  };
  const resolved = Object.entries<string | { readonly 'Fn::Join': [string, (string | { Ref: string })[]] }>(
    Variables,
  ).map(([name, value]) => {
    if (typeof value === 'string') return [name, value];
    const [between, parts] = value['Fn::Join'];
    return [name, parts.map((part) => (typeof part === 'string' ? part : pseudo[part.Ref])).join(between)];
  });
  return { ...Object.fromEntries(resolved), AWS_REGION: stack.region };
}

/** What comes out of this stack's observer while it does something, by its own telemetry. */
export async function emittedWhile(
  stack: Stack,
  act: (telemetry: Telemetry) => void | Promise<void>,
): Promise<readonly Point[]> {
  const environment = environmentOf(stack);
  const lines: string[] = [];
  // Its lines go to the console, and it does not keep quiet because of that.
  Object.assign(process.env, { POWERTOOLS_DEV: 'true', POWERTOOLS_METRICS_DISABLED: 'false' });
  const log = mock.method(console, 'log', (line: string) => lines.push(line));
  try {
    await act(createTelemetry(readPlace(environment), SERVICES.observer));
  } finally {
    log.mock.restore();
  }
  return lines
    .flatMap((line) => metricPointsOf(line) ?? [])
    .flatMap(({ values, ...point }) => values.map((value) => ({ ...point, region: stack.region, value })));
}

function emittedBy(stack: Stack, name: MetricName, values: readonly number[]): Promise<readonly Point[]> {
  return emittedWhile(stack, (telemetry) => {
    for (const value of values) telemetry.measure([{ name, value }]);
  });
}

export const observers = OBSERVERS.map((layer) => stackNamed(synthesized, `eden-field-dev-${layer}`));
const [fromPrimary, fromStandby] = observers as [Stack, Stack, Stack];
/** As its looks of one minute saw it. */
const evacuated = (...looks: number[]) => emittedBy(fromStandby, METRICS.evacuated, looks);
const ALL_FINE = await evacuated(0, 0, 0, 0);
const LEFT = await evacuated(0, 0, 0, 1);
const GONE = await evacuated(1, 1, 1, 1);
/** Of a primary that came back without a memory. */
const FORGOTTEN = await emittedBy(fromPrimary, METRICS.evacuated, [0, 0, 0, 0]);
/** Of every observer, minute by minute: nothing yet, nothing wrong, a page at one look, nothing, pages, silence. */
const PAGES: Minute[] = [];
for (const looks of [[], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1], []]) {
  const points: Point[] = [];
  for (const stack of observers) points.push(...(await emittedBy(stack, METRICS.failoverPages, looks)));
  PAGES.push({ answering: BOTH, points });
}

/** Of every observer, minute by minute: looks, silence, looks. */
const LOOKS: Minute[] = [];
for (const looks of [[2, 2, 2, 2], [], [2, 2, 2, 2]]) {
  const points: Point[] = [];
  for (const stack of observers) points.push(...(await emittedBy(stack, METRICS.healthChecks, looks)));
  LOOKS.push({ answering: BOTH, points });
}

const answers = (outcomes: readonly Outcome[]) => outcomes.map(({ answer }) => answer);
const shown = (name: string) => (outcomes: readonly Outcome[]) =>
  outcomes.map(({ healthy }) => healthy[name]);

/** What must hold, by what it says. Each throws an AssertionError of templates that do not keep it. */
export const PROMISES: Readonly<Record<string, (stacks: readonly Stack[]) => void>> = {
  'both fine: healthy, and everybody goes to the primary': (stacks) => {
    const outcomes = play(stacks, [{ answering: BOTH, points: ALL_FINE }]);
    assert.deepEqual(shown(CALCULATED)(outcomes), [true]);
    assert.deepEqual(answers(outcomes), [PRIMARY]);
    assert.ok(Object.values(outcomes[0]?.healthy ?? {}).every(Boolean));
  },
  'a failing primary endpoint makes the calculated check unhealthy, and the standby takes over': (stacks) => {
    const outcomes = play(stacks, [
      { answering: BOTH, points: ALL_FINE },
      { answering: [OWN.standby], points: ALL_FINE },
    ]);
    assert.deepEqual(shown(CALCULATED)(outcomes), [true, false]);
    assert.deepEqual(answers(outcomes), [PRIMARY, STANDBY]);
  },
  'evacuated 1 at one look of the minute: ALARM, its check unhealthy, the calculated one unhealthy': (
    stacks,
  ) => {
    const outcomes = play(stacks, [
      { answering: BOTH, points: ALL_FINE },
      { answering: BOTH, points: LEFT },
    ]);
    assert.deepEqual(
      outcomes.map(({ alarms }) => alarms[EVACUATED_ALARM]),
      ['OK', 'ALARM'],
    );
    assert.deepEqual(shown(NOT_EVACUATED)(outcomes), [true, false]);
    assert.deepEqual(shown(CALCULATED)(outcomes), [true, false]);
    assert.deepEqual(answers(outcomes), [PRIMARY, STANDBY]);
  },
  'silence keeps the latch, even when the old primary comes back without a memory': (stacks) => {
    const silent: Minute = { answering: BOTH, points: FORGOTTEN };
    const outcomes = play(stacks, [{ answering: [OWN.standby], points: GONE }, silent, silent]);
    assert.deepEqual(
      outcomes.map(({ alarms }) => alarms[EVACUATED_ALARM]),
      ['ALARM', 'ALARM', 'ALARM'],
    );
    assert.deepEqual(answers(outcomes), [STANDBY, STANDBY, STANDBY]);
  },
  'an alarm that was made anew, and knows nothing yet, keeps the latch too': (stacks) => {
    const outcomes = play(stacks, [
      { answering: BOTH, points: GONE },
      { answering: BOTH, alarmsForget: true },
    ]);
    assert.deepEqual(answers(outcomes), [STANDBY, STANDBY]);
  },
  'silence evacuates nobody': (stacks) => {
    const outcomes = play(stacks, [
      { answering: BOTH },
      { answering: BOTH, points: ALL_FINE },
      { answering: BOTH },
    ]);
    assert.deepEqual(answers(outcomes), [PRIMARY, PRIMARY, PRIMARY]);
    assert.deepEqual(
      outcomes.map(({ alarms }) => alarms[EVACUATED_ALARM]),
      ['INSUFFICIENT_DATA', 'OK', 'OK'],
    );
  },
  'failing back needs the standby’s observer to say so': (stacks) => {
    const outcomes = play(stacks, [
      { answering: BOTH, points: GONE },
      { answering: BOTH, points: ALL_FINE },
    ]);
    assert.deepEqual(answers(outcomes), [STANDBY, PRIMARY]);
  },
  'a failing standby moves nobody, and with both failing the primary is the answer': (stacks) => {
    const outcomes = play(stacks, [
      { answering: [OWN.primary], points: ALL_FINE },
      { answering: [], points: ALL_FINE },
      { answering: [OWN.primary], points: GONE },
    ]);
    assert.deepEqual(answers(outcomes), [PRIMARY, PRIMARY, PRIMARY]);
    assert.deepEqual(shown('eden-field-dev standby answers')(outcomes), [false, false, false]);
  },
  'no health check points at the failover name': (stacks) => {
    for (const stack of stacks)
      for (const [id, { Properties }] of ofType(stack, CHECK))
        assert.notEqual(Properties.HealthCheckConfig.FullyQualifiedDomainName, NAME, id);
  },
  'the standby Region owns the alarm, and tells its own incident topic': (stacks) => {
    const owners = stacks.filter((stack) => alarmsOf(stack, 'eden-field-dev-evacuated').length > 0);
    assert.deepEqual(
      owners.map(({ name }) => name),
      ['eden-field-dev-traffic'],
    );
    for (const stack of owners) {
      assert.equal(stack.region, DEV.regions.standby);
      for (const alarm of alarmsOf(stack, 'eden-field-dev-evacuated'))
        tells('incident', stacks, stack, alarm);
    }
  },
  'an observer that may not move wakes somebody, and is silent when it has seen nothing': (stacks) => {
    const outcomes = play(stacks, PAGES);
    for (const { name } of observers) {
      const stack = stackNamed(stacks, name);
      const [alarm, ...others] = alarmsOf(stack, 'eden-field-dev-failover-page');
      assert.ok(alarm && others.length === 0, `${name} has one failover-page alarm`);
      tells('incident', stacks, stack, alarm);
      assert.deepEqual(
        outcomes.map(({ alarms }) => alarms[`${stack.region} eden-field-dev-failover-page`]),
        ['OK', 'OK', 'ALARM', 'OK', 'ALARM', 'OK'],
        name,
      );
    }
  },
  'an observer that does not look any more is missed, in its own Region': (stacks) => {
    const outcomes = play(stacks, LOOKS);
    for (const { name } of observers) {
      const stack = stackNamed(stacks, name);
      const [alarm, ...others] = alarmsOf(stack, 'eden-field-dev-observer-silent');
      assert.ok(alarm && others.length === 0, `${name} has one observer-silent alarm`);
      tells('critical', stacks, stack, alarm);
      assert.deepEqual(
        outcomes.map(({ alarms }) => alarms[`${stack.region} eden-field-dev-observer-silent`]),
        ['OK', 'ALARM', 'OK'],
        name,
      );
    }
  },
};

function alarmsOf(stack: Stack, name: string): readonly Resource[] {
  return ofType(stack, ALARM)
    .map(([, resource]) => resource)
    .filter(({ Properties }) => Properties.AlarmName === name);
}

/** A topic of the foundation in the alarm's own Region: alarms reach no other. */
function tells(severity: Severity, stacks: readonly Stack[], stack: Stack, { Properties }: Resource): void {
  const topics = stacks
    .filter(({ name, region }) => /-foundation-\w+$/.test(name) && region === stack.region)
    .flatMap((foundation) => ofType(foundation, 'AWS::SNS::Topic'))
    .map(([, it]) => it.Properties.TopicName);
  assert.ok(topics.includes(`eden-field-dev-${severity}`), `${stack.region} has the topic`);
  assert.notEqual(Properties.ActionsEnabled, false);
  const actions: readonly unknown[] = Properties.AlarmActions ?? [];
  assert.equal(actions.length, 1);
  assert.match(
    JSON.stringify(actions[0]),
    new RegExp(`:sns:${stack.region}:".*":eden-field-dev-${severity}"`),
  );
}
