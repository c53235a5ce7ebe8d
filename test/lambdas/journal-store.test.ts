// The journal's port on S3: one call a put, nothing written over, and errors that say whether it may be repeated.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import type { S3Client } from '@aws-sdk/client-s3';
import { EnvironmentError, readBackupBucketsFrom } from '../../lambdas/env.ts';
import { createS3Client } from '../../lambdas/store/s3-audit-store.ts';
import { createS3JournalStore } from '../../lambdas/store/s3-journal-store.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';

interface Asked {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}
const asked: Asked[] = [];
let answer: (response: ServerResponse) => void;
let client: S3Client;
const server = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  asked.push({
    line: `${request.method} ${request.url}`,
    headers: request.headers,
    body: Buffer.concat(chunks),
  });
  answer(response);
});
const ok = (response: ServerResponse) => response.writeHead(200).end();
const refuse = (status: number, code: string) => (response: ServerResponse) =>
  response
    .writeHead(status, { 'content-type': 'application/xml' })
    .end(`<Error><Code>${code}</Code></Error>`);

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  client = createS3Client({
    endpoint: `http://127.0.0.1:${address.port}`,
    region: 'us-east-2',
    forcePathStyle: true,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  });
});
after(() => {
  client.destroy();
  server.closeAllConnections();
  server.close();
});

async function putting(
  how: (response: ServerResponse) => void,
  content: Uint8Array | string = Buffer.from([31, 139, 0]),
) {
  answer = how;
  asked.length = 0;
  const store = createS3JournalStore({ client, bucket: 'backups', attemptMs: 250 });
  try {
    await store.put('journal/2026-07-01T05Z/a.ndjson.gz', content);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof StoreUnavailableError, String(error));
    return error;
  }
}

test('bytes are put as they are, never over others, with the checksum that S3 holds them to', async () => {
  const content = Buffer.from([31, 139, 8, 0, 255]);
  assert.equal(await putting(ok, content), undefined);
  const [call, ...others] = asked;
  assert.equal(others.length, 0);
  assert.match(call?.line ?? '', /^PUT \/backups\/journal\/2026-07-01T05Z\/a\.ndjson\.gz/);
  assert.deepEqual(call?.body, content);
  assert.deepEqual(
    ['if-none-match', 'content-type', 'content-encoding', 'x-amz-checksum-sha256'].map(
      (it) => call?.headers[it],
    ),
    ['*', 'application/gzip', undefined, createHash('sha256').update(content).digest('base64')],
  );
  await putting(ok, '{"as":"it came"}');
  assert.equal(asked[0]?.headers['content-type'], 'application/json');
});

test('what stands there already is the same, and well', async () => {
  assert.equal(await putting(refuse(412, 'PreconditionFailed')), undefined);
});

test('one attempt a put, which says whether another may help', async () => {
  for (const [how, retryable, says] of [
    [refuse(503, 'SlowDown'), true, /the backup bucket did not answer properly: SlowDown/],
    [refuse(409, 'ConditionalRequestConflict'), true, /did not answer properly/],
    [(response: ServerResponse) => response.destroy(), true, /did not answer properly/],
    [() => {}, true, /did not answer properly/],
    [refuse(403, 'AccessDenied'), false, /the backup bucket does not take this call: AccessDenied/],
    [refuse(404, 'NoSuchBucket'), false, /does not take this call/],
  ] as const) {
    const error = await putting(how);
    assert.match(error?.message ?? '', says);
    assert.deepEqual([error?.retryable, error?.mayHaveLanded, asked.length], [retryable, retryable, 1]);
  }
});

test('the environment names the backup bucket of every region', () => {
  const source = { BACKUP_BUCKETS: '{"us-east-2":"a","us-west-2":"b","us-east-1":"c"}' };
  assert.deepEqual(readBackupBucketsFrom('us-west-2', source), {
    own: 'b',
    peers: { 'us-east-2': 'a', 'us-east-1': 'c' },
  });
  for (const [text, says] of [
    [undefined, /BACKUP_BUCKETS: expected a value, got undefined/],
    ['x', /BACKUP_BUCKETS: expected JSON/],
    ['{"us-west-2":""}', /BACKUP_BUCKETS: expected \{"<region>":"<bucket>",…\}, got/],
    ['{"us-east-2":"a"}', /BACKUP_BUCKETS: expected a bucket of us-west-2, got those of us-east-2/],
  ] as const)
    assert.throws(
      () => readBackupBucketsFrom('us-west-2', { BACKUP_BUCKETS: text }),
      (error: unknown) => error instanceof EnvironmentError && says.test(error.message),
    );
});
