// The two sides of every client benchmark: one request through the library, and the same one by bare node:http.
import { Agent, request } from 'node:http';
import { Session } from '../client/identity.ts';
import { Requests } from '../client/requests.ts';
import { HEADERS } from '../protocol/messages.ts';
import type { BenchServer } from './server.ts';

const PATH = '/v1/records/bench/r1';
const BODY = JSON.stringify({ text: 'a small record', tags: ['a', 'b'], count: 3 });

export interface Contender {
  /** Resolves with the answer's status. */
  put(): Promise<number>;
  close(): Promise<void>;
}

export function bareClient({ port }: BenchServer, connections: number): Contender {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const session = new Session();
  const answers = { bytes: 0 };
  return {
    put() {
      const { key, version } = session.next();
      const headers = {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(BODY)),
        [HEADERS.idempotencyKey]: key,
        [HEADERS.version]: version,
      };
      return new Promise((resolve, reject) => {
        const sent = request({ host: '127.0.0.1', port, agent, method: 'PUT', path: PATH, headers });
        sent.on('error', reject);
        sent.on('response', (response) => {
          const chunks: Buffer[] = [];
          response.on('error', reject);
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            // What any client of this service has to look at: the body, and the version in the headers.
            answers.bytes += Buffer.concat(chunks).length + (response.headers.etag?.length ?? 0);
            resolve(response.statusCode ?? 0);
          });
        });
        sent.end(BODY);
      });
    },
    async close() {
      agent.destroy();
    },
  };
}

export function libraryClient(
  servers: readonly BenchServer[],
  connections: number,
): Contender & { readonly requests: Requests } {
  const requests = new Requests({ endpoints: servers.map(({ url }) => url), connectionsMax: connections });
  const session = new Session();
  return {
    requests,
    async put() {
      const answer = await requests.request({
        method: 'PUT',
        path: PATH,
        body: BODY,
        identity: session.next(),
      });
      return answer.status;
    },
    close: () => requests.close(),
  };
}

/** `count` requests, so many at a time; milliseconds each took, and all together. */
export async function hammer(
  contender: Contender,
  count: number,
  atOnce: number,
): Promise<{ readonly tookMs: number; readonly latenciesMs: readonly number[] }> {
  const latenciesMs: number[] = [];
  const from = performance.now();
  let started = 0;
  const worker = async () => {
    while (started < count) {
      started += 1;
      const at = performance.now();
      const status = await contender.put();
      if (status !== 200) throw new Error(`the server answered ${status}`);
      latenciesMs.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return { tookMs: performance.now() - from, latenciesMs };
}
