// What a call of ExportTableToPointInTime asks for, checked as DynamoDB checks it: form first, then the export's time
// against what point-in-time recovery holds. The words are those that DynamoDB was seen to answer, where that is known.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExportTableToPointInTime.html
import { isRecord } from '../iam-conditions.ts';
import { commonError, ServiceError, validationError } from '../service-error.ts';
import type { Json } from './dynalite.ts';

export type ViewType = 'NEW_IMAGE' | 'NEW_AND_OLD_IMAGES';

/** Unix ms; the first belongs to it, the last does not. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface ExportRequest {
  readonly tableArn: string;
  readonly tableName: string;
  readonly clientToken: string | undefined;
  readonly bucket: string;
  readonly bucketOwner: string | undefined;
  readonly prefix: string | undefined;
  readonly sseAlgorithm: 'AES256' | 'KMS';
  readonly sseKeyId: string | undefined;
  /** As it was asked for; undefined means full. */
  readonly type: 'FULL_EXPORT' | 'INCREMENTAL_EXPORT' | undefined;
  /** Of a full export, Unix ms; undefined means now. */
  readonly timeMs: number | undefined;
  /** Of an incremental one; without an end: the latest that can be had. */
  readonly incremental:
    | { readonly fromMs: number; readonly toMs: number | undefined; readonly view: ViewType }
    | undefined;
}

/** What point-in-time recovery has of a region's copy. All in Unix ms. */
export interface Reach {
  readonly earliestMs: number;
  /** It trails now. */
  readonly latestMs: number;
  readonly nowMs: number;
}

export interface SpanLimits {
  /** Of an incremental export, in ms. */
  readonly spanMsMin: number;
  readonly spanMsMax: number;
}

const NAMESPACE = 'com.amazonaws.dynamodb.v20120810';
const PATTERNS = {
  S3Bucket: /^[a-z0-9A-Z]+[.\-\w]*[a-z0-9A-Z]+$/,
  S3BucketOwner: /^[0-9]{12}$/,
  ClientToken: /^[^$]+$/,
  S3SseKmsKeyId: /^[\w:/-]+$/,
};
const TEXT_MAX = 1_024;
const BUCKET_NAME_MAX = 255;

export function dynamoDbError(name: string, message: string): ServiceError {
  return new ServiceError(400, { __type: `${NAMESPACE}#${name}`, message });
}

/**
 * @param account whose tables there are
 * @throws {ServiceError} ValidationException, AccessDeniedException for another account's table
 */
export function readExportRequest(input: Json, account: string): ExportRequest {
  const tableArn = required(input, 'TableArn', TEXT_MAX);
  const bucket = required(input, 'S3Bucket', BUCKET_NAME_MAX, PATTERNS.S3Bucket);
  const bucketOwner = text(input, 'S3BucketOwner', TEXT_MAX, PATTERNS.S3BucketOwner);
  const clientToken = text(input, 'ClientToken', TEXT_MAX, PATTERNS.ClientToken);
  const prefix = text(input, 'S3Prefix', TEXT_MAX);
  const sseKeyId = text(input, 'S3SseKmsKeyId', 2_048, PATTERNS.S3SseKmsKeyId);
  const sseAlgorithm = oneOf(input, 'S3SseAlgorithm', ['AES256', 'KMS']) ?? 'AES256';
  const format = oneOf(input, 'ExportFormat', ['DYNAMODB_JSON', 'ION']);
  const type = oneOf(input, 'ExportType', ['FULL_EXPORT', 'INCREMENTAL_EXPORT']);
  const tableName = tableNameOf(tableArn, account);
  if (format === 'ION') throw invalid('The rehearsal does not play ION; it plays DYNAMODB_JSON');
  if (sseKeyId !== undefined && sseAlgorithm !== 'KMS')
    throw invalid('KMS Key Id is not supported for this encryption type');
  return {
    tableArn,
    tableName,
    clientToken,
    bucket,
    bucketOwner,
    prefix: prefix === '' ? undefined : prefix,
    sseAlgorithm,
    sseKeyId,
    type,
    timeMs: time(input, 'ExportTime'),
    incremental: incrementalOf(input['IncrementalExportSpecification'], type),
  };
}

/** The table's name in its ARN; the ARN's Region is not looked at here. */
export function tableNameOf(arn: string, account: string): string {
  const [scheme, , service, , owner, resource = ''] = arn.split(':');
  if (scheme !== 'arn' || service !== 'dynamodb')
    throw validationError('One or more parameter values were invalid: tableArn is not a valid ARN');
  const [kind, name, ...rest] = resource.split('/');
  if (kind !== 'table' || !name || rest.length > 0) throw invalid('Table ARN is invalid.');
  if (owner !== account) throw commonError(400, 'AccessDeniedException', 'Access is denied');
  return name;
}

/**
 * The time a full export shows the table at.
 * @throws {ServiceError} InvalidExportTimeException
 */
export function checkedTime({ timeMs }: ExportRequest, reach: Reach): number {
  if (timeMs === undefined) return reach.nowMs;
  if (timeMs > reach.nowMs || timeMs < reach.earliestMs) throw badTime('Export Time is invalid');
  if (timeMs > reach.latestMs)
    throw badTime('Point in Time Recovery is not available for specified export time');
  return timeMs;
}

/**
 * The span an incremental export shows the changes of.
 * @throws {ServiceError} InvalidExportTimeException
 */
export function checkedSpan(
  { fromMs, toMs: asked }: { readonly fromMs: number; readonly toMs: number | undefined },
  { earliestMs, latestMs, nowMs }: Reach,
  { spanMsMin, spanMsMax }: SpanLimits,
): Span {
  // Whole seconds, as DynamoDB chooses it.
  const toMs = asked ?? Math.floor(latestMs / 1_000) * 1_000;
  const period = 'Incremental export period';
  if (fromMs < earliestMs)
    throw badTime(`${period} from time cannot be less than the table creation time : ${iso(earliestMs)}`);
  if (toMs > nowMs)
    throw badTime(`${period} to time cannot be greater than the current time : ${iso(nowMs)}`);
  if (asked !== undefined && fromMs >= asked)
    throw badTime(`${period} from time should not be greater or equal to incremental export period to time`);
  if (toMs > latestMs) throw badTime('Point in Time Recovery is not available for specified export time');
  const difference = 'Difference between export period from time and export period to time';
  if (toMs - fromMs < spanMsMin) throw badTime(`${difference} is less than ${spanMsMin / 60_000} minutes`);
  if (toMs - fromMs > spanMsMax)
    throw badTime(`${difference} is greater than ${spanMsMax / 3_600_000} hours`);
  return { fromMs, toMs };
}

function incrementalOf(value: unknown, type: ExportRequest['type']): ExportRequest['incremental'] {
  if (value === undefined || value === null) {
    if (type === 'INCREMENTAL_EXPORT')
      throw invalid(
        'Incremental Export Specification expected when export type is set as Incremental Export',
      );
    return undefined;
  }
  if (!isRecord(value)) throw invalid('IncrementalExportSpecification: expected an object');
  const view = oneOf(
    value,
    'ExportViewType',
    ['NEW_IMAGE', 'NEW_AND_OLD_IMAGES'],
    'incrementalExportSpecification.',
  );
  if (type === undefined)
    throw invalid(
      'Export Type expected to be Incremental Export when incremental export specification is provided',
    );
  if (type === 'FULL_EXPORT')
    throw invalid(
      'When Export Type is Full Export , Incremental Export Specification should not be provided',
    );
  const fromMs = time(value, 'ExportFromTime');
  if (fromMs === undefined)
    throw invalid('ExportFromTime must be provided in IncrementalExportSpecification');
  return { fromMs, toMs: time(value, 'ExportToTime'), view: view ?? 'NEW_AND_OLD_IMAGES' };
}

function required(input: Json, name: string, max: number, pattern?: RegExp): string {
  const value = text(input, name, max, pattern);
  if (value !== undefined && value !== '') return value;
  throw constraint(name, null, 'Member must not be null');
}

function text(input: Json, name: string, max: number, pattern?: RegExp): string | undefined {
  const value = input[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw constraint(name, value, 'Member must be a string');
  if (value.length > max)
    throw constraint(name, value, `Member must have length less than or equal to ${max}`);
  if (pattern && !pattern.test(value))
    throw constraint(name, value, `Member must satisfy regular expression pattern: ${pattern.source}`);
  return value;
}

function oneOf<T extends string>(
  input: Readonly<Record<string, unknown>>,
  name: string,
  known: readonly T[],
  path = '',
): T | undefined {
  const value = input[name];
  if (value === undefined || value === null) return undefined;
  const found = known.find((each) => each === value);
  if (found !== undefined) return found;
  throw constraint(name, value, `Member must satisfy enum value set: [${known.join(', ')}]`, path);
}

/** Seconds since 1970, with fractions, as the wire has them. */
function time(input: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = input[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isFinite(value)) return Math.round(value * 1_000);
  throw commonError(
    400,
    'SerializationException',
    `${name}: expected seconds since 1970, got ${typeof value}`,
  );
}

function constraint(name: string, value: unknown, what: string, path = ''): ServiceError {
  const member = path + name.charAt(0).toLowerCase() + name.slice(1);
  const shown = value === null ? 'null' : `'${String(value)}'`;
  return validationError(
    `1 validation error detected: Value ${shown} at '${member}' failed to satisfy constraint: ${what}`,
  );
}

function invalid(message: string): ServiceError {
  return validationError(`Invalid Request: ${message}`);
}

function badTime(message: string): ServiceError {
  return dynamoDbError('InvalidExportTimeException', message);
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
