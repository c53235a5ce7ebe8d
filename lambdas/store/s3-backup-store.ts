// The backup bucket port on S3. What DynamoDB exports it writes itself; here only what is said about it is written.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  GetObjectCommand,
  ListObjectsV2Command,
  type ObjectLockRetentionMode,
  PutObjectCommand,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { BackupStore } from './backup-store.ts';
import { asUnavailable, createS3Objects } from './s3-objects.ts';

export interface S3BackupStoreOptions {
  /** One attempt a call, in the bucket's region. */
  readonly client: S3Client;
  readonly bucket: string;
  /** Of one call, of which two are tried. @default 5 s */
  readonly attemptMs?: number;
  /** Of one data file, from the call to its last byte. @default 10 min */
  readonly fileMs?: number;
  /** That of the bucket's own locks. @default 'GOVERNANCE' */
  readonly lockMode?: ObjectLockRetentionMode;
}

const ATTEMPT_MS = 5_000;
const ATTEMPTS = 2;
const FILE_MS = 600_000;
const CALLED = 'backup bucket';

export function createS3BackupStore(options: S3BackupStoreOptions): BackupStore {
  const { client, bucket, attemptMs = ATTEMPT_MS, fileMs = FILE_MS, lockMode = 'GOVERNANCE' } = options;
  const objects = createS3Objects({ client, bucket, attemptMs, attempts: ATTEMPTS, called: CALLED });

  async function calling<T>(
    isPut: boolean,
    timeMs: number,
    send: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      return await send(AbortSignal.timeout(timeMs));
    } catch (error) {
      throw asUnavailable(error, CALLED, isPut);
    }
  }

  return {
    text: (key) => objects.get(key),

    async putJson(key, value) {
      const text = JSON.stringify(value, undefined, 2);
      const command = new PutObjectCommand({
        Bucket: bucket,
        Key: key,
        Body: text,
        ContentType: 'application/json',
        // A bucket with Object Lock takes no object without one.
        ChecksumSHA256: createHash('sha256').update(text).digest('base64'),
      });
      await calling(true, attemptMs, (abortSignal) => client.send(command, { abortSignal }));
    },

    async file(key) {
      const command = new GetObjectCommand({ Bucket: bucket, Key: key });
      try {
        const { Body: body } = await client.send(command, { abortSignal: AbortSignal.timeout(fileMs) });
        return body instanceof Readable ? bytesOf(body) : undefined;
      } catch (error) {
        if (error instanceof Error && error.name === 'NoSuchKey') return undefined;
        throw asUnavailable(error, CALLED, false);
      }
    },

    async keys(prefix, after) {
      const command = new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix,
        ...(after !== undefined && { StartAfter: after }),
      });
      const { Contents: contents = [], IsTruncated: more = false } = await calling(
        false,
        attemptMs,
        (abortSignal) => client.send(command, { abortSignal }),
      );
      return { keys: contents.flatMap(({ Key: key }) => key ?? []), more };
    },

    async lock(key, untilMs) {
      const command = new PutObjectRetentionCommand({
        Bucket: bucket,
        Key: key,
        Retention: { Mode: lockMode, RetainUntilDate: new Date(untilMs) },
      });
      await calling(true, attemptMs, (abortSignal) => client.send(command, { abortSignal }));
    },
  };
}

async function* bytesOf(body: Readable): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) yield chunk;
  } catch (error) {
    throw asUnavailable(error, CALLED, false);
  }
}
