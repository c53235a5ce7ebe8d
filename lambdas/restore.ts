// Function `restore`: loads the full backup for a restore of everything, near the data, many at once. In both serving
// Regions, each from its own Region's backup bucket into its own replica.
import { randomBytes } from 'node:crypto';
import { hasQuorum, readBackupBucketsFrom, readQueueUrl, readTableName } from './env.ts';
import { createRestore } from './routes/restore.ts';
import { createService } from './service.ts';
import { createDynamoDBClient } from './store/attempts.ts';
import { createRestoreQueue } from './store/restore-queue.ts';
import { createRestoreTable } from './store/restore-table.ts';
import { createS3Client } from './store/s3-audit-store.ts';
import { createS3BackupStore } from './store/s3-backup-store.ts';

const service = createService('restore');
const { region } = service.place;
const { own } = readBackupBucketsFrom(region);

export const handler = createRestore({
  ...service,
  store: createS3BackupStore({ client: createS3Client({ region }), bucket: own }),
  table: createRestoreTable({ client: createDynamoDBClient(), tableName: readTableName() }),
  queue: createRestoreQueue(readQueueUrl()),
  maker: randomBytes(8).toString('hex'),
  through: hasQuorum(service.place) ? undefined : region,
});
