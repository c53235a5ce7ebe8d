// What the supervisor remembers of a region across its death.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Child, type ChildOptions, Children } from '../../rehearsal/supervisor/children.ts';
import type { FromRegionProcess, RegionProcessOptions } from '../../rehearsal/supervisor/messages.ts';
import { Network } from '../../rehearsal/supervisor/network.ts';
import { RegionRunner } from '../../rehearsal/supervisor/region-runner.ts';

/** A region's process that is none: what it was started with, and what it says. */
class FakeChildren extends Children {
  readonly started: RegionProcessOptions[] = [];
  say: (message: FromRegionProcess) => void = () => undefined;

  override async start<Message extends { readonly type: string }, Send = never>(
    options: ChildOptions<Message>,
  ): Promise<{ child: Child<Send>; ready: Extract<Message, { type: 'ready' }> }> {
    this.started.push(options.options as RegionProcessOptions);
    this.say = (message) => options.onMessage(message as FromRegionProcess & Message);
    const ready = { type: 'ready', endpoints: [] } as never;
    return { child: { pid: 0, send() {}, signal() {}, async end() {} }, ready };
  }
}

test('event source mappings go on where they were when their region comes back', async (t) => {
  const children = new FakeChildren();
  t.after(() => children.endAll());
  const regions = ['us-east-2', 'us-west-2'];
  const network = await Network.open({
    regions,
    serving: [],
    roundTripMs: () => 0,
    firstPort: 0,
    onRegionLinks: () => undefined,
  });
  t.after(() => network.close());
  const runner = new RegionRunner({
    plan: { region: 'us-east-2', role: 'primary' },
    processOptions: {
      assemblyDir: '',
      account: '',
      region: 'us-east-2',
      awsEndpoint: '',
      substitutions: { jwtKeySet: '' },
    },
    children,
    network,
    setReplica: () => undefined,
    onCondition: () => undefined,
    onTraffic: () => undefined,
    onMetrics: () => undefined,
    onLine: () => undefined,
    now: Date.now,
  });
  await runner.start('started');
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
