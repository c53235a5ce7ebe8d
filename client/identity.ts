// Who an operation is: the session and sequence that make its effect happen once, and the version that orders it
// (PROTOCOL 1.1, 1.2). In memory: a session is new every time, and its clock starts from what it is given.
import { randomBytes } from 'node:crypto';
import { IDEMPOTENCY_KEY_PATTERN, SESSION_PATTERN } from '../protocol/names.ts';
import { CLOCK_ZERO, type Clock, observe, tick, type Version, versionOf } from '../protocol/versions.ts';

/** `<session>:<sequence>`, as the header carries it. */
export type IdempotencyKey = string & { readonly __idempotencyKey: never };

/** What a keyed write carries. The same identity may be sent any number of times and takes effect at most once. */
export interface OperationIdentity {
  readonly key: IdempotencyKey;
  readonly version: Version;
}

export interface SessionOptions {
  /** 16 hex digits naming the queue file. @default random */
  readonly fileId?: string;
  /** The highest reading given or seen before. @default none */
  readonly clock?: Clock;
  /** Unix ms. @default Date.now */
  readonly now?: () => number;
  readonly random?: (bytes: number) => Buffer;
}

export class Session {
  /** 128 random bits in hex. */
  readonly id: string;
  readonly fileId: string;
  readonly #now: () => number;
  #clock: Clock;
  #sequence = 0;

  /** @throws RangeError `fileId` is not 16 hex digits */
  constructor({ fileId, clock = CLOCK_ZERO, now = Date.now, random = randomBytes }: SessionOptions = {}) {
    this.id = random(16).toString('hex');
    if (!SESSION_PATTERN.test(this.id)) throw new RangeError(`a session is 32 hex digits, got ${this.id}`);
    this.fileId = fileId ?? random(8).toString('hex');
    // Checks the file id before the first operation depends on it.
    versionOf(clock, this.fileId);
    this.#clock = clock;
    this.#now = now;
  }

  /** The highest reading given or seen; keep it with the queue file. */
  get clock(): Clock {
    return this.#clock;
  }

  /** Identity of the next operation: sequence 1, 2, 3 … and a version above all given or seen. */
  next(): OperationIdentity {
    this.#sequence += 1;
    this.#clock = tick(this.#clock, Math.floor(this.#now()));
    return {
      key: idempotencyKey(this.id, this.#sequence),
      version: versionOf(this.#clock, this.fileId),
    };
  }

  /** A version was seen, in an answer or a change: the clock goes past it. */
  observe(version: Version): void {
    this.#clock = observe(this.#clock, version);
  }
}

/** @throws RangeError not a session of 32 hex digits, or not a sequence from 1 */
export function idempotencyKey(session: string, sequence: number): IdempotencyKey {
  const key = `${session}:${sequence}`;
  if (!IDEMPOTENCY_KEY_PATTERN.test(key) || !Number.isSafeInteger(sequence))
    throw new RangeError(
      `an idempotency key is <32 hex digits>:<sequence from 1>, got ${JSON.stringify(key)}`,
    );
  return key as IdempotencyKey;
}
