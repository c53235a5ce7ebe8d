// `GET /health`: should traffic be sent here (DESIGN §4)? Looks at nothing but this process and a copy of the routing
// state through the region's own replica, since a dependency that the regions share must not turn both of them red.
import { HEADERS, type HealthResponse, PATHS } from '../../protocol/messages.ts';
import { METRICS } from '../../protocol/metrics.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import { isEvacuated } from '../core/routing.ts';
import type { HttpAnswer, Routes } from '../http.ts';
import { READY_ROUTE } from '../http.ts';
import type { Service } from '../service.ts';
import { within } from '../within.ts';

/** How old a copy may get before it is read again, and how long an answer waits for that. */
const COPY_MS_MAX = 5_000;
const WAIT_MS_MAX = 500;

export function healthRoutes({
  own,
  place,
  telemetry,
  now,
}: Pick<Service, 'own' | 'place' | 'telemetry' | 'now'>): Routes {
  /** The last value known, however old; undefined as long as there has never been one. */
  let routing: RoutingState | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  /** Brings the copy up to date; rejects when that fails. */
  function refresh(): Promise<void> {
    reading ??= own
      .routing()
      .then((read) => {
        routing = read ?? routing;
        readAt = now();
      })
      .finally(() => {
        reading = undefined;
      });
    return reading;
  }

  async function current(): Promise<RoutingState | undefined> {
    if (now() - readAt < COPY_MS_MAX) return routing;
    await within(WAIT_MS_MAX, refresh(), 'no answer').catch((error) => {
      telemetry.error('the routing state cannot be read; the last known one counts', error);
      // Not tried again by every request.
      readAt = now();
    });
    return routing;
  }

  return {
    [`GET ${PATHS.health}`]: async (request): Promise<HttpAnswer> => {
      const evacuated = isEvacuated(await current(), place.region, place.regions.primary);
      request.samples.push(
        { name: METRICS.healthChecks, value: 1 },
        { name: METRICS.healthCheckFailures, value: evacuated ? 1 : 0 },
      );
      const body: HealthResponse = { status: evacuated ? 'evacuated' : 'ok', region: place.region };
      return evacuated
        ? { status: 503, headers: { [HEADERS.evacuated]: 'true' }, body }
        : { status: 200, body };
    },
    // Before a release: this function depends on reading the routing state, and on nothing else.
    [READY_ROUTE]: async (): Promise<HttpAnswer> => {
      const outcome = await refresh().then(
        () => 'ok',
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      const ready = outcome === 'ok';
      return {
        status: ready ? 200 : 503,
        body: {
          status: ready ? 'ready' : 'not_ready',
          region: place.region,
          dependencies: { routing: outcome },
        },
      };
    },
  };
}
