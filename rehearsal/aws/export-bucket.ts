// How DynamoDB puts an export's files into a bucket on its caller's behalf: over the network between the two regions, as
// any PUT, with the caller's permissions.

import { md5 } from './dynamodb/export-files.ts';
import type { ExportedObject } from './dynamodb/exports.ts';
import type { RegionLinks } from './dynamodb/region-links.ts';
import { s3Error } from './s3/errors.ts';
import type { S3 } from './s3/s3.ts';

export interface ExportBucketOptions {
  /** Undefined where there are no buckets. */
  readonly s3: S3 | undefined;
  readonly links: RegionLinks;
  /** How long a bucket out of reach is waited for. */
  readonly hangMs: number;
}

/** Gives the entity tag. The returned function throws what S3 answers. */
export function exportBucket({ s3, links, hangMs }: ExportBucketOptions) {
  return async ({
    bucket,
    key,
    body,
    contentType,
    sse,
    from,
    authorize,
    signal,
  }: ExportedObject): Promise<string> => {
    const region = s3?.regionOf(bucket);
    if (!s3 || region === undefined)
      throw s3Error(404, 'NoSuchBucket', 'The specified bucket does not exist');
    const reaches = () => (links.isUp(from) && links.reaches(from, region)) || undefined;
    if (!(await links.until(reaches, hangMs, signal)))
      throw s3Error(503, 'ServiceUnavailable', `${bucket} in ${region} cannot be reached from ${from}`);
    await links.travel(from, region);
    const { headers } = await s3.call({
      request: {
        method: 'PUT',
        url: `/${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`,
        headers: {
          'content-type': contentType,
          'content-md5': md5(body),
          'x-amz-server-side-encryption': sse.sseAlgorithm === 'KMS' ? 'aws:kms' : 'AES256',
          ...(sse.sseKeyId !== undefined && {
            'x-amz-server-side-encryption-aws-kms-key-id': sse.sseKeyId,
          }),
        },
        body,
      },
      region,
      authorize: (access) =>
        authorize({ ...access, context: { ...access.context, 'aws:RequestedRegion': region } }),
    });
    await links.travel(region, from);
    return String(headers?.['etag']);
  };
}
