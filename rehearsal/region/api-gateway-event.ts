// From an HTTP request to the event a function gets (AWS_PROXY, format 1.0), and from what it returns to an answer.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
import type { IncomingMessage } from 'node:http';
import { isFields } from '../assembly/intrinsics.ts';
import type { ApiModel, Match } from './api-gateway-model.ts';

/** A request as the front received it. */
export interface GatewayRequest {
  readonly method: string;
  /** Without base path and query. */
  readonly path: string;
  /** As the client wrote it. */
  readonly fullPath: string;
  readonly query: URLSearchParams;
  /** Names as the client wrote them, with what the front adds. */
  readonly headers: readonly (readonly [string, string])[];
  readonly host: string;
  readonly sourceIp: string;
  readonly requestId: string;
  readonly extendedRequestId: string;
  readonly traceId: string;
  /** Unix ms with fractions. */
  readonly receivedAt: number;
  readonly protocol: string;
}

type Values = Record<string, string>;
type MultiValues = Record<string, string[]>;

export function headersOf(message: IncomingMessage, sourceIp: string, traceId: string) {
  const headers: (readonly [string, string])[] = [];
  const { rawHeaders } = message;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    // The connection's own affair.
    if (!/^(connection|keep-alive|transfer-encoding|expect)$/i.test(name))
      headers.push([name, rawHeaders[at + 1] as string]);
  }
  headers.push(['X-Amzn-Trace-Id', traceId]);
  headers.push(['X-Forwarded-For', sourceIp]);
  headers.push(['X-Forwarded-Port', '443']);
  headers.push(['X-Forwarded-Proto', 'https']);
  return headers;
}

/** A header's last value, whatever the case of its name. */
export function headerOf({ headers }: GatewayRequest, name: string): string | undefined {
  const wanted = name.toLowerCase();
  return headers.findLast(([given]) => given.toLowerCase() === wanted)?.[1];
}

/** `null` where there are none, as API Gateway has it. */
function grouped(entries: Iterable<readonly [string, string]>): {
  single: Values | null;
  multi: MultiValues | null;
} {
  const single: Values = {};
  const multi: MultiValues = {};
  let some = false;
  for (const [name, value] of entries) {
    some = true;
    single[name] = value;
    const values = multi[name];
    if (values) values.push(value);
    else multi[name] = [value];
  }
  return some ? { single, multi } : { single: null, multi: null };
}

/** The part of the event that authorizers get too. */
export function requestEvent(request: GatewayRequest, { method, parameters }: Match, api: ApiModel) {
  const headers = grouped(request.headers);
  const query = grouped(request.query);
  return {
    resource: method.resourcePath,
    path: request.path,
    httpMethod: request.method,
    headers: headers.single,
    multiValueHeaders: headers.multi,
    queryStringParameters: query.single,
    multiValueQueryStringParameters: query.multi,
    pathParameters: Object.keys(parameters).length > 0 ? parameters : null,
    stageVariables: api.stageVariables,
    requestContext: {
      resourceId: method.resourceId,
      resourcePath: method.resourcePath,
      httpMethod: request.method,
      extendedRequestId: request.extendedRequestId,
      requestTime: commonLogTime(request.receivedAt),
      path: request.fullPath,
      accountId: api.account,
      protocol: request.protocol,
      stage: api.stage,
      domainPrefix: request.host.split('.')[0] ?? '',
      requestTimeEpoch: Math.floor(request.receivedAt),
      requestId: request.requestId,
      identity: {
        cognitoIdentityPoolId: null,
        accountId: null,
        cognitoIdentityId: null,
        caller: null,
        sourceIp: request.sourceIp,
        principalOrgId: null,
        accessKey: null,
        cognitoAuthenticationType: null,
        cognitoAuthenticationProvider: null,
        userArn: null,
        userAgent: headerOf(request, 'user-agent') ?? null,
        user: null,
      },
      domainName: request.host,
      deploymentId: api.id,
      apiId: api.id,
    },
  };
}

/** The whole event of an integration. */
export function proxyEvent(
  request: GatewayRequest,
  match: Match,
  api: ApiModel,
  body: Buffer,
  authorizer: Readonly<Record<string, unknown>> | undefined,
) {
  const event = requestEvent(request, match, api);
  const isBase64Encoded =
    body.length > 0 && isBinary(headerOf(request, 'content-type'), api.binaryMediaTypes);
  return {
    ...event,
    requestContext: authorizer ? { ...event.requestContext, authorizer } : event.requestContext,
    body: body.length === 0 ? null : body.toString(isBase64Encoded ? 'base64' : 'utf8'),
    isBase64Encoded,
  };
}

function isBinary(contentType: string | undefined, binaryMediaTypes: readonly string[]): boolean {
  const type = contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  return binaryMediaTypes.some((binary) => binary === '*/*' || binary.toLowerCase() === type);
}

/** `09/Apr/2015:12:34:56 +0000`. */
function commonLogTime(ms: number): string {
  const [, day, month, year, time] =
    /^\w+, (\d+) (\w+) (\d+) ([\d:]+)/.exec(new Date(ms).toUTCString()) ?? [];
  return `${day}/${month}/${year}:${time} +0000`;
}

export interface ProxyAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: Buffer;
}

/** What API Gateway keeps for itself; a function's own goes out as `x-amzn-Remapped-<name>`.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html */
const REMAPPED = new Set([
  'authorization',
  'connection',
  'content-length',
  'content-md5',
  'date',
  'expect',
  'host',
  'max-forwards',
  'proxy-authenticate',
  'server',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
  'www-authenticate',
]);

/** What a function returned as an answer; undefined when it is malformed. */
export function proxyAnswer(
  payload: string,
  accept: string | undefined,
  binaryMediaTypes: readonly string[],
): ProxyAnswer | undefined {
  let result: unknown;
  try {
    result = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (!isFields(result)) return undefined;
  const { statusCode, headers, multiValueHeaders, body, isBase64Encoded } = result;
  const status = Number(statusCode);
  if (!Number.isInteger(status) || status < 200 || status > 599) return undefined;
  if (body !== undefined && body !== null && typeof body !== 'string') return undefined;
  const merged: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(isFields(headers) ? headers : {})) {
    if (typeof value === 'object' && value !== null) return undefined;
    merged[outgoing(name)] = String(value);
  }
  for (const [name, values] of Object.entries(isFields(multiValueHeaders) ? multiValueHeaders : {})) {
    if (!Array.isArray(values)) return undefined;
    merged[outgoing(name)] = values.map(String);
  }
  if (!Object.keys(merged).some((name) => name.toLowerCase() === 'content-type'))
    merged['content-type'] = 'application/json';
  const decodes = isBase64Encoded === true && isBinary(accept?.split(',')[0], binaryMediaTypes);
  return { status, headers: merged, body: Buffer.from(body ?? '', decodes ? 'base64' : 'utf8') };
}

function outgoing(name: string): string {
  return REMAPPED.has(name.toLowerCase()) ? `x-amzn-Remapped-${name}` : name;
}
