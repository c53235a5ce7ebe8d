// The name server people and programs can ask: DNS over HTTPS in its JSON form, plus what Route 53 itself would tell
// about its health checks. Answers carry beside the address the local endpoint it stands for, since all of them are
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

/** Answers `GET /resolve?name=…&type=CNAME|A` and `GET /health-checks`; listening is the caller's. */
export function createResolver(options: ResolverOptions): Server {
  return createServer((request, response) => answer(options, request, response));
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
