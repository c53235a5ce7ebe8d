// A Region's verification of its own backups, and of its own journal and audit archive, and the alarms on what it finds,
// or does not get to (DESIGN §6).
import { Duration, Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, Metric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { Construct } from 'constructs';
import { RETENTION_DAYS, type Severity } from '../../config/promises.ts';
import { LOCK_DAYS } from '../../config/retention.ts';
import { METRICS, METRICS_NAMESPACE, type MetricName, SERVICES } from '../../protocol/metrics.ts';
import { auditGapsAlarmName, journalAlarmName, scratchPrefix, verificationAlarmName } from '../names.ts';
import {
  backupEnvironment,
  backupTargets,
  knownRoleName,
  scratchStatements,
  verificationStatements,
} from './backup-access.ts';
import { journalCareStatements } from './journal-access.ts';
import type { Offsite } from './offsite.ts';
import { onCallTopic } from './on-call-topics.ts';
import { ScheduledFunction, type ScheduledFunctionProps } from './scheduled-function.ts';

export interface VerificationProps extends Omit<ScheduledFunctionProps, 'name' | 'roleName' | 'environment'> {
  /** Where this Region's offsite copies stand. @default it makes none */
  readonly offsite?: Offsite | undefined;
}

export class Verification extends ScheduledFunction {
  constructor(scope: Construct, id: string, props: VerificationProps) {
    const { config, key, keyId, offsite } = props;
    const stack = Stack.of(scope);
    super(scope, id, {
      ...props,
      name: 'verification',
      roleName: knownRoleName(stack, config, 'verification', offsite),
      environment: {
        ...backupEnvironment(stack, config, offsite),
        KEY_ARN: key.keyArn,
        SCRATCH_PREFIX: scratchPrefix(config.stage),
        BACKUP_LOCKS: JSON.stringify({
          mode: config.retainData ? 'COMPLIANCE' : 'GOVERNANCE',
          // What a bucket locks by itself is long enough for its shortest tier.
          days: Object.fromEntries(Object.entries(RETENTION_DAYS).filter(([, days]) => days > LOCK_DAYS)),
        }),
      },
    });
    for (const statement of [
      ...verificationStatements(stack, backupTargets(stack, config, key.keyArn, offsite)),
      ...scratchStatements(stack, config, key.keyArn),
      ...journalCareStatements(stack, config, keyId),
    ])
      this.scheduled.function.addToRolePolicy(statement);
    for (const it of alarmsOf(config.stage)) this.alarm(config.stage, it);
  }

  private alarm(stage: string, it: VerificationAlarm): void {
    const { id, name, metricName, severity, says, runbook, datapoints, treatMissingData } = it;
    const alarm = new Alarm(this, id, {
      alarmName: name,
      alarmDescription: `${says} Runbook: docs/OPERATING.md#${runbook}`,
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
      datapointsToAlarm: datapoints,
      treatMissingData,
    });
    alarm.addAlarmAction(new SnsAction(onCallTopic(this, `Topic-${id}`, { stage, severity })));
  }
}

interface VerificationAlarm {
  readonly id: string;
  readonly name: string;
  readonly metricName: MetricName;
  readonly severity: Severity;
  readonly says: string;
  /** Heading in docs/OPERATING.md. */
  readonly runbook: string;
  /** Of two hours. */
  readonly datapoints: 1 | 2;
  readonly treatMissingData: TreatMissingData;
}

/** Every metric stays above 0 for as long as there is something to look at. */
function alarmsOf(stage: string): readonly VerificationAlarm[] {
  // A verification that says nothing for hours verifies nothing, and is one alarm's.
  const { BREACHING, NOT_BREACHING } = TreatMissingData;
  return [
    {
      id: 'corrupted',
      name: verificationAlarmName(stage, 'corrupted'),
      metricName: METRICS.backupCorrupted,
      severity: 'critical',
      says: 'A backup of this Region must not be restored: the log of the verification names the file.',
      runbook: 'backups',
      datapoints: 1,
      treatMissingData: NOT_BREACHING,
    },
    {
      id: 'unverified',
      name: verificationAlarmName(stage, 'unverified'),
      metricName: METRICS.backupUnverifiedAge,
      severity: 'warning',
      says: 'A backup of this Region has had no verdict for longer than its tier allows, or nothing is verified here.',
      runbook: 'backups',
      datapoints: 2,
      treatMissingData: BREACHING,
    },
    {
      id: 'journal-gaps',
      name: journalAlarmName(stage, 'gaps'),
      metricName: METRICS.journalGaps,
      severity: 'warning',
      says: "This Region's journal lacks changes that no other Region's has: the log of the verification names them.",
      runbook: 'journal',
      datapoints: 1,
      treatMissingData: NOT_BREACHING,
    },
    {
      id: 'audit-gaps',
      name: auditGapsAlarmName(stage),
      metricName: METRICS.auditGaps,
      severity: 'warning',
      says: "This Region's audit archive lacks entries that no other Region's has: the log of the verification names them.",
      runbook: 'journal',
      datapoints: 1,
      treatMissingData: NOT_BREACHING,
    },
  ];
}
