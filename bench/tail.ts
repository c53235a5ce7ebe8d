// What hedging is worth: one answer in fifty comes 400 ms late; how long the slowest one in a hundred takes.
import { percentile } from '../rehearsal/measuring.ts';
import type { Benchmark } from './benchmark.ts';
import { besideBare } from './contenders.ts';

const AT_ONCE = 16;
const REQUESTS = 1_500;
const PAIRS = 5;
const LATE = { lateEvery: 50, lateMs: 400 } as const;

export const tailBenchmark: Benchmark = {
  name: 'tail',
  about: `1 answer in ${LATE.lateEvery} is ${LATE.lateMs} ms late: client library against bare node:http, 99th percentile`,
  async run() {
    const { pairs, attemptsPerOperation } = await besideBare({
      answers: LATE,
      pairs: PAIRS,
      requests: REQUESTS,
      atOnce: AT_ONCE,
    });
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
        values: [attemptsPerOperation],
        target: { bound: 'at most', value: 1.1, reason: 'the retry budget of the design' },
      },
    ];
  },
};

function p99(values: readonly number[]): number {
  return percentile(values, 0.99);
}
