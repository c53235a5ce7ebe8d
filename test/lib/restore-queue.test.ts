// The restore function's queue as the templates make it: encrypted, bounded, patient, and loud about what fails for good.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FUNCTIONS } from '../../lib/functions.ts';
import { restoreQueueName } from '../../lib/names.ts';
import {
  DEV,
  GOV,
  ofType,
  only,
  PROD,
  type Resource,
  type Stack,
  stackNamed,
  synthesize,
} from './assembly.ts';

const serving = [DEV, PROD, GOV].map((config) => {
  const stacks = synthesize(config);
  const of = (role: string) => stackNamed(stacks, `eden-field-${config.stage}-service-${role}`);
  return { config, stacks: [of('primary'), of('standby')] as const };
});

const queueIn = (stack: Stack, name: string) =>
  only(stack, 'AWS::SQS::Queue', (it) => it.Properties.QueueName === name);

test('in both serving Regions of every stage: its own queue, and another for what failed too often', () => {
  for (const { config, stacks } of serving)
    for (const stack of stacks) {
      const tasks = queueIn(stack, restoreQueueName(config.stage, 'tasks'));
      const failed = queueIn(stack, restoreQueueName(config.stage, 'failed'));
      assert.equal(ofType(stack, 'AWS::SQS::Queue').length, 2);
      for (const { Properties } of [tasks, failed])
        assert.ok(Properties.KmsMasterKeyId, 'encrypted with our key');
      assert.deepEqual(tasks.Properties.RedrivePolicy, {
        deadLetterTargetArn: { 'Fn::GetAtt': [failed.id, 'Arn'] },
        maxReceiveCount: 3,
      });
      assert.equal(failed.Properties.RedriveAllowPolicy.redrivePermission, 'byQueue');
      // Lambda: at least six times what the function may take, or a message is shown to two.
      assert.equal(tasks.Properties.VisibilityTimeout, 6 * FUNCTIONS.restore.timeoutS);
      assert.equal(failed.Properties.MessageRetentionPeriod, 14 * 86_400);
      const policies = ofType(stack, 'AWS::SQS::QueuePolicy').map(([, it]) => JSON.stringify(it.Properties));
      for (const queue of [tasks, failed])
        assert.ok(
          policies.some((it) => it.includes(queue.id) && /"aws:SecureTransport":"false"/.test(it)),
          'TLS only',
        );
    }
});

test('as many workers as the stage says, a task each, and what failed is told by task', () => {
  for (const { config, stacks } of serving)
    for (const stack of stacks) {
      const tasks = queueIn(stack, restoreQueueName(config.stage, 'tasks'));
      const { Properties } = only(
        stack,
        'AWS::Lambda::EventSourceMapping',
        (it) =>
          JSON.stringify(it.Properties.EventSourceArn) ===
          JSON.stringify({ 'Fn::GetAtt': [tasks.id, 'Arn'] }),
      );
      assert.deepEqual(
        [Properties.BatchSize, Properties.FunctionResponseTypes, Properties.ScalingConfig],
        [1, ['ReportBatchItemFailures'], { MaximumConcurrency: config.recovery.restoreWorkersMax }],
      );
      assert.match(JSON.stringify(Properties.FunctionName), /:live"|Live/, 'through its alias');
    }
});

test('whatever failed for good is critical, and an idle queue is not', () => {
  for (const { config, stacks } of serving)
    for (const stack of stacks) {
      const alarm = only(
        stack,
        'AWS::CloudWatch::Alarm',
        (it) => it.Properties.AlarmName === `eden-field-${config.stage}-restore-failed`,
      ).Properties;
      assert.deepEqual(
        [alarm.Namespace, alarm.MetricName, alarm.Statistic, alarm.Threshold, alarm.ComparisonOperator],
        ['AWS/SQS', 'ApproximateNumberOfMessagesVisible', 'Maximum', 0, 'GreaterThanThreshold'],
      );
      const failed = queueIn(stack, restoreQueueName(config.stage, 'failed'));
      assert.deepEqual(alarm.Dimensions, [
        { Name: 'QueueName', Value: { 'Fn::GetAtt': [failed.id, 'QueueName'] } },
      ]);
      assert.equal(alarm.TreatMissingData, 'notBreaching');
      assert.match(JSON.stringify(alarm.AlarmActions), new RegExp(`eden-field-${config.stage}-critical`));
    }
});

test('it reads its own Region’s backups and nothing else, and puts under one prefix', () => {
  const [{ stacks }] = serving as [(typeof serving)[number]];
  for (const stack of stacks) {
    const policy = ofType(stack, 'AWS::IAM::Policy')
      .map(([, it]) => it.Properties.PolicyDocument.Statement)
      .find((statements) => statements.some(({ Sid }: { Sid?: string }) => Sid === 'Tasks'));
    assert.ok(policy, stack.name);
    const resourcesOf = (sid: string) =>
      JSON.stringify(policy.find(({ Sid }: { Sid?: string }) => Sid === sid)?.Resource);
    const backups = resourcesOf('Backups');
    for (const prefix of ['hourly', 'daily', 'weekly', 'restoring'])
      assert.ok(backups.includes(`/${prefix}/*`), prefix);
    assert.ok(!backups.includes('journal') && !backups.includes('offsite'));
    assert.ok(!/-backup-(?!us-east-2|us-west-2)/.test(backups));
    assert.ok(backups.split(`-backup-${stack.region}-`).length > 1 && !backups.includes('audit'));
    assert.match(resourcesOf('Results'), /\/restoring\/\*/);
    assert.match(resourcesOf('Tasks'), /Tasks/);
  }
});

test('a stage that declares it keeps the table and its indexes ready for a restore', () => {
  for (const [config, units] of [
    [PROD, PROD.recovery.warmWriteUnitsPerSecond],
    [DEV, undefined],
  ] as const) {
    const data = stackNamed(synthesize(config), `eden-field-${config.stage}-data`);
    const [[, table]] = ofType(data, 'AWS::DynamoDB::GlobalTable') as [[string, Resource]];
    const { WarmThroughput, GlobalSecondaryIndexes } = table.Properties;
    const wanted = units === undefined ? undefined : { WriteUnitsPerSecond: units };
    for (const it of [{ WarmThroughput }, ...GlobalSecondaryIndexes])
      assert.deepEqual(it.WarmThroughput, wanted);
  }
});
