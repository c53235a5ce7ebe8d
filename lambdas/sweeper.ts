// Function `sweeper`: invoked once an hour in both serving regions.
import { createAuditRegions } from './audit-regions.ts';
import { createSweeper } from './routes/sweeper.ts';
import { createService } from './service.ts';

const service = createService('maintenance');
const { own } = createAuditRegions(service.place.region);
const sweep = createSweeper({ ...service, audit: own });

export const handler = async (): Promise<void> => sweep();
