// A record write with an idempotency key and a version: the same operation that a push would carry, so that it can be
// retried and hedged. Its verdict becomes a status.
import { HEADERS, PATHS } from '../../protocol/messages.ts';
import { IDEMPOTENCY_KEY_PATTERN } from '../../protocol/names.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import { compareVersions, isVersion, type Version } from '../../protocol/versions.ts';
import { parseBase } from '../core/preconditions.ts';
import type { Edit } from '../core/record.ts';
import { type HttpAnswer, type HttpRequest, ProblemError } from '../http.ts';
import type { VotingService } from '../service.ts';
import { type Admitted, type Settlement, settle } from '../settle.ts';

export async function writeKeyed(
  write: Pick<Edit, 'key' | 'content'>,
  request: HttpRequest,
  admitted: Admitted,
  service: VotingService,
): Promise<HttpAnswer> {
  const edit: Edit = { ...write, ...operationOf(request), replayed: false };
  return answerOf(edit, await settle(edit, admitted, service));
}

function operationOf(request: HttpRequest): Pick<Edit, 'session' | 'sequence' | 'version' | 'base'> {
  const refuse = (detail: string): never => {
    throw new ProblemError('invalid_request', detail);
  };
  const [, session, digits] =
    IDEMPOTENCY_KEY_PATTERN.exec(request.header(HEADERS.idempotencyKey)?.trim() ?? '') ?? [];
  const sequence = Number(digits);
  if (session === undefined || !Number.isSafeInteger(sequence))
    return refuse(
      `${HEADERS.idempotencyKey}: expected <session>:<sequence> beside ${HEADERS.version}, got ${request.header(HEADERS.idempotencyKey) ?? 'none'}`,
    );
  const version = request.header(HEADERS.version)?.trim();
  if (!isVersion(version))
    return refuse(
      `${HEADERS.version}: expected a version beside ${HEADERS.idempotencyKey}, got ${version ?? 'none'}`,
    );
  if (request.header('if-none-match') !== undefined)
    refuse(
      'If-None-Match: a write with an idempotency key says what it knows by If-Match, or knows of no record',
    );
  return { session, sequence, version, base: baseOf(request.header('if-match'), version, refuse) };
}

function baseOf(
  ifMatch: string | undefined,
  version: Version,
  refuse: (detail: string) => never,
): Version | undefined {
  if (ifMatch === undefined) return undefined;
  const base = parseBase(ifMatch);
  if (base === undefined) return refuse('If-Match: expected "<version>", the base of the edit');
  if (compareVersions(base, version) >= 0)
    refuse(`${HEADERS.version}: expected one above the base ${base}, got ${version}`);
  return base;
}

function answerOf({ key, content }: Edit, { verdict, created }: Settlement): HttpAnswer {
  const said = { [HEADERS.verdict]: verdict.verdict };
  switch (verdict.verdict) {
    case 'applied':
    case 'duplicate': {
      const headers = { ...said, etag: `"${verdict.version}"` };
      if (content.deleted) return { status: 204, headers };
      return written(key, verdict.version, created, headers);
    }
    case 'superseded':
      throw new ProblemError('superseded', `the record is at version ${verdict.version}`, {
        headers: { ...said, etag: `"${verdict.version}"` },
        extensions: { version: verdict.version },
      });
    case 'deferred':
      throw new ProblemError('deferred', whyDeferred(verdict), {
        headers: said,
        extensions: { reason: verdict.reason },
      });
    case 'clock_ahead': {
      const { serverTimeMs, version } = verdict;
      throw new ProblemError('clock_ahead', `the server's time is ${serverTimeMs} ms`, {
        headers: said,
        extensions: { serverTimeMs, ...(version && { version }) },
      });
    }
    case 'rejected':
      throw new ProblemError(verdict.reason === 'too_large' ? 'too_large' : 'rejected', verdict.detail, {
        headers: said,
        extensions: { reason: verdict.reason },
      });
  }
}

function whyDeferred({ reason }: Extract<Verdict, { verdict: 'deferred' }>): string {
  return reason === 'no_quorum'
    ? 'the record was changed meanwhile, and no two replicas agreed on which edit wins'
    : 'the data store did not answer: send the same key and version again';
}

/** The answer to a write that took effect. */
export function written(
  { collection, id }: Edit['key'],
  version: Version,
  created: boolean,
  headers: Readonly<Record<string, string>>,
): HttpAnswer {
  const location = PATHS.record.replace('{collection}', collection).replace('{id}', id);
  return {
    status: created ? 201 : 200,
    headers: created ? { ...headers, location } : headers,
    body: { collection, id, version },
  };
}
