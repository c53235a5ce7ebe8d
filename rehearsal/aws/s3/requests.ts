// A request to S3 by its path and query: which operation on which bucket and key. Path style only, since the rehearsal's
// endpoint is an address, which SDKs never put a bucket's name in front of.
import type { SignedRequest } from '../signature.ts';
import { s3Error } from './errors.ts';

export type S3Operation =
  | 'DeleteObject'
  | 'GetObject'
  | 'GetObjectRetention'
  | 'HeadBucket'
  | 'HeadObject'
  | 'ListBuckets'
  | 'ListObjectVersions'
  | 'ListObjectsV2'
  | 'PutObject'
  | 'PutObjectRetention';

export interface S3Request {
  readonly operation: S3Operation;
  /** Empty for ListBuckets. */
  readonly bucket: string;
  /** Empty for what is about a bucket. */
  readonly key: string;
  readonly query: URLSearchParams;
  /** Undefined when it is absent. */
  header(name: string): string | undefined;
}

const OBJECT_OPERATIONS: Readonly<Record<string, S3Operation>> = {
  DELETE: 'DeleteObject',
  GET: 'GetObject',
  HEAD: 'HeadObject',
  PUT: 'PutObject',
};
/** What a query may say of an operation; any other name in it makes another operation. */
const QUERY_NAMES: Readonly<Partial<Record<S3Operation, readonly string[]>>> = {
  DeleteObject: ['versionId'],
  GetObject: ['versionId'],
  GetObjectRetention: ['retention', 'versionId'],
  HeadObject: ['versionId'],
  ListObjectVersions: ['encoding-type', 'key-marker', 'max-keys', 'prefix', 'version-id-marker', 'versions'],
  PutObjectRetention: ['retention', 'versionId'],
  ListObjectsV2: [
    'continuation-token',
    'delimiter',
    'encoding-type',
    'fetch-owner',
    'list-type',
    'max-keys',
    'prefix',
    'start-after',
  ],
};

/** @throws ServiceError NotImplemented: what is not played, by its name where it has one */
export function readRequest({ method, url, headers }: SignedRequest): S3Request {
  const [path = '/', search = ''] = url.split('?');
  const [, bucket = '', ...rest] = path.split('/');
  const key = rest.map(decoded).join('/');
  const query = new URLSearchParams(search);
  const operation = operationOf(method, bucket, key, query);
  // SDKs name the operation here, for people who read logs.
  const named = query.get('x-id');
  query.delete('x-id');
  const allowed = operation === undefined ? [] : (QUERY_NAMES[operation] ?? []);
  const strange = [...query.keys()].find((name) => !allowed.includes(name));
  if (operation === undefined || strange !== undefined)
    throw s3Error(
      501,
      'NotImplemented',
      `The rehearsal does not play s3:${named ?? `${method} ${key === '' ? 'of a bucket' : 'of an object'}${strange === undefined ? '' : ` with ${strange}`}`}; it plays PutObject, GetObject, HeadObject, DeleteObject, PutObjectRetention, GetObjectRetention, ListObjectsV2, ListObjectVersions, HeadBucket and ListBuckets`,
    );
  return {
    operation,
    bucket: decoded(bucket),
    key,
    query,
    header(name) {
      const value = headers[name];
      return Array.isArray(value) ? value.join(',') : value;
    },
  };
}

function operationOf(
  method: string,
  bucket: string,
  key: string,
  query: URLSearchParams,
): S3Operation | undefined {
  if (key !== '' && query.has('retention'))
    return { GET: 'GetObjectRetention' as const, PUT: 'PutObjectRetention' as const }[method];
  if (key !== '') return OBJECT_OPERATIONS[method];
  if (method === 'HEAD' && bucket !== '') return 'HeadBucket';
  if (method !== 'GET') return undefined;
  if (bucket === '') return 'ListBuckets';
  if (query.has('versions')) return 'ListObjectVersions';
  return query.get('list-type') === '2' ? 'ListObjectsV2' : undefined;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw s3Error(400, 'InvalidURI', "Couldn't parse the specified URI.");
  }
}
