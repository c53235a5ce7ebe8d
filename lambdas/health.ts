// Function `health`: says whether DNS and clients should send traffic to this region.
import { httpHandler } from './http.ts';
import { healthRoutes } from './routes/health.ts';
import { createService } from './service.ts';

const service = createService('api');

export const handler = httpHandler(healthRoutes(service), service);
