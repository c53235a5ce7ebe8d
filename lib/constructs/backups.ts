// A Region's backup function: a schedule a tier, and the alarms on copies that are missing (DESIGN §6). Every Region has
// the same and needs no other; the one with the offsite bucket makes that tier beside its own.
import { Aws, Duration, type RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, Metric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  ContextAttribute,
  Schedule,
  ScheduleExpression,
  ScheduleTargetInput,
} from 'aws-cdk-lib/aws-scheduler';
import { LambdaInvoke } from 'aws-cdk-lib/aws-scheduler-targets';
import { Construct } from 'constructs';
import type { Config, Role as RegionRole } from '../../config/config.ts';
import { BACKUP_FAILURES_MAX } from '../../config/promises.ts';
import type { BackupTier } from '../../protocol/backups.ts';
import { METRICS, METRICS_NAMESPACE, SERVICES } from '../../protocol/metrics.ts';
import { backupAlarmName, functionName } from '../names.ts';
import {
  backupEnvironment,
  backupStatements,
  backupTargets,
  knownRoleName,
  tableArnIn,
  thirdCopyStatements,
} from './backup-access.ts';
import { LiveAlias } from './live-alias.ts';
import type { Offsite } from './offsite.ts';
import { onCallTopic } from './on-call-topics.ts';
import { ServiceFunction } from './service-function.ts';

export interface BackupsProps {
  readonly config: Config;
  readonly role: RegionRole;
  readonly key: IKey;
  readonly keyId: string;
  /** Where this Region's offsite copies go. @default it makes none */
  readonly offsite?: Offsite | undefined;
  /** The offsite copies that count as the third one of every backup. @default there are three Regions */
  readonly thirdCopy?: Offsite | undefined;
  readonly removalPolicy: RemovalPolicy;
}

/** Twenty minutes past, when the start of the tick can be restored (lambdas/core/backup-plan.ts); weeks begin on Monday. */
const EVERY: Readonly<Record<BackupTier, ScheduleExpression>> = {
  hourly: ScheduleExpression.cron({ minute: '20' }),
  daily: ScheduleExpression.cron({ minute: '20', hour: '0' }),
  weekly: ScheduleExpression.cron({ minute: '20', hour: '0', weekDay: 'MON' }),
  offsite: ScheduleExpression.cron({ minute: '20', hour: '0', day: '1' }),
};
const LATE_MAX = Duration.minutes(30);

export class Backups extends Construct {
  constructor(scope: Construct, id: string, props: BackupsProps) {
    super(scope, id);
    const { config, role, key, keyId, offsite, thirdCopy, removalPolicy } = props;
    const stack = Stack.of(this);
    const targets = backupTargets(stack, config, key.keyArn, offsite);
    const backup = new ServiceFunction(this, 'Backup', {
      config,
      role,
      name: 'backup',
      key,
      keyId,
      roleName: knownRoleName(stack, config, 'backup', offsite),
      environment: {
        ...backupEnvironment(stack, config, offsite),
        ...(thirdCopy && {
          THIRD_COPY: JSON.stringify({ bucket: thirdCopy.bucket, region: thirdCopy.region }),
        }),
        KEY_ARN: key.keyArn,
        TABLE_ARN: tableArnIn(stack, config),
      },
      removalPolicy,
    });
    for (const statement of [
      ...backupStatements(stack, config, keyId, targets),
      // Who makes it may read it anyway.
      ...(thirdCopy && !offsite ? thirdCopyStatements(stack, thirdCopy) : []),
    ])
      backup.function.addToRolePolicy(statement);
    const { alias, callee } = new LiveAlias(this, 'Live', { of: backup });
    // The schedule's call is asynchronous, so that Lambda has a queue and retries of its own beside the schedule's. Asking
    // again asks for the same.
    alias.configureAsyncInvoke({ retryAttempts: 1, maxEventAge: LATE_MAX });
    const invoker = new Role(this, 'ScheduleRole', {
      description: 'Lets the schedules call the backup function',
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    });
    for (const tier of targets.flatMap(({ tiers }) => tiers))
      new Schedule(this, tier, {
        scheduleName: functionName(config.stage, `backup-${tier}`),
        description: `The ${tier} backup of this Region's replica`,
        schedule: EVERY[tier],
        target: new LambdaInvoke(callee, {
          input: ScheduleTargetInput.fromObject({ tier, at: ContextAttribute.scheduledTime }),
          // The default is 185 retries over 24 h; what is missed, the next hour makes up for.
          retryAttempts: 1,
          maxEventAge: LATE_MAX,
          role: invoker,
        }),
      });
    this.alarm(config, 'warning', 0);
    this.alarm(config, 'critical', BACKUP_FAILURES_MAX);
  }

  private alarm({ stage }: Config, severity: 'warning' | 'critical', copies: number): void {
    const alarm = new Alarm(this, `Copies-${severity}`, {
      alarmName: backupAlarmName(stage, severity),
      alarmDescription:
        `More than ${copies} of the copies of a backup are missing: the function's log says which. ` +
        'Runbook: docs/OPERATING.md#backups',
      metric: new Metric({
        namespace: METRICS_NAMESPACE,
        metricName: METRICS.backupReplicasFailed,
        dimensionsMap: { Stage: stage, Region: Stack.of(this).region, Service: SERVICES.backup },
        statistic: Stats.MAXIMUM,
        period: Duration.hours(1),
      }),
      threshold: copies,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 2,
      datapointsToAlarm: 1,
      // A Region that counts nothing for two hours backs up nothing either: one copy less. That more are gone is for the
      // other Regions to say.
      treatMissingData: severity === 'warning' ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(onCallTopic(this, `Topic-${severity}`, { stage, severity })));
  }
}
