// The operators' commands on a real table of three replicas and regions that answer HTTP: what is read from whom, a
// change through whichever replica takes it, and the commands themselves as processes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { gather } from '../../bin/routing/facts.ts';
import { latchCommandsOf } from '../../bin/routing/latch.ts';
import { dnsBy, lookAtDns, lookAtHealth, lookAtReady } from '../../bin/routing/looks.ts';
import { reasonIn, servingRegionIn } from '../../bin/routing/operator.ts';
import { statusOf } from '../../bin/routing/status-report.ts';
import { statusForPrograms, statusInWords } from '../../bin/routing/status-words.ts';
import {
  changeThroughAny,
  type OpenReplicas,
  openReplicas,
  readThroughAny,
} from '../../bin/routing/table.ts';
import { type Where, whereFrom } from '../../bin/routing/where.ts';
import {
  GENERATION_KEY,
  HEARTBEAT_SHARD,
  heartbeatKey,
  observerKey,
  ROUTING_KEY,
  regionStatusKey,
} from '../../protocol/items.ts';
import { nextRouting, type ObserverReport, type RoutingState } from '../../protocol/routing.ts';
import { type PlainItem, reportItemOf } from '../../protocol/routing-items.ts';
import { type RunningTable, startTable } from '../../rehearsal/aws/start-table.ts';
import { PRIMARY, QUORUM, STANDBY } from './routing-facts.ts';

const CALL_MS_MAX = 300;
/** As the commands ask. */
const ORDER = [STANDBY, QUORUM, PRIMARY];
let table: RunningTable;
let client: DynamoDBClient;
let opened: OpenReplicas;
let directory: string;
let stateFile: string;
let regions: Server;
let url: string;
/** By path; none means that the connection is dropped. */
const answers = new Map<
  string,
  { status: number; headers?: Record<string, string>; body?: object | string }
>();

before(async () => {
  table = await startTable();
  const credentials = table.credentials(PRIMARY);
  const { endpoint, tableName } = table;
  client = new DynamoDBClient({ region: PRIMARY, endpoint, credentials });
  opened = openReplicas({ name: tableName, endpoint, credentials }, ORDER, CALL_MS_MAX);
  regions = createServer((request, response) => {
    const answer = answers.get((request.url ?? '').replace(/\?.*/, ''));
    if (!answer) return void request.socket.destroy();
    const { status, headers = {}, body = {} } = answer;
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  regions.listen(0, '127.0.0.1');
  await once(regions, 'listening');
  url = `http://127.0.0.1:${(regions.address() as { port: number }).port}`;
  answers.set('/p/health', { status: 200 });
  answers.set('/p/ready', { status: 200, body: { status: 'ready' } });
  answers.set('/health-checks', { status: 200, body: { healthChecks: [] } });
  answers.set('/resolve', { status: 200, body: { Answer: [{ TTL: 20 }], region: PRIMARY } });
  directory = await mkdtemp(join(tmpdir(), 'eden-routing-'));
  stateFile = join(directory, 'rehearsal.json');
  const left = {
    stage: 'dev',
    table: tableName,
    resolver: url,
    failoverName: 'api.example.com',
    aws: { endpoint, ...credentials },
    regions: [
      { region: PRIMARY, role: 'primary', health: `${url}/p/health`, ready: `${url}/p/ready` },
      { region: STANDBY, role: 'standby', health: `${url}/s/health`, ready: `${url}/s/ready` },
      { region: QUORUM, role: 'quorum' },
    ],
  };
  await writeFile(stateFile, JSON.stringify(left));
});
after(async () => {
  opened.close();
  client.destroy();
  await table.close();
  regions.close();
  await rm(directory, { recursive: true });
});

const put = (key: { readonly pk: string; readonly sk: string }, attributes: PlainItem) =>
  client.send(
    new PutItemCommand({
      TableName: table.tableName,
      Item: { pk: { S: key.pk }, sk: { S: key.sk }, ...attributes },
    }),
  );
const at = () => ({ nowMs: Date.now(), restoreEpoch: 7 });
const drain = (reason: string) =>
  ({ what: 'drain', from: PRIMARY, to: STANDBY, by: 'operator', reason, votes: [], forced: false }) as const;
const noSleep = async () => undefined;
const change = (previous: RoutingState | undefined, next: RoutingState) =>
  changeThroughAny(opened.replicas, previous, next, noSleep);
/** One that is out of reach of everybody else for as long as it takes. */
async function without<T>(region: string, action: () => Promise<T>): Promise<T> {
  table.links.setUp(region, false);
  try {
    return await action();
  } finally {
    table.links.setUp(region, true);
  }
}

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
const run = (command: string, ...args: readonly string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const file = join(import.meta.dirname, `../../bin/${command}.ts`);
    execFile(process.execPath, [file, ...args], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });

test('a change goes through the first replica that takes it, once, and a second from the same state is lost', async () => {
  assert.equal(await readThroughAny(opened.replicas), undefined);
  const first = nextRouting(undefined, drain('first'), at());
  assert.deepEqual(await change(undefined, first), { kind: 'written', region: STANDBY });
  // What is asked for twice is written once: a first attempt may have landed without anybody hearing of it.
  assert.deepEqual(await change(undefined, first), { kind: 'written', region: STANDBY });
  const other = nextRouting(undefined, drain('other'), { ...at(), nowMs: Date.now() + 5 });
  assert.deepEqual(await change(undefined, other), { kind: 'lost', current: first });

  const second = nextRouting(first, { ...drain('second'), what: 'drain_given_up' }, at());
  const written = await without(STANDBY, () => change(first, second));
  assert.deepEqual(written, { kind: 'written', region: QUORUM });
  assert.deepEqual(await readThroughAny(opened.replicas), second);
});

test('when no replica can take it, or be read, it says why of each', async () => {
  const before = await readThroughAny(opened.replicas);
  const next = nextRouting(before, drain('third'), at());
  const [own] = opened.replicas;
  const failed = await without(STANDBY, () => changeThroughAny(own ? [own] : [], before, next, noSleep));
  assert.deepEqual(failed, { kind: 'failed', why: 'us-west-2: no answer within 0.3 s' });
  assert.deepEqual(await readThroughAny(opened.replicas), before);
  const elsewhere = openReplicas(
    { name: 'no-such-table', endpoint: table.endpoint, credentials: table.credentials(PRIMARY) },
    [PRIMARY],
  );
  await assert.rejects(
    readThroughAny(elsewhere.replicas),
    /no replica answers a consistent read \(us-east-2: .*not found/i,
  );
  elsewhere.close();
});

test('a look tells an evacuated region from one that fails, one that says nothing, and one nobody can ask', async () => {
  const paths = {
    evacuated: { status: 503, headers: { 'eden-evacuated': 'true' } },
    failing: { status: 503 },
    ok: { status: 200, body: { status: 'ready' } },
    unready: { status: 503, body: { status: 'not_ready', dependencies: { read: 'ok', key: 'denied' } } },
    strange: { status: 200, body: '<html>' },
  };
  for (const [name, answer] of Object.entries(paths)) answers.set(`/look/${name}`, answer);
  const health = async (path: string) => (await lookAtHealth(`${url}/look/${path}`)).outcome;
  const healths = [
    await health('ok'),
    await health('evacuated'),
    await health('failing'),
    await health('none'),
  ];
  assert.deepEqual(healths, ['ok', 'evacuated', 'failing', 'silent']);
  const ready = async (path: string) => Object.values(await lookAtReady(`${url}/look/${path}`));
  assert.deepEqual(await ready('ok'), ['ready', 'answers 200, ready']);
  assert.deepEqual(await ready('unready'), ['not_ready', 'answers 503 (key: denied)']);
  assert.deepEqual(await ready('strange'), ['not_ready', 'answers 200']);
  const silent = await lookAtReady(`${url}/look/none`);
  assert.deepEqual([silent.outcome, silent.why], ['silent', 'no answer: other side closed']);
  assert.equal((await lookAtHealth(undefined)).outcome, 'not_asked');
  assert.equal((await lookAtReady(undefined)).outcome, 'not_asked');
});

test('DNS that cannot be asked, or has no answer, is not known; that never throws', async () => {
  const name = 'api.example.com';
  assert.equal((await lookAtDns({ kind: 'resolver', url, name })).region, PRIMARY);
  const unknown = [
    await lookAtDns({ kind: 'none', why: 'no domain' }),
    await lookAtDns({ kind: 'resolver', url, name: undefined }),
    await lookAtDns({ kind: 'resolver', url: 'http://127.0.0.1:1', name }),
  ];
  assert.deepEqual(
    unknown.map(({ region }) => region),
    [undefined, undefined, undefined],
  );
  answers.set('/empty/resolve', { status: 200, body: { Answer: [] } });
  assert.match((await dnsBy(`${url}/empty`, name)).why, /has no answer/);
});

test('status tells of everything, and of what is silent', async () => {
  const nowMs = Date.now();
  const vote = { observer: QUORUM, against: STANDBY, epoch: 1, at: nowMs, emergency: true, why: 'refused' };
  const report: ObserverReport = {
    observer: QUORUM,
    slotMs: nowMs,
    at: nowMs,
    watched: {
      [PRIMARY]: { failures: 0, since: nowMs - 90_000, why: 'answers 200' },
      [STANDBY]: { failures: 3, since: nowMs - 45_000, why: 'refused' },
    },
    vote,
  };
  const abstaining: ObserverReport = {
    observer: STANDBY,
    slotMs: 0,
    at: nowMs,
    watched: {},
    abstains: 'reaches nobody',
  };
  const state = await readThroughAny(opened.replicas);
  const moved = nextRouting(state, { ...drain('storm'), what: 'move', by: 'observers', votes: [vote] }, at());
  await change(state, nextRouting(moved, { ...drain('calm'), from: STANDBY, to: PRIMARY }, at()));
  await put(GENERATION_KEY, { status: { S: 'open' }, restoreEpoch: { N: '7' } });
  await put(regionStatusKey(PRIMARY), {
    checkedAt: { N: String(nowMs) },
    steadySince: { N: String(nowMs - 60_000) },
  });
  await put(heartbeatKey(QUORUM), {
    feedShard: { S: HEARTBEAT_SHARD },
    feedOrder: { S: `${nowMs - 2_000}#${QUORUM}` },
  });
  await put(observerKey(QUORUM), reportItemOf(report));
  await put(observerKey(STANDBY), reportItemOf(abstaining));
  await put(observerKey(PRIMARY), { slotMs: { N: '1' }, report: { S: 'no JSON' } });
  const where = (await whereFrom({ state: stateFile })) ?? assert.fail();
  const status = await without(STANDBY, () => statusOf(where, Date.now, CALL_MS_MAX));
  const words = statusInWords(status);
  for (const expected of [
    /^us-west-2 is active \(not the primary: it stays until a failback\), epoch \d+\n {2}since .* ago: storm/,
    /vote of us-east-1 against us-west-2, \d+ s ago \(emergency\): refused/,
    /DRAINING towards us-east-2 for \d+ s/,
    /DNS: api\.example\.com leads to us-east-2 \(TTL 20 s\)\n {2}that is where the active region is being left for/,
    /observers, by their own reports[\s\S]*us-east-2 +an observer's report: expected JSON/,
    /us-west-2 +NOT READY 3 in a row for 4\d s: refused\n {4}VOTES: us-east-1 against us-west-2/,
    /abstains: reaches nobody/,
    /us-east-2 +primary\n {4}\/health {2}answers 200\n {4}\/ready {3}answers 200, ready/,
    /us-west-2 +standby\n {4}\/health {2}no answer: /,
    /us-east-1 +quorum, serves nobody/,
    /us-west-2 +SILENT: no answer within 0.3 s/,
    /us-east-2 +answers a consistent read in \d+ ms: routing epoch \d+\n {4}feed steady\n {4}sees heartbeats of us-east-2 never, us-west-2 never, us-east-1 \d+ s old/,
    /us-east-1 +answers[^\n]*\n {4}feed NOT STEADY: it was never checked/,
    /drain us-west-2 to us-east-2, by operator, epoch \d+\n {4}calm\n[\s\S]*MOVE us-east-2 to us-west-2, by observers/,
  ])
    assert.match(words, expected);
  const said = JSON.parse(JSON.stringify(statusForPrograms(status)));
  assert.deepEqual([said.heard, said.primary, said.activeRegion], [true, PRIMARY, STANDBY]);
  assert.deepEqual([said.routing.draining.to, said.routing.changes.length], [PRIMARY, 4]);
  assert.deepEqual(said.observers.at(-1), { region: QUORUM, report });
  assert.deepEqual(
    said.replicas.map((it: { answers: boolean }) => it.answers),
    [true, false, true],
  );
  assert.deepEqual(said.regions[0].ready, { outcome: 'ready', why: 'answers 200, ready' });
  assert.equal(said.regions[1].health.outcome, 'silent');
});

test('the latch in DNS is taken away by its check: by name on AWS, by id where it is rehearsed', async () => {
  const prod = (await whereFrom({ stage: 'prod', state: stateFile })) ?? assert.fail();
  const aws = await latchCommandsOf(prod.dns);
  const id = `$(aws route53 list-health-checks --query "HealthChecks[?HealthCheckConfig.AlarmIdentifier.Name=='eden-field-prod-evacuated'].Id" --output text)`;
  assert.equal(aws?.lift, `aws route53 update-health-check --health-check-id ${id} --disabled`);
  assert.equal(aws?.restore, aws?.lift.replace('--disabled', '--no-disabled'));
  const rehearsed = { kind: 'resolver', url, name: 'api.example.com' } as const;
  assert.equal(await latchCommandsOf(rehearsed), undefined, 'none of its checks follows an alarm');
  answers.set('/health-checks', { status: 200, body: { healthChecks: [{ id: 'a b', kind: 'alarm' }] } });
  const here = await latchCommandsOf(rehearsed);
  answers.set('/health-checks', { status: 200, body: { healthChecks: [] } });
  assert.equal(
    here?.lift,
    `curl -X PUT -H 'content-type: application/json' -d '{"disabled":true}' ${url}/health-checks/a%20b`,
  );
  assert.match(here?.restore ?? '', /"disabled":false/);
  assert.equal(await latchCommandsOf({ ...rehearsed, url: 'http://127.0.0.1:1' }), undefined);
  assert.equal(await latchCommandsOf({ kind: 'none', why: 'no domain' }), undefined);
});

test('facts are gathered from everybody at once; the latest state counts', async () => {
  const where = (await whereFrom({ state: stateFile })) ?? assert.fail();
  const facts = await without(QUORUM, () => gather(where, opened.replicas, () => 5));
  assert.deepEqual(
    facts.replicas.map(({ region, answer }) => [region, answer !== undefined]),
    [
      [STANDBY, true],
      [QUORUM, false],
      [PRIMARY, true],
    ],
  );
  assert.deepEqual([facts.at, facts.heard, facts.restoreEpoch], [5, true, 7]);
  assert.equal(facts.routing?.activeRegion, STANDBY);
  assert.deepEqual(
    [facts.health[PRIMARY]?.outcome, facts.ready[STANDBY]?.outcome, facts.dns.region],
    ['ok', 'silent', PRIMARY],
  );
});

test('as commands: nothing to do is said, a drain left behind is given up, a damaged state is an error', async () => {
  const reason = ['--reason', 'test', '--yes', '--state', stateFile];
  const already = await run('evacuate', PRIMARY, ...reason, '--json');
  assert.equal(already.code, 0);
  const end = JSON.parse(already.stdout);
  assert.deepEqual(
    [end.step, end.ending, end.exitCode, end.routing.activeRegion],
    ['end', 'already', 0, STANDBY],
  );
  const ended = await run('failback', ...reason, '--give-up');
  assert.equal(ended.code, 0);
  assert.match(ended.stdout, / s {2}done: the drain is given up: us-west-2 stays active/);
  assert.equal((await readThroughAny(opened.replicas))?.draining, undefined);

  await put(ROUTING_KEY, { activeRegion: { S: '' }, epoch: { N: '1' } });
  const [damaged, status] = await Promise.all([
    run('failback', ...reason),
    run('status', '--state', stateFile),
  ]);
  assert.equal(damaged.code, 2);
  assert.match(damaged.stderr, /failback: no replica answers .* expected activeRegion not to be empty/);
  assert.equal(status.code, 0);
  assert.match(
    status.stdout,
    /^who is active is not known[\s\S]*SILENT: the routing item: expected activeRegion/,
  );
});

test('what they do not understand is answered with how they are used, and exit code 2', async () => {
  const unusable: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['evacuate', [PRIMARY, '--reason', 'x'], /nobody is there to be asked: expected a terminal or --yes/],
    ['failback', [PRIMARY, '--reason', 'x', '--yes'], /failback takes no region[\s\S]*npm run failback/],
  ];
  for (const [command, args, message] of unusable) {
    const { code, stdout, stderr } = await run(command, ...args, '--state', stateFile);
    assert.deepEqual([code, stdout], [2, ''], `${command} ${args.join(' ')}`);
    assert.match(stderr, message);
  }
  const where = (await whereFrom({ state: stateFile })) ?? assert.fail();
  for (const positionals of [[], [QUORUM], [PRIMARY, STANDBY]])
    assert.throws(
      () => servingRegionIn(positionals, where),
      /expected one region, us-east-2 or us-west-2, got "/,
    );
  assert.equal(servingRegionIn([STANDBY], where), STANDBY);
  for (const reason of [undefined, '', '  ']) assert.throws(() => reasonIn(reason), /says why, got none/);
  assert.throws(() => reasonIn('x'.repeat(501)), /at most 500 characters, got 501/);
  assert.equal(reasonIn(' storm '), 'storm');
});

test('where it is: the rehearsal by what it left, a stage by its configuration', async () => {
  const state = join(directory, 'none.json');
  const at = (values: object): Promise<Where | undefined> => whereFrom({ state, ...values });
  assert.equal(await at({}), undefined);
  const prod = (await at({ stage: 'prod' })) ?? assert.fail();
  assert.equal(prod.table?.endpoint, undefined);
  assert.equal(prod.regions[0]?.ready, 'https://us-east-2.api.eden-field.example/ready');
  assert.equal(prod.regions[2]?.ready, undefined);
  assert.equal(
    prod.dns.kind === 'name' && prod.dns.origins.get('origin-us-west-2.api.eden-field.example'),
    STANDBY,
  );
  const local = (await at({ endpoint: url, url: [`${STANDBY}=${url}/`] })) ?? assert.fail();
  assert.deepEqual([local.regions[0]?.health, local.regions[1]?.health], [undefined, `${url}/health`]);
  assert.equal(local.dns.kind, 'none');
  for (const [values, message] of [
    [{ stage: 'moon' }, /--stage is one of dev, prod/],
    [{ endpoint: 'here' }, /--endpoint is an http or https URL, got "here"/],
    [{ stage: 'dev', url: ['x'] }, /--url is REGION=URL for one of us-east-2, us-west-2, got "x"/],
    [{ stage: 'dev', url: [`${QUORUM}=${url}`] }, /--url is REGION=URL/],
    [{ stage: 'dev', url: [`${PRIMARY}=ftp://x`] }, /http or https URL, got "ftp:/],
    [{ table: 'mine' }, /--table and --url go with --stage or --endpoint/],
  ] as const)
    await assert.rejects(at(values), message);
  await writeFile(state, 'not yet');
  await assert.rejects(at({}), /expected what npm start writes, got no JSON/);
  await rm(state);
});
