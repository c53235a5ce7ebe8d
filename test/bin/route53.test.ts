// What the status command learns of Route 53's checks, from an HTTP server that speaks Route 53's XML
// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHealthChecks.html), and that fails as it may.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import { healthChecksOnAws } from '../../bin/routing/route53.ts';
import { whereFrom } from '../../bin/routing/where.ts';

const { PRIMARY, STANDBY, LATCH, BOTH } = { PRIMARY: 'p1', STANDBY: 's1', LATCH: 'a1', BOTH: 'c1' } as const;
const where = await whereFrom({ stage: 'prod', state: 'nothing' });
assert.ok(where?.dns.kind === 'name');
const { checks: EXPECTED } = where.dns;
const [primary, standby] = EXPECTED.endpoints;

type Answer = (response: ServerResponse) => void;
/** By path and query; what is not in it is no such check. */
const answers = new Map<string, Answer>();
const asked: string[] = [];
const server = createServer((request, response) => {
  const url = (request.url ?? '').replace('/2013-04-01/healthcheck', '');
  asked.push(url);
  const answer = answers.get(url) ?? error(404, 'NoSuchHealthCheck', `no check ${url}`);
  answer(response);
});
let endpoint = '';
const credentials = { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'secret' };
const learn = (msMax = 5_000) => healthChecksOnAws(EXPECTED, { endpoint, credentials, msMax });

const xml =
  (body: string, status = 200): Answer =>
  (response) =>
    void response
      .writeHead(status, { 'content-type': 'text/xml' })
      .end(`<?xml version="1.0" encoding="UTF-8"?>\n${body}`);
const NS = 'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"';
const error = (status: number, code: string, message: string): Answer =>
  xml(
    `<ErrorResponse ${NS}><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
    status,
  );

function check(id: string, config: string): string {
  return `<HealthCheck><Id>${id}</Id><CallerReference>x</CallerReference><HealthCheckConfig>${config}</HealthCheckConfig><HealthCheckVersion>1</HealthCheckVersion></HealthCheck>`;
}
const endpointCheck = (id: string, host = '', more = '') =>
  check(
    id,
    `<Port>443</Port><Type>HTTPS</Type><ResourcePath>/health</ResourcePath><FullyQualifiedDomainName>${host}</FullyQualifiedDomainName>${more}`,
  );
const alarmCheck = (more = '', region = EXPECTED.alarm.region) =>
  check(
    LATCH,
    `<Type>CLOUDWATCH_METRIC</Type><AlarmIdentifier><Region>${region}</Region><Name>${EXPECTED.alarm.alarmName}</Name></AlarmIdentifier>${more}`,
  );
const calculatedCheck = (more = '') =>
  check(
    BOTH,
    `<Type>CALCULATED</Type><HealthThreshold>2</HealthThreshold><ChildHealthChecks><ChildHealthCheck>${PRIMARY}</ChildHealthCheck><ChildHealthCheck>${LATCH}</ChildHealthCheck></ChildHealthChecks>${more}`,
  );
const ALL = [
  endpointCheck('other', 'api.example.org'),
  endpointCheck(PRIMARY, primary?.host),
  endpointCheck(STANDBY, standby?.host),
  alarmCheck(),
  calculatedCheck(),
];
const list = (checks: readonly string[], next?: string) =>
  xml(
    `<ListHealthChecksResponse ${NS}><HealthChecks>${checks.join('')}</HealthChecks><IsTruncated>${next !== undefined}</IsTruncated>${next === undefined ? '' : `<NextMarker>${next}</NextMarker>`}<MaxItems>100</MaxItems></ListHealthChecksResponse>`,
  );
const status = (...reports: readonly string[]) =>
  xml(
    `<GetHealthCheckStatusResponse ${NS}><HealthCheckObservations>${reports
      .map(
        (text, n) =>
          `<HealthCheckObservation><Region>us-east-1</Region><IPAddress>192.0.2.${n}</IPAddress><StatusReport><Status>${text}</Status><CheckedTime>2026-11-24T10:00:0${n}.000Z</CheckedTime></StatusReport></HealthCheckObservation>`,
      )
      .join('')}</HealthCheckObservations></GetHealthCheckStatusResponse>`,
  );
const OK = 'Success: HTTP Status Code 200, OK';
const BAD = 'Failure: HTTP Status Code 503, Service Unavailable';

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  endpoint = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked.length = 0;
  answers.clear();
  answers.set('', list(ALL));
  answers.set(`/${PRIMARY}/status`, status(OK, OK));
  answers.set(`/${STANDBY}/status`, status(OK, OK));
  answers.set(`/${LATCH}/status`, status('Success: alarm OK'));
});

const healthOf = async () =>
  Object.fromEntries(((await learn()).checks ?? []).map(({ id, healthy }) => [id, healthy]));
const whyOf = async (id: string) => (await learn()).checks?.find((it) => it.id === id)?.why ?? '';

test('finds the four checks of a stage among all of the account, and by the names the templates give them', async () => {
  const { checks = [] } = await learn();
  assert.deepEqual(
    checks.map(({ id, name, kind, healthy }) => [id, name, kind, healthy]),
    [
      [PRIMARY, 'eden-field-prod primary answers', 'endpoint', true],
      [STANDBY, 'eden-field-prod standby answers', 'endpoint', true],
      [LATCH, 'eden-field-prod primary is not evacuated', 'alarm', true],
      [BOTH, 'eden-field-prod primary answers and is not evacuated', 'calculated', true],
    ],
  );
  assert.ok(!asked.includes(`/${BOTH}/status`), 'Route 53 tells nobody the status of a calculated check');
  assert.match(checks[0]?.why ?? '', /2 of 2 checkers.*latest at 2026-11-24T10:00:01.000Z: Success/);
});

test('reads every page of the list', async () => {
  answers.set('', list(ALL.slice(0, 2), 'm2'));
  answers.set('?marker=m2', list(ALL.slice(2)));
  assert.deepEqual(await healthOf(), { [PRIMARY]: true, [STANDBY]: true, [LATCH]: true, [BOTH]: true });
});

test('a check is healthy while more than 18 % of its checkers say so', async () => {
  answers.set(`/${PRIMARY}/status`, status(OK, BAD, BAD, BAD, BAD));
  answers.set(`/${STANDBY}/status`, status(OK, BAD, BAD, BAD, BAD, BAD));
  assert.deepEqual(await healthOf(), { [PRIMARY]: true, [STANDBY]: false, [LATCH]: true, [BOTH]: true });
  assert.match(await whyOf(STANDBY), /1 of 6 checkers a success; .*503/);
});

for (const [what, path] of [
  ['a primary that fails', PRIMARY],
  ['an alarm that is red', LATCH],
] as const)
  test(`${what} makes the primary's two together unhealthy`, async () => {
    answers.set(`/${path}/status`, status(BAD));
    const health = await healthOf();
    assert.deepEqual([health[path], health[BOTH], health[STANDBY]], [false, false, true]);
    assert.match(await whyOf(BOTH), /by its children: 1 of 2 healthy, 2 needed/);
  });

test('a check that is disabled counts as healthy, as a failback may have left it', async () => {
  answers.set('', list([...ALL.slice(0, 3), alarmCheck('<Disabled>true</Disabled>'), calculatedCheck()]));
  answers.set(`/${LATCH}/status`, status(BAD));
  assert.deepEqual(await healthOf(), { [PRIMARY]: true, [STANDBY]: true, [LATCH]: true, [BOTH]: true });
  assert.equal(await whyOf(LATCH), 'disabled: counts as healthy');
  answers.set('', list([...ALL.slice(0, 4), calculatedCheck('<Disabled>true</Disabled>')]));
  assert.equal((await healthOf())[BOTH], true);
});

test('a check that is inverted means the opposite', async () => {
  answers.set('', list([...ALL.slice(0, 3), alarmCheck('<Inverted>true</Inverted>'), calculatedCheck()]));
  assert.deepEqual(await healthOf(), { [PRIMARY]: true, [STANDBY]: true, [LATCH]: false, [BOTH]: false });
});

test('one that cannot be asked is not known, and neither is what follows from it, unless it follows anyway', async () => {
  answers.set(`/${LATCH}/status`, error(400, 'InvalidInput', 'not this one'));
  assert.deepEqual(await healthOf(), {
    [PRIMARY]: true,
    [STANDBY]: true,
    [LATCH]: undefined,
    [BOTH]: undefined,
  });
  assert.equal(await whyOf(LATCH), 'Route 53 answered InvalidInput: not this one');
  assert.match(await whyOf(BOTH), /1 of 2 healthy, 1 not known, 2 needed/);
  answers.set(`/${PRIMARY}/status`, status(BAD));
  assert.equal((await healthOf())[BOTH], false);
  answers.set(`/${PRIMARY}/status`, status());
  assert.match(await whyOf(PRIMARY), /no checker has reported yet/);
  assert.equal((await healthOf())[PRIMARY], undefined);
});

test('one that is not there is said to be missing; an alarm of that name in another Region is another', async () => {
  answers.set('', list([...ALL.slice(0, 3), alarmCheck('', 'eu-west-1')]));
  const { checks = [] } = await learn();
  assert.deepEqual(
    checks.map(({ id, healthy, why }) => [id, healthy, /no such check/.test(why)]),
    [
      [PRIMARY, true, false],
      [STANDBY, true, false],
      [undefined, undefined, true],
      [undefined, undefined, true],
    ],
  );
});

test('an account without any of them says what that may mean', async () => {
  for (const none of [[], ALL.slice(0, 1)]) {
    answers.set('', list(none));
    assert.match((await learn()).why ?? '', /none of the 4 checks.*traffic stack.*account/);
  }
});

test('credentials that may not ask are told which rights they need', async () => {
  const denied = error(403, 'AccessDenied', 'User: x is not authorized');
  answers.set('', denied);
  assert.match(
    (await learn()).why ?? '',
    /route53:ListHealthChecks and route53:GetHealthCheckStatus.*AccessDenied.*not authorized/,
  );
  answers.set('', list(ALL));
  answers.set(`/${PRIMARY}/status`, denied);
  assert.match(await whyOf(PRIMARY), /expected the right to/);
  assert.equal((await healthOf())[STANDBY], true, 'the rest is told');
});

test('a request refused for too many is made again, and one that stays refused is said', async () => {
  let refusals = 1;
  const throttled = error(400, 'Throttling', 'Rate exceeded');
  answers.set('', (response) => (refusals-- > 0 ? throttled(response) : list(ALL)(response)));
  assert.equal((await healthOf())[BOTH], true);
  answers.set('', throttled);
  assert.equal((await learn()).why, 'Route 53 answered Throttling: Rate exceeded');
});

test('silence ends in time, of the list and of one check', { timeout: 10_000 }, async () => {
  const silent: Answer = () => undefined;
  answers.set(`/${STANDBY}/status`, silent);
  const { checks = [] } = await learn(600);
  assert.deepEqual(
    checks.map(({ healthy }) => healthy),
    [true, undefined, true, true],
  );
  assert.equal(checks[1]?.why, 'Route 53 gave no answer within 0.6 s');
  answers.set('', silent);
  assert.equal((await learn(200)).why, 'Route 53 gave no answer within 0.2 s');
});

test('where nothing listens, or what answers is no Route 53, it says so', async () => {
  const nobody = await healthChecksOnAws(EXPECTED, { endpoint: 'http://127.0.0.1:1', credentials });
  assert.match(nobody.why ?? '', /Route 53 could not be asked: .*ECONNREFUSED/);
  answers.set('', (response) => void response.writeHead(502).end('<html>bad gateway'));
  assert.match((await learn()).why ?? '', /Route 53/);
});

const AWAY = 'http://127.0.0.1:1';
const run = (...args: string[]) =>
  promisify(execFile)(
    process.execPath,
    [
      join(import.meta.dirname, '../../bin/status.ts'),
      ...['--stage', 'prod', '--url', `us-east-2=${AWAY}`, '--url', `us-west-2=${AWAY}`, ...args],
    ],
    {
      env: {
        PATH: process.env['PATH'],
        AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE',
        AWS_SECRET_ACCESS_KEY: 'secret',
        AWS_ENDPOINT_URL_DYNAMODB: AWAY,
        AWS_ENDPOINT_URL_ROUTE_53: endpoint,
      },
    },
  );

test('the command shows them, and the rest of a status where Route 53 refuses', {
  timeout: 60_000,
}, async () => {
  answers.set(`/${LATCH}/status`, status(BAD));
  const { stdout } = await run();
  assert.match(
    stdout,
    /health checks, by Route 53, as asked just now\n {2}healthy {4}eden-field-prod primary answers\n/,
  );
  assert.match(stdout, / {2}UNHEALTHY {2}eden-field-prod primary is not evacuated\n {13}\S/);
  answers.set('', error(403, 'AccessDenied', 'no'));
  const refused = await run();
  assert.match(refused.stdout, /health checks: not known: Route 53 refuses/);
  assert.match(refused.stdout, /replication, by each replica/);
  const programs = JSON.parse((await run('--json')).stdout);
  assert.match(programs.notAsked.healthChecks, /Route 53 refuses/);
});
