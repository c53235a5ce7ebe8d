// The drill itself on trial, against two small region processes: it passes when the client does its work, and fails
// when fallback or silence detection is switched off.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readHistory } from '../../rehearsal/drills/failover/history.ts';
import type { FailoverOutcome } from '../../rehearsal/drills/failover/outcome.ts';
import { runFailover } from '../../rehearsal/drills/failover/run.ts';
import type { FailoverPlan } from '../../rehearsal/drills/failover/scenario.ts';
import { reportOf } from '../../rehearsal/drills/report.ts';
import type { DrillOptions, ScenarioResult } from '../../rehearsal/drills/scenario.ts';
import { breaking, KILL_PRIMARY, killPrimary } from '../../rehearsal/drills/scenarios/kill-primary.ts';
import { DrillError, type DrilledSystem } from '../../rehearsal/drills/system.ts';
import { jsonOf, tableOf } from '../../rehearsal/drills/table.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';
import { type RegionProcess, regionProcess } from '../client/regions.ts';

const DELAY_MS = { primary: 5, standby: 15 } as const;

/** The same scenario in a few seconds. Other tests run at the same time on as few as two cores, so
 * the limits that depend on the machine are wider; what fails here fails by far more. */
function shortened(): FailoverPlan {
  return {
    ...KILL_PRIMARY,
    variants: KILL_PRIMARY.variants.map((whole) => ({
      ...whole,
      act: breaking(whole.name === 'SIGKILL' ? 'kill' : 'freeze', 800),
    })),
    warmUpMs: 1_000,
    settleMs: 200,
    limits: (config) => ({ ...KILL_PRIMARY.limits(config), redirectMs: 400, attemptsPerOperation: 1.5 }),
  };
}

async function system(t: TestContext): Promise<DrilledSystem & { readonly store: string }> {
  const store = await mkdtemp(join(tmpdir(), 'eden-field-'));
  const start = (role: 'primary' | 'standby', port = 0) =>
    regionProcess({ region: role, store, port, delayMs: DELAY_MS[role] });
  let primary: RegionProcess = await start('primary');
  const standby = await start('standby');
  t.after(async () => {
    await Promise.all([primary.kill(), standby.kill()]);
    await rm(store, { recursive: true });
  });
  const now = () => performance.timeOrigin + performance.now();
  return {
    store,
    regions: [
      { region: 'primary', role: 'primary', endpoint: primary.url },
      { region: 'standby', role: 'standby', endpoint: standby.url },
    ],
    token: async () => 'token',
    routing: async () => undefined,
    observers: [],
    paging: () => [],
    disableLatch: () => assert.fail('nothing is latched'),
    cutWay: () => assert.fail('no way is cut'),
    reports: () => undefined,
    operator: async () => assert.fail('no operator is at hand'),
    broken: new Promise(() => undefined),
    async fault(_, fault) {
      const at = now();
      if (fault === 'freeze') primary.freeze();
      else if (fault === 'kill') void primary.kill();
      else if (primary.child.killed && primary.child.signalCode === 'SIGKILL')
        primary = await start('primary', primary.port);
      else primary.thaw();
      return at;
    },
  };
}

const run = async (
  t: TestContext,
  variant: 'SIGKILL' | 'SIGSTOP',
  options: Partial<DrillOptions> = {},
): Promise<FailoverOutcome & ScenarioResult> => {
  const all = { config: stageConfig('dev'), seed: 1, variant, ...options };
  return {
    scenario: killPrimary,
    seed: all.seed,
    ...(await runFailover(shortened(), () => system(t), all)),
  };
};

const missed = ({ variants }: Pick<FailoverOutcome, 'variants'>) =>
  variants.flatMap(({ targets }) => targets.filter(({ passed }) => !passed).map(({ name }) => name));

test('passes on a killed primary, and tells the whole story', async (t) => {
  const historyFolder = await mkdtemp(join(tmpdir(), 'eden-field-'));
  t.after(() => rm(historyFolder, { recursive: true }));
  const result = await run(t, 'SIGKILL', { historyFolder });
  assert.deepEqual(missed(result), []);
  assert.equal(result.passed, true);

  const json = JSON.parse(JSON.stringify(jsonOf([result])));
  assert.equal(json.scenario, 'kill-primary');
  assert.equal(json.seed, 1);
  assert.equal(json.passed, true);
  assert.equal(json.acknowledgedWritesLost, 0);
  for (const target of json.targets)
    assert.deepEqual(Object.keys(target), ['name', 'target', 'measured', 'unit', 'passed']);
  assert.ok(Array.isArray(jsonOf([result, result])));

  const table = tableOf(result);
  assert.match(table, /^kill-primary: passed \(seed 1\)/);
  assert.match(table, /\| redirect +\| < 400 ms \| +[\d.]+ ms ok \|/);
  assert.doesNotMatch(table, /DNS/);

  const html = reportOf([result]);
  assert.match(html, /<svg role="img"/);
  assert.match(html, /All targets met/);
  assert.doesNotMatch(html, /(src|href)=/, 'it needs nothing from elsewhere');
  assert.doesNotMatch(html, /NaN|undefined|Infinity/);

  assert.deepEqual(await readdir(historyFolder), ['kill-primary-SIGKILL.jsonl']);
  const history = await readHistory(join(historyFolder, 'kill-primary-SIGKILL.jsonl'));
  assert.equal(history.length, result.variants[0]?.measurements.requests);
  assert.ok(
    history.every(({ attempts, endedAt, scheduledAt }) => attempts.length > 0 && endedAt > scheduledAt),
  );
});

test('passes on a frozen primary', async (t) => {
  assert.deepEqual(missed(await run(t, 'SIGSTOP')), []);
});

test('fails on a killed primary when fallback is off', async (t) => {
  const result = await run(t, 'SIGKILL', { fallback: false });
  assert.equal(result.passed, false);
  assert.ok(missed(result).includes('SIGKILL: redirect'), String(missed(result)));
  assert.match(tableOf(result), /redirect .* never MISSED/);
  assert.match(reportOf([result]), /Missed: SIGKILL: redirect/);
});

test('fails on a frozen primary when silence detection is off', async (t) => {
  const result = await run(t, 'SIGSTOP', { silenceDetection: false });
  assert.equal(result.passed, false);
  assert.ok(missed(result).includes('SIGSTOP: redirect'), String(missed(result)));
});

test('a write that is gone afterwards is found and fails the drill', async (t) => {
  const drilled = await system(t);
  const forgetful: DrilledSystem = {
    ...drilled,
    async fault(region, fault) {
      const at = await drilled.fault(region, fault);
      if (fault === 'revive') {
        const [gone] = (await readdir(drilled.store)).filter((name) => name.endsWith('-1.json'));
        await rm(join(drilled.store, gone as string));
      }
      return at;
    },
  };
  const options = { config: stageConfig('dev'), seed: 1, variant: 'SIGSTOP' };
  const result = await runFailover(shortened(), async () => forgetful, options);
  assert.ok(missed(result).includes('SIGSTOP: acknowledged writes lost'), String(missed(result)));
  const [variant] = result.variants;
  assert.deepEqual(new Set(variant?.missing.map(({ region }) => region)), new Set(['primary', 'standby']));
});

test('a system that breaks down by itself, or an interrupt, ends the drill without a verdict', async (t) => {
  const drilled = await system(t);
  const failing = {
    ...drilled,
    broken: new Promise<Error>((resolve) => setTimeout(resolve, 300, new Error('gone'))),
  };
  const options = { config: stageConfig('dev'), seed: 1, variant: 'SIGKILL' };
  await assert.rejects(
    runFailover(shortened(), async () => failing, options),
    (error: unknown) => error instanceof DrillError && /broke down by itself: gone/.test(error.message),
  );
  await assert.rejects(
    runFailover(shortened(), async () => drilled, { ...options, signal: AbortSignal.timeout(300) }),
    { name: 'TimeoutError' },
  );
});
