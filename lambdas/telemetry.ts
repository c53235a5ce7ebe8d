// Logs and metrics of a function. Metrics are CloudWatch EMF lines under the dimensions Stage, Region, Service
// (DESIGN §7). Neither ever holds a payload or a token: only what is named here gets in.
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { METRICS_NAMESPACE, type MetricName, type ServiceName } from '../protocol/metrics.ts';
import type { Place } from './env.ts';

export interface Sample {
  readonly name: MetricName | `sync_${string}`;
  readonly value: number;
  /** @default 'Count' */
  readonly unit?: 'Count' | 'Milliseconds';
}

export interface Telemetry {
  warn(message: string, facts?: Facts): void;
  error(message: string, error: unknown, facts?: Facts): void;
  /** Writes the samples as one line; `facts` stand beside them in the log and are no dimensions. */
  measure(samples: readonly Sample[], facts?: Facts): void;
}

export type Facts = Readonly<Record<string, string | number | boolean>>;

export function createTelemetry({ stage, region }: Place, service: ServiceName): Telemetry {
  const logger = new Logger({ serviceName: service, persistentKeys: { stage, region } });
  const metrics = new Metrics({ namespace: METRICS_NAMESPACE, serviceName: service });
  // Powertools adds a dimension of its own, `service`; ours are the three that alarms are made for.
  metrics.clearDefaultDimensions();
  metrics.setDefaultDimensions({ Stage: stage, Region: region, Service: service });
  return {
    warn: (message, facts = {}) => logger.warn(message, { ...facts }),
    error: (message, error, facts = {}) =>
      logger.error(message, { ...facts, error: error instanceof Error ? error : new Error(String(error)) }),
    measure(samples, facts = {}) {
      if (samples.length === 0) return;
      for (const { name, value, unit = 'Count' } of samples)
        metrics.addMetric(name, unit === 'Count' ? MetricUnit.Count : MetricUnit.Milliseconds, value);
      for (const [key, fact] of Object.entries(facts)) metrics.addMetadata(key, String(fact));
      metrics.publishStoredMetrics();
    },
  };
}
