// `/health`, `/ready` and the hook before a release: what they look at, and what they leave alone.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { READINESS } from '../../config/promises.ts';
import { httpHandler } from '../../lambdas/http.ts';
import { createReadiness, readyRoutes, serviceChecks } from '../../lambdas/readiness.ts';
import { createPretraffic, READY_ASK_EVERY_MS, READY_ASKS } from '../../lambdas/routes/pretraffic.ts';
import { type Store, StoreUnavailableError } from '../../lambdas/store/store.ts';
import { ROUTING_KEY } from '../../protocol/items.ts';
import { PATHS } from '../../protocol/messages.ts';
import type { RunningTable } from '../../rehearsal/aws/start-table.ts';
import { assertDescribed } from './description.ts';
import { Functions, openTable, REGIONS, Recorder } from './functions.ts';

let running: RunningTable;
before(async () => {
  running = await openTable();
});
after(() => running.close());

let broken = false;
let reads = 0;
let silent = false;
const wrap = (store: Store): Store => ({
  ...store,
  routing() {
    reads += 1;
    if (silent) return new Promise(() => {});
    if (broken)
      return Promise.reject(new StoreUnavailableError('cut off', { retryable: true, mayHaveLanded: false }));
    return store.routing();
  },
});
let functions: Functions;
beforeEach(() => {
  [broken, silent, reads] = [false, false, 0];
  functions = new Functions({ running, wrap });
});

afterEach(() => functions.close());

const activate = (region: string) =>
  functions.putControl(ROUTING_KEY, { activeRegion: { S: region }, epoch: { N: '1' } });
const drain = (from: string, to: string) =>
  functions.putControl(ROUTING_KEY, {
    activeRegion: { S: from },
    epoch: { N: '2' },
    draining: { S: JSON.stringify({ to, since: 1 }) },
  });
const health = (on = functions) => on.call('GET', '/health');

test('a region is healthy when nothing was ever moved, and when nothing can be read at all', async () => {
  assert.deepEqual([(await health()).status, (await health()).body.status], [200, 'ok']);
  broken = true;
  const fresh = new Functions({ running, wrap });
  assert.equal((await health(fresh)).status, 200);
  assert.match(fresh.telemetry.errors[0] ?? '', /routing state cannot be read/);
  fresh.close();
});

test('an evacuated primary says so; the standby serves whoever is active', async () => {
  const standby = new Functions({ running, role: 'standby', wrap });
  await activate(REGIONS.standby);
  const reply = await health();
  assert.deepEqual(
    [reply.status, reply.headers['eden-evacuated'], reply.body.status],
    [503, 'true', 'evacuated'],
  );
  assert.equal((await health(standby)).status, 200);
  await activate(REGIONS.primary);
  standby.offsetMs = functions.offsetMs = 5_000;
  assert.equal((await health()).status, 200);
  assert.equal((await health(standby)).status, 200);
  standby.close();
});

test('a primary that is being left says so before its successor takes over; a standby never does', async () => {
  const standby = new Functions({ running, role: 'standby', wrap });
  await drain(REGIONS.primary, REGIONS.standby);
  assert.equal((await health()).status, 503);
  assert.equal((await health(standby)).status, 200);
  await drain(REGIONS.standby, REGIONS.primary);
  standby.offsetMs = functions.offsetMs = 5_000;
  assert.equal((await health()).status, 503, 'it is not active yet');
  assert.equal((await health(standby)).status, 200);
  standby.close();
});

test('the routing state is read once in 5 s, and once for all who ask at the same time', async () => {
  await Promise.all(Array.from({ length: 20 }, () => health()));
  assert.equal(reads, 1);
  functions.offsetMs = 3_000;
  await health();
  assert.equal(reads, 1);
  functions.offsetMs = 5_100;
  await health();
  assert.equal(reads, 2);
});

test('the last known state counts while none can be read, in either direction', async () => {
  await activate(REGIONS.standby);
  assert.equal((await health()).status, 503);
  broken = true;
  for (const offsetMs of [6_000, 600_000]) {
    functions.offsetMs = offsetMs;
    assert.equal((await health()).status, 503);
  }
  broken = false;
  await functions.putControl(ROUTING_KEY, { activeRegion: { S: REGIONS.primary } });
  functions.offsetMs = 900_000;
  assert.equal((await health()).status, 503, 'a damaged item is none');
  functions.offsetMs = 1_200_000;
  await activate(REGIONS.primary);
  assert.equal((await health()).status, 200);
});

test('a table that does not answer holds a health check up for half a second at most', async () => {
  silent = true;
  const startedAt = Date.now();
  assert.equal((await health()).status, 200);
  assert.ok(Date.now() - startedAt < 1_500, `took ${Date.now() - startedAt} ms`);
});

const PLACE = { stage: 'dev', role: 'primary', region: 'us-east-2', regions: REGIONS } as const;

function readinessOf(checks: Parameters<typeof createReadiness>[0]['checks'], over = {}) {
  const telemetry = new Recorder();
  const clock = { nowMs: 1_000_000 };
  const readiness = createReadiness({
    region: 'us-east-2',
    checks,
    telemetry,
    now: () => clock.nowMs,
    ...over,
  });
  const routes = readyRoutes(readiness, PATHS.readyPush);
  const handler = httpHandler(routes, { place: PLACE, telemetry, now: () => clock.nowMs });
  const ask = async (resource: string = PATHS.ready) => {
    const result = await handler({ resource, httpMethod: 'GET', headers: {} });
    const headers = Object.fromEntries(
      Object.entries(result.headers ?? {}).map(([name, value]) => [name, String(value)]),
    );
    assertDescribed(`GET ${resource}`, { status: result.statusCode, headers, text: result.body });
    return { status: result.statusCode, body: JSON.parse(result.body) };
  };
  return { ask, clock, telemetry };
}

test('ready says per dependency what works and what does not, and why', async () => {
  const { ask, telemetry } = readinessOf({
    read: async () => {},
    write: () => Promise.reject(new Error('no majority')),
    key: async () => {
      throw new Error('access denied');
    },
  });
  assert.deepEqual(await ask(), {
    status: 503,
    body: {
      status: 'not_ready',
      region: 'us-east-2',
      dependencies: { read: 'ok', write: 'no majority', key: 'access denied' },
    },
  });
  assert.equal(telemetry.errors.length, 2);
  assert.equal(telemetry.sum('health_check_failures'), 1);
});

test('a function that works says the same under the name by which the API leads to it', async () => {
  const broken = readinessOf({ write: () => Promise.reject(new Error('no majority')) });
  for (const { ask } of [readinessOf({ read: async () => {} }), broken])
    assert.deepEqual(await ask(PATHS.readyPush), await ask());
});

test('a dependency that does not answer in time is not ready', async () => {
  let aborted = false;
  const { ask } = readinessOf(
    {
      read: (signal: AbortSignal) =>
        new Promise(() => {
          signal.addEventListener('abort', () => {
            aborted = true;
          });
        }),
    },
    { checkMsMax: 20 },
  );
  assert.equal((await ask()).body.dependencies.read, 'no answer within 20 ms');
  assert.ok(aborted);
});

test('a flood of questions costs one check in 2 s', async () => {
  let checks = 0;
  const { ask, clock } = readinessOf({
    read: async () => {
      checks += 1;
      await sleep(10);
    },
  });
  await Promise.all(Array.from({ length: 100 }, () => ask()));
  assert.equal(checks, 1);
  clock.nowMs += 1_999;
  await ask();
  assert.equal(checks, 1);
  clock.nowMs += 1;
  await ask();
  assert.equal(checks, 2);
});

test('the service’s own checks read and write the table; what may not write does not', async () => {
  const checks = serviceChecks(functions.service, {
    keyArn: 'arn:aws:kms:us-east-2:000000000000:key/k',
    writes: true,
  });
  assert.deepEqual(Object.keys(checks), ['read', 'write', 'key']);
  const signal = AbortSignal.timeout(1_000);
  await checks['read']?.(signal);
  await checks['write']?.(signal);
  assert.deepEqual(Object.keys(serviceChecks(functions.service, { keyArn: 'k', writes: false })), [
    'read',
    'key',
  ]);
});

const HOOK = { DeploymentId: 'd-1', LifecycleEventHookExecutionId: 'h-1' };
const READY = { failed: undefined, payload: JSON.stringify({ statusCode: 200, body: '{}' }) };

async function release(answers: readonly ({ failed: string | undefined; payload: string } | Error)[]) {
  const reported: string[] = [];
  const waits: number[] = [];
  const events: unknown[] = [];
  const telemetry = new Recorder();
  await createPretraffic({
    telemetry,
    wait: async (ms) => waits.push(ms),
    report: async (event, status) => {
      assert.equal(event, HOOK);
      reported.push(status);
    },
    invoke: async (payload) => {
      events.push(JSON.parse(payload));
      const answer = answers[events.length - 1] ?? assert.fail('asked too often');
      if (answer instanceof Error) throw answer;
      return answer;
    },
  })(HOOK);
  return { reported, waits, events, errors: telemetry.errors };
}

test('a new version that says ready twice in a row, 5 s apart, gets traffic', async () => {
  const { reported, waits, events } = await release([READY, READY]);
  assert.deepEqual([reported, waits, events.length], [['Succeeded'], [5_000], 2]);
  assert.deepEqual((events[0] as { resource: string; httpMethod: string }).resource, '/ready');
  assert.equal(READY_ASKS, READINESS.failuresMax);
  assert.equal(READY_ASK_EVERY_MS, READINESS.intervalMs);
});

for (const [what, answer] of [
  ['answers 503', { failed: undefined, payload: JSON.stringify({ statusCode: 503, body: 'why' }) }],
  ['crashes', { failed: 'Unhandled', payload: '{"errorMessage":"boom"}' }],
  ['answers nonsense', { failed: undefined, payload: 'null' }],
  ['answers no JSON', { failed: undefined, payload: '<html>' }],
  ['cannot be invoked', new Error('access denied')],
] as const)
  test(`a new version that ${what} gets none, the first time or the second`, async () => {
    for (const answers of [[answer], [READY, answer]]) {
      const { reported, errors } = await release(answers);
      assert.deepEqual(reported, ['Failed']);
      assert.equal(errors.length, 1);
    }
  });

test('a report that fails fails the hook', async () => {
  const hook = createPretraffic({
    telemetry: new Recorder(),
    wait: async () => {},
    invoke: async () => READY,
    report: () => Promise.reject(new Error('CodeDeploy is away')),
  });
  await assert.rejects(hook(HOOK), /CodeDeploy is away/);
});
