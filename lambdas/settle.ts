// One operation to its verdict (PROTOCOL §3): a conditional write, and when its condition fails, what the stored item
// says about why. Every attempt is admitted anew, stamped anew, and is one call.
import { setTimeout as sleep } from 'node:timers/promises';
import { METRICS } from '../protocol/metrics.ts';
import type { Verdict } from '../protocol/verdicts.ts';
import { admit } from './core/admission.ts';
import { type Attempt, firstAttempt, type NextStep, nextStep, nextStepWhenFull } from './core/attempts.ts';
import { isSettled } from './core/classify.ts';
import { rejection } from './core/operations.ts';
import type { Edit, StoredRecord } from './core/record.ts';
import { timelinessOf } from './core/timeliness.ts';
import type { Service } from './service.ts';
import { RecordFullError, StoreUnavailableError } from './store/store.ts';

/** Decides an edit that met a state its author had not seen (PROTOCOL §4). */
export type ResolveConflict = (edit: Edit, stored: StoredRecord) => Promise<Verdict>;

/** Without a vote nothing is written, and the operation stays with its sender. */
export const withoutVote: ResolveConflict = async ({ session, sequence }) => ({
  session,
  sequence,
  verdict: 'deferred',
  reason: 'no_quorum',
});

export interface Admitted {
  /** The epoch that the request was admitted under. */
  readonly restoreEpoch: number;
  /** Unix ms after which no attempt starts. */
  readonly deadlineMs: number;
}

export interface Settlement {
  readonly verdict: Verdict;
  /** Whether an applied edit found no live record. */
  readonly created: boolean;
}

/** An attempt lasts at most 10 s and API Gateway waits 29 s, so none starts later than this into a request.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html */
export const ATTEMPTS_START_MS_MAX = 15_000;
const ATTEMPTS_MAX = 8;
/** Full jitter over a range that doubles from the first to the last. */
const BACKOFF_MS = { first: 20, max: 1_000 } as const;

/** Never rejects: an operation that met trouble is `deferred`. */
export async function settle(
  edit: Edit,
  admitted: Admitted,
  service: Service,
  resolveConflict: ResolveConflict = withoutVote,
): Promise<Settlement> {
  const { session, sequence } = edit;
  try {
    const untimely = await judgeTime(edit, service);
    if (untimely) return { verdict: untimely, created: false };

    let attempt = firstAttempt(edit);
    for (let tried = 0; tried < ATTEMPTS_MAX; tried += 1) {
      if (!(await mayAttempt(admitted, service))) break;
      const step = await tryOnce(edit, attempt, service);
      if (step === 'written')
        return {
          verdict: { session, sequence, verdict: 'applied', version: edit.version },
          created: attempt.creates,
        };
      if (step === 'refused') {
        await backOff(tried, service);
        continue;
      }
      if (step.kind === 'settle') return { verdict: step.verdict, created: false };
      if (step.kind === 'conflict') {
        service.telemetry.measure([{ name: METRICS.conflicts, value: 1 }]);
        return { verdict: await resolveConflict(edit, step.stored), created: false };
      }
      if (step.seen) service.commits.observe(step.seen);
      if (attempt.base !== undefined && step.attempt.base === undefined) logMissingBase(edit, service);
      attempt = step.attempt;
    }
  } catch (error) {
    // Whatever it is, it must not take the rest of a batch with it. What will not pass by itself is logged as an error:
    // permissions, a missing table, an item that cannot be read.
    const passes = error instanceof StoreUnavailableError && (error.retryable || error.mayHaveLanded);
    if (passes)
      service.telemetry.warn('an operation was deferred', { session, sequence, why: error.message });
    else service.telemetry.error('an operation cannot be settled', error, { session, sequence });
  }
  return {
    verdict: { session, sequence, verdict: 'deferred', reason: 'store_unavailable' },
    created: false,
  };
}

/** One call. Throws when it failed in a way that another attempt in this request does not mend. */
async function tryOnce(
  edit: Edit,
  attempt: Attempt,
  service: Service,
): Promise<'written' | 'refused' | NextStep> {
  const { store, commits, telemetry, now } = service;
  const { key, version, content, session, sequence } = edit;
  const nowMs = now();
  const commitVersion = commits.stamp(nowMs);
  try {
    const outcome = await store.write({
      key,
      version,
      content,
      base: attempt.base,
      commitVersion,
      settles: { session, sequence, atMs: nowMs },
      ...(attempt.forget && { forget: attempt.forget }),
    });
    if (outcome.written) return 'written';
    return nextStep(edit, attempt, outcome.stored, commitVersion, now());
  } catch (error) {
    if (error instanceof RecordFullError)
      return nextStepWhenFull(edit, attempt, await store.read(key), now());
    if (!(error instanceof StoreUnavailableError && error.retryable)) throw error;
    telemetry.measure([{ name: METRICS.storeRetries, value: 1 }]);
    return 'refused';
  }
}

/** PROTOCOL 3.3. */
async function judgeTime(edit: Edit, { store, now }: Service): Promise<Verdict | undefined> {
  const { session, sequence } = edit;
  const timeliness = timelinessOf(edit, now());
  if (timeliness === 'in_time') return undefined;
  const stored = await store.read(edit.key);
  if (stored && isSettled(edit, stored))
    return { session, sequence, verdict: 'duplicate', version: stored.version };
  return timeliness === 'ahead'
    ? { session, sequence, verdict: 'clock_ahead', serverTimeMs: now() }
    : rejection(edit, 'too_old', `version: older than what is taken, the server's time is ${now()} ms`);
}

/** Before every attempt: time is left, and the table is open under the request's own epoch (PROTOCOL 8.1). */
export async function mayAttempt(
  { restoreEpoch, deadlineMs }: Admitted,
  { generation, now }: Pick<Service, 'generation' | 'now'>,
): Promise<boolean> {
  if (now() >= deadlineMs) return false;
  return admit(await generation.current(), restoreEpoch).kind === 'admitted';
}

export async function backOff(tried: number, { random }: Pick<Service, 'random'>): Promise<void> {
  await sleep(random() * Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** tried));
}

/** PROTOCOL 7: a base that is gone is a conflict to log, and the edit is written as a new record. */
function logMissingBase({ key, base, version }: Edit, { telemetry }: Service): void {
  telemetry.warn('the base of an edit is gone; written as a new record', {
    tenant: key.tenant,
    collection: key.collection,
    record: key.id,
    base: base ?? '',
    version,
  });
  telemetry.measure([{ name: METRICS.conflicts, value: 1 }]);
}
