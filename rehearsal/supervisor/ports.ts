// Ports on 127.0.0.1: the one that was asked for when it is free, else one of the next few.
import type { Server as HttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import type { Cleanup } from './cleanup.ts';

const TRIES = 20;

/**
 * Calls `use` with `from`, and with the next port whenever one is taken. With 0 the system chooses.
 * Throws when {@link TRIES} in a row are taken, naming them.
 */
export async function nearPort<T>(from: number, use: (port: number) => Promise<T>): Promise<T> {
  for (let port = from; ; port += 1) {
    try {
      return await use(port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || from === 0) throw error;
      if (port + 1 >= from + TRIES || port + 1 > 65_535)
        throw new Error(`ports ${from} to ${port} are all taken: choose others with --port`, {
          cause: error,
        });
    }
  }
}

/** Listens on 127.0.0.1; resolves with the port. */
export function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}

/** A port that is free now, for a child process to listen on. */
export async function freePort(from: number): Promise<number> {
  const server = createServer();
  const port = await nearPort(from, (candidate) => listen(server, candidate));
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Listens near `from` and closes with everything else; resolves with the URL. */
export async function serveNear(server: HttpServer, from: number, cleanup: Cleanup): Promise<string> {
  const port = await nearPort(from, (candidate) => listen(server, candidate));
  cleanup.add(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${port}`;
}
