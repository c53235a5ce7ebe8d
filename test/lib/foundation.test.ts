// What every Region stands on: keys, locked buckets, topics.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App, Stack as CdkStack, RemovalPolicy } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import { ROLES } from '../../config/config.ts';
import { LockedBucket } from '../../lib/constructs/locked-bucket.ts';
import { DEV, ofType, only, PROD, type Resource, type Stack, stackNamed, synthesize } from './assembly.ts';

const dev = synthesize(DEV);
const prod = synthesize(PROD);
const foundations = ROLES.map((role) => stackNamed(dev, `eden-field-dev-foundation-${role}`));

test('one multi-Region key, rotated, with a replica in each of the other Regions', () => {
  const [primary, ...others] = foundations;
  assert.ok(primary);
  const key = only(primary, 'AWS::KMS::Key');
  assert.equal(key.Properties.MultiRegion, true);
  assert.equal(key.Properties.EnableKeyRotation, true);
  for (const stack of others) {
    assert.equal(ofType(stack, 'AWS::KMS::Key').filter(([, it]) => it.Properties.MultiRegion).length, 0);
    only(stack, 'AWS::KMS::ReplicaKey');
  }
  for (const stack of foundations)
    only(stack, 'AWS::KMS::Alias', (it) => it.Properties.AliasName === 'alias/eden-field-dev');
});

test('the offsite bucket stands in the quorum Region alone, with a key of that Region alone', () => {
  const [primary, standby, quorum] = foundations;
  const isOffsite = ({ Properties }: Resource) => JSON.stringify(Properties.BucketName).includes('-offsite-');
  for (const stack of [primary, standby])
    assert.equal(ofType(stack as Stack, 'AWS::S3::Bucket').filter(([, it]) => isOffsite(it)).length, 0);
  const key = only(quorum as Stack, 'AWS::KMS::Key');
  assert.notEqual(key.Properties.MultiRegion, true);
  assert.equal(key.Properties.EnableKeyRotation, true);
  const bucket = only(quorum as Stack, 'AWS::S3::Bucket', isOffsite);
  const [{ ServerSideEncryptionByDefault: encryption }] =
    bucket.Properties.BucketEncryption.ServerSideEncryptionConfiguration;
  assert.deepEqual(encryption.KMSMasterKeyID, { 'Fn::GetAtt': [key.id, 'Arn'] });
  const { Statement: statements } = key.Properties.KeyPolicy;
  assert.equal(statements.length, 1, 'the account, and no service by itself');
});

test('each key lets its own account, logs and alarms of the account use it, and nobody else', () => {
  for (const stack of foundations) {
    const [[, key] = assert.fail()] = [
      ...ofType(stack, 'AWS::KMS::ReplicaKey'),
      ...ofType(stack, 'AWS::KMS::Key'),
    ];
    const statements = new Map<string, { Principal: object; Condition?: object; Action: unknown }>();
    for (const statement of key.Properties.KeyPolicy.Statement) statements.set(statement.Sid, statement);
    assert.deepEqual([...statements.keys()], ['Account', 'Logs', 'AlarmsToTopics']);
    assert.deepEqual(statements.get('Logs')?.Principal, { Service: `logs.${stack.region}.amazonaws.com` });
    assert.match(
      JSON.stringify(statements.get('Logs')?.Condition),
      /log-group:\/aws\/lambda\/eden-field-dev-\*/,
    );
    assert.deepEqual(statements.get('AlarmsToTopics')?.Principal, { Service: 'cloudwatch.amazonaws.com' });
    assert.deepEqual(statements.get('AlarmsToTopics')?.Condition, {
      StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } },
    });
  }
});

test('every bucket is locked, versioned, private, encrypted by our key and reached by TLS only', () => {
  for (const stack of foundations) {
    const buckets = ofType(stack, 'AWS::S3::Bucket');
    assert.equal(buckets.length, stack === foundations[2] ? 3 : 2);
    for (const [id, { Properties }] of buckets) {
      assert.match(
        JSON.stringify(Properties.BucketName),
        new RegExp(`eden-field-dev-(backup|audit|offsite)-${stack.region}-`),
      );
      assert.equal(Properties.ObjectLockEnabled, true);
      assert.equal(Properties.VersioningConfiguration.Status, 'Enabled');
      assert.deepEqual(Properties.PublicAccessBlockConfiguration, {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      });
      const [{ ServerSideEncryptionByDefault: encryption }] =
        Properties.BucketEncryption.ServerSideEncryptionConfiguration;
      assert.equal(encryption.SSEAlgorithm, 'aws:kms');
      assert.match(JSON.stringify(encryption.KMSMasterKeyID), /(Key(Primary|Replica)|OffsiteKey)/);
      const policy = only(stack, 'AWS::S3::BucketPolicy', (it) => it.Properties.Bucket.Ref === id);
      const conditions = policy.Properties.PolicyDocument.Statement.map(
        ({ Effect, Condition }: { Effect: string; Condition: object }) =>
          `${Effect} ${JSON.stringify(Condition)}`,
      );
      assert.ok(conditions.includes('Deny {"Bool":{"aws:SecureTransport":"false"}}'));
    }
  }
});

test('locks can be lifted in dev and by nobody in prod', () => {
  const modes = (stacks: typeof dev) =>
    new Set(
      stacks
        .flatMap((stack) => ofType(stack, 'AWS::S3::Bucket'))
        .map(([, { Properties }]) => Properties.ObjectLockConfiguration.Rule.DefaultRetention.Mode),
    );
  assert.deepEqual(modes(dev), new Set(['GOVERNANCE']));
  assert.deepEqual(modes(prod), new Set(['COMPLIANCE']));
});

test('a lock of no time is refused', () => {
  const stack = new CdkStack(new App());
  const key = Key.fromKeyArn(stack, 'Key', 'arn:aws:kms:us-east-2:000000000000:key/k');
  for (const lockDays of [0, -1, 1.5, Number.NaN])
    assert.throws(
      () =>
        new LockedBucket(stack, `Bucket${lockDays}`, {
          bucketName: 'b',
          key,
          lockDays,
          compliance: false,
          removalPolicy: RemovalPolicy.DESTROY,
        }),
      { name: 'RangeError', message: new RegExp(`lockDays: expected .*, got ${lockDays}`) },
    );
});

test('each severity has an encrypted topic that alarms of the account reach and on-call reads', () => {
  for (const stack of foundations) {
    const topics = ofType(stack, 'AWS::SNS::Topic');
    assert.deepEqual(topics.map(([, { Properties }]) => Properties.TopicName).sort(), [
      'eden-field-dev-critical',
      'eden-field-dev-incident',
      'eden-field-dev-page_oncall',
      'eden-field-dev-warning',
    ]);
    for (const [id, { Properties }] of topics) {
      assert.match(JSON.stringify(Properties.KmsMasterKeyId), /Key(Primary|Replica)/);
      const policy = only(stack, 'AWS::SNS::TopicPolicy', (it) => it.Properties.Topics[0].Ref === id);
      const allowed = policy.Properties.PolicyDocument.Statement.filter(
        ({ Effect }: { Effect: string }) => Effect === 'Allow',
      );
      assert.equal(allowed.length, 1);
      assert.deepEqual(allowed[0].Principal, { Service: 'cloudwatch.amazonaws.com' });
      assert.deepEqual(allowed[0].Condition, {
        StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } },
      });
      const subscription = only(stack, 'AWS::SNS::Subscription', (it) => it.Properties.TopicArn.Ref === id);
      assert.equal(subscription.Properties.Protocol, 'email');
      assert.equal(subscription.Properties.Endpoint, DEV.onCall.email);
    }
  }
});
