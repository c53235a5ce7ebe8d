// Every version of every key: ListObjectVersions.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
import type { Answer } from '../aws-front.ts';
import { authorizeListing, type Job, listed, maxKeysOf } from './jobs.ts';
import { type Content, xmlDocument } from './xml.ts';

export function listVersions(job: Job): Answer {
  const { query, objects, bucket } = job;
  const prefix = query.get('prefix') ?? '';
  const max = maxKeysOf(query.get('max-keys'));
  authorizeListing(job, { 's3:prefix': prefix, 's3:max-keys': String(max) }, 's3:ListBucketVersions');
  const after = {
    key: query.get('key-marker') ?? '',
    versionId: query.get('version-id-marker') ?? undefined,
  };
  const { versions, next } = objects.listVersions(prefix, after, max);
  const isEncoded = query.get('encoding-type') === 'url';
  const name = (text: string) => (isEncoded ? encodeURIComponent(text).replaceAll('%2F', '/') : text);
  const content: Content = [
    ['Name', bucket],
    ['Prefix', name(prefix)],
    ['MaxKeys', max],
    ['EncodingType', isEncoded ? 'url' : undefined],
    ['IsTruncated', next !== undefined],
    ['NextKeyMarker', next && name(next.key)],
    ['NextVersionIdMarker', next?.versionId],
    ...versions.map(({ key, version, isLatest }) => {
      const rows: Content = [
        ...listed(name(key), version),
        ['VersionId', version.id],
        ['IsLatest', isLatest],
      ];
      // A marker has no content to tell of.
      const ofMarker = rows.filter(([row]) => !['ETag', 'Size', 'StorageClass'].includes(row));
      return version.contentId === undefined
        ? (['DeleteMarker', ofMarker] as const)
        : (['Version', rows] as const);
    }),
  ];
  return { status: 200, contentType: 'application/xml', body: xmlDocument('ListVersionsResult', content) };
}
