// What a request to the service can end in when it does not end in an answer. Each says what was tried where, and
// whether making the same call again is safe and can help.
import { EdenFieldError } from '../protocol/errors.ts';

/** Why an attempt was made. */
export type AttemptKind =
  /** The operation's own. */
  | 'first'
  /** Nothing came back for longer than usual; the earlier attempt goes on. */
  | 'hedge'
  /** The endpoint of the earlier attempt fell silent; that attempt goes on. */
  | 'redirect'
  /** The earlier attempt failed; another endpoint is asked. */
  | 'fallback'
  /** All endpoints failed; asked again after a pause. */
  | 'retry'
  /** The token was refused; the same endpoint is asked with a new one. */
  | 'refresh';

export type AttemptOutcome =
  | 'pending'
  /** It gave the answer. */
  | 'settled'
  /** Status 401, and a new token was asked for. */
  | 'unauthorized'
  /** Status 429, or 503 with `Retry-After`: alive, and said when to come back. */
  | 'refused'
  /** Any other status of 500 or more, a broken connection, or no answer in time. */
  | 'failed'
  /** Another attempt settled first; this one was ended. */
  | 'overtaken'
  /** The caller gave up. */
  | 'abandoned';

/** One attempt, for error messages, metrics and histories. Times are `performance.now()` milliseconds. */
export interface AttemptRecord {
  readonly endpoint: string;
  readonly kind: AttemptKind;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  readonly outcome: AttemptOutcome;
  readonly status: number | undefined;
}

/** A request that ended without an answer. */
export abstract class RequestError extends EdenFieldError {
  /** In the order they were made. */
  readonly attempts: readonly AttemptRecord[];
  /** The endpoints that were asked, each once, in that order. */
  readonly endpoints: readonly string[];
  constructor(message: string, attempts: readonly AttemptRecord[], options?: ErrorOptions) {
    const endpoints = [...new Set(attempts.map(({ endpoint }) => endpoint))];
    super(
      `${message} (${attempts.length} ${attempts.length === 1 ? 'attempt' : 'attempts'}${
        endpoints.length > 0 ? ` at ${endpoints.join(', ')}` : ''
      })`,
      options,
    );
    this.attempts = attempts;
    this.endpoints = endpoints;
  }
}

/** It failed and may not be repeated, or waiting for the next try would pass the deadline. `cause` is the last failure. */
export class RequestFailedError extends RequestError {
  readonly code = 'REQUEST_FAILED';
  /** False for a write without identity that may have reached the service: repeating it could repeat its effect. */
  readonly retryable: boolean;
  /** Status of the last answer, where there was one. */
  readonly status: number | undefined;
  constructor(
    message: string,
    attempts: readonly AttemptRecord[],
    details: { retryable: boolean; cause: unknown },
  ) {
    super(message, attempts, { cause: details.cause });
    this.retryable = details.retryable;
    this.status = attempts.findLast(({ status }) => status !== undefined)?.status;
  }
}

/** No answer before the request's deadline. `cause` is the last failure, where there was one. */
export class DeadlineError extends RequestError {
  readonly code = 'DEADLINE';
  /** As in {@link RequestFailedError}. */
  readonly retryable: boolean;
  readonly deadlineMs: number;
  constructor(
    deadlineMs: number,
    attempts: readonly AttemptRecord[],
    details: { retryable: boolean; cause?: unknown },
  ) {
    super(`no answer within ${deadlineMs} ms`, attempts, { cause: details.cause });
    this.deadlineMs = deadlineMs;
    this.retryable = details.retryable;
  }
}

/** The caller's signal fired. `cause` is its reason. */
export class RequestAbortedError extends RequestError {
  readonly code = 'ABORTED';
  /** As in {@link RequestFailedError}. */
  readonly retryable: boolean;
  constructor(attempts: readonly AttemptRecord[], details: { retryable: boolean; cause: unknown }) {
    super('the request was aborted by its caller', attempts, { cause: details.cause });
    this.retryable = details.retryable;
  }
}

/** The client was closed before or while the request ran. */
export class ClientClosedError extends RequestError {
  readonly code = 'CLOSED';
  readonly retryable = false;
  constructor(attempts: readonly AttemptRecord[] = []) {
    super('the client is closed', attempts);
  }
}

/** The application's token source threw, or gave something that is no token. */
export class TokenError extends RequestError {
  readonly code = 'TOKEN';
  readonly retryable = true;
  constructor(message: string, attempts: readonly AttemptRecord[], options?: ErrorOptions) {
    super(message, attempts, options);
  }
}

/** One attempt got no answer in time; the `cause` of what the request then ends in. */
export class AttemptTimeoutError extends EdenFieldError {
  readonly code = 'ATTEMPT_TIMEOUT';
  readonly retryable = true;
  constructor(endpoint: string, timeoutMs: number) {
    super(`${endpoint} did not answer within ${timeoutMs} ms`);
  }
}

/** One attempt was answered with a status that is not final; the `cause` of what the request then ends in. */
export class AnswerError extends EdenFieldError {
  readonly code = 'ANSWER';
  readonly retryable = true;
  readonly status: number;
  /** The body as text, at most 2,000 characters of it. */
  readonly body: string;
  constructor(endpoint: string, status: number, body: string) {
    super(`${endpoint} answered ${status}${body ? `: ${body.slice(0, 200)}` : ''}`);
    this.status = status;
    this.body = body.slice(0, 2_000);
  }
}
