// Random lives of a queue against the model: edits, verdicts, pulls, restores, crashes of the process and of the
// machine between any two steps. After every crash the queue is what the model was before the call or after it; never
// anything else, and never less than was acknowledged.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { QueueDisk } from '../../../client/queue/disk.ts';
import type { Queue } from '../../../client/queue/queue.ts';
import { openSqliteDisk } from '../../../client/queue/sqlite-disk.ts';
import type { Change } from '../../../protocol/messages.ts';
import type { Verdict, VerdictName } from '../../../protocol/verdicts.ts';
import { compareVersions, type Version, versionOf } from '../../../protocol/versions.ts';
import { Crash, MemoryDisk, type Step } from './memory-disk.ts';
import {
  EMPTY_MODEL,
  idOf,
  type Model,
  type ModelChange,
  type ModelOperation,
  pulled,
  raised,
  reopened,
  settled,
  verdictOf,
  viewOf,
  viewOfModel,
} from './model.ts';
import { folderOf, NOW, World } from './queues.ts';

const KEYS = ['a', 'b', 'c', 'd'];
const OTHER = 'ffffffffffffffff';
const VERDICTS: readonly VerdictName[] = [
  'applied',
  'duplicate',
  'superseded',
  'deferred',
  'rejected',
  'clock_ahead',
];

type Action =
  | { readonly do: 'append'; readonly edits: readonly { readonly key: string; readonly deletes: boolean }[] }
  | {
      readonly do: 'settle';
      readonly most: number;
      readonly verdicts: readonly number[];
      readonly serverMs: number;
    }
  | {
      readonly do: 'pull';
      readonly changes: readonly ModelChange[];
      readonly resync: boolean;
      readonly more: boolean;
    }
  | { readonly do: 'raise' }
  | { readonly do: 'restart' }
  | { readonly do: 'resubmit'; readonly which: number }
  | { readonly do: 'discard'; readonly which: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'crash' };

/** A crash at the so-manieth step of the action, if it has that many; `keeps` decides what was unsynced. */
interface Turn {
  readonly action: Action;
  readonly crashAt: number | undefined;
  readonly keeps: readonly boolean[];
}

const key = fc.constantFrom(...KEYS);
const change: fc.Arbitrary<ModelChange> = fc
  .record({
    id: key,
    ms: fc.integer({ min: -500, max: 500 }),
    payload: fc.option(fc.nat(), { nil: undefined }),
  })
  .map(({ id, ms, payload }) => ({ id, payload, version: versionOf({ ms: NOW + ms, counter: 0 }, OTHER) }));
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      edits: fc.array(fc.record({ key, deletes: fc.boolean() }), { minLength: 1, maxLength: 5 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      most: fc.integer({ min: 1, max: 6 }),
      verdicts: fc.array(fc.nat(VERDICTS.length - 1), { minLength: 6, maxLength: 6 }),
      serverMs: fc.integer({ min: -200_000, max: 200_000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('pull' as const),
      changes: fc.array(change, { maxLength: 4 }),
      resync: fc.boolean(),
      more: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom<Action>({ do: 'raise' }, { do: 'restart' }, { do: 'crash' }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('resubmit' as const, 'discard' as const), which: fc.nat(5) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: -5_000, max: 5_000 }) }),
  },
);
const turn: fc.Arbitrary<Turn> = fc.record({
  action,
  crashAt: fc.option(fc.nat(6), { nil: undefined, freq: 3 }),
  keeps: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
});

/** A queue, the model beside it, and what both were given. */
class Life {
  readonly world = new World();
  readonly #reopen: (keeps: readonly boolean[]) => QueueDisk;
  #queue: Queue;
  #model: Model = EMPTY_MODEL;
  #payload = 0;
  #cursor = 0;
  readonly #stamps = new Map<string, Version>();

  constructor(open: () => QueueDisk, reopen: (keeps: readonly boolean[]) => QueueDisk) {
    this.#reopen = reopen;
    this.#queue = this.world.open(open());
  }

  async live({ action, keeps }: Turn, armed: () => void): Promise<void> {
    const before = this.#model;
    const sequence = this.#sequence();
    try {
      armed();
      await this.#act(action, sequence);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.#recover([before, this.#model], keeps);
      return;
    }
    if (action.do === 'crash') this.#recover([this.#model], keeps);
    else this.#compare([this.#model]);
  }

  end(): void {
    this.#recover([this.#model], []);
    this.#queue.verify();
    this.#queue.close();
  }

  #recover(candidates: readonly Model[], keeps: readonly boolean[]): void {
    this.world.dropTurn();
    this.#queue = this.#open(keeps);
    this.#compare(candidates.map(reopened));
    assert.equal(this.#queue.recovered, this.#queue.pending);
  }

  /** A machine can go down while it recovers, too. */
  #open(keeps: readonly boolean[]): Queue {
    const disk = this.#reopen(keeps);
    try {
      return this.world.open(disk);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      return this.#open(keeps);
    }
  }

  #compare(candidates: readonly Model[]): void {
    const view = JSON.stringify(viewOf(this.#queue, KEYS));
    const match = candidates.find((model) => JSON.stringify(viewOfModel(model, KEYS)) === view);
    if (match === undefined)
      assert.deepEqual(view, JSON.stringify(viewOfModel(candidates[0] as Model, KEYS)));
    else this.#model = match;
    this.#checkStamps();
  }

  /**
   * Each operation on a key is above the one before it and above its base (5.4, invariant 4). A replayed one may stand
   * above what was stamped since the clock was put back: then the server's answer re-stamps the key (3.2).
   */
  #checkStamps(): void {
    const lasts = new Map<string, Version>();
    const batch = this.#queue.nextBatch({ operationsMax: 1_000 });
    for (const { id, version, base, replayed } of batch?.operations ?? []) {
      assert.ok(base === undefined || compareVersions(version, base) > 0);
      if (replayed) continue;
      const last = lasts.get(id);
      assert.ok(last === undefined || compareVersions(version, last) > 0);
      lasts.set(id, version);
    }
    if (batch) this.#queue.release(batch);
  }

  async #act(action: Action, sequence: number): Promise<void> {
    const model = this.#model;
    switch (action.do) {
      case 'append':
        return this.#append(action.edits, sequence);
      case 'settle':
        return this.#settle(action);
      case 'pull':
        return this.#pull(action);
      case 'raise':
        this.#model = raised(model, model.epoch + 1);
        this.#queue.raiseRestoreEpoch(model.epoch + 1);
        return;
      case 'restart':
        this.#model = { ...model, cursor: null, resync: { ...model.resync, active: false } };
        this.#queue.restartPull();
        return;
      case 'resubmit':
      case 'discard':
        return this.#takeFromQuarantine(action, sequence);
      case 'wait':
        this.world.nowMs += action.ms;
        return;
      case 'crash':
        return;
    }
  }

  async #append(edits: readonly { key: string; deletes: boolean }[], sequence: number): Promise<void> {
    const added = edits.map(({ key, deletes }, index): ModelOperation => {
      const payload = deletes ? undefined : ++this.#payload;
      const id = idOf({ session: this.#queue.session, sequence: sequence + index });
      return { id, key, payload, state: 'pending', replayed: false };
    });
    this.#model = { ...this.#model, operations: [...this.#model.operations, ...added] };
    const receipts = added.map(({ key: id, payload }) =>
      this.#queue.append(
        payload === undefined
          ? { kind: 'delete', collection: 'notes', id }
          : { kind: 'put', collection: 'notes', id, payload },
      ),
    );
    const all = Promise.all(receipts);
    all.catch(() => undefined);
    this.world.endTurn();
    for (const receipt of await all) {
      const known = this.#stamps.get(idOf(receipt));
      assert.equal(known, undefined, `${idOf(receipt)} was given twice`);
      this.#stamps.set(idOf(receipt), receipt.version);
    }
  }

  #settle({ most, verdicts, serverMs }: Action & { do: 'settle' }): void {
    const batch = this.#queue.nextBatch({ operationsMax: most });
    if (batch === undefined) return;
    // 5.3: a key stops at its first operation that was not written; the rest of it comes back deferred.
    const stopped = new Set<string>();
    const given = batch.operations.map((operation, index): Verdict => {
      const drawn = VERDICTS[verdicts[index] as number] as VerdictName;
      const name = stopped.has(operation.id) ? 'deferred' : drawn;
      if (['deferred', 'rejected', 'clock_ahead'].includes(name)) stopped.add(operation.id);
      return verdictOf(name, operation, NOW + serverMs);
    });
    this.#model = settled(this.#model, batch.operations, given);
    this.#queue.settle({ verdicts: given, restoreEpoch: this.#queue.restoreEpoch });
    this.#queue.release(batch);
  }

  #pull({ changes, resync, more }: Action & { do: 'pull' }): void {
    const page = { cursor: `c${++this.#cursor}`, resync, more };
    this.#model = pulled(this.#model, changes, page);
    const rows = changes.map(
      ({ id, version, payload }): Change => ({
        collection: 'notes',
        id,
        version,
        deleted: payload === undefined,
        ...(payload === undefined ? {} : { payload }),
      }),
    );
    this.#queue.applyPull({ ...page, changes: rows }, this.#queue.restoreEpoch);
  }

  async #takeFromQuarantine(action: Action & { which: number }, sequence: number): Promise<void> {
    const quarantined = [...this.#queue.quarantine()];
    const chosen = quarantined[action.which % Math.max(1, quarantined.length)];
    if (chosen === undefined) return;
    const taken = this.#model.operations.find(({ id }) => id === idOf(chosen)) as ModelOperation;
    const rest = this.#model.operations.filter((it) => it !== taken);
    if (action.do === 'discard') {
      this.#model = { ...this.#model, operations: rest };
      this.#queue.discard(chosen.session, chosen.sequence);
      return;
    }
    const again: ModelOperation = {
      ...taken,
      id: idOf({ session: this.#queue.session, sequence }),
      state: 'pending',
      replayed: false,
    };
    this.#model = { ...this.#model, operations: [...rest, again] };
    const receipt = this.#queue.resubmit(chosen.session, chosen.sequence);
    receipt.catch(() => undefined);
    this.world.endTurn();
    this.#stamps.set(idOf(await receipt), (await receipt).version);
  }

  /** The next of this session. */
  #sequence(): number {
    const mine = [...this.#stamps.keys()].filter((id) => id.startsWith(this.#queue.session));
    return mine.length + 1;
  }
}

/** Counts steps down to a crash. */
class Fuse {
  #left: number | undefined;

  light(steps: number | undefined): void {
    this.#left = steps;
  }

  readonly at = (step: Step): void => {
    if (this.#left === undefined) return;
    if (this.#left-- > 0) return;
    this.#left = undefined;
    throw new Crash(step);
  };
}

async function liveInMemory(turns: readonly Turn[], forgetsToSync = false): Promise<void> {
  const fuse = new Fuse();
  const options = { at: fuse.at, forgetsToSync };
  let disk = new MemoryDisk(options);
  const life = new Life(
    () => disk,
    (keeps) => {
      const left = [...keeps];
      // Out of decisions, only the process dies.
      disk =
        left.length === 0 ? disk.afterKill(options) : disk.afterPowerCut(() => left.pop() ?? false, options);
      return disk;
    },
  );
  for (const turn of turns) await life.live(turn, () => fuse.light(turn.crashAt));
  fuse.light(undefined);
  life.end();
}

test('through any crash, the queue in memory is what the model says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(turn, { maxLength: 40 }), (turns) => liveInMemory(turns)),
    { numRuns: Number(process.env['QUEUE_RUNS'] ?? 300) },
  );
});

test('the same property fails when commits are not synced (planted bug)', async () => {
  const property = fc.asyncProperty(fc.array(turn, { minLength: 10, maxLength: 40 }), (turns) =>
    liveInMemory(turns, true),
  );
  const { failed, errorInstance } = await fc.check(property, { numRuns: 300 });
  assert.ok(failed);
  assert.match(String(errorInstance), /QueueCorruptError|Expected values to be strictly/);
});

test('the queue file is what the model says, over closing and opening', async (t) => {
  let number = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(turn, { maxLength: 20 }), async (turns) => {
      const path = join(folderOf(t), `${number++}.db`);
      let disk = openSqliteDisk(path, { reserveBytes: 0 });
      const reopen = () => {
        disk.close();
        disk = openSqliteDisk(path, { reserveBytes: 0 });
        return disk;
      };
      const life = new Life(() => disk, reopen);
      for (const turn of turns) await life.live(turn, () => undefined);
      life.end();
    }),
    { numRuns: 10 },
  );
});
