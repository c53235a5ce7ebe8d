import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { afterEach, test } from 'node:test';
import type { AlarmStateValue } from '../../rehearsal/cloudwatch.ts';
import {
  type AlarmCheck,
  afterProbe,
  type CheckerState,
  calculate,
  type EndpointCheck,
  followAlarm,
  NEW_CHECKER,
  probeEndpoint,
  readHealthCheck,
  verdictOf,
} from '../../rehearsal/route53/health-checks.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const endpoint = (region: string, change: Partial<EndpointCheck> = {}): EndpointCheck => ({
  id: `check-${region}`,
  name: region,
  inverted: false,
  kind: 'endpoint',
  host: `${region}.api.example.com`,
  path: '/health',
  intervalMs: 10_000,
  failureThreshold: 3,
  ...change,
});

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

test('a checker turns after the threshold of equal results in a row, both ways', () => {
  const feed = (results: string, from: CheckerState = NEW_CHECKER) =>
    [...results].reduce((checker, mark) => afterProbe(checker, { ok: mark === '+', text: mark }, 3, 1), from);
  assert.equal(feed('--').healthy, true);
  assert.equal(feed('--+--').healthy, true);
  assert.equal(feed('---').healthy, false);
  assert.equal(feed('---++').healthy, false);
  assert.equal(feed('---++-++').healthy, false);
  assert.equal(feed('---+++').healthy, true);
});

test('an endpoint is healthy while more than 18 % of its checkers say so', () => {
  const checkers = (well: number, of: number) =>
    Array.from({ length: of }, (_, index) => ({ ...NEW_CHECKER, healthy: index < well }));
  assert.equal(verdictOf(checkers(1, 3)).healthy, true);
  assert.equal(verdictOf(checkers(0, 3)).healthy, false);
  assert.equal(verdictOf(checkers(2, 16)).healthy, false);
  assert.equal(verdictOf(checkers(3, 16)).healthy, true);
  assert.equal(verdictOf(checkers(9, 50)).healthy, false, 'exactly 18 % is not more');
});

test('a calculated check counts its healthy children', () => {
  const check = {
    id: 'both',
    name: 'both',
    inverted: false,
    kind: 'calculated',
    children: ['a', 'b'],
    healthThreshold: 2,
  } as const;
  const healthy = (threshold: number, well: string[]) =>
    calculate({ ...check, healthThreshold: threshold }, (id) => well.includes(id)).healthy;
  assert.equal(healthy(2, ['a', 'b']), true);
  assert.equal(healthy(2, ['a']), false);
  assert.equal(healthy(1, ['b']), true);
  assert.equal(healthy(0, []), true, 'a threshold of 0 is always healthy');
  assert.equal(healthy(3, ['a', 'b']), false, 'one beyond the children never is');
});

test('a check over an alarm follows it, and treats too little data as it was told', () => {
  const by = (insufficientData: AlarmCheck['insufficientData'], state?: AlarmStateValue, last = true) =>
    followAlarm(
      {
        id: 'x',
        name: 'x',
        inverted: false,
        kind: 'alarm',
        alarmRegion: 'r',
        alarmName: 'a',
        insufficientData,
      },
      state,
      last,
    ).healthy;
  assert.equal(by('Unhealthy', 'OK'), true);
  assert.equal(by('Healthy', 'ALARM'), false);
  assert.equal(by('Healthy', 'INSUFFICIENT_DATA', false), true);
  assert.equal(by('Unhealthy', 'INSUFFICIENT_DATA'), false);
  assert.equal(by('LastKnownStatus', 'INSUFFICIENT_DATA', false), false);
  assert.equal(by('LastKnownStatus', undefined, true), true);
});

test('a probe passes on 2xx and 3xx, fails on anything else, and names what came', async () => {
  let status = 200;
  const seen: (string | undefined)[] = [];
  const port = await serve((request, response) => {
    seen.push(request.headers.host, request.url);
    response.writeHead(status).end();
  });
  const probe = () => probeEndpoint(port, endpoint('us-east-2'), new AbortController().signal);
  for (const [code, ok] of [
    [200, true],
    [302, true],
    [399, true],
    [404, false],
    [503, false],
  ] as const) {
    status = code;
    const result = await probe();
    assert.equal(result.ok, ok);
    assert.match(result.text, new RegExp(`^${code} in \\d+ ms$`));
  }
  assert.deepEqual(seen.slice(0, 2), ['us-east-2.api.example.com', '/health']);
});

test('a probe fails after two seconds of silence, and at once on a refused or reset connection', async () => {
  const silent = await serve(() => undefined);
  const signal = new AbortController().signal;
  const from = performance.now();
  assert.deepEqual(await probeEndpoint(silent, endpoint('x'), signal), {
    ok: false,
    text: 'no answer in 2000 ms',
  });
  assert.ok(performance.now() - from >= 1_990);
  const rude = await serve((request) => request.socket.destroy());
  assert.equal((await probeEndpoint(rude, endpoint('x'), signal)).text, 'ECONNRESET');
});

test('stopping ends a probe under way', async () => {
  const stop = new AbortController();
  const result = probeEndpoint(await serve(() => undefined), endpoint('x'), stop.signal);
  setTimeout(() => stop.abort(), 20);
  assert.equal((await result).ok, false);
});

test('reads every kind of check from its template, and leaves out what is not rehearsed', () => {
  assert.deepEqual(
    readHealthCheck('id', {
      HealthCheckConfig: {
        Type: 'HTTPS',
        FullyQualifiedDomainName: 'us-east-2.api.example.com',
        ResourcePath: '/health',
        RequestInterval: 10,
        FailureThreshold: 3,
      },
      HealthCheckTags: [{ Key: 'Name', Value: 'us-east-2' }],
    }),
    endpoint('us-east-2', { id: 'id' }),
  );
  assert.deepEqual(
    readHealthCheck('id', { HealthCheckConfig: { Type: 'CALCULATED', ChildHealthChecks: ['a', 'b'] } }),
    { id: 'id', name: 'id', inverted: false, kind: 'calculated', children: ['a', 'b'], healthThreshold: 2 },
  );
  assert.deepEqual(
    readHealthCheck('id', {
      HealthCheckConfig: {
        Type: 'CLOUDWATCH_METRIC',
        AlarmIdentifier: { Name: 'evacuated', Region: 'us-west-2' },
        InsufficientDataHealthStatus: 'Healthy',
        Inverted: true,
      },
    }),
    {
      id: 'id',
      name: 'id',
      inverted: true,
      kind: 'alarm',
      alarmName: 'evacuated',
      alarmRegion: 'us-west-2',
      insufficientData: 'Healthy',
    },
  );
  assert.equal(readHealthCheck('id', { HealthCheckConfig: { Type: 'TCP' } }), undefined);
});
