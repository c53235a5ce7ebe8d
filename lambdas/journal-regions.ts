// The journal of the region a function runs in, from the environment: its own backup bucket, and the others' for what
// that one does not take.
import { randomBytes } from 'node:crypto';
import { readBackupBucketsFrom } from './env.ts';
import { createJournal } from './journal.ts';
import type { Service } from './service.ts';
import { createS3Client } from './store/s3-audit-store.ts';
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
