// One operation to its verdict (PROTOCOL §3, §4): a conditional write, and when its condition fails, what the stored
// item says about why, up to a vote of the replicas. Every attempt is admitted anew, stamped anew, and is one call.
import { METRICS } from '../protocol/metrics.ts';
import type { DeferredReason, Verdict } from '../protocol/verdicts.ts';
import { admit } from './core/admission.ts';
import { type Attempt, type Conflict, firstAttempt, nextStep, nextStepWhenFull } from './core/attempts.ts';
import { recordRuling } from './core/audit.ts';
import { isSettled } from './core/classify.ts';
import { rejection } from './core/operations.ts';
import { type AuditState, type Edit, NO_AUDIT } from './core/record.ts';
import { timelinessOf } from './core/timeliness.ts';
import type { Service, VotingService } from './service.ts';
import { RecordFullError, StoreUnavailableError } from './store/store.ts';
import { putToTheVote, refusable, type VoteOutcome } from './vote.ts';

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
export async function settle(edit: Edit, admitted: Admitted, service: VotingService): Promise<Settlement> {
  const { telemetry } = service;
  const course: Course = { conflicted: false, undecided: false };
  let settlement: Settlement | undefined;
  try {
    settlement = await run(edit, admitted, service, course);
  } catch (error) {
    logDeferred(edit, error, service);
  }
  // One conflict, however many rounds it took.
  const { conflicted, undecided } = course;
  if (conflicted) telemetry.measure([{ name: METRICS.conflicts, value: 1 }]);
  if (settlement) return settlement;
  if (undecided) telemetry.measure([{ name: METRICS.votesUndecided, value: 1 }]);
  return { verdict: deferral(edit, undecided ? 'no_quorum' : 'store_unavailable'), created: false };
}

/** What became of an operation on its way, beside its verdict. */
interface Course {
  /** It met a conflict, and that was decided or is still open. */
  conflicted: boolean;
  /** The last vote found no majority. */
  undecided: boolean;
}

/** Undefined when no attempt settled it. */
async function run(
  edit: Edit,
  admitted: Admitted,
  service: VotingService,
  course: Course,
): Promise<Settlement | undefined> {
  const untimely = await judgeTime(edit, service);
  if (untimely) return { verdict: untimely, created: false };

  const mayGoOn = () => mayAttempt(admitted, service);
  let attempt = firstAttempt(edit);
  let conflict: Conflict | undefined;
  for (let tried = 0; tried < ATTEMPTS_MAX; tried += 1) {
    if (!(await mayGoOn())) break;
    if (isBaseGone(edit, attempt) && !(await isOpenNow(admitted, service))) break;
    const step: Step = conflict
      ? await putToTheVote(conflict, { edit, attempt, service, mayAttempt: mayGoOn })
      : await tryOnce(edit, attempt, service);
    if (conflict) course.undecided = step.kind === 'undecided';
    switch (step.kind) {
      case 'written':
        course.conflicted = step.baseMissing;
        return { verdict: applied(edit), created: attempt.creates };
      case 'decided':
        return { verdict: step.verdict, created: step.created };
      case 'settle':
        // Settled by what is stored, not by a decision of this one.
        course.conflicted = false;
        return { verdict: step.verdict, created: false };
      case 'refused':
        await backOff(tried, service);
        break;
      case 'conflict':
        course.conflicted = true;
        conflict = step;
        break;
      case 'retry':
        if (step.seen) service.commits.observe(step.seen);
        attempt = step.attempt;
        conflict = undefined;
        break;
      case 'outdated':
        conflict = undefined;
        break;
      case 'undecided':
        if (!step.moved) return undefined;
        conflict = undefined;
        break;
      case 'over':
        return undefined;
    }
  }
  return undefined;
}

type Step =
  /** `baseMissing`: as a new record, since the edit's base was gone (PROTOCOL 7). */
  { readonly kind: 'written'; readonly baseMissing: boolean } | VoteOutcome;

/** One call. Throws when it failed in a way that another attempt in this request does not mend. */
async function tryOnce(edit: Edit, attempt: Attempt, service: Service): Promise<Step> {
  const { store, commits, now } = service;
  const { key, version, content, session, sequence } = edit;
  const nowMs = now();
  const commitVersion = commits.stamp(nowMs);
  const audit = trailOfMissingBase(edit, attempt, service, nowMs);
  try {
    const outcome = await refusable(service, () =>
      store.write({
        key,
        version,
        content,
        base: attempt.base,
        commitVersion,
        settles: { session, sequence, atMs: nowMs },
        ...(attempt.forget && { forget: attempt.forget }),
        ...(audit && { audit }),
      }),
    );
    if (outcome === 'refused') return { kind: 'refused' };
    if (!outcome.written) return nextStep(edit, attempt, outcome.stored, commitVersion, now());
    if (audit) logMissingBase(edit, service);
    return { kind: 'written', baseMissing: audit !== undefined };
  } catch (error) {
    if (!(error instanceof RecordFullError)) throw error;
    return nextStepWhenFull(edit, attempt, await store.read(key), now());
  }
}

/** Its base was looked for and is not there: it is about to be written as a new record. */
function isBaseGone({ base }: Edit, attempt: Attempt): boolean {
  return base !== undefined && attempt.base === undefined;
}

/** PROTOCOL 7: a base that is gone is a conflict to log, and the edit is written as a new record. */
function trailOfMissingBase(
  edit: Edit,
  attempt: Attempt,
  { place }: Service,
  atMs: number,
): AuditState | undefined {
  if (!isBaseGone(edit, attempt)) return undefined;
  const scene = { region: place.region, atMs };
  const recorded = recordRuling(edit, { outcome: 'base_missing' }, NO_AUDIT, scene);
  return recorded.kind === 'recorded' ? recorded.audit : undefined;
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

/**
 * By the generation item as it is now, whatever the copy says. A table that has just lost everything has lost that item
 * too: what is written as a new record into it within the copy's 5 s would know nothing of what its sessions have settled
 * (PROTOCOL 2), and a restore that finds it there and whole would leave it so.
 */
async function isOpenNow(
  { restoreEpoch }: Admitted,
  { generation }: Pick<Service, 'generation'>,
): Promise<boolean> {
  return admit(await generation.refresh(), restoreEpoch).kind === 'admitted';
}

export async function backOff(
  tried: number,
  { random, wait }: Pick<Service, 'random' | 'wait'>,
): Promise<void> {
  await wait(random() * Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** tried));
}

function applied({ session, sequence, version }: Edit): Verdict {
  return { session, sequence, verdict: 'applied', version };
}

function deferral({ session, sequence }: Edit, reason: DeferredReason): Verdict {
  return { session, sequence, verdict: 'deferred', reason };
}

/**
 * Whatever it is, it must not take the rest of a batch with it. What will not pass by itself is logged as an error:
 * permissions, a missing table, an item that cannot be read.
 */
function logDeferred({ session, sequence }: Edit, error: unknown, { telemetry }: Service): void {
  const passes = error instanceof StoreUnavailableError && (error.retryable || error.mayHaveLanded);
  if (passes) telemetry.warn('an operation was deferred', { session, sequence, why: error.message });
  else telemetry.error('an operation cannot be settled', error, { session, sequence });
}

function logMissingBase({ key, base, version }: Edit, { telemetry }: Service): void {
  telemetry.warn('the base of an edit is gone; written as a new record', {
    tenant: key.tenant,
    collection: key.collection,
    record: key.id,
    base: base ?? '',
    version,
  });
}
