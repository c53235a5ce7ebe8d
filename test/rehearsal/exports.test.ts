// The rehearsal's exports: the contract, and what only it has: permissions, regions that are cut off or dead, copies
// tampered with, a table wiped, and a history that is cut short.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  DescribeContinuousBackupsCommand,
  DynamoDBClient,
  ExportTableToPointInTimeCommand,
} from '@aws-sdk/client-dynamodb';
import { S3Client } from '@aws-sdk/client-s3';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { Clock } from '../../rehearsal/aws/clock.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { TableHistory } from '../../rehearsal/aws/dynamodb/history.ts';
import { startTable } from '../../rehearsal/aws/start-table.ts';
import { exportRefusalsContract } from '../contracts/export-refusals.ts';
import { exportsContract } from '../contracts/exports.ts';
import { type ExportsUnderTest, exported, HOUR, readExport } from '../contracts/exports-subject.ts';
import {
  deploymentOf,
  keyArn,
  keys,
  PRIMARY,
  QUORUM,
  REGIONS,
  recordsTable,
  resource,
  role,
  roleArn,
  STANDBY,
  TABLE,
  tableArn,
} from './fake-deployment.ts';

const UNPROTECTED = 'unprotected';
const bucketOf = (region: string) => `backup-${region}`;
const backupBucket = (region: string) =>
  resource(
    'AWS::S3::Bucket',
    {
      ObjectLockEnabled: true,
      ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 7 } } },
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          { ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: keyArn(region) } },
        ],
      },
    },
    { physicalId: bucketOf(region), region },
  );
const allow = (Action: string | readonly string[], Resource: string | readonly string[]) => ({
  Effect: 'Allow',
  Action,
  Resource,
});
const mayExport = allow('dynamodb:ExportTableToPointInTime', tableArn(PRIMARY));
const mayDescribe = allow('dynamodb:DescribeExport', `${tableArn(PRIMARY)}/export/*`);
const mayWrite = allow(
  ['s3:PutObject', 's3:PutObjectAcl', 's3:AbortMultipartUpload'],
  `arn:aws:s3:::${bucketOf(PRIMARY)}/hourly/*`,
);
const mayEncrypt = allow('kms:GenerateDataKey', keyArn(PRIMARY));

const clock = new Clock();
let aws: Aws;
const clients: { destroy(): void }[] = [];
before(async () => {
  const replicas = REGIONS.map((region) => ({
    Region: region,
    PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: 35 },
  }));
  const unprotected = recordsTable({ Replicas: REGIONS.map((Region) => ({ Region })) });
  aws = await startAws({
    deployment: deploymentOf(
      recordsTable({ Replicas: replicas }),
      { ...unprotected, physicalId: UNPROTECTED },
      ...REGIONS.map(backupBucket),
      ...keys(),
      role('backup', [mayExport, mayDescribe, mayWrite, mayEncrypt]),
      role('no-writer', [mayExport, mayDescribe, allow('s3:PutObject', '*'), mayEncrypt]),
      role('no-key', [mayExport, mayDescribe, mayWrite]),
      role('no-exporter', [mayWrite, mayEncrypt]),
    ),
    refusalMs: 50,
    hangMs: 100,
    now: clock.now,
    exports: { times: { durationMs: 0 } },
  });
  // Recovery has been on for long.
  clock.advance(48 * HOUR);
});
after(async () => {
  for (const client of clients) client.destroy();
  await aws.close();
});

function subjectOf(principal: string, region: string = PRIMARY): ExportsUnderTest {
  const config = {
    region,
    endpoint: aws.endpoint,
    credentials: credentialsOf(principal, region),
    maxAttempts: 1,
  };
  const [dynamodb, s3] = [
    new DynamoDBClient(config),
    new S3Client({ ...config, credentials: credentialsOf(OPERATOR, region) }),
  ];
  clients.push(dynamodb, s3);
  return {
    dynamodb,
    s3,
    tableArn: tableArn(region),
    unprotectedTableArn: tableArn(region).replace(TABLE, UNPROTECTED),
    bucket: bucketOf(region),
    keyArn: keyArn(region),
    pollMs: 2,
    now: clock.now,
    async pass(ms) {
      clock.advance(ms);
    },
  };
}
const table = () => {
  const found = aws.tables.get(TABLE);
  assert.ok(found);
  return found;
};
const key = (pk: string) => ({ pk: { S: pk }, sk: { S: 'STATE' } });
const put = (pk: string, text: string, region: string = PRIMARY) =>
  table().write(region, 'PutItem', { TableName: TABLE, Item: { ...key(pk), text: { S: text } } }, false);

describe('the contract', () => {
  let subject: ExportsUnderTest | undefined;
  const shared = () => {
    subject ??= subjectOf(OPERATOR);
    return subject;
  };
  exportsContract(shared);
  exportRefusalsContract(shared);
});

describe('permissions', () => {
  const withKey = {
    S3Prefix: 'hourly/x',
    S3SseAlgorithm: 'KMS' as const,
    S3SseKmsKeyId: keyArn(PRIMARY),
  };

  test('a role exports with what its policies give, through the key too', async () => {
    await put('a', 'one');
    const subject = subjectOf(roleArn('backup'));
    const { lines } = await readExport(subject, await exported(subject, withKey));
    assert.ok(lines.length > 0);
    const used = aws.iam.used
      .filter(({ principalArn }) => principalArn === roleArn('backup'))
      .map(({ action }) => action);
    assert.deepEqual(used.sort(), [
      'dynamodb:DescribeExport',
      'dynamodb:ExportTableToPointInTime',
      'kms:GenerateDataKey',
      's3:AbortMultipartUpload',
      's3:PutObject',
      's3:PutObjectAcl',
    ]);
  });

  test('without the permission to export it is refused, without one of S3’s or the key’s it fails', async () => {
    await assert.rejects(exported(subjectOf(roleArn('no-exporter'))), {
      name: 'AccessDeniedException',
      message: /dynamodb:ExportTableToPointInTime/,
    });
    for (const [name, missing] of [
      ['no-writer', 's3:AbortMultipartUpload'],
      ['no-key', 'kms:GenerateDataKey'],
    ] as const) {
      const failed = await exported(subjectOf(roleArn(name)), withKey);
      assert.deepEqual([failed.ExportStatus, failed.FailureCode], ['FAILED', 'S3AccessDenied']);
      assert.match(String(failed.FailureMessage), new RegExp(`not authorized to perform: ${missing} `));
    }
    const elsewhere = await exported(subjectOf(roleArn('backup')), { ...withKey, S3Prefix: 'daily' });
    assert.equal(elsewhere.FailureCode, 'S3AccessDenied');
  });

  test('a key that is switched off fails it', async () => {
    aws.kms.setEnabled(PRIMARY, false);
    const failed = await exported(subjectOf(OPERATOR), withKey);
    aws.kms.setEnabled(PRIMARY, true);
    assert.equal(failed.FailureCode, 'KmsDisabledException');
  });
});

describe('regions', () => {
  const latestOf = async ({ dynamodb }: ExportsUnderTest) => {
    const told = await dynamodb.send(new DescribeContinuousBackupsCommand({ TableName: TABLE }));
    const recovery = told.ContinuousBackupsDescription?.PointInTimeRecoveryDescription;
    return recovery?.LatestRestorableDateTime?.getTime();
  };
  const link = (region: string, cut: boolean) =>
    aws.links.set(
      REGIONS.filter((other) => other !== region).map((other) => ({
        between: [region, other] as const,
        cut,
        delayMs: 0,
      })),
    );

  test('each exports its own copy into whichever bucket, with what others wrote', async () => {
    await put('far', 'one', QUORUM);
    const subject = subjectOf(OPERATOR, STANDBY);
    const read = await readExport(
      subject,
      await exported(subject, { S3Bucket: bucketOf(STANDBY), S3Prefix: 'full' }),
    );
    assert.ok(read.lines.some(({ Item }) => (Item as { pk: { S: string } }).pk.S === 'far'));
    const { S3Bucket } = await exported(subject, { S3Bucket: bucketOf(QUORUM) });
    assert.equal(S3Bucket, bucketOf(QUORUM));
  });

  test('one that is cut off exports nothing and says no later time than when it was', async () => {
    const subject = subjectOf(OPERATOR, STANDBY);
    link(STANDBY, true);
    try {
      await assert.rejects(exported(subject), { name: 'InternalServerError' });
      const latest = await latestOf(subject);
      clock.advance(HOUR);
      assert.equal(await latestOf(subject), latest);
      const elsewhere = await exported(subjectOf(OPERATOR));
      assert.equal(elsewhere.ExportStatus, 'COMPLETED');
    } finally {
      link(STANDBY, false);
    }
    assert.equal((await exported(subject)).ExportStatus, 'COMPLETED');
  });

  test('one that dies does not answer', async () => {
    aws.links.setUp(STANDBY, false);
    try {
      await assert.rejects(exported(subjectOf(OPERATOR, STANDBY)), /socket hang up|ECONNRESET/);
    } finally {
      aws.links.setUp(STANDBY, true);
    }
  });

  test('a bucket that is unavailable or out of reach fails it', async () => {
    aws.s3?.setAvailable(bucketOf(PRIMARY), false);
    const failed = await exported(subjectOf(OPERATOR));
    aws.s3?.setAvailable(bucketOf(PRIMARY), true);
    assert.deepEqual([failed.ExportStatus, failed.FailureCode], ['FAILED', 'S3ServiceUnavailable']);
    aws.links.set([{ between: [PRIMARY, QUORUM], cut: true, delayMs: 0 }]);
    const unreached = await exported(subjectOf(OPERATOR), { S3Bucket: bucketOf(QUORUM) });
    aws.links.set([{ between: [PRIMARY, QUORUM], cut: false, delayMs: 0 }]);
    assert.equal(unreached.FailureCode, 'S3ServiceUnavailable');
  });
});

describe('damage', () => {
  const textIn = async (region: string, pk: string) => {
    const subject = subjectOf(OPERATOR, region);
    const { lines } = await readExport(subject, await exported(subject));
    const items = lines.map(({ Item }) => Item as Record<string, { S: string }>);
    return items.find((item) => item['pk']?.S === pk)?.['text']?.S;
  };

  test('a copy that was tampered with is exported as it is, and only there, until it is written anew', async () => {
    await put('t', 'good');
    await table().tamper(STANDBY, key('t'), { ...key('t'), text: { S: 'bad' } });
    assert.deepEqual([await textIn(STANDBY, 't'), await textIn(QUORUM, 't')], ['bad', 'good']);
    await put('t', 'better');
    assert.deepEqual([await textIn(STANDBY, 't'), await textIn(QUORUM, 't')], ['better', 'better']);
  });

  test('a table that is wiped is empty in every region, and can be written again', async () => {
    await put('w', 'one');
    await table().wipe();
    for (const region of REGIONS) {
      const scan = { TableName: TABLE };
      assert.equal((await table().read(region, 'Scan', scan, true))['Count'], 0, region);
      assert.equal(await textIn(region, 'w'), undefined);
    }
    await put('w', 'two');
    assert.equal(await textIn(QUORUM, 'w'), 'two');
  });
});

test('more exports than there may be at a time are refused', async () => {
  const few = await startAws({
    deployment: deploymentOf(
      recordsTable({
        Replicas: REGIONS.map((Region) => ({
          Region,
          PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
        })),
      }),
      backupBucket(PRIMARY),
      ...keys(),
    ),
    exports: { concurrentMax: 1, times: { durationMs: 60_000 } },
  });
  const dynamodb = new DynamoDBClient({
    region: PRIMARY,
    endpoint: few.endpoint,
    credentials: credentialsOf(OPERATOR, PRIMARY),
    maxAttempts: 1,
  });
  const ask = () =>
    dynamodb.send(
      new ExportTableToPointInTimeCommand({ TableArn: tableArn(PRIMARY), S3Bucket: bucketOf(PRIMARY) }),
    );
  try {
    await ask();
    await assert.rejects(ask(), { name: 'LimitExceededException' });
  } finally {
    dynamodb.destroy();
    await few.close();
  }
});

describe('a history', () => {
  const DAY = 24 * HOUR;
  async function kept(bytesMax?: number) {
    const running = await startTable();
    const time = new Clock({ real: () => Date.parse('2026-01-01T00:00:00Z') });
    const dropped: string[] = [];
    const history = new TableHistory({
      table: running.table,
      recoveryDays: new Map([[PRIMARY, 2]]),
      now: time.now,
      onDropped: (why) => dropped.push(why),
      ...(bytesMax !== undefined && { bytesMax }),
    });
    const write = (pk: string, text?: string) =>
      text === undefined
        ? running.table.write(PRIMARY, 'DeleteItem', { TableName: running.tableName, Key: key(pk) }, false)
        : running.table.write(
            PRIMARY,
            'PutItem',
            { TableName: running.tableName, Item: { ...key(pk), text: { S: text } } },
            false,
          );
    const texts = (ms: number) =>
      [...history.at(PRIMARY, ms)].map(({ json }) => JSON.parse(json)['text']['S'] as string).sort();
    return { running, time, history, dropped, write, texts };
  }

  test('reaches back as far as its period, and forgets what is older', async () => {
    const { running, time, history, write, texts } = await kept();
    await write('a', 'first');
    await write('gone', 'x');
    await write('gone');
    const start = time.now();
    time.advance(DAY);
    await write('a', 'second');
    assert.deepEqual([texts(start), texts(time.now())], [['first'], ['second']]);
    time.advance(DAY + 1);
    await write('b', 'new');
    assert.equal(history.earliest(PRIMARY), time.now() - 2 * DAY);
    assert.deepEqual(texts(history.earliest(PRIMARY)), ['first'], 'it stood so until a day later');
    time.advance(DAY);
    await write('b', 'newer');
    assert.deepEqual(texts(history.earliest(PRIMARY)), ['second']);
    assert.equal(history.recoveryDays(STANDBY), undefined);
    await running.close();
  });

  test('reaches back less far when it may not keep more, and says so once', async () => {
    const { running, time, history, dropped, write, texts } = await kept(3_000);
    for (let n = 0; n < 20; n += 1) {
      time.advance(1_000);
      await write('a', `${n} ${'x'.repeat(200)}`);
    }
    assert.ok(history.earliest(PRIMARY) > time.now() - 15_000);
    assert.ok(history.earliest(PRIMARY) < time.now() - 5_000);
    assert.equal(texts(history.earliest(PRIMARY)).length, 1);
    assert.equal(dropped.length, 1);
    assert.match(String(dropped[0]), /reaches back less than its period/);
    await running.close();
  });
});

test('a clock goes so many times as fast, can be set ahead, and never goes back', () => {
  let realMs = 1_000;
  const fast = new Clock({ scale: 60, real: () => realMs });
  realMs += 1_000;
  assert.equal(fast.now(), 61_000);
  fast.advance(500);
  assert.equal(fast.now(), 61_500);
  assert.throws(() => fast.advance(-1), RangeError);
  for (const scale of [0, -1, Number.NaN]) assert.throws(() => new Clock({ scale }), RangeError);
});
