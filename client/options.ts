// What the request layer can be told, its defaults, and the checks that name what came instead.
import type { SecureContextOptions } from 'node:tls';
import type { RequestEvent } from './events.ts';

/**
 * Gives a bearer token; called at first need, and again when a token was refused, which it then gets as `refused`.
 * Answers are kept until refused.
 */
export type TokenSource = (refused?: string) => Promise<string>;

export interface RequestsOptions {
  /** Base URLs of the regions, the preferred one first; at least one. */
  readonly endpoints: readonly string[];
  /** @default none: requests carry no authorization */
  readonly token?: TokenSource;
  /** From the call to its answer, all attempts included. @default 30000 */
  readonly deadlineMs?: number;
  /** One attempt; as long as the server may work on one. @default 10000 */
  readonly attemptTimeoutMs?: number;
  /** Least wait before something is done about a missing answer, in ms; bodies over 64 KB under way add the time they
   * take at 10 Mbit/s. @default 50 */
  readonly patienceMs?: number;
  /** How many overdue answers make silence. @default 3 */
  readonly silentOutstandingMin?: number;
  /** How often every endpoint's `/health` is asked, busy or not: only there a region says that it is evacuated.
   * @default 15000 */
  readonly probeIntervalMs?: number;
  /** @default 5000 */
  readonly probeTimeoutMs?: number;
  /** Failures in a row. @default 3 */
  readonly unhealthyAfter?: number;
  /** Successes in a row. @default 2 */
  readonly healthyAfter?: number;
  /** Extra attempts per operation that hedges, redirects and retries may cost in the long run. @default 0.09, which
   * with the reserve's own trickle stays under 1.1 attempts per operation */
  readonly retryRatio?: number;
  /** Extra attempts a fresh client can make. @default 100 */
  readonly retryReserve?: number;
  /** Pause before asking all endpoints again: from 0 to this, doubling each time. @default 50 */
  readonly backoffBaseMs?: number;
  /** Its limit. @default 5000 */
  readonly backoffMaxMs?: number;
  /** Connections per endpoint. @default 256 */
  readonly connectionsMax?: number;
  /** Connections per endpoint opened ahead of need, at most: as many as were lately outstanding at once elsewhere, since
   * all of that may be redirected here. @default 32, or `connectionsMax` when that is less */
  readonly spareConnections?: number;
  /** Certificates, for mutual TLS or a private authority. @default Node's own */
  readonly tls?: SecureContextOptions;
  /** Whether another endpoint is asked at all; off only to show what that costs. @default true */
  readonly fallback?: boolean;
  /** Whether missing answers are acted upon (hedges and redirects) or only errors; off only to show what that costs.
   * @default true */
  readonly silenceDetection?: boolean;
  /** Called for every attempt and every change of health, synchronously: be quick. What it throws becomes an uncaught
   * exception and disturbs nothing here. */
  readonly onEvent?: (event: RequestEvent) => void;
  /** From 0 to below 1. @default Math.random */
  readonly random?: () => number;
}

export type CheckedOptions = Required<Omit<RequestsOptions, 'token' | 'onEvent' | 'tls'>> &
  Pick<RequestsOptions, 'token' | 'onEvent' | 'tls'>;

const SPARE_CONNECTIONS = 32;
const DEFAULTS = {
  deadlineMs: 30_000,
  attemptTimeoutMs: 10_000,
  patienceMs: 50,
  silentOutstandingMin: 3,
  probeIntervalMs: 15_000,
  probeTimeoutMs: 5_000,
  unhealthyAfter: 3,
  healthyAfter: 2,
  retryRatio: 0.09,
  retryReserve: 100,
  backoffBaseMs: 50,
  backoffMaxMs: 5_000,
  connectionsMax: 256,
  fallback: true,
  silenceDetection: true,
} as const;

/** setTimeout's own limit; anything above would fire at once. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * Fills in defaults; an explicit `undefined` is the same as leaving an option out.
 * @throws RangeError an option is out of range; it names the option, what was expected and what came
 */
export function checkOptions(options: RequestsOptions): CheckedOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const checked: CheckedOptions = {
    ...DEFAULTS,
    random: Math.random,
    endpoints: options.endpoints,
    spareConnections: Math.min(SPARE_CONNECTIONS, options.connectionsMax ?? DEFAULTS.connectionsMax),
    ...given,
  };
  checkEndpoints(checked.endpoints);
  whole('deadlineMs', checked.deadlineMs, 1, TIMER_MS_MAX);
  whole('attemptTimeoutMs', checked.attemptTimeoutMs, 1, TIMER_MS_MAX);
  whole('patienceMs', checked.patienceMs, 1, 60_000);
  whole('silentOutstandingMin', checked.silentOutstandingMin, 1, 1_000_000);
  whole('probeIntervalMs', checked.probeIntervalMs, 10, TIMER_MS_MAX);
  whole('probeTimeoutMs', checked.probeTimeoutMs, 1, TIMER_MS_MAX);
  whole('unhealthyAfter', checked.unhealthyAfter, 1, 1_000);
  whole('healthyAfter', checked.healthyAfter, 1, 1_000);
  between('retryRatio', checked.retryRatio, 0, 1);
  between('retryReserve', checked.retryReserve, 0, 1_000_000);
  whole('backoffBaseMs', checked.backoffBaseMs, 1, 60_000);
  whole('backoffMaxMs', checked.backoffMaxMs, checked.backoffBaseMs, TIMER_MS_MAX);
  whole('connectionsMax', checked.connectionsMax, 1, 65_535);
  whole('spareConnections', checked.spareConnections, 0, checked.connectionsMax);
  for (const name of ['fallback', 'silenceDetection'] as const)
    if (typeof checked[name] !== 'boolean')
      throw new RangeError(`${name} is true or false, got ${show(checked[name])}`);
  for (const name of ['token', 'onEvent', 'random'] as const)
    if (checked[name] !== undefined && typeof checked[name] !== 'function')
      throw new RangeError(`${name} is a function, got ${show(checked[name])}`);
  return checked;
}

export function whole(name: string, value: number, min: number, max: number): void {
  // Written so that NaN, fractions and strings fail too.
  if (!(Number.isInteger(value) && value >= min && value <= max))
    throw new RangeError(`${name} is a whole number from ${min} to ${max}, got ${show(value)}`);
}

function between(name: string, value: number, min: number, max: number): void {
  if (!(typeof value === 'number' && value >= min && value <= max))
    throw new RangeError(`${name} is a number from ${min} to ${max}, got ${show(value)}`);
}

function checkEndpoints(endpoints: readonly string[]): void {
  if (!Array.isArray(endpoints) || endpoints.length === 0)
    throw new RangeError(`endpoints is a list of at least one URL, got ${show(endpoints)}`);
  for (const endpoint of endpoints) {
    const url = typeof endpoint === 'string' && URL.canParse(endpoint) ? new URL(endpoint) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol))
      throw new RangeError(`an endpoint is an http or https URL, got ${show(endpoint)}`);
    if (url.search || url.hash || url.username || url.password)
      throw new RangeError(
        `an endpoint has no query, fragment or password, got ${url.origin}${url.pathname}`,
      );
  }
  if (new Set(endpoints).size !== endpoints.length)
    throw new RangeError(`endpoints differ from one another, got ${show(endpoints)}`);
}

function show(value: unknown): string {
  return typeof value === 'number' || typeof value === 'function'
    ? String(value)
    : (JSON.stringify(value) ?? String(value));
}
