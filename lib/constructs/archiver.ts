// The archiver of a Region: reads its own replica's stream into its own audit bucket and its own journal, so that no
// Region's depends on another's (PROTOCOL 4.3, DESIGN §6). Where two replicas follow each other the reconciler stands in
// its place, which does the same first: a global table's stream should have one reader (ADR 0015).
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
import { Duration, type RemovalPolicy, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  type AlarmProps,
  ComparisonOperator,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { EventSourceMapping, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Config, Role } from '../../config/config.ts';
import { JOURNAL_LAG_MS_MAX } from '../../config/promises.ts';
import { METRICS, METRICS_NAMESPACE, type MetricName, SERVICES } from '../../protocol/metrics.ts';
import { journalAlarmName } from '../names.ts';
import { LiveAlias } from './live-alias.ts';
import { onCallTopic } from './on-call-topics.ts';
import { ReconcilerAlarms } from './reconciler-alarms.ts';
import { ReplicaStream } from './replica-stream.ts';
import { ServiceFunction } from './service-function.ts';

export interface ArchiverProps {
  readonly config: Config;
  readonly role: Role;
  readonly key: IKey;
  readonly keyId: string;
  readonly removalPolicy: RemovalPolicy;
}

/** What every replica loses at once is at most as old as this and a put, as far as the journal goes. */
const BATCH_WINDOW = Duration.seconds(1);
/** A segment of the journal each. Reconciling goes one change after the other, so there a batch must not be long. */
const BATCH_RECORDS = { strong: 1_000, eventual: 100 };
/** Batches of one shard at once, by key: one that waits for another Region's bucket does not hold up the others. */
const BATCHES_AT_ONCE = 2;

export class Archiver extends Construct {
  constructor(scope: Construct, id: string, props: ArchiverProps) {
    super(scope, id);
    const { config, role, key, keyId, removalPolicy } = props;
    const strong = config.consistency === 'strong';
    const reader = new ServiceFunction(this, strong ? 'Archiver' : 'Reconciler', {
      config,
      role,
      name: strong ? 'archiver' : 'reconciler',
      key,
      keyId,
      removalPolicy,
    });
    const { callee } = new LiveAlias(this, 'Live', { of: reader });
    const { streamArn } = new ReplicaStream(this, 'Stream', { config, key, removalPolicy });
    new EventSourceMapping(this, 'Mapping', {
      target: callee,
      eventSourceArn: streamArn,
      // Whatever the stream still has: archiving twice archives once.
      startingPosition: StartingPosition.TRIM_HORIZON,
      batchSize: BATCH_RECORDS[config.consistency],
      maxBatchingWindow: BATCH_WINDOW,
      parallelizationFactor: BATCHES_AT_ONCE,
      // Every change is the journal's, the Region's own control items too: their beat shows that nothing is missing.
      // What failed is delivered again with what came behind it in its shard, and again until the stream drops it after
      // its 24 h: neither attempts nor age are limited. Hence no destination for failures either: what expires here stands
      // in another Region's audit bucket and journal, or still in the outbox (ADR 0012, 0015).
      // https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
      reportBatchItemFailures: true,
      bisectBatchOnError: true,
    });
    this.alarms(config);
    if (!strong)
      new ReconcilerAlarms(this, 'Alarms', { stage: config.stage, functionName: reader.functionName });
  }

  /** One Region's journal is one copy of three: a warning. */
  private alarms({ stage }: Config): void {
    const { region } = Stack.of(this);
    const metric = (metricName: MetricName, statistic: string) =>
      new Metric({
        namespace: METRICS_NAMESPACE,
        metricName,
        dimensionsMap: { Stage: stage, Region: region, Service: SERVICES.audit },
        statistic,
        period: Duration.minutes(1),
      });
    const topic = onCallTopic(this, 'Warnings', { stage, severity: 'warning' });
    const alarm = (id: string, props: Omit<AlarmProps, 'comparisonOperator' | 'evaluationPeriods'>) =>
      new Alarm(this, id, {
        ...props,
        comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluationPeriods: 1,
        datapointsToAlarm: 1,
      }).addAlarmAction(new SnsAction(topic));
    alarm('JournalLag', {
      alarmName: journalAlarmName(stage, 'lag'),
      alarmDescription:
        "This Region's journal is more than a minute behind, or silent. Runbook: docs/OPERATING.md#journal",
      metric: metric(METRICS.journalLag, Stats.MAXIMUM),
      threshold: JOURNAL_LAG_MS_MAX,
      // Observers beat every 5 s, so a stream is never quiet: a journal that says nothing is not being written.
      treatMissingData: TreatMissingData.BREACHING,
    });
    alarm('JournalParked', {
      alarmName: journalAlarmName(stage, 'parked'),
      alarmDescription:
        'Changes stand beside the journal, since it could not take them. Runbook: docs/OPERATING.md#journal',
      metric: metric(METRICS.journalParked, Stats.SUM),
      threshold: 0,
      // What is silent is the other alarm's.
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
  }
}
