// What a backup function asks for at a tick: full or incremental, on which chain, and when it waits or leaves it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ASKED_AFTER_MS,
  ATTEMPTS_MAX,
  type BackupPlan,
  chainDayOf,
  type ExportPlan,
  judgeCopies,
  type KnownBackup,
  planBackup,
  type Restorable,
  type Scene,
  tickDue,
  WINDOW_MS,
} from '../../lambdas/core/backup-plan.ts';
import {
  type BackupTier,
  backupOfKey,
  backupPrefix,
  DAY_MS,
  HOUR_MS,
  tickOf,
} from '../../protocol/backups.ts';

const REGION = 'us-east-2';
const DAY = Date.parse('2026-11-24T00:00:00Z');
const hour = (hours: number) => DAY + hours * HOUR_MS;
const RESTORABLE: Restorable = { earliestMs: DAY - 35 * DAY_MS, latestMs: DAY + 3 * DAY_MS };

function made(tier: BackupTier, tickMs: number, rest: Partial<KnownBackup> = {}): KnownBackup {
  return {
    tier,
    tickMs,
    kind: rest.chain?.length ? 'incremental' : 'full',
    toMs: tickMs,
    chain: [],
    attempt: 1,
    exportArn: `${tier}-${tickMs}`,
    state: 'completed',
    ...rest,
  };
}

const DAILY = made('daily', DAY);
const daily = backupPrefix(DAILY);
const hourly = (hours: number) => backupPrefix({ tier: 'hourly', tickMs: hour(hours) });
/** Hours of a day, each on top of the one before it. */
const chainTo = (hours: number): readonly KnownBackup[] =>
  Array.from({ length: hours }, (_, index) =>
    made('hourly', hour(index + 1), {
      chain: [daily, ...Array.from({ length: index }, (_, before) => hourly(before + 1))],
    }),
  );

function plan(tier: BackupTier, tickMs: number, scene: Partial<Scene> = {}): BackupPlan {
  return planBackup({ tier, tickMs, region: REGION, known: [], restorable: RESTORABLE, ...scene });
}

function exportOf(it: BackupPlan): ExportPlan {
  assert.ok(it.kind === 'full' || it.kind === 'incremental', JSON.stringify(it));
  return it;
}

test('daily, weekly and offsite backups are full, at the start of their tick, under one key and one token', () => {
  for (const tier of ['daily', 'weekly', 'offsite'] as const) {
    const tickMs = tickOf(tier, DAY);
    const it = exportOf(plan(tier, tickMs, { known: [DAILY, ...chainTo(3)].filter((k) => k.tier !== tier) }));
    assert.equal(it.kind, 'full');
    assert.deepEqual([it.toMs, it.fromMs, it.chain], [tickMs, undefined, []]);
    assert.equal(it.prefix, backupPrefix({ tier, tickMs }));
    assert.match(it.clientToken, /^us-east-2\.(daily|weekly|offsite)\.2026-11-\d\d\.1\.full$/);
  }
});

test('an hour goes on from the one before it, on top of the whole chain', () => {
  const it = exportOf(plan('hourly', hour(4), { known: [DAILY, ...chainTo(3)] }));
  assert.equal(it.kind, 'incremental');
  assert.deepEqual([it.fromMs, it.toMs], [hour(3), hour(4)]);
  assert.deepEqual(it.chain, [daily, hourly(1), hourly(2), hourly(3)]);
  assert.equal(it.clientToken, `us-east-2.hourly.2026-11-24T04Z.1.from.${hour(3)}`);
});

test('each daily full one starts a new chain; midnight still ends the old one', () => {
  const midnight = made('hourly', DAY, { chain: [backupPrefix(made('daily', DAY - DAY_MS))] });
  const first = exportOf(plan('hourly', hour(1), { known: [midnight, made('daily', DAY - DAY_MS), DAILY] }));
  assert.deepEqual(first.chain, [daily]);
  const last = exportOf(
    plan('hourly', hour(24), { known: [DAILY, ...chainTo(23), made('daily', hour(24))] }),
  );
  assert.equal(last.kind, 'incremental');
  assert.equal(last.chain.length, 24);
  assert.equal(last.fromMs, hour(23));
});

test('a chain never goes on into the next day: without a daily one the first hour is full, and the next go on from it', () => {
  const known = [DAILY, ...chainTo(23), made('hourly', hour(24), { chain: [daily, hourly(23)] })];
  const first = exportOf(plan('hourly', hour(25), { known }));
  assert.equal(first.kind, 'full');
  assert.match(first.why, /no chain of 2026-11-25/);
  const second = exportOf(plan('hourly', hour(26), { known: [...known, made('hourly', hour(25))] }));
  assert.deepEqual(second.chain, [hourly(25)]);
});

test('an hour that is missing, under way or failed is stepped over', () => {
  for (const state of ['under_way', 'failed'] as const) {
    const [one, two] = chainTo(2);
    const known = [DAILY, one, { ...two, state } as KnownBackup] as KnownBackup[];
    const it = exportOf(plan('hourly', hour(3), { known }));
    assert.deepEqual([it.kind, it.fromMs, it.chain], ['incremental', hour(1), [daily, hourly(1)]], state);
  }
});

test('what was found corrupted, or stands on such a one, or lost its root, is never gone on from', () => {
  const known = [DAILY, ...chainTo(4)];
  const spoilt = (prefix: string) =>
    known.map((it) =>
      backupPrefix(it) === prefix ? { ...it, verdict: { verdict: 'corrupted' } as const } : it,
    );
  const from = (it: BackupPlan) => exportOf(it).fromMs;
  assert.equal(from(plan('hourly', hour(5), { known: spoilt(hourly(4)) })), hour(3));
  assert.equal(from(plan('hourly', hour(5), { known: spoilt(hourly(2)) })), hour(1));
  assert.equal(plan('hourly', hour(5), { known: spoilt(daily) }).kind, 'full');
  assert.equal(plan('hourly', hour(5), { known: known.filter((it) => it.tier === 'hourly') }).kind, 'full');
});

test('a window that DynamoDB does not take makes a full one', () => {
  // A chain of the same day is never older than a day, so only a moment just before the tick is too near.
  const near = made('hourly', hour(3), { toMs: hour(4) - WINDOW_MS.min + 1 });
  assert.match(
    exportOf(plan('hourly', hour(4), { known: [near] })).why,
    /an incremental export takes 15 to 1440/,
  );
  const just = made('hourly', hour(3), { toMs: hour(4) - WINDOW_MS.min });
  assert.equal(plan('hourly', hour(4), { known: [just] }).kind, 'incremental');
  const dayLong = exportOf(plan('hourly', hour(24), { known: [DAILY] }));
  assert.equal(dayLong.toMs - (dayLong.fromMs ?? 0), WINDOW_MS.max);
});

test('a history that begins behind the chain makes a full one, one behind the tick none', () => {
  const known = [DAILY, ...chainTo(3)];
  const begun = (earliestMs: number) => ({ known, restorable: { ...RESTORABLE, earliestMs } });
  assert.match(
    exportOf(plan('hourly', hour(4), begun(hour(3) + 1))).why,
    /history begins at .*T03:00:00.001Z/,
  );
  assert.equal(plan('hourly', hour(4), begun(hour(3))).kind, 'incremental');
  const none = plan('hourly', hour(4), begun(hour(4) + 1));
  assert.ok(none.kind === 'nothing' && !none.ok && /after the tick/.test(none.why));
});

test('waits until the replica can be exported at the tick', () => {
  const until = (latestMs: number) => plan('daily', DAY, { restorable: { ...RESTORABLE, latestMs } }).kind;
  assert.equal(until(DAY - 1), 'wait');
  assert.equal(until(DAY), 'full');
  assert.equal(plan('daily', DAY, { restorable: undefined }).kind, 'wait');
});

test('what is complete is left, what is under way is followed, what failed is asked for again, and not for ever', () => {
  const own = (state: KnownBackup['state'], attempt: number) =>
    made('daily', DAY, { state, attempt, exportArn: 'x' });
  assert.deepEqual(plan('daily', DAY, { known: [own('under_way', 1)] }), { kind: 'follow', exportArn: 'x' });
  const done = plan('daily', DAY, { known: [own('failed', 1), own('completed', 2)] });
  assert.ok(done.kind === 'nothing' && done.ok);
  const again = exportOf(plan('daily', DAY, { known: [own('failed', 1)] }));
  assert.deepEqual([again.attempt, again.clientToken], [2, 'us-east-2.daily.2026-11-24.2.full']);
  const over = plan('daily', DAY, { known: [own('failed', ATTEMPTS_MAX)] });
  assert.ok(
    over.kind === 'nothing' && !over.ok && /3 exports to daily\/2026-11-24\/ have failed/.test(over.why),
  );
});

test('whatever failed on the way, every hour of a day can be restored from one full backup without a gap', () => {
  const fate = fc.constantFrom('completed', 'completed', 'completed', 'failed', 'under_way', 'none');
  fc.assert(
    fc.property(
      fc.array(fate, { minLength: 50, maxLength: 50 }),
      fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      (fates, dailies) => {
        const known: KnownBackup[] = [];
        for (const [index, state] of fates.entries()) {
          const tickMs = hour(index);
          if (index % 24 === 0 && dailies[index / 24]) known.push(made('daily', tickMs));
          const it = exportOf(plan('hourly', tickMs, { known }));
          if (state === 'none') continue;
          known.push(
            made('hourly', tickMs, { kind: it.kind, chain: it.chain, state: state as KnownBackup['state'] }),
          );
          if (state !== 'completed') continue;
          const links = [...it.chain, it.prefix].map((prefix) => {
            const id = backupOfKey(`${prefix}x`);
            return known.find((k) => k.tier === id?.tier && k.tickMs === id?.tickMs) ?? assert.fail(prefix);
          });
          for (const [at, link] of links.entries()) {
            assert.equal(link.state, 'completed');
            assert.equal(link.kind, at === 0 ? 'full' : 'incremental', it.prefix);
            assert.deepEqual(
              link.chain,
              it.chain.slice(0, at),
              'a chain is one and the same from its beginning',
            );
          }
          if (it.kind === 'incremental') assert.equal(it.fromMs, links.at(-2)?.toMs);
          assert.equal(
            new Set(links.map((link) => chainDayOf(Math.max(link.toMs, (links[0] as KnownBackup).toMs + 1))))
              .size,
            1,
          );
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('copies are counted once their time is over, and a Region that does not answer is one that failed', () => {
  const now = hour(13) + ASKED_AFTER_MS;
  assert.equal(tickDue('hourly', now), hour(12));
  assert.equal(tickDue('hourly', now - 1), hour(11));
  assert.equal(tickDue('daily', hour(6)), DAY);
  assert.equal(tickDue('daily', hour(6) - 1), DAY - DAY_MS);
  assert.equal(tickDue('offsite', DAY), Date.parse('2026-11-01T00:00:00Z'));
  const id = { tier: 'hourly', tickMs: hour(12) } as const;
  const all = judgeCopies(id, [
    { region: 'a', state: 'completed' },
    { region: 'b', state: 'completed' },
    { region: 'c', state: 'completed' },
  ]);
  assert.deepEqual([all.copies, all.failed, all.failures], [3, 0, []]);
  const some = judgeCopies(id, [
    { region: 'a', state: 'completed' },
    { region: 'b', state: 'unreachable', why: 'timed out' },
    { region: 'c', state: 'under_way' },
  ]);
  assert.deepEqual([some.copies, some.failed], [1, 2]);
  assert.deepEqual(some.failures, ['b: unreachable, timed out', 'c: under_way']);
});
