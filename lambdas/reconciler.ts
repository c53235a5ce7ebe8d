// Function `reconciler`: reads the stream of its region's replica where two replicas follow each other. It archives
// first, so that no branch of a trail is left before it stands in a bucket; beside both goes the journal. One reader does
// it all, since a global table's stream should have no second one (ADR 0015).
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
import { createAuditRegions } from './audit-regions.ts';
import { readTableName } from './env.ts';
import { apart, type JournalEvent } from './journal.ts';
import { openJournal } from './journal-regions.ts';
import { createArchiver, type StreamEvent } from './routes/archiver.ts';
import { type ChangeEvent, createReconciler, inTurn } from './routes/reconciler.ts';
import { createService } from './service.ts';
import { createDynamoDBClient } from './store/attempts.ts';
import { createReconcilingStore } from './store/reconciling-store.ts';

const service = createService('audit');
const audits = createAuditRegions(service.place.region);

export const handler = apart<StreamEvent & ChangeEvent & JournalEvent>(
  openJournal(service),
  inTurn<StreamEvent & ChangeEvent>(
    createArchiver({ ...service, audits }),
    createReconciler({
      ...service,
      audit: audits.own,
      store: createReconcilingStore({ client: createDynamoDBClient(), tableName: readTableName() }),
    }),
  ),
);
