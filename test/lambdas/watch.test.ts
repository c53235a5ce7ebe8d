// Observers at work on one table: what they ask, write, count and say, and that whatever fails on the way wakes somebody
// and moves nobody.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { routingChangeKey } from '../../protocol/routing.ts';
import { DamagedItemError } from '../../protocol/routing-items.ts';
import { SLOT_MS, START } from './failover-world.ts';
import { REGIONS } from './functions.ts';
import { aboutToMove, busy, gone, Scenery, type Table, valuesOf } from './watch-scenery.ts';
import { activeIn } from './who-is-active.ts';

const { primary: P, standby: S, quorum: Q } = REGIONS;

test('a calm look asks both regions, leaves a report and says that all is well', async () => {
  const it = new Scenery();
  const { look, telemetry, asked } = it.observer('standby');
  it.nowMs += 4_000;
  await look();
  assert.deepEqual(asked, [P, S]);
  const calm = { failures: 0, since: it.nowMs, why: 'ready' };
  assert.deepEqual(it.reports.get(S), {
    observer: S,
    slotMs: START,
    at: it.nowMs,
    watched: { [P]: calm, [S]: calm },
  });
  assert.deepEqual(
    telemetry.samples.map(({ name, value }) => [name, value]),
    [
      ['health_checks', 2],
      ['health_check_failures', 0],
      ['failover_votes', 0],
      ['failover_pages', 0],
      ['failovers', 0],
      ['evacuated', 0],
    ],
  );
  assert.deepEqual([telemetry.errors, telemetry.warnings], [[], []]);
});

test('two observers that cannot reach the primary move the service, say so at once and archive it', async () => {
  const it = new Scenery();
  const [standby, quorum] = [it.observer('standby'), it.observer('quorum')];
  it.seen[P] = 'unreachable';
  await quorum.look();
  assert.equal(it.changes, 0, 'one vote is none');
  assert.deepEqual(quorum.asked, [P, S, `control ${S}`], 'neither its own region nor the one in question');
  it.nowMs += 7_000;
  await standby.look();
  const { routing } = it;
  assert.deepEqual(
    [routing?.activeRegion, routing?.epoch, routing?.since, routing?.restoreEpoch],
    [S, it.nowMs, it.nowMs, 7],
  );
  const [change] = routing?.changes ?? [];
  assert.deepEqual(
    [change?.what, change?.by, change?.from, change?.to, change?.forced],
    ['move', 'observers', P, S, false],
  );
  assert.deepEqual(
    change?.votes.map(({ observer, emergency }) => [observer, emergency]),
    [
      [S, true],
      [Q, true],
    ],
  );
  for (const [name, values] of [
    ['failovers', [1]],
    ['failover_votes', [1]],
    ['failover_pages', [0]],
    ['evacuated', [1]],
    ['health_check_failures', [1]],
  ] as const)
    assert.deepEqual(valuesOf(standby.telemetry, name), values, name);
  assert.match(
    standby.telemetry.warnings[0] ?? '',
    /the service was moved.*2 of 3 observers would leave us-east-2/,
  );
  const key = routingChangeKey(change ?? assert.fail());
  assert.deepEqual(JSON.parse(standby.audit.objects.get(key) ?? ''), change);

  it.nowMs += 8_000;
  await quorum.look();
  assert.equal(it.changes, 1);
  assert.deepEqual(valuesOf(quorum.telemetry, 'failovers'), [0, 0]);
  assert.deepEqual([...quorum.audit.objects.keys()], [key], 'into its own region’s bucket too');
  assert.deepEqual(valuesOf(quorum.telemetry, 'evacuated'), [], 'the standby’s to say');
});

test('three failures in a row move it too, whoever looks last, and never a look before', async () => {
  const it = new Scenery();
  const observers = [it.observer('primary'), it.observer('standby'), it.observer('quorum')];
  it.seen[P] = 'not_ready';
  for (let slot = 0; slot < 3; slot += 1) {
    assert.equal(it.changes, 0, `after ${slot} slots`);
    for (const { look } of observers) await look();
    it.nowMs += SLOT_MS;
  }
  assert.equal(it.changes, 1);
  assert.equal(it.routing?.changes[0]?.votes.length, 2, 'the second vote decided');
  assert.equal(observers[1]?.telemetry.sum('failovers'), 1);
});

test('observers who decide at the same time make one change, and the others say who was first', async () => {
  const it = new Scenery();
  it.seen[P] = 'unreachable';
  let arrived = 0;
  const together = async () => {
    arrived += 1;
    while (arrived < 2) await sleep(1);
    return it.table.generation();
  };
  const racers = (['standby', 'quorum'] as const).map((role) => it.observer(role, { generation: together }));
  await it.observer('primary').look();
  await Promise.all(racers.map(({ look }) => look()));
  assert.equal(it.changes, 1);
  const sums = (name: string) => racers.map(({ telemetry }) => telemetry.sum(name)).toSorted();
  assert.deepEqual(
    [sums('failovers'), sums('failover_pages')],
    [
      [0, 1],
      [0, 0],
    ],
  );
  assert.equal(racers[0]?.telemetry.sum('evacuated'), 1, 'whoever moved it');
});

test('a change that met another region’s write is tried again, to learn who was first', async () => {
  let tried = 0;
  const { it, look, telemetry } = await aboutToMove({
    changeRouting: async () => {
      tried += 1;
      if (tried === 1) throw busy();
      it.routing = activeIn(S, START + 1);
      return false;
    },
  });
  await look();
  assert.deepEqual([tried, telemetry.sum('failover_pages'), telemetry.sum('evacuated')], [2, 0, 1]);
});

for (const [what, over] of [
  ['who is active cannot be read', { routing: () => Promise.reject(gone()) }],
  ['the routing item is damaged', { routing: () => Promise.reject(new DamagedItemError('it', 'a', 'b')) }],
  ['the reports cannot be read', { observerReports: () => Promise.reject(gone()) }],
  ['its report cannot be written', { saveObserverReport: () => Promise.reject(gone()) }],
  ['the table stays too busy for its report', { saveObserverReport: () => Promise.reject(busy()) }],
  ['the restore epoch cannot be read', { generation: () => Promise.reject(gone()) }],
  ['the change cannot be written', { changeRouting: () => Promise.reject(gone()) }],
  ['the table stays busy', { changeRouting: () => Promise.reject(busy()) }],
] as const satisfies readonly (readonly [string, Partial<Table>])[])
  test(`where ${what}, it pages and does not move, nor say who is evacuated`, async () => {
    const { it, look, telemetry } = await aboutToMove(over);
    await look();
    assert.deepEqual(
      [it.routing, telemetry.sum('failovers'), telemetry.sum('failover_pages')],
      [undefined, 0, 1],
    );
    assert.deepEqual(valuesOf(telemetry, 'evacuated'), []);
    assert.equal(telemetry.sum('health_check_failures'), 1, 'what was seen is told all the same');
    assert.match(
      telemetry.errors[0] ?? '',
      /^nobody moves the service: the routing state cannot be read or written/,
    );
  });

test('a table that takes the question and is silent is given up, and the next look goes on', async () => {
  let silent = true;
  const { it, look, telemetry } = await aboutToMove(
    { routing: () => (silent ? new Promise(() => {}) : it.table.routing()) },
    { judgeMsMax: 20 },
  );
  await look();
  assert.equal(telemetry.sum('failover_pages'), 1);
  silent = false;
  it.nowMs += SLOT_MS;
  await look();
  assert.equal(it.changes, 1);
});

test('a decision that lay frozen for a while is not carried out any more', async () => {
  const { it, look, telemetry } = await aboutToMove({
    generation: async () => {
      it.nowMs += 15_000;
      return it.table.generation();
    },
  });
  await look();
  assert.equal(it.changes, 0);
  assert.match(telemetry.errors[0] ?? '', /too old to be carried out/);
});

test('while a table was never opened, a primary that is not there yet is left to nobody, and nobody is paged', async () => {
  const it = new Scenery();
  it.seen[P] = 'unreachable';
  let opened = false;
  const over: Partial<Table> = { generation: async () => (opened ? it.table.generation() : undefined) };
  const observers = (['quorum', 'standby'] as const).map((role) => it.observer(role, over));
  for (const { look } of observers) await look();
  assert.deepEqual([it.changes, it.reports.size], [0, 0]);
  for (const { telemetry } of observers)
    assert.deepEqual([telemetry.sum('failover_votes'), telemetry.sum('failover_pages')], [0, 0]);
  opened = true;
  it.nowMs += SLOT_MS;
  for (const { look } of observers) await look();
  assert.equal(it.changes, 1);
});

test('a look whose probes lay frozen casts its vote for when it saw, not for when it thawed', async () => {
  const { it, look } = await aboutToMove({
    routing: async () => {
      const { routing } = it;
      it.nowMs += 10_000;
      return routing;
    },
  });
  const seenAt = it.nowMs;
  await look();
  assert.equal(it.reports.get(S)?.vote?.at, seenAt);
});

test('one that reaches nothing else pages, and its vote is missing', async () => {
  const { it, look, telemetry } = await aboutToMove();
  it.controlReached = false;
  await look();
  assert.deepEqual([it.changes, telemetry.sum('failover_pages'), telemetry.sum('failover_votes')], [0, 1, 0]);
  assert.match(telemetry.warnings[0] ?? '', /nobody moves the service.*no vote: .*silence/);
  assert.match(it.reports.get(S)?.abstains ?? '', /silence/);
});

test('the primary’s observer asks the two other regions whether it is cut off', async () => {
  const it = new Scenery();
  const { look, asked } = it.observer('primary');
  it.seen[P] = 'silent';
  await look();
  assert.deepEqual(asked.splice(0), [P, S, `control ${S}`, `control ${Q}`]);
  it.seen[P] = 'not_ready';
  it.nowMs += SLOT_MS;
  await look();
  assert.deepEqual(asked, [P, S], 'unless the primary itself answers');
});

test('an evacuated primary that is down asks nobody for anything', async () => {
  const it = new Scenery();
  it.routing = activeIn(S, 5);
  it.seen[P] = 'unreachable';
  const { look, asked, telemetry } = it.observer('standby');
  await look();
  assert.deepEqual([asked, telemetry.sum('failover_pages')], [[P, S], 0]);
  assert.deepEqual([telemetry.sum('evacuated'), telemetry.sum('health_check_failures')], [1, 1]);
});

test('a page clears with the next look that has no reason for one', async () => {
  const it = new Scenery();
  const observers = [it.observer('standby'), it.observer('quorum')];
  [it.seen[P], it.seen[S]] = ['unreachable', 'not_ready'];
  for (const { look } of observers) await look();
  it.nowMs += SLOT_MS;
  [it.seen[P], it.seen[S]] = ['ready', 'ready'];
  for (const { look } of observers) await look();
  assert.deepEqual(valuesOf((observers[1] ?? assert.fail()).telemetry, 'failover_pages'), [1, 0]);
  assert.equal(it.changes, 0);
});

test('a look that takes longer than a slot is counted before the next', async () => {
  const it = new Scenery();
  let release = () => {};
  const slow = new Promise<void>((resolve) => {
    release = resolve;
  });
  let first = true;
  const { watch } = it.observer('quorum', {
    saveObserverReport: async (report) => {
      if (first) {
        first = false;
        await slow;
      }
      return it.table.saveObserverReport(report);
    },
  });
  it.seen[P] = 'not_ready';
  const looks = [0, 1, 2].map((n) => watch.look(START + n * SLOT_MS));
  await sleep(5);
  release();
  await Promise.all(looks);
  assert.equal(it.reports.get(Q)?.watched[P]?.failures, 3);
});

test('two invocations for one minute count once', async () => {
  const it = new Scenery();
  const twins = [it.observer('quorum'), it.observer('quorum')];
  it.seen[P] = 'not_ready';
  for (let slot = 0; slot < 2; slot += 1) {
    await Promise.all(twins.map(({ look }) => look()));
    it.nowMs += SLOT_MS;
  }
  assert.equal(it.reports.get(Q)?.watched[P]?.failures, 2);
});

test('what no prober should do wakes somebody too', async () => {
  const it = new Scenery();
  const broken = { ready: () => Promise.reject(new TypeError('no URL')), control: () => assert.fail() };
  const { look, telemetry } = it.observer('standby', {}, { prober: broken });
  await look();
  assert.deepEqual([telemetry.sum('failover_pages'), telemetry.errors.length], [1, 1]);
});
