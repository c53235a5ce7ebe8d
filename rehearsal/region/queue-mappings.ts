// The event source mappings of a region that feed a function from a queue, as its templates describe them.
import { AssemblyError, type Deployment, type Resource } from '../assembly/assembly.ts';
import { isFields } from '../assembly/intrinsics.ts';

export interface QueueMapping {
  readonly id: string;
  readonly arn: string;
  /** Name or ARN, with or without an alias or version. */
  readonly functionName: string;
  readonly queueArn: string;
  readonly queueUrl: string;
  readonly batchSize: number;
  /** Batches at once. */
  readonly concurrencyMax: number;
  /** The function says which messages failed; the others are done. */
  readonly reportsItemFailures: boolean;
}

/** https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html; without a maximum Lambda begins with five
 * batches at once. */
const BATCH_SIZE = { default: 10, max: 10 } as const;
const CONCURRENCY = { default: 5, min: 2, max: 1_000 } as const;

/** Settings that are played, or change nothing that could be seen. */
const UNDERSTOOD = new Set([
  'BatchSize',
  'Enabled',
  'EventSourceArn',
  'FunctionName',
  'FunctionResponseTypes',
  'ScalingConfig',
  'Tags',
]);

export function isQueue(eventSourceArn: string): boolean {
  return /^arn:[^:]+:sqs:/.test(eventSourceArn);
}

/**
 * Those that are enabled, and what of them is not played, in words.
 * @throws AssemblyError a value that Lambda would not take, or a queue that no template makes
 */
export function queueMappingsOf(
  deployment: Pick<Deployment, 'ofType'>,
  region: string,
): { readonly mappings: readonly QueueMapping[]; readonly notRehearsed: readonly string[] } {
  const found = deployment
    .ofType('AWS::Lambda::EventSourceMapping', region)
    .filter(({ properties }) => isQueue(String(properties['EventSourceArn'])))
    .filter(({ properties: { Enabled } }) => Enabled !== false);
  const queues = deployment.ofType('AWS::SQS::Queue', region);
  return {
    mappings: found.map((resource) => mappingOf(resource, queues)),
    notRehearsed: found.flatMap(({ stack, logicalId, properties }) =>
      Object.keys(properties)
        .filter((setting) => !UNDERSTOOD.has(setting))
        .map((setting) => `${stack}/${logicalId}: AWS::Lambda::EventSourceMapping ${setting}`),
    ),
  };
}

function mappingOf(resource: Resource, queues: readonly Resource[]): QueueMapping {
  const { properties, physicalId, arn = physicalId, stack, logicalId } = resource;
  const queueArn = String(properties['EventSourceArn']);
  const queue = queues.find((it) => it.arn === queueArn);
  const refuse = (property: string, why: string) =>
    new AssemblyError(why, { stack, logicalId, path: `Properties.${property}` });
  if (!queue) throw refuse('EventSourceArn', `expected a queue of this region, got ${queueArn}`);
  const whole = (property: string, value: unknown, min: number, max: number, otherwise: number) => {
    const number = Number(value ?? otherwise);
    if (Number.isInteger(number) && number >= min && number <= max) return number;
    throw refuse(property, `expected ${min} to ${max}, got ${JSON.stringify(value)}`);
  };
  const scaling = properties['ScalingConfig'];
  const most = isFields(scaling) ? scaling['MaximumConcurrency'] : undefined;
  return {
    id: physicalId,
    arn,
    functionName: String(properties['FunctionName']),
    queueArn,
    queueUrl: queue.physicalId,
    batchSize: whole('BatchSize', properties['BatchSize'], 1, BATCH_SIZE.max, BATCH_SIZE.default),
    concurrencyMax: whole(
      'ScalingConfig.MaximumConcurrency',
      most,
      CONCURRENCY.min,
      CONCURRENCY.max,
      CONCURRENCY.default,
    ),
    reportsItemFailures: [properties['FunctionResponseTypes'] ?? []]
      .flat()
      .includes('ReportBatchItemFailures'),
  };
}
