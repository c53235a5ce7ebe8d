// Function `authorizer`: decides what the bearer of a token may call. Before a release it answers `/ready` by whether
// its key set can be used, which is all that it depends on.
import type {
  APIGatewayAuthorizerResult,
  APIGatewayProxyResult,
  APIGatewayRequestAuthorizerEvent,
} from 'aws-lambda';
import { importKeySet } from './core/tokens.ts';
import { readPlace, readTokenSettings } from './env.ts';
import { httpHandler, type ProxyEvent } from './http.ts';
import { createReadiness, readyRoutes } from './readiness.ts';
import { createAuthorizer } from './routes/authorizer.ts';
import { createTelemetry } from './telemetry.ts';

const place = readPlace();
const settings = readTokenSettings();
const telemetry = createTelemetry(place, 'authentication');
const keys = importKeySet(settings.keySet);
// Whoever awaits it hears of a failure; it must not end the process before that.
keys.catch(() => {});
const authorize = createAuthorizer({ settings, keys, telemetry, now: Date.now });
const readiness = createReadiness({
  region: place.region,
  checks: { keys: () => keys },
  telemetry,
  now: Date.now,
});
const answer = httpHandler(readyRoutes(readiness), { place, telemetry, now: Date.now });

export const handler = async (
  event: APIGatewayRequestAuthorizerEvent | ProxyEvent,
): Promise<APIGatewayAuthorizerResult | APIGatewayProxyResult> =>
  'methodArn' in event ? authorize(event) : answer(event);
