// The console: a page that shows the rehearsal and breaks it, and the same for programs. It listens on this machine
// alone, and takes orders only from its own page or from a program, never from another site's page: a browser cannot
// send JSON across origins unasked, nor leave out where a request came from.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { FaultRefused } from '../supervisor/region-runner.ts';
import type { Fault, RehearsalEvent, RehearsalState } from '../supervisor/state.ts';
import type { StorageFaults } from '../supervisor/storage.ts';
import { type AskedFault, faultIn, NotAsked, scheduleIn } from './asked.ts';

export interface ConsoleOptions {
  readonly state: () => RehearsalState;
  readonly fault: (region: string, fault: Fault) => Promise<number>;
  readonly storage: Pick<StorageFaults, 'breakBucket' | 'rot' | 'damage' | 'wipe'>;
  readonly runSchedule: (region: string, schedule: string, atMs?: number) => Promise<void>;
  readonly listen: (listener: (event: RehearsalEvent) => void) => () => void;
}

/** One second of the chart. */
interface Second {
  readonly at: number;
  readonly regions: Readonly<Record<string, { readonly served: number; readonly errors: number }>>;
  readonly client?: RehearsalState['client'];
}

const HISTORY_S = 120;
const BODY_BYTES_MAX = 4_096;
/** What the page does not need one by one: it is in every second's state. */
const SILENT: ReadonlySet<RehearsalEvent['type']> = new Set(['traffic', 'client', 'log']);

/** The console's server; listening is the caller's, and closing it ends its timer. */
export async function createConsole(options: ConsoleOptions): Promise<Server> {
  const page = await readPage();
  const watchers = new Set<ServerResponse>();
  const history: Second[] = [];

  const tick = setInterval(() => {
    const state = options.state();
    const second = secondOf(state);
    history.push(second);
    if (history.length > HISTORY_S) history.shift();
    for (const watcher of watchers) tell(watcher, 'state', { state, second });
  }, 1_000);
  const stopListening = options.listen((event) => {
    if (SILENT.has(event.type)) return;
    // A change shows at once, not with the next second.
    const state = options.state();
    for (const watcher of watchers) tell(watcher, 'state', { state });
  });

  const watch = (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    tell(response, 'history', { history });
    tell(response, 'state', { state: options.state() });
    watchers.add(response);
    response.once('close', () => watchers.delete(response));
  };

  const server = createServer((request, response) => {
    answer(request, response, { options, page, watch }).catch((error: unknown) => {
      problem(response, 500, 'The console failed', error instanceof Error ? error.message : String(error));
    });
  });
  server.once('close', () => {
    clearInterval(tick);
    stopListening();
  });
  return server;
}

interface Page {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

interface Context {
  readonly options: ConsoleOptions;
  readonly page: Page;
  readonly watch: (response: ServerResponse) => void;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { options, page, watch }: Context,
): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://console');
  // A name that some other site made point here (DNS rebinding) is not ours.
  if (!isLocal(request.headers.host))
    return problem(
      response,
      403,
      'Not for this name',
      `ask for 127.0.0.1 or localhost, got ${request.headers.host}`,
    );
  const routes: Readonly<Record<string, Readonly<Record<string, () => unknown>>>> = {
    '/': {
      GET: () =>
        send(response, 200, 'text/html; charset=utf-8', page.html, {
          'content-security-policy': page.contentSecurityPolicy,
        }),
    },
    '/api/state': { GET: () => json(response, 200, options.state()) },
    '/api/events': { GET: () => watch(response) },
    '/api/faults': { POST: () => takeFault(request, response, options) },
    '/api/schedules': { POST: () => takeSchedule(request, response, options) },
  };
  const methods = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
  if (!methods)
    return problem(response, 404, 'There is no such thing', `there is ${Object.keys(routes).join(', ')}`);
  const method = request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET');
  const allowed = Object.keys(methods);
  if (!Object.hasOwn(methods, method))
    return problem(response, 405, 'Not that method', `${pathname} takes ${allowed}, got ${method}`, {
      allow: allowed,
    });
  await methods[method]?.();
}

/** The body of a POST, from this console's own page or a program; undefined when it is refused, which is then answered. */
async function orderIn(request: IncomingMessage, response: ServerResponse): Promise<string | undefined> {
  const { origin, host } = request.headers;
  if (origin !== undefined && origin !== `http://${host}`) {
    problem(response, 403, 'Not from that page', `only this console's own page may do that, got ${origin}`);
    return undefined;
  }
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    problem(
      response,
      415,
      'The body must be JSON',
      `content-type is application/json, got ${type ?? 'none'}`,
    );
    return undefined;
  }
  const body = await bodyOf(request);
  if (body === undefined)
    problem(response, 413, 'The body is too large', `at most ${BODY_BYTES_MAX} bytes`, {
      connection: 'close',
    });
  return body;
}

async function takeFault(
  request: IncomingMessage,
  response: ServerResponse,
  options: ConsoleOptions,
): Promise<void> {
  const body = await orderIn(request, response);
  if (body === undefined) return;
  try {
    const wanted = faultIn(body);
    json(response, 200, { ...wanted, ...(await done(wanted, options)) });
  } catch (error) {
    if (error instanceof NotAsked) problem(response, 400, 'That is no fault', error.message);
    else if (error instanceof RangeError) problem(response, 400, 'There is no such thing', error.message);
    else if (error instanceof FaultRefused) problem(response, 409, 'That makes no sense now', error.message);
    else throw error;
  }
}

/** Does it; what came of it, with the moment. */
async function done(
  wanted: AskedFault,
  { fault, storage }: ConsoleOptions,
): Promise<{ readonly at: number }> {
  switch (wanted.fault) {
    case 'bucket':
      return { at: await storage.breakBucket(wanted.region, wanted.available) };
    case 'rot':
      return storage.rot(wanted.region, wanted.key);
    case 'damage':
      return storage.damage(wanted);
    case 'wipe':
      return { at: await storage.wipe() };
    default:
      return { at: await fault(wanted.region, wanted.fault) };
  }
}

async function takeSchedule(
  request: IncomingMessage,
  response: ServerResponse,
  { runSchedule }: ConsoleOptions,
): Promise<void> {
  const body = await orderIn(request, response);
  if (body === undefined) return;
  try {
    const { region, schedule, atMs } = scheduleIn(body);
    await runSchedule(region, schedule, atMs);
    json(response, 200, { ok: true });
  } catch (error) {
    if (error instanceof NotAsked) problem(response, 400, 'That is no schedule', error.message);
    else if (error instanceof RangeError) problem(response, 400, 'There is no such schedule', error.message);
    else if (error instanceof FaultRefused) problem(response, 409, 'That makes no sense now', error.message);
    else problem(response, 502, 'It failed', error instanceof Error ? error.message : String(error));
  }
}

/** Undefined when it is longer than it may be. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function isLocal(host: string | undefined): boolean {
  return host !== undefined && /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host);
}

function secondOf({ at, regions, client }: RehearsalState): Second {
  return {
    at,
    regions: Object.fromEntries(
      regions.map(({ region, servedPerSecond, errorsPerSecond }) => [
        region,
        { served: servedPerSecond, errors: errorsPerSecond },
      ]),
    ),
    ...(client ? { client } : {}),
  };
}

/** In the order they are needed. */
const SCRIPTS = ['elements.js', 'routing.js', 'storage.js', 'page.js'];
/** What makes a file a module among others; as one script they need none of it. */
const MODULE_WORDS = /^import [^;]*;\n|^export (?=const|function)/gm;

/** The page with its style and scripts put in, so that it is one file and needs nothing else. */
async function readPage(): Promise<Page> {
  const read = (name: string) => readFile(join(import.meta.dirname, name), 'utf8');
  const [frame, style, ...scripts] = await Promise.all(['page.html', 'page.css', ...SCRIPTS].map(read));
  const script = scripts.map((text) => text.replace(MODULE_WORDS, '')).join('\n');
  const html = (frame ?? '')
    .replace('<!-- style -->', () => `<style>${style}</style>`)
    .replace('<!-- script -->', () => `<script type="module">${script}</script>`);
  const hash = createHash('sha256').update(script).digest('base64');
  return {
    html,
    contentSecurityPolicy: `default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
}

function tell(response: ServerResponse, event: string, data: object): void {
  response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function json(response: ServerResponse, status: number, body: object): void {
  send(response, status, 'application/json', JSON.stringify(body));
}

function problem(
  response: ServerResponse,
  status: number,
  title: string,
  detail: string,
  headers: Record<string, string | string[]> = {},
): void {
  if (response.headersSent) response.destroy();
  else {
    const body = JSON.stringify({ type: 'about:blank', title, status, detail });
    send(response, status, 'application/problem+json', body, headers);
  }
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  headers: Record<string, string | string[]> = {},
): void {
  response.writeHead(status, {
    'content-type': type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  });
  response.end(body);
}
