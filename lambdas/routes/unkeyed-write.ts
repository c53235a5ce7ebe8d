// A record write by a caller without a queue: what it knows of the record decides, never a vote (DESIGN §3). The
// server stamps the version. It must not be sent twice blindly, since nothing tells a repetition from a new edit; the
// server itself can tell by the version that it stamped.
import type { Version } from '../../protocol/versions.ts';
import { decideWrite, type Precondition, parsePrecondition } from '../core/preconditions.ts';
import type { Content, Edit, StoredRecord } from '../core/record.ts';
import { type HttpAnswer, type HttpRequest, ProblemError } from '../http.ts';
import type { Service } from '../service.ts';
import { type Admitted, backOff, mayAttempt } from '../settle.ts';
import { RecordFullError, StoreUnavailableError, type WriteOutcome } from '../store/store.ts';
import { written } from './keyed-write.ts';

const ATTEMPTS_MAX = 8;

/** An attempt that the table gave no answer to: it may have landed, and may still. */
interface Unanswered {
  readonly version: Version;
  readonly base: Version | undefined;
  readonly error: StoreUnavailableError;
}

export async function writeUnkeyed(
  { key, content }: Pick<Edit, 'key' | 'content'>,
  request: HttpRequest,
  admitted: Admitted,
  service: Service,
): Promise<HttpAnswer> {
  const { store, commits, versions, now } = service;
  const precondition = preconditionOf(request);
  const answer = (version: Version, created: boolean): HttpAnswer => {
    const headers = { etag: `"${version}"` };
    return content.deleted ? { status: 204, headers } : written(key, version, created, headers);
  };
  let stored = await store.read(key);
  let created = false;
  let unanswered: Unanswered | undefined;
  for (let tried = 0; tried < ATTEMPTS_MAX; tried += 1) {
    const base = unanswered ? unanswered.base : baseFrom(precondition, content, stored);
    if (!(await mayAttempt(admitted, service))) break;
    if (stored) {
      versions.observe(stored.version);
      commits.observe(stored.commitVersion);
    }
    // What may have landed is written again as the same version on the same base, so that only one of them can land.
    const version = unanswered ? unanswered.version : versions.stamp(now());
    if (!unanswered) created = stored?.content.deleted ?? true;
    const outcome = await tryOnce(
      { key, content, version, base, commitVersion: commits.stamp(now()) },
      service,
    );
    if (outcome === 'refused' || outcome instanceof StoreUnavailableError) {
      if (outcome !== 'refused') unanswered = { version, base, error: outcome };
      await backOff(tried, service);
      continue;
    }
    if (outcome.written) return answer(version, created);
    stored = outcome.stored;
    if (unanswered && stored?.version !== base) {
      // No two writes ever have the same version: it was this one that landed. Else nobody can tell any more.
      if (stored?.version === version) return answer(version, created);
      throw unanswered.error;
    }
  }
  if (unanswered) throw unanswered.error;
  throw new ProblemError('deferred', 'the record is being changed by others; nothing was written', {
    extensions: { reason: 'store_unavailable' },
  });
}

/** The version to write on. Throws a problem when what is stored is not what the caller said. */
function baseFrom(
  precondition: Precondition,
  content: Content,
  stored: StoredRecord | undefined,
): Version | undefined {
  const decision = decideWrite(precondition, content.deleted ? 'delete' : 'put', stored);
  if (decision.kind === 'write') return decision.base;
  throw new ProblemError(decision.code, decision.detail, {
    ...(stored && !stored.content.deleted && { headers: { etag: `"${stored.version}"` } }),
  });
}

function preconditionOf(request: HttpRequest): Precondition {
  try {
    return parsePrecondition(request.header('if-match'), request.header('if-none-match'));
  } catch (error) {
    if (error instanceof RangeError) throw new ProblemError('invalid_request', error.message);
    throw error;
  }
}

/** Gives the error when the write may have landed and another attempt can find out. */
async function tryOnce(
  write: Parameters<Service['store']['write']>[0],
  { store }: Service,
): Promise<WriteOutcome | 'refused' | StoreUnavailableError> {
  try {
    return await store.write(write);
  } catch (error) {
    if (error instanceof RecordFullError)
      throw new ProblemError('too_large', 'the record has no room beside what is kept of its writers');
    if (!(error instanceof StoreUnavailableError && error.retryable)) throw error;
    return error.mayHaveLanded ? error : 'refused';
  }
}
