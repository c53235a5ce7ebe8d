// A bucket as operators' commands see it, on AWS or on whatever an SDK client's endpoint points at.
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, PutObjectCommand, paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3';

export interface BucketOptions {
  readonly region: string;
  readonly bucket: string;
  /** @default AWS's, or what AWS_ENDPOINT_URL says */
  readonly endpoint?: string | undefined;
  /** @default the environment's, as every AWS tool finds them */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
}

export interface Bucket {
  /** Of the bucket's objects under a prefix, in order. `after`: those that come after this one. */
  keys(prefix: string, after?: string): AsyncIterable<string>;
  /** What a listing by `/` shows beneath a prefix, in order, each with the prefix and the slash. */
  folders(prefix: string): AsyncIterable<string>;
  /** Undefined when there is no such object. */
  content(key: string): Promise<Uint8Array | undefined>;
  /** As {@link content}, as UTF-8. */
  text(key: string): Promise<string | undefined>;
  /** As they come; undefined when there is no such object. What breaks off is gone on with from where it was. */
  bytes(key: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** What stands there already stays. */
  put(key: string, content: Uint8Array | string, type: string): Promise<void>;
  close(): void;
}

/** A region that is gone may answer nothing at all. */
export const TIMEOUTS = { connectionTimeout: 5_000, requestTimeout: 30_000 };

export function openBucket({ region, bucket: Bucket, endpoint, credentials }: BucketOptions): Bucket {
  const client = new S3Client({
    region,
    requestHandler: TIMEOUTS,
    // A bucket's name is no host of an endpoint that is not AWS's.
    forcePathStyle: endpoint !== undefined || process.env['AWS_ENDPOINT_URL'] !== undefined,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  });
  const get = async (Key: string) => {
    try {
      return await client.send(new GetObjectCommand({ Bucket, Key }));
    } catch (error) {
      if (error instanceof Error && error.name === 'NoSuchKey') return undefined;
      throw error;
    }
  };
  /** Of the same object: one that was replaced meanwhile is not gone on with. */
  const rest = async (Key: string, from: number, etag: string | undefined) => {
    const Range = `bytes=${from}-`;
    return (await client.send(new GetObjectCommand({ Bucket, Key, Range, IfMatch: etag }))).Body;
  };
  return {
    async *keys(prefix, after) {
      const input = { Bucket, Prefix: prefix, ...(after === undefined ? {} : { StartAfter: after }) };
      for await (const { Contents = [] } of paginateListObjectsV2({ client }, input))
        for (const { Key } of Contents) if (Key !== undefined) yield Key;
    },
    async *folders(prefix) {
      const input = { Bucket, Prefix: prefix, Delimiter: '/' };
      for await (const { CommonPrefixes = [] } of paginateListObjectsV2({ client }, input))
        for (const { Prefix } of CommonPrefixes) if (Prefix !== undefined) yield Prefix;
    },
    content: async (key) => (await get(key))?.Body?.transformToByteArray(),
    text: async (key) => (await get(key))?.Body?.transformToString('utf-8'),
    bytes: async (key) => {
      const found = await get(key);
      return found && toTheEnd(found.Body, (from) => rest(key, from, found.ETag));
    },
    async put(key, content, type) {
      const input = { Bucket, Key: key, Body: content, ContentType: type, IfNoneMatch: '*' };
      try {
        await client.send(new PutObjectCommand(input));
      } catch (error) {
        if (!(error instanceof Error && error.name === 'PreconditionFailed')) throw error;
      }
    },
    close: () => client.destroy(),
  };
}

/** A connection that waits for a busy table is closed now and then. */
const BREAKS_MAX = 8;
const AGAIN_AFTER_MS = 250;

async function* toTheEnd(
  first: object | undefined,
  restFrom: (at: number) => Promise<object | undefined>,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  let body = first;
  for (let breaks = 1; ; breaks += 1)
    try {
      for await (const piece of body as AsyncIterable<Uint8Array>) {
        at += piece.length;
        yield piece;
      }
      return;
    } catch (error) {
      if (breaks > BREAKS_MAX) throw error;
      await sleep(AGAIN_AFTER_MS * breaks);
      body = await restFrom(at);
    }
}
