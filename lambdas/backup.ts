// Function `backup`: called by a schedule a tier, in every region that has a replica.
import {
  readBackupBucketsFrom,
  readKeyArn,
  readOffsite,
  readTableArn,
  readTableName,
  readThirdCopy,
} from './env.ts';
import { type BackupPlace, backupCallOf, createBackup } from './routes/backup.ts';
import { createService } from './service.ts';
import { createDynamoDBClient } from './store/attempts.ts';
import { createDynamoDBExporter } from './store/dynamodb-exporter.ts';
import { createS3Client } from './store/s3-audit-store.ts';
import { createS3BackupStore } from './store/s3-backup-store.ts';

const service = createService('backup');
const { region } = service.place;
const { own, peers } = readBackupBucketsFrom(region);
const offsite = readOffsite();
const third = readThirdCopy();
const tableArn = readTableArn();
const storeIn = (at: string, bucket: string) =>
  createS3BackupStore({ client: createS3Client({ region: at }), bucket });

const places: BackupPlace[] = [
  {
    tiers: ['hourly', 'daily', 'weekly'],
    store: storeIn(region, own),
    target: { bucket: own, keyArn: readKeyArn() },
    peers: new Map(Object.entries(peers).map(([at, bucket]) => [at, storeIn(at, bucket)])),
  },
];
if (offsite)
  places.push({
    tiers: ['offsite'],
    store: storeIn(region, offsite.bucket),
    target: offsite,
    peers: new Map(),
  });

const backup = createBackup({
  ...service,
  exporter: createDynamoDBExporter({ client: createDynamoDBClient(), tableName: readTableName(), tableArn }),
  tableArn,
  places,
  ...(third && {
    thirdCopy: { name: `${third.region} offsite`, reader: storeIn(third.region, third.bucket) },
  }),
});

export const handler = async (event: unknown): Promise<void> => backup(backupCallOf(event));
