// Function `records`: reads, writes and lists records one at a time.
import { PATHS } from '../protocol/messages.ts';
import { readKeyArn } from './env.ts';
import { httpHandler } from './http.ts';
import { createReadiness, readyRoutes, serviceChecks } from './readiness.ts';
import { recordsRoutes } from './routes/records.ts';
import { createVotingService } from './service.ts';

const service = createVotingService('api');
const checks = serviceChecks(service, { keyArn: readKeyArn(), writes: true });
const readiness = createReadiness({ ...service, region: service.place.region, checks });

export const handler = httpHandler(
  { ...recordsRoutes(service), ...readyRoutes(readiness, PATHS.readyRecords) },
  service,
);
