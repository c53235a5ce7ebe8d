// Metrics as functions write them: CloudWatch's embedded metric format, one JSON object a line of the log.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
import { isFields } from '../assembly/intrinsics.ts';
import type { MetricPoint } from '../supervisor/messages.ts';

interface MetricDirective {
  readonly Namespace: string;
  readonly Dimensions: readonly (readonly string[])[];
  readonly Metrics: readonly { readonly Name: string; readonly Unit?: string }[];
}

/** The points a log line holds, one per metric and dimension set; undefined when it is no metric line. */
export function metricPointsOf(line: string): readonly MetricPoint[] | undefined {
  // Most lines are none: look before parsing.
  if (!line.startsWith('{') || !line.includes('"_aws"')) return undefined;
  let members: unknown;
  try {
    members = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isFields(members) || !isFields(members['_aws'])) return undefined;
  const { Timestamp, CloudWatchMetrics } = members['_aws'];
  if (typeof Timestamp !== 'number' || !Array.isArray(CloudWatchMetrics)) return undefined;
  return CloudWatchMetrics.filter(isDirective).flatMap((directive) =>
    pointsOf(directive, members, Timestamp),
  );
}

function isDirective(value: unknown): value is MetricDirective {
  return (
    isFields(value) &&
    typeof value['Namespace'] === 'string' &&
    Array.isArray(value['Dimensions']) &&
    Array.isArray(value['Metrics'])
  );
}

function pointsOf(
  { Namespace, Dimensions, Metrics }: MetricDirective,
  members: Readonly<Record<string, unknown>>,
  timestampMs: number,
): readonly MetricPoint[] {
  return Metrics.flatMap(({ Name, Unit }) => {
    const values = [members[Name]].flat().filter((value) => typeof value === 'number');
    // CloudWatch, too, drops a metric that has no value in its line.
    if (values.length === 0) return [];
    return Dimensions.map((set) => ({
      namespace: Namespace,
      name: Name,
      dimensions: Object.fromEntries(set.map((dimension) => [dimension, String(members[dimension])])),
      timestampMs,
      values,
      ...(Unit === undefined ? {} : { unit: Unit }),
    }));
  });
}
