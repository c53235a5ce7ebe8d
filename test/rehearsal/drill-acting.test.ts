// The hands and the eye of a failover drill, on two small stand-ins for regions and a routing state that a test writes;
// and the copy of an assembly that has no observers.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { HEADERS } from '../../protocol/messages.ts';
import type { ObserverReport, RoutingState } from '../../protocol/routing.ts';
import { Acting } from '../../rehearsal/drills/failover/acting.ts';
import { Watch } from '../../rehearsal/drills/failover/watch.ts';
import { Stopping } from '../../rehearsal/drills/stopping.ts';
import { DrillError, type DrilledSystem } from '../../rehearsal/drills/system.ts';
import { withoutObservers } from '../../rehearsal/drills/unobserved.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';
import { answering, localRegion } from '../client/regions.ts';

const MOVED: RoutingState = {
  activeRegion: 'west',
  epoch: 1,
  since: 1,
  reason: 'drill',
  restoreEpoch: 0,
  changes: [],
};

/** Probes far closer together than any stage's, so that a test need not wait. */
const CONFIG = { ...stageConfig('dev'), observers: { probeIntervalMs: 20, probeFailures: 3 } };

async function drilled(t: TestContext, over: Partial<DrilledSystem> = {}) {
  const east = await localRegion();
  const west = await localRegion();
  const faults: string[] = [];
  const system: DrilledSystem = {
    regions: [
      { region: 'east', role: 'primary', endpoint: east.url },
      { region: 'west', role: 'standby', endpoint: west.url },
    ],
    token: async () => 'token',
    async fault(region, fault, into) {
      faults.push([region, fault, ...(into ? ['into', into] : [])].join(' '));
      return performance.timeOrigin + performance.now();
    },
    routing: async () => undefined,
    quorum: 'third',
    observers: ['east', 'west', 'third'],
    paging: () => [],
    reports: () => undefined,
    cutWay(from, to, cut) {
      faults.push(`${from} to ${to} ${cut ?? 'open'}`);
      return performance.timeOrigin + performance.now();
    },
    disableLatch: (disabled) => void faults.push(`latch ${disabled ? 'off' : 'on'}`),
    operator: async () => ({ code: 0, said: 'done\n' }),
    broken: new Promise(() => undefined),
    ...over,
  };
  const watch = new Watch(system);
  t.after(async () => {
    await watch.stop();
    await Promise.all([east.kill(), west.kill()]);
  });
  const steps: string[] = [];
  const served: { by?: string } = {};
  const acting = new Acting({
    config: CONFIG,
    system,
    stopping: new Stopping(system, undefined),
    watch,
    dnsServedBy: () => served.by,
    dnsWithinMs: undefined,
    signal: undefined,
    step: (text) => steps.push(text),
  });
  return { east, west, faults, watch, acting, steps, served, system };
}

test('outages count from the first fault or order, revivals from the last', async (t) => {
  const { acting, faults } = await drilled(t);
  await acting.fault('primary', 'gray');
  const { faultAt } = acting;
  await acting.fault('standby', 'gray');
  await acting.revive('standby');
  await acting.revive('primary');
  assert.deepEqual(faults, ['east gray', 'west gray', 'west revive', 'east revive']);
  assert.equal(acting.faultAt, faultAt);
  assert.ok((acting.seen.revivedAt ?? 0) > (faultAt ?? 0));
  assert.deepEqual(
    acting.marks.map(({ text }) => text),
    ['gray', 'gray', 'revived', 'revived'],
  );
});

test('all revivals are remembered, also into a partition, and when the latch in DNS was taken away and put back', async (t) => {
  const { acting, faults } = await drilled(t);
  await acting.fault('primary', 'outage');
  await acting.revive('primary', 'partition');
  await acting.revive('primary');
  acting.latch('disable');
  acting.latch('enable');
  assert.deepEqual(faults, [
    'east outage',
    'east revive into partition',
    'east revive',
    'latch off',
    'latch on',
  ]);
  const { revivals, revivedAt, latchDisabledAt = 0, latchEnabledAt = 0 } = acting.seen;
  assert.deepEqual([revivals.length, revivals[1]], [2, revivedAt]);
  assert.ok(latchDisabledAt >= (revivedAt ?? 0) && latchEnabledAt >= latchDisabledAt);
});

test('it waits for what it is told to see, and gives up in time on what never comes', async (t) => {
  let routing: RoutingState | undefined;
  const { acting, served } = await drilled(t, { routing: async () => routing });
  const from = performance.now();
  await acting.untilActive('standby', 150);
  assert.ok(performance.now() - from >= 150);
  assert.deepEqual(acting.marks, []);
  routing = MOVED;
  await acting.untilActive('standby', 10_000);
  served.by = 'west';
  await acting.untilDnsServedBy('standby', 10_000);
  assert.deepEqual(
    acting.marks.map(({ text }) => text),
    ['west active', 'DNS-only served by west'],
  );
});

test('ways cut one by one are healed together, and count as fault and revival', async (t) => {
  const { acting, faults } = await drilled(t);
  acting.cutWay('quorum', 'primary', 'questions');
  acting.cutWay('quorum', 'standby', 'everything');
  assert.ok(acting.faultAt);
  acting.healWays();
  acting.healWays();
  assert.deepEqual(faults, [
    'third to east questions',
    'third to west everything',
    'third to east open',
    'third to west open',
  ]);
  assert.ok((acting.seen.revivedAt ?? 0) >= (acting.faultAt ?? 0));
});

test('the region that only votes is cut off like another, where there is one', async (t) => {
  const three = await drilled(t);
  await three.acting.fault('quorum', 'partition');
  await three.acting.revive('quorum');
  assert.deepEqual(three.faults, ['third partition', 'third revive']);
  const two = await drilled(t, { quorum: undefined });
  await assert.rejects(two.acting.fault('quorum', 'partition'), /there is no quorum region/);
});

test('it waits for one region to page, whoever else does', async (t) => {
  let paging: readonly string[] = ['east'];
  const { acting } = await drilled(t, { paging: () => paging });
  await acting.untilPaging('quorum', 150);
  assert.deepEqual(acting.marks, []);
  paging = ['east', 'third'];
  await acting.untilPaging('quorum', 10_000);
  assert.deepEqual(
    acting.marks.map(({ text }) => text),
    ['third pages'],
  );
});

test('a look says who votes and who abstains by fresh reports, and nothing while nobody can read them', async (t) => {
  const report = (observer: string, ageMs: number, over: Partial<ObserverReport> = {}): ObserverReport => {
    const at = Date.now() - ageMs;
    return { observer, slotMs: at, at, watched: {}, ...over };
  };
  const vote = { observer: '', against: 'east', epoch: 0, at: 0, emergency: false, why: '' };
  let reports: readonly ObserverReport[] | undefined;
  const { acting, watch } = await drilled(t, { reports: () => reports });
  await acting.pause(50);
  assert.equal('reported' in (watch.latest ?? {}), false);
  reports = [
    report('east', 0),
    report('west', 0, { vote }),
    report('third', 0, { vote, abstains: 'cut off' }),
    report('gone', 60_000, { vote }),
  ];
  await acting.pause(1_100);
  assert.deepEqual(watch.latest?.reported, { voting: ['west'], abstaining: ['third'] });
});

test('without a client that knows only a name nobody waits for it', async (t) => {
  const { acting, steps } = await drilled(t);
  await acting.untilDnsServedBy('standby', undefined);
  assert.deepEqual(steps, []);
});

test('a region is verified by two good answers in a row, and not by one between bad ones', async (t) => {
  const { acting, west } = await drilled(t);
  const answers = [503, 200, 503, 200, 200];
  west.behaviour = (...args) => answering(answers.shift() ?? 500)(...args);
  await acting.untilVerified('standby', 10_000);
  assert.ok(acting.seen.verifiedAt);
  assert.deepEqual(answers, []);
  west.behaviour = answering(503);
  await acting.untilVerified('standby', 60);
  assert.equal(acting.seen.verifiedAt, null);
});

test('the eye sees an evacuated region apart from a failing one, and who pages', async (t) => {
  const paging = ['third'];
  const { east, watch, acting } = await drilled(t, { routing: async () => MOVED, paging: () => paging });
  east.health = answering(503, { [HEADERS.evacuated]: 'true' });
  await acting.pause(1_200);
  assert.equal(watch.latest?.health['east'], 'evacuated');
  assert.equal(watch.latest?.health['west'], 'ok');
  assert.equal(watch.latest?.active, 'west');
  assert.deepEqual(watch.latest?.paging, ['third']);
  assert.equal('leadsTo' in (watch.latest ?? {}), false);
});

test('a table that cannot be read leaves a look without who is active', async (t) => {
  const { watch, acting } = await drilled(t, { routing: () => Promise.reject(new Error('cut off')) });
  await acting.pause(50);
  assert.ok(watch.latest);
  assert.equal('active' in watch.latest, false);
});

test('an order is run with its words, and its end is kept', async (t) => {
  const ran: unknown[] = [];
  const { acting, steps } = await drilled(t, {
    async operator(command, args) {
      ran.push([command, ...args]);
      return { code: 1, said: 'look 1\nrefused: too soon\n' };
    },
  });
  await acting.order('failback', ['--yes']);
  assert.deepEqual(ran, [['failback', '--yes']]);
  const [order] = acting.seen.orders;
  assert.equal(order?.code, 1);
  assert.equal(acting.faultAt, order?.at);
  assert.equal(steps.at(-1), 'failback ended with 1: refused: too soon');
});

test('when the system breaks down every wait ends without a verdict', async (t) => {
  const never = () => new Promise<never>(() => undefined);
  const gone = { broken: Promise.resolve(new Error('gone')), fault: never, operator: never };
  const { acting } = await drilled(t, gone);
  await assert.rejects(acting.untilActive('standby', 10_000), DrillError);
  await assert.rejects(acting.fault('primary', 'kill'), /broke down by itself: gone/);
  await assert.rejects(acting.order('failback', []), /broke down by itself: gone/);
});

async function assemblyWith(t: TestContext, schedules: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'eden-field-'));
  t.after(() => rm(folder, { recursive: true }));
  const Resources = Object.fromEntries(
    schedules.map((Name, n) => [
      `S${n}`,
      { Type: 'AWS::Scheduler::Schedule', Properties: { Name, State: 'ENABLED' } },
    ]),
  );
  await writeFile(join(folder, 'a.template.json'), JSON.stringify({ Resources }));
  await writeFile(join(folder, 'manifest.json'), '{}');
  return folder;
}

test('without observers only their schedules are disabled, and the assembly itself stays as it was', async (t) => {
  const whole = await assemblyWith(t, ['eden-field-dev-observer', 'eden-field-dev-sweeper']);
  const before = await readFile(join(whole, 'a.template.json'), 'utf8');
  const copy = await withoutObservers(whole);
  t.after(() => rm(copy, { recursive: true }));
  const { Resources } = JSON.parse(await readFile(join(copy, 'a.template.json'), 'utf8'));
  assert.equal(Resources.S0.Properties.State, 'DISABLED');
  assert.equal(Resources.S1.Properties.State, 'ENABLED');
  assert.deepEqual((await readdir(copy)).sort(), ['a.template.json', 'manifest.json']);
  assert.equal(await readFile(join(whole, 'a.template.json'), 'utf8'), before);
});

test('an assembly in which nothing calls an observer is refused', async (t) => {
  const none = await assemblyWith(t, ['eden-field-dev-sweeper']);
  await assert.rejects(withoutObservers(none), /no schedule there calls an observer/);
});
