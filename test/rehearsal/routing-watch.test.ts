// What a rehearsal shows of who is active, and what of it is news.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observerKey, ROUTING_KEY, type StoredItem } from '../../protocol/items.ts';
import { nextRouting, type ObserverReport, type RoutingState, type Vote } from '../../protocol/routing.ts';
import { reportItemOf, routingItemOf } from '../../protocol/routing-items.ts';
import { RoutingWatch } from '../../rehearsal/supervisor/routing-watch.ts';
import type { RegionCondition, RehearsalEvent } from '../../rehearsal/supervisor/state.ts';
import { PRIMARY, QUORUM, STANDBY } from './fake-deployment.ts';

const NOW = 1_000_000;
const vote = (observer: string, at: number): Vote => ({
  observer,
  against: PRIMARY,
  epoch: 0,
  at,
  emergency: false,
  why: 'no answer',
});
const report = (observer: string, cast?: Vote): ObserverReport => ({
  observer,
  slotMs: NOW,
  at: NOW,
  watched: { [PRIMARY]: { failures: cast ? 3 : 0, since: NOW, why: 'no answer' } },
  ...(cast && { vote: cast }),
});
const moved = (previous: RoutingState | undefined, from: string, to: string, nowMs: number) =>
  nextRouting(
    previous,
    { what: 'move', from, to, by: 'observers', reason: `${from} is gone`, votes: [], forced: false },
    { nowMs, restoreEpoch: 1 },
  );

function watched() {
  let table: StoredItem[] = [];
  let fails: Error | undefined;
  const conditions = new Map<string, RegionCondition>();
  const events: RehearsalEvent[] = [];
  const asked: string[] = [];
  const watch = new RoutingWatch({
    primary: PRIMARY,
    regions: () =>
      (
        [
          [PRIMARY, 'primary'],
          [STANDBY, 'standby'],
          [QUORUM, 'quorum'],
        ] as const
      ).map(([region, role]) => ({ region, role, condition: conditions.get(region) ?? 'running' })),
    async read(region, keys) {
      asked.push(region);
      assert.deepEqual(keys, [ROUTING_KEY, ...[PRIMARY, STANDBY, QUORUM].map(observerKey)]);
      if (fails) throw fails;
      return table;
    },
    timeline: { add: (event) => void events.push(event) },
    now: () => NOW,
  });
  return {
    watch,
    events,
    asked,
    conditions,
    /** The table as it is now. */
    holds(state: RoutingState | undefined, ...reports: readonly ObserverReport[]) {
      table = reports.map((it) => ({ pk: { S: observerKey(it.observer).pk }, ...reportItemOf(it) }));
      if (state) table.push({ pk: { S: ROUTING_KEY.pk }, ...routingItemOf(state) });
    },
    fail(error: Error | undefined) {
      fails = error;
    },
  };
}

test('the primary is active while nothing ever changed', async () => {
  const { watch, events } = watched();
  assert.equal(watch.view, undefined);
  await watch.look();
  assert.deepEqual(watch.view, {
    activeRegion: PRIMARY,
    epoch: 0,
    since: 0,
    reason: '',
    changes: [],
    reports: [],
    readIn: STANDBY,
    readAt: NOW,
  });
  assert.deepEqual(events, []);
});

test('votes and changes become events once, the change after the votes that made it', async () => {
  const { watch, events, holds } = watched();
  holds(undefined, report(STANDBY), report(QUORUM, vote(QUORUM, 10)));
  await watch.look();
  const first = moved(undefined, PRIMARY, STANDBY, 30);
  holds(first, report(STANDBY, vote(STANDBY, 20)), report(QUORUM, vote(QUORUM, 25)));
  await watch.look();
  await watch.look();
  assert.deepEqual(
    events.map((event) => [event.type, event.at]),
    [
      ['vote', 10],
      ['vote', 20],
      ['routingChange', 30],
    ],
    'a vote that is repeated is no news',
  );
  assert.equal(watch.view?.activeRegion, STANDBY);
  assert.equal(watch.view?.reason, `${PRIMARY} is gone`);
  assert.equal(watch.view?.reports.length, 2);
  const back = moved(moved(first, STANDBY, PRIMARY, 40), PRIMARY, STANDBY, 50);
  holds(back);
  await watch.look();
  assert.deepEqual(
    events.slice(3).map(({ at }) => at),
    [40, 50],
    'what happened between two looks, the oldest first',
  );
});

test('it asks a region that is well, and keeps what it knew while none is', async () => {
  const { watch, asked, conditions, holds } = watched();
  holds(moved(undefined, PRIMARY, STANDBY, 30));
  for (const [region, condition] of [
    ['nobody', 'out'],
    [STANDBY, 'partitioned'],
    [QUORUM, 'frozen'],
    [PRIMARY, 'gray'],
  ] as const) {
    conditions.set(region, condition);
    await watch.look();
  }
  conditions.set(PRIMARY, 'dead');
  await watch.look();
  assert.deepEqual(asked, [STANDBY, QUORUM, PRIMARY, PRIMARY]);
  assert.equal(watch.view?.activeRegion, STANDBY);
});

test('a copy that lags behind takes nothing back', async () => {
  const { watch, events, holds } = watched();
  const state = moved(undefined, PRIMARY, STANDBY, 30);
  holds(state);
  await watch.look();
  holds(undefined);
  await watch.look();
  assert.equal(watch.view?.activeRegion, STANDBY);
  assert.equal(events.length, 1);
});

test('what cannot be read is said once, and the last view stays', async () => {
  const { watch, events, holds, fail } = watched();
  holds(moved(undefined, PRIMARY, STANDBY, 30));
  await watch.look();
  fail(new Error('no answer'));
  await watch.look();
  await watch.look();
  const lines = events.flatMap((event) => (event.type === 'log' ? [event.line] : []));
  assert.deepEqual(lines, [`who is active could not be read in ${STANDBY}: no answer`]);
  assert.equal(watch.view?.activeRegion, STANDBY);
});
