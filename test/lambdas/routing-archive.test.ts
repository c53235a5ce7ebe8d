// How changes of the routing state reach a region's audit bucket.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRoutingArchive } from '../../lambdas/routing-archive.ts';
import { routingChangeKey } from '../../protocol/routing.ts';
import { MemoryAudit } from './audit-trail.ts';
import { REGIONS, Recorder } from './functions.ts';
import { activeIn } from './who-is-active.ts';

const { primary: P, standby: S } = REGIONS;

test('changes are archived oldest first, each once an environment, and what failed again with the next call', async () => {
  const [audit, telemetry] = [new MemoryAudit(), new Recorder()];
  const archive = createRoutingArchive({ audit, telemetry });
  const change = (epoch: number) =>
    ({
      epoch,
      at: 1,
      what: 'move',
      from: P,
      to: S,
      by: 'operator',
      reason: '',
      votes: [],
      forced: false,
      restoreEpoch: 1,
    }) as const;
  const routing = activeIn(P, 3, { changes: [change(3), change(2), change(1)] });
  const [first, second, third] = [1, 2, 3].map((epoch) => routingChangeKey({ epoch }));
  await archive(undefined);
  audit.down = (call) => call === `put ${second}`;
  await archive(routing);
  assert.deepEqual([...audit.objects.keys()], [first]);
  assert.deepEqual([telemetry.sum('audit_archived'), telemetry.sum('audit_failures')], [1, 1]);
  audit.down = () => false;
  await Promise.all([archive(routing), archive(routing)]);
  assert.deepEqual([...audit.objects.keys()], [first, second, third]);
  await archive(routing);
  assert.equal(audit.calls.length, 4, 'one of them twice, because it failed');
  assert.equal(telemetry.errors.length, 1);
});
