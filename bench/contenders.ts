// The two sides of every client benchmark: one request through the library, and the same one by bare node:http.
import { Agent, request } from 'node:http';
import { Session } from '../client/identity.ts';
import { Requests } from '../client/requests.ts';
import { HEADERS } from '../protocol/messages.ts';
import { inPairs } from './benchmark.ts';
import { type BenchServer, type ServerOptions, startServer } from './server.ts';

const PATH = '/v1/records/bench/r1';
const BODY = JSON.stringify({ text: 'a small record', tags: ['a', 'b'], count: 3 });

interface Contender {
  /** Resolves with the answer's status. */
  put(): Promise<number>;
  close(): Promise<void>;
}

function bareClient({ port }: BenchServer, connections: number): Contender {
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

function libraryClient(
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

interface Hammered {
  readonly tookMs: number;
  readonly latenciesMs: readonly number[];
}

/** The library, over two servers, and bare node:http, on the first of them, in turn. */
export async function besideBare({
  answers,
  pairs,
  requests,
  atOnce,
}: {
  readonly answers: ServerOptions;
  readonly pairs: number;
  /** In each half of a pair. */
  readonly requests: number;
  readonly atOnce: number;
}): Promise<{
  /** Ours, and theirs. */
  readonly pairs: readonly (readonly [Hammered, Hammered])[];
  readonly attemptsPerOperation: number;
}> {
  const servers = [await startServer(answers), await startServer(answers)] as const;
  const bare = bareClient(servers[0], atOnce);
  const library = libraryClient(servers, atOnce);
  try {
    const measured = await inPairs(
      pairs,
      () => hammer(library, requests, atOnce),
      () => hammer(bare, requests, atOnce),
    );
    const { attempts, operations } = library.requests.counts;
    return { pairs: measured, attemptsPerOperation: attempts / operations };
  } finally {
    await Promise.all([bare.close(), library.close()]);
    for (const { child } of servers) child.kill();
  }
}

/** `count` requests, so many at a time; milliseconds each took, and all together. */
async function hammer(contender: Contender, count: number, atOnce: number): Promise<Hammered> {
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
