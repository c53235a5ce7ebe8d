// Requests to a service in several regions: each goes to the best endpoint, and to another one on an error or on
// silence. This file holds what operations share: endpoints, connections, retry budget, token, probes, counts.
import { HEADERS } from '../protocol/messages.ts';
import { RetryBudget } from './budget.ts';
import { Connections } from './connections.ts';
import { type Ending, type Endpoint, Endpoints } from './endpoints.ts';
import { ClientClosedError } from './errors.ts';
import { callListener, NO_REQUESTS, type RequestCounts, type RequestEvent } from './events.ts';
import type { OperationIdentity } from './identity.ts';
import { LinkedSet } from './linked.ts';
import type { Answer, Attempt, RaceContext } from './operation.ts';
import { type CheckedOptions, checkOptions, type RequestsOptions, TIMER_MS_MAX, whole } from './options.ts';
import { Probes } from './probes.ts';
import { Race } from './race.ts';
import { TokenKeeper } from './token.ts';

export interface ServiceRequest {
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'POST';
  /** Begins with `/`; escaped where it has to be. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON text, unless `headers` say otherwise. */
  readonly body?: string | Uint8Array;
  /** What makes a second copy harmless: the identity of a record write, or `body` where the body's operations carry
   * theirs (a push). Without it a request other than GET is sent once and never again. */
  readonly identity?: OperationIdentity | 'body';
  /** @default the client's own */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** How one endpoint looks from here. */
export interface EndpointStatus {
  readonly endpoint: string;
  readonly healthy: boolean;
  readonly evacuated: boolean;
  /** Share of requests it gets when it is first in line. */
  readonly weight: number;
  readonly outstanding: number;
  readonly latencyP95Ms: number | undefined;
}

const SPARES_MIN = 2;

export class Requests {
  readonly #options: CheckedOptions;
  readonly #endpoints: Endpoints<Attempt>;
  readonly #connections: readonly Connections[];
  readonly #budget: RetryBudget;
  readonly #context: RaceContext;
  readonly #races = new LinkedSet<Race>();
  /** Most outstanding at one endpoint, lately: what another one would have to take over at once. */
  #peak = 0;
  readonly #silenceTimers = new Map<Endpoint<Attempt>, NodeJS.Timeout>();
  readonly #probes: Probes<Attempt>;
  readonly #counts: { -readonly [Name in keyof RequestCounts]: RequestCounts[Name] } = { ...NO_REQUESTS };
  #closed = false;

  /** @throws RangeError an option is out of range */
  constructor(options: RequestsOptions) {
    this.#options = checkOptions(options);
    const { endpoints, connectionsMax, spareConnections, tls, token, probeIntervalMs, probeTimeoutMs } =
      this.#options;
    this.#endpoints = new Endpoints(this.#options);
    this.#connections = endpoints.map(
      (url) => new Connections({ url, connectionsMax, spareConnections, ...(tls ? { tls } : {}) }),
    );
    const now = () => performance.now();
    this.#budget = new RetryBudget(
      { ratio: this.#options.retryRatio, reserve: this.#options.retryReserve },
      now(),
    );
    this.#context = {
      options: this.#options,
      endpoints: this.#endpoints,
      connections: this.#connections,
      budget: this.#budget,
      tokens: token && new TokenKeeper(token),
      now,
      started: (attempt) => this.#started(attempt),
      ended: (attempt, ending) => this.#ended(attempt, ending),
      heard: (endpoint) => this.#endpoints.heard(endpoint, now()),
      finished: (race, answered) => {
        this.#races.delete(race);
        if (!answered) this.#counts.failures += 1;
      },
      emit: (event) => this.#emit(event),
    };
    this.#probes = new Probes({
      endpoints: this.#endpoints,
      connections: this.#connections,
      intervalMs: probeIntervalMs,
      timeoutMs: probeTimeoutMs,
      onRound: () => {
        this.#peak = Math.max(...this.#endpoints.all.map(({ outstanding }) => outstanding.size));
      },
      // Spare connections that died are replaced while the endpoint answers.
      onAnswer: () => this.#wantSpares(),
      onChange: (endpoint) => this.#healthChanged(endpoint),
    });
  }

  /**
   * Sends a request and gives the first answer that settles it: any status below 500 but 429, and 401 only if a fresh
   * token was refused too.
   * @throws RangeError the request itself is wrong
   * @throws RequestFailedError it failed and may not be repeated, or there is no time left to
   * @throws DeadlineError no answer in time
   * @throws RequestAbortedError `signal` fired
   * @throws TokenError the token source failed
   * @throws ClientClosedError the client is closed
   */
  request(request: ServiceRequest): Promise<Answer> {
    try {
      return this.#start(request);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #start(request: ServiceRequest): Promise<Answer> {
    const { method, path, body, identity, signal, deadlineMs = this.#options.deadlineMs } = request;
    if (!path.startsWith('/')) throw new RangeError(`a path begins with /, got ${JSON.stringify(path)}`);
    whole('deadlineMs', deadlineMs, 1, TIMER_MS_MAX);
    if (this.#closed) throw new ClientClosedError();
    this.#counts.operations += 1;
    this.#budget.earn(performance.now());
    const race = new Race(this.#context, {
      method,
      path,
      headers: headersOf(request),
      repeatable: method === 'GET' || identity !== undefined,
      deadlineMs,
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
    this.#races.add(race);
    race.start();
    return race.answer;
  }

  get counts(): RequestCounts {
    return { ...this.#counts };
  }

  /** The preferred one first. */
  get status(): readonly EndpointStatus[] {
    const now = performance.now();
    return this.#endpoints.all.map((endpoint) => ({
      endpoint: endpoint.url,
      healthy: endpoint.health.state === 'healthy',
      evacuated: endpoint.evacuated,
      weight: this.#endpoints.weight(endpoint),
      outstanding: endpoint.outstanding.size,
      latencyP95Ms: this.#endpoints.latencyP95Ms(endpoint, now),
    }));
  }

  /** Ends everything under way with {@link ClientClosedError} and lets go of all timers and sockets. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#silenceTimers.values()) clearTimeout(timer);
    this.#silenceTimers.clear();
    this.#probes.close();
    for (const race of [...this.#races]) race.close();
    for (const connections of this.#connections) connections.close();
    // Destroyed sockets are gone after the next turn.
    await new Promise((resolve) => setImmediate(resolve));
  }

  #started(attempt: Attempt): void {
    const { at, kind } = attempt;
    this.#counts.attempts += 1;
    if (kind === 'hedge') this.#counts.hedges += 1;
    else if (kind === 'redirect') this.#counts.redirects += 1;
    else if (kind === 'fallback') this.#counts.fallbacks += 1;
    else if (kind === 'retry') this.#counts.retries += 1;
    this.#endpoints.started(at, attempt);
    if (at.outstanding.size > this.#peak) {
      this.#peak = at.outstanding.size;
      this.#wantSpares();
    }
    if (this.#options.onEvent) this.#emit({ type: 'attempt', endpoint: at.url, kind });
    if (this.#options.silenceDetection && this.#options.fallback) this.#watch(at);
  }

  #ended(attempt: Attempt, ending: Ending): void {
    const { at, kind, outcome, status, startedAt } = attempt;
    const now = performance.now();
    const before = at.health.state;
    this.#endpoints.ended(at, attempt, ending, now);
    if (this.#options.onEvent && outcome !== 'pending')
      this.#emit({ type: 'outcome', endpoint: at.url, kind, outcome, status, elapsedMs: now - startedAt });
    if (at.health.state !== before) this.#healthChanged(at);
  }

  /** One timer an endpoint, set for when it would be silent; it looks again then, since answers move that time. */
  #watch(endpoint: Endpoint<Attempt>, notBefore = 0): void {
    if (this.#silenceTimers.has(endpoint)) return;
    const now = performance.now();
    const silentAt = this.#endpoints.silentAt(endpoint, now);
    if (silentAt === undefined) return;
    // After the poll phase: answers that came while this process was busy count before their absence does.
    const look = () => setImmediate(() => this.#look(endpoint));
    const waitMs = Math.max(1, Math.ceil(Math.max(silentAt, notBefore) - now));
    this.#silenceTimers.set(endpoint, setTimeout(look, waitMs));
  }

  #look(endpoint: Endpoint<Attempt>): void {
    this.#silenceTimers.delete(endpoint);
    if (this.#closed) return;
    const now = performance.now();
    const silentAt = this.#endpoints.silentAt(endpoint, now);
    if (silentAt === undefined) return;
    // Leaving it makes sense only if there is somewhere better to go.
    const elsewhere = this.#endpoints.chooseHealthy(this.#options.random, (other) => other === endpoint);
    if (silentAt > now || elsewhere === undefined) {
      this.#watch(endpoint, elsewhere === undefined ? now + this.#options.patienceMs : 0);
      return;
    }
    const outstanding = this.#endpoints.silence(endpoint, now);
    this.#emit({ type: 'silence', endpoint: endpoint.url, outstanding: outstanding.length });
    for (const attempt of outstanding) attempt.race.redirect(attempt);
    this.#healthChanged(endpoint);
  }

  /** Where most is going on, connections are open anyway. */
  #wantSpares(): void {
    for (const { index, outstanding } of this.#endpoints.all)
      if (outstanding.size < this.#peak || this.#peak === 0)
        this.#connections[index]?.wantSpares(Math.max(SPARES_MIN, this.#peak));
  }

  #healthChanged(endpoint: Endpoint<Attempt>): void {
    const { url, health, evacuated } = endpoint;
    if (health.state === 'unhealthy' && !this.#closed) this.#probes.watch(endpoint);
    this.#emit({ type: 'health', endpoint: url, health, evacuated });
  }

  #emit(event: RequestEvent): void {
    callListener(() => this.#options.onEvent?.(event));
  }
}

function headersOf({ body, identity, headers = {} }: ServiceRequest): Record<string, string> {
  const all: Record<string, string> = {};
  if (body !== undefined) {
    all['content-type'] = 'application/json';
    all['content-length'] = String(typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength);
  }
  for (const name of Object.keys(headers)) all[name.toLowerCase()] = headers[name] as string;
  // Last, so that nothing takes away what makes a second copy harmless.
  if (identity !== undefined && identity !== 'body') {
    all[HEADERS.idempotencyKey] = identity.key;
    all[HEADERS.version] = identity.version;
  }
  return all;
}
