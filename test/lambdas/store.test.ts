// The store port on the rehearsal's replicated table, and what only shows with a server that misbehaves.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createDynamoDBClient } from '../../lambdas/store/attempts.ts';
import { createDynamoDBStore } from '../../lambdas/store/dynamodb-store.ts';
import type { Store } from '../../lambdas/store/store.ts';
import { asVersion } from '../../protocol/versions.ts';
import { startTable } from '../../rehearsal/aws/start-table.ts';
import { storeContract } from '../contracts/store.ts';

storeContract('the replicated table', async () => {
  const running = await startTable({
    itemLag: { min: 0, max: 3 },
    indexLag: { min: 0, max: 10 },
    refusalMs: 200,
  });
  return {
    tableName: running.tableName,
    regions: running.regions,
    clientConfig: (region) => ({
      endpoint: running.endpoint,
      region,
      credentials: running.credentials(region),
    }),
    isolate(region, cut) {
      const others = running.regions.filter((other) => other !== region);
      running.links.set(others.map((other) => ({ between: [region, other], cut, delayMs: 0 })));
    },
    close: () => running.close(),
  };
});

const WRITE: Parameters<Store['write']>[0] = {
  key: { tenant: 'acme', collection: 'notes', id: 'n1' },
  version: asVersion(`018bcfe56800-0001-${'f'.repeat(16)}`),
  content: { deleted: true },
  base: undefined,
  commitVersion: asVersion(`018bcfe56800-0001-${'c'.repeat(16)}`),
};

/** A server that does to every connection's first request what `answer` says, and a store that talks to it. */
/** Tests about silence shorten the attempt; all others leave room for a machine that is busy. */
async function storeAgainst(t: TestContext, answer: (socket: Socket) => void, attemptMs = 5_000) {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const client = createDynamoDBClient({
    endpoint: `http://127.0.0.1:${address.port}`,
    region: 'us-east-2',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  });
  t.after(() => {
    client.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const store = createDynamoDBStore({
    client,
    tableName: 't',
    writeAttemptMs: attemptMs,
    readAttemptMs: attemptMs,
  });
  return { store, sockets };
}

const GIVEN_UP = { name: 'StoreUnavailableError', retryable: false, mayHaveLanded: true };

test('an attempt that gets no answer is given up, tried once, and its socket destroyed', async (t) => {
  const { store, sockets } = await storeAgainst(t, () => {}, 100);
  await assert.rejects(store.write(WRITE), GIVEN_UP);
  const [socket] = sockets;
  assert.ok(socket);
  if (!socket.closed) await once(socket, 'close');
  assert.equal(sockets.length, 1);
});

test('an attempt whose answer stops half-way is given up and its socket destroyed', async (t) => {
  const beginning =
    'HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 9\r\n\r\n{"a"';
  const { store, sockets } = await storeAgainst(t, (socket) => socket.write(beginning), 100);
  await assert.rejects(store.write(WRITE), GIVEN_UP);
  const [socket] = sockets;
  assert.ok(socket);
  if (!socket.closed) await once(socket, 'close');
  assert.equal(sockets.length, 1);
});

test('a connection that breaks is worth another try, and the write may have landed', async (t) => {
  const { store, sockets } = await storeAgainst(t, (socket) => socket.destroy());
  await assert.rejects(store.write(WRITE), { retryable: true, mayHaveLanded: true });
  assert.equal(sockets.length, 1, 'the SDK does not repeat a write by itself');
});

for (const [what, body, length] of [
  ['breaks off', '{"a"', 9],
  ['is no JSON', '<html>ok</html>', 15],
] as const)
  test(`a good answer that ${what} says nothing: worth another try, and the write may have landed`, async (t) => {
    const { store, sockets } = await storeAgainst(t, (socket) =>
      socket.end(
        `HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\ncontent-length: ${length}\r\n\r\n${body}`,
      ),
    );
    const meaning = { name: 'StoreUnavailableError', retryable: true, mayHaveLanded: true };
    await assert.rejects(store.write(WRITE), meaning);
    assert.equal(sockets.length, 1);
    await assert.rejects(store.read(WRITE.key), meaning);
    assert.equal(sockets.length, 3, 'a read is tried once more');
  });

/** How DynamoDB says that it refuses. */
function refusal(status: number, name: string): (socket: Socket) => void {
  const body = JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${name}`, message: name });
  return (socket) =>
    socket.end(
      `HTTP/1.1 ${status} X\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
}

for (const [status, name, meaning] of [
  [400, 'ReplicatedWriteConflictException', { retryable: true, mayHaveLanded: false }],
  [400, 'ProvisionedThroughputExceededException', { retryable: true, mayHaveLanded: false }],
  [400, 'ThrottlingException', { retryable: true, mayHaveLanded: false }],
  [400, 'RequestLimitExceeded', { retryable: true, mayHaveLanded: false }],
  [500, 'InternalServerError', { retryable: true, mayHaveLanded: true }],
  [503, 'ServiceUnavailable', { retryable: true, mayHaveLanded: true }],
  [400, 'AccessDeniedException', { retryable: false, mayHaveLanded: false }],
  [400, 'ValidationException', { retryable: false, mayHaveLanded: false }],
] as const)
  test(`${name} is unavailable: ${JSON.stringify(meaning)}`, async (t) => {
    const { store, sockets } = await storeAgainst(t, refusal(status, name));
    await assert.rejects(store.write(WRITE), { name: 'StoreUnavailableError', ...meaning });
    assert.equal(sockets.length, 1);
  });

test('a read that met trouble is tried once more, and no more', async (t) => {
  const { store, sockets } = await storeAgainst(t, refusal(500, 'InternalServerError'));
  await assert.rejects(store.read(WRITE.key), { name: 'StoreUnavailableError' });
  assert.equal(sockets.length, 2);
});

test('keys that a batch read leaves out are asked for again', async (t) => {
  let asked = 0;
  const item = (id: string) => ({
    pk: { S: `R#acme#notes#${id}` },
    sk: { S: 'STATE' },
    version: { S: WRITE.version },
    commitVersion: { S: WRITE.commitVersion },
    deleted: { BOOL: true },
  });
  const { store } = await storeAgainst(t, (socket) => {
    asked += 1;
    const [found, left] = asked === 1 ? ['n1', ['n2']] : ['n2', []];
    const keys = left.map((id) => ({ pk: item(id).pk, sk: item(id).sk }));
    const body = JSON.stringify({
      Responses: { t: [item(found)] },
      UnprocessedKeys: keys.length > 0 ? { t: { Keys: keys, ConsistentRead: true } } : {},
    });
    socket.end(
      `HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
  });
  const second = { ...WRITE.key, id: 'n2' };
  const { records } = await store.readMany([WRITE.key, second], 1e9);
  assert.deepEqual([...records.keys()], ['R#acme#notes#n1', 'R#acme#notes#n2']);
  assert.equal(asked, 2);
});
