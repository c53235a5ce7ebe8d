// What the request layer tells whoever listens, for metrics and logs, and the counts it keeps itself.
import type { AttemptKind, AttemptOutcome } from './errors.ts';
import type { Health } from './health.ts';

export type RequestEvent =
  | { readonly type: 'attempt'; readonly endpoint: string; readonly kind: AttemptKind }
  | {
      readonly type: 'outcome';
      readonly endpoint: string;
      readonly kind: AttemptKind;
      readonly outcome: Exclude<AttemptOutcome, 'pending'>;
      readonly status: number | undefined;
      readonly elapsedMs: number;
    }
  /** All outstanding attempts of that endpoint, so many, are being redirected. */
  | { readonly type: 'silence'; readonly endpoint: string; readonly outstanding: number }
  | {
      readonly type: 'health';
      readonly endpoint: string;
      readonly health: Health;
      readonly evacuated: boolean;
    }
  /** An extra attempt was wanted and the retry budget had none left. */
  | { readonly type: 'budget_empty'; readonly wanted: AttemptKind };

/** Listeners are others' code: what one throws must be seen, as an uncaught exception, and must not leave what called it
 * half done. */
export function callListener(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Since the client was made. `attempts` counts every copy of every operation; probes are not in it. */
export interface RequestCounts {
  readonly operations: number;
  readonly attempts: number;
  readonly hedges: number;
  readonly redirects: number;
  readonly fallbacks: number;
  readonly retries: number;
  /** Operations that ended without an answer. */
  readonly failures: number;
}

export const NO_REQUESTS: RequestCounts = {
  operations: 0,
  attempts: 0,
  hedges: 0,
  redirects: 0,
  fallbacks: 0,
  retries: 0,
  failures: 0,
};
