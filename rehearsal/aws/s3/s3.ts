// S3 as far as it is depended on here: objects with versions, conditional writes, Object Lock and encryption headers, in
// the buckets that the templates make, each in its own region. What versions contain is kept by fauxqs; everything it
// lacks is in front of it. Multipart uploads, ACLs, tags and replication are not played.

import type { Answer } from '../aws-front.ts';
import type { ResourcePolicy } from '../iam.ts';
import type { Bucket } from './buckets.ts';
import { Contents } from './contents.ts';
import { s3Error } from './errors.ts';
import {
  authorize,
  authorizeListing,
  describing,
  empty,
  encryption,
  encryptionOf,
  type Job,
  type KeyState,
  listed,
  locking,
  lockOf,
  maxKeysOf,
  missing,
  type Place,
  type S3Call,
  useKey,
  versionHeader,
} from './jobs.ts';
import { DAY_MS } from './lifecycle.ts';
import { BucketObjects, type ObjectVersion } from './objects.ts';
import { readPayload } from './payload.ts';
import { readRequest, type S3Operation } from './requests.ts';
import { getRetention, putRetention } from './retention.ts';
import { listVersions } from './version-listing.ts';
import { type Content, xmlDocument } from './xml.ts';

export type { S3Call } from './jobs.ts';

export interface S3Options {
  /** Unix ms, for locks and lifecycles. @default Date.now */
  readonly now?: () => number;
  /** @default every key is there and enabled */
  readonly keyState?: (arn: string) => KeyState;
}

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
  readonly #keyState: (arn: string) => KeyState;
  readonly #unavailable = new Set<string>();
  /** The midnight that lifecycles have been looked at for. */
  #midnight: number;
  #ticking: Promise<void> = Promise.resolve();
  readonly #handlers: Readonly<Record<Exclude<S3Operation, 'ListBuckets'>, (job: Job) => Promise<Answer>>> = {
    DeleteObject: (job) => this.#delete(job),
    GetObject: (job) => this.#get(job, 'GET'),
    GetObjectRetention: async (job) => getRetention(job),
    HeadBucket: (job) => this.#headBucket(job),
    HeadObject: (job) => this.#get(job, 'HEAD'),
    ListObjectVersions: async (job) => listVersions(job),
    ListObjectsV2: (job) => this.#list(job),
    PutObject: (job) => this.#put(job),
    PutObjectRetention: (job) => putRetention(job),
  };

  private constructor(buckets: readonly Bucket[], contents: Contents, { now, keyState }: S3Options) {
    this.#contents = contents;
    this.#now = now ?? Date.now;
    this.#keyState = keyState ?? (() => 'enabled');
    this.#midnight = midnightBefore(this.#now());
    this.#places = new Map(
      buckets.map((at) => [at.name, { at, objects: new BucketObjects(at, contents, this.#now) }]),
    );
  }

  static async open(buckets: readonly Bucket[], options: S3Options = {}): Promise<S3> {
    return new S3(buckets, await Contents.open(), options);
  }

  /**
   * What a bucket holds, as S3 has it at rest: current versions, in the order of their keys.
   * @throws RangeError there is no such bucket
   */
  contentsOf(
    bucket: string,
  ): readonly { readonly key: string; readonly bytes: number; readonly modifiedAt: number }[] {
    const { objects } = this.#place(bucket).objects.list({
      prefix: '',
      delimiter: undefined,
      after: '',
      max: Number.POSITIVE_INFINITY,
    });
    return objects.map(([key, { bytes, modifiedAt }]) => ({ key, bytes, modifiedAt }));
  }

  /** The region a bucket is in; undefined for none of ours. */
  regionOf(bucket: string): string | undefined {
    return this.#places.get(bucket)?.at.region;
  }

  /**
   * Does what lifecycles have due at every midnight (UTC) up to a time, one after another. A call does it by itself;
   * whoever looks without one asks for it first.
   * @param nowMs Unix ms
   */
  tick(nowMs: number): Promise<void> {
    // One after another: a midnight builds on what the one before it did.
    this.#ticking = this.#ticking.then(async () => {
      while (this.#midnight < midnightBefore(nowMs)) {
        const midnight = this.#midnight + DAY_MS;
        for (const { objects } of this.#places.values()) await objects.expire(midnight);
        this.#midnight = midnight;
      }
    });
    return this.#ticking;
  }

  /**
   * Makes a bucket answer 503 to every call, or work again with all it had.
   * @throws RangeError there is no such bucket
   */
  setAvailable(bucket: string, available: boolean): void {
    this.#place(bucket);
    if (available) this.#unavailable.delete(bucket);
    else this.#unavailable.add(bucket);
  }

  /**
   * Flips every bit of one byte of an object at rest: whoever reads gets other content under the entity tag, checksums
   * and times of before.
   * @param at which byte of it
   * @param versionId the current one by default
   * @throws RangeError there is no such bucket, version or byte
   */
  async rot(bucket: string, key: string, at: number, versionId?: string): Promise<void> {
    await this.#place(bucket).objects.rot(key, versionId, at);
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
    await this.tick(this.#now());
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
    if (this.#unavailable.has(place.at.name))
      throw s3Error(503, 'ServiceUnavailable', 'Service is unable to handle request.');
    return this.#handlers[request.operation]({ ...call, ...request, ...place, keyState: this.#keyState });
  }

  async close(): Promise<void> {
    await this.#contents.close();
  }

  #place(bucket: string): Place {
    const place = this.#places.get(bucket);
    if (place) return place;
    throw new RangeError(`expected one of the buckets ${[...this.#places.keys()].join(', ')}, got ${bucket}`);
  }

  async #put(job: Job): Promise<Answer> {
    const { at, objects, key, request } = job;
    authorize(job, 's3:PutObject');
    const lock = lockOf(job);
    if (lock) authorize(job, 's3:PutObjectRetention');
    const encrypted = encryptionOf(job);
    useKey(job, encrypted, 'kms:GenerateDataKey');
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
      encryption: encrypted,
      ifNoneMatch,
      ifMatch: job.header('if-match'),
    });
    const { 'content-length': _, ...headers } = stored.headers;
    return empty(200, { ...headers, ...encryption(version), ...versionHeader(at, version) });
  }

  async #get(job: Job, method: 'GET' | 'HEAD'): Promise<Answer> {
    const { at, objects, key } = job;
    const versionId = job.query.get('versionId') ?? undefined;
    authorize(job, versionId === undefined ? 's3:GetObject' : 's3:GetObjectVersion');
    const version = objects.find(key, versionId);
    if (version?.contentId === undefined) throw missing(job, version, versionId);
    if (ARCHIVED.has(version.storageClass) && method === 'GET')
      throw s3Error(403, 'InvalidObjectState', "The operation is not valid for the object's storage class");
    if (method === 'GET') useKey(job, version.encryption, 'kms:Decrypt');
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
        ...(status < 300 && version.remembered && saidOf(version.remembered, job)),
        'accept-ranges': 'bytes',
        ...(status < 300 && { ...encryption(version), ...locking(version), ...classOf(version) }),
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

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/archived-objects.html */
const ARCHIVED = new Set(['GLACIER', 'DEEP_ARCHIVE']);

function midnightBefore(ms: number): number {
  return Math.floor(ms / DAY_MS) * DAY_MS;
}

/** Checksums are told to whoever asks for them, and of a part there are none. */
function saidOf(remembered: Readonly<Record<string, string>>, job: Job): Record<string, string> {
  const asked = job.header('x-amz-checksum-mode') === 'ENABLED' && job.header('range') === undefined;
  return Object.fromEntries(
    Object.entries(remembered).filter(([name]) => asked || !name.startsWith('x-amz-checksum-')),
  );
}

/** Said of every class but the first. */
function classOf({ storageClass }: ObjectVersion): Record<string, string> {
  return storageClass === 'STANDARD' ? {} : { 'x-amz-storage-class': storageClass };
}
