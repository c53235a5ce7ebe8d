// Function `verification`: called by a schedule in every region that has a replica.
import { readBackupBucketsFrom, readLocks, readOffsite, readPlace, readTableName } from './env.ts';
import { createVerification, type VerifiedPlace } from './routes/verification.ts';
import { createDynamoDBClient } from './store/attempts.ts';
import { createS3Client } from './store/s3-audit-store.ts';
import { createS3BackupStore } from './store/s3-backup-store.ts';
import { TableCalls } from './store/table-calls.ts';
import { verificationItems } from './store/verification-items.ts';
import { createTelemetry } from './telemetry.ts';

const ATTEMPT_MS = 5_000;

const place = readPlace();
const { mode, days } = readLocks();
const { own } = readBackupBucketsFrom(place.region);
const offsite = readOffsite();
const client = createS3Client({ region: place.region });
const storeOf = (bucket: string) => createS3BackupStore({ client, bucket, lockMode: mode });

const places: VerifiedPlace[] = [{ tiers: ['hourly', 'daily', 'weekly'], store: storeOf(own) }];
if (offsite) places.push({ tiers: ['offsite'], store: storeOf(offsite.bucket) });

const verify = createVerification({
  place,
  telemetry: createTelemetry(place, 'verification'),
  now: Date.now,
  log: verificationItems(
    new TableCalls({
      client: createDynamoDBClient(),
      tableName: readTableName(),
      writeAttemptMs: ATTEMPT_MS,
      readAttemptMs: ATTEMPT_MS,
    }),
  ),
  places,
  lockDays: days,
});

export const handler = async (): Promise<void> => verify();
