// Bodies of answers, read strictly: what is not exactly what the service says is nothing it said. A malformed verdict
// that got through would settle an operation, a malformed version would move the clock.
import { PROBLEM_CONTENT_TYPE, PROBLEMS } from '../../protocol/errors.ts';
import type { Change, PullResponse } from '../../protocol/messages.ts';
import { COLLECTION_PATTERN, RECORD_ID_PATTERN, SESSION_PATTERN } from '../../protocol/names.ts';
import type { Json } from '../../protocol/operations.ts';
import { DEFERRED_REASONS, REJECTED_REASONS, type Verdict } from '../../protocol/verdicts.ts';
import { clockOf, isVersion, type Version } from '../../protocol/versions.ts';
import { UnexpectedAnswerError } from './errors.ts';

type JsonObject = { readonly [name: string]: Json };

/** Times of this service end somewhere (the year 6429): a clock put there by a fault could not be stamped from. */
const TIME_MS_MAX = 2 ** 47;

const REJECTED: readonly string[] = REJECTED_REASONS;
const DEFERRED: readonly string[] = DEFERRED_REASONS;

/** @throws UnexpectedAnswerError it is not a push's answer */
export function parseVerdicts(body: Buffer): Verdict[] {
  const { verdicts } = objectOf(body, 'verdicts');
  if (!Array.isArray(verdicts)) throw new UnexpectedAnswerError('a list of verdicts', show(verdicts));
  return verdicts.map((verdict: Json, index) => {
    if (!isVerdict(verdict)) throw new UnexpectedAnswerError(`a verdict at ${index}`, show(verdict));
    return verdict;
  });
}

/** @throws UnexpectedAnswerError it is not a pull's answer */
export function parsePage(body: Buffer): PullResponse {
  const page = objectOf(body, 'a page of changes');
  const { changes, cursor, more, resync } = page;
  if (!Array.isArray(changes)) throw new UnexpectedAnswerError('a list of changes', show(changes));
  if (typeof cursor !== 'string' || cursor === '') throw new UnexpectedAnswerError('a cursor', show(cursor));
  if (typeof more !== 'boolean' || typeof resync !== 'boolean')
    throw new UnexpectedAnswerError('more and resync, true or false', show({ more, resync } as Json));
  const checked = changes.map((change: Json, index) => {
    if (!isChange(change)) throw new UnexpectedAnswerError(`a change at ${index}`, show(change));
    return change;
  });
  return { changes: checked, cursor, more, resync };
}

/** Undefined: it is none of this service's. */
export function parseProblem(
  contentType: string | undefined,
  body: Buffer,
): { readonly code: string; readonly detail: string } | undefined {
  if (!contentType?.startsWith(PROBLEM_CONTENT_TYPE)) return undefined;
  const problem = parsed(body);
  if (!isObject(problem)) return undefined;
  const { code, detail } = problem;
  if (typeof code !== 'string' || !Object.hasOwn(PROBLEMS, code)) return undefined;
  return { code, detail: typeof detail === 'string' ? detail : '' };
}

function isVerdict(value: Json | undefined): value is Json & Verdict {
  if (!isObject(value)) return false;
  const { session, sequence, verdict, version, reason, detail, serverTimeMs } = value;
  if (typeof session !== 'string' || !SESSION_PATTERN.test(session)) return false;
  if (!Number.isSafeInteger(sequence) || (sequence as number) < 1) return false;
  switch (verdict) {
    case 'applied':
    case 'duplicate':
    case 'superseded':
      return isSaneVersion(version);
    case 'deferred':
      return typeof reason === 'string' && DEFERRED.includes(reason);
    case 'rejected':
      return typeof reason === 'string' && REJECTED.includes(reason) && typeof detail === 'string';
    case 'clock_ahead':
      return isTime(serverTimeMs) && (version === undefined || isSaneVersion(version));
    default:
      return false;
  }
}

function isChange(value: Json | undefined): value is Json & Change {
  if (!isObject(value)) return false;
  const { collection, id, version, deleted, payload } = value;
  return (
    typeof collection === 'string' &&
    COLLECTION_PATTERN.test(collection) &&
    typeof id === 'string' &&
    RECORD_ID_PATTERN.test(id) &&
    isSaneVersion(version) &&
    typeof deleted === 'boolean' &&
    deleted === (payload === undefined)
  );
}

function isSaneVersion(value: Json | undefined): value is Version {
  return isVersion(value) && clockOf(value).ms <= TIME_MS_MAX;
}

function isTime(value: Json | undefined): boolean {
  return typeof value === 'number' && value >= 0 && value <= TIME_MS_MAX;
}

function objectOf(body: Buffer, expected: string): JsonObject {
  const value = parsed(body);
  if (!isObject(value)) throw new UnexpectedAnswerError(expected, body.toString('utf8', 0, 200));
  return value;
}

/** Undefined: it is no JSON. */
function parsed(body: Buffer): Json | undefined {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as Json;
  } catch {
    return undefined;
  }
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: Json | undefined): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 200);
}
