// The observer's minute, and the pure rule behind it: when a feed counts as complete (PROTOCOL 6.2).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { checkFeed, freshestAgeMs, isSteady } from '../../lambdas/core/steadiness.ts';
import { createObserver, type ObserverParts } from '../../lambdas/routes/observer.ts';
import { type Store, StoreUnavailableError } from '../../lambdas/store/store.ts';
import { ROUTING_KEY } from '../../protocol/items.ts';
import type { FeedStatus } from '../../protocol/steadiness.ts';
import type { RunningTable } from '../../rehearsal/aws/start-table.ts';
import { Functions, openTable, REGIONS } from './functions.ts';

const T = 1_700_000_000_000;
const beat = (agoMs: number, region = 'other') => ({ region, atMs: T - agoMs });
const steadyAt = (checkedAt: number, steadySince: number): FeedStatus => ({ checkedAt, steadySince });

test('a first fresh beat begins a steady time; its own region’s does not count', () => {
  assert.deepEqual(checkFeed(undefined, [beat(0)], 'here', T), steadyAt(T, T));
  assert.deepEqual(checkFeed(undefined, [beat(0, 'here')], 'here', T), { checkedAt: T });
  assert.deepEqual(checkFeed(undefined, [], 'here', T), { checkedAt: T });
});

test('a beat counts up to 20 s of age, and of distance into the future', () => {
  for (const [agoMs, fresh] of [
    [20_000, true],
    [20_001, false],
    [-20_000, true],
    [-20_001, false],
  ] as const)
    assert.equal(checkFeed(undefined, [beat(agoMs)], 'here', T).steadySince !== undefined, fresh);
  assert.equal(freshestAgeMs([beat(50_000), beat(3_000, 'third')], 'here', T), 3_000);
});

test('steady goes on over checks up to 35 s apart, and starts anew after a longer gap', () => {
  const since = T - 100_000;
  assert.deepEqual(checkFeed(steadyAt(T - 35_000, since), [beat(0)], 'here', T), steadyAt(T, since));
  assert.deepEqual(checkFeed(steadyAt(T - 35_001, since), [beat(0)], 'here', T), steadyAt(T, T));
});

test('a check without a fresh beat ends it, and the next fresh one begins again', () => {
  const ended = checkFeed(steadyAt(T - 15_000, T - 60_000), [beat(20_001)], 'here', T);
  assert.deepEqual(ended, { checkedAt: T });
  const again = checkFeed(ended, [{ region: 'other', atMs: T + 15_000 }], 'here', T + 15_000);
  assert.deepEqual(again, steadyAt(T + 15_000, T + 15_000));
  assert.equal(isSteady(again, T + 15_000), false);
});

test('a feed may be trusted when checked within 60 s and steady for 20 s at that check', () => {
  for (const [status, now, trusted] of [
    [undefined, T, false],
    [{ checkedAt: T }, T, false],
    [steadyAt(T, T - 20_000), T, true],
    [steadyAt(T, T - 19_999), T, false],
    [steadyAt(T, T - 20_000), T + 60_000, true],
    [steadyAt(T, T - 20_000), T + 60_001, false],
    // Time that passes after a check does not make it steadier.
    [steadyAt(T, T - 10_000), T + 30_000, false],
  ] as const)
    assert.equal(isSteady(status, now), trusted);
});

test('a feed that stood still for longer than 20 s is not trusted within 20 s after, however checks fall', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 20_001, max: 300_000 }),
      fc.array(fc.integer({ min: 1_000, max: 40_000 }), { minLength: 1, maxLength: 30 }),
      (frozenMs, gaps) => {
        // Beats every 5 s, invisible from T until the index thaws at T + frozenMs.
        const shown = (nowMs: number) => {
          const lastBeat = nowMs - (nowMs % 5_000);
          return nowMs >= T && nowMs < T + frozenMs ? T : lastBeat;
        };
        let status: FeedStatus | undefined;
        let nowMs = T - 60_000;
        let firstFreshAt: number | undefined;
        for (const gap of gaps) {
          nowMs += gap;
          status = checkFeed(status, [{ region: 'other', atMs: shown(nowMs) }], 'here', nowMs);
          const stale = nowMs - shown(nowMs) > 20_000;
          if (stale) firstFreshAt = undefined;
          else firstFreshAt ??= nowMs;
          if (isSteady(status, nowMs))
            assert.ok(firstFreshAt !== undefined && nowMs - firstFreshAt >= 20_000);
        }
      },
    ),
  );
});

let running: RunningTable;
before(async () => {
  running = await openTable();
});
after(() => running.close());

/** Counts the calls under way, so that a test can wait until nothing is. */
function counted(store: Store): { readonly store: Store; idle(): Promise<void> } {
  let underWay = 0;
  const count = <Args extends unknown[], T>(call: (...args: Args) => Promise<T>) => {
    return async (...args: Args): Promise<T> => {
      underWay += 1;
      try {
        return await call(...args);
      } finally {
        underWay -= 1;
      }
    };
  };
  return {
    store: {
      ...store,
      beat: count(store.beat),
      beats: count(store.beats),
      routing: count(store.routing),
      feedStatus: count(store.feedStatus),
      saveFeedStatus: count(store.saveFeedStatus),
    },
    async idle() {
      // What follows upon a call begins before the next turn of the loop.
      for (let turns = 0; turns < 3; turns = underWay === 0 ? turns + 1 : 0)
        await new Promise((resolve) => setTimeout(resolve, 1));
    },
  };
}

/** A minute of an observer whose clock only goes on when nothing is left to do. */
async function minute(
  role: keyof typeof REGIONS,
  startMs: number,
  wrap?: (store: Store) => Store,
  { watch, archive = async () => {} }: Partial<Pick<ObserverParts, 'watch' | 'archive'>> = {},
) {
  const functions = new Functions({ running, role, ...(wrap && { wrap }) });
  let nowMs = startMs;
  const waits: number[] = [];
  const { place, telemetry } = functions.service;
  const { store, idle } = counted(functions.service.store);
  await createObserver({
    store,
    place,
    telemetry,
    archive,
    watch,
    now: () => nowMs,
    async wait(ms) {
      await idle();
      waits.push(ms);
      nowMs += ms;
    },
  })();
  functions.close();
  return { functions, waits, endMs: nowMs };
}

test('a minute is 12 beats 5 s apart and 4 checks, and ends before the next one begins', async () => {
  const beats: number[] = [];
  let checks = 0;
  const { waits, endMs } = await minute('primary', T, (store) => ({
    ...store,
    beat(region, atMs) {
      beats.push(atMs);
      return store.beat(region, atMs);
    },
    beats() {
      checks += 1;
      return store.beats();
    },
  }));
  assert.deepEqual(
    beats,
    Array.from({ length: 12 }, (_, n) => T + n * 5_000),
  );
  assert.equal(waits.length, 11);
  assert.equal(checks, 4);
  assert.equal(endMs, T + 55_000);
});

test('with another region beating the feed becomes steady and stays it; alone it does not', async () => {
  const { functions } = await minute('quorum', T + 3_600_000);
  assert.deepEqual(Object.keys((await functions.service.store.feedStatus(REGIONS.quorum)) ?? {}), [
    'checkedAt',
  ]);
  const start = T + 7_200_000;
  const beating = new Functions({ running, role: 'primary' });
  const { functions: standby } = await minute('standby', start, (store) => ({
    ...store,
    async beat(region, atMs) {
      await beating.service.store.beat(REGIONS.primary, atMs);
      return store.beat(region, atMs);
    },
  }));
  const status = await standby.service.store.feedStatus(REGIONS.standby);
  assert.equal(status?.checkedAt, start + 45_000);
  assert.ok(isSteady(status, start + 50_000), JSON.stringify(status));
  assert.ok(standby.telemetry.sum('heartbeat_age') >= 0);
  beating.close();
});

test('two invocations for one minute leave what one leaves', async () => {
  const start = T + 10_800_000;
  await Promise.all([minute('primary', start), minute('primary', start)]);
  const { functions } = await minute('primary', start);
  const beats = await functions.service.store.beats();
  assert.equal(beats.filter(({ region }) => region === REGIONS.primary).length, 1);
  assert.equal(beats.find(({ region }) => region === REGIONS.primary)?.atMs, start + 55_000);
  assert.equal((await functions.service.store.feedStatus(REGIONS.primary))?.checkedAt, start + 45_000);
  assert.equal(functions.telemetry.errors.length, 0);
});

test('what fails is logged and counted, and the minute goes on', async () => {
  let beats = 0;
  const { functions } = await minute('primary', T + 14_400_000, (store) => ({
    ...store,
    beat(region, atMs) {
      beats += 1;
      if (beats % 2 === 1) return store.beat(region, atMs);
      return Promise.reject(new StoreUnavailableError('cut off', { retryable: true, mayHaveLanded: false }));
    },
  }));
  assert.equal(beats, 12);
  assert.equal(functions.telemetry.sum('heartbeat_failures'), 6);
  assert.equal(functions.telemetry.errors.filter((line) => line.startsWith('a heartbeat failed')).length, 6);
});

test('the standby reports each minute whether the primary is evacuated; the others do not', async () => {
  const of = async (role: keyof typeof REGIONS, startMs: number, wrap?: (store: Store) => Store) => {
    const { functions } = await minute(role, startMs, wrap);
    return functions.telemetry.samples.filter(({ name }) => name === 'evacuated').map(({ value }) => value);
  };
  const start = T + 18_000_000;
  assert.deepEqual(await of('standby', start), [0], 'nothing was ever moved');
  const operator = new Functions({ running });
  await operator.putControl(ROUTING_KEY, { activeRegion: { S: REGIONS.standby }, epoch: { N: '2' } });
  assert.deepEqual(await of('standby', start + 60_000), [1]);
  assert.deepEqual(await of('primary', start + 60_000), []);
  assert.deepEqual(await of('quorum', start + 60_000), []);
  await operator.putControl(ROUTING_KEY, { activeRegion: { S: REGIONS.primary }, epoch: { N: '3' } });
  assert.deepEqual(await of('standby', start + 120_000), [0]);
  const blind = (store: Store): Store => ({
    ...store,
    routing: () =>
      Promise.reject(new StoreUnavailableError('cut off', { retryable: true, mayHaveLanded: false })),
  });
  assert.deepEqual(await of('standby', start + 180_000, blind), [], 'silence keeps the latch where it is');
  operator.close();
});

test('looks at the serving regions run beside the beats, a slot after the other, and are waited for', async () => {
  const start = T + 21_600_000 + 7_000;
  for (const [everyMs, waits, heeds] of [
    [15_000, 11, 7],
    [10_000, 11, 5],
    [4_000, 23, 0],
  ] as const) {
    const slots: number[] = [];
    const heeded: number[] = [];
    let ended = 0;
    const { functions, waits: waited } = await minute('standby', start, undefined, {
      watch: {
        everyMs,
        async look(slotMs) {
          slots.push(slotMs);
          await new Promise((resolve) => setTimeout(resolve, 1));
          ended += 1;
        },
        heed: async (atMs) => void heeded.push(atMs),
      },
    });
    const first = start - (start % everyMs);
    const lastAt = start + 60_000 - Math.min(5_000, everyMs);
    assert.deepEqual(
      slots,
      Array.from({ length: Math.floor((lastAt - first) / everyMs) + 1 }, (_, n) => first + n * everyMs),
    );
    assert.deepEqual([ended, waited.length], [slots.length, waits]);
    // At the beats between looks, under the beat's own slot.
    assert.equal(heeded.length, heeds);
    assert.ok(heeded.every((atMs) => atMs % 5_000 === 0 && !slots.includes(atMs)));
    assert.equal(functions.telemetry.sum('heartbeats'), 16, 'the beats and checks are what they were');
    assert.equal(functions.telemetry.sum('evacuated'), 0, 'looks say that');
  }
});

test('minutes that begin a moment early or late leave no slot out', async () => {
  const start = T + 32_400_000 - (T % 15_000);
  const slots: number[] = [];
  const look = async (slotMs: number) => void slots.push(slotMs);
  const watch = { everyMs: 15_000, look, heed: async () => {} };
  for (const offMs of [14_900, 15_100, 14_800, 100, 7_000].map((ms, n) => ms + n * 60_000))
    await minute('standby', start + offMs, undefined, { watch });
  const looked = [...new Set(slots)];
  assert.deepEqual(
    looked,
    Array.from({ length: looked.length }, (_, n) => (slots[0] as number) + n * 15_000),
  );
  assert.ok(looked.length >= 20, `${looked.length} slots in five minutes`);
});

test('where nothing is watched, changes of the routing state are archived once a minute all the same', async () => {
  const archived: unknown[] = [];
  const archive: ObserverParts['archive'] = async (routing) => {
    archived.push(routing?.activeRegion);
  };
  const start = T + 25_200_000;
  await minute('quorum', start, undefined, { archive });
  await minute('standby', start, undefined, { archive });
  assert.deepEqual(archived, [REGIONS.primary, REGIONS.primary]);
});
