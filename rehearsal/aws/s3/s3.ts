// S3 as far as it is depended on here: objects with versions, conditional writes, Object Lock and encryption headers, in
// the buckets that the templates make, each in its own region. What versions contain is kept by fauxqs; everything it
// lacks is in front of it. Lifecycle rules, multipart uploads, ACLs, tags and replication are not played.

import type { Answer, ServiceCall } from '../aws-front.ts';
import type { ResourcePolicy } from '../iam.ts';
import type { Access } from '../iam-policy.ts';
import type { Bucket, Retention } from './buckets.ts';
import { Contents } from './contents.ts';
import { s3Error } from './errors.ts';
import { BucketObjects, type Lock, noSuchKey, type ObjectVersion } from './objects.ts';
import { readPayload } from './payload.ts';
import { readRequest, type S3Operation, type S3Request } from './requests.ts';
import { type Content, xmlDocument } from './xml.ts';

export interface S3Call extends Pick<ServiceCall, 'request' | 'region'> {
  /** @throws {ServiceError} AccessDeniedException */
  readonly authorize: (access: Access) => void;
}

/** A bucket and what is in it. */
interface Place {
  readonly at: Bucket;
  readonly objects: BucketObjects;
}

/** A request and the bucket it is for. */
interface Job extends S3Call, S3Request, Place {}

const KEYS_PER_PAGE_MAX = 1_000;
/** Of a PUT, what describes the content and comes back with it. */
const DESCRIBING = /^(x-amz-meta-.+|cache-control|content-disposition|content-encoding|content-language)$/;
/** Of a GET, what its answer follows. */
const FOLLOWED = [
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-unmodified-since',
  'range',
  'x-amz-checksum-mode',
];

export class S3 {
  readonly #places: ReadonlyMap<string, Place>;
  readonly #contents: Contents;
  readonly #now: () => number;
  readonly #handlers: Readonly<Record<Exclude<S3Operation, 'ListBuckets'>, (job: Job) => Promise<Answer>>> = {
    DeleteObject: (job) => this.#delete(job),
    GetObject: (job) => this.#get(job, 'GET'),
    HeadBucket: (job) => this.#headBucket(job),
    HeadObject: (job) => this.#get(job, 'HEAD'),
    ListObjectsV2: (job) => this.#list(job),
    PutObject: (job) => this.#put(job),
  };

  private constructor(buckets: readonly Bucket[], contents: Contents, now: () => number) {
    this.#contents = contents;
    this.#now = now;
    this.#places = new Map(
      buckets.map((at) => [at.name, { at, objects: new BucketObjects(at, contents, now) }]),
    );
  }

  /** @param now Unix ms, for locks */
  static async open(buckets: readonly Bucket[], now: () => number = Date.now): Promise<S3> {
    return new S3(buckets, await Contents.open(), now);
  }

  /** The policy of the bucket that a resource is or is in; undefined for what is in none of ours. */
  policyOf(resource: string): ResourcePolicy | undefined {
    const name = /^arn:[^:]+:s3:::([^/]+)/.exec(resource)?.[1];
    const place = name === undefined ? undefined : this.#places.get(name);
    return place && { statements: place.at.policy, mustAllow: false };
  }

  /** @throws {ServiceError} whatever S3 answers */
  async call(call: S3Call): Promise<Answer> {
    const request = readRequest(call.request);
    if (request.operation === 'ListBuckets') return this.#listBuckets(call);
    const place = this.#places.get(request.bucket);
    if (!place) throw s3Error(404, 'NoSuchBucket', 'The specified bucket does not exist');
    const headers = { 'x-amz-bucket-region': place.at.region };
    if (place.at.region !== call.region)
      throw s3Error(
        301,
        'PermanentRedirect',
        `The bucket you are attempting to access must be addressed using the specified endpoint: it is in ${place.at.region}, not in ${call.region}.`,
        headers,
      );
    return this.#handlers[request.operation]({ ...call, ...request, ...place });
  }

  async close(): Promise<void> {
    await this.#contents.close();
  }

  async #put(job: Job): Promise<Answer> {
    const { at, objects, key, request } = job;
    authorize(job, 's3:PutObject');
    const lock = lockOf(job);
    if (lock) authorize(job, 's3:PutObjectRetention');
    useKey(job, 'kms:GenerateDataKey');
    if (job.header('x-amz-copy-source') !== undefined)
      throw s3Error(501, 'NotImplemented', 'The rehearsal does not play s3:CopyObject');
    const ifNoneMatch = job.header('if-none-match');
    if (ifNoneMatch !== undefined && ifNoneMatch !== '*')
      throw s3Error(501, 'NotImplemented', `If-None-Match: S3 takes * with a PUT, got ${ifNoneMatch}`);
    const { content, checksums, checked } = readPayload(request);
    if ((lock ?? at.retention) && !checked)
      throw s3Error(
        400,
        'InvalidRequest',
        'Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters',
      );
    const { version, stored } = await objects.put(key, {
      content,
      contentType: job.header('content-type') ?? 'binary/octet-stream',
      headers: { ...describing(job), ...checksums },
      lock,
      ifNoneMatch,
      ifMatch: job.header('if-match'),
    });
    const { 'content-length': _, ...headers } = stored.headers;
    return empty(200, { ...headers, ...encryption(at), ...versionHeader(at, version) });
  }

  async #get(job: Job, method: 'GET' | 'HEAD'): Promise<Answer> {
    const { at, objects, key } = job;
    const versionId = job.query.get('versionId') ?? undefined;
    authorize(job, versionId === undefined ? 's3:GetObject' : 's3:GetObjectVersion');
    const version = objects.find(key, versionId);
    if (version?.contentId === undefined) throw missing(job, version, versionId);
    if (method === 'GET') useKey(job, 'kms:Decrypt');
    const followed = FOLLOWED.flatMap((name) => {
      const value = job.header(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    const { status, headers, body } = await this.#contents.read(
      method,
      version.contentId,
      Object.fromEntries(followed),
    );
    return {
      status,
      contentType: status < 300 ? version.contentType : 'application/xml',
      body,
      headers: {
        ...headers,
        'accept-ranges': 'bytes',
        ...(status < 300 && { ...encryption(at), ...locking(version) }),
        ...versionHeader(at, version),
      },
    };
  }

  async #delete(job: Job): Promise<Answer> {
    const { at, objects, key } = job;
    const versionId = job.query.get('versionId') ?? undefined;
    authorize(job, versionId === undefined ? 's3:DeleteObject' : 's3:DeleteObjectVersion');
    const bypass = job.header('x-amz-bypass-governance-retention') === 'true';
    if (bypass) authorize(job, 's3:BypassGovernanceRetention');
    const version = await objects.remove(key, versionId, bypass);
    const isMarker = version !== undefined && version.contentId === undefined;
    return empty(204, {
      ...(version && versionHeader(at, version)),
      ...(isMarker && { 'x-amz-delete-marker': 'true' }),
    });
  }

  async #headBucket(job: Job): Promise<Answer> {
    authorizeListing(job, {});
    return empty(200, { 'x-amz-bucket-region': job.at.region });
  }

  async #list(job: Job): Promise<Answer> {
    const { query, objects, bucket } = job;
    const prefix = query.get('prefix') ?? '';
    const delimiter = query.get('delimiter') || undefined;
    const max = maxKeysOf(query.get('max-keys'));
    authorizeListing(job, {
      's3:prefix': prefix,
      's3:max-keys': String(max),
      ...(delimiter && { 's3:delimiter': delimiter }),
    });
    const token = query.get('continuation-token');
    const start = query.get('start-after') ?? undefined;
    const after = token === null ? (start ?? '') : Buffer.from(token, 'base64').toString('utf8');
    const { objects: found, folders, next } = objects.list({ prefix, delimiter, after, max });
    const isEncoded = query.get('encoding-type') === 'url';
    const name = (text: string) => (isEncoded ? encodeURIComponent(text).replaceAll('%2F', '/') : text);
    const content: Content = [
      ['Name', bucket],
      ['Prefix', name(prefix)],
      ['Delimiter', delimiter && name(delimiter)],
      ['MaxKeys', max],
      ['EncodingType', isEncoded ? 'url' : undefined],
      ['KeyCount', found.length + folders.length],
      ['IsTruncated', next !== undefined],
      ['StartAfter', start && name(start)],
      ['ContinuationToken', token ?? undefined],
      ['NextContinuationToken', next === undefined ? undefined : Buffer.from(next).toString('base64')],
      ...found.map(([key, version]) => ['Contents', listed(name(key), version)] as const),
      ...folders.map((folder) => ['CommonPrefixes', [['Prefix', name(folder)]]] as const),
    ];
    return { status: 200, contentType: 'application/xml', body: xmlDocument('ListBucketResult', content) };
  }

  /** All of the account's, whatever the region, as S3 lists them. */
  #listBuckets({ authorize: ask }: S3Call): Answer {
    ask({ action: 's3:ListAllMyBuckets', resource: '*', context: {} });
    const buckets = [...this.#places.values()].map(
      ({ at: { name, region } }) =>
        [
          'Bucket',
          [
            ['Name', name],
            ['BucketRegion', region],
          ],
        ] as const,
    );
    const body = xmlDocument('ListAllMyBucketsResult', [['Buckets', buckets]]);
    return { status: 200, contentType: 'application/xml', body };
  }
}

function listed(key: string, { etag, bytes, modifiedAt }: ObjectVersion): Content {
  return [
    ['Key', key],
    ['LastModified', new Date(modifiedAt).toISOString()],
    ['ETag', etag],
    ['Size', bytes],
    ['StorageClass', 'STANDARD'],
  ];
}

/** The rehearsal's loopback connections stand for TLS. */
const TLS = { 's3:TlsVersion': '1.3' };

function authorize({ authorize: ask, at, key }: Job, action: string): void {
  ask({ action, resource: `${at.arn}/${key}`, context: TLS });
}

function authorizeListing({ authorize: ask, at }: Job, context: Access['context']): void {
  ask({ action: 's3:ListBucket', resource: at.arn, context: { ...TLS, ...context } });
}

/**
 * What whoever calls must be allowed to do with the customer's key, which S3 works with on its caller's behalf:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
 */
function useKey(
  { authorize: ask, at, key, region }: Job,
  action: 'kms:Decrypt' | 'kms:GenerateDataKey',
): void {
  if (at.keyArn === undefined) return;
  ask({
    action,
    resource: at.keyArn,
    context: {
      'kms:ViaService': `s3.${region}.amazonaws.com`,
      'kms:EncryptionContext:aws:s3:arn': at.bucketKey ? at.arn : `${at.arn}/${key}`,
    },
  });
}

/** Why there is nothing to read; who may not list a bucket does not learn what is not in it. */
function missing(job: Job, marker: ObjectVersion | undefined, versionId: string | undefined): Error {
  if (marker && versionId !== undefined)
    return s3Error(405, 'MethodNotAllowed', 'The specified method is not allowed against this resource.', {
      'x-amz-delete-marker': 'true',
    });
  authorizeListing(job, {});
  if (versionId !== undefined) return s3Error(404, 'NoSuchVersion', 'The specified version does not exist.');
  return noSuchKey(marker && { 'x-amz-delete-marker': 'true' });
}

/** The lock that a PUT asks for itself. */
function lockOf(job: Job): Lock | undefined {
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

function isMode(mode: string | undefined): mode is Retention['mode'] {
  return mode === 'GOVERNANCE' || mode === 'COMPLIANCE';
}

function describing({ request }: Job): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) => {
      if (!DESCRIBING.test(name) || typeof value !== 'string') return [];
      const rest = name === 'content-encoding' ? value.replace(/(^|,)\s*aws-chunked\s*(?=,|$)/, '') : value;
      return rest === '' ? [] : [[name, rest] as const];
    }),
  );
}

function maxKeysOf(text: string | null): number {
  const max = text === null ? KEYS_PER_PAGE_MAX : Number(text);
  if (Number.isInteger(max) && max >= 0) return Math.min(max, KEYS_PER_PAGE_MAX);
  throw s3Error(400, 'InvalidArgument', `max-keys: expected a whole number, got ${text}`);
}

function encryption({ keyArn, bucketKey }: Bucket): Record<string, string> {
  if (keyArn === undefined) return { 'x-amz-server-side-encryption': 'AES256' };
  return {
    'x-amz-server-side-encryption': 'aws:kms',
    'x-amz-server-side-encryption-aws-kms-key-id': keyArn,
    ...(bucketKey && { 'x-amz-server-side-encryption-bucket-key-enabled': 'true' }),
  };
}

function locking({ lock }: ObjectVersion): Record<string, string> {
  if (!lock) return {};
  return {
    'x-amz-object-lock-mode': lock.mode,
    'x-amz-object-lock-retain-until-date': new Date(lock.until).toISOString(),
  };
}

function versionHeader({ versioned }: Bucket, { id }: ObjectVersion): Record<string, string> {
  return versioned ? { 'x-amz-version-id': id } : {};
}

function empty(status: number, headers: Readonly<Record<string, string>>): Answer {
  return { status, contentType: 'application/xml', body: '', headers };
}
