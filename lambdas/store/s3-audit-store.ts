// The audit bucket port on S3: nothing in it is ever written over, and everything is held to its hash.
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { auditKey, losingPayloadKey } from '../../protocol/audit.ts';
import { routingChangeKey } from '../../protocol/routing.ts';
import { sha256Of } from '../core/canonical.ts';
import type { AuditStore } from './audit-store.ts';
import { createS3Objects } from './s3-objects.ts';

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
  const objects = createS3Objects({ client, bucket, attemptMs, attempts: ATTEMPTS, called: 'audit bucket' });
  const put = (key: string, sha256: string, text: string) =>
    objects.put(key, text, { contentType: 'application/json', sha256 });
  return {
    archive: (record, sequence, hash, text) => put(auditKey(record, sequence, hash), hash, text),
    putPayload: (tenant, sha256, payload) => put(losingPayloadKey(tenant, sha256), sha256, payload),
    payload: (tenant, sha256) => objects.get(losingPayloadKey(tenant, sha256)),
    entry: (record, sequence, hash) => objects.get(auditKey(record, sequence, hash)),
    async archiveRouting(change) {
      const text = JSON.stringify(change);
      await put(routingChangeKey(change), sha256Of(text), text);
    },
  };
}
