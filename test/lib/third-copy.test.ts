// The third copy of a stage with two Regions: a bucket and a key in another account, whose policies and those of the
// stage's own functions must say the same, each without seeing the other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOffsite, readThirdCopy } from '../../lambdas/env.ts';
import { GOV, ofType, only, type Stack, stackNamed, synthesize } from './assembly.ts';

const gov = synthesize(GOV);
const copy = stackNamed(gov, 'eden-field-gov-offsite-copy');
const [primary, standby] = (['primary', 'standby'] as const).map((role) =>
  stackNamed(gov, `eden-field-gov-service-${role}`),
) as [Stack, Stack];
const [OURS, THEIRS] = [GOV.account, GOV.thirdCopyAccount];
const BUCKET = `eden-field-gov-offsite-us-gov-east-1-${THEIRS}`;
const BUCKET_ARN = `arn:<AWS::Partition>:s3:::${BUCKET}`;
const KEY_ARN = `arn:<AWS::Partition>:kms:us-gov-east-1:${THEIRS}:key/<OffsiteKeyId>`;

/** A value of a template with what is known at deployment only in angle brackets. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  const { Ref, ...functions } = value as Record<string, unknown>;
  if (typeof Ref === 'string') return `<${Ref}>`;
  const [name, argument] = Object.entries(functions)[0] ?? assert.fail('expected an intrinsic function');
  if (name === 'Fn::ImportValue') return `<${String(argument)}>`;
  const parts = argument as readonly unknown[];
  if (name === 'Fn::Join') return (parts[1] as readonly unknown[]).map(textOf).join('');
  assert.equal(name, 'Fn::GetAtt');
  return String(parts[0]).startsWith('OffsiteBucket') ? BUCKET_ARN : `<${parts.join('.')}>`;
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

interface Statement {
  readonly Sid?: string;
  readonly Effect: string;
  readonly Action: unknown;
  readonly Resource: unknown;
  readonly Principal?: { readonly AWS: unknown };
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

function functionNamed(stack: Stack, name: string) {
  return only(stack, 'AWS::Lambda::Function', (it) => it.Properties.FunctionName === `eden-field-gov-${name}`)
    .Properties;
}

/** What a function's own account lets it do to the other's: `action resource`. */
function mayDo(stack: Stack, name: string): readonly string[] {
  const role = functionNamed(stack, name).Role['Fn::GetAtt'][0];
  const policy = only(stack, 'AWS::IAM::Policy', (it) => it.Properties.Roles[0].Ref === role);
  const statements: readonly Statement[] = policy.Properties.PolicyDocument.Statement;
  return statements
    .flatMap(({ Action, Resource, Condition }) =>
      list(Resource)
        .map(textOf)
        .filter((resource) => resource.includes(THEIRS))
        .flatMap((resource) => {
          if (resource === KEY_ARN)
            assert.deepEqual(list(Condition?.['StringEquals']?.['kms:ViaService']), [
              's3.us-gov-east-1.amazonaws.com',
            ]);
          return list(Action).map((action) => `${action} ${resource}`);
        }),
    )
    .toSorted();
}

const bucketPolicy: readonly Statement[] = only(copy, 'AWS::S3::BucketPolicy').Properties.PolicyDocument
  .Statement;
const keyPolicy: readonly Statement[] = only(copy, 'AWS::KMS::Key').Properties.KeyPolicy.Statement;
const letIn = [...bucketPolicy, ...keyPolicy].filter(
  ({ Effect, Principal }) => Effect === 'Allow' && textOf(Principal?.AWS).includes(OURS),
);

/** What the other account lets a role of the stage's account do; of no role: anybody there. */
function letsDo(role: string | undefined): readonly string[] {
  return letIn
    .filter(({ Condition }) => {
      const roles = Condition?.['ArnEquals']?.['aws:PrincipalArn'];
      return (
        roles === undefined || list(roles).some((it) => role !== undefined && textOf(it).endsWith(`/${role}`))
      );
    })
    .flatMap(({ Action, Resource }) =>
      list(Action).map((action) => `${action} ${Resource === '*' ? KEY_ARN : textOf(Resource)}`),
    )
    .toSorted();
}

test('stands in the other account, in the standby’s Region, kept and locked like any offsite bucket', () => {
  assert.deepEqual([copy.account, copy.region], [THEIRS, GOV.regions.standby]);
  assert.equal(copy.terminationProtection, true);
  for (const stack of gov) if (stack !== copy) assert.equal(stack.account, OURS, stack.name);
  const bucket = only(copy, 'AWS::S3::Bucket');
  assert.equal(bucket.DeletionPolicy, 'Retain');
  assert.equal(bucket.Properties.BucketName, BUCKET);
  assert.deepEqual(bucket.Properties.OwnershipControls.Rules, [{ ObjectOwnership: 'BucketOwnerEnforced' }]);
  assert.equal(bucket.Properties.ObjectLockConfiguration.Rule.DefaultRetention.Mode, 'COMPLIANCE');
  const key = only(copy, 'AWS::KMS::Key');
  assert.equal(key.Properties.EnableKeyRotation, true);
  assert.equal(key.Properties.MultiRegion, undefined);
  const { ServerSideEncryptionByDefault: encryption } =
    bucket.Properties.BucketEncryption.ServerSideEncryptionConfiguration[0];
  // By its ARN: an alias would be looked up in the account of who puts.
  assert.deepEqual(encryption, {
    SSEAlgorithm: 'aws:kms',
    KMSMasterKeyID: { 'Fn::GetAtt': [key.id, 'Arn'] },
  });
  for (const stack of gov)
    if (stack !== copy)
      for (const [, { Properties }] of ofType(stack, 'AWS::S3::Bucket'))
        assert.doesNotMatch(textOf(Properties.BucketName), /-offsite-/);
});

const OBJECTS = `${BUCKET_ARN}/offsite/*`;
const READS = [`s3:GetObject ${OBJECTS}`, `s3:ListBucket ${BUCKET_ARN}`, `kms:Decrypt ${KEY_ARN}`];

for (const [stack, name, actions] of [
  [
    standby,
    'backup',
    [
      ...READS,
      ...['s3:PutObject', 's3:PutObjectAcl', 's3:AbortMultipartUpload'].map(
        (action) => `${action} ${OBJECTS}`,
      ),
      `kms:GenerateDataKey ${KEY_ARN}`,
    ],
  ],
  [
    standby,
    'verification',
    [
      ...READS,
      `s3:PutObjectRetention ${OBJECTS}`,
      `s3:PutObject ${OBJECTS}verdict.json`,
      `kms:GenerateDataKey ${KEY_ARN}`,
    ],
  ],
  [primary, 'backup', READS],
] as const)
  test(`the ${name} of ${stack.region} may do there, by both accounts' policies, what it needs and no more`, () => {
    assert.deepEqual(mayDo(stack, name), actions.toSorted());
    const role = functionNamed(stack, name).Role['Fn::GetAtt'][0];
    const { RoleName } = stack.template.Resources[role]?.Properties ?? assert.fail('no role');
    assert.equal(RoleName, stack === standby ? `eden-field-gov-${name}-us-gov-east-1` : undefined);
    assert.deepEqual(letsDo(RoleName), actions.toSorted());
  });

test('anybody else of the stage’s account may read there, if that account says so, and nobody else anything', () => {
  assert.deepEqual(letsDo('operator'), READS.toSorted());
  for (const { Principal } of letIn)
    assert.equal(textOf(Principal?.AWS), `arn:<AWS::Partition>:iam::${OURS}:root`);
  const others = [...bucketPolicy, ...keyPolicy].filter((it) => !letIn.includes(it) && it.Effect !== 'Deny');
  assert.deepEqual(
    others.map(({ Principal }) => textOf(Principal?.AWS)),
    [`arn:<AWS::Partition>:iam::${THEIRS}:root`],
    'but its own account the key',
  );
  for (const { Action } of letIn) assert.doesNotMatch(JSON.stringify(Action), /Delete|Bypass|LegalHold|\*/);
  for (const { Sid, Condition } of keyPolicy.filter((it) => letIn.includes(it)))
    assert.equal(Condition?.['StringEquals']?.['kms:ViaService'], 's3.us-gov-east-1.amazonaws.com', Sid);
});

test('no other function reaches into the other account', () => {
  for (const stack of gov)
    for (const [id, { Properties }] of ofType(stack, 'AWS::IAM::Policy'))
      if (JSON.stringify(Properties.PolicyDocument).includes(THEIRS))
        assert.match(id, stack === standby ? /^(Backups|Verification)/ : /^Backups/, `${stack.name} ${id}`);
});

test('its key is told to both service stacks as they are deployed, and checked to be one', () => {
  assert.deepEqual(Object.keys(copy.template.Outputs ?? {}), ['OffsiteKeyId']);
  for (const stack of [primary, standby]) {
    const { Type, Default, AllowedPattern } =
      stack.template.Parameters?.['OffsiteKeyId'] ?? assert.fail('expected a parameter');
    assert.deepEqual([Type, Default], ['String', undefined]);
    assert.match('1234abcd-12ab-34cd-56ef-1234567890ab', new RegExp(AllowedPattern ?? 'none'));
    for (const wrong of [
      '',
      'alias/eden-field-gov-offsite',
      'arn:aws-us-gov:kms:us-gov-east-1:1:key/1',
      'mrk-1',
    ])
      assert.doesNotMatch(wrong, new RegExp(AllowedPattern ?? '.*'), wrong);
  }
});

test('functions can read what they are told: where the copy goes in the standby, where it counts in both', () => {
  const offsite = { bucket: BUCKET, keyArn: KEY_ARN, owner: THEIRS };
  for (const name of ['backup', 'verification']) {
    const told = (stack: Stack) => functionNamed(stack, name).Environment.Variables.OFFSITE;
    assert.deepEqual(readOffsite({ OFFSITE: textOf(told(standby)) }), offsite);
    assert.equal(told(primary), undefined);
  }
  for (const stack of [primary, standby])
    assert.deepEqual(
      readThirdCopy({ THIRD_COPY: textOf(functionNamed(stack, 'backup').Environment.Variables.THIRD_COPY) }),
      {
        bucket: BUCKET,
        region: 'us-gov-east-1',
      },
    );
});
