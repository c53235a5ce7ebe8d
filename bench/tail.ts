// What hedging is worth: one answer in fifty comes 400 ms late; how long the slowest one in a hundred takes.
import { type Benchmark, inPairs } from './benchmark.ts';
import { bareClient, hammer, libraryClient } from './contenders.ts';
import { startServer } from './server.ts';

const AT_ONCE = 16;
const REQUESTS = 1_500;
const PAIRS = 5;
const LATE = { lateEvery: 50, lateMs: 400 } as const;

export const tailBenchmark: Benchmark = {
  name: 'tail',
  about: `1 answer in ${LATE.lateEvery} is ${LATE.lateMs} ms late: client library against bare node:http, 99th percentile`,
  async run() {
    const servers = await Promise.all([0, 1].map(() => startServer(LATE)));
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
          name: 'client library / bare, 99th percentile with late answers',
          values: pairs.map(([ours, theirs]) => p99(ours.latenciesMs) / p99(theirs.latenciesMs)),
          target: {
            bound: 'at most',
            value: 0.5,
            reason: 'a hedge goes out after 50 ms: well under half of what it spares',
          },
        },
        {
          name: 'attempts / operation, late answers',
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

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
}
