// A server to measure clients against, in a process of its own: answers at once, or a share of requests late. Forked
// with its options as JSON in the first argument; ends with its parent.
import { type ChildProcess, fork } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ServerOptions {
  /** Every so many requests, one is late; 0: none. */
  readonly lateEvery: number;
  readonly lateMs: number;
}

export interface BenchServer {
  readonly url: string;
  readonly port: number;
  readonly child: ChildProcess;
}

export async function startServer(options: ServerOptions): Promise<BenchServer> {
  const child = fork(import.meta.filename, [JSON.stringify(options)], { execArgv: [] });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { port: number }).port));
    child.once('exit', (code) => reject(new Error(`the server ended with ${code} before it listened`)));
  });
  return { url: `http://127.0.0.1:${port}`, port, child };
}

function serve({ lateEvery, lateMs }: ServerOptions): void {
  const body = JSON.stringify({ collection: 'bench', id: 'r1', payload: { text: 'a small record' } });
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    etag: '"019a00000000-0000-0123456789abcdef"',
  };
  let requests = 0;
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    request.resume();
    request.on('end', () => {
      if (request.url !== '/health') requests += 1;
      const late = lateEvery > 0 && requests % lateEvery === 0 && request.url !== '/health';
      const answer = () => void response.writeHead(200, headers).end(body);
      if (late) setTimeout(answer, lateMs);
      else answer();
    });
  });
  process.on('disconnect', () => process.exit());
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
}

if (import.meta.main) serve(JSON.parse(process.argv[2] ?? '{}') as ServerOptions);
