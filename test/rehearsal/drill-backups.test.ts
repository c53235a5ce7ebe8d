// The parts of the drills that damage and lose data, each by itself: which midnight, what a restore said, what bare callers
// lost, whom an alarm reaches, and the log of a table that was lost and restored.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resource } from '../../rehearsal/assembly/assembly.ts';
import type { AlarmState } from '../../rehearsal/cloudwatch.ts';
import { firedAlarm } from '../../rehearsal/drills/backups/alarms.ts';
import { type BareCall, BareLoad, bareFacts } from '../../rehearsal/drills/backups/bare-load.ts';
import { bareLoss } from '../../rehearsal/drills/backups/bare-loss.ts';
import { backupSection } from '../../rehearsal/drills/backups/chart.ts';
import { extrapolationLines, span } from '../../rehearsal/drills/backups/extrapolation.ts';
import { lineageOf } from '../../rehearsal/drills/backups/lineage.ts';
import { aheadOfMachine, midnightAfter } from '../../rehearsal/drills/backups/midnight.ts';
import { copyQueueFile } from '../../rehearsal/drills/backups/queue-copies.ts';
import { itemBytes } from '../../rehearsal/drills/backups/replicas.ts';
import {
  journalsReach,
  loadPace,
  notTaken,
  paceOf,
  restoreSaid,
  stepAt,
  takenFrom,
} from '../../rehearsal/drills/backups/restore-said.ts';
import { StorageWatch } from '../../rehearsal/drills/backups/storage-watch.ts';
import { checkHistory } from '../../rehearsal/drills/checker.ts';
import type { Logged } from '../../rehearsal/drills/sync/history.ts';
import { sha256 } from '../../rehearsal/drills/sync/keep.ts';
import { listen } from '../../rehearsal/supervisor/ports.ts';
import type { MetricListener } from '../../rehearsal/supervisor/rehearsal.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';
import type { RehearsalEvent } from '../../rehearsal/supervisor/state.ts';
import { KEY, logged, made, mark, sent, version, whole, withLog } from './planted-history.ts';

const DAY_MS = 86_400_000;

test('a clock that was set ahead reaches the next midnight after the lead, whatever the time is', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 4e12 }),
      fc.integer({ min: 0, max: DAY_MS - 1 }),
      (nowMs, leadMs) => {
        const ahead = aheadOfMachine(nowMs, leadMs);
        assert.ok(ahead >= 0 && ahead < DAY_MS, String(ahead));
        assert.equal(midnightAfter(nowMs + ahead - 1) - (nowMs + ahead), leadMs % DAY_MS);
      },
    ),
  );
  assert.equal(midnightAfter(0), DAY_MS);
});

const SAID = [
  'some warning of the runtime',
  '{"at":1000,"step":"plan","says":"not taken: hourly/2026-11-24T00Z/ in us-east-1: it is corrupted"}',
  '{"at":1001,"step":"plan","says":"from daily/2026-11-24/ in us-east-1, which hold 2026-11-24T00:00:00Z"}',
  '{"at":2000,"step":"close","says":"records is closed"}',
  '{"at":17000,"step":"load","says":"journals: 9 changes in 2 segments (us-east-1 to 2026-11-24T00:05:00Z, us-east-2 to 2026-11-24T00:05:09Z)"}',
  '{"at":18000,"step":"progress","says":"1 of 2","done":500,"total":1000,"itemsPerS":500,"leftMs":1}',
  '{"at":19000,"step":"progress","says":"2 of 2","done":1000,"total":1000,"itemsPerS":500,"leftMs":0}',
  '{"at":20000,"step":"compare","says":"what is there is what was to be"}',
  '{"at":20500,"step":"open","says":"records is open"}',
  '{"at":21000,"step":"end","says":"done so","ending":"restored","why":"done so","restoreEpoch":20500,"facts":{"records":998},"counts":{"kept":1,"mended":2,"filled":3,"replaced":4},"exitCode":0}',
].join('\n');

test('what a restore said is read step by step, its end, its pace and how far the journals reached', () => {
  const said = restoreSaid(0, SAID);
  assert.equal(said.ending, 'restored');
  assert.equal(said.why, 'done so');
  assert.equal(said.records, 998);
  assert.equal(said.restoreEpoch, 20_500);
  assert.equal(said.counts?.mended, 2);
  assert.equal(stepAt(said, 'open'), 20_500);
  assert.equal(stepAt(said, 'never'), undefined);
  assert.deepEqual(loadPace(said), { items: 998, ms: 3_000, itemsPerS: 998 / 3 });
  assert.deepEqual(paceOf(said), { items: 1_000, ms: 2_000, itemsPerS: 500 });
  assert.deepEqual(
    [...journalsReach(said)],
    [
      ['us-east-1', Date.parse('2026-11-24T00:05:00Z')],
      ['us-east-2', Date.parse('2026-11-24T00:05:09Z')],
    ],
  );
  assert.match(takenFrom(said) ?? '', /^from daily/);
  assert.equal(notTaken(said).length, 1);
});

test('a restore that could not run has no end, and its last words are why', () => {
  const said = restoreSaid(2, 'restore: no Region knows the table');
  assert.equal(said.ending, undefined);
  assert.equal(said.why, 'restore: no Region knows the table');
  assert.equal(paceOf(said), undefined);
  assert.equal(loadPace(said), undefined);
  assert.equal(journalsReach(said).size, 0);
});

test('of bare writes those that are not there any more are lost, and the earliest says how much that was', () => {
  const writes = [
    { key: 'calls/a', answeredAt: 1_000 },
    { key: 'calls/b', answeredAt: 4_000 },
    { key: 'calls/c', answeredAt: 5_500 },
  ];
  const loss = bareLoss(writes, (key) => key === 'calls/a', 5_000);
  assert.equal(loss.acknowledged, 3);
  assert.deepEqual(
    loss.lost.map(({ key }) => key),
    ['calls/b', 'calls/c'],
  );
  assert.equal(loss.oldestMs, 1_000);
  assert.equal(bareLoss(writes, () => true, 5_000).oldestMs, 0);
});

const call = (endedAt: number, ok = true): BareCall => ({
  ...{ kind: 'put', key: 'calls/a', region: 'us-east-2', startedAt: endedAt - 10, endedAt, ok },
});

test('the longest gap between bare successes counts the ends of the stretch, and failures', () => {
  const calls = [call(100), call(300), call(350, false), call(900), call(5_000)];
  assert.deepEqual(bareFacts(calls, 0, 1_000), { calls: 4, failed: 1, longestGapMs: 600 });
  assert.deepEqual(bareFacts([], 0, 1_000), { calls: 0, failed: 0, longestGapMs: 1_000 });
});

test('bare calls try once, keep what was stored, and read it back', async (t) => {
  const stored = new Set<string>();
  const server = createServer((request, response) => {
    const id = request.url?.split('/').at(-1) ?? '';
    if (request.method === 'PUT') {
      assert.equal(request.headers['if-none-match'], '*');
      // Every third is refused, and not tried again.
      response.statusCode = Number(id.slice(1)) % 3 === 0 ? 503 : 201;
      if (response.statusCode === 201) stored.add(id);
    } else response.statusCode = stored.has(id) ? 200 : 404;
    // Every fifth is given back damaged.
    const text = Number(id.slice(1)) % 5 === 0 ? 'damaged' : 'written by a drill';
    request.resume().on('end', () => response.end(JSON.stringify({ payload: { key: `calls/${id}`, text } })));
  });
  const port = await listen(server, 0);
  const load = new BareLoad({
    regions: [{ region: 'us-east-2', endpoint: `http://127.0.0.1:${port}` }],
    token: 'x',
    collection: 'calls',
    perSecond: 200,
    writeShare: 0.6,
    seed: 1,
  });
  t.after(() => {
    load.close();
    server.closeAllConnections();
    server.close();
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  await assert.rejects(load.readBack([]), /stopped/);
  await load.stop();
  assert.ok(load.stored.length > 5);
  assert.ok(load.calls.some(({ ok, status }) => !ok && status === 503));
  const gets = load.calls.filter(({ kind }) => kind === 'get');
  assert.ok(gets.some(({ ok }) => ok));
  for (const { ok, wrong, key } of gets) {
    assert.equal(wrong === true, Number(key.slice('calls/b'.length)) % 5 === 0, key);
    assert.equal(ok, wrong !== true);
  }
  const [forgotten, ...others] = load.stored.map(({ key }) => key);
  stored.delete(forgotten?.split('/')[1] ?? '');
  const there = await load.readBack([forgotten ?? '', ...others]);
  assert.equal(there.has(forgotten ?? ''), false);
  assert.equal(there.size, others.length);
});

const resource = (type: string, properties: Record<string, unknown>): Resource => ({
  ...{ stack: 's', region: 'us-east-1', logicalId: 'L', type, physicalId: 'p', properties },
});
const ALARM = { AlarmName: 'corrupted', AlarmActions: ['arn:aws:sns:us-east-1:0:critical'] };
const deployed =
  (alarm: Record<string, unknown>, topicArn: string) =>
  (type: string): readonly Resource[] =>
    type === 'AWS::CloudWatch::Alarm'
      ? [resource(type, alarm)]
      : [resource(type, { TopicArn: topicArn, Endpoint: 'on-call@example.com' })];
const state: AlarmState = {
  ...{ region: 'us-east-1', name: 'corrupted', description: '', since: 5, why: 'because' },
  state: 'ALARM',
};

test('an alarm reaches those who read its topic; one that acts on nothing, or is switched off, nobody', () => {
  const fired = firedAlarm(state, deployed(ALARM, 'arn:aws:sns:us-east-1:0:critical'));
  assert.deepEqual([fired.topic, fired.people, fired.at], ['critical', 1, 5]);
  assert.equal(firedAlarm(state, deployed(ALARM, 'arn:aws:sns:us-east-1:0:warning')).people, 0);
  const off = { ...ALARM, ActionsEnabled: false };
  assert.equal(firedAlarm(state, deployed(off, 'arn:aws:sns:us-east-1:0:critical')).people, 0);
});

test('what is watched: alarms that fired since, the latest count, and items that the log calls damaged', () => {
  let tell: (event: RehearsalEvent) => void = () => undefined;
  let measure: MetricListener = () => undefined;
  const watch = new StorageWatch(
    {
      state: () => ({ alarms: [state] }),
      deployment: { ofType: deployed(ALARM, 'arn:aws:sns:us-east-1:0:critical') },
      listen(listener) {
        tell = listener;
        return () => undefined;
      },
      measured(listener) {
        measure = listener;
        return () => undefined;
      },
    },
    ['backup_replicas_failed'],
  );
  const changed = (at: number, to: AlarmState['state']) =>
    tell({ type: 'alarm', region: 'us-east-1', name: 'corrupted', why: '', at, state: to });
  changed(100, 'ALARM');
  changed(200, 'OK');
  changed(300, 'ALARM');
  assert.equal(watch.fired('corrupted', 0)?.at, 100);
  assert.equal(watch.fired('corrupted', 150)?.at, 300);
  assert.equal(watch.fired('corrupted', 301), undefined);
  assert.equal(watch.fired('corrupted', 0, 'us-west-2'), undefined);
  assert.equal(watch.fired('another', 0), undefined);

  const point = (name: string, timestampMs: number, value: number) => ({
    ...{ namespace: 'EdenField', name, dimensions: {}, timestampMs, values: [value] },
  });
  measure('us-east-1', [point('backup_replicas_failed', 10, 2), point('requests', 10, 9)]);
  measure('us-west-2', [point('backup_replicas_failed', 20, 1)]);
  assert.deepEqual(watch.latest('backup_replicas_failed', 0, 'us-east-1')?.values, [2]);
  assert.equal(watch.latest('backup_replicas_failed', 11, 'us-east-1'), undefined);
  assert.equal(watch.points.length, 2);

  const log = (at: number, line: string) => tell({ type: 'log', at, from: 'us-east-1', line });
  log(5, '{"message":"an item is damaged","item":"t/notes/a","error":{}}');
  log(9, '{"message":"an item is damaged","item":"t/notes/a","error":{}}');
  log(9, '{"message":"something else","item":"t/notes/b"}');
  assert.deepEqual([...watch.named], [['t/notes/a', 5]]);
  watch.close();
});

test('a queue file is copied with all that stands beside it, in place of whatever was there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'eden-field-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const write = (name: string, text: string) => writeFile(join(folder, name), text);
  await write('a.db', 'data');
  await write('a.db-mark', 'mark');
  await write('ab.db', 'another');
  await write('b.db', 'old');
  await write('b.db-wal', 'old log');
  await copyQueueFile(join(folder, 'a.db'), join(folder, 'b.db'));
  assert.deepEqual((await readdir(folder)).sort(), ['a.db', 'a.db-mark', 'ab.db', 'b.db', 'b.db-mark']);
  assert.equal(await readFile(join(folder, 'b.db'), 'utf8'), 'data');
});

test('sizes are counted as DynamoDB counts them', () => {
  assert.equal(itemBytes({ pk: { S: 'abc' }, n: { N: '1234' }, b: { BOOL: true } }), 5 + (1 + 3) + 2);
  assert.equal(
    itemBytes({ l: { L: [{ S: 'ab' }] }, m: { M: { x: { S: 'y' } } } }),
    1 + 3 + 3 + (1 + 3 + 2 + 1),
  );
});

test('a pace is told for 100 GB and 1 TB; one that was not measured misses', () => {
  const { recovery } = stageConfig('dev');
  const lines = extrapolationLines('pace', { itemsPerS: 1_000, bytesPerItem: 500 }, recovery);
  assert.equal(lines[0]?.promise?.measured, 1_000);
  assert.deepEqual(
    lines.slice(1).map(({ text }) => text),
    // 500 bytes at 1,000, 4,000 and 40,000 a second.
    ['55.6 h, 23 days', '13.9 h, 6 days', '83 min, 13.9 h'],
  );
  assert.equal(extrapolationLines('pace', undefined, recovery)[0]?.promise?.measured, null);
  assert.deepEqual([span(30_000), span(120_000), span(7_200_000)], ['30 s', '2 min', '2.0 h']);
});

const [first, second, third] = [version(100), version(200), version(300)];
const edit = (n: number) => ({ mark: mark('east', n) });
const SPAN = { closedAfter: 2, openedAfter: 3 };
const held = new Map([[KEY, { version: first }]]);

test('what a restore brought back has the history that led to it; what came after it goes on from there', () => {
  const log: readonly Logged[] = [
    logged(1, first, undefined, edit(1)),
    logged(2, second, first, edit(2)),
    // Restored as it was before its second edit, which the client then sends again.
    logged(3, first, undefined, edit(1)),
    logged(4, third, first, edit(2)),
  ];
  const lineage = lineageOf(log, SPAN, held);
  assert.deepEqual(
    lineage.log.map(({ order }) => order),
    [1, 4],
  );
  assert.deepEqual([lineage.restored, lineage.forgotten, lineage.findings.length], [1, 1, 0]);
  const history = withLog(lineage.log, {
    made: [made('east', 1), made('east', 2)],
    sent: [sent('east', 1, 100), sent('east', 2, 300, { base: first })],
  });
  assert.deepEqual(checkHistory(history, sha256).findings, []);
});

test('an edit that the restored table already has and that takes effect again is found', () => {
  const log = [
    logged(1, first, undefined, edit(1)),
    logged(2, second, first, edit(2)),
    logged(3, second, undefined, edit(2)),
    logged(4, third, second, edit(2)),
  ];
  const { log: lived } = lineageOf(log, SPAN, held);
  const history = withLog(lived, {
    made: [made('east', 1), made('east', 2)],
    sent: [
      sent('east', 1, 100),
      sent('east', 2, 200, { base: first }),
      sent('east', 2, 300, { base: second }),
    ],
  });
  assert.deepEqual(
    checkHistory(history, sha256).findings.map(({ rule }) => rule),
    ['duplicated'],
  );
});

test('a record that nobody brought back, and a state that never was, are found', () => {
  const lost = lineageOf([logged(1, first, undefined, edit(1))], SPAN, new Map());
  assert.deepEqual([lost.log.length, lost.forgotten], [0, 1]);
  const history = whole({
    log: lost.log,
    made: [made('east', 1)],
    table: new Map(),
    devices: [],
    reads: [],
    sent: [],
  });
  assert.deepEqual(
    checkHistory(history, sha256).findings.map(({ rule }) => rule),
    ['lost'],
  );
  const strange = lineageOf(
    [logged(1, first, undefined, edit(1)), logged(3, third, undefined, edit(9))],
    SPAN,
    held,
  );
  assert.equal(strange.findings.length, 1);
});

test('a record written between the loss and the closing begins anew; one that is only made whole goes on', () => {
  const log = [
    logged(1, first, undefined, edit(1)),
    logged(2, second, undefined, edit(2)),
    logged(4, third, second, edit(3)),
  ];
  assert.deepEqual(
    lineageOf(log, { closedAfter: 3, openedAfter: 3 }, held).log.map(({ order }) => order),
    [2, 4],
  );
  const mended = [
    logged(1, first, undefined, edit(1)),
    logged(3, first, first, edit(1)),
    logged(4, second, first, edit(2)),
  ];
  assert.deepEqual(
    lineageOf(mended, SPAN, held).log.map(({ order }) => order),
    [1, 4],
  );
});

test('the drawing has a bar for the calls of each Region, and for those that were not served', () => {
  const drawn = {
    history: { made: [], sent: [] },
    regions: ['us-east-2', 'us-west-2'],
    groups: [{ text: 'devices', devices: ['van'] }],
    marks: [{ at: 1_000, text: 'lost', style: 'fault' as const }],
    startedAt: 0,
    endedAt: 10_000,
  };
  const section = backupSection('All lost', drawn, [call(500), call(1_500, false)], ['a note']);
  assert.equal(section.figures.length, 3);
  assert.match(section.figures[0]?.svg ?? '', /class="region-0"/);
  assert.match(section.figures[0]?.svg ?? '', /class="failed"/);
  assert.deepEqual(section.notes, ['a note']);
});
