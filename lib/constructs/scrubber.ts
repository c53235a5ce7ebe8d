// A Region's scrubber of its own replica, and the alarms on damage: what the scrubber knows of, what the services met
// while they served, and that nobody looks any more (DESIGN §6, §7).
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
import type { Construct } from 'constructs';
import { ALERTS, type Severity } from '../../config/promises.ts';
import {
  METRICS,
  METRICS_NAMESPACE,
  type MetricName,
  SERVICES,
  type ServiceName,
} from '../../protocol/metrics.ts';
import { corruptionAlarmName, scrubberSilentAlarmName } from '../names.ts';
import { onCallTopic } from './on-call-topics.ts';
import { ScheduledFunction, type ScheduledFunctionProps } from './scheduled-function.ts';

export type ScrubberProps = Omit<ScheduledFunctionProps, 'name' | 'environment' | 'rate'>;

/** Some 200 MB of records of 1 KB, which at the scrubber's own pace takes the better part of a minute
 * (lambdas/routes/scrubber.ts). */
const ITEMS_DEFAULT = 200_000;
const RUNBOOK = 'Runbook: docs/OPERATING.md#data-corruption';
/** Runs that fail in a row before somebody hears of it. */
const SILENT_RUNS = 3;

export class Scrubber extends ScheduledFunction {
  readonly #stage: string;

  constructor(scope: Construct, id: string, props: ScrubberProps) {
    const { config, role } = props;
    const { scrubIntervalMs, scrubItems = ITEMS_DEFAULT } = config.recovery;
    if (!(scrubIntervalMs >= 60_000 && scrubIntervalMs % 60_000 === 0))
      throw new Error(
        `${Stack.of(scope).stackName} ${id}: recovery.scrubIntervalMs: expected whole minutes, as schedules and alarms have, got ${scrubIntervalMs}`,
      );
    const interval = Duration.millis(scrubIntervalMs);
    super(scope, id, {
      ...props,
      name: 'scrubber',
      environment: { SCRUB_ITEMS: String(scrubItems) },
      rate: interval,
    });
    this.#stage = config.stage;
    this.corruption('scrubber', interval);
    // Whoever gets a damaged record served, or asks for it to be decided on, meets it before a pass comes by.
    if (role !== 'quorum') for (const service of ['api', 'sync'] as const) this.corruption(service);
    // The reconciler, which only there is one.
    if (config.consistency === 'eventual') this.corruption('audit');
    this.silence(interval);
  }

  /** A scrubber says 0 as long as it knows of nothing; without `interval` only what is met is counted. */
  private corruption(service: ServiceName, interval?: Duration): void {
    this.alarm(`Corruption-${service}`, ALERTS.dataCorruption.severity, {
      alarmName: corruptionAlarmName(this.#stage, service),
      alarmDescription: `Items of this Region's replica are not what was written: the log of ${
        interval ? 'the scrubber' : `the functions of ${service}`
      } names them. ${RUNBOOK}`,
      metric: this.metric(METRICS.dataCorruption, service, interval ?? Duration.minutes(1)),
      threshold: ALERTS.dataCorruption.above,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 1,
      datapointsToAlarm: 1,
      // A scrubber that says nothing has not seen a repair. Functions that serve say something only when they meet damage.
      treatMissingData: interval ? TreatMissingData.IGNORE : TreatMissingData.NOT_BREACHING,
    });
  }

  private silence(interval: Duration): void {
    this.alarm('Silence', 'warning', {
      alarmName: scrubberSilentAlarmName(this.#stage),
      alarmDescription: `Nobody looks for damage in this Region's replica. ${RUNBOOK}`,
      metric: this.metric(METRICS.scrubbed, 'scrubber', interval),
      threshold: 1,
      comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
      evaluationPeriods: SILENT_RUNS,
      datapointsToAlarm: SILENT_RUNS,
      // Silence is what it is about.
      treatMissingData: TreatMissingData.BREACHING,
    });
  }

  private metric(metricName: MetricName, service: ServiceName, period: Duration): Metric {
    return new Metric({
      namespace: METRICS_NAMESPACE,
      metricName,
      dimensionsMap: { Stage: this.#stage, Region: Stack.of(this).region, Service: SERVICES[service] },
      statistic: Stats.MAXIMUM,
      period,
    });
  }

  private alarm(id: string, severity: Severity, props: AlarmProps): void {
    const topic = onCallTopic(this, `Topic-${id}`, { stage: this.#stage, severity });
    new Alarm(this, id, props).addAlarmAction(new SnsAction(topic));
  }
}
