// What observers make of time and of lost answers: looks that overtake each other, looks at once, writes that landed
// without anybody saying so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import { routingItemOf, routingStateOf } from '../../protocol/routing-items.ts';
import { outcomeOf, SLOT_MS, START } from './failover-world.ts';
import { REGIONS } from './functions.ts';
import { aboutToMove, busy, Scenery, type Table, valuesOf } from './watch-scenery.ts';

const { primary: P, standby: S, quorum: Q } = REGIONS;

test('a look whose probes take longer than a slot is counted before the next, too', async () => {
  const it = new Scenery();
  it.seen[P] = 'not_ready';
  let release = () => {};
  const slow = new Promise<void>((resolve) => {
    release = resolve;
  });
  let asked = 0;
  const { watch } = it.observer(
    'quorum',
    {},
    {
      prober: {
        ready: async (endpoint) => {
          asked += 1;
          if (asked <= 2) await slow;
          return outcomeOf(it.seen[endpoint] ?? assert.fail());
        },
        control: async () => ({ reachable: true }),
      },
    },
  );
  const looks = [0, 1, 2].map((n) => watch.look(START + n * SLOT_MS));
  await sleep(5);
  assert.equal(it.reports.size, 0, 'those behind it wait');
  release();
  await Promise.all(looks);
  assert.equal(it.reports.get(Q)?.watched[P]?.failures, 3);
});

test('a decision on what was seen longer ago than votes count is not carried out, however long its turn may take', async () => {
  const { it, look, telemetry } = await aboutToMove(
    {
      routing: async () => {
        const { routing } = it;
        it.nowMs += 45_000;
        return routing;
      },
    },
    { judgeMsMax: 600_000 },
  );
  await look();
  assert.deepEqual([it.changes, telemetry.sum('failovers')], [0, 0]);
  assert.match(telemetry.errors[0] ?? '', /too old to be carried out/);
});

test('an observer looks at once when another could not reach the region since it last looked', async () => {
  const it = new Scenery();
  const [standby, quorum] = [it.observer('standby'), it.observer('quorum')];
  for (const { look } of [standby, quorum]) await look();
  it.nowMs += 5_000;
  await standby.heed();
  assert.deepEqual(standby.asked.splice(0), [P, S], 'all is well: its look and no more');
  it.seen[P] = 'unreachable';
  it.nowMs = START + SLOT_MS;
  await quorum.look();
  it.nowMs += 5_000;
  await standby.heed();
  assert.deepEqual([it.changes, it.routing?.activeRegion], [1, S], 'in the slot of the emergency');
  assert.equal(it.reports.get(S)?.slotMs, it.nowMs);
  assert.deepEqual(valuesOf(standby.telemetry, 'failovers'), [0, 1]);
  it.nowMs += 5_000;
  await standby.heed();
  assert.deepEqual(standby.asked, [P, S, `control ${Q}`], 'a vote under another epoch calls nobody');
});

test('nobody is called twice by one vote, nor while a look is under way', async () => {
  const it = new Scenery();
  it.seen[P] = 'unreachable';
  await it.observer('quorum').look();
  it.seen[P] = 'ready';
  it.nowMs += 5_000;
  const standby = it.observer('standby');
  await Promise.all([standby.look(), standby.heed()]);
  it.nowMs += 5_000;
  await standby.heed();
  assert.deepEqual(standby.asked, [P, S]);
});

test('where it cannot be read whether somebody calls, that is logged, and looks go on', async () => {
  const it = new Scenery();
  let silent = true;
  const standby = it.observer(
    'standby',
    { observerReports: (regions) => (silent ? new Promise(() => {}) : it.table.observerReports(regions)) },
    { judgeMsMax: 10 },
  );
  await standby.heed();
  assert.match(standby.telemetry.errors[0] ?? '', /^whether another observer saw an emergency/);
  assert.equal(standby.telemetry.sum('failover_pages'), 0, 'a look says so, if it is so');
  silent = false;
  await standby.look();
  assert.equal(it.reports.size, 1);
});

test('a report that met a busy table is written again', async () => {
  let tried = 0;
  const { it, look, telemetry } = await aboutToMove({
    saveObserverReport: async (report) => {
      tried += 1;
      if (tried === 1) throw busy();
      return it.table.saveObserverReport(report);
    },
  });
  await look();
  assert.deepEqual([tried, it.changes, telemetry.sum('failover_pages')], [2, 1, 0]);
});

/** As it comes back from the table. */
const reread = (state: RoutingState) => routingStateOf(routingItemOf(state));

const lost = (retryable: boolean) =>
  new StoreUnavailableError('the answer got lost', { retryable, mayHaveLanded: true });

for (const retryable of [true, false])
  test(`a move whose answer got lost is told as its own, whether it is tried again or not: ${retryable}`, async () => {
    let tried = 0;
    const landsUnheard: Table['changeRouting'] = async (previous, next) => {
      tried += 1;
      const landed = await it.table.changeRouting(previous, next);
      if (it.routing) it.routing = reread(it.routing);
      if (tried === 1) throw lost(retryable);
      return landed;
    };
    const { it, look, telemetry } = await aboutToMove({
      changeRouting: (previous, next) => landsUnheard(previous, next),
    });
    await look();
    assert.deepEqual([tried, it.changes], [retryable ? 2 : 1, 1]);
    for (const [name, sum] of [
      ['failovers', 1],
      ['failover_pages', 0],
      ['evacuated', 1],
    ] as const)
      assert.equal(telemetry.sum(name), sum, name);
    assert.match(telemetry.warnings[0] ?? '', /^the service was moved/);
  });

test('a move that did not land, and whose answer got lost, pages', async () => {
  const { it, look, telemetry } = await aboutToMove({ changeRouting: () => Promise.reject(lost(false)) });
  await look();
  assert.deepEqual([it.changes, telemetry.sum('failovers'), telemetry.sum('failover_pages')], [0, 0, 1]);
  assert.match(telemetry.errors[0] ?? '', /the answer got lost/);
});

test('another’s move is not told as its own, though it went the same way', async () => {
  const { it, look, telemetry } = await aboutToMove({
    changeRouting: async (previous, next) => {
      const [change] = next.changes;
      await it.table.changeRouting(previous, {
        ...next,
        changes: change ? [{ ...change, votes: change.votes.slice(1) }] : [],
      });
      return false;
    },
  });
  await look();
  assert.deepEqual([it.changes, telemetry.sum('failovers'), telemetry.sum('evacuated')], [1, 0, 1]);
});
