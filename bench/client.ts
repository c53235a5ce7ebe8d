// What the client library costs: its throughput against bare node:http on the same server and connections.
import type { Benchmark } from './benchmark.ts';
import { besideBare } from './contenders.ts';

const AT_ONCE = 32;
const REQUESTS = 2_000;
const PAIRS = 25;

export const clientBenchmark: Benchmark = {
  name: 'client',
  about: `keyed writes, ${AT_ONCE} at once: client library against bare node:http`,
  async run() {
    const { pairs, attemptsPerOperation } = await besideBare({
      answers: { lateEvery: 0, lateMs: 0 },
      pairs: PAIRS,
      requests: REQUESTS,
      atOnce: AT_ONCE,
    });
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
        values: [attemptsPerOperation],
        target: { bound: 'at most', value: 1.1, reason: 'the retry budget of the design' },
      },
    ];
  },
};
