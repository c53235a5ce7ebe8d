// Function `archiver`: reads the stream of its region's replica, in all three regions, into the audit archive and into
// the journal. One reader does both, since a global table's stream should have no second one (ADR 0015).
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
import { createAuditRegions } from './audit-regions.ts';
import { apart, type JournalEvent } from './journal.ts';
import { openJournal } from './journal-regions.ts';
import { createArchiver, type StreamEvent } from './routes/archiver.ts';
import { createService } from './service.ts';

const service = createService('audit');

export const handler = apart<StreamEvent & JournalEvent>(
  openJournal(service),
  createArchiver({ ...service, audits: createAuditRegions(service.place.region) }),
);
