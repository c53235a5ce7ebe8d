// One region as the audit commands see it: its bucket, and where a record's trail stands by its replica. On AWS, or on
// whatever an SDK client's endpoint points at.
import { DescribeTableCommand, DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { GetObjectCommand, PutObjectCommand, paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3';
import { ATTRIBUTES, recordPk, STATE } from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { TableAddress } from '../routing/where.ts';

/** A record's trail as its item has it. */
export interface TrailHead {
  /** Entries so far; 0 when it never met a conflict. */
  readonly sequence: number;
  /** Of the last entry; '' when there is none. */
  readonly hash: string;
  /** Texts of those not trimmed yet, the oldest first. */
  readonly outbox: readonly string[];
}

export interface AuditPlace {
  readonly region: string;
  /** Of the bucket's objects under a prefix, in order. */
  keys(prefix: string): AsyncIterable<string>;
  /** Undefined when there is no such object. */
  text(key: string): Promise<string | undefined>;
  /** What stands there already stays. */
  put(key: string, text: string): Promise<void>;
  /** By a consistent read; undefined when there is no such item. */
  head(record: RecordKey): Promise<TrailHead | undefined>;
}

export interface PlaceOptions {
  readonly region: string;
  readonly table: string;
  /** Given the account that the table is in. */
  readonly bucketIn: (account: string) => string;
  /** @default AWS's, or what AWS_ENDPOINT_URL says */
  readonly endpoint?: string | undefined;
  /** @default the environment's, as every AWS tool finds them */
  readonly credentials?: TableAddress['credentials'] | undefined;
}

/** A region that is gone may answer nothing at all. */
const TIMEOUTS = { connectionTimeout: 5_000, requestTimeout: 30_000 };

/** Asks the table whose account it is in, so that the bucket can be named. */
export async function openPlace({
  region,
  table,
  bucketIn,
  endpoint,
  credentials,
}: PlaceOptions): Promise<AuditPlace> {
  const client = {
    region,
    requestHandler: TIMEOUTS,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials && { credentials }),
  };
  const dynamodb = new DynamoDBClient(client);
  // A bucket's name is no host of an endpoint that is not AWS's.
  const forcePathStyle = endpoint !== undefined || process.env['AWS_ENDPOINT_URL'] !== undefined;
  const s3 = new S3Client({ ...client, forcePathStyle });
  const bucket = bucketIn(await accountOf(dynamodb, table));
  return {
    region,
    async *keys(prefix) {
      for await (const { Contents = [] } of paginateListObjectsV2(
        { client: s3 },
        { Bucket: bucket, Prefix: prefix },
      ))
        for (const { Key } of Contents) if (Key !== undefined) yield Key;
    },
    async text(key) {
      try {
        const { Body: body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
        return await body?.transformToString('utf-8');
      } catch (error) {
        if (nameOf(error) === 'NoSuchKey') return undefined;
        throw error;
      }
    },
    async put(key, text) {
      try {
        await s3.send(
          new PutObjectCommand({
            Bucket: bucket,
            Key: key,
            Body: text,
            ContentType: 'application/json',
            IfNoneMatch: '*',
          }),
        );
      } catch (error) {
        if (nameOf(error) !== 'PreconditionFailed') throw error;
      }
    },
    async head(record) {
      const { Item } = await dynamodb.send(
        new GetItemCommand({
          TableName: table,
          Key: { [ATTRIBUTES.pk]: { S: recordPk(record) }, [ATTRIBUTES.sk]: { S: STATE } },
          ConsistentRead: true,
          ProjectionExpression: '#p, #s, #h, #o',
          ExpressionAttributeNames: {
            '#p': ATTRIBUTES.pk,
            '#s': ATTRIBUTES.auditSequence,
            '#h': ATTRIBUTES.auditHead,
            '#o': ATTRIBUTES.outbox,
          },
        }),
      );
      return (
        Item && {
          sequence: Number(Item[ATTRIBUTES.auditSequence]?.N ?? 0),
          hash: Item[ATTRIBUTES.auditHead]?.S ?? '',
          outbox: (Item[ATTRIBUTES.outbox]?.L ?? []).map(({ S }) => S ?? ''),
        }
      );
    },
  };
}

/** Of the table, by its own ARN. */
export async function accountOf(dynamodb: DynamoDBClient, table: string): Promise<string> {
  const { Table } = await dynamodb.send(new DescribeTableCommand({ TableName: table }));
  const account = Table?.TableArn?.split(':')[4];
  if (!account)
    throw new Error(`table ${table}: expected an ARN that names its account, got ${Table?.TableArn}`);
  return account;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : String(error);
}
