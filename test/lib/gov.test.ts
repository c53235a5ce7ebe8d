// The GovCloud profile: two replicas that follow each other, nothing that needs a third Region or a public name, and no
// name of another partition in any template.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FEED_SETTLE_MS } from '../../protocol/limits.ts';
import { GOV, ofType, only, ourFunctions, type Stack, stackNamed, synthesize } from './assembly.ts';

const gov = synthesize(GOV);
const { primary, standby } = GOV.regions;
const services = ['primary', 'standby'].map((role) => stackNamed(gov, `eden-field-gov-service-${role}`));

test('has no quorum and no traffic stack; each of the others stands in its Region', () => {
  assert.deepEqual(Object.fromEntries(gov.map(({ name, region }) => [name, region])), {
    'eden-field-gov-foundation-primary': primary,
    'eden-field-gov-foundation-standby': standby,
    'eden-field-gov-offsite-copy': standby,
    'eden-field-gov-data': primary,
    'eden-field-gov-service-standby': standby,
    'eden-field-gov-service-primary': primary,
  });
});

test('deploys the standby before the primary, after the data', () => {
  const order = [
    ...['foundation-primary', 'foundation-standby', 'offsite-copy', 'data'],
    ...['service-standby', 'service-primary'],
  ];
  for (const [index, layer] of order.entries()) {
    const before = order[index - 1];
    if (before)
      assert.ok(
        stackNamed(gov, `eden-field-gov-${layer}`).dependsOn.includes(`eden-field-gov-${before}`),
        `${layer} must wait for ${before}`,
      );
  }
});

test('the guide deploys every stack in its order', () => {
  const guide = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'GOVCLOUD.md'), 'utf8');
  const commands = [...guide.matchAll(/^npx cdk deploy -c stage=gov --exclusively (\S+)(.*)$/gm)];
  assert.deepEqual(
    commands.map(([, stack]) => stack),
    gov.map(({ name }) => name),
  );
  for (const [, name = '', options] of commands) {
    const { account, template } = stackNamed(gov, name);
    assert.equal(/--profile third$/.test(options ?? ''), account === GOV.thirdCopyAccount, name);
    const told = [...(options ?? '').matchAll(/--parameters (\w+)=/g)].map(([, parameter]) => parameter);
    // CDK's own has a default.
    const asked = Object.entries(template.Parameters ?? {}).flatMap(([parameter, { Default }]) =>
      Default === undefined ? parameter : [],
    );
    assert.deepEqual(told, asked, name);
  }
});

test('the table has two eventually consistent replicas and no witness, each with its own key', () => {
  const { Properties: table } = only(stackNamed(gov, 'eden-field-gov-data'), 'AWS::DynamoDB::GlobalTable');
  assert.equal(table.MultiRegionConsistency, 'EVENTUAL');
  assert.equal(table.GlobalTableWitnesses, undefined);
  const replicas: readonly {
    readonly Region: string;
    readonly DeletionProtectionEnabled: boolean;
    readonly SSESpecification: { readonly KMSMasterKeyId: object };
  }[] = table.Replicas;
  assert.deepEqual(replicas.map(({ Region }) => Region).sort(), [primary, standby].sort());
  for (const { Region, DeletionProtectionEnabled, SSESpecification } of replicas) {
    assert.equal(DeletionProtectionEnabled, true);
    if (Region === standby)
      assert.match(JSON.stringify(SSESpecification.KMSMasterKeyId), new RegExp(`:kms:${standby}:`));
  }
  assert.deepEqual(table.StreamSpecification, { StreamViewType: 'NEW_AND_OLD_IMAGES' });
});

test('functions know two Regions, and two audit buckets', () => {
  for (const stack of services)
    for (const [id, { Properties }] of ourFunctions(stack)) {
      const { Variables } = Properties.Environment;
      assert.deepEqual(JSON.parse(Variables.EDEN_REGIONS), { primary, standby }, id);
      assert.equal(Variables.OBSERVED, undefined, 'nobody votes');
      const buckets = JSON.stringify(Variables.AUDIT_BUCKETS ?? '');
      if (Variables.AUDIT_BUCKETS)
        for (const region of [primary, standby])
          assert.ok(buckets.includes(`eden-field-gov-audit-${region}-`), `${id}: ${region}`);
    }
});

test('the stream has one reader, the reconciler, which sees every change', () => {
  for (const stack of services) {
    const names = ourFunctions(stack).map(([, { Properties }]) => Properties.FunctionName);
    assert.ok(names.includes('eden-field-gov-reconciler'));
    assert.ok(!names.includes('eden-field-gov-archiver'));
    const { Properties: mapping } = only(
      stack,
      'AWS::Lambda::EventSourceMapping',
      // The other one feeds the restore function from its queue.
      (it) => it.Properties.StartingPosition !== undefined,
    );
    assert.match(JSON.stringify(mapping.FunctionName), /Reconciler|Archiver/);
    assert.equal(mapping.FilterCriteria, undefined, 'every change is the journal’s');
    assert.equal(mapping.BatchSize, 100, 'reconciled one after the other');
    assert.deepEqual(mapping.FunctionResponseTypes, ['ReportBatchItemFailures']);
    assert.equal(mapping.MaximumRetryAttempts, undefined, 'what failed comes back for as long as it is kept');
  }
});

test('a reconciler that fails, or falls behind its stream, wakes somebody who can read what to do', () => {
  const guide = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'GOVCLOUD.md'), 'utf8');
  for (const stack of services) {
    const alarms = new Map(
      ofType(stack, 'AWS::CloudWatch::Alarm')
        .filter(([, { Properties }]) => /-reconciler-(failing|behind)$/.test(Properties.AlarmName))
        .map(([, { Properties }]) => [Properties.AlarmName, Properties]),
    );
    const failing = alarms.get('eden-field-gov-reconciler-failing') ?? assert.fail('no alarm for failures');
    const behind = alarms.get('eden-field-gov-reconciler-behind') ?? assert.fail('no alarm for the age');
    assert.deepEqual(
      [failing.Namespace, failing.MetricName, failing.Statistic, failing.Threshold],
      ['EdenField', 'reconcile_failures', 'Maximum', 1],
    );
    assert.deepEqual(
      failing.Dimensions.map(({ Name, Value }: { Name: string; Value: string }) => `${Name}=${Value}`).sort(),
      [`Region=${stack.region}`, 'Service=audit', 'Stage=gov'],
    );
    assert.deepEqual(
      [behind.Namespace, behind.MetricName, behind.Statistic, behind.Threshold],
      ['AWS/Lambda', 'IteratorAge', 'Maximum', FEED_SETTLE_MS / 2],
    );
    assert.deepEqual(behind.Dimensions, [{ Name: 'FunctionName', Value: 'eden-field-gov-reconciler' }]);
    for (const alarm of [failing, behind]) {
      assert.match(alarm.ComparisonOperator, /^GreaterThanOrEqualTo/);
      assert.equal(alarm.TreatMissingData, 'notBreaching', 'no changes are no trouble');
      assert.match(JSON.stringify(alarm.AlarmActions), /eden-field-gov-critical/);
      const [, anchor = ''] = /docs\/GOVCLOUD\.md#([a-z-]+)$/.exec(alarm.AlarmDescription) ?? [];
      const headings = [...guide.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
        text.toLowerCase().replaceAll(' ', '-'),
      );
      assert.ok(headings.includes(anchor), `${alarm.AlarmDescription}: there is no such runbook`);
    }
  }
});

test('the reconciler writes to its own replica and its own buckets, reads the other, and parks there', () => {
  for (const stack of services) {
    const { Properties } = only(
      stack,
      'AWS::Lambda::Function',
      (it) => it.Properties.FunctionName === 'eden-field-gov-reconciler',
    );
    const role = Properties.Role['Fn::GetAtt'][0];
    const statements: readonly {
      readonly Sid: string;
      readonly Action: unknown;
      readonly Resource: unknown;
    }[] = only(stack, 'AWS::IAM::Policy', (it) => it.Properties.Roles[0].Ref === role).Properties
      .PolicyDocument.Statement;
    const other = stack.region === primary ? standby : primary;
    const reaching = statements.filter((statement) => JSON.stringify(statement).includes(other));
    assert.deepEqual(reaching.map(({ Sid }) => Sid).sort(), [
      'AuditBuckets',
      'JournalKey',
      'JournalParked',
      'PeerEntries',
      'PeerKeys',
      'PeerPayloads',
    ]);
    for (const { Sid, Action } of reaching.filter((it) => !it.Sid.startsWith('Journal')))
      assert.doesNotMatch(JSON.stringify(Action), /Put|Update|Delete|Generate/, Sid);
    const table = statements.find(({ Sid }) => Sid === 'Table');
    assert.deepEqual(table?.Action, ['dynamodb:GetItem', 'dynamodb:UpdateItem']);
  }
});

test('no names of its own, no health checks, nothing in DNS', () => {
  for (const stack of gov)
    for (const type of ['Route53::HealthCheck', 'Route53::RecordSet', 'ApiGateway::DomainName'])
      assert.equal(ofType(stack, `AWS::${type}`).length, 0, `${stack.name} ${type}`);
  for (const stack of services)
    assert.equal(only(stack, 'AWS::ApiGateway::RestApi').Properties.DisableExecuteApiEndpoint, false);
});

/** Every string of a template, with where it stands. */
function strings(value: unknown, path = ''): readonly (readonly [string, string])[] {
  if (typeof value === 'string') return [[path, value]];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => strings(inner, `${path}/${key}`));
}

const everyString = (stacks: readonly Stack[]) =>
  stacks.flatMap(({ name, template }) => strings(template, name));

test('no template names a partition: every ARN asks AWS where it is', () => {
  const arns = everyString(gov).filter(([, text]) => /\barn:/.test(text));
  assert.ok(arns.length > 100, `looked at ${arns.length} only`);
  assert.deepEqual(
    // Where a string ends the partition follows, as a value of its own.
    arns.filter(([, text]) => !/\barn:$|arn:\$\{AWS::Partition\}:/.test(text)),
    [],
  );
});

test('no template names a Region outside of GovCloud', () => {
  const others = everyString(gov).filter(([, text]) =>
    [...text.matchAll(/\b[a-z]{2}(?:-[a-z]+)+-\d\b/g)].some(
      ([region]) => region !== primary && region !== standby,
    ),
  );
  assert.deepEqual(others, []);
});

test('endpoints in conditions are of the Region, and principals are those that GovCloud knows', () => {
  // GovCloud's services are named under amazonaws.com, as in the commercial partition:
  // https://docs.aws.amazon.com/govcloud-us/latest/UserGuide/using-govcloud-endpoints.html
  const PRINCIPALS = ['apigateway', 'cloudwatch', 'codedeploy', 'lambda', 'scheduler'];
  const ENDPOINTS = ['dynamodb', 'logs', 's3', 'sqs'].flatMap((service) =>
    [primary, standby].map((region) => `${service}.${region}`),
  );
  const known = new Set([...PRINCIPALS, ...ENDPOINTS].map((name) => `${name}.amazonaws.com`));
  const hosts = everyString(gov)
    .flatMap(([path, text]) =>
      [...text.matchAll(/[\w.-]+\.amazonaws\.com[\w.]*/g)].map(([host]) => [path, host]),
    )
    .filter(([, host]) => !known.has(String(host)));
  assert.deepEqual(hosts, []);
});
