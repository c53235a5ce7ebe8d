// What a client holds of one endpoint. Failures in a row make it unhealthy, so does silence; successes in a row make it
// healthy again. The numbers are the specification's for load balancers.

export type Health =
  | { readonly state: 'healthy'; readonly failures: number }
  | {
      readonly state: 'unhealthy';
      readonly because: 'failures' | 'silence';
      readonly since: number;
      readonly successes: number;
    };

export interface HealthOptions {
  readonly unhealthyAfter: number;
  readonly healthyAfter: number;
}

export const HEALTHY: Health = { state: 'healthy', failures: 0 };

export function afterSuccess(health: Health, { healthyAfter }: HealthOptions): Health {
  if (health.state === 'healthy') return health.failures === 0 ? health : HEALTHY;
  const successes = health.successes + 1;
  return successes >= healthyAfter ? HEALTHY : { ...health, successes };
}

export function afterFailure(health: Health, { unhealthyAfter }: HealthOptions, now: number): Health {
  if (health.state === 'unhealthy') return health.successes === 0 ? health : { ...health, successes: 0 };
  const failures = health.failures + 1;
  return failures >= unhealthyAfter
    ? { state: 'unhealthy', because: 'failures', since: now, successes: 0 }
    : { state: 'healthy', failures };
}

export function afterSilence(health: Health, now: number): Health {
  return health.state === 'unhealthy'
    ? health
    : { state: 'unhealthy', because: 'silence', since: now, successes: 0 };
}
