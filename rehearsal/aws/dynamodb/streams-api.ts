// The DynamoDB Streams API over the tables' streams: which stream, which permission, which place in it. An iterator says
// where it stands in the stream and when it was made, so that nothing about readers is kept here.
import { createHash } from 'node:crypto';
import { STREAM_LABEL } from '../../assembly/resource-types.ts';
import type { Access } from '../iam-policy.ts';
import { commonError, ServiceError, validationError } from '../service-error.ts';
import type { Json } from './dynalite.ts';
import type { StreamRecord, TableStream } from './streams.ts';

export const STREAMS_PREFIX = 'DynamoDBStreams_20120810';

const NAMESPACE = 'com.amazonaws.dynamodb.streams.v20120810';
/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html */
const RECORDS_MAX = 1_000;
const RECORD_BYTES_MAX = 1024 * 1024;
const ITERATOR_MS_MAX = 15 * 60_000;
const LISTED_MAX = 100;
/** A region's one shard. */
const SHARD_ID = 'shardId-00000001700000000000-eden0001';

export interface StreamsCall {
  /** E.g. `GetRecords`. */
  readonly operation: string;
  readonly input: Json;
  /** The region whose endpoint is called. */
  readonly region: string;
  /** @throws {ServiceError} AccessDeniedException */
  readonly authorize: (access: Access) => void;
}

/** A table's stream and, by region, the customer's key that encrypts the table. */
export interface EncryptedStream {
  readonly stream: TableStream;
  readonly keyArns: ReadonlyMap<string, string>;
}

type Handler = (call: StreamsCall) => Json;

export function streamArn(region: string, account: string, tableName: string): string {
  return `arn:aws:dynamodb:${region}:${account}:table/${tableName}/stream/${STREAM_LABEL}`;
}

/** 21 digits, so that they compare as text as their sequences do. */
export function sequenceNumber(sequence: number): string {
  return `1${String(sequence).padStart(20, '0')}`;
}

export class DynamoDbStreams {
  readonly #streams: ReadonlyMap<string, EncryptedStream>;
  readonly #account: string;
  readonly #now: () => number;
  readonly #handlers: Readonly<Record<string, Handler>> = {
    ListStreams: (call) => this.#list(call),
    DescribeStream: (call) => this.#describe(call),
    GetShardIterator: (call) => this.#iterator(call),
    GetRecords: (call) => this.#records(call),
  };

  /** @param now Unix ms */
  constructor(streams: readonly EncryptedStream[], account: string, now: () => number = Date.now) {
    this.#streams = new Map(streams.map((each) => [each.stream.tableName, each]));
    this.#account = account;
    this.#now = now;
  }

  /** @throws {ServiceError} whatever DynamoDB Streams answers */
  async call(call: StreamsCall): Promise<Json> {
    const handler = this.#handlers[call.operation];
    if (handler) return handler(call);
    throw commonError(
      400,
      'UnknownOperationException',
      `The rehearsal does not play ${STREAMS_PREFIX}.${call.operation}; it plays ${Object.keys(this.#handlers).join(', ')}`,
    );
  }

  #list({ input, region, authorize }: StreamsCall): Json {
    const table = input['TableName'];
    const after = String(input['ExclusiveStartStreamArn'] ?? '');
    const limit = numberOf(input, 'Limit', 1, LISTED_MAX) ?? LISTED_MAX;
    authorize({ action: 'dynamodb:ListStreams', resource: '*', context: {} });
    const streams = [...this.#streams.values()]
      .filter(({ stream }) => stream.regions.includes(region))
      .filter(({ stream }) => table === undefined || stream.tableName === table)
      .map(({ stream: { tableName } }) => ({
        StreamArn: streamArn(region, this.#account, tableName),
        StreamLabel: STREAM_LABEL,
        TableName: tableName,
      }))
      .filter(({ StreamArn }) => StreamArn > after)
      .sort((a, b) => (a.StreamArn < b.StreamArn ? -1 : 1));
    const page = streams.slice(0, limit);
    return {
      Streams: page,
      ...(streams.length > limit && { LastEvaluatedStreamArn: page.at(-1)?.StreamArn }),
    };
  }

  #describe(call: StreamsCall): Json {
    const { arn, stream } = this.#find(call, textOf(call.input, 'StreamArn'));
    const after = call.input['ExclusiveStartShardId'];
    const shard = {
      ShardId: SHARD_ID,
      SequenceNumberRange: { StartingSequenceNumber: sequenceNumber(stream.trimmed + 1) },
    };
    return {
      StreamDescription: {
        StreamArn: arn,
        StreamLabel: STREAM_LABEL,
        StreamStatus: 'ENABLED',
        StreamViewType: stream.viewType,
        TableName: stream.tableName,
        KeySchema: stream.keySchema,
        CreationRequestDateTime: Date.parse(`${STREAM_LABEL}Z`) / 1_000,
        Shards: after === undefined ? [shard] : [],
      },
    };
  }

  #iterator(call: StreamsCall): Json {
    const { input, region } = call;
    const { arn, stream } = this.#find(call, textOf(input, 'StreamArn'));
    if (textOf(input, 'ShardId') !== SHARD_ID)
      throw streamsError(
        'ResourceNotFoundException',
        `Requested resource not found: Shard does not exist: expected ${SHARD_ID}, got ${String(input['ShardId'])}`,
      );
    const type = textOf(input, 'ShardIteratorType');
    switch (type) {
      case 'TRIM_HORIZON':
        return { ShardIterator: this.#iteratorAt(arn, stream.trimmed) };
      case 'LATEST':
        return { ShardIterator: this.#iteratorAt(arn, stream.head(region)) };
      case 'AT_SEQUENCE_NUMBER':
      case 'AFTER_SEQUENCE_NUMBER': {
        const sequence = sequenceOf(textOf(input, 'SequenceNumber'));
        const after = type === 'AT_SEQUENCE_NUMBER' ? sequence - 1 : sequence;
        refuseTrimmed(stream, after);
        return { ShardIterator: this.#iteratorAt(arn, after) };
      }
      default:
        throw validationError(
          `1 validation error detected: Value '${type}' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_SEQUENCE_NUMBER, TRIM_HORIZON]`,
        );
    }
  }

  #records(call: StreamsCall): Json {
    const { input, region, authorize } = call;
    const limit = numberOf(input, 'Limit', 1, RECORDS_MAX) ?? RECORDS_MAX;
    const { arn: of, after, madeAt } = readIterator(textOf(input, 'ShardIterator'));
    const { arn, stream, keyArns } = this.#find(call, of);
    const keyArn = keyArns.get(region);
    // https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
    if (keyArn !== undefined)
      authorize({
        action: 'kms:Decrypt',
        resource: keyArn,
        context: { 'kms:ViaService': `dynamodb.${region}.amazonaws.com` },
      });
    if (this.#now() - madeAt > ITERATOR_MS_MAX)
      throw streamsError(
        'ExpiredIteratorException',
        'Iterator expired. The iterator was created over 15 minutes ago.',
      );
    refuseTrimmed(stream, after);
    const records = stream.after(region, after, limit, RECORD_BYTES_MAX);
    return {
      Records: records.map((record) => recordOf(record, region, stream)),
      NextShardIterator: this.#iteratorAt(arn, records.at(-1)?.sequence ?? after),
    };
  }

  #iteratorAt(arn: string, after: number): string {
    return `${arn}|1|${Buffer.from(JSON.stringify([after, this.#now()])).toString('base64')}`;
  }

  /** The stream with this ARN, in the region called; the permission is asked for first, as AWS does. */
  #find({ operation, region, authorize }: StreamsCall, arn: string): EncryptedStream & { arn: string } {
    authorize({ action: `dynamodb:${operation}`, resource: arn, context: {} });
    for (const found of this.#streams.values())
      if (
        found.stream.regions.includes(region) &&
        streamArn(region, this.#account, found.stream.tableName) === arn
      )
        return { ...found, arn };
    throw streamsError('ResourceNotFoundException', `Requested resource not found: Stream: ${arn} not found`);
  }
}

/** A record as GetRecords gives it, and Lambda passes it on. */
function recordOf(
  { sequence, at, key, before, after, bytes }: StreamRecord,
  region: string,
  { viewType }: TableStream,
): Json {
  const hasOld = viewType === 'OLD_IMAGE' || viewType === 'NEW_AND_OLD_IMAGES';
  const hasNew = viewType === 'NEW_IMAGE' || viewType === 'NEW_AND_OLD_IMAGES';
  const number = sequenceNumber(sequence);
  return {
    eventID: createHash('md5').update(`${region} ${number}`).digest('hex'),
    eventName: before === undefined ? 'INSERT' : after === undefined ? 'REMOVE' : 'MODIFY',
    eventVersion: '1.1',
    eventSource: 'aws:dynamodb',
    awsRegion: region,
    dynamodb: {
      ApproximateCreationDateTime: Math.floor(at / 1_000),
      Keys: key,
      ...(hasNew && after && { NewImage: after }),
      ...(hasOld && before && { OldImage: before }),
      SequenceNumber: number,
      SizeBytes: bytes,
      StreamViewType: viewType,
    },
  };
}

function refuseTrimmed(stream: TableStream, after: number): void {
  if (after < stream.trimmed)
    throw streamsError(
      'TrimmedDataAccessException',
      'The operation attempted to read past the oldest stream record in a shard.',
    );
}

function readIterator(text: string): { arn: string; after: number; madeAt: number } {
  const [arn = '', version, place = ''] = text.split('|');
  let read: unknown;
  try {
    read = JSON.parse(Buffer.from(place, 'base64').toString('utf8'));
  } catch {
    read = undefined;
  }
  const [after, madeAt] = Array.isArray(read) ? read : [];
  if (version === '1' && Number.isSafeInteger(after) && Number.isSafeInteger(madeAt))
    return { arn, after, madeAt };
  throw validationError(`Invalid ShardIterator: ${text}`);
}

function sequenceOf(text: string): number {
  if (/^1\d{20}$/.test(text)) return Number(text.slice(1));
  throw validationError(`Invalid SequenceNumber: expected 21 digits of this stream, got ${text}`);
}

function textOf(input: Json, name: string): string {
  const value = input[name];
  if (typeof value === 'string' && value !== '') return value;
  throw validationError(
    `1 validation error detected: Value ${JSON.stringify(value ?? null)} at '${name.charAt(0).toLowerCase()}${name.slice(1)}' failed to satisfy constraint: Member must not be null`,
  );
}

function numberOf(input: Json, name: string, min: number, max: number): number | undefined {
  const value = input[name];
  if (value === undefined || value === null) return undefined;
  if (Number.isInteger(value) && Number(value) >= min && Number(value) <= max) return Number(value);
  throw validationError(`${name}: expected ${min} to ${max}, got ${JSON.stringify(value)}`);
}

function streamsError(name: string, message: string): ServiceError {
  return new ServiceError(400, { __type: `${NAMESPACE}#${name}`, message });
}
