// What can go wrong with the queue on this disk. Each error says what was expected, what came and what to do; none is
// thrown after something was lost silently, because nothing is.
import { EdenFieldError } from '../../protocol/errors.ts';

/** One piece of damage: what is wrong, and where in the file. */
export interface Finding {
  /** `operations`, `outcomes`, `records`, `state`, `mark`, or `pages` for SQLite's own structure. */
  readonly where: string;
  readonly what: string;
}

/** The file is not what was acknowledged. The queue refuses to run on it and leaves its content as it is. */
export class QueueCorruptError extends EdenFieldError {
  readonly code = 'QUEUE_CORRUPT';
  readonly retryable = false;
  readonly path: string;
  readonly findings: readonly Finding[];

  constructor(path: string, findings: readonly Finding[], options?: ErrorOptions) {
    const [first, ...others] = findings;
    const also = others.length > 0 ? ` (and ${others.length} more findings)` : '';
    super(
      `${path} is damaged: ${first?.where}: ${first?.what}${also}. Its content was left as it is. ` +
        'recoverQueueFile(path, newPath) writes what can be saved to a new file and lists what cannot',
      options,
    );
    this.path = path;
    this.findings = findings;
  }
}

/** Another process, or this one already, has the file open: one queue file, one open queue. */
export class QueueLockedError extends EdenFieldError {
  readonly code = 'QUEUE_LOCKED';
  readonly retryable = true;
  readonly path: string;

  constructor(path: string, options?: ErrorOptions) {
    super(`${path} is open elsewhere: close it there, or give this client a file of its own`, options);
    this.path = path;
  }
}

/** A later release of this library made the file. */
export class QueueVersionError extends EdenFieldError {
  readonly code = 'QUEUE_VERSION';
  readonly retryable = false;
  readonly path: string;
  readonly expected: number;
  readonly got: number;

  constructor(path: string, expected: number, got: number) {
    super(`${path} has format ${got}; this release reads up to ${expected}: use a release that knows it`);
    this.path = path;
    this.expected = expected;
    this.got = got;
  }
}

/**
 * No room for new work: the edit was not taken. Reading, sending and settling go on, and settling makes room.
 * `limit`: the configured `bytesMax`; `disk`: the file system.
 */
export class QueueFullError extends EdenFieldError {
  readonly code = 'QUEUE_FULL';
  readonly retryable = true;
  readonly reason: 'limit' | 'disk';

  constructor(reason: 'limit' | 'disk', detail: string, options?: ErrorOptions) {
    super(`The queue is full: ${detail}. The edit was not taken; what is queued is safe`, options);
    this.reason = reason;
  }
}

/**
 * Reading or writing failed for another reason than space. Whether the last write landed is unknown, so the queue
 * takes no more; opened anew it finds out, and sending an operation twice does no harm.
 */
export class QueueDiskError extends EdenFieldError {
  readonly code = 'QUEUE_DISK';
  readonly retryable = false;
  readonly path: string;

  constructor(path: string, what: string, options?: ErrorOptions) {
    super(`${path}: ${what}. Close the queue and open it again`, options);
    this.path = path;
  }
}

/** The queue was closed before this call. */
export class QueueClosedError extends EdenFieldError {
  readonly code = 'QUEUE_CLOSED';
  readonly retryable = false;

  constructor(path: string) {
    super(`The queue ${path} is closed: open it again`);
  }
}

/** An edit the server would refuse whatever happens: nothing was queued. `at` is a path into the payload. */
export class InvalidEditError extends EdenFieldError {
  readonly code = 'INVALID_EDIT';
  readonly retryable = false;
  readonly at: string;

  constructor(at: string, expected: string, got: string) {
    super(`${at}: expected ${expected}, got ${got}`);
    this.at = at;
  }
}
