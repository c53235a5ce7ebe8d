// What the client library costs: its throughput against bare node:http on the same server and connections.
import { type Benchmark, inPairs } from './benchmark.ts';
import { bareClient, hammer, libraryClient } from './contenders.ts';
import { startServer } from './server.ts';

const AT_ONCE = 32;
const REQUESTS = 2_000;
const PAIRS = 25;

export const clientBenchmark: Benchmark = {
  name: 'client',
  about: `keyed writes, ${AT_ONCE} at once: client library against bare node:http`,
  async run() {
    const servers = await Promise.all([0, 1].map(() => startServer({ lateEvery: 0, lateMs: 0 })));
    const [server] = servers;
    if (server === undefined) throw new Error('there is no server');
    const bare = bareClient(server, AT_ONCE);
    const library = libraryClient(servers, AT_ONCE);
    try {
      const pairs = await inPairs(
        PAIRS,
        () => hammer(library, REQUESTS, AT_ONCE),
        () => hammer(bare, REQUESTS, AT_ONCE),
      );
      const { attempts, operations } = library.requests.counts;
      return [
        {
          name: 'client library / bare, requests per second',
          values: pairs.map(([ours, theirs]) => theirs.tookMs / ours.tookMs),
          target: {
            bound: 'at least',
            value: 0.8,
            reason: 'choosing, watching and accounting may cost a fifth of a request that does nothing',
          },
        },
        {
          name: 'attempts / operation, healthy',
          values: [attempts / operations],
          target: { bound: 'at most', value: 1.1, reason: 'the retry budget of the design' },
        },
      ];
    } finally {
      await Promise.all([bare.close(), library.close()]);
      for (const { child } of servers) child.kill();
    }
  },
};
