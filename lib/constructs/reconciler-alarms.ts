// What wakes somebody while a reconciler can still be helped (docs/GOVCLOUD.md): it fails and its shard waits behind that, or
// it is so far behind that pulls may pass what comes late. What it has not read after 24 h the stream has forgotten.
import { Duration, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  type AlarmProps,
  ComparisonOperator,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Construct } from 'constructs';
import { FEED_SETTLE_MS } from '../../protocol/limits.ts';
import { METRICS, METRICS_NAMESPACE, SERVICES } from '../../protocol/metrics.ts';
import { reconcilerAlarmName } from '../names.ts';
import { onCallTopic } from './on-call-topics.ts';

export interface ReconcilerAlarmsProps {
  readonly stage: string;
  /** The reconciler's, as it is called in its Region. */
  readonly functionName: string;
}

const RUNBOOK = 'Runbook: docs/GOVCLOUD.md#a-reconciler-that-fails-or-falls-behind';
/** A checkpoint stays so far behind what is complete; replication may take one half, the reconciler the other. */
const BEHIND_MS = FEED_SETTLE_MS / 2;

export class ReconcilerAlarms extends Construct {
  constructor(scope: Construct, id: string, { stage, functionName }: ReconcilerAlarmsProps) {
    super(scope, id);
    const topic = new SnsAction(onCallTopic(this, 'Critical', { stage, severity: 'critical' }));
    const shared = {
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      // A failure that passes is made good by the next delivery, a burst by the next minute.
      evaluationPeriods: 5,
      datapointsToAlarm: 3,
      // No changes, no trouble.
      treatMissingData: TreatMissingData.NOT_BREACHING,
    } satisfies Partial<AlarmProps>;
    const alarms = [
      new Alarm(this, 'Failing', {
        ...shared,
        alarmName: reconcilerAlarmName(stage, 'failing'),
        alarmDescription: `Records that two replicas wrote at once cannot be brought together. ${RUNBOOK}`,
        metric: new Metric({
          namespace: METRICS_NAMESPACE,
          metricName: METRICS.reconcileFailures,
          dimensionsMap: { Stage: stage, Region: Stack.of(this).region, Service: SERVICES.audit },
          statistic: Stats.MAXIMUM,
          period: Duration.minutes(1),
        }),
        threshold: 1,
      }),
      new Alarm(this, 'Behind', {
        ...shared,
        alarmName: reconcilerAlarmName(stage, 'behind'),
        alarmDescription: `The reconciler is behind its stream, which keeps 24 h. ${RUNBOOK}`,
        // https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
        metric: new Metric({
          namespace: 'AWS/Lambda',
          metricName: 'IteratorAge',
          dimensionsMap: { FunctionName: functionName },
          statistic: Stats.MAXIMUM,
          period: Duration.minutes(1),
        }),
        threshold: BEHIND_MS,
      }),
    ];
    for (const alarm of alarms) alarm.addAlarmAction(topic);
  }
}
