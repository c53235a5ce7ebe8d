// The name server people and programs can ask: DNS over HTTPS in its JSON form, plus what Route 53 itself would tell
// about its health checks, and the one thing an operator changes about them. Answers carry beside the address the local endpoint it stands for, since all of them are
// 127.0.0.1.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Route53 } from './route53.ts';

/** DNS type numbers and response codes (RFC 1035). */
const TYPES = { A: 1, CNAME: 5 } as const;
const NO_ERROR = 0;
const NO_SUCH_NAME = 3;

export interface ResolverOptions {
  readonly route53: Route53;
  /** The local endpoint of a region, as clients reach it. */
  readonly endpointOf: (region: string) => string | undefined;
}

const CHECK = /^\/health-checks\/([^/]+)$/;
const BODY_BYTES_MAX = 1_024;

/**
 * Answers `GET /resolve?name=…&type=CNAME|A` and `GET /health-checks`, and takes `{"disabled": true|false}` by
 * `PUT /health-checks/<id>`; listening is the caller's.
 */
export function createResolver(options: ResolverOptions): Server {
  return createServer((request, response) => {
    const [, id] = CHECK.exec(request.url ?? '') ?? [];
    if (request.method !== 'PUT' || id === undefined) return answer(options, request, response);
    change(options, decodeURIComponent(id), request).then(
      ({ status, body }) => send(response, status, body),
      (error: unknown) => send(response, 400, { error: String(error) }),
    );
  });
}

async function change(
  { route53 }: ResolverOptions,
  id: string,
  request: IncomingMessage,
): Promise<{ status: number; body: object }> {
  const expected = 'expected content-type application/json and {"disabled": true} or {"disabled": false}';
  const disabled = disabledIn(await textOf(request));
  // Also what no form of another site's page can send.
  if (request.headers['content-type'] !== 'application/json' || disabled === undefined)
    return { status: 400, body: { error: expected } };
  try {
    route53.disable(id, disabled);
  } catch (error) {
    if (error instanceof RangeError) return { status: 404, body: { error: error.message } };
    throw error;
  }
  return { status: 200, body: { healthCheck: route53.states.find((check) => check.id === id) } };
}

function disabledIn(text: string): boolean | undefined {
  try {
    const { disabled } = JSON.parse(text) as { disabled?: unknown };
    return typeof disabled === 'boolean' ? disabled : undefined;
  } catch {
    return undefined;
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > BODY_BYTES_MAX)
      throw new Error(`expected at most ${BODY_BYTES_MAX} characters, got more`);
  }
  return text;
}

function answer(options: ResolverOptions, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://resolver');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    send(response, 405, { error: `this is asked with GET, got ${request.method}` });
  } else if (url.pathname === '/health-checks') {
    send(response, 200, { healthChecks: options.route53.states });
  } else if (url.pathname === '/resolve') {
    const { status, body } = resolve(options, url.searchParams);
    send(response, status, body);
  } else {
    send(response, 404, {
      error: `there is /resolve?name=…&type=CNAME|A and /health-checks, got ${url.pathname}`,
    });
  }
}

function resolve(
  { route53, endpointOf }: ResolverOptions,
  query: URLSearchParams,
): { status: number; body: object } {
  const name = query.get('name');
  const type = (query.get('type') ?? 'A').toUpperCase();
  if (!name) return { status: 400, body: { error: 'name is missing: /resolve?name=…' } };
  // The JSON form takes a type by name or by number.
  const known = Object.entries(TYPES).find(([text, number]) => text === type || String(number) === type);
  if (!known) return { status: 400, body: { error: `type is A or CNAME, got ${type}` } };
  const [typeName, typeNumber] = known as ['A' | 'CNAME', number];
  const found = route53.resolve(name, typeName);
  const endpoint = found?.region === undefined ? undefined : endpointOf(found.region);
  return {
    status: 200,
    body: {
      Status: found ? NO_ERROR : NO_SUCH_NAME,
      TC: false,
      RD: true,
      RA: true,
      AD: false,
      CD: false,
      Question: [{ name, type: typeNumber }],
      Answer: (found?.answers ?? []).map(({ name, type, ttlS, data }) => ({
        name: `${name}.`,
        type: TYPES[type],
        TTL: ttlS,
        data: type === 'CNAME' ? `${data}.` : data,
      })),
      ...(found?.region === undefined ? {} : { region: found.region }),
      ...(endpoint === undefined ? {} : { endpoint }),
    },
  };
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}
