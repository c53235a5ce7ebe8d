// The door to the rehearsal's AWS: one HTTP server for every region and service. A request's signature says who
// calls, from which region (the access key's) and for which region and service (the credential scope's); between the
// two regions lies the network, which delays, or lets nothing through.
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';
import type { RegionLinks } from './dynamodb/region-links.ts';
import { commonError, ServiceError } from './service-error.ts';
import { isSignedWith, readClaim, type SignatureClaim, type SignedRequest } from './signature.ts';

/** Who an access key belongs to. */
export interface Caller {
  readonly principalArn: string;
  /** Where it works from. */
  readonly region: string;
  readonly secretAccessKey: string;
}

export interface ServiceCall {
  /** `x-amz-target`, e.g. `DynamoDB_20120810.GetItem`; empty for services that do not use it. */
  readonly target: string;
  readonly request: SignedRequest;
  /** The region whose endpoint is called. */
  readonly region: string;
  readonly caller: Caller;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Uint8Array;
  /** Beside what every answer has; `content-length` for a HEAD, whose answer has no body. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Service {
  /** @throws {ServiceError} to be worded by {@link refuse} */
  call(call: ServiceCall): Promise<Answer>;
  refuse(error: ServiceError): Answer;
}

export interface AwsFrontOptions {
  /** By name in the credential scope, e.g. `dynamodb`. */
  readonly services: ReadonlyMap<string, Service>;
  /** By access key id. */
  readonly callers: ReadonlyMap<string, Caller>;
  readonly links: RegionLinks;
  /** What a GET of a path answers, unsigned, as JSON. @default none */
  readonly pages?: ReadonlyMap<string, () => unknown>;
  /** On 127.0.0.1. @default 0, any free port */
  readonly port?: number;
  /** How long a request to a region out of reach hangs before its connection is broken. @default 30000 */
  readonly hangMs?: number;
}

export interface AwsFront {
  readonly port: number;
  /** `http://127.0.0.1:<port>` */
  readonly endpoint: string;
  close(): Promise<void>;
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html: a BatchWriteItem's maximum. */
const BODY_BYTES_MAX = 16 * 1024 * 1024;
/** Longer than SDKs keep idle connections, so that none is closed under a request that is about to use it. */
const KEEP_ALIVE_MS = 120_000;

export async function openAwsFront(options: AwsFrontOptions): Promise<AwsFront> {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    void serve(options, request, response);
  });
  const port = await listen(server, options.port ?? 0);
  return {
    port,
    endpoint: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}

/** Gives the port. */
function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

async function serve(
  options: AwsFrontOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  try {
    const body = await bodyOf(request);
    const page = request.method === 'GET' ? options.pages?.get(request.url ?? '') : undefined;
    if (page) {
      send(response, { status: 200, contentType: 'application/json', body: JSON.stringify(page()) });
      return;
    }
    const { method = 'GET', url = '/', headers } = request;
    const way = REACH.exec(url);
    const answer = way
      ? await reach(options, { from: way[1] ?? '', to: way[2] ?? '' }, gone.signal)
      : await answerTo(options, { method, url, headers, body }, gone.signal);
    if (answer) send(response, answer);
    else response.destroy();
  } catch (error) {
    // The caller went away, or what it sent is no request; a fault of ours must not be mistaken for either.
    if (!gone.signal.aborted) send(response, jsonRefusal(asServiceError(error)));
  }
}

/** How somebody in one region sees whether another's public endpoint answers, signed by nobody. */
const REACH = /^\/reach\/([^/]+)\/([^/]+)$/;

/** As DynamoDB's endpoints answer a plain GET: an observer's control probe. Undefined as for {@link answerTo}. */
async function reach(
  options: AwsFrontOptions,
  { from, to }: { readonly from: string; readonly to: string },
  gone: AbortSignal,
): Promise<Answer | undefined> {
  const regions = new Set([...options.callers.values()].map(({ region }) => region));
  const unknown = [from, to].find((region) => !regions.has(region));
  if (unknown !== undefined)
    return { status: 404, contentType: 'text/plain', body: `there is no region ${unknown} here` };
  if (!(await crosses(options, from, to, gone))) return undefined;
  const answer = { status: 200, contentType: 'text/plain', body: `healthy: dynamodb.${to}` };
  return (await crosses(options, to, from, gone)) ? answer : undefined;
}

/** Waits until something sent from one region has arrived in another; false when it never does. */
async function crosses(
  { links, hangMs = 30_000 }: AwsFrontOptions,
  from: string,
  to: string,
  gone: AbortSignal,
): Promise<boolean> {
  const open = await links.until(() => links.reaches(from, to) || undefined, hangMs, gone);
  if (open) await links.travel(from, to);
  return open === true && !gone.aborted;
}

/** Undefined when the request, or its answer, never gets through. */
async function answerTo(
  options: AwsFrontOptions,
  request: SignedRequest,
  gone: AbortSignal,
): Promise<Answer | undefined> {
  const { services, callers } = options;
  const claim = claimOf(request);
  const service = services.get(claim.service);
  if (!service) {
    const played = [...services.keys()].join(', ');
    return refuseService(
      request,
      claim.service,
      `The rehearsal does not play ${claim.service}; it plays ${played}`,
    );
  }
  const caller = callerOf(callers, claim, request);
  if (caller instanceof ServiceError) return service.refuse(caller);
  if (!(await crosses(options, caller.region, claim.region, gone))) return undefined;
  const target = String(request.headers['x-amz-target'] ?? '');
  const answer = await attempt(service, { target, request, region: claim.region, caller });
  return (await crosses(options, claim.region, caller.region, gone)) ? answer : undefined;
}

async function attempt(service: Service, call: ServiceCall): Promise<Answer> {
  try {
    return await service.call(call);
  } catch (error) {
    return service.refuse(asServiceError(error));
  }
}

/** In a form that the SDK's client of that service reads, so that people see the message. */
function refuseService({ headers }: SignedRequest, service: string, message: string): Answer {
  const error = `<Error><Code>NotRehearsed</Code><Message>${message}</Message></Error>`;
  const isQuery = String(headers['content-type']).startsWith('application/x-www-form-urlencoded');
  if (service === 's3') return { status: 400, contentType: 'application/xml', body: error };
  if (isQuery)
    return { status: 400, contentType: 'text/xml', body: `<ErrorResponse>${error}</ErrorResponse>` };
  return jsonRefusal(commonError(400, 'NotRehearsed', message));
}

function claimOf({ headers: { authorization } }: SignedRequest): SignatureClaim {
  if (typeof authorization !== 'string')
    throw commonError(400, 'MissingAuthenticationTokenException', 'Request is missing Authentication Token');
  const claim = readClaim(authorization);
  if (claim) return claim;
  throw commonError(
    400,
    'IncompleteSignatureException',
    `Authorization header is no complete AWS4-HMAC-SHA256 signature: ${authorization}`,
  );
}

function callerOf(
  callers: AwsFrontOptions['callers'],
  claim: SignatureClaim,
  request: SignedRequest,
): Caller | ServiceError {
  const caller = callers.get(claim.accessKeyId);
  if (!caller)
    return commonError(
      400,
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    );
  if (isSignedWith(caller.secretAccessKey, claim, request)) return caller;
  return commonError(
    400,
    'InvalidSignatureException',
    'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
  );
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > BODY_BYTES_MAX)
      throw commonError(
        413,
        'RequestEntityTooLargeException',
        `Request body exceeds ${BODY_BYTES_MAX} bytes`,
      );
  }
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, { status, contentType, body, headers }: Answer): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': bytes.length,
    // SDKs set their clocks by it; Node's own would be the machine's time, wherever this process's clock stands.
    date: new Date().toUTCString(),
    'x-amzn-requestid': randomUUID(),
    'x-amz-crc32': crc32(bytes),
    ...headers,
  });
  response.end(bytes);
}

function asServiceError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return commonError(500, 'InternalFailure', `The rehearsal itself failed: ${message}`);
}

function jsonRefusal({ status, body }: ServiceError, contentType = 'application/x-amz-json-1.0'): Answer {
  return { status, contentType, body: JSON.stringify(body) };
}

/** A service that speaks AWS JSON: the operation in `x-amz-target`, parameters and result as JSON objects. */
export function jsonService(
  prefix: string,
  contentType: string,
  run: (
    call: Omit<ServiceCall, 'target' | 'request'> & { operation: string; input: Record<string, unknown> },
  ) => Promise<Record<string, unknown>>,
): Service {
  return {
    async call({ target, request, region, caller }) {
      const [service, operation] = target.split('.');
      if (service !== prefix || !operation)
        throw commonError(
          400,
          'UnknownOperationException',
          `x-amz-target: expected ${prefix}.<operation>, got "${target}"`,
        );
      const output = await run({ operation, input: parseObject(request.body.toString()), region, caller });
      return { status: 200, contentType, body: JSON.stringify(output) };
    },
    refuse: (error) => jsonRefusal(error, contentType),
  };
}

/** Services of one signing name, told apart by what `x-amz-target` begins with; what fits none is the first's to refuse. */
export function byTarget(first: Service, others: Readonly<Record<string, Service>>): Service {
  const of = ({ target }: ServiceCall) => others[target.split('.')[0] ?? ''] ?? first;
  return { call: (call) => of(call).call(call), refuse: (error) => first.refuse(error) };
}

function parseObject(body: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw commonError(400, 'SerializationException', `Request body is no JSON: ${String(error)}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw commonError(400, 'SerializationException', 'Request body: expected a JSON object');
}
