// What an answer's status means for the operation, and how long to pause when nobody gave a final one.
import type { IncomingHttpHeaders } from 'node:http';

/** `settles`: the caller gets it. The others are worth another attempt: with a new token, or elsewhere, or later. */
export type Meaning = 'settles' | 'unauthorized' | 'refused' | 'failed';

export function classify(status: number, headers: IncomingHttpHeaders): Meaning {
  if (status === 401) return 'unauthorized';
  if (status === 429) return 'refused';
  // A service that says when to come back is alive and in command of itself.
  if (status === 503 && headers['retry-after'] !== undefined) return 'refused';
  return status >= 500 ? 'failed' : 'settles';
}

/** `Retry-After` in ms from now: seconds or an HTTP date (RFC 9110 section 10.2.3); undefined when it is neither. */
export function retryAfterMs(header: string | undefined, nowUnixMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowUnixMs);
}

/**
 * Full jitter (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/): anything from nothing
 * to a limit that doubles with every round, but never more than half of the time that is left, so that a last try is
 * not slept through.
 */
export function backoffMs(
  round: number,
  leftMs: number,
  {
    backoffBaseMs,
    backoffMaxMs,
    random,
  }: { backoffBaseMs: number; backoffMaxMs: number; random: () => number },
): number {
  return random() * Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(round, 30), leftMs / 2);
}
