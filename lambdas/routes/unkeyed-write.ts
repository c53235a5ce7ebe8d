// A record write by a caller without a queue: what it knows of the record decides, never a vote (DESIGN §3). The
// server stamps the version. It must not be sent twice blindly, since nothing tells a repetition from a new edit.
import { decideWrite, type Precondition, parsePrecondition } from '../core/preconditions.ts';
import type { Edit } from '../core/record.ts';
import { type HttpAnswer, type HttpRequest, ProblemError } from '../http.ts';
import type { Service } from '../service.ts';
import { type Admitted, backOff, mayAttempt } from '../settle.ts';
import { RecordFullError, StoreUnavailableError, type WriteOutcome } from '../store/store.ts';
import { written } from './keyed-write.ts';

const ATTEMPTS_MAX = 8;

export async function writeUnkeyed(
  { key, content }: Pick<Edit, 'key' | 'content'>,
  request: HttpRequest,
  admitted: Admitted,
  service: Service,
): Promise<HttpAnswer> {
  const { store, commits, versions, now } = service;
  const precondition = preconditionOf(request);
  let stored = await store.read(key);
  for (let tried = 0; tried < ATTEMPTS_MAX; tried += 1) {
    const decision = decideWrite(precondition, content.deleted ? 'delete' : 'put', stored);
    if (decision.kind === 'refuse')
      throw new ProblemError(decision.code, decision.detail, {
        ...(stored && !stored.content.deleted && { headers: { etag: `"${stored.version}"` } }),
      });
    if (!(await mayAttempt(admitted, service))) break;
    if (stored) {
      versions.observe(stored.version);
      commits.observe(stored.commitVersion);
    }
    const version = versions.stamp(now());
    const outcome = await tryOnce(
      { key, content, version, base: decision.base, commitVersion: commits.stamp(now()) },
      service,
    );
    if (outcome === 'refused') {
      await backOff(tried, service);
      continue;
    }
    if (outcome.written) {
      if (content.deleted) return { status: 204, headers: { etag: `"${version}"` } };
      return written(key, version, stored?.content.deleted ?? true, { etag: `"${version}"` });
    }
    stored = outcome.stored;
  }
  throw new ProblemError('deferred', 'the record is being changed by others; nothing was written', {
    extensions: { reason: 'store_unavailable' },
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

/** Only a refusal is tried again: a write that may have landed would look like somebody else's. */
async function tryOnce(
  write: Parameters<Service['store']['write']>[0],
  { store }: Service,
): Promise<WriteOutcome | 'refused'> {
  try {
    return await store.write(write);
  } catch (error) {
    if (error instanceof RecordFullError)
      throw new ProblemError('too_large', 'the record has no room beside what is kept of its writers');
    if (error instanceof StoreUnavailableError && error.retryable && !error.mayHaveLanded) return 'refused';
    throw error;
  }
}
