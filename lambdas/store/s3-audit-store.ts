// The audit bucket port on S3. Puts say `If-None-Match: *`, so that nothing is ever written over, and carry the
// SHA-256 that S3 checks the content against: a bucket with Object Lock asks for a checksum anyway.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
import {
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { auditKey, losingPayloadKey } from '../../protocol/audit.ts';
import { routingChangeKey } from '../../protocol/routing.ts';
import { sha256Of } from '../core/canonical.ts';
import type { AuditStore } from './audit-store.ts';
import { StoreUnavailableError } from './store.ts';

export interface S3AuditStoreOptions {
  /** Made by {@link createS3Client}, in the bucket's region: one attempt a call. */
  readonly client: S3Client;
  readonly bucket: string;
  /** One call, of which two are tried; a conflict waits for it, so it is short. @default 2 s */
  readonly attemptMs?: number;
}

const ATTEMPT_MS = 2_000;
const ATTEMPTS = 2;
const SOCKETS_MAX = 64;
const CONNECT_MS_MAX = 1_000;

/** `config` serves tests and other regions' buckets; on Lambda region and credentials come from the runtime. */
export function createS3Client(config: S3ClientConfig = {}): S3Client {
  return new S3Client({
    ...config,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: CONNECT_MS_MAX,
      httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
    }),
  });
}

export function createS3AuditStore({
  client,
  bucket,
  attemptMs = ATTEMPT_MS,
}: S3AuditStoreOptions): AuditStore {
  /** Reads change nothing and a put twice puts the same, so what failed is tried once more. */
  async function calling<T>(send: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await send(AbortSignal.timeout(attemptMs));
      } catch (error) {
        if (tried === ATTEMPTS || !isPassing(error)) throw error;
      }
    }
  }

  async function put(key: string, sha256: string, text: string, contentType: string): Promise<void> {
    const command = new PutObjectCommand({
      Bucket: bucket,
      Key: key,
      Body: text,
      ContentType: contentType,
      ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64'),
      IfNoneMatch: '*',
    });
    try {
      await calling((abortSignal) => client.send(command, { abortSignal }));
    } catch (error) {
      if (nameOf(error) === 'PreconditionFailed') return;
      throw asUnavailable(error, true);
    }
  }

  async function get(key: string): Promise<string | undefined> {
    const command = new GetObjectCommand({ Bucket: bucket, Key: key });
    try {
      return await calling(async (abortSignal) => {
        const { Body: body } = await client.send(command, { abortSignal });
        return body?.transformToString('utf-8');
      });
    } catch (error) {
      if (nameOf(error) === 'NoSuchKey') return undefined;
      throw asUnavailable(error, false);
    }
  }

  return {
    archive: (record, sequence, hash, text) =>
      put(auditKey(record, sequence, hash), hash, text, 'application/json'),
    putPayload: (tenant, sha256, payload) =>
      put(losingPayloadKey(tenant, sha256), sha256, payload, 'application/json'),
    payload: (tenant, sha256) => get(losingPayloadKey(tenant, sha256)),
    entry: (record, sequence, hash) => get(auditKey(record, sequence, hash)),
    async archiveRouting(change) {
      const text = JSON.stringify(change);
      await put(routingChangeKey(change), sha256Of(text), text, 'application/json');
    },
  };
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

function asUnavailable(error: unknown, isPut: boolean): StoreUnavailableError {
  const passing = isPassing(error);
  return new StoreUnavailableError(
    `the audit bucket ${passing ? 'did not answer properly' : 'does not take this call'}: ${nameOf(error)}`,
    { retryable: passing, mayHaveLanded: isPut && passing, cause: error },
  );
}
