// What a race is about: the operation, the attempts it makes, the answer it ends in, and what all races share.
import type { IncomingHttpHeaders } from 'node:http';
import type { RetryBudget } from './budget.ts';
import type { Connections } from './connections.ts';
import type { Ending, Endpoint, Endpoints, Outstanding } from './endpoints.ts';
import type { AttemptKind, AttemptOutcome, AttemptRecord } from './errors.ts';
import type { RequestEvent } from './events.ts';
import type { CheckedOptions } from './options.ts';
import type { Race } from './race.ts';
import type { TokenKeeper } from './token.ts';

/** What all operations of a client share. */
export interface RaceContext {
  readonly options: CheckedOptions;
  readonly endpoints: Endpoints<Attempt>;
  readonly connections: readonly Connections[];
  readonly budget: RetryBudget;
  readonly tokens: TokenKeeper | undefined;
  readonly now: () => number;
  started(attempt: Attempt): void;
  ended(attempt: Attempt, ending: Ending): void;
  heard(endpoint: Endpoint<Attempt>): void;
  finished(race: Race, answered: boolean): void;
  emit(event: RequestEvent): void;
}

export interface RaceRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Whether a second copy is harmless. */
  readonly repeatable: boolean;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Which endpoint gave it. */
  readonly endpoint: string;
  readonly attempts: readonly AttemptRecord[];
}

export interface Attempt extends Outstanding<Attempt> {
  readonly race: Race;
  readonly at: Endpoint<Attempt>;
  readonly kind: AttemptKind;
  readonly token: string | undefined;
  endedAt: number | undefined;
  outcome: AttemptOutcome;
  status: number | undefined;
  /** Ends it without another word. */
  end: () => void;
}
