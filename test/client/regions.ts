// Small stand-ins for a region: in this process, with a behaviour that a test can change; or as a process of its own
// that can be killed and frozen. Both keep count of what had an effect.
import { type ChildProcess, fork } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';

export type Behaviour = (request: IncomingMessage, response: ServerResponse, body: string) => void;

export interface LocalRegion {
  readonly url: string;
  /** Requests that are no probes. */
  readonly received: {
    readonly method: string;
    readonly path: string;
    readonly headers: IncomingMessage['headers'];
  }[];
  readonly sockets: ReadonlySet<Socket>;
  behaviour: Behaviour;
  health: Behaviour;
  /** As a killed process: every connection is reset, new ones are refused. */
  kill(): Promise<void>;
}

export const ok: Behaviour = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
};

export function answering(status: number, headers: Record<string, string> = {}, body = ''): Behaviour {
  return (_, response) => void response.writeHead(status, headers).end(body);
}

export function after(ms: number, behaviour: Behaviour = ok): Behaviour {
  return (request, response, body) =>
    void setTimeout(() => {
      if (!response.destroyed) behaviour(request, response, body);
    }, ms);
}

/** Takes the request and says nothing. */
export const silent: Behaviour = () => undefined;

export async function localRegion(behaviour: Behaviour = ok): Promise<LocalRegion> {
  const sockets = new Set<Socket>();
  const received: LocalRegion['received'] = [];
  const server = createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
    let body = '';
    try {
      for await (const chunk of request) body += chunk;
    } catch {
      return;
    }
    if (request.url === '/health') {
      region.health(request, response, body);
      return;
    }
    received.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers });
    region.behaviour(request, response, body);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const region: LocalRegion = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    sockets,
    behaviour,
    health: ok,
    async kill() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.resetAndDestroy();
      await closed;
    },
  };
  return region;
}

export interface RegionProcess {
  readonly url: string;
  readonly port: number;
  readonly child: ChildProcess;
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
}

export interface RegionProcessSettings {
  readonly region: string;
  /** @default 0, any free port */
  readonly port?: number;
  /** Where records stand, shared by all regions. */
  readonly store: string;
  /** @default 0 */
  readonly delayMs?: number;
}

export async function regionProcess(settings: RegionProcessSettings): Promise<RegionProcess> {
  const child = fork(join(import.meta.dirname, 'region-process.ts'), [JSON.stringify(settings)], {
    execArgv: [],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { port: number }).port));
    child.once('exit', (code) => reject(new Error(`the region ended with ${code} before it listened`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    child,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
