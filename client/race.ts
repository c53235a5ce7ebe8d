// One operation on its way: its attempts race, the first answer that settles it wins, the others are ended. Errors make
// it fall back, missing answers make it hedge, and when all endpoints have failed it pauses and starts over, until its
// deadline. Of an operation that may not be repeated there is only ever one attempt.
import { backoffMs, classify, retryAfterMs } from './answers.ts';
import type { AttemptAnswer, Connections } from './connections.ts';
import type { Ending, Endpoint } from './endpoints.ts';
import {
  AnswerError,
  type AttemptKind,
  type AttemptOutcome,
  type AttemptRecord,
  AttemptTimeoutError,
  ClientClosedError,
  DeadlineError,
  RequestAbortedError,
  type RequestError,
  RequestFailedError,
  TokenError,
} from './errors.ts';
import type { Linked } from './linked.ts';
import type { Answer, Attempt, RaceContext, RaceRequest } from './operation.ts';

const NEVER = Number.POSITIVE_INFINITY;

export class Race implements Linked<Race> {
  owner: object | undefined;
  older: Race | undefined;
  newer: Race | undefined;
  readonly answer: Promise<Answer>;
  readonly #context: RaceContext;
  readonly #request: RaceRequest;
  readonly #deadlineAt: number;
  readonly #attempts: Attempt[] = [];
  /** Under way; at most one per endpoint. */
  #running: readonly Attempt[] = [];
  /** Failed since the last pause. */
  #failed: readonly Endpoint<Attempt>[] = [];
  /** Asked not to come back sooner. Most operations meet no such endpoint. */
  #notBefore: Map<Endpoint<Attempt>, number> | undefined;
  #resolve: (answer: Answer) => void = () => undefined;
  #reject: (error: RequestError) => void = () => undefined;
  #over = false;
  #round = 0;
  #refreshed = false;
  #cause: unknown;
  #timer: NodeJS.Timeout | undefined;
  #hedgeAt = NEVER;
  #resumeAt = NEVER;

  constructor(context: RaceContext, request: RaceRequest) {
    this.#context = context;
    this.#request = request;
    this.#deadlineAt = context.now() + request.deadlineMs;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  start(): void {
    const { signal } = this.#request;
    if (signal?.aborted) {
      this.#aborted();
      return;
    }
    signal?.addEventListener('abort', this.#aborted, { once: true });
    const endpoint = this.#choose();
    if (endpoint) this.#launch(endpoint, 'first');
    this.#arm();
  }

  /** The attempt's endpoint fell silent: asks a healthy one beside it, unless one is being asked already. */
  redirect(attempt: Attempt): void {
    if (this.#over || !this.#request.repeatable || this.#running.length > 1) return;
    if (this.#running[0] !== attempt) return;
    this.#launchExtra(this.#chooseHealthy(), 'redirect');
    this.#arm();
  }

  close(): void {
    this.#fail((attempts) => new ClientClosedError(attempts));
  }

  readonly #aborted = (): void => {
    const cause = this.#request.signal?.reason;
    const retryable = this.#mayRepeat();
    this.#fail((attempts) => new RequestAbortedError(attempts, { retryable, cause }));
  };

  #launch(endpoint: Endpoint<Attempt>, kind: AttemptKind): void {
    const { tokens } = this.#context;
    const token = tokens?.current;
    if (tokens === undefined || token !== undefined) {
      this.#send(endpoint, kind, token);
      return;
    }
    tokens.get().then(
      (fresh) => {
        if (this.#over || this.#isRunning(endpoint)) return;
        this.#send(endpoint, kind, fresh);
        this.#arm();
      },
      (cause) => {
        // Another copy under way may still settle it.
        if (this.#over || this.#running.length > 0) return;
        this.#fail((attempts) => new TokenError('there is no token to send', attempts, { cause }));
      },
    );
  }

  #send(endpoint: Endpoint<Attempt>, kind: AttemptKind, token: string | undefined): void {
    const context = this.#context;
    const { repeatable, method, path, body } = this.#request;
    const now = context.now();
    const attempt: Attempt = {
      race: this,
      at: endpoint,
      kind,
      token,
      startedAt: now,
      bodyBytes: body === undefined ? 0 : Buffer.byteLength(body),
      endedAt: undefined,
      outcome: 'pending',
      status: undefined,
      end: () => undefined,
      owner: undefined,
      older: undefined,
      newer: undefined,
    };
    this.#attempts.push(attempt);
    this.#running = [...this.#running, attempt];
    context.started(attempt);
    const alone = this.#running.length === 1 && context.endpoints.all.length > 1;
    this.#hedgeAt =
      alone && repeatable && context.options.silenceDetection && context.options.fallback
        ? now + context.endpoints.patienceMs(endpoint, now)
        : NEVER;
    const headers =
      token === undefined
        ? this.#request.headers
        : { ...this.#request.headers, authorization: `Bearer ${token}` };
    attempt.end = (context.connections[endpoint.index] as Connections).send(
      { method, path, headers, ...(body === undefined ? {} : { body }) },
      {
        heard: () => context.heard(endpoint),
        answered: (answer) => this.#answered(attempt, answer),
        failed: (error) => {
          this.#end(attempt, 'failed', 'failed');
          this.#next(attempt, error);
        },
      },
    );
  }

  #answered(attempt: Attempt, answer: AttemptAnswer): void {
    attempt.status = answer.status;
    const meaning = classify(answer.status, answer.headers);
    if (meaning === 'unauthorized' && this.#renew(attempt)) return;
    if (meaning === 'settles' || meaning === 'unauthorized') {
      this.#end(attempt, 'settled', 'answered');
      if (attempt.kind === 'fallback' || attempt.kind === 'retry') this.#context.budget.refund();
      this.#settle(attempt, answer);
      return;
    }
    const waitMs = retryAfterMs(answer.headers['retry-after'], Date.now());
    if (waitMs !== undefined) {
      this.#notBefore ??= new Map();
      this.#notBefore.set(attempt.at, this.#context.now() + waitMs);
    }
    this.#end(attempt, meaning, meaning);
    this.#next(
      attempt,
      new AnswerError(attempt.at.url, answer.status, answer.body.toString('utf8', 0, 8_000)),
    );
  }

  /** Status 401: asks once for a new token. An attempt sent with an older token than the present one says nothing. */
  #renew(attempt: Attempt): boolean {
    const { tokens } = this.#context;
    if (tokens === undefined || attempt.token === undefined) return false;
    const outdated = tokens.current !== undefined && tokens.current !== attempt.token;
    if (this.#refreshed && !outdated) return false;
    this.#refreshed = true;
    this.#end(attempt, 'unauthorized', 'answered');
    tokens.refuse(attempt.token);
    this.#launch(attempt.at, 'refresh');
    this.#arm();
    return true;
  }

  /** An attempt brought nothing final: asks whom else there is, or pauses. */
  #next(attempt: Attempt, cause: Error): void {
    if (this.#over) return;
    this.#cause = cause;
    this.#failed = [...this.#failed, attempt.at];
    if (!this.#request.repeatable) {
      this.#failFor('the request failed, and without an identity it may not be repeated');
      return;
    }
    if (!this.#launchExtra(this.#choose(), 'fallback')) this.#pauseUnlessWaiting();
    this.#arm();
  }

  /** Takes a token of the budget and launches; false when there is no endpoint or no token. */
  #launchExtra(endpoint: Endpoint<Attempt> | undefined, kind: AttemptKind): boolean {
    if (endpoint === undefined) return false;
    if (!this.#context.budget.spend(kind === 'hedge' ? 'hedge' : 'repeat', this.#context.now())) {
      this.#context.emit({ type: 'budget_empty', wanted: kind });
      return false;
    }
    this.#launch(endpoint, kind);
    return true;
  }

  /** An attempt at an endpoint that is not known to be unhealthy is worth waiting for. */
  #pauseUnlessWaiting(): void {
    if (this.#running.some(({ at }) => at.health.state === 'healthy')) return;
    const { options, now } = this.#context;
    const at = now();
    const leftMs = this.#deadlineAt - at;
    let resumeAt = at + backoffMs(this.#round, leftMs, options);
    // Somewhere has to be open again by then.
    let opensAt = NEVER;
    for (const endpoint of this.#reachable())
      opensAt = Math.min(opensAt, this.#notBefore?.get(endpoint) ?? 0);
    if (opensAt !== NEVER) resumeAt = Math.max(resumeAt, opensAt);
    this.#round += 1;
    if (resumeAt < this.#deadlineAt && leftMs > options.backoffBaseMs) this.#resumeAt = resumeAt;
    else if (this.#running.length === 0)
      this.#failFor('all endpoints failed, and the next try would come after the deadline');
  }

  #resume(): void {
    this.#resumeAt = NEVER;
    this.#failed = [];
    if (!this.#launchExtra(this.#choose(), 'retry')) this.#pauseUnlessWaiting();
  }

  #choose(): Endpoint<Attempt> | undefined {
    const now = this.#context.now();
    return this.#context.endpoints.choose(this.#context.options.random, (endpoint) =>
      this.#excluded(endpoint, now),
    );
  }

  #chooseHealthy(): Endpoint<Attempt> | undefined {
    const now = this.#context.now();
    return this.#context.endpoints.chooseHealthy(this.#context.options.random, (endpoint) =>
      this.#excluded(endpoint, now),
    );
  }

  #excluded(endpoint: Endpoint<Attempt>, now: number): boolean {
    return (
      (!this.#context.options.fallback && endpoint.index > 0) ||
      this.#isRunning(endpoint) ||
      this.#failed.includes(endpoint) ||
      (this.#notBefore?.get(endpoint) ?? 0) > now
    );
  }

  #isRunning(endpoint: Endpoint<Attempt>): boolean {
    return this.#running.some(({ at }) => at === endpoint);
  }

  *#reachable(): Iterable<Endpoint<Attempt>> {
    for (const endpoint of this.#context.endpoints.all)
      if ((this.#context.options.fallback || endpoint.index === 0) && !this.#isRunning(endpoint))
        yield endpoint;
  }

  /** One timer for whatever comes next. */
  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#over) return;
    let at = Math.min(this.#deadlineAt, this.#hedgeAt, this.#resumeAt);
    for (const { startedAt } of this.#running)
      at = Math.min(at, startedAt + this.#context.options.attemptTimeoutMs);
    // After the poll phase: answers that came while this process was busy count before their absence does.
    const waitMs = Math.max(1, Math.ceil(at - this.#context.now()));
    this.#timer = setTimeout(() => setImmediate(() => this.#due()), waitMs);
  }

  #due(): void {
    if (this.#over) return;
    const now = this.#context.now();
    if (now >= this.#deadlineAt) {
      const details = { retryable: this.#mayRepeat(), cause: this.#cause };
      this.#fail((attempts) => new DeadlineError(this.#request.deadlineMs, attempts, details));
      return;
    }
    if (now >= this.#resumeAt) this.#resume();
    const { attemptTimeoutMs } = this.#context.options;
    for (const attempt of this.#running) {
      if (now < attempt.startedAt + attemptTimeoutMs) continue;
      this.#end(attempt, 'failed', 'failed');
      this.#next(attempt, new AttemptTimeoutError(attempt.at.url, attemptTimeoutMs));
    }
    if (now >= this.#hedgeAt) this.#hedge(now);
    this.#arm();
  }

  #hedge(now: number): void {
    this.#hedgeAt = NEVER;
    if (this.#running.length !== 1 || this.#launchExtra(this.#chooseHealthy(), 'hedge')) return;
    // Nowhere to go now, or nothing to pay with: it looks again.
    this.#hedgeAt = now + this.#context.options.patienceMs;
  }

  #end(attempt: Attempt, outcome: Exclude<AttemptOutcome, 'pending'>, ending: Ending): void {
    if (!this.#running.includes(attempt)) return;
    this.#running = this.#running.filter((it) => it !== attempt);
    attempt.end();
    attempt.endedAt = this.#context.now();
    attempt.outcome = outcome;
    this.#context.ended(attempt, ending);
  }

  #settle(attempt: Attempt, { status, headers, body }: AttemptAnswer): void {
    if (this.#over) return;
    this.#finish('overtaken', attempt.startedAt);
    this.#resolve({ status, headers, body, endpoint: attempt.at.url, attempts: this.#records() });
  }

  #failFor(reason: string): void {
    const details = { retryable: this.#mayRepeat(), cause: this.#cause };
    this.#fail((attempts) => new RequestFailedError(reason, attempts, details));
  }

  #fail(error: (attempts: readonly AttemptRecord[]) => RequestError): void {
    if (this.#over) return;
    this.#finish('abandoned');
    this.#reject(error(this.#records()));
  }

  /** Ends what is still under way. An endpoint that left it unanswered for too long is noted all the same, unless what
   * it lost to had a head start: a second copy is no measure of the region it was sent to. */
  #finish(outcome: 'overtaken' | 'abandoned', winnerStartedAt = NEVER): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#request.signal?.removeEventListener('abort', this.#aborted);
    for (const attempt of this.#running)
      this.#end(attempt, outcome, attempt.startedAt < winnerStartedAt ? 'overtaken' : 'abandoned');
    this.#context.finished(this, outcome === 'overtaken');
  }

  /** Whether the caller may make the same request again. */
  #mayRepeat(): boolean {
    return this.#request.repeatable || this.#attempts.length === 0;
  }

  #records(): readonly AttemptRecord[] {
    return this.#attempts.map(({ at, kind, startedAt, endedAt, outcome, status }) => ({
      endpoint: at.url,
      kind,
      startedAt,
      endedAt,
      outcome,
      status,
    }));
  }
}
