import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { createConnection, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Link, type LinkConditions, openLink, RETRANSMIT_MS } from '../../rehearsal/supervisor/link.ts';

const closing: (() => unknown)[] = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

/** A server that sends back what it gets. */
async function echo(): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

async function link(
  targetPort: number | undefined,
  conditions: Partial<LinkConditions> = {},
  random?: () => number,
): Promise<Link> {
  const made = await openLink({
    name: 'client to region',
    ...(targetPort === undefined ? {} : { targetPort }),
    conditions,
    ...(random ? { random } : {}),
  });
  closing.push(() => made.close());
  return made;
}

async function connect(port: number): Promise<Socket> {
  const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
  closing.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** What arrives, once `bytes` have. */
async function receive(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let got = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    got += (chunk as Buffer).length;
    if (got >= bytes) break;
  }
  return Buffer.concat(chunks);
}

/** Resolves to what ends the connection: an error code, or `end`. */
function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('end', () => resolve('end'));
    socket.resume();
  });
}

async function timed<T>(work: Promise<T>): Promise<{ ms: number; value: T }> {
  const from = performance.now();
  const value = await work;
  return { ms: performance.now() - from, value };
}

async function echoed(socket: Socket, text: string): Promise<number> {
  socket.write(text);
  const { ms, value } = await timed(receive(socket, text.length));
  assert.equal(value.toString(), text);
  return ms;
}

/** Generous above, since the machine may be busy; exact below, since nothing may arrive early. */
function assertTook(ms: number, atLeast: number, atMost = atLeast + 60): void {
  assert.ok(
    ms >= atLeast - 1.5 && ms < atMost,
    `took ${ms.toFixed(1)} ms, expected ${atLeast} to ${atMost} ms`,
  );
}

test('passes bytes both ways unchanged', async () => {
  const { port } = await link(await echo());
  const socket = await connect(port);
  await echoed(socket, 'hello');
  await echoed(socket, 'again');
});

test('the first answer takes two round trips, the handshake being one; later ones take one', async () => {
  const { port } = await link(await echo(), { delayMs: 25 });
  // From before connecting: the link counts from when it accepts, which this process may hear of late.
  const startedAt = performance.now();
  const socket = await connect(port);
  await echoed(socket, 'first');
  assertTook(performance.now() - startedAt, 100);
  assertTook(await echoed(socket, 'second'), 50);
});

test('order and content survive a large transfer with delay, loss and backpressure', async () => {
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
  const { port } = await link(await echo(), { delayMs: 3, lossRate: 0.02 }, random);
  const socket = await connect(port);
  const sent = Buffer.alloc(3 * 1024 * 1024);
  for (let at = 0; at < sent.length; at += 4) sent.writeUInt32LE(at, at);
  socket.end(sent);
  assert.deepEqual(await receive(socket, sent.length), sent);
});

test('a slow line takes as long as its bandwidth says, over all its connections together', async () => {
  const { port } = await link(await echo(), { bytesPerSecond: 100_000 });
  const sockets = await Promise.all([connect(port), connect(port)]);
  // 20,000 bytes up at 100,000 B/s are 200 ms, and the last of them come back at the same rate.
  const { ms } = await timed(
    Promise.all(
      sockets.map(async (socket) => {
        socket.write(Buffer.alloc(10_000));
        return receive(socket, 10_000);
      }),
    ),
  );
  assertTook(ms, 200, 500);
});

test('a lost chunk arrives after a retransmission, and what was sent behind it waits', async () => {
  const losses = [0, 1];
  const { port } = await link(await echo(), { lossRate: 0.5 }, () => losses.shift() ?? 1);
  const socket = await connect(port);
  assertTook(await echoed(socket, 'lost once'), RETRANSMIT_MS);
  assertTook(await echoed(socket, 'not lost'), 0);
});

test('a cut is silence: open connections say nothing and new ones hang, until it heals', async () => {
  const wire = await link(await echo(), { delayMs: 5 });
  const open = await connect(wire.port);
  await echoed(open, 'before');
  wire.change({ cut: true });
  let heard = 0;
  open.on('data', () => {
    heard += 1;
  });
  open.write('during');
  const fresh = await connect(wire.port);
  const ended = ending(fresh);
  fresh.write('knock');
  assert.equal(await Promise.race([ended, sleep(300, 'silence')]), 'silence');
  assert.equal(heard, 0);
  open.removeAllListeners('data').pause();
  wire.change({ cut: false });
  assert.equal((await receive(open, 6)).toString(), 'during');
  const late = await connect(wire.port);
  await echoed(late, 'after');
});

test('a server that dies during a cut is not noticed before the cut heals', async () => {
  const child = await victim();
  const wire = await link(child.port, { delayMs: 5 });
  const socket = await connect(wire.port);
  await echoed(socket, 'alive');
  wire.change({ cut: true });
  const ended = ending(socket);
  child.process.kill('SIGKILL');
  assert.equal(await Promise.race([ended, sleep(200, 'silence')]), 'silence');
  wire.change({ cut: false });
  assert.ok(['end', 'ECONNRESET'].includes(await ended));
});

test('without a server a connection is reset, one round trip after it was made', async () => {
  const { port } = await link(undefined, { delayMs: 20 });
  const { ms, value } = await timed(connect(port).then(ending));
  assert.equal(value, 'ECONNRESET');
  assertTook(ms, 40);
});

test('a port that refuses resets the connection too', async () => {
  const child = await victim();
  child.process.kill('SIGKILL');
  await once(child.process, 'exit');
  const { port } = await link(child.port, { delayMs: 20 });
  const { ms, value } = await timed(connect(port).then(ending));
  assert.equal(value, 'ECONNRESET');
  assertTook(ms, 40);
});

test('a frozen server accepts and stays silent; woken up, it answers', async () => {
  const child = await victim();
  const { port } = await link(child.port, { delayMs: 5 });
  child.process.kill('SIGSTOP');
  const socket = await connect(port);
  const answer = receive(socket, 5);
  socket.write('hello');
  assert.equal(await Promise.race([answer, sleep(300, 'silence')]), 'silence');
  child.process.kill('SIGCONT');
  assert.equal((await answer).toString(), 'hello');
});

test('a killed server ends its open connections half a round trip later', async () => {
  const child = await victim();
  const { port } = await link(child.port, { delayMs: 30 });
  const socket = await connect(port);
  await echoed(socket, 'alive');
  const ended = timed(ending(socket));
  child.process.kill('SIGKILL');
  const { ms, value } = await ended;
  assert.ok(['end', 'ECONNRESET'].includes(value), value);
  assertTook(ms, 30, 150);
});

test('the same port leads to a server that came back elsewhere', async () => {
  const wire = await link(await echo(), { delayMs: 5 });
  const before = await connect(wire.port);
  await echoed(before, 'one');
  wire.retarget(undefined);
  assert.equal(await ending(await connect(wire.port)), 'ECONNRESET');
  wire.retarget(await echo());
  await echoed(await connect(wire.port), 'two');
  // What was open stays with the server it has.
  await echoed(before, 'three');
});

test('a half-closed connection still gets its answer', async () => {
  const { port } = await link(await echo(), { delayMs: 5 });
  const socket = await connect(port);
  socket.end('last words');
  assert.equal((await receive(socket, 10)).toString(), 'last words');
});

test('connections are counted and forgotten', async () => {
  const wire = await link(await echo());
  const sockets = await Promise.all([connect(wire.port), connect(wire.port)]);
  await Promise.all(sockets.map((socket) => echoed(socket, 'x')));
  assert.equal(wire.connections, 2);
  for (const socket of sockets) socket.destroy();
  for (let waited = 0; wire.connections > 0 && waited < 2_000; waited += 10) await sleep(10);
  assert.equal(wire.connections, 0);
});

test('closing drops every connection and frees the port', async () => {
  const wire = await openLink({ name: 'gone', targetPort: await echo() });
  const socket = await connect(wire.port);
  await echoed(socket, 'x');
  const ended = ending(socket);
  await wire.close();
  assert.ok(['end', 'ECONNRESET'].includes(await ended));
  const again = await openLink({ name: 'again', port: wire.port });
  await again.close();
});

test('a taken port is an error', async () => {
  const port = await echo();
  await assert.rejects(openLink({ name: 'taken', port }), { code: 'EADDRINUSE' });
});

test('impossible conditions are refused with what came', async () => {
  await assert.rejects(openLink({ name: 'x', conditions: { delayMs: -1 } }), /delayMs is 0 or more, got -1/);
  await assert.rejects(openLink({ name: 'x', conditions: { lossRate: 1 } }), /lossRate .* got 1/);
  await assert.rejects(openLink({ name: 'x', conditions: { delayMs: Number.NaN } }), /got NaN/);
});

test('carries 300 requests a second at their own pace', async () => {
  const server = (await import('node:http')).createServer((_, response) => response.end('ok'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  const { port } = await link((server.address() as { port: number }).port, { delayMs: 8 });
  const one = () =>
    new Promise<number>((resolve, reject) => {
      const from = performance.now();
      request({ port, host: '127.0.0.1', agent: false }, (response) => {
        response.resume().once('end', () => resolve(performance.now() - from));
      })
        .once('error', reject)
        .end();
    });
  const times: Promise<number>[] = [];
  for (let tick = 0; tick < 60; tick += 1) {
    for (let burst = 0; burst < 3; burst += 1) times.push(one());
    await sleep(10);
  }
  const sorted = (await Promise.all(times)).sort((a, b) => a - b);
  assertTook(sorted[Math.floor(sorted.length / 2)] as number, 32, 60);
});

/** A process of its own that echoes, to kill and to freeze. */
async function victim(): Promise<{ process: ChildProcess; port: number }> {
  const code = `require('net').createServer((s) => { s.on('error', () => {}); s.pipe(s); })
    .listen(0, '127.0.0.1', function () { console.log(this.address().port); })`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  closing.push(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { process: child, port: Number(line.toString()) };
}
