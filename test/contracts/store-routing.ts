// The store's contract on failover: the routing state changes once per epoch whoever races for it, a report stands for
// one look, and a job never runs again under an older epoch.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REPORT_AHEAD_MS_MAX } from '../../lambdas/core/failover.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { observerKey, ROUTING_KEY } from '../../protocol/items.ts';
import {
  nextRouting,
  type ObserverReport,
  type RoutingState,
  type RoutingStep,
} from '../../protocol/routing.ts';
import { DamagedItemError } from '../../protocol/routing-items.ts';
import type { StoreSubject } from './store-subject.ts';

const T = 1_800_000_000_000;
const [A, B] = ['us-east-2', 'us-west-2'];
const MOVE: RoutingStep = {
  what: 'move',
  from: A,
  to: B,
  by: 'observers',
  reason: 'two of three',
  votes: [{ observer: B, against: A, epoch: 0, at: T, emergency: true, why: 'refused' }],
  forced: false,
};
const at = (nowMs: number) => ({ nowMs, restoreEpoch: 7 });

export function storeRoutingCases(on: StoreSubject): void {
  test('the routing state is undefined, then what it was changed to, one change after the other', async () => {
    assert.equal(await on.store.routing(), undefined);
    const moved = nextRouting(undefined, MOVE, at(T));
    assert.equal(await on.store.changeRouting(undefined, moved), true);
    assert.deepEqual(await on.store.routing(), moved);
    const back: RoutingStep = {
      ...MOVE,
      from: B,
      to: A,
      by: 'operator',
      reason: '',
      votes: [],
      forced: true,
    };
    const draining = nextRouting(moved, { ...back, what: 'drain' }, at(T + 1));
    assert.equal(await on.store.changeRouting(moved, draining), true);
    assert.deepEqual(await on.store.routing(), draining);
    const home = nextRouting(draining, back, at(T + 2));
    assert.equal(await on.store.changeRouting(draining, home), true);
    assert.deepEqual(await on.store.routing(), home, 'and the drain is over');
  });

  test('a change of what does not stand any more is refused, and writes nothing', async () => {
    const stands = await on.store.routing();
    const stale = nextRouting(undefined, MOVE, at(T + 1_000));
    assert.equal(await on.store.changeRouting(undefined, stale), false, 'there is an item');
    const older: RoutingState = { ...stale, epoch: 1, activeRegion: A };
    assert.equal(await on.store.changeRouting(older, nextRouting(older, MOVE, at(T + 1_000))), false);
    assert.deepEqual(await on.store.routing(), stands);
  });

  test('of those who change one state at the same time, from any region, one does', async () => {
    const stands = (await on.store.routing()) ?? assert.fail('expected a state');
    const outcomes = await Promise.all(
      [...on.engine.regions, ...on.engine.regions].map((region, n) =>
        on
          .storeIn(region)
          .changeRouting(stands, nextRouting(stands, { ...MOVE, reason: `${n}` }, at(T + 2_000 + n)))
          .catch((error: unknown) => {
            assert.ok(error instanceof StoreUnavailableError && !error.mayHaveLanded, String(error));
            return false;
          }),
      ),
    );
    assert.equal(outcomes.filter(Boolean).length, 1);
    const after = await on.store.routing();
    assert.equal(after?.reason, String(outcomes.indexOf(true)));
    assert.equal(after?.changes.length, stands.changes.length + 1);
  });

  test('an item from before there were reasons is read, and can be changed', async () => {
    await on.putItem(ROUTING_KEY, { activeRegion: { S: A }, epoch: { N: '12' } });
    const old = (await on.store.routing()) ?? assert.fail('expected a state');
    assert.deepEqual([old.activeRegion, old.epoch, old.since, old.changes], [A, 12, 0, []]);
    assert.equal(await on.store.changeRouting(old, nextRouting(old, MOVE, at(T))), true);
    assert.equal((await on.store.routing())?.activeRegion, B);
  });

  test('a damaged routing item is an error, not a state', async () => {
    await on.putItem(ROUTING_KEY, { activeRegion: { S: A }, epoch: { S: 'twelve' } });
    await assert.rejects(on.store.routing(), DamagedItemError);
  });

  const reportOf = (
    observer: string,
    slotMs: number,
    over: Partial<ObserverReport> = {},
  ): ObserverReport => ({
    observer,
    slotMs,
    at: slotMs + 1,
    watched: { [A]: { failures: 2, since: slotMs, why: 'refused' } },
    ...over,
  });

  test('observers’ reports come back in the order asked for, those that there are', async () => {
    assert.deepEqual(await on.store.observerReports(['o-1', 'o-2']), []);
    const second = reportOf('o-2', T, { abstains: 'cut off' });
    const first = reportOf('o-1', T, {
      vote: { observer: 'o-1', against: A, epoch: 3, at: T, emergency: false, why: 'silent' },
    });
    for (const report of [second, first]) assert.equal(await on.store.saveObserverReport(report), true);
    assert.deepEqual(await on.store.observerReports(['o-1', 'none', 'o-2']), [first, second]);
  });

  test('a report of the same slot or an earlier one changes nothing', async () => {
    const standing = reportOf('o-3', T);
    assert.equal(await on.store.saveObserverReport(standing), true);
    for (const slotMs of [T, T - 15_000, T - REPORT_AHEAD_MS_MAX])
      assert.equal(await on.store.saveObserverReport(reportOf('o-3', slotMs, { watched: {} })), false);
    assert.deepEqual(await on.store.observerReports(['o-3']), [standing]);
    assert.equal(await on.store.saveObserverReport(reportOf('o-3', T + 15_000)), true);
  });

  test('a report that a clock far ahead left behind does not silence its observer', async () => {
    await on.store.saveObserverReport(reportOf('o-4', T + REPORT_AHEAD_MS_MAX + 15_000));
    assert.equal(await on.store.saveObserverReport(reportOf('o-4', T + 15_000)), false);
    assert.equal(await on.store.saveObserverReport(reportOf('o-4', T)), true);
    assert.equal((await on.store.observerReports(['o-4']))[0]?.slotMs, T);
  });

  test('a damaged report is an error', async () => {
    await on.putItem(observerKey('o-5'), { slotMs: { N: '1' }, report: { S: '{}' } });
    await assert.rejects(on.store.observerReports(['o-5']), DamagedItemError);
  });

  test('a job is entered again under the same epoch or a later one, and never under an older', async () => {
    const enter = (epoch: number, region = A) => on.store.enterJob('sweep', { epoch, region, at: T });
    assert.equal(await enter(0), true);
    assert.equal(await enter(0), true);
    assert.equal(await enter(T, B), true);
    assert.equal(await enter(T - 1), false);
    assert.equal(await enter(0), false);
    assert.equal(await on.store.enterJob('trim', { epoch: 0, region: A, at: T }), true, 'jobs are apart');
    assert.equal(await enter(T + 1), true);
  });
}
