// The scrubber: that every item is looked at, that what is damaged is counted until it is repaired and what is not never,
// and what becomes of a run that cannot do its work.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  beginScrub,
  damagedCount,
  type Finding,
  NOTED_MAX,
  noteFindings,
  noteRelooks,
  pageLooked,
  parseScrubState,
  ScrubStateError,
} from '../../lambdas/core/scrubbing.ts';
import { DAY } from './exports.ts';
import { damaged, denied, pkOf, ScrubberWorld, throttled, whole } from './scrubber-world.ts';

const ids = (count: number) => Array.from({ length: count }, (_, n) => `n${n}`);
const stateOf = (world: ScrubberWorld) =>
  world.saved.kind === 'saved' ? parseScrubState(world.saved.state) : assert.fail(world.saved.kind);

test('a small table is gone over in every run, and nothing is found in what is whole', async () => {
  const world = new ScrubberWorld(ids(20));
  for (let run = 1; run <= 3; run += 1) {
    await world.run();
    assert.deepEqual([world.last('data_corruption'), world.last('scrubbed')], [0, 20]);
    assert.deepEqual([...world.takeShown()].sort(), ids(20).map(pkOf).sort());
    assert.equal(stateOf(world).pass, run + 1);
  }
  assert.deepEqual([world.telemetry.errors, world.telemetry.warnings, world.reads], [[], [], []]);
});

test('whatever the sizes of pages and runs, each pass sees every item exactly once, also over failures', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 1, max: 25 }),
      fc.integer({ min: 1, max: 30 }),
      fc.infiniteStream(fc.nat(5).map((n) => n === 0)),
      async (count, pageItems, itemsPerRun, failures) => {
        const world = new ScrubberWorld(ids(count));
        world.pageItems = pageItems;
        world.itemsPerRun = itemsPerRun;
        const store = world.store;
        const ended: string[][] = [];
        let seen: string[] = [];
        const inOrder = {
          ...store,
          page: async (after: Parameters<typeof store.page>[0], limit: number) => {
            // Samples are of no pass.
            if (after?.pk.startsWith('SAMPLE#')) return { items: [], next: undefined };
            if (failures.next().value) throw throttled();
            const page = await store.page(after, limit);
            seen.push(...page.items.flatMap(({ pk }) => (pk && 'S' in pk ? pk.S : [])));
            if (!page.next) ended.push(seen.splice(0));
            return page;
          },
        };
        Object.assign(world, { store: inOrder });
        for (let run = 0; run < 400 && ended.length < 3; run += 1) await world.run();
        assert.equal(ended.length, 3, 'passes come to their end');
        for (const pass of ended) assert.deepEqual(pass.toSorted(), ids(count).map(pkOf).sort());
        seen = [];
      },
    ),
    { numRuns: 60 },
  );
});

test('a large table is gone over run by run, beside a sample of other places', async () => {
  const world = new ScrubberWorld(ids(500));
  world.itemsPerRun = 100;
  let at = 0;
  world.random = () => {
    at += 0.137;
    return at % 1;
  };
  await world.run();
  const shown = world.takeShown();
  assert.equal(stateOf(world).looked, 100);
  assert.ok(shown.length > 400 && new Set(shown).size > 300, `${new Set(shown).size} of ${shown.length}`);
  for (let run = 2; run <= 5; run += 1) await world.run();
  await world.run();
  const { completed, pass } = stateOf(world);
  assert.deepEqual([pass, completed?.looked], [2, 500]);
  assert.equal(world.last('scrub_age'), world.nowMs - (completed?.sinceMs ?? 0));
});

test('damage is named and counted in every run, and forgotten in the first one after its repair', async () => {
  const world = new ScrubberWorld(ids(300));
  world.itemsPerRun = 100;
  world.put(damaged('n42'));
  for (let run = 1; run <= 3; run += 1) await world.run();
  for (let run = 4; run <= 6; run += 1) {
    await world.run();
    assert.equal(world.last('data_corruption'), 1);
    assert.deepEqual(world.telemetry.errors, [
      'an item is damaged: Error: acme/notes/n42: the payload does not match its SHA-256',
    ]);
    assert.equal(world.reads.at(0), pkOf('n42'));
  }
  world.put(whole('n42'));
  await world.run();
  assert.deepEqual([world.last('data_corruption'), world.telemetry.errors], [0, []]);
  assert.deepEqual(stateOf(world).noted, []);
});

test('what a page shows is damage only if a consistent read says so', async () => {
  const world = new ScrubberWorld(ids(5));
  world.stale.set(pkOf('n1'), damaged('n1'));
  world.stale.set(pkOf('n2'), damaged('n2'));
  // Swept meanwhile.
  world.onRead = (pk) => {
    if (pk === pkOf('n2')) world.items.delete(pk);
  };
  await world.run();
  assert.deepEqual([...world.reads].sort(), [pkOf('n1'), pkOf('n2')]);
  assert.deepEqual([world.last('data_corruption'), world.telemetry.errors], [0, []]);
});

test('what cannot be read again is no damage yet, is remembered, and is looked at first in the next run', async () => {
  const world = new ScrubberWorld(ids(5));
  world.put(damaged('n3'));
  world.onRead = () => {
    throw throttled();
  };
  await world.run();
  assert.equal(world.last('data_corruption'), 0);
  assert.deepEqual(
    stateOf(world).noted.map(({ pk, certain }) => [pk, certain]),
    [[pkOf('n3'), false]],
  );
  world.onRead = () => {};
  await world.run();
  assert.equal(world.last('data_corruption'), 1);
  // Known once, it stays known while it cannot be looked at.
  world.onRead = () => {
    throw throttled();
  };
  await world.run();
  assert.equal(world.last('data_corruption'), 1);
  assert.match(world.telemetry.warnings.join(), /could not be looked at again.*"unread":1/);
});

test('a damaged control item is named by its key', async () => {
  const world = new ScrubberWorld(ids(2));
  world.put({ pk: { S: 'CONTROL#generation' }, sk: { S: 'STATE' }, status: { S: 'ajar' } });
  await world.run();
  assert.deepEqual(world.telemetry.errors, [
    'an item is damaged: Error: CONTROL#generation STATE: its status is neither open nor restoring',
  ]);
});

test('throttled, it keeps what it has done and leaves the rest to the next run', async () => {
  const world = new ScrubberWorld(ids(50));
  world.pageItems = 10;
  world.put(damaged('n0'));
  world.onPage = (page) => {
    if (page === 3) throw throttled();
  };
  await world.run();
  assert.equal(stateOf(world).looked, 20);
  assert.equal(world.last('scrubbed'), 20);
  assert.match(world.telemetry.warnings.join(), /leaves the rest to its next run.*ThrottlingException/);
  await world.run();
  assert.equal(stateOf(world).pass, 2);
  assert.equal(world.last('data_corruption'), 1);
});

test('a refusal for good fails the run, after what it did was saved and said', async () => {
  const world = new ScrubberWorld(ids(50));
  world.pageItems = 10;
  world.onPage = (page) => {
    if (page === 2) throw denied();
  };
  await assert.rejects(world.run(), /AccessDenied/);
  assert.equal(stateOf(world).looked, 10);
  assert.equal(world.last('scrubbed'), 10);
});

test('a replica that is cut off fails the run and claims nothing', async () => {
  const world = new ScrubberWorld(ids(5));
  world.put(damaged('n1'));
  await world.run();
  world.onLoad = () => {
    throw throttled();
  };
  await assert.rejects(world.run(), /ThrottlingException/);
  assert.deepEqual(world.telemetry.samples, [], 'no 0 that would clear an alarm');
});

test('cut off before it can save, it says what it found and fails', async () => {
  const world = new ScrubberWorld(ids(5));
  world.put(damaged('n1'));
  world.onSave = () => {
    throw throttled();
  };
  await assert.rejects(world.run(), /ThrottlingException/);
  assert.equal(world.last('data_corruption'), 1);
  assert.equal(world.saved.kind, 'none');
});

for (const [what, saved] of [
  ['an item without a state', { kind: 'unreadable' }],
  ['no JSON', { kind: 'saved', revision: 3, state: '{"pass":' }],
  ['another state', { kind: 'saved', revision: 3, state: '{"pass":1,"noted":[{}]}' }],
] as const)
  test(`with ${what} for its state it says so, and starts over`, async () => {
    const world = new ScrubberWorld(ids(5));
    world.saved = saved;
    await world.run();
    assert.match(world.telemetry.warnings.join(), /unreadable: it starts over/);
    assert.deepEqual([stateOf(world).pass, world.last('scrubbed')], [2, 5]);
  });

test('when the table was emptied under it, it starts over with the next run', async () => {
  const world = new ScrubberWorld(ids(30));
  world.itemsPerRun = 10;
  await world.run();
  world.onSave = () => {
    world.saved = { kind: 'none' };
    world.onSave = () => {};
  };
  await world.run();
  assert.deepEqual([stateOf(world).pass, stateOf(world).looked], [1, 0]);
});

test('of two runs at once neither takes back what the other found, nor passes over anything', async () => {
  const world = new ScrubberWorld(ids(40));
  world.itemsPerRun = 20;
  for (const id of ids(40)) world.put(damaged(id));
  let other: Promise<void> | undefined;
  world.onPage = () => {
    world.onPage = () => {};
    other = world.run();
  };
  await world.run();
  await other;
  await world.run();
  await world.run();
  assert.equal(world.last('data_corruption'), 40);
  assert.ok((stateOf(world).completed?.looked ?? 0) >= 40);
});

test('ends when its time is up, at the end of a page', async () => {
  const world = new ScrubberWorld(ids(50));
  world.pageItems = 10;
  world.pageMs = 50_000;
  await world.run();
  assert.equal(stateOf(world).looked, 30);
});

test('pages come no faster than a quarter of a second', async () => {
  const world = new ScrubberWorld(ids(100));
  world.pageItems = 10;
  const startedMs = world.nowMs + 300_000;
  await world.run();
  assert.ok(world.nowMs - startedMs >= 2_250, `${world.nowMs - startedMs} ms`);
});

const finding = (n: number, over: Partial<Finding> = {}): Finding => ({
  ...{ pk: pkOf(`n${n}`), sk: 'STATE', why: 'it is no more what it was', certain: true },
  ...over,
});

test('more damage than there is room for stays counted until a pass finds no more', () => {
  const all = Array.from({ length: NOTED_MAX + 50 }, (_, n) => finding(n));
  let state = noteFindings(beginScrub(DAY), all, DAY, { inPass: true });
  assert.deepEqual([state.noted.length, damagedCount(state)], [NOTED_MAX, NOTED_MAX + 50]);
  // A sample finds what the pass has counted.
  state = noteFindings(state, [finding(NOTED_MAX + 1)], DAY, { inPass: false });
  assert.equal(damagedCount(state), NOTED_MAX + 50);
  state = noteRelooks(
    state,
    state.noted.map(({ pk, sk }) => ({ pk, sk, kind: 'whole' })),
  );
  assert.equal(damagedCount(state), 50, 'nobody has seen those repaired');
  state = pageLooked(state, { items: 1, next: undefined }, DAY + 1);
  assert.equal(damagedCount(state), 50);
  state = pageLooked(state, { items: 1, next: undefined }, DAY + 2);
  assert.equal(damagedCount(state), 0);
});

test('what is kept in mind fits an item, however long the keys, and what is certain comes first', () => {
  const long = 'x'.repeat(255);
  const findings = Array.from({ length: NOTED_MAX }, (_, n) =>
    finding(n, { pk: `R#${long}#${long}#${n}`, certain: n % 2 === 1, why: long.repeat(9) }),
  );
  const { noted } = noteFindings(beginScrub(DAY), findings, DAY, { inPass: true });
  assert.ok(noted.length > 100);
  assert.ok(JSON.stringify(noted).length < 250_000);
  assert.ok(noted.every(({ certain }) => certain));
});

test('a state is read back as it was written, and nothing else is', () => {
  const state = noteFindings(
    pageLooked(beginScrub(DAY), { items: 3, next: { pk: 'a', sk: 'b' } }, DAY),
    [finding(1)],
    DAY,
    { inPass: true },
  );
  assert.deepEqual(parseScrubState(JSON.stringify(state)), state);
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(state)), fc.jsonValue(), (name, value) => {
      const text = JSON.stringify({ ...state, [name]: value });
      try {
        assert.equal(JSON.stringify(parseScrubState(text)), text);
      } catch (error) {
        assert.ok(error instanceof ScrubStateError, String(error));
      }
    }),
  );
});
