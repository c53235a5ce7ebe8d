// The event source mappings of a region as its templates describe them: which stream feeds which function, in what
// batches, and what becomes of a batch that fails. Those of queues are in queue-mappings.ts.
import { AssemblyError, type Deployment, type Resource } from '../assembly/assembly.ts';
import { isFields } from '../assembly/intrinsics.ts';
import { type EventFilter, parsePattern } from './event-filter.ts';
import { isQueue } from './queue-mappings.ts';

export const PLAYED_TYPES: readonly string[] = ['AWS::Lambda::EventSourceMapping'];

export interface EventSourceMapping {
  readonly id: string;
  readonly arn: string;
  /** Name or ARN, with or without an alias or version. */
  readonly functionName: string;
  readonly streamArn: string;
  readonly batchSize: number;
  /** How long a batch that is not full waits for more. */
  readonly batchWindowMs: number;
  /** Where it starts when it has never read. */
  readonly startingPosition: 'TRIM_HORIZON' | 'LATEST';
  /** A batch that fails is tried again in two halves. */
  readonly bisects: boolean;
  /** The function says which records failed; the batch goes on from the first of them. */
  readonly reportsItemFailures: boolean;
  /** `Infinity`: until its records are too old. */
  readonly retriesMax: number;
  readonly recordAgeMsMax: number;
  /** Whether a record is for the function at all. */
  readonly accepts: EventFilter;
}

/** https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html */
const BATCH_SIZE_DEFAULT = 100;
const BATCH_SIZE_MAX = 10_000;
const BATCH_WINDOW_S_MAX = 300;
/** A stream keeps nothing longer. */
const RECORD_AGE_MS_MAX = 24 * 3_600_000;

/** Settings that are played, or change nothing that could be seen. */
const UNDERSTOOD = new Set([
  'BatchSize',
  'BisectBatchOnFunctionError',
  'Enabled',
  'EventSourceArn',
  'FilterCriteria',
  'FunctionName',
  'FunctionResponseTypes',
  'KmsKeyArn',
  'MaximumBatchingWindowInSeconds',
  'MaximumRecordAgeInSeconds',
  'MaximumRetryAttempts',
  'StartingPosition',
  'Tags',
]);

/**
 * The mappings of streams of a region that are enabled, and what of them is not played, in words.
 * @throws AssemblyError a value that Lambda would not take, or a filter that the rehearsal cannot judge
 */
export function mappingsOf(
  deployment: Deployment,
  region: string,
): { mappings: readonly EventSourceMapping[]; notRehearsed: readonly string[] } {
  const notRehearsed: string[] = [];
  const mappings = deployment
    .ofType('AWS::Lambda::EventSourceMapping', region)
    .filter(({ properties: { Enabled } }) => Enabled !== false)
    .filter(({ properties: { EventSourceArn } }) => !isQueue(String(EventSourceArn)))
    .flatMap((resource) => mappingOf(resource, notRehearsed) ?? []);
  return { mappings, notRehearsed };
}

function mappingOf(resource: Resource, notRehearsed: string[]): EventSourceMapping | undefined {
  const { properties, physicalId, arn = physicalId, stack, logicalId } = resource;
  const streamArn = String(properties['EventSourceArn']);
  const isStream = /^arn:[^:]+:dynamodb:[^:]+:\d+:table\/[^/]+\/stream\/.+$/.test(streamArn);
  if (!isStream) {
    notRehearsed.push(`${stack}/${logicalId}: an event source mapping of ${streamArn}`);
    return undefined;
  }
  for (const setting of Object.keys(properties))
    if (!UNDERSTOOD.has(setting))
      notRehearsed.push(`${stack}/${logicalId}: AWS::Lambda::EventSourceMapping ${setting}`);
  const whole = (name: string, min: number, max: number, otherwise: number) =>
    wholeNumber(resource, name, { min, max, otherwise });
  const retries = whole('MaximumRetryAttempts', -1, 10_000, -1);
  const ageS = whole('MaximumRecordAgeInSeconds', -1, 604_800, -1);
  return {
    id: physicalId,
    arn,
    functionName: String(properties['FunctionName']),
    streamArn,
    batchSize: whole('BatchSize', 1, BATCH_SIZE_MAX, BATCH_SIZE_DEFAULT),
    batchWindowMs: whole('MaximumBatchingWindowInSeconds', 0, BATCH_WINDOW_S_MAX, 0) * 1_000,
    startingPosition: startOf(resource),
    bisects: properties['BisectBatchOnFunctionError'] === true,
    reportsItemFailures: [properties['FunctionResponseTypes'] ?? []]
      .flat()
      .includes('ReportBatchItemFailures'),
    retriesMax: retries === -1 ? Number.POSITIVE_INFINITY : retries,
    recordAgeMsMax: ageS === -1 ? RECORD_AGE_MS_MAX : Math.min(ageS * 1_000, RECORD_AGE_MS_MAX),
    accepts: filterOf(resource),
  };
}

function startOf(resource: Resource): 'TRIM_HORIZON' | 'LATEST' {
  const start = resource.properties['StartingPosition'];
  if (start === 'TRIM_HORIZON' || start === 'LATEST') return start;
  throw refusal(
    resource,
    'StartingPosition',
    `expected TRIM_HORIZON or LATEST, got ${JSON.stringify(start)}`,
  );
}

/** Fits when one of the filters does, or there is none. */
function filterOf(resource: Resource): EventFilter {
  const criteria = resource.properties['FilterCriteria'];
  const filters = isFields(criteria) ? criteria['Filters'] : undefined;
  if (!Array.isArray(filters) || filters.length === 0) return () => true;
  const patterns = filters.map((filter, at) => {
    try {
      return parsePattern(String(isFields(filter) ? filter['Pattern'] : filter));
    } catch (cause) {
      throw refusal(
        resource,
        `FilterCriteria.Filters[${at}]`,
        cause instanceof Error ? cause.message : String(cause),
      );
    }
  });
  return (event) => patterns.some((fits) => fits(event));
}

function wholeNumber(
  resource: Resource,
  name: string,
  { min, max, otherwise }: { readonly min: number; readonly max: number; readonly otherwise: number },
): number {
  const value = Number(resource.properties[name] ?? otherwise);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw refusal(
    resource,
    name,
    `expected ${min} to ${max}, got ${JSON.stringify(resource.properties[name])}`,
  );
}

function refusal({ stack, logicalId }: Resource, property: string, why: string): AssemblyError {
  return new AssemblyError(why, { stack, logicalId, path: `Properties.${property}` });
}
