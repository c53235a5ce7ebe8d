// `npm run audit` as a command: on a table and buckets that any SDK client can use, and what it refuses.
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { sha256Of } from '../../lambdas/core/canonical.ts';
import { losingPayloadKey } from '../../protocol/audit.ts';
import { recordPk } from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { trailOf } from '../lambdas/audit-trail.ts';
import { PRIMARY, QUORUM, STANDBY, TABLE } from '../rehearsal/fake-deployment.ts';
import { runCommand, startWithBuckets } from './running.ts';

const NOTE: RecordKey = { tenant: 'acme', collection: 'notes', id: 'n1' };
const LARGE = JSON.stringify({ text: 'x'.repeat(20_000) });
const LARGE_KEY = losingPayloadKey('acme', sha256Of(LARGE));

const audit = (args: readonly string[], environment?: Readonly<Record<string, string>>) =>
  runCommand('audit', args, environment);

test('on a table and buckets as AWS has them: verifies, fills, verifies again', async () => {
  const { aws, bucketOf, credentials, environment } = await startWithBuckets('audit');
  const client = { endpoint: aws.endpoint, credentials };
  const dynamodb = new DynamoDBClient({ ...client, region: PRIMARY });
  const state = join(tmpdir(), `eden-audit-${process.pid}.json`);
  const trail = trailOf(NOTE, 3, { elsewhere: { 1: LARGE } });
  const [, , last = assert.fail()] = trail;
  try {
    await dynamodb.send(
      new PutItemCommand({
        TableName: TABLE,
        Item: {
          pk: { S: recordPk(NOTE) },
          sk: { S: 'STATE' },
          auditSequence: { N: '3' },
          auditHead: { S: last.hash },
          outbox: { L: [{ S: last.text }] },
        },
      }),
    );
    // The quorum Region's archiver was down all along.
    for (const region of [PRIMARY, STANDBY]) {
      const s3 = new S3Client({ ...client, region, forcePathStyle: true });
      for (const { key, text } of [...trail.slice(0, 2), { key: LARGE_KEY, text: LARGE }])
        await s3.send(new PutObjectCommand({ Bucket: bucketOf(region), Key: key, Body: text }));
      s3.destroy();
    }
    const before = await audit(['verify', '--wait', '0'], environment);
    assert.equal(before.code, 1, before.stderr);
    assert.match(before.stdout, /^us-east-2 {2}holds {3}acme\/notes\/n1: 3 entries$/m);
    assert.match(
      before.stdout,
      /^us-east-1 {2}BROKEN {2}acme\/notes\/n1 entry 2 \([0-9a-f]{64}\): there is no such/m,
    );
    const filled = await audit(['fill', '--region', QUORUM], environment);
    assert.deepEqual(
      [filled.code, filled.stdout],
      [0, 'us-east-1: 2 entries and 1 payloads copied into its bucket\n'],
    );
    const one = ['--tenant', 'acme', '--collection', 'notes', '--id', 'n1'];
    const after = await audit(['verify', ...one, '--endpoint', aws.endpoint], environment);
    assert.equal(after.code, 0, after.stdout);
    assert.match(after.stdout, /^us-east-1: 1 records, 3 entries, 1 payloads beside them, 0 broken$/m);
    // Of a rehearsal, by the word it left, with keys that are its own.
    const { accessKeyId, secretAccessKey } = credentials;
    const left = {
      stage: 'dev',
      table: TABLE,
      aws: { endpoint: aws.endpoint, accessKeyId, secretAccessKey },
    };
    await writeFile(state, JSON.stringify(left));
    const rehearsed = await audit(['verify', ...one, '--state', state]);
    assert.equal(rehearsed.code, 0, rehearsed.stdout + rehearsed.stderr);
  } finally {
    dynamodb.destroy();
    await aws.close();
    await rm(state, { force: true });
  }
});

test('what it does not understand, or cannot reach, ends with 2', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['mend'], /expected verify or fill, got "mend"[\s\S]*Exit code/],
    [['fill'], /fill takes one --region, got 0/],
    [['verify', '--state', 'nowhere.json'], /no rehearsal runs here: start one with npm start/],
    [['verify', '--stage', 'moon'], /--stage is one of dev, prod, gov, got "moon"/],
    [['verify', '--tenant', 'acme'], /--tenant, --collection and --id together/],
    [['verify', 'all', '--endpoint', 'http://127.0.0.1:1'], /^audit: .*ECONNREFUSED/],
  ];
  await Promise.all(
    cases.map(async ([args, message]) => {
      const { code, stdout, stderr } = await audit(args);
      assert.deepEqual([code, stdout], [2, ''], args.join(' '));
      assert.match(stderr, message);
    }),
  );
  assert.match((await audit(['--help'])).stdout, /^npm run audit -- verify/);
});
