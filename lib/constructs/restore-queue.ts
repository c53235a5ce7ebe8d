// The restore function of a serving Region, and the queue it takes its tasks from (DESIGN §6): so many at once as the
// stage says, each tried a few times and then put aside, which wakes somebody. While no restore is under way it costs
// nothing, and there is nothing to be deployed first when one has to be.
import { Duration, type RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { EventSourceMapping } from 'aws-cdk-lib/aws-lambda';
import { Queue, QueueEncryption, RedrivePermission } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Config, Role } from '../../config/config.ts';
import { FUNCTIONS } from '../functions.ts';
import { restoreFailedAlarmName, restoreQueueName } from '../names.ts';
import { backupBuckets } from './journal-access.ts';
import { LiveAlias } from './live-alias.ts';
import { onCallTopic } from './on-call-topics.ts';
import { restoreStatements } from './restore-access.ts';
import { ServiceFunction } from './service-function.ts';

export interface RestoreQueueProps {
  readonly config: Config;
  readonly role: Role;
  readonly key: IKey;
  readonly keyId: string;
  readonly removalPolicy: RemovalPolicy;
}

/** Times the function's timeout, as Lambda recommends; what merely failed is shown again far sooner, by the function.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html */
const VISIBILITY_TIMEOUTS = 6;
const DELIVERIES_MAX = 3;
/** A restore that is not over by then has been given up; its tasks do nothing any more. */
const TASKS_KEPT = Duration.days(1);
/** As long as SQS keeps anything. */
const FAILED_KEPT = Duration.days(14);

export class RestoreQueue extends Construct {
  constructor(scope: Construct, id: string, props: RestoreQueueProps) {
    super(scope, id);
    const { config, role, key, keyId, removalPolicy } = props;
    const { stage, recovery } = config;
    const stack = Stack.of(this);
    // Never kept beyond the stack: nothing in them is of any worth, and their names are needed again.
    const shared = { encryption: QueueEncryption.KMS, encryptionMasterKey: key, enforceSSL: true };
    const name = restoreQueueName(stage, 'tasks');
    const failed = new Queue(this, 'Failed', {
      ...shared,
      queueName: restoreQueueName(stage, 'failed'),
      retentionPeriod: FAILED_KEPT,
      redriveAllowPolicy: {
        redrivePermission: RedrivePermission.BY_QUEUE,
        sourceQueues: [
          Queue.fromQueueArn(this, 'Source', stack.formatArn({ service: 'sqs', resource: name })),
        ],
      },
    });
    const tasks = new Queue(this, 'Tasks', {
      ...shared,
      queueName: name,
      retentionPeriod: TASKS_KEPT,
      visibilityTimeout: Duration.seconds(VISIBILITY_TIMEOUTS * FUNCTIONS.restore.timeoutS),
      deadLetterQueue: { queue: failed, maxReceiveCount: DELIVERIES_MAX },
    });
    const restore = new ServiceFunction(this, 'Restore', {
      ...{ config, role, name: 'restore', key, keyId, removalPolicy },
      environment: {
        BACKUP_BUCKETS: JSON.stringify(backupBuckets(stack, config)),
        QUEUE_URL: tasks.queueUrl,
      },
    });
    for (const statement of restoreStatements(stack, config, key.keyArn, tasks.queueArn))
      restore.function.addToRolePolicy(statement);
    const { callee } = new LiveAlias(this, 'Live', { of: restore });
    new EventSourceMapping(this, 'Mapping', {
      target: callee,
      eventSourceArn: tasks.queueArn,
      // A task is work for a minute or so.
      batchSize: 1,
      reportBatchItemFailures: true,
      maxConcurrency: recovery.restoreWorkersMax,
    });
    this.alarm(stage, failed);
  }

  private alarm(stage: string, failed: Queue): void {
    const alarm = new Alarm(this, 'FailedAlarm', {
      alarmName: restoreFailedAlarmName(stage),
      alarmDescription:
        'A task of a restore failed too often, and the restore cannot end without it. Runbook: docs/OPERATING.md#restore-everything',
      metric: failed.metricApproximateNumberOfMessagesVisible({
        statistic: Stats.MAXIMUM,
        period: Duration.minutes(1),
      }),
      threshold: 0,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 1,
      // SQS says nothing of a queue that has been idle for hours.
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(onCallTopic(this, 'Topic', { stage, severity: 'critical' })));
  }
}
