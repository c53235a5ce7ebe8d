// The sweeper: each of its fences alone, and how far one run goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Generation } from '../../lambdas/core/admission.ts';
import { NO_AUDIT, type StoredRecord } from '../../lambdas/core/record.ts';
import { shardsInTurn, sweepBefore } from '../../lambdas/core/sweeping.ts';
import { createSweeper } from '../../lambdas/routes/sweeper.ts';
import { StoreUnavailableError, type Tombstone } from '../../lambdas/store/store.ts';
import { recordPk } from '../../protocol/items.ts';
import { FEED_SHARDS, SWEEP_AFTER_RESTORE_MS, TOMBSTONE_AGE_MS_MIN } from '../../protocol/limits.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import type { Version } from '../../protocol/versions.ts';
import { MemoryAudit, trailOf, versionAt } from './audit-trail.ts';
import { REGIONS, Recorder } from './functions.ts';
import { activeIn, Jobs } from './who-is-active.ts';

const HOUR_MS = 3_600_000;
const T = 500_000 * HOUR_MS;
const OLD = T - TOMBSTONE_AGE_MS_MIN - 1;

interface Held extends Tombstone {
  readonly shard: number;
  outbox: readonly string[];
}

/** One run after another of the primary's sweeper over tombstones in memory. */
class Sweeper {
  readonly held: Held[] = [];
  readonly gone: Held[] = [];
  /** The index goes on showing what was removed. */
  isIndexLate = false;
  readonly audit = new MemoryAudit();
  readonly telemetry = new Recorder();
  readonly asked: { readonly shard: number; readonly before: Version }[] = [];
  generation: Generation | undefined = { status: 'open', restoreEpoch: T - SWEEP_AFTER_RESTORE_MS };
  routing: RoutingState | undefined;
  readonly jobs = new Jobs();
  nowMs = T;
  /** Called before a tombstone is removed. */
  onSweep: (tombstone: Tombstone) => void = () => {};
  /** Called after an outbox was trimmed. */
  onTrim: () => void = () => {};
  /** Called when a shard is asked for. */
  onShard: (shard: number) => void = () => {};
  judged = 0;

  hold(commitMs: number, { id = `n${this.held.length}`, shard = 0, outbox = [] as readonly string[] } = {}) {
    const key = { tenant: 'acme', collection: 'notes', id };
    const held = { key, commitVersion: versionAt(commitMs), shard, outbox };
    this.held.push(held);
    return held;
  }

  ids(): readonly string[] {
    return this.held.map(({ key }) => key.id);
  }

  run(): Promise<void> {
    const find = ({ key, commitVersion }: Tombstone) =>
      this.held.find((it) => recordPk(it.key) === recordPk(key) && it.commitVersion === commitVersion);
    return createSweeper({
      place: { stage: 'dev', role: 'primary', region: REGIONS.primary, regions: REGIONS },
      telemetry: this.telemetry,
      audit: this.audit,
      now: () => this.nowMs,
      generation: {
        current: async () => this.generation,
        refresh: async () => {
          this.judged += 1;
          return this.generation;
        },
      },
      store: {
        routing: async () => this.routing,
        enterJob: this.jobs.enter,
        tombstones: async (shard, before, limit, after) => {
          this.asked.push({ shard, before });
          this.onShard(shard);
          return [...this.held, ...(this.isIndexLate ? this.gone : [])]
            .filter((it) => it.shard === shard && it.commitVersion < before)
            .filter((it) => after === undefined || it.commitVersion > after.commitVersion)
            .sort((a, b) => (a.commitVersion < b.commitVersion ? -1 : 1))
            .slice(0, limit);
        },
        sweep: async (tombstone) => {
          this.onSweep(tombstone);
          const held = find(tombstone);
          if (!held || held.outbox.length > 0) return false;
          this.gone.push(...this.held.splice(this.held.indexOf(held), 1));
          return true;
        },
        read: async (key): Promise<StoredRecord | undefined> => {
          const held = this.held.find((it) => recordPk(it.key) === recordPk(key));
          return (
            held && {
              version: held.commitVersion,
              commitVersion: held.commitVersion,
              content: { deleted: true },
              settled: new Map(),
              audit: { ...NO_AUDIT, sequence: held.outbox.length, outbox: held.outbox },
            }
          );
        },
        trim: async (key, commitVersion, outbox) => {
          const held = find({ key, commitVersion });
          if (held) held.outbox = outbox;
          this.onTrim();
          return held !== undefined;
        },
      },
    })();
  }
}

test('removes tombstones committed more than 93 days ago, in every shard, and no younger one', async () => {
  const sweeper = new Sweeper();
  for (let shard = 0; shard < FEED_SHARDS; shard += 1) sweeper.hold(OLD, { id: `old${shard}`, shard });
  sweeper.hold(T - TOMBSTONE_AGE_MS_MIN, { id: 'just not', shard: 3 });
  sweeper.hold(T - 1, { id: 'young', shard: 3 });
  await sweeper.run();
  assert.deepEqual(sweeper.ids(), ['just not', 'young']);
  assert.equal(sweeper.telemetry.sum('tombstones_swept'), FEED_SHARDS);
  assert.equal(
    sweeper.judged,
    FEED_SHARDS,
    'who is active and whether the table is open is read before each',
  );
  assert.ok(sweeper.asked.every(({ before }) => before === sweepBefore(T)));
});

for (const [what, close] of [
  [
    'where another region is active',
    (it: Sweeper) => {
      it.routing = activeIn(REGIONS.standby, 2);
    },
  ],
  [
    'while the region is being left for another',
    (it: Sweeper) => {
      it.routing = activeIn(REGIONS.primary, 2, { draining: { to: REGIONS.standby, since: T } });
    },
  ],
  [
    'under an older epoch than it swept under before',
    (it: Sweeper) => {
      it.routing = activeIn(REGIONS.primary, 2);
      it.jobs.entries.set('sweep', { epoch: 3, region: REGIONS.standby, at: T });
    },
  ],
  [
    'while the table is being restored',
    (it: Sweeper) => {
      it.generation = { status: 'restoring', restoreEpoch: 1 };
    },
  ],
  [
    'of a table that was never opened',
    (it: Sweeper) => {
      it.generation = undefined;
    },
  ],
  [
    'within 24 h after a restore',
    (it: Sweeper) => {
      it.generation = { status: 'open', restoreEpoch: T - SWEEP_AFTER_RESTORE_MS + 1 };
    },
  ],
] as const)
  test(`removes nothing ${what}`, async () => {
    const sweeper = new Sweeper();
    sweeper.hold(OLD);
    close(sweeper);
    await sweeper.run();
    assert.deepEqual([sweeper.ids(), sweeper.asked], [['n0'], []]);
    assert.equal(sweeper.telemetry.sum('tombstones_swept'), 0);
  });

test('sweeps where the routing item says that this region is active', async () => {
  const sweeper = new Sweeper();
  sweeper.hold(OLD);
  sweeper.routing = activeIn(REGIONS.primary, 5);
  await sweeper.run();
  assert.deepEqual(sweeper.ids(), []);
  assert.deepEqual(sweeper.jobs.entries.get('sweep'), { epoch: 5, region: REGIONS.primary, at: T });
});

test('a failover during a run ends it at the next shard', async () => {
  const sweeper = new Sweeper();
  const [first = 0, second = 1] = shardsInTurn(T, FEED_SHARDS);
  sweeper.hold(OLD, { id: 'before', shard: first });
  sweeper.hold(OLD, { id: 'after', shard: second });
  sweeper.onSweep = () => {
    sweeper.routing = activeIn(REGIONS.standby, 9);
  };
  await sweeper.run();
  assert.deepEqual(sweeper.ids(), ['after']);
});

test('a restore that begins during a page stops it before the next removal', async () => {
  for (const generation of [
    { status: 'restoring', restoreEpoch: T - SWEEP_AFTER_RESTORE_MS },
    { status: 'open', restoreEpoch: T - 1 },
  ] as const) {
    const sweeper = new Sweeper();
    sweeper.hold(OLD);
    sweeper.onShard = () => {
      sweeper.generation = generation;
    };
    await sweeper.run();
    assert.deepEqual(sweeper.ids(), ['n0'], JSON.stringify(generation));
  }
});

test('a record written again after the index was read stays', async () => {
  const sweeper = new Sweeper();
  const held = sweeper.hold(OLD);
  sweeper.onSweep = () => {
    sweeper.held.splice(0, 1, { ...held, commitVersion: versionAt(T) });
  };
  await sweeper.run();
  assert.deepEqual(sweeper.ids(), ['n0']);
  assert.deepEqual(sweeper.audit.calls, []);
});

test('an outbox that nobody trimmed is archived and trimmed first', async () => {
  const sweeper = new Sweeper();
  const trail = trailOf({ tenant: 'acme', collection: 'notes', id: 'n0' }, 2);
  sweeper.hold(OLD, { outbox: trail.map(({ text }) => text) });
  sweeper.audit.down = () => true;
  await sweeper.run();
  assert.deepEqual(sweeper.ids(), ['n0'], 'not before it is archived');
  assert.equal(sweeper.held[0]?.outbox.length, 2);
  assert.equal(sweeper.telemetry.errors.length, 1);
  sweeper.audit.down = () => false;
  await sweeper.run();
  assert.deepEqual(sweeper.ids(), []);
  assert.deepEqual(
    [...sweeper.audit.objects.keys()],
    trail.map(({ key }) => key),
  );
});

for (const [when, entries, left] of [
  ['while an outbox is archived stops it before the trim', 2, 2],
  ['while an outbox is trimmed stops it before the removal', 0, 0],
] as const)
  test(`a restore that begins ${when}`, async () => {
    const sweeper = new Sweeper();
    const trail = trailOf({ tenant: 'acme', collection: 'notes', id: 'n0' }, 2);
    const restoring = () => {
      sweeper.generation = { status: 'restoring', restoreEpoch: T - SWEEP_AFTER_RESTORE_MS };
    };
    const held = sweeper.hold(OLD, { outbox: trail.map(({ text }) => text) });
    if (entries > 0)
      sweeper.audit.down = () => {
        restoring();
        return false;
      };
    else sweeper.onTrim = restoring;
    await sweeper.run();
    assert.deepEqual(sweeper.ids(), ['n0']);
    assert.equal(held.outbox.length, left);
  });

test('one that cannot be removed keeps no other from it', async () => {
  const sweeper = new Sweeper();
  for (let n = 0; n < 120; n += 1) sweeper.hold(OLD - n);
  sweeper.onSweep = ({ key }) => {
    if (key.id === 'n7') throw new StoreUnavailableError('busy', { retryable: true, mayHaveLanded: false });
  };
  await sweeper.run();
  assert.deepEqual(sweeper.ids(), ['n7']);
  assert.equal(sweeper.telemetry.sum('tombstones_swept'), 119);
});

test('neither what cannot be removed nor an index that still shows what has gone ends a shard early', async () => {
  const sweeper = new Sweeper();
  sweeper.isIndexLate = true;
  for (let n = 0; n < 170; n += 1) sweeper.hold(OLD - 170 + n);
  sweeper.onSweep = ({ key }) => {
    if (Number(key.id.slice(1)) < 60)
      throw new StoreUnavailableError('busy', { retryable: true, mayHaveLanded: false });
  };
  await sweeper.run();
  assert.equal(sweeper.held.length, 60);
  assert.equal(sweeper.asked.filter(({ shard }) => shard === 0).length, 4);
});

test('a run whose time is up leaves the rest to the next', async () => {
  const sweeper = new Sweeper();
  for (let n = 0; n < 200; n += 1) sweeper.hold(OLD - n, { shard: 5 });
  sweeper.onSweep = () => {
    sweeper.nowMs += 1_500;
  };
  await sweeper.run();
  assert.deepEqual(sweeper.held.length, 100);
  await sweeper.run();
  assert.deepEqual(sweeper.ids(), []);
});

test('every hour begins with another shard, so that none is always last', () => {
  const first = new Set(Array.from({ length: 16 }, (_, hour) => shardsInTurn(T + hour * HOUR_MS, 16)[0]));
  assert.equal(first.size, 16);
  assert.deepEqual(
    shardsInTurn(T, 16).toSorted((a, b) => a - b),
    Array.from({ length: 16 }, (_, shard) => shard),
  );
});

test('a table that does not answer fails the run, which reports what it did', async () => {
  const sweeper = new Sweeper();
  sweeper.onShard = () => {
    throw new StoreUnavailableError('gone', { retryable: true, mayHaveLanded: false });
  };
  await assert.rejects(sweeper.run(), StoreUnavailableError);
  assert.equal(sweeper.telemetry.samples.filter(({ name }) => name === 'tombstones_swept').length, 1);
});
