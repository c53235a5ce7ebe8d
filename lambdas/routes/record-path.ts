// What the path of a record request names: a record of the token's own tenant, or one of its collections.
import { COLLECTION_PATTERN, RECORD_ID_PATTERN, type RecordKey } from '../../protocol/names.ts';
import { type HttpRequest, ProblemError } from '../http.ts';

/** Throws a problem when a name is not one. */
export function recordIn(request: HttpRequest): RecordKey {
  return {
    tenant: request.tenant(),
    collection: collectionIn(request),
    id: named(request, 'id', RECORD_ID_PATTERN),
  };
}

/** Throws a problem when it is not a name. */
export function collectionIn(request: HttpRequest): string {
  return named(request, 'collection', COLLECTION_PATTERN);
}

function named(request: HttpRequest, parameter: string, pattern: RegExp): string {
  const name = request.parameter(parameter);
  if (!pattern.test(name))
    throw new ProblemError(
      'invalid_request',
      `${parameter}: expected ${pattern}, got ${JSON.stringify(name)}`,
    );
  return name;
}
