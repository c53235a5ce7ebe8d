// The door of every job that must run once (DESIGN §4): only where the service is active, not while that is changing,
// and never again under an epoch older than one it ran under. A region that comes back with what it believed before
// learns at this door that it is over.
import { epochOf, type JobEntry, runsJobs } from './core/routing.ts';
import type { Service } from './service.ts';
import type { Store } from './store/store.ts';

export interface FenceParts extends Pick<Service, 'place' | 'now'> {
  readonly store: Pick<Store, 'routing' | 'enterJob'>;
}

/** By the names their items go by: a name that changes opens the door to what ran under the old one. */
export type JobName = 'sweep' | 'trim';

/**
 * Reads who is active, and records the job's epoch under the condition that none above it is recorded.
 * @throws {StoreUnavailableError} the table did not answer: the job may not begin
 */
export async function enterJob({ store, place, now }: FenceParts, job: JobName): Promise<JobEntry> {
  const { region, regions } = place;
  const routing = await store.routing();
  const here = runsJobs(routing, region, regions.primary);
  if (!here.runs) return { entered: false, why: here.why };
  const epoch = epochOf(routing);
  const entered = await store.enterJob(job, { epoch, region, at: now() });
  return entered
    ? { entered, epoch }
    : { entered, why: `${job} has run under a later epoch than ${epoch}: ${region} is not active any more` };
}
