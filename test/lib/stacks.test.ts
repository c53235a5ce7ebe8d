// The app as a whole: which stacks, where, in which order, and that nothing but the key's ARN crosses a Region.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { defineConfig } from '../../config/config.ts';
import { buildApp } from '../../lib/app.ts';
import {
  DEV,
  ofType,
  ourFunctions,
  PROD,
  type Stack,
  stackNamed,
  stageConfig,
  synthesize,
} from './assembly.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const dev = synthesize(DEV);
const prod = synthesize(PROD);

const ORDER = [
  'foundation-primary',
  'foundation-standby',
  'foundation-quorum',
  'data',
  'quorum',
  'service-standby',
  'service-primary',
  'traffic',
].map((layer) => `eden-field-dev-${layer}`);

test('has exactly the stacks of the design, each in its Region', () => {
  const { primary, standby, quorum } = DEV.regions;
  assert.deepEqual(Object.fromEntries(dev.map(({ name, region }) => [name, region])), {
    'eden-field-dev-foundation-primary': primary,
    'eden-field-dev-foundation-standby': standby,
    'eden-field-dev-foundation-quorum': quorum,
    'eden-field-dev-data': primary,
    'eden-field-dev-quorum': quorum,
    'eden-field-dev-service-standby': standby,
    'eden-field-dev-service-primary': primary,
    'eden-field-dev-traffic': standby,
  });
});

test('deploys in the one order in which everything finds what it needs', () => {
  for (const [index, name] of ORDER.entries()) {
    const earlier = new Set(ORDER.slice(0, index));
    const { dependsOn } = stackNamed(dev, name);
    assert.ok(
      dependsOn.every((id) => earlier.has(id)),
      `${name} depends on ${dependsOn.join(', ')}`,
    );
    const before = ORDER[index - 1];
    if (before) assert.ok(dependsOn.includes(before), `${name} must wait for ${before}`);
  }
});

test('goes to whichever account deploys it, unless the stage names one', () => {
  for (const { account } of dev) assert.equal(account, 'unknown-account');
  const named = synthesize(defineConfig('dev', { ...stageConfig('dev'), account: '123456789012' }));
  for (const { account } of named) assert.equal(account, '123456789012');
});

test('asks AWS nothing while it is synthesized', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'eden-field-lookups-'));
  try {
    const { app } = buildApp(DEV, { validate: false, bundle: false, outdir });
    assert.deepEqual(app.synth().manifest.missing ?? [], []);
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
});

test('without a domain there is no traffic stack, no custom name, and nobody is watched or waited for', () => {
  const { domain: _, ...rest } = stageConfig('dev');
  const stacks = synthesize(defineConfig('dev', rest));
  assert.deepEqual(
    stacks.map(({ name }) => name).sort(),
    ORDER.filter((id) => !id.endsWith('traffic')).sort(),
  );
  for (const stack of stacks) {
    assert.equal(ofType(stack, 'AWS::ApiGateway::DomainName').length, 0);
    assert.equal(ofType(stack, 'AWS::Route53::RecordSet').length, 0);
    for (const [, api] of ofType(stack, 'AWS::ApiGateway::RestApi'))
      assert.equal(api.Properties.DisableExecuteApiEndpoint, false, 'the default name is the only one');
    for (const [id, { Properties }] of ourFunctions(stack))
      assert.equal('OBSERVED' in Properties.Environment.Variables, false, id);
    for (const [, { Properties }] of ofType(stack, 'AWS::CloudWatch::Alarm'))
      assert.doesNotMatch(Properties.AlarmName, /-(failover-page|observer-silent)$/);
  }
});

test('the standby gets a release before the primary, and DNS learns of either last', () => {
  const at = (layer: string) => dev.findIndex(({ name }) => name === `eden-field-dev-${layer}`);
  const reaches = (from: string, to: string): boolean =>
    stackNamed(dev, from).dependsOn.some((id) => id === to || reaches(id, to));
  assert.ok(reaches('eden-field-dev-service-primary', 'eden-field-dev-service-standby'));
  assert.ok(at('service-standby') < at('service-primary'));
  for (const { name } of dev)
    if (!name.endsWith('-traffic')) {
      assert.ok(reaches('eden-field-dev-traffic', name), `traffic waits for ${name}`);
      assert.ok(!reaches(name, 'eden-field-dev-traffic'), `${name} waits for traffic`);
    }
});

/** As GitHub makes a heading's anchor. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .trim()
    .replaceAll(' ', '-');

test('every alarm that wakes somebody names a runbook that is there', () => {
  const text = readFileSync(join(ROOT, 'docs', 'OPERATING.md'), 'utf8');
  const anchors = new Set([...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading)));
  for (const stack of dev)
    for (const [id, { Properties }] of ofType(stack, 'AWS::CloudWatch::Alarm')) {
      if (!Properties.AlarmActions) continue;
      const anchor = /Runbook: docs\/OPERATING\.md#([\w-]+)$/.exec(Properties.AlarmDescription)?.[1];
      assert.ok(anchor && anchors.has(anchor), `${stack.name} ${id}: ${anchor ?? 'no runbook'}`);
    }
});

test('the handbook deploys every stack in its order, tears all down the other way round, and runs what there is', () => {
  const text = readFileSync(join(ROOT, 'docs', 'OPERATING.md'), 'utf8');
  const named = (command: string) =>
    [
      ...text.matchAll(new RegExp(`^ *npx cdk ${command} -c stage=(\\w+) --exclusively (\\S+)$`, 'gm')),
    ].filter(([, stage = '', stack]) => stack?.startsWith(`eden-field-${stage}-`));
  const deployed = named('deploy').map(([, , stack]) => stack);
  assert.deepEqual(
    deployed,
    prod.map(({ name }) => name),
  );
  const destroyed = named('destroy').filter(([, stage]) => stage === 'dev');
  assert.deepEqual(
    destroyed.map(([, , stack]) => stack),
    dev.map(({ name }) => name).toReversed(),
  );
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  for (const [, script = ''] of text.matchAll(/\bnpm run ([\w:]+)/g)) assert.ok(script in scripts, script);
});

test("nothing crosses Regions but the primary key's ARN", () => {
  for (const stack of dev) {
    const writers = ofType(stack, 'Custom::CrossRegionExportWriter');
    const readers = ofType(stack, 'Custom::CrossRegionExportReader');
    assert.equal(writers.length, stack.name.endsWith('foundation-primary') ? 2 : 0, stack.name);
    assert.equal(readers.length, /foundation-(standby|quorum)$/.test(stack.name) ? 1 : 0, stack.name);
    for (const [, { Properties }] of writers)
      for (const [name, value] of Object.entries(Properties.WriterProps.exports)) {
        assert.match(name, /KeyPrimary\w+Arn/);
        assert.match(JSON.stringify(value), /^\{"Fn::GetAtt":\["KeyPrimary\w+","Arn"\]\}$/);
      }
    for (const imported of JSON.stringify(stack.template).matchAll(/"Fn::ImportValue":"([^":]+):/g))
      assert.equal(
        stackNamed(dev, imported[1] as string).region,
        stack.region,
        'imports stay in their Region',
      );
  }
});

test('a stage that keeps its data refuses to lose it', () => {
  for (const { terminationProtection } of prod) assert.equal(terminationProtection, true);
  for (const { terminationProtection } of dev) assert.equal(terminationProtection, false);
  const stateful = ['KMS::Key', 'KMS::ReplicaKey', 'S3::Bucket', 'DynamoDB::GlobalTable', 'Logs::LogGroup'];
  for (const [stacks, policy] of [
    [prod, 'Retain'],
    [dev, 'Delete'],
  ] as const)
    for (const stack of stacks)
      for (const type of stateful)
        for (const [id, resource] of ofType(stack, `AWS::${type}`))
          assert.equal(resource.DeletionPolicy, policy, `${stack.name} ${id}`);
});

test('every resource that can carry tags says whose it is', () => {
  for (const stack of dev)
    for (const [id, { Type, Properties }] of Object.entries(stack.template.Resources)) {
      const tags = Properties?.Tags ?? Properties?.HealthCheckTags;
      if (!Array.isArray(tags)) continue;
      const named = new Map(tags.map(({ Key, Value }) => [Key, Value]));
      assert.deepEqual(
        { project: named.get('project'), stage: named.get('stage') },
        { project: 'eden-field', stage: 'dev' },
        `${stack.name} ${id} (${Type})`,
      );
    }
});

test('synthesized twice, it is the same to the byte', () => {
  assert.equal(JSON.stringify(synthesize(DEV)), JSON.stringify(dev));
});

test('the code names no partition', () => {
  const sources = execFileSync('git', ['ls-files', '-co', '--exclude-standard', 'lib', 'bin', 'config'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const literal = sources
    .split('\n')
    .filter((path) => path.endsWith('.ts') && existsSync(join(ROOT, path)))
    .filter((path) => /arn:aws/.test(readFileSync(join(ROOT, path), 'utf8')));
  assert.deepEqual(literal, []);
});

/** As YAML, and without the hashes that every change of code makes new. */
function reviewable({ template }: Stack): string {
  return stringify(template, { lineWidth: 0 })
    .replace(/\b[0-9a-f]{64}\b/g, '<asset>')
    .replace(/(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}/g, '$1<hash>')
    .replace(/(RestApiDeployment[0-9A-F]{8})[0-9a-f]{32}/g, '$1<hash>');
}

for (const name of ORDER)
  test(`${name}: what a change does to CloudFormation`, (t) => {
    t.assert.snapshot(reviewable(stackNamed(dev, name)), { serializers: [String] });
  });
