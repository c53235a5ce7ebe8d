// Asks every endpoint for `/health`, busy or not, since only there a region says that it is evacuated; and an unhealthy
// one sooner, at growing intervals, so that a hiccup does not leave the client without a second region for long.
import { HEADERS, PATHS } from '../protocol/messages.ts';
import type { Connections } from './connections.ts';
import type { Endpoint, Endpoints, Outstanding } from './endpoints.ts';

export interface ProbesOptions<Attempt extends Outstanding<Attempt>> {
  readonly endpoints: Endpoints<Attempt>;
  readonly connections: readonly Connections[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Before each round of all endpoints. */
  readonly onRound: () => void;
  readonly onAnswer: () => void;
  /** Its health, or whether it is evacuated, is another now. */
  readonly onChange: (endpoint: Endpoint<Attempt>) => void;
}

/** First pause before an unhealthy endpoint is asked again; doubles up to the interval. */
const EAGER_MS = 1_000;

export class Probes<Attempt extends Outstanding<Attempt>> {
  readonly #options: ProbesOptions<Attempt>;
  readonly #running = new Set<() => void>();
  readonly #eager = new Map<Endpoint<Attempt>, NodeJS.Timeout>();
  readonly #timer: NodeJS.Timeout;

  /** Asks all at once, so that what comes first learns of an evacuated region and finds connections open. */
  constructor(options: ProbesOptions<Attempt>) {
    this.#options = options;
    this.#round();
    this.#timer = setInterval(() => this.#round(), options.intervalMs).unref();
  }

  /** The endpoint has become unhealthy: it is asked now, and soon again until it is healthy. */
  watch(endpoint: Endpoint<Attempt>): void {
    if (this.#eager.has(endpoint)) return;
    this.#ask(endpoint);
    this.#askAgain(endpoint, EAGER_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const timer of this.#eager.values()) clearTimeout(timer);
    this.#eager.clear();
    for (const stop of this.#running) stop();
    this.#running.clear();
  }

  #round(): void {
    this.#options.onRound();
    for (const endpoint of this.#options.endpoints.all) this.#ask(endpoint);
  }

  #askAgain(endpoint: Endpoint<Attempt>, afterMs: number): void {
    const timer = setTimeout(() => {
      this.#eager.delete(endpoint);
      if (endpoint.health.state === 'healthy' || afterMs >= this.#options.intervalMs) return;
      this.#ask(endpoint);
      this.#askAgain(endpoint, afterMs * 2);
    }, afterMs).unref();
    this.#eager.set(endpoint, timer);
  }

  #ask(endpoint: Endpoint<Attempt>): void {
    const { endpoints, connections, timeoutMs, onAnswer } = this.#options;
    const startedAt = performance.now();
    const send = (connections[endpoint.index] as Connections).send.bind(connections[endpoint.index]);
    const end = send(
      { method: 'GET', path: PATHS.health, headers: {} },
      {
        heard: () => endpoints.heard(endpoint, performance.now()),
        failed: () => conclude(false),
        answered: ({ status, headers }) => {
          // An evacuated region is alive: it answers, and serves whoever still asks it.
          const evacuated = status === 503 && headers[HEADERS.evacuated] === 'true';
          conclude(status < 500 || evacuated, evacuated);
        },
      },
    );
    const timer = setTimeout(() => {
      end();
      conclude(false);
    }, timeoutMs).unref();
    const stop = () => {
      clearTimeout(timer);
      end();
    };
    this.#running.add(stop);
    const conclude = (well: boolean, evacuated = endpoint.evacuated) => {
      clearTimeout(timer);
      this.#running.delete(stop);
      const before = endpoint.health.state;
      const now = performance.now();
      if (well) endpoints.probed(endpoint, now - startedAt, now);
      else endpoints.observe(endpoint, 'failed', now);
      const changed = before !== endpoint.health.state || evacuated !== endpoint.evacuated;
      endpoint.evacuated = evacuated;
      if (changed) this.#options.onChange(endpoint);
      if (well) onAnswer();
    };
  }
}
