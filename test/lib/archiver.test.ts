// A Region's archiver as the templates make it: what feeds it, and who hears of a journal that is behind.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FUNCTIONS } from '../../lib/functions.ts';
import { DEV, only, type Resource, type Stack, stackNamed, synthesize } from './assembly.ts';

const stacks = synthesize(DEV);
const everywhere = ['service-primary', 'service-standby', 'quorum'].map((layer) =>
  stackNamed(stacks, `eden-field-dev-${layer}`),
);

function aliasOf(stack: Stack) {
  const { id } = only(
    stack,
    'AWS::Lambda::Function',
    (it) => it.Properties.FunctionName === 'eden-field-dev-archiver',
  );
  return only(stack, 'AWS::Lambda::Alias', (it) => it.Properties.FunctionName.Ref === id);
}

/** The other one feeds the restore function from its queue. */
const isOfStream = ({ Properties }: Resource) => Properties.StartingPosition !== undefined;

test('an archiver reads its own Region’s stream from its beginning, until what failed is archived', () => {
  for (const stack of everywhere) {
    const { id, Properties: lookup } = only(stack, 'Custom::AWS');
    const {
      Tags: _,
      FunctionName,
      ...mapping
    } = only(stack, 'AWS::Lambda::EventSourceMapping', isOfStream).Properties;
    // The name in the alias's own ARN, and the alias.
    assert.match(JSON.stringify(FunctionName), new RegExp(`${aliasOf(stack).id}.*:live`));
    assert.deepEqual(mapping, {
      EventSourceArn: { 'Fn::GetAtt': [id, 'Table.LatestStreamArn'] },
      StartingPosition: 'TRIM_HORIZON',
      // Every change, since each is the journal's; neither attempts nor age are limited.
      BatchSize: 1_000,
      MaximumBatchingWindowInSeconds: 1,
      ParallelizationFactor: 2,
      BisectBatchOnFunctionError: true,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    });
    for (const call of [lookup.Create, lookup.Update])
      assert.deepEqual(JSON.parse(call), {
        service: 'DynamoDB',
        action: 'describeTable',
        parameters: { TableName: 'eden-field-dev-records' },
        physicalResourceId: { id: 'eden-field-dev-records' },
        outputPaths: ['Table.LatestStreamArn'],
      });
    assert.equal(lookup.Delete, undefined, 'nothing was made, so nothing is to be removed');
    assert.equal(lookup.InstallLatestAwsSdk, false);
  }
});

test('a journal that is a minute behind, or silent, warns; so does one that something is put beside', () => {
  for (const stack of everywhere) {
    const alarm = (name: string) =>
      only(
        stack,
        'AWS::CloudWatch::Alarm',
        (it) => it.Properties.AlarmName === `eden-field-dev-journal-${name}`,
      ).Properties;
    for (const { AlarmActions, Dimensions, Namespace, Period, ComparisonOperator } of [
      alarm('lag'),
      alarm('parked'),
    ]) {
      assert.match(JSON.stringify(AlarmActions), /eden-field-dev-warning/);
      assert.deepEqual([Namespace, Period, ComparisonOperator], ['EdenField', 60, 'GreaterThanThreshold']);
      assert.deepEqual(
        Object.fromEntries(
          Dimensions.map(({ Name, Value }: { Name: string; Value: string }) => [Name, Value]),
        ),
        { Stage: 'dev', Region: stack.region, Service: FUNCTIONS.archiver.service },
      );
    }
    const { MetricName, Statistic, Threshold, EvaluationPeriods, DatapointsToAlarm, TreatMissingData } =
      alarm('lag');
    assert.deepEqual(
      [MetricName, Statistic, Threshold, EvaluationPeriods, DatapointsToAlarm, TreatMissingData],
      ['journal_lag', 'Maximum', 60_000, 1, 1, 'breaching'],
    );
    const parked = alarm('parked');
    assert.deepEqual(
      [
        parked.MetricName,
        parked.Statistic,
        parked.Threshold,
        parked.EvaluationPeriods,
        parked.TreatMissingData,
      ],
      ['journal_parked', 'Sum', 0, 1, 'notBreaching'],
    );
  }
});
