// Locking versions after they were written: PutObjectRetention and GetObjectRetention.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html
import type { Answer } from '../aws-front.ts';
import { s3Error } from './errors.ts';
import { authorize, empty, isMode, type Job, missing } from './jobs.ts';
import type { ObjectVersion } from './objects.ts';
import { readPayload } from './payload.ts';
import { xmlDocument } from './xml.ts';

/** A lock is lengthened by whoever may lock, and loosened only in governance mode by whoever may do that and says so. */
export async function putRetention(job: Job): Promise<Answer> {
  authorize(job, 's3:PutObjectRetention');
  const bypass = job.header('x-amz-bypass-governance-retention') === 'true';
  if (bypass) authorize(job, 's3:BypassGovernanceRetention');
  const { content, checked } = readPayload(job.request);
  if (!checked)
    throw s3Error(
      400,
      'InvalidRequest',
      'Missing required header for this request: Content-MD5 OR x-amz-checksum-*',
    );
  const version = lockable(job);
  const text = content.toString('utf8');
  const mode = elementOf(text, 'Mode');
  const until = Date.parse(elementOf(text, 'RetainUntilDate') ?? '');
  if (!isMode(mode) || Number.isNaN(until))
    throw s3Error(400, 'MalformedXML', `Retention: expected a Mode and a RetainUntilDate, got ${text}`);
  await job.objects.lock(job.key, version, { mode, until }, bypass);
  return empty(200, {});
}

export function getRetention(job: Job): Answer {
  authorize(job, 's3:GetObjectRetention');
  const { lock } = lockable(job);
  if (!lock)
    throw s3Error(
      404,
      'NoSuchObjectLockConfiguration',
      'The specified object does not have a ObjectLock configuration',
    );
  return {
    status: 200,
    contentType: 'application/xml',
    body: xmlDocument('Retention', [
      ['Mode', lock.mode],
      ['RetainUntilDate', new Date(lock.until).toISOString()],
    ]),
  };
}

function lockable(job: Job): ObjectVersion {
  const { at, objects, key, query } = job;
  if (!at.locks) throw s3Error(400, 'InvalidRequest', 'Bucket is missing Object Lock Configuration');
  const versionId = query.get('versionId') ?? undefined;
  const version = objects.find(key, versionId);
  if (version?.contentId !== undefined) return version;
  throw missing(job, version, versionId);
}

function elementOf(text: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
}
