// Connections: spare ones opened ahead of need, and TLS as in production.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type AttemptAnswer, Connections } from '../../client/connections.ts';
import { RequestFailedError } from '../../client/errors.ts';
import { Requests } from '../../client/requests.ts';

/** For localhost; it guards nothing. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9pEAm78x0y7fsbjI
IEmwHV1imLBls9OVIxFnj5umAouhRANCAAS75rjPSlMGZqYnAKpXX1dnWxEGzipv
Xk1+S3RHK+FIrZhLyZ1ZP7TPrIBXBCp5U4LK81DWmtH6SmYh67/TU2Ja
-----END PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUHbg2sAj1jLpyIimV7BOlBiwUOlEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDA2MDc1MloYDzIxMjYxMDMx
MDYwNzUyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS75rjPSlMGZqYnAKpXX1dnWxEGzipvXk1+S3RHK+FIrZhLyZ1ZP7TP
rIBXBCp5U4LK81DWmtH6SmYh67/TU2Jao28wbTAdBgNVHQ4EFgQUr5pZoIHCoeZN
ibeuH92xVlEYhXIwHwYDVR0jBBgwFoAUr5pZoIHCoeZNibeuH92xVlEYhXIwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAJ0lu6zNGSX2VHJSEBmFS8lZ437c3v4miX+jOB6ukNfAAiEA
sY+wJCM1IFG63URM3FiyHRxurDP86kOHTHMDpnayd/I=
-----END CERTIFICATE-----`;

const GET = { method: 'GET', path: '/', headers: {} } as const;

async function listening(t: TestContext, server: Server) {
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}

function connectionsTo(t: TestContext, url: string, tls: object = {}): Connections {
  const connections = new Connections({ url, connectionsMax: 8, spareConnections: 4, tls });
  t.after(() => connections.close());
  return connections;
}

const get = (connections: Connections): Promise<AttemptAnswer> =>
  new Promise((answered, failed) => connections.send(GET, { heard: () => undefined, answered, failed }));

test('spare connections are opened ahead of need, taken by requests, and replaced', async (t) => {
  const usedPorts = new Set<number | undefined>();
  const server = http.createServer((request, response) => {
    usedPorts.add(request.socket.remotePort);
    response.end('ok');
  });
  const { port, sockets } = await listening(t, server);
  const connections = connectionsTo(t, `http://127.0.0.1:${port}`);
  connections.wantSpares(2);
  await until(() => sockets.length === 2);
  const spares = sockets.map(({ remotePort }) => remotePort);
  // The client's own side may still have to hear that it is connected.
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await get(connections)).body.toString(), 'ok');
  const [used] = usedPorts;
  assert.ok(spares.includes(used), 'the request went over a spare');
  await until(() => sockets.length === 3);
  await get(connections);
  assert.deepEqual([...usedPorts], [used], 'the next one goes over the same, kept alive');
});

test('there are never more spares than the limit', async (t) => {
  const { port, sockets } = await listening(t, http.createServer());
  const connections = connectionsTo(t, `http://127.0.0.1:${port}`);
  connections.wantSpares(100);
  await until(() => sockets.length === 4);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(sockets.length, 4);
});

test('a server that closes spares at once is not dialled in a loop', async (t) => {
  const server = http.createServer((_, response) => response.end('ok'));
  const { port, sockets } = await listening(t, server);
  server.on('connection', (socket: Socket) => socket.destroy());
  connectionsTo(t, `http://127.0.0.1:${port}`).wantSpares(2);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(sockets.length <= 4, `${sockets.length} connections`);
});

test('a spare that died unnoticed is not used', async (t) => {
  const server = http.createServer((_, response) => response.end('ok'));
  const { port, sockets } = await listening(t, server);
  const connections = connectionsTo(t, `http://127.0.0.1:${port}`);
  connections.wantSpares(2);
  await until(() => sockets.length === 2);
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await get(connections)).status, 200);
});

test('TLS: requests and spares speak to a private authority that they were told of', async (t) => {
  const server = https.createServer({ key: KEY, cert: CERTIFICATE }, (_, response) => response.end('secret'));
  const { port, sockets } = await listening(t, server);
  const connections = connectionsTo(t, `https://localhost:${port}`, { ca: CERTIFICATE });
  connections.wantSpares(2);
  await until(() => sockets.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await get(connections)).body.toString(), 'secret');
  await until(() => sockets.length === 3);
});

test('TLS: an authority nobody vouches for is refused, and the error says so', async (t) => {
  const server = https.createServer({ key: KEY, cert: CERTIFICATE }, (_, response) => response.end('secret'));
  server.on('tlsClientError', () => undefined);
  const { port } = await listening(t, server);
  const requests = new Requests({ endpoints: [`https://localhost:${port}`], deadlineMs: 300 });
  t.after(() => requests.close());
  await assert.rejects(requests.request({ method: 'GET', path: '/' }), (error: unknown) => {
    assert.ok(error instanceof RequestFailedError);
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
    return true;
  });
});

test('an answer larger than any the service gives is a failure, and is not held in memory', async (t) => {
  const chunk = Buffer.alloc(1024 * 1024);
  const server = http.createServer((_, response) => {
    const write = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', write);
    write();
  });
  const { port } = await listening(t, server);
  await assert.rejects(get(connectionsTo(t, `http://127.0.0.1:${port}`)), /at most 16777216 bytes, got more/);
});

async function until(condition: () => boolean, timeoutMs = 2_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) assert.fail(`not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
