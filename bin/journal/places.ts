// One region's backup bucket as the journal commands see it.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { accountOf, type PlaceOptions } from '../audit/places.ts';
import { type Bucket, openBucket, TIMEOUTS } from '../buckets.ts';

export interface JournalPlace extends Pick<Bucket, 'keys' | 'folders' | 'content'> {
  readonly region: string;
  /** What stands there already stays. */
  put(key: string, content: Uint8Array): Promise<void>;
}

/** Asks the table whose account it is in, so that the bucket can be named. */
export async function openJournalPlace({
  region,
  table,
  bucketIn,
  endpoint,
  credentials,
}: PlaceOptions): Promise<JournalPlace> {
  const client = {
    region,
    requestHandler: TIMEOUTS,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  };
  const account = await accountOf(new DynamoDBClient(client), table);
  const bucket = openBucket({ region, bucket: bucketIn(account), endpoint, credentials });
  return { ...bucket, region, put: (key, content) => bucket.put(key, content, 'application/gzip') };
}
