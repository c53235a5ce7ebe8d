// A Region's verification of its own backups, and the alarms on what it finds, or does not get to (DESIGN §6).
import { Duration, Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, Metric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import { RETENTION_DAYS, type Severity } from '../../config/promises.ts';
import { LOCK_DAYS } from '../../config/retention.ts';
import { METRICS, METRICS_NAMESPACE, type MetricName, SERVICES } from '../../protocol/metrics.ts';
import { verificationAlarmName } from '../names.ts';
import { backupEnvironment, backupTargets, verificationStatements } from './backup-access.ts';
import { onCallTopic } from './on-call-topics.ts';
import { ScheduledFunction, type ScheduledFunctionProps } from './scheduled-function.ts';

export interface VerificationProps extends Omit<ScheduledFunctionProps, 'name' | 'environment'> {
  /** Of the offsite bucket. @default the Region has none */
  readonly offsiteKey?: IKey | undefined;
}

export class Verification extends ScheduledFunction {
  constructor(scope: Construct, id: string, props: VerificationProps) {
    const { config, key, offsiteKey } = props;
    const stack = Stack.of(scope);
    super(scope, id, {
      ...props,
      name: 'verification',
      environment: {
        ...backupEnvironment(stack, config, offsiteKey?.keyArn),
        BACKUP_LOCKS: JSON.stringify({
          mode: config.retainData ? 'COMPLIANCE' : 'GOVERNANCE',
          // What a bucket locks by itself is long enough for its shortest tier.
          days: Object.fromEntries(Object.entries(RETENTION_DAYS).filter(([, days]) => days > LOCK_DAYS)),
        }),
      },
    });
    for (const statement of verificationStatements(
      stack,
      config,
      backupTargets(key.keyArn, offsiteKey?.keyArn),
    ))
      this.scheduled.function.addToRolePolicy(statement);
    this.alarm(config.stage, 'corrupted');
    this.alarm(config.stage, 'unverified');
  }

  private alarm(stage: string, what: keyof typeof ALARMS): void {
    const { metricName, severity, says, treatMissingData } = ALARMS[what];
    const alarm = new Alarm(this, what, {
      alarmName: verificationAlarmName(stage, what),
      alarmDescription: `${says} Runbook: docs/OPERATING.md#backups`,
      metric: new Metric({
        namespace: METRICS_NAMESPACE,
        metricName,
        dimensionsMap: { Stage: stage, Region: Stack.of(this).region, Service: SERVICES.verification },
        statistic: Stats.MAXIMUM,
        period: Duration.hours(1),
      }),
      threshold: 0,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 2,
      datapointsToAlarm: what === 'corrupted' ? 1 : 2,
      treatMissingData,
    });
    alarm.addAlarmAction(new SnsAction(onCallTopic(this, `Topic-${what}`, { stage, severity })));
  }
}

/** Both metrics stay above 0 for as long as there is something to look at. */
const ALARMS = {
  corrupted: {
    metricName: METRICS.backupCorrupted,
    severity: 'critical',
    says: 'A backup of this Region must not be restored: the log of the verification names the file.',
    // One that says nothing is the other alarm's.
    treatMissingData: TreatMissingData.NOT_BREACHING,
  },
  unverified: {
    metricName: METRICS.backupUnverifiedAge,
    severity: 'warning',
    says: 'A backup of this Region has had no verdict for longer than its tier allows, or nothing is verified here.',
    // A verification that says nothing for hours verifies nothing.
    treatMissingData: TreatMissingData.BREACHING,
  },
} as const satisfies Record<
  string,
  { metricName: MetricName; severity: Severity; says: string; treatMissingData: TreatMissingData }
>;
