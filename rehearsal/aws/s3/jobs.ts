// One request to S3 at work: the bucket it is for, what its caller must be allowed, and what its headers ask for and are
// answered with.
import type { Answer, ServiceCall } from '../aws-front.ts';
import type { Access } from '../iam-policy.ts';
import type { Bucket, Retention } from './buckets.ts';
import { s3Error } from './errors.ts';
import {
  type BucketObjects,
  DESCRIBING,
  type Encryption,
  type Lock,
  noSuchKey,
  type ObjectVersion,
} from './objects.ts';
import type { S3Request } from './requests.ts';
import type { Content } from './xml.ts';

export interface S3Call extends Pick<ServiceCall, 'request' | 'region'> {
  /** @throws {ServiceError} AccessDeniedException */
  readonly authorize: (access: Access) => void;
}

/** What is known of a key by its ARN. */
export type KeyState = 'enabled' | 'disabled' | 'missing';

/** A bucket and what is in it. */
export interface Place {
  readonly at: Bucket;
  readonly objects: BucketObjects;
}

/** A request and the bucket it is for. */
export interface Job extends S3Call, S3Request, Place {
  readonly keyState: (arn: string) => KeyState;
}

const KEYS_PER_PAGE_MAX = 1_000;

export function listed(key: string, { etag, bytes, modifiedAt, storageClass }: ObjectVersion): Content {
  return [
    ['Key', key],
    ['LastModified', new Date(modifiedAt).toISOString()],
    ['ETag', etag],
    ['Size', bytes],
    ['StorageClass', storageClass],
  ];
}

/** The rehearsal's loopback connections stand for TLS. */
const TLS = { 's3:TlsVersion': '1.3' };

export function authorize({ authorize: ask, at, key }: Job, action: string): void {
  ask({ action, resource: `${at.arn}/${key}`, context: TLS });
}

export function authorizeListing(
  { authorize: ask, at }: Job,
  context: Access['context'],
  action = 's3:ListBucket',
): void {
  ask({ action, resource: at.arn, context: { ...TLS, ...context } });
}

/**
 * What whoever calls must be allowed to do with the customer's key, which S3 works with on its caller's behalf:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
 */
export function useKey(
  { authorize: ask, at, key, region, keyState }: Job,
  { keyArn, bucketKey }: Encryption,
  action: 'kms:Decrypt' | 'kms:GenerateDataKey',
): void {
  if (keyArn === undefined) return;
  ask({
    action,
    resource: keyArn,
    context: {
      'kms:ViaService': `s3.${region}.amazonaws.com`,
      'kms:EncryptionContext:aws:s3:arn': bucketKey ? at.arn : `${at.arn}/${key}`,
    },
  });
  const state = keyArn.split(':')[3] === region ? keyState(keyArn) : 'missing';
  if (state === 'missing') throw s3Error(400, 'KMS.NotFoundException', `Key '${keyArn}' does not exist`);
  if (state === 'disabled') throw s3Error(400, 'KMS.DisabledException', `${keyArn} is disabled.`);
}

/** What a PUT is to be encrypted with: as it asks, else as the bucket's default is. */
export function encryptionOf({ at, header }: Job): Encryption {
  const algorithm = header('x-amz-server-side-encryption');
  const keyArn = header('x-amz-server-side-encryption-aws-kms-key-id');
  const { bucketKey } = at;
  if (algorithm === undefined)
    return { keyArn: at.keyArn, algorithm: at.keyArn === undefined ? 'AES256' : 'aws:kms', bucketKey };
  if (algorithm === 'AES256' && keyArn === undefined) return { keyArn, algorithm, bucketKey: false };
  // Without a name it is the key that AWS keeps for S3, whatever the bucket's default.
  if (algorithm === 'aws:kms' && (keyArn === undefined || keyArn.startsWith('arn:')))
    return { keyArn, algorithm, bucketKey };
  throw s3Error(
    400,
    'InvalidArgument',
    `x-amz-server-side-encryption: the rehearsal takes AES256, or aws:kms with no key or a key's ARN, got ${algorithm} with ${keyArn}`,
  );
}

/** Why there is nothing to read; who may not list a bucket does not learn what is not in it. */
export function missing(job: Job, marker: ObjectVersion | undefined, versionId: string | undefined): Error {
  if (marker && versionId !== undefined)
    return s3Error(405, 'MethodNotAllowed', 'The specified method is not allowed against this resource.', {
      'x-amz-delete-marker': 'true',
    });
  authorizeListing(job, {});
  if (versionId !== undefined) return s3Error(404, 'NoSuchVersion', 'The specified version does not exist.');
  return noSuchKey(marker && { 'x-amz-delete-marker': 'true' });
}

/** The lock that a PUT asks for itself. */
export function lockOf(job: Job): Lock | undefined {
  const mode = job.header('x-amz-object-lock-mode');
  const date = job.header('x-amz-object-lock-retain-until-date');
  if (job.header('x-amz-object-lock-legal-hold') !== undefined)
    throw s3Error(501, 'NotImplemented', 'The rehearsal does not play legal holds of Object Lock');
  if (mode === undefined && date === undefined) return undefined;
  if (!job.at.locks) throw s3Error(400, 'InvalidRequest', 'Bucket is missing Object Lock Configuration');
  const until = Date.parse(String(date));
  if (isMode(mode) && !Number.isNaN(until)) return { mode, until };
  throw s3Error(
    400,
    'InvalidArgument',
    `x-amz-object-lock-mode and -retain-until-date: expected GOVERNANCE or COMPLIANCE with a date, got ${mode} and ${date}`,
  );
}

export function isMode(mode: string | undefined): mode is Retention['mode'] {
  return mode === 'GOVERNANCE' || mode === 'COMPLIANCE';
}

export function describing({ request }: Job): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) => {
      if (!DESCRIBING.test(name) || typeof value !== 'string') return [];
      const rest = name === 'content-encoding' ? value.replace(/(^|,)\s*aws-chunked\s*(?=,|$)/, '') : value;
      return rest === '' ? [] : [[name, rest] as const];
    }),
  );
}

export function maxKeysOf(text: string | null): number {
  const max = text === null ? KEYS_PER_PAGE_MAX : Number(text);
  if (Number.isInteger(max) && max >= 0) return Math.min(max, KEYS_PER_PAGE_MAX);
  throw s3Error(400, 'InvalidArgument', `max-keys: expected a whole number, got ${text}`);
}

export function encryption({ encryption: of }: ObjectVersion): Record<string, string> {
  const { keyArn, algorithm, bucketKey } = of;
  return {
    'x-amz-server-side-encryption': algorithm,
    ...(keyArn !== undefined && { 'x-amz-server-side-encryption-aws-kms-key-id': keyArn }),
    ...(bucketKey && { 'x-amz-server-side-encryption-bucket-key-enabled': 'true' }),
  };
}

export function locking({ lock }: ObjectVersion): Record<string, string> {
  if (!lock) return {};
  return {
    'x-amz-object-lock-mode': lock.mode,
    'x-amz-object-lock-retain-until-date': new Date(lock.until).toISOString(),
  };
}

export function versionHeader({ versioned }: Bucket, { id }: ObjectVersion): Record<string, string> {
  return versioned ? { 'x-amz-version-id': id } : {};
}

export function empty(status: number, headers: Readonly<Record<string, string>>): Answer {
  return { status, contentType: 'application/xml', body: '', headers };
}
