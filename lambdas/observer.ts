// Function `observer`: invoked once a minute in every region.
import { readObserved } from './env.ts';
import { createProber } from './probe.ts';
import { createObserver } from './routes/observer.ts';
import { createRoutingArchive } from './routing-archive.ts';
import { createOwnAudit, createService } from './service.ts';
import { createWatch } from './watch.ts';

const service = createService('observer');
const observed = readObserved();
const archive = createRoutingArchive({ ...service, audit: createOwnAudit(service.place.region) });
const watch = observed && createWatch({ ...service, observed, prober: createProber(), archive });
const observe = createObserver({ ...service, archive, watch });

export const handler = async (): Promise<void> => observe();
