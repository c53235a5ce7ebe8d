// A Region's observer: what it watches, from the configuration, and the alarms by which somebody wakes: when it knows that
// nobody may move, and when it says nothing any more (DESIGN §4). Every name here is known before its Region exists, so that no stack waits for another.
import { Duration, Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, Metric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { Construct } from 'constructs';
import { type Config, regionalName, regionsOf } from '../../config/config.ts';
import { METRICS, METRICS_NAMESPACE, type MetricName, SERVICES } from '../../protocol/metrics.ts';
import { failoverPageAlarmName, observerSilentAlarmName } from '../names.ts';
import { onCallTopic } from './on-call-topics.ts';
import { ScheduledFunction, type ScheduledFunctionProps } from './scheduled-function.ts';

export type ObserverProps = Omit<ScheduledFunctionProps, 'name' | 'environment'>;

/** Regions that serve, and are therefore watched. */
const SERVING = ['primary', 'standby'] as const;

/** What observers say in one Region and minute, the largest of it. */
export function observerMetric(
  metricName: MetricName,
  { stage, region }: { readonly stage: string; readonly region: string },
): Metric {
  return new Metric({
    namespace: METRICS_NAMESPACE,
    metricName,
    dimensionsMap: { Stage: stage, Region: region, Service: SERVICES.observer },
    statistic: Stats.MAXIMUM,
    period: Duration.minutes(1),
  });
}

export class Observer extends ScheduledFunction {
  constructor(scope: Construct, id: string, props: ObserverProps) {
    const { config } = props;
    const { domain } = config;
    super(scope, id, {
      ...props,
      name: 'observer',
      // Without a domain no Region knows by which name another is reached: observers beat, but never vote.
      environment: domain ? { OBSERVED: JSON.stringify(observed(Stack.of(scope), config, domain)) } : {},
    });
    if (!domain) return;
    this.page(config);
    this.silence(config);
  }

  private page({ stage }: Config): void {
    const alarm = new Alarm(this, 'FailoverPage', {
      alarmName: failoverPageAlarmName(stage),
      alarmDescription:
        'An observer sees a Region failing and may not move: the reason is in its log. ' +
        'Runbook: docs/OPERATING.md#lost-quorum',
      metric: observerMetric(METRICS.failoverPages, { stage, region: Stack.of(this).region }),
      threshold: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      evaluationPeriods: 1,
      datapointsToAlarm: 1,
      // An observer that is gone has seen nothing, and cannot take back what it said: the alarm below says that it is gone.
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(onCallTopic(this, 'Incidents', { stage, severity: 'incident' })));
  }

  /** One voter less is no outage, but with two less nobody moves the service, and who does not look wakes nobody. */
  private silence({ stage }: Config): void {
    const alarm = new Alarm(this, 'Silence', {
      alarmName: observerSilentAlarmName(stage),
      alarmDescription:
        "This Region's observer does not look at the serving Regions any more, and has no vote. " +
        'Runbook: docs/OPERATING.md#lost-quorum',
      metric: observerMetric(METRICS.healthChecks, { stage, region: Stack.of(this).region }),
      threshold: 1,
      comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
      evaluationPeriods: 1,
      datapointsToAlarm: 1,
      // Silence is what it is about. CloudWatch looks some minutes further back before it takes one as missing, so that a
      // single call that was lost wakes nobody:
      // https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
      treatMissingData: TreatMissingData.BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(onCallTopic(this, 'Critical', { stage, severity: 'critical' })));
  }
}

/** Where the serving Regions answer, and what tells an observer that it is not itself the one that is cut off: a public
 * endpoint in every Region, which answers a plain request.
 * https://docs.aws.amazon.com/general/latest/gr/ddb.html */
function observed({ urlSuffix }: Stack, config: Config, domain: NonNullable<Config['domain']>) {
  const { regions, observers } = config;
  const { probeIntervalMs, probeFailures } = observers;
  return {
    endpoints: Object.fromEntries(
      SERVING.map((role) => [regions[role], `https://${regionalName(domain.name, regions[role])}`]),
    ),
    controls: Object.fromEntries(
      regionsOf(config).map((region) => [region, `https://dynamodb.${region}.${urlSuffix}/`]),
    ),
    probeIntervalMs,
    probeFailures,
  };
}
