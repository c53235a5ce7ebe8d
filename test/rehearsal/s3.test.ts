// The rehearsal's S3: the contract, and what only it has: regions with a network between them, permissions, refusals of
// what is not played.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { bucketsOf, unplayedBucketSettings } from '../../rehearsal/aws/s3/buckets.ts';
import { readPayload } from '../../rehearsal/aws/s3/payload.ts';
import { s3Contract } from '../contracts/s3.ts';
import { deploymentOf, keyArn, keys, PRIMARY, resource, role, roleArn, STANDBY } from './fake-deployment.ts';

const arnOf = (name: string) => `arn:aws:s3:::${name}`;
const bucket = (name: string, properties: object, region: string = PRIMARY) =>
  resource(
    'AWS::S3::Bucket',
    { ...properties },
    { physicalId: name, logicalId: name, arn: arnOf(name), region },
  );
const locked = (region: string) => ({
  VersioningConfiguration: { Status: 'Enabled' },
  ObjectLockEnabled: true,
  ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 7 } } },
  BucketEncryption: {
    ServerSideEncryptionConfiguration: [
      {
        BucketKeyEnabled: true,
        ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: keyArn(region) },
      },
    ],
  },
});
const deny = (Condition: object) => ({
  Effect: 'Deny',
  Principal: { AWS: '*' },
  Action: 's3:*',
  Resource: [arnOf('audit'), `${arnOf('audit')}/*`],
  Condition,
});
/** As CDK writes it for a bucket that takes TLS only. */
const tlsOnly = resource('AWS::S3::BucketPolicy', {
  Bucket: 'audit',
  PolicyDocument: {
    Statement: [
      deny({ Bool: { 'aws:SecureTransport': 'false' } }),
      deny({ NumericLessThan: { 's3:TlsVersion': 1.2 } }),
    ],
  },
});
const allow = (Action: string | readonly string[], Resource: string, Condition?: object) => ({
  Effect: 'Allow',
  Action,
  Resource,
  ...(Condition && { Condition }),
});
const throughS3 = (action: string) =>
  allow(action, keyArn(PRIMARY), { StringEquals: { 'kms:ViaService': `s3.${PRIMARY}.amazonaws.com` } });
const objects = `${arnOf('audit')}/audit/*`;
const roles = [
  role('archiver', [
    allow(['s3:PutObject', 's3:GetObject'], objects),
    throughS3('kms:GenerateDataKey'),
    throughS3('kms:Decrypt'),
    allow('s3:ListBucket', arnOf('audit'), { StringLike: { 's3:prefix': 'audit/*' } }),
  ]),
  role('blind', [
    allow(['s3:PutObject', 's3:GetObject', 's3:GetObjectVersion', 's3:DeleteObjectVersion'], objects),
    throughS3('kms:GenerateDataKey'),
  ]),
];

let aws: Aws;
let operator: S3Client;
const clients: S3Client[] = [];
function client(principal: string, region: string = PRIMARY, from = region): S3Client {
  const made = new S3Client({
    region,
    endpoint: aws.endpoint,
    credentials: credentialsOf(principal, from),
    maxAttempts: 1,
  });
  clients.push(made);
  return made;
}
before(async () => {
  aws = await startAws({
    deployment: deploymentOf(
      bucket('audit', locked(PRIMARY)),
      bucket('audit-standby', locked(STANDBY), STANDBY),
      bucket('plain', {}),
      tlsOnly,
      ...keys(),
      ...roles,
    ),
    hangMs: 50,
  });
  operator = client(OPERATOR);
});
after(async () => {
  for (const each of clients) each.destroy();
  await aws.close();
});

describe('the contract', () => {
  s3Contract(() => ({
    client: operator,
    lockedBucket: 'audit',
    keyArn: keyArn(PRIMARY),
    plainBucket: 'plain',
  }));
});

const put = (Key: string, Bucket = 'audit') => new PutObjectCommand({ Bucket, Key, Body: 'x' });
const get = (Key: string, Bucket = 'audit') => new GetObjectCommand({ Bucket, Key });

describe('permissions', () => {
  test('a role does what its policies say, through the key too', async () => {
    const s3 = client(roleArn('archiver'));
    await s3.send(put('audit/a'));
    await s3.send(get('audit/a'));
    await s3.send(new ListObjectsV2Command({ Bucket: 'audit', Prefix: 'audit/' }));
    const used = aws.iam.used
      .filter(({ principalArn }) => principalArn === roleArn('archiver'))
      .map(({ action, resource: on }) => `${action} ${on}`);
    assert.deepEqual(used.sort(), [
      `kms:Decrypt ${keyArn(PRIMARY)}`,
      `kms:GenerateDataKey ${keyArn(PRIMARY)}`,
      `s3:GetObject ${arnOf('audit')}/*`,
      `s3:ListBucket ${arnOf('audit')}`,
      `s3:PutObject ${arnOf('audit')}/*`,
    ]);
    assert.deepEqual(aws.iam.problems, []);
  });

  test('anything else is refused, by the name of what is missing', async () => {
    const s3 = client(roleArn('archiver'));
    const refused = (message: RegExp) => ({ name: 'AccessDenied', message });
    await assert.rejects(
      s3.send(put('other/a')),
      refused(/s3:PutObject on resource: arn:aws:s3:::audit\/other\/a/),
    );
    await assert.rejects(
      s3.send(new ListObjectsV2Command({ Bucket: 'audit', Prefix: 'other/' })),
      refused(/s3:ListBucket on resource: arn:aws:s3:::audit /),
    );
    await assert.rejects(
      s3.send(new DeleteObjectCommand({ Bucket: 'audit', Key: 'audit/a' })),
      refused(/s3:DeleteObject/),
    );
    const blind = client(roleArn('blind'));
    await blind.send(put('audit/b'));
    await assert.rejects(blind.send(get('audit/b')), refused(/kms:Decrypt/));
  });

  test('who may not list a bucket does not learn what is not in it', async () => {
    const missing = { name: 'AccessDenied', message: /s3:ListBucket/ };
    await assert.rejects(client(roleArn('blind')).send(get('audit/none')), missing);
  });

  test('a lock is lifted only by whoever may lift it', async () => {
    const { VersionId } = await operator.send(put('audit/held'));
    const lift = new DeleteObjectCommand({
      Bucket: 'audit',
      Key: 'audit/held',
      VersionId,
      BypassGovernanceRetention: true,
    });
    await assert.rejects(client(roleArn('blind')).send(lift), {
      name: 'AccessDenied',
      message: /s3:BypassGovernanceRetention/,
    });
    await operator.send(lift);
  });

  test('a wrong key and a wrong secret are refused as S3 words it', async () => {
    const good = credentialsOf(OPERATOR, PRIMARY);
    const sent = (credentials: typeof good) => {
      const made = new S3Client({ region: PRIMARY, endpoint: aws.endpoint, credentials, maxAttempts: 1 });
      clients.push(made);
      return made.send(get('audit/a'));
    };
    await assert.rejects(sent({ ...good, accessKeyId: 'AKIANOBODY' }), { name: 'InvalidAccessKeyId' });
    await assert.rejects(sent({ ...good, secretAccessKey: 'wrong' }), { name: 'SignatureDoesNotMatch' });
  });

  test('what no request needed is reported with the rest', () => {
    const unused = aws.iam.unused(['s3']).map(({ principalArn, action }) => `${principalArn} ${action}`);
    assert.deepEqual(unused, [`${roleArn('blind')} s3:GetObjectVersion`]);
  });
});

describe('regions', () => {
  test('a bucket is reached through its own region only', async () => {
    await client(OPERATOR, STANDBY).send(put('a', 'audit-standby'));
    await assert.rejects(operator.send(get('a', 'audit-standby')), {
      name: 'PermanentRedirect',
      message: /it is in us-west-2, not in us-east-2/,
    });
    const { Buckets } = await operator.send(new ListBucketsCommand({}));
    assert.deepEqual(
      Buckets?.map(({ Name }) => Name),
      ['audit', 'audit-standby', 'plain'],
    );
  });

  test('a bucket of a region that is down or out of reach does not answer, and has everything when it is back', async () => {
    const [near, far] = [client(OPERATOR, STANDBY), client(OPERATOR, STANDBY, PRIMARY)];
    await near.send(put('kept', 'audit-standby'));
    aws.links.set([{ between: [PRIMARY, STANDBY], cut: true, delayMs: 0 }]);
    await assert.rejects(far.send(get('kept', 'audit-standby')), /socket hang up|ECONNRESET/);
    await near.send(get('kept', 'audit-standby'));
    aws.links.setUp(STANDBY, false);
    await assert.rejects(near.send(get('kept', 'audit-standby')), /socket hang up|ECONNRESET/);
    aws.links.setUp(STANDBY, true);
    aws.links.set([{ between: [PRIMARY, STANDBY], cut: false, delayMs: 0 }]);
    await far.send(get('kept', 'audit-standby'));
  });
});

describe('what is not played', () => {
  test('is refused by its name', async () => {
    const s3 = operator;
    const refused = (message: RegExp) => ({ name: 'NotImplemented', message });
    await assert.rejects(
      s3.send(new CreateMultipartUploadCommand({ Bucket: 'audit', Key: 'a' })),
      refused(/does not play s3:POST of an object with uploads; it plays PutObject/),
    );
    await assert.rejects(
      s3.send(new PutObjectCommand({ Bucket: 'plain', Key: 'a', Body: 'x', IfNoneMatch: '"e"' })),
      refused(/If-None-Match: S3 takes \* with a PUT/),
    );
    await assert.rejects(
      s3.send(new HeadObjectCommand({ Bucket: 'audit', Key: 'a', PartNumber: 1 })),
      (error: { $metadata: { httpStatusCode: number } }) => error.$metadata.httpStatusCode === 501,
    );
  });

  test('settings of buckets that have no counterpart are listed', () => {
    const settings = unplayedBucketSettings(
      deploymentOf(
        bucket('a', {
          ...locked(PRIMARY),
          Tags: [],
          LifecycleConfiguration: { Rules: [{ Id: 'x', Status: 'Enabled', TagFilters: [] }] },
        }),
      ),
    );
    assert.deepEqual(settings, ['stack/a: AWS::S3::Bucket LifecycleConfiguration x TagFilters']);
    const played = {
      Id: 'u',
      Status: 'Enabled',
      ExpirationInDays: 1,
      AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
    };
    const ending = bucket('a', { LifecycleConfiguration: { Rules: [played] } });
    assert.deepEqual(unplayedBucketSettings(deploymentOf(ending)), []);
    const odd = {
      ...locked(PRIMARY),
      ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'SOFT', Days: 1 } } },
    };
    assert.throws(
      () => bucketsOf(deploymentOf(bucket('a', odd))),
      /a: DefaultRetention: expected a Mode .*SOFT/,
    );
  });
});

test('a chunked body gives its content and its trailers, and one that ends early is refused', () => {
  const whole = '5;chunk-signature=0\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc32:mobJYA==\r\n\r\n';
  const read = (body: string, length = 6) =>
    readPayload({
      headers: {
        'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
        'x-amz-decoded-content-length': String(length),
      },
      body: Buffer.from(body),
    });
  const { content, checksums } = read(whole);
  assert.equal(content.toString(), 'hello!');
  assert.deepEqual(checksums, { 'x-amz-checksum-crc32': 'mobJYA==' });
  assert.equal(read(whole.replace(/x-amz.*\r\n\r\n$/, '\r\n')).checked, false);
  assert.throws(() => read(whole.replace('hello', 'hallo')), { name: 'BadDigest' });
  for (const end of [0, 3, 22, 30])
    assert.throws(() => read(whole.slice(0, end)), { name: 'IncompleteBody' });
  assert.throws(() => read(whole.replace(/x-amz.*\r\n\r\n$/, '\r\n'), 5), { name: 'IncompleteBody' });
  const other = { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', 'x-amz-checksum-crc64nvme': 'AAAA' };
  assert.throws(() => readPayload({ headers: other, body: Buffer.from('x') }), { name: 'NotImplemented' });
  const hashed = { 'x-amz-content-sha256': '0'.repeat(64) };
  assert.throws(() => readPayload({ headers: hashed, body: Buffer.from('x') }), {
    name: 'XAmzContentSHA256Mismatch',
  });
});
