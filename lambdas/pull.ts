// Function `pull`: hands out changes.
import { PATHS } from '../protocol/messages.ts';
import { readKeyArn } from './env.ts';
import { httpHandler } from './http.ts';
import { createReadiness, readyRoutes, serviceChecks } from './readiness.ts';
import { pullRoutes } from './routes/pull.ts';
import { createServingService } from './service.ts';

const service = createServingService('sync');
const checks = serviceChecks(service, { keyArn: readKeyArn(), writes: false });
const readiness = createReadiness({ ...service, region: service.place.region, checks });

export const handler = httpHandler(
  { ...pullRoutes(service), ...readyRoutes(readiness, PATHS.readyPull) },
  service,
);
