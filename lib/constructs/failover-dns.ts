// The slower, second path of failover, for clients that know one name only (ADR 0001). The primary's record is served
// while the primary answers AND nobody has evacuated it; the standby's takes over when either stops being so. Nothing
// here is called during a failover: Route 53 watches by itself.
import { Alarm, ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { CfnHealthCheck, CfnRecordSet } from 'aws-cdk-lib/aws-route53';
import { Construct } from 'constructs';
import { type Config, regionalName } from '../../config/config.ts';
import { PATHS } from '../../protocol/messages.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { evacuatedAlarmName, healthCheckNames, originName } from '../names.ts';
import { observerMetric } from './observer.ts';
import { onCallTopic } from './on-call-topics.ts';

export interface FailoverDnsProps {
  readonly config: Config;
  readonly domain: NonNullable<Config['domain']>;
}

/** Both children of the primary's check. */
const BOTH = 2;

export class FailoverDns extends Construct {
  constructor(scope: Construct, id: string, props: FailoverDnsProps) {
    super(scope, id);
    const { config, domain } = props;
    const { regions } = config;

    const primary = this.endpointCheck('primary', config, domain.name);
    const standby = this.endpointCheck('standby', config, domain.name);
    const evacuated = this.evacuatedCheck(config);
    const primaryServes = new CfnHealthCheck(this, 'PrimaryServes', {
      healthCheckConfig: {
        type: 'CALCULATED',
        childHealthChecks: [primary.attrHealthCheckId, evacuated.attrHealthCheckId],
        healthThreshold: BOTH,
      },
      healthCheckTags: this.named(healthCheckNames(config.stage).primaryServes),
    });

    this.record('PRIMARY', config, domain, regions.primary, primaryServes);
    // If this one fails too, Route 53 answers with the primary: better than with nothing.
    this.record('SECONDARY', config, domain, regions.standby, standby);
  }

  /** On the Region's own name. A check of the failover name would follow the failover it is meant to cause. */
  private endpointCheck(role: 'primary' | 'standby', config: Config, name: string): CfnHealthCheck {
    const { dns, regions, stage } = config;
    return new CfnHealthCheck(this, role, {
      healthCheckConfig: {
        type: 'HTTPS',
        fullyQualifiedDomainName: regionalName(name, regions[role]),
        port: 443,
        resourcePath: PATHS.health,
        enableSni: true,
        requestInterval: dns.checkIntervalMs / 1_000,
        failureThreshold: dns.checkFailures,
      },
      healthCheckTags: this.named(healthCheckNames(stage)[role]),
    });
  }

  /** Unhealthy while the standby's observer says that the primary is evacuated. The standby owns it, so that a primary
   * which comes back with no memory of its evacuation cannot undo it. */
  private evacuatedCheck(config: Config): CfnHealthCheck {
    const { stage, regions } = config;
    const alarmName = evacuatedAlarmName(stage);
    // Route 53 follows standard-resolution alarms on a plain statistic only: no metric math, composite or percentile.
    // https://docs.aws.amazon.com/Route53/latest/APIReference/API_AlarmIdentifier.html
    const alarm = new Alarm(this, 'Evacuated', {
      alarmName,
      alarmDescription:
        'The primary Region is evacuated: DNS sends everybody to the standby until an operator fails back. ' +
        'Runbook: docs/OPERATING.md#lost-region',
      metric: observerMetric(METRICS.evacuated, { stage, region: regions.standby }),
      threshold: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      evaluationPeriods: 1,
      datapointsToAlarm: 1,
      // A silent observer neither evacuates nor brings back: the latch holds.
      treatMissingData: TreatMissingData.IGNORE,
    });
    alarm.addAlarmAction(new SnsAction(onCallTopic(this, 'Incidents', { stage, severity: 'incident' })));
    const check = new CfnHealthCheck(this, 'NotEvacuated', {
      healthCheckConfig: {
        type: 'CLOUDWATCH_METRIC',
        // By name and Region, as Route 53 wants it; the alarm must be there first.
        alarmIdentifier: { name: alarmName, region: regions.standby },
        // Not inverted: ALARM is unhealthy.
        inverted: false,
        insufficientDataHealthStatus: 'LastKnownStatus',
      },
      healthCheckTags: this.named(healthCheckNames(stage).notEvacuated),
    });
    check.node.addDependency(alarm);
    return check;
  }

  private record(
    failover: 'PRIMARY' | 'SECONDARY',
    { dns }: Config,
    { name, hostedZoneId }: NonNullable<Config['domain']>,
    region: string,
    check: CfnHealthCheck,
  ): void {
    // A CNAME, because an alias to an API has a TTL that cannot be set.
    new CfnRecordSet(this, failover, {
      hostedZoneId,
      name,
      type: 'CNAME',
      ttl: String(dns.ttlMs / 1_000),
      setIdentifier: region,
      failover,
      healthCheckId: check.attrHealthCheckId,
      resourceRecords: [originName(name, region)],
    });
  }

  private named(value: string) {
    return [{ key: 'Name', value }];
  }
}
