// What a restore hands on: of every record the state it had at the moment asked for, once, from backups and journals that
// lack parts, repeat themselves and disagree about times.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sha256 } from '../../bin/restore/examine.ts';
import { openLayer, rotIn, takeInventory } from '../../bin/restore/inventory.ts';
import { Journals, journalsBehind } from '../../bin/restore/journals.ts';
import { eachAtOnce, Lanes } from '../../bin/restore/lanes.ts';
import { prepare } from '../../bin/restore/planning.ts';
import { restoreStates, type Sink, unitName } from '../../bin/restore/states.ts';
import { HOUR_MS } from '../../protocol/backups.ts';
import { KeyIndex } from '../../protocol/key-index.ts';
import { TOMBSTONE_AGE_MS_MIN } from '../../protocol/limits.ts';
import { NO_FACTS, plus } from '../../protocol/reading-layers.ts';
import { scopeTest } from '../../protocol/restoring.ts';
import { versionAt } from '../lambdas/audit-trail.ts';
import { DAY } from '../lambdas/exports.ts';
import {
  bucketsOf,
  DAILY,
  END,
  FIRST,
  histories,
  recordsBefore,
  sourcesOf,
  Taken,
} from './restore-histories.ts';
import { History, type MemoryBucket, pkOf } from './restore-world.ts';

async function restored(
  buckets: readonly MemoryBucket[],
  { atMs, force = false }: { readonly atMs?: number; readonly force?: boolean } = {},
) {
  const sources = sourcesOf(buckets);
  const { plan, layers } = await prepare({
    sources,
    ask: {},
    untilMs: atMs ?? END,
    say: () => undefined,
  });
  const scope = scopeTest({ kind: 'all' });
  const journals =
    plan.journalFrom === undefined
      ? undefined
      : new Journals(sources, { from: plan.journalFrom, untilMs: atMs ?? END + HOUR_MS }, scope);
  const facts = await journals?.read(() => undefined);
  const taken = new Taken();
  let sum = NO_FACTS;
  const problems: string[] = [];
  const done = new Set<string>();
  const options = {
    layers,
    journals,
    scope,
    lanes: 3,
    forced: force,
    onItems: () => undefined,
    onProblem: (why: string) => problems.push(why),
  };
  await restoreStates(taken, {
    ...options,
    done,
    onUnit: async (name, unit) => {
      sum = plus(sum, unit);
      done.add(name);
    },
  });
  return { plan, taken, facts, sum, problems, layers };
}

/** Of one Region nothing is missing that the backups do not hold. */
const isInBackups = (key: string) => /T0[01]Z/.test(key);

test('the latest state is what it was, whichever part of each journal is missing', async () => {
  await fc.assert(
    fc.asyncProperty(
      histories,
      fc.integer({ min: 0, max: 2 }),
      fc.func(fc.boolean()),
      async (history, keeper, drops) => {
        const buckets = bucketsOf(history);
        for (const [index, { objects }] of buckets.entries())
          for (const key of [...objects.keys()])
            if (key.startsWith('journal/') && (index !== keeper || isInBackups(key)) && drops(key))
              objects.delete(key);
        const { taken, sum } = await restored(buckets);
        const expected = recordsBefore(history, END + 1);
        assert.deepEqual(taken.items, expected);
        assert.equal(sum.records, expected.size);
      },
    ),
    { numRuns: 60, interruptAfterTimeLimit: 10_000 },
  );
});

test('the state at a time is what it was then, and the chain comes to what it was verified with', async () => {
  await fc.assert(
    fc.asyncProperty(histories, fc.integer({ min: 0, max: 2.9 * HOUR_MS }), async (history, afterMs) => {
      const atMs = DAY + afterMs;
      const { taken, sum, layers } = await restored(bucketsOf(history), { atMs });
      assert.deepEqual(taken.items, recordsBefore(history, atMs + 1));
      const verdict = layers.at(-1)?.known.verdict?.state;
      assert.deepEqual([sum.chainRecords, sum.chainDigest], [verdict?.records, verdict?.digest]);
    }),
    { numRuns: 60, interruptAfterTimeLimit: 10_000 },
  );
});

test('what is done is not handed on again, and nothing else comes out different for it', async () => {
  const history = new History();
  for (let n = 0; n < 40; n += 1) history.write(`n${n}`, DAY - HOUR_MS + n, `{"n":${n}}`);
  for (let n = 0; n < 20; n += 1) history.write(`n${n}`, DAY + n, `{"again":${n}}`);
  for (let n = 0; n < 10; n += 1) history.write(`n${n}`, DAY + 2.5 * HOUR_MS + n, `{"last":${n}}`);
  const buckets = bucketsOf(history);
  const { layers, taken, plan } = await restored(buckets);
  const done = new Set(layers.flatMap((layer) => [unitName(layer, 0), unitName(layer, 2)]));
  const sources = sourcesOf(buckets);
  const scope = scopeTest({ kind: 'all' });
  const journals = new Journals(sources, { from: plan.journalFrom ?? '', untilMs: END }, scope);
  await journals.read(() => undefined);
  const second = new Taken();
  const units: string[] = [];
  await restoreStates(second, {
    ...{ layers, journals, scope, lanes: 2, forced: false, done },
    onItems: () => undefined,
    onProblem: assert.fail,
    onUnit: async (name) => {
      units.push(name);
    },
  });
  assert.ok(second.items.size < taken.items.size);
  for (const [pk, item] of second.items) assert.deepEqual(item, taken.items.get(pk));
  for (let n = 0; n < 10; n += 1) assert.ok(second.items.has(pkOf(`n${n}`)), 'the journals are done anew');
  assert.equal(units.filter((name) => done.has(name)).length, 0);
});

test('damage in a journal, and removals that are not the sweeper’s, are not believed', async () => {
  const history = new History();
  const old = DAY - TOMBSTONE_AGE_MS_MIN - HOUR_MS;
  history.write('swept', old, undefined);
  history.write('rotten', DAY - HOUR_MS, '{"whole":true}');
  history.write('erased', DAY - HOUR_MS + 1, '{"erased":true}');
  history.write('erased-early', DAY - HOUR_MS + 2, '{"early":true}');
  history.remove('erased-early', DAY + 1_800_000);
  history.damage('rotten', DAY + 2.2 * HOUR_MS);
  history.remove('swept', DAY + 2.3 * HOUR_MS);
  history.remove('erased', DAY + 2.4 * HOUR_MS);
  const { taken, facts, sum, layers } = await restored(bucketsOf(history));
  assert.deepEqual([...taken.items.keys()].sort(), ['erased', 'erased-early', 'rotten'].map(pkOf));
  assert.deepEqual(taken.items.get(pkOf('rotten'))?.['payload'], { S: '{"whole":true}' });
  // Each of three Regions says so.
  assert.deepEqual([facts?.damagedImages, facts?.disbelieved], [3, 3]);
  assert.equal(
    sum.chainRecords,
    layers.at(-1)?.known.verdict?.state.records,
    'the verdict believes a removal',
  );
});

test('what rotted since it was verified is not taken, wherever it stands whole', async () => {
  const history = new History();
  for (let n = 0; n < 9; n += 1) history.write(`n${n}`, DAY - HOUR_MS + n, `{"n":${n}}`);
  history.write('n1', DAY + HOUR_MS + 5, '{"late":true}');
  history.beat(END);
  const buckets = bucketsOf(history);
  const flip = (bucket: MemoryBucket | undefined, prefix: string) => {
    const key = [...(bucket?.objects.keys() ?? [])].find(
      (it) => it.startsWith(prefix) && it.endsWith('0.json.gz'),
    );
    const content = bucket?.objects.get(key ?? '') ?? assert.fail('no file');
    content[20] = (content[20] ?? 0) ^ 1;
  };
  flip(buckets[0], 'hourly/2026-11-24T02Z/');
  const { plan, taken } = await restored(buckets);
  assert.deepEqual(
    plan.chain.map(({ source, prefix }) => `${source} ${prefix}`),
    ['daily/2026-11-24/', 'hourly/2026-11-24T01Z/', 'hourly/2026-11-24T02Z/'].map((it) => `us-west-2 ${it}`),
  );
  assert.deepEqual(taken.items, recordsBefore(history, END));
  for (const bucket of buckets.slice(1)) flip(bucket, 'hourly/2026-11-24T02Z/');
  const earlier = await restored(buckets);
  assert.equal(earlier.plan.chain.length, 2, 'the hour before, and the journals from there on');
  assert.match(earlier.plan.skipped[0]?.why ?? '', /corrupted: .*expected the MD5/);
  assert.deepEqual(earlier.taken.items, recordsBefore(history, END));
  for (const bucket of buckets) flip(bucket, 'daily/');
  const refused = await prepare({ sources: sourcesOf(buckets), ask: {}, untilMs: END, say: () => undefined });
  assert.deepEqual(
    refused.plan.refusals.map(({ kind }) => kind),
    ['not_verified'],
  );
  await assert.rejects(restored(buckets), /it is not what was verified/);
  const forced = await restored(buckets, { force: true });
  assert.ok(forced.problems.length > 0 && forced.taken.items.size > 0);
});

test('a journal is behind until it has a change from that moment on', async () => {
  const history = new History();
  history.write('n1', DAY + HOUR_MS, '{}');
  history.beat(DAY + HOUR_MS + 5_000);
  const buckets = bucketsOf(history);
  for (const key of [...(buckets[2]?.objects.keys() ?? [])])
    if (key.startsWith('journal/')) buckets[2]?.objects.delete(key);
  const sources = sourcesOf(buckets);
  assert.deepEqual(await journalsBehind(sources, DAY + HOUR_MS + 5_000), ['us-east-1']);
  assert.deepEqual(await journalsBehind(sources, DAY + HOUR_MS + 5_700), ['us-east-2', 'us-east-1']);
});

test('a backup that says nothing that can be read is named, and the others are found', async () => {
  const history = new History();
  history.write('n1', DAY - 1, '{}');
  const [bucket = assert.fail()] = bucketsOf(history);
  bucket.objects.set(`${FIRST}backup.json`, Buffer.from('{"format":2}'));
  const [source = assert.fail()] = sourcesOf([bucket]);
  const { backups, unreadable } = await takeInventory([source], { untilMs: END, named: undefined });
  assert.deepEqual(backups.map(({ prefix }) => prefix).sort(), [DAILY, 'hourly/2026-11-24T02Z/']);
  assert.match(unreadable[0]?.why ?? '', /backup.json: expected what was asked of DynamoDB/);
  const known = backups.find(({ prefix }) => prefix === DAILY) ?? assert.fail();
  const layer = await openLayer(source, known);
  assert.equal(await rotIn(layer, () => undefined), undefined);
  bucket.objects.set(layer.summary.manifestFilesKey, Buffer.from('{}'));
  await assert.rejects(openLayer(source, known), /expected the MD5/);
});

test('a sink that fails ends it with its own error, and nothing more is begun', async () => {
  const history = new History();
  for (let n = 0; n < 60; n += 1) history.write(`n${n}`, DAY - HOUR_MS + n, `{"n":${n}}`);
  const sources = sourcesOf(bucketsOf(history));
  const { layers } = await prepare({ sources, ask: {}, untilMs: DAY, say: () => undefined });
  let puts = 0;
  const failing: Sink = {
    batchMax: 4,
    async put() {
      puts += 1;
      throw new Error('the table is gone');
    },
  };
  const run = restoreStates(failing, {
    ...{
      layers,
      journals: undefined,
      scope: scopeTest({ kind: 'all' }),
      lanes: 2,
      forced: false,
      done: new Set<string>(),
    },
    onItems: () => undefined,
    onProblem: assert.fail,
    onUnit: async () => assert.fail('no file can be done'),
  });
  await assert.rejects(run, /the table is gone/);
  assert.ok(puts <= 6, `${puts} puts`);
});

test('an index keeps for each key the rank it was given, and knows no other', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.integer({ min: 0, max: 5_000 }),
          fc.integer({ min: 0, max: 2 ** 44 }),
          fc.integer({ min: 0, max: 2 }),
        ),
      ),
      fc.integer({ min: 0, max: 2_000 }),
      (entries, more) => {
        const index = new KeyIndex(sha256);
        const model = new Map<string, readonly [ms: number, stage: number]>();
        for (const [n, ms, stage] of entries) {
          const pk = `R#acme#notes#${n}`;
          index.setRank(index.add(pk), versionAt(ms), stage);
          model.set(pk, [ms, stage]);
        }
        for (let n = 0; n < more; n += 1) index.add(`other${n}`);
        assert.equal(index.size, model.size + more);
        for (const [pk, [ms, stage]] of model) {
          const at = index.find(pk) ?? assert.fail();
          assert.deepEqual(
            [index.compareRank(at, versionAt(ms), stage), index.msAt(at), index.stageAt(at)],
            [0, ms, stage],
          );
          assert.ok(
            index.compareRank(at, versionAt(ms + 1), 0) < 0 &&
              index.compareRank(at, versionAt(ms), stage + 1) < 0,
          );
          assert.deepEqual([index.settle(at), index.settle(at)], [false, true]);
        }
        assert.equal(index.find('R#acme#notes#none'), undefined);
      },
    ),
    { numRuns: 60, interruptAfterTimeLimit: 10_000 },
  );
});

test('so many at once and no more', async () => {
  const lanes = new Lanes(2);
  let [now, most] = [0, 0];
  const { promise, resolve } = Promise.withResolvers<void>();
  const task = async () => {
    now += 1;
    most = Math.max(most, now);
    await promise;
    now -= 1;
  };
  const begun = [lanes.begin(task), lanes.begin(task), lanes.begin(task)];
  await Promise.all(begun.slice(0, 2));
  resolve();
  for (const { done } of await Promise.all(begun)) await done;
  assert.equal(most, 2);
  const seen: number[] = [];
  await assert.rejects(
    eachAtOnce([1, 2, 3, 4], 1, async (n) => {
      seen.push(n);
      if (n === 2) throw new Error('two');
    }),
    /two/,
  );
  assert.deepEqual(seen, [1, 2]);
  assert.throws(() => new Lanes(0), /expected a whole number above 0, got 0/);
});
