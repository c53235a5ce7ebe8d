// The full backup loaded by workers: the same records, counted the same, as when it is read here, whatever becomes of
// tasks on their way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sha256 } from '../../bin/restore/examine.ts';
import type { Layer } from '../../bin/restore/inventory.ts';
import { Journals } from '../../bin/restore/journals.ts';
import { prepare } from '../../bin/restore/planning.ts';
import { type OldestLayer, restoreStates } from '../../bin/restore/states.ts';
import { Workers, type WorkersOptions } from '../../bin/restore/workers.ts';
import { HOUR_MS } from '../../protocol/backups.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { KeyIndex } from '../../protocol/key-index.ts';
import { NO_FACTS, plus, type UnitFacts } from '../../protocol/reading-layers.ts';
import { Stamps } from '../../protocol/restore-stamps.ts';
import { scopeTest } from '../../protocol/restoring.ts';
import { DAY } from '../lambdas/exports.ts';
import { bucketsOf, DAILY, END, histories, REGIONS, sourcesOf, Taken } from './restore-histories.ts';
import { type Fate, WorkersWorld } from './restore-workers-world.ts';
import { History, journalObjects, type MemoryBucket } from './restore-world.ts';
import { unstamped } from './unstamped.ts';

const ALL = { kind: 'all' } as const;
const NEVER = new AbortController().signal;

interface Run {
  readonly world?: WorkersWorld;
  readonly options?: Partial<WorkersOptions>;
  readonly done?: Map<string, UnitFacts>;
  /** What was handed on here, by this run and those before. */
  readonly loaded?: Map<string, ExportedItem>;
  readonly signal?: AbortSignal;
  readonly forced?: boolean;
  /** The full backup alone, with the journals from before it on. */
  readonly alone?: boolean;
}

/** Everything that is there afterwards, and what it was said to be. */
async function restored(
  buckets: readonly MemoryBucket[],
  {
    world,
    options,
    done = new Map(),
    loaded = new Map(),
    signal = NEVER,
    forced = false,
    alone = false,
  }: Run,
) {
  const sources = sourcesOf(buckets);
  const ask = alone ? { backup: DAILY } : {};
  const { plan, layers } = await prepare({ sources, ask, untilMs: END, say: () => undefined });
  const scope = scopeTest(ALL);
  const journals = new Journals(sources, { from: plan.journalFrom ?? '', untilMs: END + HOUR_MS }, scope);
  await journals.read(() => undefined);
  const problems: string[] = [];
  const stamps = new Stamps('d'.repeat(16), () => world?.nowMs ?? 0);
  const ports = {
    now: () => world?.nowMs ?? 0,
    sleep: async () => world?.work(),
    say: () => undefined,
    interrupted: signal,
    ...options?.ports,
  };
  const common = { onItems: () => undefined, onProblem: (why: string) => void problems.push(why) };
  const workers =
    world &&
    new Workers({
      ...{ queueIn: () => world, restoreId: 'r-1', scope: ALL, forced, stamps, linesPerTask: 2 },
      ...options,
      ports,
    });
  const here = new Taken();
  const running = restoreStates(here, {
    ...{ layers, journals, scope, lanes: 3, forced, done: new Set(done.keys()), ...common },
    onUnit: async (name, facts) => {
      done.set(name, facts);
    },
    ...(workers && { elsewhere: (oldest: OldestLayer) => workers.load(oldest, common) }),
  });
  // Also of one that is killed.
  await running.finally(() => {
    for (const [pk, item] of here.items) loaded.set(pk, item);
  });
  // What is handed on here is put whatever is there; a worker puts only where nothing is.
  const both = [...here.items.keys()].filter((pk) => world?.table.has(pk));
  const items = new Map<string, ExportedItem>([...(world?.table ?? []), ...loaded]);
  return {
    items: unstamped(items),
    facts: [...done.values()].reduce(plus, NO_FACTS),
    stamps,
    layers,
    problems,
    workers,
    both,
  };
}

/** One backup, with nothing on top of it. */
async function loadAlone(world: WorkersWorld, layer: Layer, forced: boolean) {
  const problems: string[] = [];
  let records = 0;
  world.table.clear();
  const options = { queueIn: () => world, restoreId: 'r-1', scope: ALL, forced, linesPerTask: 4 };
  const ports = { now: () => 0, sleep: () => world.work(), say: () => undefined, interrupted: NEVER };
  const stamps = { stampedElsewhere: () => undefined };
  await new Workers({ ...options, ports, stamps }).load(
    {
      ...{ layer, newer: new KeyIndex(sha256), journals: undefined, isDone: () => false },
      done: async (_, facts) => {
        records += facts.records;
      },
      again: async () => assert.fail('nothing was done before'),
    },
    { onItems: () => undefined, onProblem: (why) => problems.push(why) },
  );
  return { problems, records };
}

/** Journals that also have what the full backup has. */
function withAll(buckets: readonly MemoryBucket[], history: History): readonly MemoryBucket[] {
  for (const [at, bucket] of buckets.entries())
    bucket.add(journalObjects(history, REGIONS[at] ?? '', { laterMs: at * 700, size: 2 }));
  return buckets;
}

const FATES: readonly Fate[] = ['well', 'well', 'well', 'again', 'late', 'killed', 'busy'];

test('whatever order tasks come in, however often, and whoever dies over them: what is loaded here would be the same', async () => {
  await fc.assert(
    fc.asyncProperty(
      histories,
      fc.infiniteStream(fc.constantFrom(...FATES)),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      fc.integer({ min: 1, max: 5 }),
      fc.func(fc.boolean()),
      fc.boolean(),
      async (history, fates, picks, linesPerTask, drops, alone) => {
        const buckets = withAll(bucketsOf(history), history);
        // Gaps in the journals are what makes a full backup have the later state.
        for (const { objects } of buckets)
          for (const key of [...objects.keys()])
            if (key.startsWith('journal/') && /T(23|00|01)Z/.test(key) && drops(key)) objects.delete(key);
        const expected = await restored(buckets, { alone });
        const world = new WorkersWorld(buckets[0] as MemoryBucket);
        world.fate = () => fates.next().value;
        world.pick = () => picks.next().value;
        const got = await restored(buckets, { world, options: { linesPerTask }, alone });
        assert.deepEqual(got.items, expected.items);
        assert.deepEqual([got.facts, got.both], [expected.facts, []]);
        // What comes once more after all was done changes nothing.
        const before = new Map(world.table);
        world.fate = () => 'well';
        await world.work(100);
        assert.deepEqual(world.table, before);
      },
    ),
    { numRuns: 60, interruptAfterTimeLimit: 15_000 },
  );
});

test('killed on the way, it goes on from what is done: with the same index, or with one that has changed', async () => {
  await fc.assert(
    fc.asyncProperty(
      histories,
      fc.integer({ min: 1, max: 6 }),
      fc.boolean(),
      fc.boolean(),
      async (history, looks, journalGrows, alone) => {
        const buckets = withAll(bucketsOf(history), history);
        const [bucket, other] = buckets as [MemoryBucket, MemoryBucket];
        const late = [...other.objects].filter(([key]) => /T02Z/.test(key) && key.startsWith('journal/'));
        // The others' journals have it too, unless they are as late.
        if (journalGrows)
          for (const { objects } of buckets)
            for (const key of [...objects.keys()])
              if (/T02Z/.test(key) && key.startsWith('journal/')) objects.delete(key);
        const [world, done] = [new WorkersWorld(bucket), new Map<string, UnitFacts>()];
        const loaded = new Map<string, ExportedItem>();
        const abort = new AbortController();
        let left = looks;
        const sleep = async () => {
          await world.work(2);
          left -= 1;
          if (left === 0) abort.abort();
        };
        const ports = { now: () => 0, say: () => undefined, interrupted: abort.signal, sleep };
        await restored(buckets, {
          world,
          done,
          loaded,
          alone,
          signal: abort.signal,
          options: { ports },
        }).catch((error: Error) => assert.equal(error.name, 'AbortError'));
        if (journalGrows && !done.has('journal'))
          for (const [key, content] of late) other.objects.set(key, content);
        if (done.has('journal')) return;
        const expected = await restored(buckets, { alone });
        const got = await restored(buckets, { world, done, loaded, alone });
        assert.deepEqual(got.items, expected.items);
        // What a later journal beats was counted with its file: as when all is read here, the comparison at the end says so.
        if (!journalGrows) assert.deepEqual(got.facts, expected.facts);
      },
    ),
    { numRuns: 40, interruptAfterTimeLimit: 15_000 },
  );
});

const notes = (count: number, payload: (n: number) => string) => {
  const history = new History();
  for (let n = 0; n < count; n += 1) history.write(`n${n}`, DAY - HOUR_MS + n, payload(n));
  history.beat(END);
  return history;
};

test('whoever comes late does nothing: the table is open, or closed for another restore', async () => {
  const buckets = bucketsOf(notes(9, (n) => `{"n":${n}}`));
  const bucket = buckets[0] as MemoryBucket;
  const world = new WorkersWorld(bucket);
  const bodies: string[] = [];
  world.fate = (body) => {
    bodies.push(body);
    return 'well';
  };
  await restored(buckets, { world });
  for (const generation of [
    { status: 'open', restoreEpoch: 2 },
    { status: 'restoring', restoreEpoch: 2, restoreId: 'another' },
    undefined,
  ] as const) {
    world.generation = generation;
    world.table.clear();
    for (const key of [...bucket.objects.keys()])
      if (/^restoring\/.*\.json$/.test(key)) bucket.objects.delete(key);
    await world.send(bodies.slice());
    await world.work(100);
    assert.deepEqual([world.table.size, world.waiting.length], [0, 0]);
  }
  assert.match(world.telemetry.warnings.join('\n'), /left undone/);
});

test('closed for another while it is at work: it ends before its next put', async () => {
  const buckets = bucketsOf(notes(30, (n) => `{"n":${n}}`));
  const world = new WorkersWorld(buckets[0] as MemoryBucket);
  const put = world.table.set.bind(world.table);
  world.table.set = (pk, item) => {
    world.generation = { status: 'open', restoreEpoch: 9 };
    return put(pk, item);
  };
  const ports = { now: () => world.nowMs, say: () => undefined, interrupted: NEVER };
  const sleep = async () => {
    world.nowMs += 120_000;
    await world.work();
  };
  await assert.rejects(
    restored(buckets, { world, options: { ports: { ...ports, sleep }, linesPerTask: 100 } }),
    /none has said/,
  );
  // A file has ten.
  assert.ok(world.table.size > 0 && world.table.size < 10, `${world.table.size} records`);
});

test('whoever has no time left tells how far it came, and the rest is a task of its own', async () => {
  const buckets = bucketsOf(notes(60, (n) => JSON.stringify({ n, text: `${n}`.repeat(30_000) })));
  const bucket = buckets[0] as MemoryBucket;
  const world = new WorkersWorld(bucket);
  world.putMs = 60_000;
  const { facts, items } = await restored(buckets, { world, options: { linesPerTask: 1_000 } });
  assert.deepEqual([facts.records, items.size], [60, 60]);
  const results = [...bucket.objects.keys()].filter((key) => /^restoring\/r-1\/load-.*json$/.test(key));
  assert.ok(
    results.some((key) => !key.endsWith('-0.json')),
    results.join(' '),
  );
});

test('a worker that dies without a word, every time, ends it with the file’s name', async () => {
  const buckets = bucketsOf(notes(12, (n) => `{"n":${n}}`));
  const world = new WorkersWorld(buckets[0] as MemoryBucket);
  world.fate = (body) => (body.includes('data/1.json.gz') ? 'silent' : 'well');
  const done = new Map<string, UnitFacts>();
  const loaded = new Map<string, ExportedItem>();
  await assert.rejects(
    restored(buckets, { world, done, loaded }),
    /data\/1\.json\.gz, lines 1 to 2: no worker could do it, .*: each ended without a word/,
  );
  // What was done stays done, and with workers that live it comes to its end.
  world.fate = () => 'well';
  const [deliveries, others] = [world.deliveries, world.waiting.length];
  const { facts } = await restored(buckets, { world, done, loaded });
  assert.equal(facts.records, 12);
  assert.ok(world.deliveries - deliveries <= others + 4, `${world.deliveries - deliveries} tasks more`);
});

test('where nobody does anything, tasks are sent again a few times, and then it ends and says so', async () => {
  const buckets = bucketsOf(notes(9, (n) => `{"n":${n}}`));
  const world = new WorkersWorld(buckets[0] as MemoryBucket);
  const said: string[] = [];
  const ports = {
    now: () => world.nowMs,
    say: ({ says }: { readonly says: string }) => void said.push(says),
    interrupted: NEVER,
    sleep: async () => {
      world.nowMs += 60_000;
    },
  };
  await assert.rejects(
    restored(buckets, { world, options: { ports, linesPerTask: 100 } }),
    /none has said anything for .* after it was sent 3 times; is the restore function running\?/,
  );
  assert.equal(said.filter((it) => /are sent again/.test(it)).length, 2);
  assert.equal(world.waiting.length, 3 * 3);
});

test('what has rotted is named by a look before anything is closed, and by a worker after; forced, it is passed over', async () => {
  const history = notes(30, (n) => `{"n":${n}}`);
  const buckets = bucketsOf(history);
  const bucket = buckets[0] as MemoryBucket;
  const world = new WorkersWorld(bucket);
  const { workers, layers } = await restored(buckets, { world });
  const [daily] = layers;
  assert.ok(daily && workers);
  assert.equal(await workers.look(daily), undefined);
  const file = daily.files[1] ?? assert.fail();
  const sound = Buffer.from(bucket.objects.get(file.key) ?? []);
  const rotten = Buffer.from(sound);
  rotten.writeUInt8(rotten.readUInt8(30) ^ 1, 30);
  bucket.objects.set(file.key, rotten);
  for (const key of [...bucket.objects.keys()]) if (key.startsWith('restoring/')) bucket.objects.delete(key);
  assert.match((await workers.look(daily)) ?? '', /data\/1\.json\.gz: expected the MD5 /);
  // As the command does once it is closed: what it looked at was whole, and is not any more.
  await assert.rejects(
    loadAlone(world, daily, false),
    /data\/1\.json\.gz, lines .*: no worker could do it, .*it is not what was verified/,
  );
  const { problems, records } = await loadAlone(world, daily, true);
  assert.ok(
    problems.some((why) => why.includes('data/1.json.gz')),
    problems.join('; '),
  );
  assert.ok(records >= 20 && records < 30, `${records} records`);
});
