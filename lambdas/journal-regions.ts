// The journal of the region a function runs in, from the environment: its own backup bucket, and the others' for what
// that one does not take, or lacks.
import { randomBytes } from 'node:crypto';
import { readBackupBucketsFrom } from './env.ts';
import { createJournal } from './journal.ts';
import type { JournalSource } from './journal-reading.ts';
import type { Service } from './service.ts';
import type { JournalStore } from './store/journal-store.ts';
import { createS3Client } from './store/s3-audit-store.ts';
import { createS3BackupStore } from './store/s3-backup-store.ts';
import { createS3JournalStore } from './store/s3-journal-store.ts';

export function openJournal(service: Service): ReturnType<typeof createJournal> {
  const { region } = service.place;
  const { own, peers } = readBackupBucketsFrom(region);
  const storeIn = (at: string, bucket: string) =>
    createS3JournalStore({ client: createS3Client({ region: at }), bucket });
  return createJournal({
    ...service,
    writer: randomBytes(8).toString('hex'),
    journals: {
      own: storeIn(region, own),
      peers: new Map(Object.entries(peers).map(([at, bucket]) => [at, storeIn(at, bucket)])),
    },
  });
}

/** Of one segment of 6 MB at most, before compression. */
const READ_MS = 15_000;

/** The journals of all regions, as whoever keeps its own whole needs them. */
export function openJournals(region: string): {
  readonly own: JournalSource & JournalStore;
  readonly peers: ReadonlyMap<string, JournalSource>;
} {
  const { own, peers } = readBackupBucketsFrom(region);
  const client = createS3Client({ region });
  const sourceIn = (at: string, bucket: string) =>
    createS3BackupStore({ client: createS3Client({ region: at }), bucket, fileMs: READ_MS });
  return {
    own: { ...sourceIn(region, own), ...createS3JournalStore({ client, bucket: own }) },
    peers: new Map(Object.entries(peers).map(([at, bucket]) => [at, sourceIn(at, bucket)])),
  };
}
