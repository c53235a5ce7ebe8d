// `npm run bench [-- name … --long]`: paired measurements with their targets. The last line of output is all ratios in one
// line. Exit code 0 all targets met, 1 one was missed, 2 a name that is none.
import { type Benchmark, type Summary, summarize } from './benchmark.ts';
import { clientBenchmark } from './client.ts';
import { queueBenchmark } from './queue.ts';
import { restoreBenchmark } from './restore.ts';
import { syncBenchmark } from './sync.ts';
import { tailBenchmark } from './tail.ts';

const BENCHMARKS: readonly Benchmark[] = [
  clientBenchmark,
  tailBenchmark,
  queueBenchmark,
  syncBenchmark,
  restoreBenchmark,
];
const LONG = '--long';

async function bench(args: readonly string[]): Promise<number> {
  const long = args.includes(LONG);
  const names = args.filter((arg) => arg !== LONG);
  const unknown = names.find((name) => !BENCHMARKS.some((it) => it.name === name));
  if (unknown !== undefined) {
    console.error(
      `there is no benchmark "${unknown}"; there is ${BENCHMARKS.map(({ name }) => name).join(', ')}`,
    );
    return 2;
  }
  const summaries: Summary[] = [];
  for (const benchmark of BENCHMARKS) {
    if (names.length > 0 && !names.includes(benchmark.name)) continue;
    console.log(`${benchmark.name}: ${benchmark.about}`);
    for (const ratio of await benchmark.run({ long })) {
      const summary = summarize(ratio);
      summaries.push(summary);
      const { name, min, median, max, target, met } = summary;
      console.log(
        `  ${name}: ${show(median)} (${show(min)} to ${show(max)}), target ${target.bound} ${target.value}: ${met ? 'met' : 'MISSED'}`,
      );
      console.log(`    ${target.reason}`);
    }
  }
  console.log(
    summaries.map(({ name, median, met }) => `${name} ${show(median)}${met ? '' : ' MISSED'}`).join('; '),
  );
  return summaries.every(({ met }) => met) ? 0 : 1;
}

function show(value: number): string {
  return value.toFixed(3);
}

process.exitCode = await bench(process.argv.slice(2));
