// `npm start` end to end, as a script uses it: real processes, real bundles, real signals.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { RehearsalState } from '../../rehearsal/supervisor/state.ts';

const ROOT = join(import.meta.dirname, '../..');
const UP_MS_MAX = 60_000;
const directory = await mkdtemp(join(tmpdir(), 'eden-start-'));
const running = new Set<ChildProcess>();
after(async () => {
  for (const child of running) child.kill('SIGKILL');
  await rm(directory, { recursive: true });
});

interface Ready {
  readonly console: string;
  readonly failoverName: string;
  readonly resolver: string;
  readonly token: string;
  readonly aws: { readonly endpoint: string; readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly regions: readonly {
    readonly region: string;
    readonly role: string;
    readonly endpoint: string | null;
  }[];
}

interface Started {
  readonly process: ChildProcess;
  readonly ready: Ready;
  readonly stateFile: string;
  readonly output: () => { stdout: string; stderr: string };
}

let count = 0;

async function start(...args: string[]): Promise<Started> {
  count += 1;
  const stateFile = join(directory, `state-${count}.json`);
  const child = spawn(
    process.execPath,
    [join(ROOT, 'rehearsal/start.ts'), '--json', '--state', stateFile, '--port', '0', ...args],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  running.add(child);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  const ended = once(child, 'close').then(([code]) => {
    running.delete(child);
    throw new Error(`npm start ended with ${code} before it was ready:\n${output.stderr}`);
  });
  const isReady = (async () => {
    for (let waited = 0; waited < UP_MS_MAX && !output.stdout.includes('\n'); waited += 20) await sleep(20);
  })();
  await Promise.race([isReady, ended]);
  ended.catch(() => undefined);
  return {
    process: child,
    ready: JSON.parse(output.stdout) as Ready,
    stateFile,
    output: () => ({ ...output }),
  };
}

async function childrenOf({ pid }: ChildProcess): Promise<number[]> {
  const { stdout } = await promisify(execFile)('pgrep', ['-P', String(pid)]);
  return stdout.split('\n').filter(Boolean).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function assertGone(pids: readonly number[]): Promise<void> {
  for (let waited = 0; waited < 5_000 && pids.some(isAlive); waited += 20) await sleep(20);
  assert.deepEqual(pids.filter(isAlive), []);
}

async function assertNoFile(path: string): Promise<void> {
  await assert.rejects(access(path), { code: 'ENOENT' });
}

async function stateOf({ console: url }: Ready): Promise<RehearsalState> {
  return (await (await fetch(`${url}/api/state`)).json()) as RehearsalState;
}

async function until(ready: Ready, holds: (state: RehearsalState) => boolean): Promise<RehearsalState> {
  for (let waited = 0; waited < 15_000; waited += 100) {
    const state = await stateOf(ready);
    if (holds(state)) return state;
    await sleep(100);
  }
  return assert.fail(`not within 15 s: ${JSON.stringify(await stateOf(ready))}`);
}

async function fault({ console: url }: Ready, region: string, what: string): Promise<number> {
  const response = await fetch(`${url}/api/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ region, fault: what }),
  });
  await response.arrayBuffer();
  return response.status;
}

const conditionOf = (state: RehearsalState, region: string) =>
  state.regions.find((it) => it.region === region)?.condition;

test('comes up, serves, is broken and revived, tells of it, and leaves nothing behind', async (t) => {
  // Three days ahead, all along: tokens, signatures, health checks, schedules and leases must agree on the time.
  const aheadMs = 3 * 86_400_000;
  const started = await start('--clock', new Date(Date.now() + aheadMs).toISOString());
  const { ready, process: supervisor, stateFile } = started;
  const [primary, standby, quorum] = ready.regions;
  assert.ok(primary?.endpoint && standby?.endpoint && quorum);

  await t.test('one line of JSON, with everything a script needs', () => {
    assert.equal(started.output().stdout.split('\n').length, 2);
    assert.deepEqual(Object.keys(ready), ['console', 'failoverName', 'resolver', 'token', 'aws', 'regions']);
    assert.deepEqual(Object.keys(ready.aws), ['endpoint', 'accessKeyId', 'secretAccessKey']);
    assert.deepEqual(
      ready.regions.map(({ role }) => role),
      ['primary', 'standby', 'quorum'],
    );
    assert.equal(quorum.endpoint, null);
    assert.match(started.output().stderr, /Not rehearsed[\s\S]*AWS::SNS::Topic/);
    assert.match(started.output().stderr, /JWT_KEY_SET/);
    assert.match(started.output().stderr, /OBSERVED/);
  });

  await t.test("the state file has what operators' commands need", async () => {
    const { pid, stage, clockAheadMs, table, regions, ...rest } = JSON.parse(
      await readFile(stateFile, 'utf8'),
    );
    assert.deepEqual([pid, stage], [supervisor.pid, 'dev']);
    assert.ok(clockAheadMs > aheadMs - 60_000 && clockAheadMs <= aheadMs, `${clockAheadMs} ms ahead`);
    assert.match(table, /^eden-field-dev/);
    const { console: url, failoverName, resolver, aws } = ready;
    assert.deepEqual(rest, { console: url, failoverName, resolver, aws });
    const serving = ({ region, role, endpoint }: Ready['regions'][number]) => ({
      region,
      role,
      endpoint,
      health: `${endpoint}/health`,
      ready: `${endpoint}/ready`,
    });
    assert.deepEqual(regions, [
      serving(primary),
      serving(standby),
      { region: quorum.region, role: 'quorum' },
    ]);
  });

  const put = (endpoint: string, id: string, headers: Record<string, string>) =>
    fetch(`${endpoint}/v1/records/notes/${id}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{"text":"hello"}',
    });
  const authorization = `Bearer ${ready.token}`;

  await t.test('the token works in both regions, and nothing works without one', async () => {
    assert.equal((await put(primary.endpoint ?? '', 'n1', { authorization })).status, 201);
    const read = await fetch(`${standby.endpoint}/v1/records/notes/n1`, { headers: { authorization } });
    assert.equal(read.status, 200);
    assert.equal(read.headers.get('eden-region'), standby.region);
    assert.equal((await put(primary.endpoint ?? '', 'n2', {})).status, 401);
  });

  await t.test('npm run status and the resolver say who is active', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(ROOT, 'bin/status.ts'),
      '--state',
      stateFile,
    ]);
    assert.match(stdout, new RegExp(`^${primary.region} is active`));
    assert.match(stdout, new RegExp(`${ready.failoverName} leads to ${primary.region}`));
    assert.match(stdout, /healthy {4}eden-field-dev primary answers/);
    const found = await fetch(`${ready.resolver}/resolve?name=${ready.failoverName}&type=CNAME`);
    assert.equal(((await found.json()) as { endpoint: string }).endpoint, primary.endpoint);
  });

  await t.test('traffic goes on when the primary is killed, and it comes back', async () => {
    await until(ready, ({ client }) => (client?.byRegion[primary.region] ?? 0) > 10);
    assert.equal(await fault(ready, primary.region, 'revive'), 409);
    assert.equal(await fault(ready, primary.region, 'kill'), 200);
    assert.equal(conditionOf(await stateOf(ready), primary.region), 'dead');
    await assert.rejects(fetch(`${primary.endpoint}/health`));
    const moved = await until(ready, ({ client }) => (client?.byRegion[standby.region] ?? 0) > 10);
    assert.equal(moved.client?.failed, 0);
    assert.equal((await put(standby.endpoint ?? '', 'n3', { authorization })).status, 201);
    assert.equal(await fault(ready, primary.region, 'revive'), 200);
    assert.equal(conditionOf(await stateOf(ready), primary.region), 'running');
    const read = await fetch(`${primary.endpoint}/v1/records/notes/n3`, { headers: { authorization } });
    assert.equal(read.status, 200, 'what was written meanwhile is there');
  });

  await t.test('the state says who is active by the table, and where that was read', async () => {
    const { routing } = await until(ready, (state) => state.routing !== undefined);
    assert.deepEqual(
      [routing?.activeRegion, routing?.epoch, routing?.readIn],
      [primary.region, 0, standby.region],
    );
  });

  await t.test('a gray region is healthy, and its work fails until it is revived', async () => {
    assert.equal(await fault(ready, primary.region, 'gray'), 200);
    assert.equal(conditionOf(await stateOf(ready), primary.region), 'gray');
    assert.equal((await fetch(`${primary.endpoint}/health`)).status, 200);
    assert.equal((await fetch(`${primary.endpoint}/ready`)).status, 502);
    assert.equal((await put(primary.endpoint ?? '', 'while-gray', { authorization })).status, 502);
    assert.equal(await fault(ready, primary.region, 'revive'), 200);
    assert.equal((await put(primary.endpoint ?? '', 'while-gray', { authorization })).status, 201);
  });

  await t.test('a frozen and an isolated region are silent, and answer again once revived', async () => {
    for (const [what, condition] of [
      ['freeze', 'frozen'],
      ['isolate', 'isolated'],
    ] as const) {
      assert.equal(await fault(ready, standby.region, what), 200);
      assert.equal(conditionOf(await stateOf(ready), standby.region), condition);
      const silent = fetch(`${standby.endpoint}/health`, { signal: AbortSignal.timeout(700) });
      await assert.rejects(silent, { name: 'TimeoutError' });
      assert.equal((await put(primary.endpoint ?? '', `while-${what}`, { authorization })).status, 201);
      assert.equal(await fault(ready, standby.region, 'revive'), 200);
      assert.equal((await fetch(`${standby.endpoint}/health`)).status, 200);
    }
  });

  await t.test('a region partitioned from the others answers its clients and takes nothing', async () => {
    assert.equal(await fault(ready, primary.region, 'partition'), 200);
    assert.equal(conditionOf(await stateOf(ready), primary.region), 'partitioned');
    assert.equal((await fetch(`${primary.endpoint}/health`)).status, 200);
    assert.equal((await put(standby.endpoint ?? '', 'while-partitioned', { authorization })).status, 201);
    const read = `${primary.endpoint}/v1/records/notes/while-partitioned`;
    const cutOff = await fetch(read, { headers: { authorization }, signal: AbortSignal.timeout(300) })
      .then(({ status }) => status)
      .catch(({ name }: Error) => name);
    assert.ok(cutOff === 503 || cutOff === 'TimeoutError', `a consistent read there gave ${cutOff}`);
    assert.equal(await fault(ready, primary.region, 'revive'), 200);
    assert.equal(conditionOf(await stateOf(ready), primary.region), 'running');
  });

  await t.test('what is stored is broken and mended, and schedules are called out of turn', async () => {
    const post = async (path: string, body: object) => {
      const response = await fetch(`${ready.console}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      return { status: response.status, said: (await response.json()) as Record<string, unknown> };
    };
    const ofBucket = { fault: 'bucket', region: quorum.region };
    assert.equal((await post('/api/faults', { ...ofBucket, available: false })).status, 200);
    const { buckets, clockAheadMs } = await stateOf(ready);
    assert.deepEqual(
      buckets.map(({ available }) => available),
      [true, true, false],
    );
    assert.ok(clockAheadMs > 0);
    const verification = { region: quorum.region, schedule: 'verification' };
    const failed = await post('/api/schedules', verification);
    assert.equal(failed.status, 502);
    assert.match(String(failed.said['detail']), /verification failed: .*bucket/);
    assert.equal((await post('/api/faults', { ...ofBucket, available: true })).status, 200);
    assert.deepEqual(await post('/api/schedules', verification), { status: 200, said: { ok: true } });

    const record = 'demo/notes/n1';
    const { said } = await post('/api/faults', { fault: 'damage', record });
    assert.deepEqual(said['records'], [record]);
    const read = `${primary.endpoint}/v1/records/notes/n1`;
    const damaged = await fetch(read, { headers: { authorization } });
    assert.equal(damaged.status, 500, await damaged.text());
    const rot = await post('/api/faults', { fault: 'rot', region: primary.region, key: 'nothing' });
    assert.equal(rot.status, 400);
    const { timeline } = await stateOf(ready);
    assert.deepEqual(
      timeline.flatMap((event) => (event.type === 'storage' ? [event.what] : [])),
      ['bucket', 'bucket', 'damage'],
    );
  });

  await t.test('a region whose process ends by itself is shown dead and stays so', async () => {
    const { stdout } = await promisify(execFile)('pgrep', [
      '-P',
      String(supervisor.pid),
      '-f',
      quorum.region,
    ]);
    const before = await childrenOf(supervisor);
    for (const pid of stdout.split('\n').filter(Boolean).map(Number))
      if (await runsRegion(pid, quorum.region)) process.kill(pid, 'SIGKILL');
    const state = await until(ready, (now) => conditionOf(now, quorum.region) === 'dead');
    const why = state.timeline.findLast((event) => event.type === 'region');
    assert.match(JSON.stringify(why), /its process ended by SIGKILL/);
    await sleep(500);
    assert.equal((await childrenOf(supervisor)).length, before.length - 1);
    assert.equal((await put(primary.endpoint ?? '', 'without-quorum', { authorization })).status, 201);
  });

  const children = await childrenOf(supervisor);
  assert.ok(children.length >= 4);
  // A stopped process must not survive the end either.
  await fault(ready, standby.region, 'freeze');
  supervisor.kill('SIGINT');
  const [code] = await once(supervisor, 'close');
  assert.equal(code, 0);
  await assertGone(children);
  await assertNoFile(stateFile);
  await assert.rejects(fetch(ready.console));
  assert.equal(started.output().stdout.split('\n').length, 2, 'nothing more on standard output');
});

async function runsRegion(pid: number, region: string): Promise<boolean> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'args=', '-p', String(pid)]);
  return stdout.includes('region.ts') && stdout.includes(`"region":"${region}"`);
}

test('its own SIGKILL takes all with it, a frozen region too', async () => {
  const { process: supervisor, ready } = await start('--no-client');
  const [, standby] = ready.regions;
  await fault(ready, standby?.region ?? '', 'freeze');
  const children = await childrenOf(supervisor);
  assert.ok(children.length >= 4);
  supervisor.kill('SIGKILL');
  await once(supervisor, 'close');
  await assertGone(children);
});

test('a Ctrl-C that comes twice, as under npm, is one, and SIGTERM is as good', async () => {
  const { process: supervisor, ready, stateFile } = await start('--no-client');
  const children = await childrenOf(supervisor);
  const taken = await start('--no-client', '--port', new URL(ready.console).port);
  assert.notEqual(taken.ready.console, ready.console, 'a taken port gives way to a free one');
  taken.process.kill('SIGTERM');
  supervisor.kill('SIGINT');
  supervisor.kill('SIGINT');
  const [[code], [other]] = await Promise.all([once(supervisor, 'close'), once(taken.process, 'close')]);
  assert.equal(code, 0);
  assert.equal(other, 0);
  await assertGone(children);
  await assertNoFile(taken.stateFile);
  await assertNoFile(stateFile);
});

test('Ctrl-C while it starts ends what has been started', async () => {
  const child = spawn(process.execPath, [join(ROOT, 'rehearsal/start.ts'), '--json', '--port', '0'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const closed = once(child, 'close');
  for (let waited = 0; waited < UP_MS_MAX && !said.includes('starting the data store'); waited += 10)
    await sleep(10);
  await sleep(100);
  const children = await childrenOf(child);
  child.kill('SIGINT');
  const [code] = await closed;
  running.delete(child);
  assert.equal(code, 0, said);
  await assertGone(children);
  assert.doesNotMatch(said, /Error/);
});
