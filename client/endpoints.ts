// Which endpoint to ask, and when to stop waiting for it: the client's whole judgement, without I/O, given the time.
//
// Silence. DESIGN says: three or more outstanding and nothing heard for 50 ms. Taken literally that would declare any
// endpoint dead that is simply further away than 50 ms, whenever a burst meets an idle connection. So an outstanding
// attempt counts only once it is overdue: older than three quarters of this endpoint's answers took (or 50 ms, if that
// is more). Silence is: nothing heard for 50 ms although three answers are overdue. A busy endpoint is heard from all
// the time and a far one has nothing overdue: neither is taken for dead. How far one is, probes tell before any request
// has. Under steady load the oldest outstanding attempts at the moment of a fault are about one typical latency old, so
// both conditions come true together, about 50 ms after the last answer, also where an answer usually takes 80 ms.
// Three quarters and not the 95th percentile, which a single request is hedged after: here three have to be late at
// once, and a few stalls a minute, which move the high percentile, must not put off a redirect. A wrong guess costs a
// few tokens and heals with the next two answers, because the attempts at the silent endpoint go on.
//
// Large bodies. No answer can come before its request has gone out, and where the line is slow a second copy makes it
// slower. So every wait grows by the time that the large bodies under way take on the slowest line there is to serve.
import type { RetryBudget } from './budget.ts';
import { afterFailure, afterSilence, afterSuccess, HEALTHY, type Health } from './health.ts';
import { LatencyWindow } from './latency.ts';
import { type Linked, LinkedSet } from './linked.ts';

export interface EndpointsOptions {
  /** Origins, the preferred one first. */
  readonly endpoints: readonly string[];
  readonly unhealthyAfter: number;
  readonly healthyAfter: number;
  /** Floor of every wait for an answer, before something is done about its absence. */
  readonly patienceMs: number;
  readonly silentOutstandingMin: number;
  /** See {@link RetryBudget}. */
  readonly retryRatio: number;
}

/** How an attempt ended. `refused`: alive, but not now (429, or 503 with `Retry-After`). */
export type Ending = 'answered' | 'refused' | 'failed' | 'overtaken' | 'abandoned';

/** What the judgement has to know of an attempt. */
export interface Outstanding<Attempt> extends Linked<Attempt> {
  readonly startedAt: number;
  /** Of its request. */
  readonly bodyBytes: number;
}

export interface Endpoint<Attempt extends Outstanding<Attempt>> {
  readonly url: string;
  /** Place in the order of preference. */
  readonly index: number;
  health: Health;
  /** It says that its region is evacuated: it still serves, but is used last of those that answer. */
  evacuated: boolean;
  /** Share of attempts that failed or were refused, the latest weighing most; 0 to 1. */
  errorRate: number;
  /** When anything last came from it. */
  heardAt: number;
  /** In the order they started. */
  readonly outstanding: LinkedSet<Attempt>;
  /** Of their bodies, what is above {@link SMALL_BODY_BYTES} each. */
  bulkBytes: number;
  readonly latency: LatencyWindow;
}

/** Weight of the latest attempt in {@link Endpoint.errorRate}. */
const ERROR_RATE_STEP = 0.05;
const LATENCY_WINDOW_MS = 60_000;
/** A request takes longer than a probe, which does no work; among many requests one probe a quarter minute is lost. */
const PROBE_FACTOR = 2;
const HEDGE_PERCENTILE = 0.95;
const OVERDUE_PERCENTILE = 0.75;
/** A batch of a hundred ordinary edits is well below it, and is redirected as fast as anything. */
const SMALL_BODY_BYTES = 64 * 1024;
/** DESIGN's slow network: 10 Mbit/s. */
const SLOW_LINE_BYTES_PER_MS = 1_250;

export class Endpoints<Attempt extends Outstanding<Attempt>> {
  readonly all: readonly Endpoint<Attempt>[];
  readonly #options: EndpointsOptions;

  constructor(options: EndpointsOptions) {
    this.#options = options;
    this.all = options.endpoints.map((url, index) => ({
      url,
      index,
      health: HEALTHY,
      evacuated: false,
      errorRate: 0,
      heardAt: Number.NEGATIVE_INFINITY,
      outstanding: new LinkedSet<Attempt>(),
      bulkBytes: 0,
      latency: new LatencyWindow(LATENCY_WINDOW_MS),
    }));
  }

  /**
   * The best endpoint not excluded: healthy before evacuated before unhealthy, the active region first. A healthy one
   * is passed over with the probability 1 − weight, if there is another as good.
   * @param random from 0 to below 1
   */
  choose(
    random: () => number,
    excluded: (endpoint: Endpoint<Attempt>) => boolean,
  ): Endpoint<Attempt> | undefined {
    let best: Endpoint<Attempt> | undefined;
    for (const endpoint of this.all) {
      if (excluded(endpoint)) continue;
      if (best === undefined || rank(endpoint) < rank(best)) best = endpoint;
      // The best so far stands before this one in the order, and its own errors may send the request on.
      else if (
        rank(endpoint) === rank(best) &&
        this.weight(best) < 1 &&
        this.weight(endpoint) > this.weight(best)
      )
        if (random() >= this.weight(best)) best = endpoint;
    }
    return best;
  }

  /** As {@link choose}, but only an endpoint worth leaving another for: healthy and not evacuated. */
  chooseHealthy(
    random: () => number,
    excluded: (endpoint: Endpoint<Attempt>) => boolean,
  ): Endpoint<Attempt> | undefined {
    return this.choose(random, (endpoint) => rank(endpoint) > 0 || excluded(endpoint));
  }

  /** Share of requests an endpoint gets when it is first in line. One that fails so often that falling back would take
   * more than half of the retry budget gets as much as that half pays for. */
  weight({ errorRate }: Endpoint<Attempt>): number {
    const affordable = this.#options.retryRatio / 2;
    return errorRate <= affordable ? 1 : affordable / errorRate;
  }

  /** How long to wait for an answer before asking a second endpoint, with what is outstanding there now. */
  patienceMs(endpoint: Endpoint<Attempt>, now: number): number {
    const usualMs = Math.max(this.#options.patienceMs, this.latencyP95Ms(endpoint, now) ?? 0);
    return usualMs + bulkMs(endpoint);
  }

  /** Undefined without a recent answer. */
  latencyP95Ms({ latency }: Endpoint<Attempt>, now: number): number | undefined {
    return latency.value(HEDGE_PERCENTILE, now);
  }

  started(endpoint: Endpoint<Attempt>, attempt: Attempt): void {
    endpoint.outstanding.add(attempt);
    endpoint.bulkBytes += bulkOf(attempt);
  }

  /** Anything came: headers, a piece of a body, an answer to a probe. */
  heard(endpoint: Endpoint<Attempt>, now: number): void {
    endpoint.heardAt = now;
  }

  ended(endpoint: Endpoint<Attempt>, attempt: Attempt, ending: Ending, now: number): void {
    const waitedMs = now - attempt.startedAt;
    const isLate = ending === 'overtaken' && waitedMs >= this.patienceMs(endpoint, now);
    if (!endpoint.outstanding.delete(attempt)) return;
    endpoint.bulkBytes -= bulkOf(attempt);
    if (ending === 'answered') {
      endpoint.latency.add(waitedMs, now);
      this.observe(endpoint, 'answered', now);
    } else if (ending === 'overtaken') {
      // Losing a race is no failure, unless the endpoint was not heard from at all while it ran for longer than usual:
      // with fewer than three outstanding that is the only sign of a frozen one.
      if (isLate && endpoint.heardAt < attempt.startedAt) this.observe(endpoint, 'failed', now);
    } else if (ending !== 'abandoned') this.observe(endpoint, ending, now);
  }

  /** A probe of `/health` was answered. It tells how far away the endpoint is before any request has. */
  probed(endpoint: Endpoint<Attempt>, elapsedMs: number, now: number): void {
    endpoint.latency.add(elapsedMs * PROBE_FACTOR, now);
    this.observe(endpoint, 'answered', now);
  }

  /** An outcome that every response and every probe contributes. */
  observe(endpoint: Endpoint<Attempt>, outcome: 'answered' | 'refused' | 'failed', now: number): void {
    const error = outcome === 'answered' ? 0 : 1;
    endpoint.errorRate += (error - endpoint.errorRate) * ERROR_RATE_STEP;
    if (endpoint.errorRate < 1e-3) endpoint.errorRate = 0;
    const before = endpoint.health;
    if (outcome === 'failed') endpoint.health = afterFailure(before, this.#options, now);
    else if (outcome === 'answered') endpoint.health = afterSuccess(before, this.#options);
    // Back from the dead: it starts with half of the requests, and its answers earn it the rest.
    if (before.state === 'unhealthy' && endpoint.health.state === 'healthy')
      endpoint.errorRate = Math.min(endpoint.errorRate, this.#options.retryRatio);
  }

  /**
   * When this endpoint will count as silent if nothing more is heard; undefined while too little is outstanding, or it
   * is known to be unhealthy already. Whatever happens next, save another start, only makes it later.
   */
  silentAt(endpoint: Endpoint<Attempt>, now: number): number | undefined {
    const { silentOutstandingMin, patienceMs } = this.#options;
    if (endpoint.health.state === 'unhealthy' || endpoint.outstanding.size < silentOutstandingMin)
      return undefined;
    const overdueMs = Math.max(patienceMs, endpoint.latency.value(OVERDUE_PERCENTILE, now) ?? 0);
    const last = endpoint.outstanding.nth(silentOutstandingMin);
    return last && Math.max(endpoint.heardAt + patienceMs, last.startedAt + overdueMs + bulkMs(endpoint));
  }

  /** Declares the endpoint silent; returns all that is outstanding there, oldest first, to be sent elsewhere. */
  silence(endpoint: Endpoint<Attempt>, now: number): readonly Attempt[] {
    endpoint.health = afterSilence(endpoint.health, now);
    return [...endpoint.outstanding];
  }
}

function bulkOf({ bodyBytes }: { readonly bodyBytes: number }): number {
  return Math.max(0, bodyBytes - SMALL_BODY_BYTES);
}

function bulkMs({ bulkBytes }: { readonly bulkBytes: number }): number {
  return bulkBytes / SLOW_LINE_BYTES_PER_MS;
}

/** Lower is better. An evacuated region still answers; an unhealthy one may not. */
function rank({ health, evacuated }: { readonly health: Health; readonly evacuated: boolean }): number {
  return (health.state === 'unhealthy' ? 2 : 0) + (evacuated ? 1 : 0);
}
