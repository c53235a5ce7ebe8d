// Function `push`: takes batches of operations.
import { PATHS } from '../protocol/messages.ts';
import { readKeyArn } from './env.ts';
import { httpHandler } from './http.ts';
import { createReadiness, readyRoutes, serviceChecks } from './readiness.ts';
import { pushRoutes } from './routes/push.ts';
import { createVotingService } from './service.ts';

const service = createVotingService('sync');
const checks = serviceChecks(service, { keyArn: readKeyArn(), writes: true });
const readiness = createReadiness({ ...service, region: service.place.region, checks });

export const handler = httpHandler(
  { ...pushRoutes(service), ...readyRoutes(readiness, PATHS.readyPush) },
  service,
);
