// One region's backup bucket as the journal commands see it, on AWS or on whatever an SDK client's endpoint points at.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { GetObjectCommand, PutObjectCommand, paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3';
import { accountOf, type PlaceOptions } from '../audit/places.ts';

export interface JournalPlace {
  readonly region: string;
  /** Of the bucket's objects under a prefix, in order. `after`: those that come after this one. */
  keys(prefix: string, after?: string): AsyncIterable<string>;
  /** What a listing by `/` shows beneath a prefix, in order, each with the prefix and the slash. */
  folders(prefix: string): AsyncIterable<string>;
  /** Undefined when there is no such object. */
  content(key: string): Promise<Uint8Array | undefined>;
  /** What stands there already stays. */
  put(key: string, content: Uint8Array): Promise<void>;
}

/** A region that is gone may answer nothing at all. */
const TIMEOUTS = { connectionTimeout: 5_000, requestTimeout: 30_000 };

/** Asks the table whose account it is in, so that the bucket can be named. */
export async function openJournalPlace({
  region,
  table,
  bucketIn,
  endpoint,
}: PlaceOptions): Promise<JournalPlace> {
  const client = { region, requestHandler: TIMEOUTS, ...(endpoint === undefined ? {} : { endpoint }) };
  // A bucket's name is no host of an endpoint that is not AWS's.
  const forcePathStyle = endpoint !== undefined || process.env['AWS_ENDPOINT_URL'] !== undefined;
  const s3 = new S3Client({ ...client, forcePathStyle });
  const Bucket = bucketIn(await accountOf(new DynamoDBClient(client), table));
  return {
    region,
    async *keys(prefix, after) {
      const input = { Bucket, Prefix: prefix, ...(after === undefined ? {} : { StartAfter: after }) };
      for await (const { Contents = [] } of paginateListObjectsV2({ client: s3 }, input))
        for (const { Key } of Contents) if (Key !== undefined) yield Key;
    },
    async *folders(prefix) {
      const input = { Bucket, Prefix: prefix, Delimiter: '/' };
      for await (const { CommonPrefixes = [] } of paginateListObjectsV2({ client: s3 }, input))
        for (const { Prefix } of CommonPrefixes) if (Prefix !== undefined) yield Prefix;
    },
    async content(key) {
      try {
        const { Body: body } = await s3.send(new GetObjectCommand({ Bucket, Key: key }));
        return await body?.transformToByteArray();
      } catch (error) {
        if (error instanceof Error && error.name === 'NoSuchKey') return undefined;
        throw error;
      }
    },
    async put(key, content) {
      try {
        await s3.send(
          new PutObjectCommand({
            Bucket,
            Key: key,
            Body: content,
            ContentType: 'application/gzip',
            IfNoneMatch: '*',
          }),
        );
      } catch (error) {
        if (!(error instanceof Error && error.name === 'PreconditionFailed')) throw error;
      }
    },
  };
}
