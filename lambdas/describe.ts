// Function `describe`: serves the description of the API that it is part of.
import description from '../docs/openapi.yaml';
import { PATHS } from '../protocol/messages.ts';
import { readPlace } from './env.ts';
import { httpHandler } from './http.ts';
import { createTelemetry } from './telemetry.ts';

const place = readPlace();

export const handler = httpHandler(
  {
    [`GET ${PATHS.description}`]: async () => ({
      status: 200,
      // RFC 9512
      headers: { 'content-type': 'application/yaml' },
      body: description,
    }),
  },
  { place, telemetry: createTelemetry(place, 'api'), now: Date.now },
);
