import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { Script } from 'node:vm';
import { createConsole } from '../../rehearsal/console/server.ts';
import { FaultRefused } from '../../rehearsal/supervisor/region-runner.ts';
import type { Fault, RehearsalEvent, RehearsalState } from '../../rehearsal/supervisor/state.ts';

const state: RehearsalState = {
  stage: 'dev',
  startedAt: 1,
  at: 2,
  clockAheadMs: 0,
  buckets: [],
  regions: [
    {
      region: 'us-east-2',
      role: 'primary',
      endpoint: 'http://127.0.0.1:1',
      condition: 'running',
      since: 1,
      servedPerSecond: 20,
      errorsPerSecond: 0,
    },
  ],
  healthChecks: [],
  alarms: [],
  notRehearsed: [],
  timeline: [],
};
const done: [string, Fault][] = [];
const stored: unknown[][] = [];
const ran: unknown[][] = [];
const listeners = new Set<(event: RehearsalEvent) => void>();

const server = await createConsole({
  state: () => state,
  async fault(region, fault) {
    if (region !== 'us-east-2') throw new RangeError(`a region is one of us-east-2, got "${region}"`);
    if (fault === 'revive') throw new FaultRefused('us-east-2 is running: there is nothing to revive');
    done.push([region, fault]);
    return 42;
  },
  storage: {
    async breakBucket(region, available) {
      if (available) throw new FaultRefused('the bucket works');
      stored.push(['bucket', region, available]);
      return 43;
    },
    async rot(region, key) {
      stored.push(['rot', region, key]);
      return { at: 44, key: key ?? 'the newest' };
    },
    async damage(what) {
      if ('records' in what && what.records > 3) throw new RangeError('expected up to 3 records');
      stored.push(['damage', 'records' in what ? what.records : what.record]);
      return { at: 45, records: ['acme/notes/n1'] };
    },
    async wipe() {
      stored.push(['wipe']);
      return 46;
    },
  },
  async runSchedule(...asked) {
    ran.push(asked);
    const [region, schedule] = asked;
    if (region !== 'us-east-2') throw new FaultRefused(`${region} is dead: its schedules call nothing`);
    if (schedule === 'nonsense') throw new RangeError('a schedule is one of verification, got "nonsense"');
    if (schedule === 'sweeper') throw new Error('sweeper failed: Error: no table');
  },
  listen(listener) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
});
let port = 0;

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as { port: number }).port;
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
  assert.equal(listeners.size, 0, 'a closed console listens to nothing any more');
});

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Below fetch, which does not let one choose Host and Origin. */
async function ask({ method = 'GET', path = '/', headers = {}, body = '' }: Asked) {
  const sent = request({ host: '127.0.0.1', port, method, path, headers, agent: false });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, text };
}

const JSON_TYPE = { 'content-type': 'application/json' };
const order = (body: string, headers: Record<string, string> = JSON_TYPE) =>
  ask({ method: 'POST', path: '/api/faults', body, headers });
const kill = JSON.stringify({ region: 'us-east-2', fault: 'kill' });

test('the page is one file that needs nothing from elsewhere', async () => {
  const { status, headers, text } = await ask({});
  assert.equal(status, 200);
  assert.match(String(headers['content-type']), /^text\/html/);
  assert.match(text, /<style>[\s\S]*<\/style>/);
  assert.match(text, /<script type="module">[\s\S]*EventSource/);
  const outside = [...text.matchAll(/(?:src|href|url\()\s*=?\s*["'(]?(https?:)?\/\/[^"')\s]+/g)];
  assert.deepEqual(
    outside.map(([found]) => found),
    [],
  );
  const policy = String(headers['content-security-policy']);
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'sha256-[\w+/]+='/);
  const script = /<script type="module">([\s\S]*)<\/script>/.exec(text)?.[1] ?? '';
  assert.doesNotMatch(script, /^(import|export) /m, 'its parts are one script');
  assert.ok(new Script(script), 'which can be parsed, no name of it standing twice');
});

test('the state is there for programs', async () => {
  const { status, text } = await ask({ path: '/api/state' });
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(text), state);
});

test('a fault is done and the answer says when', async () => {
  const { status, text } = await order(kill);
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(text), { region: 'us-east-2', fault: 'kill', at: 42 });
  assert.deepEqual(done, [['us-east-2', 'kill']]);
});

test('orders that cannot be read are refused with what was expected and what came', async () => {
  for (const [body, message] of [
    ['', /what is no JSON/],
    ['kill it', /what is no JSON/],
    ['null', /got region undefined/],
    ['[]', /got region undefined/],
    ['{"region":7,"fault":"kill"}', /got region 7/],
    ['{"region":"us-east-2","fault":"explode"}', /"kill" \| "outage" \| "freeze".* got fault "explode"/],
    ['{"region":"us-east-2","fault":"toString"}', /got fault "toString"/],
    ['{"region":"mars","fault":"kill"}', /one of us-east-2, got \\?"mars/],
  ] as const) {
    const { status, headers, text } = await order(body);
    assert.equal(status, 400, body);
    assert.equal(headers['content-type'], 'application/problem+json');
    assert.match(JSON.parse(text).detail, message);
  }
  assert.equal(done.length, 1, 'none of them did anything');
});

test('faults of what is stored are done, and the answer says to what', async () => {
  for (const [body, answer] of [
    [{ fault: 'bucket', region: 'us-east-2', available: false }, { at: 43 }],
    [
      { fault: 'rot', region: 'us-east-2' },
      { at: 44, key: 'the newest' },
    ],
    [
      { fault: 'rot', region: 'us-east-2', key: 'daily/x' },
      { at: 44, key: 'daily/x' },
    ],
    [
      { fault: 'damage', records: 3 },
      { at: 45, records: ['acme/notes/n1'] },
    ],
    [
      { fault: 'damage', record: 'acme/notes/n1' },
      { at: 45, records: ['acme/notes/n1'] },
    ],
    [{ fault: 'wipe' }, { at: 46 }],
  ] as const) {
    const { status, text } = await order(JSON.stringify(body));
    assert.equal(status, 200, text);
    assert.deepEqual(JSON.parse(text), { ...body, ...answer });
  }
  assert.deepEqual(stored, [
    ['bucket', 'us-east-2', false],
    ['rot', 'us-east-2', undefined],
    ['rot', 'us-east-2', 'daily/x'],
    ['damage', 3],
    ['damage', 'acme/notes/n1'],
    ['wipe'],
  ]);
});

test('faults of what is stored that say too little, too much, or the wrong thing are refused', async () => {
  const before = stored.length;
  for (const [body, message] of [
    [{ fault: 'bucket', region: 'us-east-2' }, /"available": true \| false\}, got available undefined/],
    [{ fault: 'bucket', available: false }, /"region": "…"\}, got region undefined/],
    [{ fault: 'rot', region: 'us-east-2', key: 7 }, /got key 7/],
    [{ fault: 'rot' }, /got region undefined/],
    [{ fault: 'damage' }, /"records": <how many>\} or .*got records undefined and record undefined/],
    [{ fault: 'damage', records: 1, record: 'a/b/c' }, /got records 1 and record "a\/b\/c"/],
    [{ fault: 'damage', records: '3' }, /got records "3"/],
    [{ fault: 'damage', records: 4 }, /expected up to 3 records/],
    [{ fault: 'wipe', region: 'us-east-2' }, /which is of all regions, got region "us-east-2"/],
  ] as const) {
    const { status, text } = await order(JSON.stringify(body));
    assert.equal(status, 400, JSON.stringify(body));
    assert.match(JSON.parse(text).detail, message);
  }
  const { status } = await order(JSON.stringify({ fault: 'bucket', region: 'us-east-2', available: true }));
  assert.equal(status, 409);
  assert.equal(stored.length, before, 'none of them did anything');
});

test('a schedule is run to its end; how that was is the answer', async () => {
  const run = (body: object) =>
    ask({ method: 'POST', path: '/api/schedules', body: JSON.stringify(body), headers: JSON_TYPE });
  const good = await run({ region: 'us-east-2', schedule: 'backup-daily', at: '2026-11-25T00:20:00Z' });
  assert.deepEqual([good.status, JSON.parse(good.text)], [200, { ok: true }]);
  assert.deepEqual(ran, [['us-east-2', 'backup-daily', Date.UTC(2026, 10, 25, 0, 20)]]);
  for (const [body, status, message] of [
    [{ region: 'us-east-2', schedule: 'sweeper' }, 502, /sweeper failed: Error: no table/],
    [{ region: 'us-east-2', schedule: 'nonsense' }, 400, /one of verification, got "nonsense"/],
    [{ region: 'us-west-2', schedule: 'verification' }, 409, /is dead/],
    [{ region: 'us-east-2', schedule: 'verification', at: 'noon' }, 400, /got at "noon"/],
    [{ region: 'us-east-2' }, 400, /got schedule undefined/],
    [{ schedule: 'verification' }, 400, /got region undefined/],
  ] as const) {
    const answer = await run(body);
    assert.equal(answer.status, status, JSON.stringify(body));
    assert.match(JSON.parse(answer.text).detail, message);
  }
});

test('an order that makes no sense now is a conflict', async () => {
  const { status, text } = await order(JSON.stringify({ region: 'us-east-2', fault: 'revive' }));
  assert.equal(status, 409);
  assert.match(JSON.parse(text).detail, /nothing to revive/);
});

test('a page of another site cannot give orders, whichever way it tries', async () => {
  const before = done.length;
  assert.equal((await order(kill, { ...JSON_TYPE, origin: 'https://elsewhere.example' })).status, 403);
  assert.equal((await order(kill, { ...JSON_TYPE, origin: 'null' })).status, 403);
  assert.equal((await order(kill, { ...JSON_TYPE, host: 'elsewhere.example' })).status, 403);
  assert.equal((await order(kill, { 'content-type': 'text/plain' })).status, 415);
  assert.equal((await order(kill, {})).status, 415);
  assert.equal(done.length, before);
  const own = { ...JSON_TYPE, host: `localhost:${port}`, origin: `http://localhost:${port}` };
  assert.equal((await order(kill, own)).status, 200, 'its own page can');
});

test('a body that never ends is cut off', async () => {
  const { status } = await order(`{"region":"${'x'.repeat(10_000)}"}`);
  assert.equal(status, 413);
});

test('other paths and methods are named as what they are', async () => {
  assert.equal((await ask({ path: '/api/elsewhere' })).status, 404);
  assert.equal((await ask({ path: '/constructor' })).status, 404);
  const { status, headers } = await ask({ path: '/api/faults' });
  assert.equal(status, 405);
  assert.equal(headers.allow, 'POST');
  assert.equal((await ask({ method: 'DELETE', path: '/api/state' })).status, 405);
});

test('a watcher gets the history, the state, and each change at once', async () => {
  const sent = request({ host: '127.0.0.1', port, path: '/api/events', agent: false });
  sent.end();
  const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
  assert.equal(response.headers['content-type'], 'text/event-stream');
  response.setEncoding('utf8');
  let text = '';
  response.on('data', (chunk: string) => {
    text += chunk;
  });
  const seen = async (pattern: RegExp) => {
    for (let waited = 0; !pattern.test(text) && waited < 3_000; waited += 10)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.match(text, pattern);
  };
  await seen(/event: history\ndata: .*\n\nevent: state\ndata: /);
  text = '';
  for (const listener of listeners)
    listener({ type: 'region', at: 3, region: 'us-east-2', condition: 'dead', why: 'killed' });
  assert.ok(listeners.size > 0);
  await seen(/event: state\ndata: \{"state":/);
  sent.destroy();
});
