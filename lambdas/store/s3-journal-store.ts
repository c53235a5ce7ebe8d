// The journal's port on S3. One attempt a call: what is tried again, and what is parked elsewhere, the journal decides.
import type { S3Client } from '@aws-sdk/client-s3';
import type { JournalStore } from './journal-store.ts';
import { createS3Objects } from './s3-objects.ts';

export interface S3JournalStoreOptions {
  /** Made by `createS3Client`, in the bucket's region. */
  readonly client: S3Client;
  readonly bucket: string;
  /** One put: a segment of 6 MB at most, before compression. @default 5 s */
  readonly attemptMs?: number;
}

const ATTEMPT_MS = 5_000;

export function createS3JournalStore({
  client,
  bucket,
  attemptMs = ATTEMPT_MS,
}: S3JournalStoreOptions): JournalStore {
  const objects = createS3Objects({ client, bucket, attemptMs, attempts: 1, called: 'backup bucket' });
  return {
    put: (key, content) =>
      objects.put(key, content, {
        contentType: typeof content === 'string' ? 'application/json' : 'application/gzip',
      }),
  };
}
