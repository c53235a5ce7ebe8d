// The client against regions that are processes of their own: killed, frozen, revived; and what it leaves behind.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { Session } from '../../client/identity.ts';
import type { RequestsOptions } from '../../client/options.ts';
import { Requests } from '../../client/requests.ts';
import { regionProcess } from './regions.ts';

async function twoRegions(t: TestContext, options: Partial<RequestsOptions> = {}, delaysMs = [5, 15]) {
  const store = await mkdtemp(join(tmpdir(), 'eden-field-'));
  const [primary, standby] = await Promise.all([
    regionProcess({ region: 'primary', store, delayMs: delaysMs[0] ?? 0 }),
    regionProcess({ region: 'standby', store, delayMs: delaysMs[1] ?? 0 }),
  ]);
  const requests = new Requests({ endpoints: [primary.url, standby.url], ...options });
  const session = new Session();
  let records = 0;
  t.after(async () => {
    await requests.close();
    await Promise.all([primary.kill(), standby.kill()]);
    await rm(store, { recursive: true });
  });
  const put = () => {
    records += 1;
    const path = `/v1/records/notes/n${records}`;
    return requests.request({ method: 'PUT', path, body: '{"a":1}', identity: session.next() });
  };
  const effects = async () => (await readFile(join(store, 'effects.log'), 'utf8')).trim().split('\n');
  return { requests, primary, standby, put, effects, recordsWritten: () => records };
}

/** 200 requests a second; resolves when `ms` are over and all are answered, with when each answer came from where. */
async function load(put: () => Promise<{ endpoint: string; headers: object }>, ms: number) {
  const answers: { startedAt: number; endedAt: number; endpoint: string; receivedAt: number }[] = [];
  const running: Promise<void>[] = [];
  const from = performance.now();
  for (let n = 0; n < ms / 5; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, from + n * 5 - performance.now())));
    const startedAt = performance.now();
    running.push(
      put().then(({ endpoint, headers }) => {
        const receivedAt =
          Number((headers as Record<string, string>)['x-rehearsal-received-at']) - performance.timeOrigin;
        answers.push({ startedAt, endedAt: performance.now(), endpoint, receivedAt });
      }),
    );
  }
  await Promise.all(running);
  return answers;
}

for (const fault of ['kill', 'freeze'] as const)
  test(`under load a ${fault === 'kill' ? 'killed' : 'frozen'} primary is left at once, and nothing fails or happens twice`, async (t) => {
    const { requests, primary, standby, put, effects, recordsWritten } = await twoRegions(t);
    let faultAt = 0;
    setTimeout(() => {
      faultAt = performance.now();
      if (fault === 'kill') void primary.kill();
      else primary.freeze();
    }, 700);
    const answers = await load(put, 1_400);
    const atStandby = answers.filter(
      ({ endpoint, receivedAt }) => endpoint === standby.url && receivedAt >= faultAt,
    );
    const redirectMs = Math.min(...atStandby.map(({ receivedAt }) => receivedAt)) - faultAt;
    // The promise is 100 ms, and the drill measures it; here other tests run at the same time.
    assert.ok(redirectMs < 250, `first request at the standby after ${redirectMs} ms`);
    assert.equal(requests.counts.failures, 0);
    const { attempts, operations } = requests.counts;
    assert.ok(attempts / operations <= 1.3, `${attempts} attempts for ${operations} operations`);
    // A frozen region goes on where it stopped: what it still holds must change nothing.
    if (fault === 'freeze') primary.thaw();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const applied = await effects();
    assert.equal(new Set(applied).size, recordsWritten());
  });

test('a frozen primary under a single request at a time costs each at most one hedge, then none', async (t) => {
  const { requests, primary, standby, put } = await twoRegions(t, { random: () => 0 });
  await put();
  primary.freeze();
  for (let n = 0; n < 3; n += 1) {
    const from = performance.now();
    assert.equal((await put()).endpoint, standby.url);
    assert.ok(performance.now() - from < 250);
  }
  assert.equal(requests.status[0]?.healthy, false);
  const hedges = requests.counts.hedges;
  await put();
  assert.equal(requests.counts.hedges, hedges);
});

test('a thawed primary gets the traffic back after two answered probes', async (t) => {
  const options = { probeIntervalMs: 100, probeTimeoutMs: 80, random: () => 0 };
  const { requests, primary, put } = await twoRegions(t, options);
  primary.freeze();
  await Promise.all([1, 2, 3, 4].map(() => put()));
  assert.equal(requests.status[0]?.healthy, false);
  primary.thaw();
  const end = performance.now() + 2_000;
  while (requests.status[0]?.healthy === false && performance.now() < end)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal((await put()).endpoint, primary.url);
});

test('a far but healthy primary keeps its traffic', async (t) => {
  const { requests, primary, put } = await twoRegions(t, {}, [180, 20]);
  // The first answers come later than 50 ms: they are hedged or redirected, and teach the client the distance.
  await load(put, 1_500);
  await new Promise((resolve) => setTimeout(resolve, 300));
  // Others may take the machine away for longer than the client's patience: of some rounds one has to be undisturbed.
  const rounds: string[] = [];
  while (rounds.length < 4) {
    const { redirects, hedges, operations } = requests.counts;
    const answers = await load(put, 1_000);
    const counts = requests.counts;
    const share = answers.filter(({ endpoint }) => endpoint === primary.url).length / answers.length;
    const hedged = (counts.hedges - hedges) / (counts.operations - operations);
    if (share > 0.85 && counts.redirects === redirects && hedged <= 0.1) return;
    rounds.push(`${share} from there, ${counts.redirects - redirects} redirects, ${hedged} hedged`);
  }
  assert.fail(rounds.join('; '));
});

test('a client that was busy itself does not blame the endpoint for its own silence', async (t) => {
  const { requests, standby, put } = await twoRegions(t, {}, [40, 40]);
  await Promise.all([1, 2, 3, 4, 5].map(() => put()));
  const before = requests.counts;
  const running = [1, 2, 3, 4, 5].map(() => put());
  // On their way first; then nothing in this process moves for far longer than its patience.
  await new Promise((resolve) => setTimeout(resolve, 10));
  const until = performance.now() + 300;
  while (performance.now() < until);
  for (const { endpoint } of await Promise.all(running)) assert.notEqual(endpoint, standby.url);
  assert.equal(requests.counts.redirects, before.redirects);
  assert.equal(requests.counts.hedges, before.hedges);
  assert.equal(requests.status[0]?.healthy, true);
});

test('a process that closes its client ends by itself, and one that forgets to is not kept alive by probes', async () => {
  for (const close of ['await requests.close();', '']) {
    const program = `
      import { createServer } from 'node:http';
      import { Requests } from ${JSON.stringify(join(import.meta.dirname, '../../client/requests.ts'))};
      const server = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1', async () => {
        const requests = new Requests({ endpoints: ['http://127.0.0.1:' + server.address().port] });
        console.log((await requests.request({ method: 'GET', path: '/' })).status);
        ${close}
        server.close();
        server.closeAllConnections();
      });`;
    const run = promisify(execFile);
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', program], {
      timeout: 5_000,
    });
    assert.equal(stdout.trim(), '200');
    assert.equal(stderr, '');
  }
});
