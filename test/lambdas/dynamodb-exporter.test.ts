// What DynamoDB is asked for when a Region's replica is to be exported, as it goes over the wire.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { planBackup } from '../../lambdas/core/backup-plan.ts';
import type { ExportTarget } from '../../lambdas/store/backup-store.ts';
import { createDynamoDBExporter } from '../../lambdas/store/dynamodb-exporter.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';

const TABLE_ARN = 'arn:aws-us-gov:dynamodb:us-gov-east-1:111111111111:table/eden-field-gov-records';
const EXPORT_ARN = `${TABLE_ARN}/export/01234567890123-abcdef01`;
const MONTH = Date.parse('2026-12-01T00:00:00Z');

const asked: Record<string, unknown>[] = [];
let refuses = false;
const server = createServer(async (request, response) => {
  asked.push(JSON.parse(await text(request)));
  response.setHeader('content-type', 'application/x-amz-json-1.0');
  if (refuses)
    response.writeHead(400).end('{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException"}');
  else response.end(JSON.stringify({ ExportDescription: { ExportArn: EXPORT_ARN } }));
});
let client: DynamoDBClient;

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = new DynamoDBClient({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-gov-east-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'none' },
    maxAttempts: 1,
  });
});
after(() => {
  client.destroy();
  server.close();
});

function ask(target: ExportTarget): Promise<string> {
  const plan = planBackup({
    ...{ tier: 'offsite', tickMs: MONTH, region: 'us-gov-east-1', known: [] },
    restorable: { earliestMs: 0, latestMs: MONTH + 300_000 },
  });
  if (plan.kind !== 'full') return assert.fail(`expected a full export, got ${plan.kind}`);
  const exporter = createDynamoDBExporter({
    client,
    tableName: 'eden-field-gov-records',
    tableArn: TABLE_ARN,
  });
  return exporter.ask(plan, target);
}

test('into another account goes with whose bucket it is, and with that account’s key by its ARN', async () => {
  const keyArn = 'arn:aws-us-gov:kms:us-gov-east-1:999999999999:key/11111111-2222-3333-4444-555555555555';
  assert.equal(await ask({ bucket: 'theirs', keyArn, owner: '999999999999' }), EXPORT_ARN);
  const { ClientToken, ...request } = asked.at(-1) ?? {};
  assert.equal(typeof ClientToken, 'string');
  assert.deepEqual(request, {
    TableArn: TABLE_ARN,
    S3Bucket: 'theirs',
    S3BucketOwner: '999999999999',
    S3Prefix: 'offsite/2026-12-01',
    S3SseAlgorithm: 'KMS',
    S3SseKmsKeyId: keyArn,
    ExportFormat: 'DYNAMODB_JSON',
    ExportType: 'FULL_EXPORT',
    ExportTime: MONTH / 1_000,
  });
});

test('into a bucket of one’s own goes without an owner', async () => {
  await ask({ bucket: 'ours', keyArn: 'key' });
  const request = asked.at(-1) ?? {};
  assert.equal(request['S3Bucket'], 'ours');
  assert.equal('S3BucketOwner' in request, false);
});

test('a refusal is told once, and not tried again', async () => {
  refuses = true;
  const before = asked.length;
  await assert.rejects(
    ask({ bucket: 'theirs', keyArn: 'key', owner: '999999999999' }),
    StoreUnavailableError,
  );
  assert.equal(asked.length, before + 1);
  refuses = false;
});
