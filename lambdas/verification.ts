// Function `verification`: called by a schedule in every region that has a replica. Proves the region's backups, and keeps
// its journal and its audit archive whole.
import { createAuditCare } from './audit-care.ts';
import { createAuditRegions } from './audit-regions.ts';
import {
  readBackupBucketsFrom,
  readKeyArn,
  readLocks,
  readOffsite,
  readPlace,
  readScratchPrefix,
  readTableName,
} from './env.ts';
import { createJournalCare } from './journal-care.ts';
import { openJournals } from './journal-regions.ts';
import { createVerification, type VerifiedPlace } from './routes/verification.ts';
import { createDynamoDBClient } from './store/attempts.ts';
import { createS3Client } from './store/s3-audit-store.ts';
import { createS3BackupStore } from './store/s3-backup-store.ts';
import { createScratchTables } from './store/scratch-table.ts';
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

const dynamodb = createDynamoDBClient();

const places: VerifiedPlace[] = [{ tiers: ['hourly', 'daily', 'weekly'], store: storeOf(own) }];
if (offsite) places.push({ tiers: ['offsite'], store: storeOf(offsite.bucket) });

const telemetry = createTelemetry(place, 'verification');
const log = verificationItems(
  new TableCalls({
    client: dynamodb,
    tableName: readTableName(),
    writeAttemptMs: ATTEMPT_MS,
    readAttemptMs: ATTEMPT_MS,
  }),
);
const base = { place, telemetry, now: Date.now, log };
const audits = createAuditRegions(place.region);

const verify = createVerification({
  ...base,
  journal: createJournalCare({
    ...base,
    ...openJournals(place.region),
    audit: createAuditCare({ region: place.region, audits, telemetry }),
  }),
  places,
  lockDays: days,
  scratch: {
    prefix: readScratchPrefix(),
    tables: createScratchTables({
      client: dynamodb,
      keyArn: readKeyArn(),
      tags: { project: 'eden-field', stage: place.stage, use: 'verification' },
    }),
  },
});

export const handler = async (): Promise<void> => verify();
