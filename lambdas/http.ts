// Between API Gateway's proxy events and a function's routes: reads a request strictly, turns whatever goes wrong into
// problem JSON (RFC 9457), and gives every answer its headers and every request its metrics.
import type { APIGatewayProxyResult } from 'aws-lambda';
import {
  EdenFieldError,
  PROBLEM_CONTENT_TYPE,
  PROBLEMS,
  type ProblemCode,
  problem,
} from '../protocol/errors.ts';
import { BODY_BYTES_MAX } from '../protocol/limits.ts';
import { HEADERS, PATHS } from '../protocol/messages.ts';
import { METRICS } from '../protocol/metrics.ts';
import { TENANT_PATTERN } from '../protocol/names.ts';
import { parseStrictJson, type StrictJson, StrictJsonError } from './core/strict-json.ts';
import { type AnsweredElsewhere, duringRequest } from './elsewhere.ts';
import type { Place } from './env.ts';
import { StoreUnavailableError } from './store/store.ts';
import type { Sample, Telemetry } from './telemetry.ts';

type Values<T> = { readonly [name: string]: T | undefined } | null;

/** What is read of API Gateway's proxy event (REST API, format 1.0).
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html */
export interface ProxyEvent {
  readonly resource: string;
  readonly httpMethod: string;
  readonly headers: Values<string>;
  readonly multiValueHeaders?: Values<readonly string[]>;
  readonly queryStringParameters?: Values<string>;
  readonly multiValueQueryStringParameters?: Values<readonly string[]>;
  readonly pathParameters?: Values<string>;
  readonly requestContext?: {
    readonly requestId?: string;
    readonly authorizer?: { readonly [name: string]: unknown } | null | undefined;
  };
  readonly body?: string | null;
  readonly isBase64Encoded?: boolean;
}

export interface HttpRequest extends AnsweredElsewhere {
  readonly resource: string;
  readonly requestId: string;
  /** Unix ms when the function got it. */
  readonly receivedAtMs: number;
  /** By lower-case name; what came several times is joined by commas. */
  header(name: string): string | undefined;
  /** Throws a problem when it came several times. */
  query(name: string): string | undefined;
  /** From the path, percent-decoded. */
  parameter(name: string): string;
  /** From the token and from nowhere else; throws a problem without one. */
  tenant(): string;
  json(): StrictJson;
  /** Set once the request is admitted: the answer carries it, whatever becomes of the rest (PROTOCOL 8.2). */
  restoreEpoch: number | undefined;
  /** Measured together with the request. */
  readonly samples: Sample[];
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text as it is, with a `content-type` in `headers`; anything else as JSON. */
  readonly body?: string | object;
}

export type Route = (request: HttpRequest) => Promise<HttpAnswer>;
/** By `<METHOD> <resource path>`. */
export type Routes = Readonly<Record<string, Route>>;

/** An answer that is a problem. `extensions` are further members of its body. */
export class ProblemError extends EdenFieldError {
  readonly code: ProblemCode;
  readonly retryable: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly extensions: Readonly<Record<string, unknown>>;
  constructor(
    code: ProblemCode,
    detail: string,
    {
      headers = {},
      extensions = {},
    }: {
      readonly headers?: Readonly<Record<string, string>>;
      readonly extensions?: Readonly<Record<string, unknown>>;
    } = {},
  ) {
    super(detail);
    this.code = code;
    this.retryable = PROBLEMS[code].status >= 500;
    // Whoever is told to try again is told when.
    this.headers = PROBLEMS[code].status === 503 ? { 'retry-after': '1', ...headers } : headers;
    this.extensions = extensions;
  }
}

const ALWAYS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'",
  'strict-transport-security': 'max-age=63072000',
  'x-content-type-options': 'nosniff',
} as const;

export interface HttpParts {
  readonly place: Place;
  readonly telemetry: Telemetry;
  readonly now: () => number;
}

export function httpHandler(
  routes: Routes,
  { place, telemetry, now }: HttpParts,
): (event: ProxyEvent) => Promise<APIGatewayProxyResult> {
  return async (event) => {
    const request = requestOf(event, now());
    let answer: HttpAnswer;
    try {
      answer = await duringRequest(request, () => routeOf(routes, event)(request));
    } catch (error) {
      answer = problemAnswer(error, request, telemetry);
    }
    if (request.elsewhere !== undefined) request.samples.push({ name: METRICS.degraded, value: 1 });
    const { status } = answer;
    const latency = {
      name: METRICS.latency,
      value: now() - request.receivedAtMs,
      unit: 'Milliseconds',
    } as const;
    telemetry.measure(
      [
        ...request.samples,
        { name: METRICS.requests, value: 1 },
        { name: METRICS.errors, value: status >= 500 ? 1 : 0 },
        latency,
      ],
      { requestId: request.requestId, method: event.httpMethod, resource: event.resource, status },
    );
    return resultOf(answer, request, place);
  };
}

function routeOf(routes: Routes, { httpMethod, resource }: ProxyEvent): Route {
  const route = routes[`${httpMethod} ${resource}`];
  if (route) return route;
  // As API Gateway answers a path or a method that it does not know.
  throw new ProblemError('not_found', `there is no ${resource} here, or it does not take ${httpMethod}`);
}

function requestOf(event: ProxyEvent, receivedAtMs: number): HttpRequest {
  const headers = headersOf(event);
  return {
    resource: event.resource,
    requestId: event.requestContext?.requestId ?? 'unknown',
    receivedAtMs,
    restoreEpoch: undefined,
    elsewhere: undefined,
    samples: [],
    header: (name) => headers.get(name),
    query(name) {
      const values = event.multiValueQueryStringParameters?.[name];
      if (values && values.length > 1)
        throw new ProblemError('invalid_request', `${name}: expected it once, got it ${values.length} times`);
      return values?.[0] ?? event.queryStringParameters?.[name] ?? undefined;
    },
    parameter: (name) => decoded(name, event.pathParameters?.[name] ?? ''),
    tenant() {
      const tenant: unknown = event.requestContext?.authorizer?.['tenant'];
      if (typeof tenant !== 'string' || !TENANT_PATTERN.test(tenant))
        throw new ProblemError('forbidden', 'the token names no tenant');
      return tenant;
    },
    json: () => jsonOf(event, headers.get('content-type')),
  };
}

function headersOf({ headers, multiValueHeaders }: ProxyEvent): ReadonlyMap<string, string> {
  const all = new Map<string, string>();
  for (const [name, value] of Object.entries(headers ?? {}))
    if (value !== undefined) all.set(name.toLowerCase(), value);
  for (const [name, values] of Object.entries(multiValueHeaders ?? {}))
    if (values && values.length > 0) all.set(name.toLowerCase(), values.join(', '));
  return all;
}

function decoded(name: string, raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new ProblemError('invalid_request', `${name}: expected percent-encoded UTF-8`);
  }
}

function jsonOf({ body, isBase64Encoded }: ProxyEvent, contentType: string | undefined): StrictJson {
  if (!/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(contentType?.trim() ?? ''))
    throw new ProblemError(
      'unsupported_media_type',
      `content-type: expected application/json, got ${contentType ?? 'none'}`,
    );
  const bytes = Buffer.from(body ?? '', isBase64Encoded ? 'base64' : 'utf8');
  if (bytes.length > BODY_BYTES_MAX)
    throw new ProblemError(
      'too_large',
      `the body has ${bytes.length} bytes, at most ${BODY_BYTES_MAX} are taken`,
    );
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (error instanceof StrictJsonError) throw new ProblemError('invalid_request', error.message);
    throw error;
  }
}

function problemAnswer(error: unknown, request: HttpRequest, telemetry: Telemetry): HttpAnswer {
  const known = asProblem(error);
  if (!known || known.code === 'store_unavailable')
    telemetry.error('a request failed', error, { requestId: request.requestId, resource: request.resource });
  const { code, message, headers, extensions } =
    known ?? new ProblemError('internal', `request ${request.requestId} failed; its log says why`);
  return {
    status: PROBLEMS[code].status,
    headers: { ...headers, 'content-type': PROBLEM_CONTENT_TYPE },
    body: JSON.stringify({ ...extensions, ...problem(code, message) }),
  };
}

function asProblem(error: unknown): ProblemError | undefined {
  if (error instanceof ProblemError) return error;
  if (error instanceof StoreUnavailableError)
    return new ProblemError(
      'store_unavailable',
      'the data store did not answer; a write may or may not have landed',
    );
  return undefined;
}

function resultOf(answer: HttpAnswer, request: HttpRequest, place: Place): APIGatewayProxyResult {
  const { status, body } = answer;
  const headers: Record<string, string> = {
    ...ALWAYS,
    [HEADERS.region]: place.region,
    [HEADERS.requestId]: request.requestId,
    ...(request.restoreEpoch !== undefined && { [HEADERS.restoreEpoch]: String(request.restoreEpoch) }),
    ...(typeof body === 'object' && { 'content-type': 'application/json' }),
    ...answer.headers,
    ...(request.elsewhere !== undefined && degradedBy(request.elsewhere, answer)),
  };
  const text = typeof body === 'object' ? JSON.stringify(body) : (body ?? '');
  return { statusCode: status, headers, body: text };
}

/** A list, since the route may have had its own reason. */
function degradedBy(elsewhere: string, { headers }: HttpAnswer): Readonly<Record<string, string>> {
  const own = headers?.[HEADERS.degraded];
  const reason = `replica; region=${elsewhere}`;
  return { [HEADERS.degraded]: own === undefined ? reason : `${own}, ${reason}` };
}

/** A route that answers `/ready` of whichever function it is part of. */
export const READY_ROUTE = `GET ${PATHS.ready}`;
