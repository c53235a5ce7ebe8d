// The front of one REST API: an HTTP server that matches, throttles, authorizes, hands the request to a function and
// makes an answer of what it returns, as API Gateway does in that order.
//
// It answers at the root, as a custom domain's base path mapping does; an API without a custom domain would have its
// stage's name in front of every path. TLS ends before it. Whatever it refuses by itself is a gateway response.
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { ServiceError } from '../aws/service-error.ts';
import { momentOf, RECEIVED_AT_HEADER } from '../measuring.ts';
import { Authorizers, type Invoke } from './api-gateway-authorizer.ts';
import {
  type GatewayRequest,
  headerOf,
  headersOf,
  type ProxyAnswer,
  proxyAnswer,
  proxyEvent,
} from './api-gateway-event.ts';
import { type ApiModel, type Match, matchMethod } from './api-gateway-model.ts';
import { GatewayAnswer, gatewayAnswer } from './api-gateway-responses.ts';
import { Throttles } from './api-gateway-throttle.ts';
import type { InvokeResult } from './lambda.ts';

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html */
const PAYLOAD_BYTES_MAX = 10 * 1024 * 1024;
const IDLE_CONNECTION_MS = 310_000;

/** One request, once it is answered. */
export interface Answered {
  /** As in the template; `(none)` when the path or method is none of the API's. */
  readonly resourcePath: string;
  readonly status: number;
  readonly latencyMs: number;
}

export interface FrontOptions {
  readonly api: ApiModel;
  readonly invoke: Invoke;
  readonly onAnswered: (answered: Answered) => void;
  readonly onLog: (line: string) => void;
  /** A steady clock in milliseconds, for throttling and caching. @default performance.now */
  readonly now?: () => number;
}

export interface Front {
  readonly api: ApiModel;
  readonly port: number;
  close(): Promise<void>;
}

/** Opens the front on any free port of 127.0.0.1. */
export async function openFront(options: FrontOptions): Promise<Front> {
  const gateway = new Gateway(options);
  const server = createServer({ keepAliveTimeout: IDLE_CONNECTION_MS, noDelay: true }, (message, response) =>
    gateway.serve(message, response),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return { api: options.api, port: portOf(server), close: () => closeServer(server) };
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the front has no port');
  return address.port;
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

class Gateway {
  readonly #options: FrontOptions;
  readonly #now: () => number;
  readonly #throttles = new Throttles();
  readonly #authorizers: Authorizers;

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#authorizers = new Authorizers(options.api, options.invoke, this.#now);
  }

  async serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    const request = requestOf(message, momentOf(startedAt));
    const routed = this.#route(request);
    let answer: ProxyAnswer;
    try {
      answer = await this.#answer(routed, message);
    } catch (thrown) {
      // Gone before it had said everything: there is nobody to answer, and nothing to count.
      if (message.destroyed && !message.complete) return;
      answer = this.#gatewayAnswer(thrown, routed);
    }
    try {
      write(response, answer, request);
    } catch (unwritable) {
      // A header that HTTP does not allow.
      this.#options.onLog(`${this.#options.api.name}: Malformed Lambda proxy response: ${unwritable}`);
      answer = this.#gatewayAnswer(new GatewayAnswer('DEFAULT_5XX'), routed);
      write(response, answer, request);
    }
    // Answered before the whole request was there: the rest of it is read past, so that the connection can go on.
    message.resume();
    this.#options.onAnswered({
      resourcePath: routed.match?.method.resourcePath ?? '(none)',
      status: answer.status,
      latencyMs: performance.now() - startedAt,
    });
  }

  /** Without the base path; no match when it is not below one, or the path or method is unknown. */
  #route(request: GatewayRequest): { request: GatewayRequest; match: Match | undefined } {
    const { api } = this.#options;
    const { fullPath } = request;
    for (const basePath of api.basePaths) {
      const prefix = basePath === '' ? '' : `/${basePath}`;
      if (!`${fullPath}/`.startsWith(`${prefix}/`)) continue;
      const path = fullPath.slice(prefix.length) || '/';
      const segments = path.slice(1).replace(/\/$/, '').split('/');
      const match = matchMethod(api.root, path === '/' ? [] : segments, request.method);
      if (match) return { request: { ...request, path }, match };
    }
    return { request, match: undefined };
  }

  async #answer(
    { request, match }: { request: GatewayRequest; match: Match | undefined },
    message: IncomingMessage,
  ): Promise<ProxyAnswer> {
    if (!match) throw new GatewayAnswer('MISSING_AUTHENTICATION_TOKEN');
    if (!this.#throttles.admit(match.method, this.#now())) throw new GatewayAnswer('THROTTLED');
    const body = await readBody(message);
    const authorizer = await this.#authorizers.authorize(request, match);
    requireParameters(match, request);
    const { api } = this.#options;
    const event = proxyEvent(request, match, api, body, authorizer);
    const payload = await this.#integrate(match, request, JSON.stringify(event));
    const answer = proxyAnswer(payload, headerOf(request, 'accept'), api.binaryMediaTypes);
    if (!answer) {
      this.#options.onLog(
        `${api.name}: Malformed Lambda proxy response of ${match.method.functionArn}: ${payload.slice(0, 200)}`,
      );
      throw new GatewayAnswer('DEFAULT_5XX');
    }
    return answer;
  }

  async #integrate({ method }: Match, request: GatewayRequest, payload: string): Promise<string> {
    const { api, invoke } = this.#options;
    const { id, region, account, stage } = api;
    const call = invoke({
      functionArn: method.functionArn,
      invoker: {
        service: 'apigateway.amazonaws.com',
        sourceArn: `arn:aws:execute-api:${region}:${account}:${id}/${stage}/${request.method}${method.resourcePath}`,
      },
      payload,
    });
    const timeout = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => timeout.resolve(undefined), method.timeoutMs);
    let result: InvokeResult | undefined;
    try {
      // Past the timeout the function runs on, unheard.
      result = await Promise.race([call, timeout.promise]);
    } catch (refused) {
      if (!(refused instanceof ServiceError)) throw refused;
      const configuration = refused.status === 403 || refused.status === 404;
      throw new GatewayAnswer(configuration ? 'API_CONFIGURATION_ERROR' : 'INTEGRATION_FAILURE');
    } finally {
      clearTimeout(timer);
    }
    if (!result) {
      call.catch(() => {});
      throw new GatewayAnswer('INTEGRATION_TIMEOUT');
    }
    if (result.functionError) throw new GatewayAnswer('DEFAULT_5XX');
    return result.payload;
  }

  #gatewayAnswer(
    thrown: unknown,
    { request, match }: { request: GatewayRequest; match: Match | undefined },
  ): ProxyAnswer {
    const { api, onLog } = this.#options;
    if (!(thrown instanceof GatewayAnswer))
      onLog(`${api.name}: ${thrown instanceof Error ? thrown.stack : thrown}`);
    const answer = thrown instanceof GatewayAnswer ? thrown : new GatewayAnswer('API_CONFIGURATION_ERROR');
    const context: Readonly<Record<string, string | undefined>> = {
      apiId: api.id,
      domainName: request.host,
      extendedRequestId: request.extendedRequestId,
      httpMethod: request.method,
      'identity.sourceIp': request.sourceIp,
      'identity.userAgent': headerOf(request, 'user-agent'),
      path: request.fullPath,
      protocol: request.protocol,
      requestId: request.requestId,
      requestTimeEpoch: String(Math.floor(request.receivedAt)),
      resourcePath: match?.method.resourcePath,
      stage: api.stage,
    };
    return gatewayAnswer(answer, api.responses, {
      context: (name) => context[name],
      header: (name) => headerOf(request, name),
    });
  }
}

function requestOf(message: IncomingMessage, receivedAt: number): GatewayRequest {
  const target = message.url ?? '/';
  const question = target.indexOf('?');
  const fullPath = question < 0 ? target : target.slice(0, question);
  const sourceIp = (message.socket.remoteAddress ?? '127.0.0.1').replace(/^::ffff:/, '');
  const seconds = Math.floor(receivedAt / 1_000).toString(16);
  const traceId = `Root=1-${seconds}-${randomBytes(12).toString('hex')}`;
  return {
    method: message.method ?? 'GET',
    path: fullPath,
    fullPath,
    query: new URLSearchParams(question < 0 ? '' : target.slice(question + 1)),
    headers: headersOf(message, sourceIp, traceId),
    host: (message.headers.host ?? '').replace(/:\d+$/, ''),
    sourceIp,
    requestId: randomUUID(),
    extendedRequestId: `${randomBytes(11).toString('base64url').slice(0, 14)}=`,
    traceId,
    receivedAt,
    protocol: `HTTP/${message.httpVersion}`,
  };
}

/** @throws GatewayAnswer it is too large; the rest of it is left unread */
async function readBody(message: IncomingMessage): Promise<Buffer> {
  if (Number(message.headers['content-length'] ?? 0) > PAYLOAD_BYTES_MAX)
    throw new GatewayAnswer('REQUEST_TOO_LARGE');
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  message.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > PAYLOAD_BYTES_MAX) reject(new GatewayAnswer('REQUEST_TOO_LARGE'));
    else chunks.push(chunk);
  });
  message.once('end', () => resolve(Buffer.concat(chunks)));
  message.once('error', reject);
  return promise;
}

/** @throws GatewayAnswer one that the method's validator insists on is missing */
function requireParameters({ method, parameters }: Match, request: GatewayRequest): void {
  const missing = method.required.flatMap((source) => {
    const [, place, name] = /^method\.request\.(path|querystring|header)\.(.+)$/.exec(source) ?? [];
    if (name === undefined) return [];
    const value =
      place === 'header'
        ? headerOf(request, name)
        : place === 'path'
          ? parameters[name]
          : request.query.get(name);
    return value ? [] : [name];
  });
  if (missing.length > 0)
    throw new GatewayAnswer(
      'BAD_REQUEST_PARAMETERS',
      `Missing required request parameters: [${missing.join(', ')}]`,
    );
}

function write(
  response: ServerResponse,
  { status, headers, body }: ProxyAnswer,
  request: GatewayRequest,
): void {
  response.writeHead(status, {
    ...headers,
    'content-length': body.length,
    'x-amzn-RequestId': request.requestId,
    'x-amz-apigw-id': request.extendedRequestId,
    'X-Amzn-Trace-Id': request.traceId,
    [RECEIVED_AT_HEADER]: String(request.receivedAt),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
