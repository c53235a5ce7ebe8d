// What can be done to a region, in which state, and what the supervisor remembers of it across its death.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type Child, type ChildOptions, Children } from '../../rehearsal/supervisor/children.ts';
import type {
  FromRegionProcess,
  RegionProcessOptions,
  ToRegionProcess,
} from '../../rehearsal/supervisor/messages.ts';
import { Network } from '../../rehearsal/supervisor/network.ts';
import { FaultRefused, RegionRunner } from '../../rehearsal/supervisor/region-runner.ts';
import { FAULTS, type Fault, type RegionCondition } from '../../rehearsal/supervisor/state.ts';
import { PRIMARY, STANDBY } from './fake-deployment.ts';

/** A region's process that is none: what it was started with and told, and what it says. */
class FakeChildren extends Children {
  readonly started: RegionProcessOptions[] = [];
  readonly told: (ToRegionProcess | NodeJS.Signals)[] = [];
  say: (message: FromRegionProcess) => void = () => undefined;
  /** Of each process started: it has ended. */
  readonly ends: ((why: string) => void)[] = [];
  broken = false;

  override async start<Message extends { readonly type: string }, Send = never>(
    options: ChildOptions<Message>,
  ): Promise<{ child: Child<Send>; ready: Extract<Message, { type: 'ready' }> }> {
    this.started.push(options.options as RegionProcessOptions);
    if (this.broken) throw new Error('it ended before it was ready');
    this.say = (message) => options.onMessage(message as FromRegionProcess & Message);
    this.ends.push(options.onEnd);
    const ready = { type: 'ready', endpoints: [{ apiPhysicalId: 'api', port: 1 }] } as never;
    const child: Child<Send> = {
      pid: 0,
      send: (message) => void this.told.push(message as ToRegionProcess),
      signal: (signal) => void this.told.push(signal),
      async end() {
        await turn();
      },
    };
    return { child, ready };
  }
}

async function regionOf(t: TestContext, plan: { apiPhysicalId?: string } = { apiPhysicalId: 'api' }) {
  const children = new FakeChildren();
  t.after(() => children.endAll());
  const network = await Network.open({
    regions: [PRIMARY, STANDBY],
    serving: [PRIMARY],
    roundTripMs: () => 0,
    firstPort: 0,
    onRegionLinks: () => undefined,
  });
  t.after(() => network.close());
  const replicas: boolean[] = [];
  const conditions: RegionCondition[] = [];
  const runner = new RegionRunner({
    plan: { region: PRIMARY, role: 'primary', ...plan },
    processOptions: {
      assemblyDir: '',
      account: '',
      region: PRIMARY,
      awsEndpoint: '',
      substitutions: { jwtKeySet: '', probes: {} },
    },
    children,
    network,
    setReplica: (_, up) => replicas.push(up),
    onCondition: (condition) => conditions.push(condition),
    onTraffic: () => undefined,
    onMetrics: () => undefined,
    onLine: () => undefined,
    now: Date.now,
  });
  await runner.start('started');
  const cut = (from: string) => network.link(from, PRIMARY)?.conditions.cut;
  return { children, runner, replicas, conditions, cut };
}

test('event source mappings go on where they were when their region comes back', async (t) => {
  const { children, runner } = await regionOf(t);
  assert.equal(children.started[0]?.checkpoints, undefined, 'a first run begins where the mapping says');
  await runner.fault('kill');
  await runner.fault('revive');
  assert.deepEqual(children.started[1]?.checkpoints, {}, 'a later one knows that it is not the first');
  for (const [mappingId, sequenceNumber] of [
    ['one', '1'],
    ['two', '1'],
    ['one', '2'],
  ] as const)
    children.say({ type: 'checkpoint', mappingId, sequenceNumber });
  await runner.fault('kill');
  await runner.fault('revive');
  assert.deepEqual(children.started[2]?.checkpoints, { one: '2', two: '1' });
});

const BROKEN: readonly (readonly [Fault, RegionCondition])[] = [
  ['kill', 'dead'],
  ['outage', 'out'],
  ['freeze', 'frozen'],
  ['isolate', 'isolated'],
  ['partition', 'partitioned'],
  ['gray', 'gray'],
  ['hollow', 'hollow'],
];

for (const [fault, condition] of BROKEN)
  test(`after "${fault}" only what still makes sense can be done, and a revival undoes it`, async (t) => {
    const { runner, cut, replicas } = await regionOf(t);
    assert.ok((await runner.fault(fault)) > 0);
    assert.equal(runner.state.condition, condition);
    const isGone = condition === 'dead' || condition === 'out';
    for (const next of FAULTS.filter((it) => it !== 'revive' && (isGone || !['kill', 'outage'].includes(it))))
      await assert.rejects(runner.fault(next), (error: Error) => {
        assert.ok(error instanceof FaultRefused);
        assert.match(error.message, new RegExp(`^${PRIMARY} is ${condition}.*revive it first$`));
        return true;
      });
    assert.equal(runner.state.condition, condition, 'what was refused did nothing');
    await runner.fault('revive');
    assert.equal(runner.state.condition, 'running');
    assert.deepEqual([cut('client'), cut(STANDBY)], [false, false]);
    assert.equal(replicas.at(-1), true);
    await assert.rejects(runner.fault('revive'), FaultRefused);
    if (isGone) return;
    await runner.fault(fault);
    await runner.fault('outage');
    assert.equal(runner.state.condition, 'out', 'a region that is ill can still be lost');
  });

test('an outage leaves silence, a kill refusals', async (t) => {
  const { runner, cut, replicas, children } = await regionOf(t);
  await runner.fault('outage');
  assert.deepEqual([cut('client'), cut('checkers'), cut(STANDBY)], [true, true, true]);
  assert.deepEqual([replicas.at(-1), children.told.at(-1)], [false, 'SIGKILL']);
  await runner.fault('revive');
  await runner.fault('kill');
  assert.deepEqual([cut('client'), cut('checkers'), cut(STANDBY)], [false, false, false]);
  await assert.rejects(fetch(runner.state.endpoint ?? ''));
});

test('a gray region is told so and told when it is over; one that serves nobody cannot be', async (t) => {
  const { runner, children, cut } = await regionOf(t);
  await runner.fault('gray');
  assert.deepEqual(children.told, [{ type: 'gray', gray: true }]);
  assert.deepEqual([cut('client'), cut(STANDBY)], [false, false]);
  await runner.fault('revive');
  assert.deepEqual(children.told.slice(0, 2), [
    { type: 'gray', gray: true },
    { type: 'gray', gray: false },
  ]);
  const quorum = await regionOf(t, {});
  await assert.rejects(quorum.runner.fault('gray'), /serves nobody/);
  assert.equal(quorum.runner.state.condition, 'running');
});

test('a hollow region is a gray one whose readiness answers too', async (t) => {
  const { runner, children } = await regionOf(t);
  await runner.fault('hollow');
  await runner.fault('revive');
  assert.deepEqual(children.told.slice(0, 2), [
    { type: 'gray', gray: true, spared: 'health and ready' },
    { type: 'gray', gray: false },
  ]);
  await assert.rejects((await regionOf(t, {})).runner.fault('hollow'), /serves nobody/);
});

test('one that is revived into a partition reaches clients and no other region, until it is revived again', async (t) => {
  const { runner, cut, replicas, conditions } = await regionOf(t);
  await runner.fault('outage');
  await runner.fault('revive', 'partition');
  assert.deepEqual([cut('client'), cut(STANDBY), replicas.at(-1)], [false, true, true]);
  assert.deepEqual(conditions.slice(-2), ['starting', 'partitioned'], 'it was never whole in between');
  await runner.fault('revive');
  assert.deepEqual([cut(STANDBY), runner.state.condition], [false, 'running']);
});

test('a process whose end is told late does not take its successor with it', async (t) => {
  const { runner, children, conditions } = await regionOf(t);
  await runner.fault('kill');
  const reviving = runner.fault('revive');
  children.ends[0]?.('ended by SIGKILL');
  await reviving;
  children.ends[0]?.('ended by SIGKILL');
  assert.deepEqual(conditions, ['starting', 'running', 'dead', 'starting', 'running']);
  children.ends[1]?.('ended with 1');
  assert.equal(runner.state.condition, 'dead', 'its own end is another matter');
});

test('a region is revived once, whoever else asks meanwhile', async (t) => {
  const { runner, children } = await regionOf(t);
  await runner.fault('kill');
  const reviving = runner.fault('revive');
  await assert.rejects(runner.fault('revive'), /is starting: wait until it runs/);
  await assert.rejects(runner.fault('kill'), /is starting: wait until it runs/);
  await reviving;
  assert.equal(children.started.length, 2);
});

test('a region that does not come back stays dead, without its copy of the data', async (t) => {
  const { runner, children, replicas } = await regionOf(t);
  await runner.fault('kill');
  children.broken = true;
  await assert.rejects(runner.fault('revive'), /before it was ready/);
  assert.equal(runner.state.condition, 'dead');
  assert.equal(replicas.at(-1), false);
});

test('a schedule is run by the region that runs, and its end, its error or the end of the region is heard', async (t) => {
  const { children, runner } = await regionOf(t);
  const asked = () =>
    children.told.flatMap((it) => (typeof it === 'object' && it.type === 'run' ? [it] : []));
  const good = runner.runSchedule('verification', 7);
  assert.deepEqual(asked(), [{ type: 'run', id: 0, schedule: 'verification', atMs: 7 }]);
  const bad = runner.runSchedule('nonsense', 7);
  children.say({ type: 'ran', id: 1, outcome: { error: 'a schedule is one of …', refused: true } });
  children.say({ type: 'ran', id: 0, outcome: { answer: null } });
  await good;
  await assert.rejects(bad, { name: 'RangeError', message: 'a schedule is one of …' });
  const failing = runner.runSchedule('sweeper', 7);
  children.say({ type: 'ran', id: 2, outcome: { error: 'sweeper failed: …', refused: false } });
  await assert.rejects(failing, { name: 'Error', message: 'sweeper failed: …' });

  const cutShort = runner.runSchedule('verification', 7);
  const isCutShort = assert.rejects(cutShort, { message: `region ${PRIMARY} has ended` });
  await runner.fault('kill');
  await isCutShort;
  await assert.rejects(runner.runSchedule('verification', 7), FaultRefused);
  await runner.fault('revive');
  const again = runner.runSchedule('verification', 8);
  children.say({ type: 'ran', id: 0, outcome: { answer: null } });
  await again;
  await runner.fault('freeze');
  await assert.rejects(runner.runSchedule('verification', 9), /is frozen: its schedules call nothing/);
});
