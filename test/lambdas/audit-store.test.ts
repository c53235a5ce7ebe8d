// The audit bucket port on S3, against a server that misbehaves; and how a request reaches the buckets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { sha256Of } from '../../lambdas/core/canonical.ts';
import { onDemand, withPeers } from '../../lambdas/store/audit-reach.ts';
import type { AuditStore } from '../../lambdas/store/audit-store.ts';
import { createS3AuditStore, createS3Client } from '../../lambdas/store/s3-audit-store.ts';
import { auditKey, losingPayloadKey } from '../../protocol/audit.ts';
import { type RoutingChange, routingChangeKey } from '../../protocol/routing.ts';
import { routingChangeOf } from '../../protocol/routing-items.ts';
import { startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { deploymentOf, PRIMARY, resource } from '../rehearsal/fake-deployment.ts';
import { MemoryAudit } from './audit-trail.ts';

const NOTE = { tenant: 'acme', collection: 'notes', id: 'a~b.c' };
const TEXT = '{"who":"met whom"}';
const HASH = sha256Of(TEXT);

interface Asked {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}
type Answer = (response: ServerResponse, asked: Asked) => void;

const refuse =
  (status: number, code: string): Answer =>
  (response) =>
    response
      .writeHead(status, { 'content-type': 'application/xml' })
      .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`);
const ok: Answer = (response) => response.writeHead(200).end();
const silent: Answer = () => {};
const stopping: Answer = (response) => {
  response.writeHead(200, { 'content-length': '100' });
  response.write('{"half"');
};

/** A bucket whose calls are answered one after the other; the last answer goes on for ever. */
async function bucketThat(t: TestContext, ...answers: Answer[]) {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const call = { line: `${request.method} ${request.url}`, headers: request.headers, body };
    const answer = answers[Math.min(asked.length, answers.length - 1)] as Answer;
    asked.push(call);
    answer(response, call);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const client = createS3Client({
    endpoint: `http://127.0.0.1:${address.port}`,
    region: 'us-east-2',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  });
  t.after(() => {
    client.destroy();
    server.closeAllConnections();
    server.close();
  });
  // Only who waits in vain waits for it to be over.
  const attemptMs = answers.some((answer) => answer === silent || answer === stopping) ? 250 : 10_000;
  return { store: createS3AuditStore({ client, bucket: 'audit-bucket', attemptMs }), asked };
}

const checksum = (text: string) => Buffer.from(sha256Of(text), 'hex').toString('base64');

test('an entry is put under its sequence and hash, never over another, with its checksum', async (t) => {
  const { store, asked } = await bucketThat(t, ok);
  await store.archive(NOTE, 7, HASH, TEXT);
  const [call] = asked;
  assert.equal(asked.length, 1);
  assert.equal(
    decodeURIComponent(call?.line.split('?')[0] ?? ''),
    `PUT /audit-bucket/${auditKey(NOTE, 7, HASH)}`,
  );
  assert.equal(call?.headers['if-none-match'], '*');
  assert.equal(call?.headers['x-amz-checksum-sha256'], checksum(TEXT));
  assert.equal(call?.body, TEXT);
});

test('a payload is put under its own hash, in UTF-8', async (t) => {
  const { store, asked } = await bucketThat(t, ok);
  const payload = '"ä€😀"';
  await store.putPayload('acme', sha256Of(payload), payload);
  assert.match(
    asked[0]?.line ?? '',
    new RegExp(`^PUT /audit-bucket/${losingPayloadKey('acme', sha256Of(payload))}`),
  );
  assert.deepEqual(
    [asked[0]?.body, asked[0]?.headers['x-amz-checksum-sha256']],
    [payload, checksum(payload)],
  );
});

test('what stands there already is the same, and well', async (t) => {
  const { store, asked } = await bucketThat(t, refuse(412, 'PreconditionFailed'));
  await store.archive(NOTE, 7, HASH, TEXT);
  assert.equal(asked.length, 1);
});

for (const [name, ...answers] of [
  ['another put of the same key is under way', refuse(409, 'ConditionalRequestConflict'), ok],
  ['it is busy', refuse(503, 'SlowDown'), ok],
  ['it does not answer in time', silent, ok],
  ['the connection breaks', (response: ServerResponse) => response.destroy(), ok],
  ['the body came too slowly', refuse(400, 'RequestTimeout'), ok],
  ['what refuses it is not S3', (response: ServerResponse) => response.writeHead(403).end('<html>no'), ok],
] as const)
  test(`a put is tried once more when ${name}`, async (t) => {
    const { store, asked } = await bucketThat(t, ...answers);
    await store.archive(NOTE, 7, HASH, TEXT);
    assert.equal(asked.length, 2);
  });

test('a bucket that stays silent is unavailable after two tries, and the put may have landed', async (t) => {
  const { store, asked } = await bucketThat(t, silent);
  await assert.rejects(store.putPayload('acme', HASH, TEXT), {
    name: 'StoreUnavailableError',
    retryable: true,
    mayHaveLanded: true,
  });
  assert.equal(asked.length, 2);
});

test('a refusal that trying again does not mend is tried once, and says so', async (t) => {
  const { store, asked } = await bucketThat(t, refuse(403, 'AccessDenied'));
  const wanted = {
    name: 'StoreUnavailableError',
    retryable: false,
    mayHaveLanded: false,
    message: /AccessDenied/,
  };
  await assert.rejects(store.archive(NOTE, 7, HASH, TEXT), wanted);
  await assert.rejects(store.entry(NOTE, 7, HASH), wanted);
  assert.equal(asked.length, 2);
});

test('what was put is given back as it was, and what is not there is undefined', async (t) => {
  const { store } = await bucketThat(
    t,
    (response) => response.writeHead(200).end('"ä€😀"'),
    refuse(404, 'NoSuchKey'),
  );
  assert.equal(await store.payload('acme', HASH), '"ä€😀"');
  assert.equal(await store.entry(NOTE, 7, HASH), undefined);
});

test('an answer that stops half-way is not taken for all there is', async (t) => {
  const { store, asked } = await bucketThat(t, stopping);
  await assert.rejects(store.entry(NOTE, 7, HASH), { name: 'StoreUnavailableError', retryable: true });
  assert.equal(asked.length, 2);
});

test('an answer that breaks off is tried once more, and says nothing of what is there', async (t) => {
  const { store, asked } = await bucketThat(t, (response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{"half"', () => response.destroy());
  });
  await assert.rejects(store.entry(NOTE, 7, HASH), { name: 'StoreUnavailableError', retryable: true });
  assert.equal(asked.length, 2);
});

const CHANGE: RoutingChange = {
  epoch: 1_800_000_000_000,
  at: 1_800_000_000_000,
  what: 'move',
  from: 'us-east-2',
  to: 'us-west-2',
  by: 'observers',
  reason: 'two of three',
  votes: [],
  forced: false,
  restoreEpoch: 1,
};

const put = (store: AuditStore) =>
  Promise.all([store.archive(NOTE, 7, HASH, TEXT), store.putPayload('acme', HASH, TEXT)]);

test('on a versioned bucket with Object Lock: put twice, kept once, read back', async (t) => {
  const bucket = resource(
    'AWS::S3::Bucket',
    {
      VersioningConfiguration: { Status: 'Enabled' },
      ObjectLockEnabled: true,
      ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 7 } } },
    },
    { physicalId: 'audit', logicalId: 'audit', arn: 'arn:aws:s3:::audit' },
  );
  const aws = await startAws({ deployment: deploymentOf(bucket) });
  const client = createS3Client({
    endpoint: aws.endpoint,
    region: PRIMARY,
    credentials: credentialsOf(OPERATOR, PRIMARY),
  });
  t.after(async () => {
    client.destroy();
    await aws.close();
  });
  const store = createS3AuditStore({ client, bucket: 'audit', attemptMs: 10_000 });
  for (let times = 0; times < 2; times += 1) await put(store);
  for (let times = 0; times < 2; times += 1) await store.archiveRouting(CHANGE);
  const change = await client.send(new GetObjectCommand({ Bucket: 'audit', Key: routingChangeKey(CHANGE) }));
  assert.deepEqual(routingChangeOf(JSON.parse((await change.Body?.transformToString()) ?? '')), CHANGE);
  assert.equal(await store.entry(NOTE, 7, HASH), TEXT);
  assert.equal(await store.payload('acme', HASH), TEXT);
  assert.equal(await store.entry(NOTE, 8, HASH), undefined);
  assert.equal(await store.payload('acme-2', HASH), undefined);
  await assert.rejects(store.putPayload('acme', sha256Of('"other"'), TEXT), { retryable: false });
});

test('puts go to the own bucket alone; reads go on to the peers’, in their order, until one has it', async () => {
  const [own, first, second] = [new MemoryAudit(), new MemoryAudit(), new MemoryAudit()];
  const store = withPeers(own, [first, second]);
  await put(store);
  assert.deepEqual(
    [own, first, second].map(({ objects }) => objects.size),
    [2, 0, 0],
  );
  own.objects.clear();
  assert.equal(await store.entry(NOTE, 7, HASH), undefined);
  await put(second);
  assert.equal(await store.entry(NOTE, 7, HASH), TEXT);
  assert.equal(await store.payload('acme', HASH), TEXT);
  first.down = () => true;
  assert.equal(await store.entry(NOTE, 7, HASH), TEXT);
});

test('nothing is missing as long as a bucket that may have it does not answer', async () => {
  const [own, peer] = [new MemoryAudit(), new MemoryAudit()];
  const store = withPeers(own, [peer]);
  peer.down = () => true;
  await assert.rejects(store.entry(NOTE, 7, HASH), { name: 'StoreUnavailableError' });
  peer.down = () => false;
  own.down = () => true;
  await assert.rejects(store.payload('acme', HASH), { name: 'StoreUnavailableError' });
  await put(peer);
  assert.equal(await store.payload('acme', HASH), TEXT);
  await assert.rejects(store.archive(NOTE, 7, HASH, TEXT), { name: 'StoreUnavailableError' });
});

test('a bucket on demand is opened by its first call, once, and again when that failed', async () => {
  const bucket = new MemoryAudit();
  let opened = 0;
  let fails = true;
  const store = onDemand(async () => {
    opened += 1;
    if (fails) throw new Error('not now');
    return bucket;
  });
  assert.equal(opened, 0);
  await assert.rejects(store.entry(NOTE, 7, HASH), /not now/);
  fails = false;
  await put(store);
  assert.equal(await store.entry(NOTE, 7, HASH), TEXT);
  assert.equal(await store.payload('acme', HASH), TEXT);
  assert.equal(opened, 2);
});
