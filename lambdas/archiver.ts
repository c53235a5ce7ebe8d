// Function `archiver`: reads the stream of its region's replica, in all three regions.
import { createAuditRegions } from './audit-regions.ts';
import { createArchiver } from './routes/archiver.ts';
import { createService } from './service.ts';

const service = createService('audit');

export const handler = createArchiver({ ...service, audits: createAuditRegions(service.place.region) });
