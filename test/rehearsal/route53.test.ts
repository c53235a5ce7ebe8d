import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import type { AlarmStateValue } from '../../rehearsal/cloudwatch.ts';
import type { AlarmCheck, EndpointCheck, HealthCheckState } from '../../rehearsal/route53/health-checks.ts';
import { createResolver } from '../../rehearsal/route53/resolver.ts';
import { type DnsRecord, PROPAGATION_MS, Route53, readRecord } from '../../rehearsal/route53/route53.ts';

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

const RECORDS: readonly DnsRecord[] = [
  { name: 'us-east-2.api.example.com', type: 'A', ttlS: 60, region: 'us-east-2' },
  { name: 'us-west-2.api.example.com', type: 'A', ttlS: 60, region: 'us-west-2' },
  {
    name: 'api.example.com',
    type: 'CNAME',
    ttlS: 20,
    failover: 'SECONDARY',
    healthCheckId: 'check-us-west-2',
    target: 'us-west-2.api.example.com',
  },
  {
    name: 'api.example.com',
    type: 'CNAME',
    ttlS: 20,
    failover: 'PRIMARY',
    healthCheckId: 'check-us-east-2',
    target: 'us-east-2.api.example.com',
  },
];

/** Two regions whose health a test sets, on a clock that a test moves; probes are its own business too. */
function playground(alarms: Record<string, AlarmStateValue> = {}) {
  const clock = { ms: 1_000_000 };
  const changes: HealthCheckState[] = [];
  const down = new Set<string>();
  const alarmCheck: AlarmCheck = {
    id: 'latch',
    name: 'latch',
    inverted: false,
    kind: 'alarm',
    alarmRegion: 'us-west-2',
    alarmName: 'evacuated',
    insufficientData: 'Unhealthy',
  };
  const route53 = new Route53({
    checks: [
      { ...alarmCheck, id: 'check-us-east-2' },
      { ...alarmCheck, id: 'check-us-west-2', alarmName: 'other' },
    ],
    records: RECORDS,
    alarmState: (region, name) => alarms[`${region}/${name}`],
    probe: async (_, region) => ({ ok: !down.has(region), text: down.has(region) ? 'down' : 'up' }),
    onChange: (state) => changes.push(state),
    now: () => clock.ms,
  });
  return { route53, clock, changes, alarms, down };
}

const target = (route53: Route53) => route53.resolve('api.example.com', 'CNAME')?.answers[0]?.data;

test('answers PRIMARY while it is healthy, SECONDARY when only that is, and PRIMARY when neither is', () => {
  const { route53, clock, alarms } = playground({ 'us-west-2/evacuated': 'OK', 'us-west-2/other': 'OK' });
  const settle = () => {
    route53.evaluate();
    clock.ms += PROPAGATION_MS;
  };
  settle();
  assert.equal(target(route53), 'us-east-2.api.example.com');
  alarms['us-west-2/evacuated'] = 'ALARM';
  settle();
  assert.equal(target(route53), 'us-west-2.api.example.com');
  alarms['us-west-2/other'] = 'ALARM';
  settle();
  assert.equal(target(route53), 'us-east-2.api.example.com');
  alarms['us-west-2/evacuated'] = 'OK';
  settle();
  assert.equal(target(route53), 'us-east-2.api.example.com');
});

test('name servers hear of a change after the propagation delay and not before', () => {
  const { route53, clock, changes, alarms } = playground({
    'us-west-2/evacuated': 'OK',
    'us-west-2/other': 'OK',
  });
  route53.evaluate();
  clock.ms += 60_000;
  alarms['us-west-2/evacuated'] = 'ALARM';
  route53.evaluate();
  assert.equal(changes.at(-1)?.healthy, false);
  assert.equal(target(route53), 'us-east-2.api.example.com');
  clock.ms += PROPAGATION_MS - 1;
  assert.equal(target(route53), 'us-east-2.api.example.com');
  clock.ms += 1;
  assert.equal(target(route53), 'us-west-2.api.example.com');
});

test('an inverted check says the opposite and begins unhealthy', () => {
  const route53 = new Route53({
    checks: [{ id: 'i', name: 'i', inverted: true, kind: 'calculated', children: [], healthThreshold: 0 }],
    records: [],
    alarmState: () => undefined,
    probe: async () => ({ ok: true, text: '' }),
    onChange: () => undefined,
  });
  assert.equal(route53.states[0]?.healthy, false);
  route53.evaluate();
  assert.equal(route53.states[0]?.healthy, false);
  assert.match(route53.states[0]?.why ?? '', /inverted/);
});

test('checkers probe out of step and an endpoint that dies turns unhealthy, then back', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  const probes: number[] = [];
  const changes: string[] = [];
  let up = true;
  const route53 = new Route53({
    checks: [endpoint('us-east-2')],
    records: RECORDS,
    alarmState: () => undefined,
    probe: async () => {
      probes.push(Date.now());
      return { ok: up, text: up ? '200' : 'ECONNREFUSED' };
    },
    onChange: ({ healthy, why }) => changes.push(`${Date.now()} ${healthy} ${why}`),
  });
  closing.push(() => route53.stop());
  route53.start();
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      t.mock.timers.tick(100);
      await Promise.resolve();
      await Promise.resolve();
    }
  };
  await pass(10_200);
  assert.equal(probes.length, 4, 'one at 0, 3.3, 6.7 and 10 s');
  up = false;
  await pass(29_000);
  assert.deepEqual(changes, []);
  // The last checker's third failure comes within 30 s of the fault, and a healthy one is needed no more.
  await pass(2_000);
  assert.equal(changes.length, 1);
  assert.match(changes[0] ?? '', /false 0 of 3 checkers say healthy; last result: ECONNREFUSED/);
  up = true;
  await pass(31_000);
  assert.equal(changes.length, 2);
  assert.match(changes[1] ?? '', /true 1 of 3 checkers say healthy; last result: 200/);
});

test('a check on a name without a record fails and says so', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  const route53 = new Route53({
    checks: [endpoint('nowhere')],
    records: RECORDS,
    alarmState: () => undefined,
    probe: async () => ({ ok: true, text: '200' }),
    onChange: () => undefined,
  });
  closing.push(() => route53.stop());
  route53.start();
  t.mock.timers.tick(1);
  await Promise.resolve();
  assert.match(route53.states[0]?.checkers[0]?.last ?? '', /nowhere\.api\.example\.com does not resolve/);
});

test('follows a name to the region it stands for, and carries each TTL', () => {
  const { route53 } = playground();
  assert.deepEqual(route53.resolve('API.example.com.', 'A'), {
    answers: [
      { name: 'api.example.com', type: 'CNAME', ttlS: 20, data: 'us-east-2.api.example.com' },
      { name: 'us-east-2.api.example.com', type: 'A', ttlS: 60, data: '127.0.0.1' },
    ],
    region: 'us-east-2',
  });
  assert.deepEqual(route53.resolve('us-west-2.api.example.com', 'CNAME'), {
    answers: [],
    region: 'us-west-2',
  });
  assert.equal(route53.resolve('other.example.com', 'A'), undefined);
});

test('reads records from their templates', () => {
  const failover = {
    Name: 'API.example.com.',
    Type: 'CNAME',
    TTL: '20',
    Failover: 'PRIMARY',
    HealthCheckId: 'check-us-east-2',
    ResourceRecords: ['us-east-2.api.example.com.'],
  };
  assert.deepEqual(readRecord(failover), RECORDS[3]);
  const alias = (DNSName: string) =>
    readRecord({ Name: 'us-east-2.api.example.com', Type: 'A', AliasTarget: { DNSName } });
  assert.deepEqual(alias('d-a1b2c3.execute-api.us-east-2.amazonaws.com'), RECORDS[0]);
  assert.equal(alias('dualstack.some-load-balancer.us-east-2.elb.amazonaws.com').region, undefined);
});

async function ask(path: string, init?: RequestInit) {
  const { route53 } = playground({ 'us-west-2/evacuated': 'OK', 'us-west-2/other': 'OK' });
  route53.evaluate();
  const server = createResolver({ route53, endpointOf: (region) => `http://127.0.0.1/${region}` });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  const { port } = server.address() as { port: number };
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

test('the resolver speaks DNS over HTTPS in JSON and adds the local endpoint', async () => {
  const { status, body } = await ask('/resolve?name=api.example.com&type=CNAME');
  assert.equal(status, 200);
  assert.equal(body['Status'], 0);
  assert.deepEqual(body['Question'], [{ name: 'api.example.com', type: 5 }]);
  assert.deepEqual(body['Answer'], [
    { name: 'api.example.com.', type: 5, TTL: 20, data: 'us-east-2.api.example.com.' },
  ]);
  assert.equal(body['endpoint'], 'http://127.0.0.1/us-east-2');
  const byNumber = await ask('/resolve?name=api.example.com&type=1');
  assert.equal((byNumber.body['Answer'] as unknown[]).length, 2);
});

test('the resolver says NXDOMAIN, and refuses what it does not understand', async () => {
  assert.deepEqual((await ask('/resolve?name=nope.example.com')).body['Status'], 3);
  assert.equal((await ask('/resolve')).status, 400);
  assert.match(String((await ask('/resolve?name=a&type=MX')).body['error']), /A or CNAME, got MX/);
  assert.equal((await ask('/elsewhere')).status, 404);
  assert.equal((await ask('/resolve?name=a', { method: 'POST' })).status, 405);
});

test('a check that is disabled counts as healthy until it is enabled again, by an order that makes sense', async () => {
  const latched = { 'us-west-2/evacuated': 'ALARM', 'us-west-2/other': 'OK' } as const;
  const { route53, clock } = playground({ ...latched });
  route53.evaluate();
  clock.ms += PROPAGATION_MS;
  assert.equal(target(route53), 'us-west-2.api.example.com');
  route53.disable('check-us-east-2', true);
  assert.match(route53.states[0]?.why ?? '', /^disabled, which counts as healthy; alarm evacuated .* ALARM$/);
  clock.ms += PROPAGATION_MS;
  assert.equal(target(route53), 'us-east-2.api.example.com');
  route53.disable('check-us-east-2', false);
  clock.ms += PROPAGATION_MS;
  assert.equal(target(route53), 'us-west-2.api.example.com', 'it follows its alarm again');

  const put = (id: string, body: string, type = 'application/json') =>
    ask(`/health-checks/${id}`, { method: 'PUT', body, headers: { 'content-type': type } });
  const { status, body } = await put('check-us-east-2', '{"disabled":true}');
  assert.equal(status, 200);
  assert.match((body['healthCheck'] as HealthCheckState).why, /^disabled/);
  assert.match(String((await put('nothing', '{"disabled":true}')).body['error']), /one of check-us-east-2, /);
  for (const wrong of [put('check-us-east-2', '{"disabled":"yes"}'), put('check-us-east-2', 'x')])
    assert.match(String((await wrong).body['error']), /^expected content-type application\/json and/);
  assert.equal((await put('check-us-east-2', '{"disabled":true}', 'text/plain')).status, 400);
  assert.equal((await put('check-us-east-2', 'x'.repeat(2_000))).status, 400);
});

test('the resolver shows every health check and why it says what it says', async () => {
  const { body } = await ask('/health-checks');
  const [first] = body['healthChecks'] as HealthCheckState[];
  assert.equal(first?.healthy, true);
  assert.match(first?.why ?? '', /alarm evacuated in us-west-2: OK/);
});
