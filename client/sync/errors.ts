// What sending and pulling can end in beside the request layer's errors. In each case the queue still holds everything.
import { EdenFieldError } from '../../protocol/errors.ts';

/**
 * The service takes the request as a whole for wrong, even for a single operation: the token lacks a scope, the file
 * belongs to another tenant, or this release and the service do not understand each other. Nothing was dropped.
 */
export class SyncRefusedError extends EdenFieldError {
  readonly code = 'SYNC_REFUSED';
  readonly retryable = false;
  readonly status: number;
  /** The service's own word for it, such as `forbidden`. */
  readonly problem: string;

  constructor(what: string, status: number, problem: string, detail: string) {
    super(`the service refused ${what} with ${status} ${problem}: ${detail}. Nothing was dropped`);
    this.status = status;
    this.problem = problem;
  }
}

/** Something answered, but not as this service does: a portal in between, or a fault. Counts as no answer. */
export class UnexpectedAnswerError extends EdenFieldError {
  readonly code = 'UNEXPECTED_ANSWER';
  readonly retryable = true;

  constructor(expected: string, got: string, options?: ErrorOptions) {
    super(`expected ${expected}, got ${got}. It counts as no answer`, options);
  }
}
