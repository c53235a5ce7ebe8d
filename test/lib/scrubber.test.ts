// A Region's scrubber as the templates make it: how often, what it may touch, and who hears of damage.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { defineConfig, ROLES } from '../../config/config.ts';
import { ALERTS } from '../../config/promises.ts';
import { DEV, GOV, ofType, only, type Stack, stackNamed, stageConfig, synthesize } from './assembly.ts';

const dev = synthesize(DEV);
const gov = synthesize(GOV);
const devStack = (role: (typeof ROLES)[number]): Stack =>
  stackNamed(dev, role === 'quorum' ? 'eden-field-dev-quorum' : `eden-field-dev-service-${role}`);
const govStack = (role: string): Stack => stackNamed(gov, `eden-field-gov-service-${role}`);
const ALL = [
  ...ROLES.map((role) => ({ stage: 'dev', role, stack: devStack(role) })),
  ...['primary', 'standby'].map((role) => ({ stage: 'gov', role, stack: govStack(role) })),
];

const functionOf = (stack: Stack, stage: string) =>
  only(stack, 'AWS::Lambda::Function', (it) => it.Properties.FunctionName === `eden-field-${stage}-scrubber`);

test('every Region with a replica has one, called as often as its stage says and shorter than that', () => {
  for (const { stage, stack } of ALL) {
    const schedule = only(
      stack,
      'AWS::Scheduler::Schedule',
      (it) => it.Properties.Name === `eden-field-${stage}-scrubber`,
    ).Properties;
    assert.equal(schedule.ScheduleExpression, 'rate(5 minutes)');
    assert.equal(DEV.recovery.scrubIntervalMs, 5 * 60_000);
    assert.deepEqual(schedule.Target.RetryPolicy, { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 300 });
    const { Timeout, Environment } = functionOf(stack, stage).Properties;
    assert.ok(Timeout * 1_000 < DEV.recovery.scrubIntervalMs, 'no two of one Region side by side');
    assert.equal(Environment.Variables.SCRUB_ITEMS, '200000');
  }
});

test('how much it looks at is the stage’s to say; an interval that no schedule has is refused', () => {
  const { recovery, ...rest } = stageConfig('dev');
  const more = synthesize(
    defineConfig('dev', { ...rest, recovery: { ...recovery, scrubItems: 250_000 } } as typeof DEV),
  );
  const stack = stackNamed(more, 'eden-field-dev-quorum');
  assert.equal(functionOf(stack, 'dev').Properties.Environment.Variables.SCRUB_ITEMS, '250000');
  assert.throws(
    () =>
      synthesize(
        defineConfig('dev', { ...rest, recovery: { ...recovery, scrubIntervalMs: 90_000 } } as typeof DEV),
      ),
    /recovery.scrubIntervalMs: expected whole minutes.*got 90000/,
  );
  for (const scrubItems of [0, 1.5, 1_000_000])
    assert.throws(
      () => defineConfig('dev', { ...rest, recovery: { ...recovery, scrubItems } } as typeof DEV),
      /recovery.scrubItems: expected a whole number from 1000 to 400000/,
    );
});

test('it reads its own replica, and writes one item of its own Region in it', () => {
  for (const { stage, stack } of ALL) {
    const role = functionOf(stack, stage).Properties.Role['Fn::GetAtt'][0];
    const statements: readonly {
      readonly Sid?: string;
      readonly Action: unknown;
      readonly Resource: unknown;
      readonly Condition?: unknown;
    }[] = only(stack, 'AWS::IAM::Policy', (it) => it.Properties.Roles[0].Ref === role).Properties
      .PolicyDocument.Statement;
    const by = new Map(statements.map((it) => [it.Sid, it]));
    assert.deepEqual(by.get('Table')?.Action, ['dynamodb:GetItem', 'dynamodb:Scan']);
    assert.equal(by.get('OwnItems')?.Action, 'dynamodb:UpdateItem');
    assert.deepEqual(by.get('OwnItems')?.Condition, {
      'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': [`CONTROL#scrubber#${stack.region}`] },
      Null: { 'dynamodb:LeadingKeys': 'false' },
    });
    for (const sid of ['Table', 'OwnItems'])
      assert.match(
        JSON.stringify(by.get(sid)?.Resource),
        new RegExp(`:dynamodb:${stack.region}:.*:table/eden-field-${stage}-records"`),
      );
  }
});

const alarmsOf = (stack: Stack) =>
  new Map(
    ofType(stack, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => [Properties.AlarmName, Properties]),
  );

test('damage pages, whether the scrubber knows of it or a service met it', () => {
  for (const { stage, role, stack } of ALL) {
    const alarms = [...alarmsOf(stack).values()].filter(({ MetricName }) => MetricName === 'data_corruption');
    const services = [
      'scrubber',
      ...(role === 'quorum' ? [] : ['api', 'sync']),
      ...(stage === 'gov' ? ['audit'] : []),
    ];
    assert.deepEqual(
      alarms.map(({ AlarmName }) => AlarmName).sort(),
      services.map((service) => `eden-field-${stage}-data-corruption-${service}`).sort(),
    );
    for (const alarm of alarms) {
      const service = alarm.AlarmName.split('-').at(-1);
      assert.deepEqual(
        new Map(alarm.Dimensions.map(({ Name, Value }: { Name: string; Value: string }) => [Name, Value])),
        new Map([
          ['Region', stack.region],
          ['Service', service],
          ['Stage', stage],
        ]),
      );
      const { Namespace, Statistic, Threshold, ComparisonOperator, EvaluationPeriods, DatapointsToAlarm } =
        alarm;
      assert.deepEqual(
        [Namespace, Statistic, Threshold, ComparisonOperator, EvaluationPeriods, DatapointsToAlarm],
        ['EdenField', 'Maximum', ALERTS.dataCorruption.above, 'GreaterThanThreshold', 1, 1],
      );
      // A scrubber says 0 of a replica that is whole, so its silence clears nothing; a service only says when it met some.
      assert.deepEqual(
        [alarm.Period, alarm.TreatMissingData],
        service === 'scrubber' ? [300, 'ignore'] : [60, 'notBreaching'],
      );
      assert.match(
        JSON.stringify(alarm.AlarmActions),
        new RegExp(`:eden-field-${stage}-${ALERTS.dataCorruption.severity}"`),
      );
    }
  }
});

test('a scrubber that looks at nothing for three runs is a warning', () => {
  for (const { stage, stack } of ALL) {
    const alarm = alarmsOf(stack).get(`eden-field-${stage}-scrubber-silent`) ?? assert.fail(stack.name);
    assert.deepEqual(
      [alarm.MetricName, alarm.Statistic, alarm.Threshold, alarm.ComparisonOperator, alarm.Period],
      ['scrubbed', 'Maximum', 1, 'LessThanThreshold', 300],
    );
    assert.deepEqual(
      [alarm.EvaluationPeriods, alarm.DatapointsToAlarm, alarm.TreatMissingData],
      [3, 3, 'breaching'],
    );
    assert.match(JSON.stringify(alarm.AlarmActions), new RegExp(`:eden-field-${stage}-warning"`));
  }
});

test('each of these alarms leads to a runbook that is there', () => {
  const guide = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'OPERATING.md'), 'utf8');
  const headings = [...guide.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
    text.toLowerCase().replaceAll(' ', '-'),
  );
  for (const { stack } of ALL)
    for (const [name, { AlarmDescription }] of alarmsOf(stack)) {
      if (!/-data-corruption-|-scrubber-silent$/.test(name)) continue;
      const [, anchor = ''] = /docs\/OPERATING\.md#([a-z-]+)$/.exec(AlarmDescription) ?? [];
      assert.ok(headings.includes(anchor), `${AlarmDescription}: there is no such runbook`);
    }
});

test('the guide says how long a pass takes, as the numbers have it', () => {
  const guide = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'ARCHITECTURE.md'), 'utf8');
  const items = Number(functionOf(devStack('primary'), 'dev').Properties.Environment.Variables.SCRUB_ITEMS);
  const minutes = (total: number) => (Math.ceil(total / items) * DEV.recovery.scrubIntervalMs) / 60_000;
  const said = `A pass over 1 M items takes ${minutes(1e6)} minutes, over 100 M items ${(minutes(1e8) / 1_440).toFixed(1)} days`;
  assert.ok(guide.includes(said), said);
});
