// What sync drills are made of, each by itself: the tap on the wire, the plan of edits, the drawings, the table of a
// drill with one column, and the history on disk.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Version, versionOf } from '../../protocol/versions.ts';
import { judged } from '../../rehearsal/drills/lines.ts';
import { reportOf } from '../../rehearsal/drills/report.ts';
import { runScenario, type Scenario } from '../../rehearsal/drills/scenario.ts';
import { settledAtOf, syncSection } from '../../rehearsal/drills/sync/chart.ts';
import { editOf, keyOfEdit } from '../../rehearsal/drills/sync/edits.ts';
import type { Made, Sent, SyncHistory } from '../../rehearsal/drills/sync/history.ts';
import { keepHistory } from '../../rehearsal/drills/sync/keep.ts';
import { openWireTap } from '../../rehearsal/drills/sync/wire-tap.ts';
import { jsonOf, tableOf } from '../../rehearsal/drills/table.ts';
import { listen } from '../../rehearsal/supervisor/ports.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';

const version = (ms: number): Version => versionOf({ ms, counter: 0 }, 'a'.repeat(16));

async function tapped(t: TestContext, answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer);
  const port = await listen(server, 0);
  const noted: Sent[] = [];
  const tap = await openWireTap('us-east-2', `http://127.0.0.1:${port}`, (sent) => noted.push(...sent));
  t.after(async () => {
    await tap.close();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return { url: tap.url, noted };
}

const OPERATION = {
  kind: 'put',
  session: 's',
  sequence: 1,
  collection: 'notes',
  id: 'n1',
  version: version(2),
  base: version(1),
  payload: { by: 'van', n: 7, text: 'x' },
};
const push = (url: string, operations: readonly object[], signal?: AbortSignal) =>
  fetch(`${url}/v1/sync/push`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ operations }),
    ...(signal ? { signal } : {}),
  });

test('the tap passes a push on unchanged and notes each operation with its verdict, matched by identity', async (t) => {
  let asked = '';
  const { url, noted } = await tapped(t, (request, response) => {
    request.setEncoding('utf8').on('data', (text: string) => {
      asked += text;
    });
    request.on('end', () => {
      response.setHeader('eden-region', 'us-east-2');
      const verdicts = [
        { session: 's', sequence: 2, verdict: 'deferred', reason: 'no_quorum' },
        { session: 's', sequence: 1, verdict: 'applied', version: version(2) },
      ];
      response.end(JSON.stringify({ verdicts }));
    });
  });
  const operations = [OPERATION, { ...OPERATION, sequence: 2, payload: { by: 'van', n: 8 } }];
  const answer = await push(url, operations);
  assert.equal(answer.headers.get('eden-region'), 'us-east-2');
  assert.equal(((await answer.json()) as { verdicts: unknown[] }).verdicts.length, 2);
  assert.deepEqual(JSON.parse(asked), { operations });
  const [first, second] = noted;
  assert.deepEqual([first?.n, first?.answer?.verdict, first?.answer?.version], [7, 'applied', version(2)]);
  assert.deepEqual(
    [second?.n, second?.answer?.verdict, second?.answer?.reason],
    [8, 'deferred', 'no_quorum'],
  );
  assert.equal(first?.base, version(1));
  assert.equal(first?.key, 'notes/n1');
  assert.ok(first?.answer && first.answer.at >= first.sentAt);
});

test('a push refused as a whole is noted as refused; one that gets no verdicts, without an answer', async (t) => {
  let status = 409;
  const { url, noted } = await tapped(t, (_, response) => {
    response.statusCode = status;
    response.end('{"code":"restore_epoch"}');
  });
  await push(url, [OPERATION]);
  status = 503;
  await push(url, [OPERATION]);
  assert.deepEqual(
    noted.map(({ refused, answer }) => [refused, answer]),
    [
      [true, undefined],
      [undefined, undefined],
    ],
  );
});

test('a region that breaks the connection, and a device that gives up, leave a push without an answer', async (t) => {
  const broken = await tapped(t, (request) => request.socket.destroy());
  await assert.rejects(push(broken.url, [OPERATION]));
  assert.deepEqual(
    broken.noted.map(({ n, answer }) => [n, answer]),
    [[7, undefined]],
  );

  const heard = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const silent = await tapped(t, (request, response) => {
    request.resume().on('end', heard.resolve);
    response.on('close', gone.resolve);
  });
  const giveUp = new AbortController();
  const asked = push(silent.url, [OPERATION], giveUp.signal);
  await heard.promise;
  giveUp.abort();
  await assert.rejects(asked, { name: 'AbortError' });
  // The region hears of it too.
  await gone.promise;
  assert.deepEqual(
    silent.noted.map(({ n, answer }) => [n, answer]),
    [[7, undefined]],
  );
});

test('other requests pass and leave no note', async (t) => {
  const { url, noted } = await tapped(t, (request, response) => response.end(request.url));
  assert.equal(await (await fetch(`${url}/v1/sync/pull?limit=1`)).text(), '/v1/sync/pull?limit=1');
  assert.deepEqual(noted, []);
});

const PLAN = { by: 'van', seed: 7, collection: 'notes', records: 50, textBytes: 10 };

test('edit n is always the same, carries its mark, and comes in pairs on one record', () => {
  assert.deepEqual(editOf(PLAN, 5), editOf(PLAN, 5));
  assert.deepEqual(editOf(PLAN, 5).payload, { by: 'van', n: 5, text: 'x'.repeat(10) });
  assert.equal(keyOfEdit(PLAN, 5), keyOfEdit(PLAN, 6));
  const keys = (plan: typeof PLAN) => Array.from({ length: 400 }, (_, n) => keyOfEdit(plan, n + 1));
  assert.ok(new Set(keys(PLAN)).size > 40, 'most records are edited');
  assert.notDeepEqual(keys(PLAN), keys({ ...PLAN, by: 'truck' }), 'devices draw apart');
  assert.notDeepEqual(keys(PLAN), keys({ ...PLAN, seed: 8 }));
});

test('a line keeps its promise or misses it; what never happened, or is no number, has missed', () => {
  const line = (is: '<' | '≤' | '≥' | '=', measured: number | null) =>
    judged([{ label: 'l', text: 't', promise: { is, limit: 2, measured, unit: 's' } }]).targets[0];
  assert.equal(line('<', 2)?.passed, false);
  assert.equal(line('≤', 2)?.passed, true);
  assert.equal(line('≥', 2)?.passed, true);
  assert.equal(line('≥', 1)?.passed, false);
  assert.equal(line('=', 3)?.passed, false);
  assert.deepEqual(line('≤', null), { name: 'l', target: '≤ 2', measured: null, unit: 's', passed: false });
  assert.deepEqual([line('≤', Number.NaN)?.passed, line('≤', Number.NaN)?.measured], [false, null]);
  const { rows, targets } = judged([{ label: 'l', text: 't' }]);
  assert.deepEqual(rows, [{ label: 'l', target: '', cells: [{ text: 't', judged: undefined }] }]);
  assert.deepEqual(targets, []);
});

const MADE: readonly Made[] = [1, 2].map((n) => ({
  by: 'van',
  n,
  key: 'notes/n1',
  acknowledgedAt: 1_000 * n,
}));
const SENT: readonly Sent[] = [
  { at: 1_800, verdict: 'deferred' as const },
  { at: 2_500, verdict: 'applied' as const },
].map((answer) => ({
  by: 'van',
  n: 1,
  key: 'notes/n1',
  session: 's',
  sequence: 1,
  version: version(1),
  region: 'us-east-2',
  sentAt: answer.at - 10,
  answer,
}));

test('an edit is settled by the first verdict that settles', () => {
  assert.deepEqual([...settledAtOf(SENT)], [['van 1', 2_500]]);
});

test('the report of a sync drill draws what was settled and what waits, and lists findings', async () => {
  const section = syncSection(
    'One device',
    {
      history: { made: MADE, sent: SENT },
      regions: ['us-east-2', 'us-west-2'],
      groups: [{ text: 'the <van>', devices: ['van'] }],
      marks: [{ at: 2_000, text: 'network back', style: 'good' }],
      startedAt: 0,
      endedAt: 4_000,
    },
    ['lost, notes/n1: van 2 & more'],
  );
  // One waits from the first second, two from the second, one is left from the third.
  const [, heights] = section.figures;
  const points = /points="([^"]+)"/
    .exec(heights?.svg ?? '')?.[1]
    ?.split(' ')
    .map((point) => Number(point.split(',')[1]));
  assert.equal(points?.length, 5);
  const [zero, one, two, three, four] = points as [number, number, number, number, number];
  assert.ok(zero > one && one > two && three > two && three === one && four === three, String(points));

  const scenario: Scenario = {
    name: 'planted',
    title: 'Planted',
    about: 'about',
    run: async () => ({
      passed: false,
      startedAt: 0,
      ...judged([
        { label: 'lost', text: '1 of 2', promise: { is: '≤', limit: 0, measured: 1, unit: 'operations' } },
      ]),
      columns: ['one'],
      sections: [section],
      facts: { acknowledgedWritesLost: 1 },
    }),
  };
  const fresh = () => assert.fail('it starts nothing');
  const result = await runScenario(scenario, fresh, { config: stageConfig('dev'), seed: 3 });
  const html = reportOf([result]);
  assert.match(html, /Missed: lost/);
  assert.match(html, /the &#60;van&#62;/);
  assert.match(html, /<li>lost, notes\/n1: van 2 &#38; more<\/li>/);
  assert.doesNotMatch(html, /NaN|undefined|Infinity/);
  assert.match(tableOf(result), /^planted: FAILED \(seed 3\)[\s\S]*\| lost \|\s+≤ 0 \| 1 of 2 MISSED \|$/);
  assert.deepEqual(jsonOf([result]), {
    scenario: 'planted',
    seed: 3,
    passed: false,
    targets: result.targets,
    acknowledgedWritesLost: 1,
  });
});

test('a history is kept as one object a line, each saying what it is', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'eden-field-'));
  t.after(() => rm(folder, { recursive: true }));
  const held = { version: version(1), mark: { by: 'van', n: 1 } };
  const history: SyncHistory = {
    made: MADE,
    sent: SENT,
    reads: [{ key: 'notes/n1', region: 'us-east-2', from: 1, to: 2 }],
    log: [{ order: 1, at: 0, key: 'notes/n1' }],
    table: new Map([['notes/n1', held]]),
    devices: [{ name: 'van', pending: 0, quarantined: [], held: new Map([['notes/n1', held]]) }],
    cuts: [{ region: 'us-east-2', from: 1, to: 2 }],
  };
  await keepHistory(folder, 'planted', history);
  const lines = (await readFile(join(folder, 'planted.jsonl'), 'utf8')).trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { type: string }).type),
    ['made', 'made', 'sent', 'sent', 'read', 'log', 'table', 'device', 'cut'],
  );
  await assert.rejects(keepHistory(join(folder, 'nowhere'), 'planted', history), { code: 'ENOENT' });
});
