// The recovery table as arithmetic: what is accepted fits every row, and what does not fit is refused with its sum.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ConfigError, defineConfig, type StageConfig } from '../../config/config.ts';
import { RECOVERY_MS_MAX } from '../../config/promises.ts';
import { dnsByObserversMs, RecoveryError, recoveryBudgets } from '../../config/recovery.ts';
import { STAGES } from '../../config/stages.ts';
import { writableGbPerMinute } from '../../config/write-rate.ts';
import { PROBE_MS_MAX } from '../../protocol/limits.ts';

const DEV = STAGES['dev'] as StageConfig;

function refusal(raw: StageConfig): RecoveryError {
  try {
    defineConfig('dev', raw);
  } catch (error) {
    assert.ok(error instanceof RecoveryError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'accepted' });
}

test('covers every row of the recovery table', () => {
  const rows = recoveryBudgets(defineConfig('dev', DEV)).map(({ row }) => row);
  assert.deepEqual(rows, Object.keys(RECOVERY_MS_MAX));
});

/** Anything somebody could configure here, sensible or not. */
const raw: fc.Arbitrary<StageConfig> = fc
  .record({
    ttlS: fc.integer({ min: 0, max: 400 }),
    checkIntervalMs: fc.constantFrom<10_000 | 30_000>(10_000, 30_000),
    checkFailures: fc.integer({ min: 1, max: 10 }),
    probeIntervalMs: fc.constantFrom(1_000, 5_000, 10_000, 15_000, 20_000),
    probeFailures: fc.integer({ min: 1, max: 10 }),
    dataGbMax: fc.double({ min: 0, max: 1_000, noNaN: false }),
    restoreGbPerMinute: fc.double({ min: 0, max: 50, noNaN: false }),
    restoreWorkersMax: fc.integer({ min: 0, max: 60 }),
    warmWriteUnitsPerSecond: fc.constantFrom(4_000, 40_000, 400_000),
    scrubIntervalMs: fc.integer({ min: 0, max: 1_200_000 }),
    repairMs: fc.integer({ min: 0, max: 1_200_000 }),
  })
  .map(({ ttlS, checkIntervalMs, checkFailures, probeIntervalMs, probeFailures, ...recovery }) => ({
    ...DEV,
    dns: { ttlMs: ttlS * 1_000, checkIntervalMs, checkFailures },
    observers: { probeIntervalMs, probeFailures },
    recovery,
  }));

test('any configuration that is accepted meets every row', () => {
  let accepted = 0;
  fc.assert(
    fc.property(raw, (candidate) => {
      let config: ReturnType<typeof defineConfig>;
      try {
        config = defineConfig('dev', candidate);
      } catch (error) {
        assert.ok(error instanceof ConfigError || error instanceof RecoveryError, String(error));
        return;
      }
      accepted++;
      for (const { row, parts, totalMs, promiseMs } of recoveryBudgets(config)) {
        assert.equal(
          totalMs,
          parts.reduce((sum, { ms }) => sum + ms, 0),
        );
        assert.ok(totalMs < RECOVERY_MS_MAX[row], `${row}: ${totalMs}`);
        assert.equal(promiseMs, RECOVERY_MS_MAX[row]);
        for (const { name, ms } of parts) assert.ok(ms >= 0, `${row}: ${name} takes ${ms} ms`);
      }
    }),
    { numRuns: 3_000 },
  );
  assert.ok(accepted > 20, `only ${accepted} of 3,000 were accepted: the property says nothing`);
});

test('a refusal names the first row that does not fit, all its parts and their sum', () => {
  fc.assert(
    fc.property(raw, (candidate) => {
      let error: unknown;
      try {
        defineConfig('dev', candidate);
      } catch (thrown) {
        error = thrown;
      }
      fc.pre(error instanceof RecoveryError);
      const { row, message } = error;
      const budgets = recoveryBudgets({ ...candidate, stage: 'dev' });
      const first = budgets.find(({ totalMs, promiseMs }) => !(totalMs < promiseMs));
      assert.equal(row, first?.row);
      for (const { name, ms } of first?.parts ?? []) assert.ok(message.includes(`${name} ${ms / 1_000} s`));
      assert.ok(message.endsWith(`= ${(first?.totalMs ?? 0) / 1_000} s`), message);
      assert.ok(message.includes(`under ${(first?.promiseMs ?? 0) / 1_000} s`));
    }),
    { numRuns: 1_000 },
  );
});

test('a data centre outage: DNS checks too slow for five minutes', () => {
  const { row, message } = refusal({
    ...DEV,
    dns: { ttlMs: 20_000, checkIntervalMs: 30_000, checkFailures: 10 },
  });
  assert.equal(row, 'dataCentreOutage');
  assert.equal(
    message,
    'stage dev: dataCentreOutage promises recovery in under 300 s, but DNS check interval × failures 300 s' +
      ' + DNS TTL 20 s + DNS propagation 20 s + verification 30 s = 370 s',
  );
});

test('corruption: a scrubber that comes round too seldom', () => {
  const { row, message } = refusal({ ...DEV, recovery: { ...DEV.recovery, scrubIntervalMs: 420_000 } });
  assert.equal(row, 'corruption');
  assert.match(message, /under 900 s, but scrub interval 420 s \+ repair .* 480 s = 900 s$/);
});

test('a network partition: too many probes before anybody votes', () => {
  const { row, message } = refusal({ ...DEV, observers: { probeIntervalMs: 15_000, probeFailures: 8 } });
  assert.equal(row, 'networkPartition');
  assert.match(message, /under 120 s, but probe interval × failures 120 s \+ the last probe 5 s .* = 130 s$/);
});

test('complete loss: more data than an hour restores', () => {
  const { row, message } = refusal({ ...DEV, recovery: { ...DEV.recovery, dataGbMax: 12 } });
  assert.equal(row, 'completeLoss');
  assert.match(message, /under 3600 s, but .* loading dataGbMax at restoreGbPerMinute 3000 s = 3615 s$/);
});

test('complete loss: a rate that the table cannot take is refused with what it can, and what it would need', () => {
  const refused = (recovery: Partial<StageConfig['recovery']>, says: RegExp) =>
    assert.throws(
      () => defineConfig('dev', { ...DEV, recovery: { ...DEV.recovery, ...recovery } }),
      (error) =>
        error instanceof ConfigError &&
        error.key === 'recovery.restoreGbPerMinute' &&
        says.test(error.message),
    );
  refused(
    { restoreGbPerMinute: 2.4 },
    /at most 0\.246: 4000 write units a second, as a new table has .*it would take 39063,.* 40000/,
  );
  refused(
    { restoreGbPerMinute: 3, warmWriteUnitsPerSecond: 40_000 },
    /at most 2\.458: the 40000 write units/,
  );
  refused(
    { restoreGbPerMinute: 2, warmWriteUnitsPerSecond: 40_000, bytesPerWriteUnit: 512 },
    /at most 1\.229: .* of 512 bytes each/,
  );
  const { recovery } = defineConfig('dev', {
    ...DEV,
    recovery: { ...DEV.recovery, dataGbMax: 1_000, restoreGbPerMinute: 24, warmWriteUnitsPerSecond: 400_000 },
  });
  assert.ok(writableGbPerMinute(recovery) >= 24);
});

test('a server failure depends on no setting: it fits whatever is configured', () => {
  const [row] = recoveryBudgets(defineConfig('dev', DEV));
  assert.equal(row?.row, 'serverFailure');
  assert.ok(row.totalMs < RECOVERY_MS_MAX.serverFailure);
});

test('where only the observers see a fault, DNS follows within the five minutes of a data centre outage', () => {
  // Three looks and the last one's time, the alarm's minute, propagation, TTL.
  assert.equal(dnsByObserversMs(defineConfig('dev', DEV)), 45_000 + PROBE_MS_MAX + 60_000 + 20_000 + 20_000);
  assert.ok(dnsByObserversMs(defineConfig('dev', DEV)) < RECOVERY_MS_MAX.dataCentreOutage);
});
