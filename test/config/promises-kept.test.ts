// What a stage does not keep is said, completely, in the terminal and in the docs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Config, defineConfig, type StageConfig } from '../../config/config.ts';
import { promisesNotKept, promisesNotKeptText } from '../../config/promises-kept.ts';
import { recoveryBudgets } from '../../config/recovery.ts';
import { STAGES } from '../../config/stages.ts';

const GUIDE = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'GOVCLOUD.md'), 'utf8');

function configOf(stage: string): Config {
  return defineConfig(stage, STAGES[stage] as StageConfig);
}

function withoutDomain(): Config {
  const { domain: _, ...rest } = STAGES['dev'] as Extract<StageConfig, { consistency: 'strong' }>;
  return defineConfig('dev', rest);
}

const named = (config: Config, what: RegExp) =>
  promisesNotKept(config).filter(({ promise }) => what.test(promise)).length;

test('a strong stage with a domain keeps all but one, for clients that follow DNS', () => {
  for (const stage of ['dev', 'prod']) {
    const config = configOf(stage);
    assert.equal(named(config, /network partition in under 2 minutes, for clients that know one name/), 1);
    assert.match(promisesNotKeptText(config) ?? '', /does not keep 1 promise:\n.*\n.*up to 150 s\./);
    assert.equal(promisesNotKept(config).length, 1);
    const quicker = { ...config, observers: { probeIntervalMs: 4_000, probeFailures: 3 } };
    assert.deepEqual(promisesNotKept(quicker), []);
    assert.equal(promisesNotKeptText(quicker), undefined);
  }
});

test('without a domain neither DNS nor the observers move anybody, and no row rests on them', () => {
  const config = withoutDomain();
  for (const what of [/DNS/, /moves by itself/, /data centre outage .*network partition/])
    assert.equal(named(config, what), 1, String(what));
  assert.equal(named(config, /vote|Quorum|replication/), 0, 'three replicas decide all the same');
});

test('with two replicas it is also what rests on a quorum', () => {
  const config = configOf('gov');
  for (const what of [
    /3-way replication/,
    /Quorum consensus/,
    /2-of-3 vote/,
    /never goes to a lower version/,
    /at most once/,
    /without a fork/,
    /routing epoch/,
    /moves by itself/,
    /DNS/,
    /data centre outage .*network partition/,
    /third copy/,
  ])
    assert.equal(named(config, what), 1, String(what));
});

test('a recovery row is either computed from settings or named as not kept', () => {
  const said = { dataCentreOutage: /data centre outage/, networkPartition: /outage .* network partition/ };
  for (const config of [configOf('gov'), withoutDomain(), configOf('dev')]) {
    const rows = recoveryBudgets(config).map(({ row }) => row);
    for (const row of ['dataCentreOutage', 'networkPartition'] as const)
      assert.equal(rows.includes(row), named(config, said[row]) === 0, `${config.stage} ${row}`);
    for (const row of ['serverFailure', 'corruption', 'completeLoss'] as const) assert.ok(rows.includes(row));
  }
});

test('every reason is a sentence, and what there is instead too', () => {
  for (const config of [configOf('gov'), withoutDomain(), configOf('prod')])
    for (const { promise, because, instead } of promisesNotKept(config)) {
      assert.match(promise, /[^.]$/);
      for (const sentence of [because, instead]) assert.match(sentence, /^[A-Z].*\.$/);
    }
});

test('in a terminal each stands with its reason, under how many there are', () => {
  const config = configOf('gov');
  const text = promisesNotKeptText(config) ?? '';
  const unkept = promisesNotKept(config);
  assert.ok(text.startsWith(`stage gov does not keep ${unkept.length} promises:\n`));
  for (const { promise, because, instead } of unkept)
    assert.ok(text.includes(`  - ${promise}\n      ${because}\n      Instead: ${instead}\n`), promise);
});

test('docs/GOVCLOUD.md lists exactly those, in the same words and order', () => {
  const [, list = ''] = /## Promises it does not keep\n([\s\S]*?)\n## /.exec(GUIDE) ?? [];
  const listed = [...list.matchAll(/^- \*\*(.+?)\.\*\* (.+)$/gm)].map(([, promise, rest]) => [promise, rest]);
  assert.deepEqual(
    listed,
    promisesNotKept(configOf('gov')).map(({ promise, because, instead }) => [
      promise,
      `${because} *Instead:* ${instead}`,
    ]),
  );
});
