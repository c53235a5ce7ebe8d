// Errors that cross a boundary say what was expected, what came, and whether trying again can help.

export abstract class EdenFieldError extends Error {
  abstract readonly code: string;
  /** Whether the same call can succeed later. */
  abstract readonly retryable: boolean;
  override get name(): string {
    return this.constructor.name;
  }
}

/** RFC 9457. `code` names the kind for programs; `type` is `urn:eden-field:problem:<code>`. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

/** Every problem the API answers with: its HTTP status and title. */
export const PROBLEMS = {
  invalid_request: { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'The token is missing or not valid' },
  forbidden: { status: 403, title: 'The token does not allow this' },
  not_found: { status: 404, title: 'There is no such thing' },
  clock_ahead: { status: 409, title: "The operation's version is ahead of the server's clock" },
  restore_epoch: { status: 409, title: 'The data was restored since: send what you still keep again' },
  superseded: { status: 409, title: 'A newer edit won' },
  cursor_expired: { status: 410, title: 'The cursor is too old: start again without one' },
  precondition_failed: { status: 412, title: 'The record is not at that version' },
  too_large: { status: 413, title: 'The request is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be application/json' },
  rejected: { status: 422, title: 'The operation cannot be applied' },
  precondition_required: { status: 428, title: 'Say which version you are changing' },
  too_many_requests: { status: 429, title: 'Too many requests' },
  internal: { status: 500, title: 'Something went wrong here' },
  bad_gateway: { status: 502, title: 'The service did not answer properly' },
  closed: { status: 503, title: 'The data store is closed, for a restore or because it was never opened' },
  deferred: { status: 503, title: 'Not decided yet: nothing was written, send it again' },
  feed_unsteady: { status: 503, title: "This region's feed is not known to be complete: ask another region" },
  store_unavailable: { status: 503, title: 'The data store did not answer' },
  timeout: { status: 504, title: 'The service did not answer in time' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

export function problem(code: ProblemCode, detail: string): Problem {
  return { type: `urn:eden-field:problem:${code}`, code, ...PROBLEMS[code], detail };
}
