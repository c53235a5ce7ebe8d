// An observer's questions to the network: what counts as ready, as not ready, as not even reached, and what hides none
// of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createSocketServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { ProbeOutcome } from '../../lambdas/core/failover.ts';
import { createProber } from '../../lambdas/probe.ts';
import { EMERGENCY_PROBE_EVERY_MS, EMERGENCY_PROBES } from '../../protocol/limits.ts';

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const says =
  (status: number, body: unknown): Answer =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
const READY = says(200, { status: 'ready', region: 'r', dependencies: { read: 'ok' } });

/** What a region that is at work answers beside `/ready`. */
const WORKING: Readonly<Record<string, Answer>> = {
  '/ready/records': READY,
  '/ready/push': READY,
  '/ready/pull': READY,
  '/v1/sync/pull': says(401, { code: 'unauthorized' }),
};

/** A region whose `/ready` answers with each of `answers` in turn, the last one for good, and which is at work. */
function region(t: TestContext, ...answers: readonly Answer[]) {
  return regionAtWork(t, WORKING, answers);
}

async function regionAtWork(t: TestContext, work: typeof WORKING, answers: readonly Answer[] = [READY]) {
  /** Of its readiness, and of its work with what came along. */
  const asked: string[] = [];
  const worked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    sockets.add(request.socket);
    const { method, url = '', headers } = request;
    const working = work[url];
    if (working) worked.push(`${method} ${url} ${headers.authorization ?? ''}`.trimEnd());
    else asked.push(`${method} ${url}`);
    (working ?? answers[asked.length - 1] ?? answers.at(-1))?.(response, request);
  });
  await listening(t, server);
  return { endpoint: endpointOf(server), asked, worked, sockets };
}

/** Something that accepts connections and does to each what it likes. */
async function socketServer(t: TestContext, onSocket: (socket: Socket) => void): Promise<string> {
  const sockets: Socket[] = [];
  const server = createSocketServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await listening(t, server);
  return endpointOf(server);
}

async function listening(t: TestContext, server: ReturnType<typeof createSocketServer>): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    if ('closeAllConnections' in server && typeof server.closeAllConnections === 'function')
      server.closeAllConnections();
  });
}

function endpointOf(server: ReturnType<typeof createSocketServer>): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address where nothing listens any more. */
async function nowhere(): Promise<string> {
  const server = createSocketServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = endpointOf(server);
  server.close();
  await once(server, 'close');
  return endpoint;
}

const whyOf = (outcome: ProbeOutcome) => ('why' in outcome ? outcome.why : '');

/** A prober that waits for nothing between its questions, and how long it would have. */
function prober(timeoutMs = 5_000) {
  const waits: number[] = [];
  const wait = async (ms: number) => {
    waits.push(ms);
  };
  return { ...createProber({ timeoutMs, wait }), waits };
}

test('a region that says ready and is at work is ready, asked once', async (t) => {
  const { endpoint, asked, worked } = await region(t, READY);
  for (const base of [endpoint, `${endpoint}/`])
    assert.deepEqual(await prober().ready(base), { kind: 'ready' });
  assert.deepEqual(asked, ['GET /ready', 'GET /ready']);
  assert.deepEqual(worked.slice(0, 4).sort(), [
    'GET /ready/pull',
    'GET /ready/push',
    'GET /ready/records',
    'GET /v1/sync/pull Bearer an-observer-has-none',
  ]);
});

const hangsUp: Answer = (_, request) => request.socket.destroy();
const [crashed, throttled] = [says(502, { code: 'bad_gateway' }), says(500, { code: 'internal' })];
for (const [what, work, why] of [
  ['push does not start', { '/ready/push': crashed }, /^push: status 502$/],
  ['records has no concurrency left', { '/ready/records': throttled }, /^records: status 500$/],
  [
    'pull may not use its table',
    { '/ready/pull': says(503, { status: 'not_ready', dependencies: { read: 'access denied' } }) },
    /^pull: status 503, read: access denied$/,
  ],
  ['the authorizer cannot use its keys', { '/v1/sync/pull': throttled }, /^authorizer: status 500$/],
  ['the authorizer lets anybody in', { '/v1/sync/pull': says(200, {}) }, /^authorizer: status 200$/],
  ['push hangs up', { '/ready/push': hangsUp }, /^push: .*(ECONNRESET|socket hang up)/],
  [
    'records and pull crash',
    { '/ready/records': crashed, '/ready/pull': crashed },
    /^records: status 502; pull: status 502$/,
  ],
] as readonly (readonly [string, typeof WORKING, RegExp])[])
  test(`a region that says ready while ${what} is not ready, and shows that it is reached`, async (t) => {
    const { endpoint, asked } = await regionAtWork(t, { ...WORKING, ...work });
    const outcome = await prober().ready(endpoint);
    assert.ok(outcome.kind === 'not_ready' && outcome.answered);
    assert.match(outcome.why, why);
    assert.equal(asked.length, 1, 'no emergency');
  });

test('work that hangs is not ready, and a release that knows nothing of the question is left alone', async (t) => {
  const hanging = await regionAtWork(t, { ...WORKING, '/ready/push': () => {} });
  assert.deepEqual(await prober(50).ready(hanging.endpoint), {
    kind: 'not_ready',
    why: 'push: no answer within 50 ms',
    answered: true,
  });
  const older = says(404, { code: 'not_found' });
  const paths = ['/ready/records', '/ready/push', '/ready/pull'].map((path) => [path, older]);
  const before = await regionAtWork(t, { ...WORKING, ...Object.fromEntries(paths) });
  assert.deepEqual(await prober().ready(before.endpoint), { kind: 'ready' });
});

test('of a region that is not ready, its work is not asked for', async (t) => {
  const { endpoint, worked } = await region(t, says(503, ''));
  await prober().ready(endpoint);
  assert.deepEqual(worked, []);
});

for (const [what, answer, why] of [
  [
    'says what is amiss',
    says(503, { status: 'not_ready', dependencies: { read: 'ok', write: 'cut off', key: 'denied' } }),
    /^status 503, write: cut off, key: denied$/,
  ],
  ['fails', says(500, 'oops'), /^status 500$/],
  ['throttles', says(429, '{}'), /^status 429$/],
  ['says 200 and nothing else', says(200, ''), /^status 200$/],
  ['says 200, but not ready', says(200, { status: 'not_ready' }), /^status 200$/],
  ['says ready with another status', says(202, { status: 'ready' }), /^status 202$/],
  ['answers with nonsense', says(200, '["ready"]'), /^status 200$/],
  ['answers with null', says(200, 'null'), /^status 200$/],
  ['redirects', says(302, ''), /^status 302$/],
  [
    'breaks off in the middle',
    (response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"status":"re', () => response.destroy());
    },
    /^the answer broke off$/,
  ],
  ['does not come to an end', says(200, 'x'.repeat(70_000)), /^an answer of more than 65536 bytes$/],
  [
    'has much to say about it',
    says(503, { dependencies: { read: 'y'.repeat(1_000) } }),
    /^status 503, read: y{182}$/,
  ],
] as readonly (readonly [string, Answer, RegExp])[])
  test(`a region that ${what} is not ready, and is not asked again at once`, async (t) => {
    const { endpoint, asked } = await region(t, answer);
    const { ready, waits } = prober();
    const outcome = await ready(endpoint);
    assert.equal(outcome.kind, 'not_ready');
    assert.match(whyOf(outcome), why);
    const whole = !/broke off|more than/.test(whyOf(outcome));
    assert.equal('answered' in outcome && outcome.answered, whole, 'a whole answer shows that it is reached');
    assert.deepEqual([asked.length, waits], [1, []]);
  });

test('one that does not answer in time is not ready, whether it takes the question or not', async (t) => {
  const silent = await socketServer(t, () => {});
  const halfway = await region(t, (response) => {
    response.writeHead(200);
    response.write('{');
  });
  const { ready, waits } = prober(50);
  for (const endpoint of [silent, halfway.endpoint])
    assert.deepEqual(await ready(endpoint), {
      kind: 'not_ready',
      why: 'no answer within 50 ms',
      answered: false,
    });
  assert.deepEqual(waits, []);
});

test('one that answers in another language than HTTP is not ready', async (t) => {
  const endpoint = await socketServer(t, (socket) => socket.end('220 mail.example.com\r\n\r\n'));
  assert.equal((await prober().ready(endpoint)).kind, 'not_ready');
});

test('one that cannot be reached is tried three times more, a second apart, before it counts as that', async (t) => {
  const reset = await socketServer(t, (socket) => socket.resetAndDestroy());
  for (const [endpoint, why] of [
    [await nowhere(), /ECONNREFUSED/],
    [reset, /ECONNRESET|socket hang up/],
    ['https://no-such-name.invalid', /ENOTFOUND|EAI_AGAIN/],
  ] as const) {
    const { ready, waits } = prober();
    const outcome = await ready(endpoint);
    assert.equal(outcome.kind, 'unreachable', endpoint);
    assert.match(whyOf(outcome), why);
    assert.deepEqual(waits, Array(EMERGENCY_PROBES).fill(EMERGENCY_PROBE_EVERY_MS));
  }
});

test('whatever answers among the repetitions is the answer', async (t) => {
  const back = await region(t, hangsUp, hangsUp, READY);
  assert.deepEqual(await prober().ready(back.endpoint), { kind: 'ready' });
  assert.equal(back.asked.length, 3);
  const ill = await region(t, hangsUp, says(503, ''), READY);
  assert.equal((await prober().ready(ill.endpoint)).kind, 'not_ready');
  assert.equal(ill.asked.length, 2);
});

test('every question takes a connection of its own', async (t) => {
  const { endpoint, sockets } = await region(t, READY);
  const { ready, control } = prober();
  for (let n = 0; n < 3; n += 1) await ready(endpoint);
  await control([endpoint]);
  assert.equal(sockets.size, 3 * 5 + 1);
});

test('a control address is reached when it answers anything, and one of them is enough', async (t) => {
  const cross = await region(t, says(403, 'go away'));
  const gone = await nowhere();
  const silent = await socketServer(t, () => {});
  const { control } = prober(2_000);
  assert.deepEqual(await control([cross.endpoint]), { reachable: true });
  assert.deepEqual(await control([gone, cross.endpoint]), { reachable: true });
  const cut = await prober(50).control([gone, silent]);
  assert.ok(!cut.reachable);
  assert.match(cut.why, /ECONNREFUSED.*, .*no answer within 50 ms$/);
  assert.equal((await control([])).reachable, false);
});
