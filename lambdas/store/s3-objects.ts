// Objects of a bucket that is only ever added to. Puts say `If-None-Match: *`, so that nothing is ever written over, and
// carry the SHA-256 that S3 checks the content against: a bucket with Object Lock asks for a checksum anyway.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
import { createHash } from 'node:crypto';
import { GetObjectCommand, PutObjectCommand, type S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { StoreUnavailableError } from './store.ts';

export interface S3ObjectsOptions {
  /** One attempt a call, in the bucket's region. */
  readonly client: S3Client;
  readonly bucket: string;
  readonly attemptMs: number;
  readonly attempts: number;
  /** In errors, e.g. `audit bucket`. */
  readonly called: string;
}

export interface PutOptions {
  readonly contentType: string;
  /** In hex; S3 refuses a content of another. @default the content's own */
  readonly sha256?: string;
}

/** Both throw `StoreUnavailableError` when the bucket refuses or does not answer. */
export interface S3Objects {
  /** What stands there already stays. */
  put(key: string, content: string | Uint8Array, how: PutOptions): Promise<void>;
  /** Undefined when there is none. */
  get(key: string): Promise<string | undefined>;
}

export function createS3Objects(options: S3ObjectsOptions): S3Objects {
  const { client, bucket, attemptMs, attempts, called } = options;

  /** Reads change nothing and a put twice puts the same, so what failed may be tried again. */
  async function calling<T>(send: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await send(AbortSignal.timeout(attemptMs));
      } catch (error) {
        if (tried >= attempts || !isPassing(error)) throw error;
      }
    }
  }

  return {
    async put(key, content, { contentType, sha256 = hexOf(content) }) {
      const command = new PutObjectCommand({
        Bucket: bucket,
        Key: key,
        Body: content,
        ContentType: contentType,
        ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64'),
        IfNoneMatch: '*',
      });
      try {
        await calling((abortSignal) => client.send(command, { abortSignal }));
      } catch (error) {
        if (nameOf(error) === 'PreconditionFailed') return;
        throw asUnavailable(error, called, true);
      }
    },

    async get(key) {
      const command = new GetObjectCommand({ Bucket: bucket, Key: key });
      try {
        return await calling(async (abortSignal) => {
          const { Body: body } = await client.send(command, { abortSignal });
          return body?.transformToString('utf-8');
        });
      } catch (error) {
        if (nameOf(error) === 'NoSuchKey') return undefined;
        throw asUnavailable(error, called, false);
      }
    },
  };
}

function hexOf(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : String(error);
}

/**
 * What S3 did not say itself is no answer: the connection failed, time was up, or what came is not whole. 409 says that
 * another put of the same key is under way, `RequestTimeout` (400) that the body came too slowly.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 */
function isPassing(error: unknown): boolean {
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
  if (status === undefined || status >= 500 || status === 409 || status === 429) return true;
  return nameOf(error) === 'RequestTimeout';
}

export function asUnavailable(error: unknown, called: string, isPut: boolean): StoreUnavailableError {
  const passing = isPassing(error);
  return new StoreUnavailableError(
    `the ${called} ${passing ? 'did not answer properly' : 'does not take this call'}: ${nameOf(error)}`,
    { retryable: passing, mayHaveLanded: isPut && passing, cause: error },
  );
}
