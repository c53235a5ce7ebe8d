// Function `ready`: says whether everything that serving depends on works from here, for observers and people.
import { readKeyArn } from './env.ts';
import { httpHandler } from './http.ts';
import { createReadiness, readyRoutes, serviceChecks } from './readiness.ts';
import { createService } from './service.ts';

const service = createService('api');
const checks = serviceChecks(service, { keyArn: readKeyArn(), writes: true });
const readiness = createReadiness({ ...service, region: service.place.region, checks });

export const handler = httpHandler(readyRoutes(readiness), service);
