// Which backup is verified next, by whom it is loaded, and when a verdict is late.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadsScratch, nextToVerify, verdictOverdueMs } from '../../lambdas/core/verification-queue.ts';
import { VERIFIED_WITHIN_MS } from '../../protocol/backup-verdicts.ts';
import { type BackupTier, backupPrefix, DAY_MS, HOUR_MS } from '../../protocol/backups.ts';
import { DAY } from './exports.ts';

const complete = (tier: BackupTier, hours: number, chain: readonly string[]) => ({
  tier,
  tickMs: DAY + hours * HOUR_MS,
  chain,
  exportArn: `arn:${tier}-${hours}`,
});

test('each Region in turn loads the full backup of a day; an hour is never loaded, the offsite one always', () => {
  const regions = ['us-east-2', 'us-west-2', 'us-east-1'];
  for (let day = 0; day < 9; day += 1) {
    const id = { tier: 'daily', tickMs: DAY + day * DAY_MS } as const;
    const loading = regions.filter((region) => loadsScratch(id, 'full', region, regions));
    assert.equal(loading.length, 1);
    assert.deepEqual(
      loading,
      regions.filter((region) =>
        loadsScratch({ ...id, tickMs: id.tickMs + 3 * DAY_MS }, 'full', region, regions),
      ),
    );
  }
  const hour = { tier: 'hourly', tickMs: DAY } as const;
  assert.ok(!regions.some((region) => loadsScratch(hour, 'incremental', region, regions)));
  assert.ok(loadsScratch({ tier: 'offsite', tickMs: DAY }, 'full', 'us-east-1', regions));
});

test('every Region has its turn with days and with weeks, also where there are two', () => {
  for (const regions of [
    ['us-east-2', 'us-west-2', 'us-east-1'],
    ['us-gov-west-1', 'us-gov-east-1'],
  ])
    for (const [tier, days] of [
      ['daily', 1],
      ['weekly', 7],
    ] as const) {
      const turns = Array.from({ length: 12 }, (_, tick) =>
        regions.filter((region) =>
          loadsScratch({ tier, tickMs: DAY + tick * days * DAY_MS }, 'full', region, regions),
        ),
      );
      assert.ok(turns.every(({ length }) => length === 1));
      for (const region of regions)
        assert.equal(turns.filter(([turn]) => turn === region).length, 12 / regions.length);
    }
});

test('the next to verify is the one whose time is up first, and whose chain is verified', () => {
  const full = complete('daily', 0, []);
  const one = complete('hourly', 1, [backupPrefix(full)]);
  const two = complete('hourly', 2, [backupPrefix(full), backupPrefix(one)]);
  const queue = [two, full, one];
  const verdicts = new Map<string, { exportArn: string }>();
  assert.deepEqual(nextToVerify(queue, verdicts), full, 'the others wait for it');
  verdicts.set(backupPrefix(full), full);
  assert.deepEqual(nextToVerify(queue, verdicts), one);
  const due = DAY + HOUR_MS + VERIFIED_WITHIN_MS.hourly;
  assert.equal(verdictOverdueMs(queue, verdicts, due), 0);
  assert.equal(verdictOverdueMs(queue, verdicts, due + 7), 7);
  verdicts.set(backupPrefix(one), { exportArn: 'of an export that failed' });
  assert.deepEqual(nextToVerify(queue, verdicts), one, 'a verdict on another export is none');
  verdicts.set(backupPrefix(one), one);
  verdicts.set(backupPrefix(two), two);
  assert.equal(nextToVerify(queue, verdicts), undefined);
  assert.equal(verdictOverdueMs(queue, verdicts, due + DAY_MS), 0);
});
