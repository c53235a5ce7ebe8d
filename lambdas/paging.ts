// The `limit` of paged answers.
import { type HttpRequest, ProblemError } from './http.ts';

/** Throws a problem for anything but a whole number from 1 to `max`. */
export function limitOf(request: HttpRequest, byDefault: number, max: number): number {
  const text = request.query('limit');
  if (text === undefined) return byDefault;
  const limit = /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(limit <= max))
    throw new ProblemError('invalid_request', `limit: expected a whole number from 1 to ${max}, got ${text}`);
  return limit;
}
