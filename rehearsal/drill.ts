// `npm run drill [-- scenario …]`: breaks the rehearsal as a scenario says, measures what its clients saw, and says
// whether the promises were kept. Exit code 0 passed, 1 failed, 2 could not be run.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { RECORDS_DEFAULT } from './drills/backups/scene.ts';
import { Rehearsals } from './drills/rehearsed.ts';
import { reportOf } from './drills/report.ts';
import { runScenario, type ScenarioResult } from './drills/scenario.ts';
import { SCENARIOS, scenariosOf } from './drills/scenarios.ts';
import { jsonOf, tableOf } from './drills/table.ts';
import { STAGE_DEFAULT, stageConfig } from './supervisor/stage.ts';

const USAGE = `npm run drill [-- [scenario | scenario/variant …] [options]]

  --list                 the scenarios there are
  --json FILE            what was measured, for programs
  --html FILE            the report (default drill-report/index.html)
  --history FOLDER       every operation, one JSON object a line, for other checkers
  --seed N               of the load's choices (default: random, printed)
  --records N            that are there before anything happens, in drills that restore (default ${RECORDS_DEFAULT})
  --no-dns               leave out the client that knows only the failover name
  --fallback on|off      off shows that the drill can fail
  --silence on|off       off shows that the drill can fail
  --observers on|off     off shows that those which need them can fail
  --stage NAME           (default ${STAGE_DEFAULT})`;

const REPORT_DEFAULT = join(import.meta.dirname, '..', 'drill-report', 'index.html');
const PASSED = 0;
const FAILED = 1;
const NOT_RUN = 2;

interface Command {
  readonly scenarios: ReturnType<typeof scenariosOf>;
  readonly seed: number;
  readonly records: number;
  readonly json: string | undefined;
  readonly html: string;
  readonly history: string | undefined;
  readonly dns: boolean;
  readonly fallback: boolean;
  readonly silence: boolean;
  readonly observers: boolean;
  readonly stage: string;
}

function read(args: readonly string[]): Command | 'help' | 'list' {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean' },
      list: { type: 'boolean' },
      json: { type: 'string' },
      html: { type: 'string', default: REPORT_DEFAULT },
      history: { type: 'string' },
      seed: { type: 'string' },
      records: { type: 'string', default: String(RECORDS_DEFAULT) },
      'no-dns': { type: 'boolean', default: false },
      fallback: { type: 'string', default: 'on' },
      silence: { type: 'string', default: 'on' },
      observers: { type: 'string', default: 'on' },
      stage: { type: 'string', default: STAGE_DEFAULT },
    },
  });
  if (values.help) return 'help';
  if (values.list) return 'list';
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    throw new RangeError(`--seed is a whole number from 0 to ${2 ** 32 - 1}, got ${values.seed}`);
  const records = Number(values.records);
  if (!(Number.isInteger(records) && records >= 1 && records <= 1_000_000))
    throw new RangeError(`--records is a whole number from 1 to 1000000, got ${values.records}`);
  return {
    scenarios: scenariosOf(positionals),
    seed,
    records,
    json: values.json,
    html: values.html,
    history: values.history,
    dns: !values['no-dns'],
    fallback: isOn('fallback', values.fallback),
    silence: isOn('silence', values.silence),
    observers: isOn('observers', values.observers),
    stage: values.stage,
  };
}

function isOn(name: string, value: string): boolean {
  if (value !== 'on' && value !== 'off') throw new RangeError(`--${name} is on or off, got ${value}`);
  return value === 'on';
}

async function drill(command: Command, signal: AbortSignal): Promise<number> {
  const { scenarios, seed, records, dns, fallback, silence, observers, stage, history } = command;
  const config = stageConfig(stage);
  const startedAt = performance.now();
  const say = (step: string) =>
    console.error(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${step}`);
  if (history !== undefined) await mkdir(history, { recursive: true });
  const rehearsals = new Rehearsals({ stage, dns, observers, onStep: say }, signal);
  const results: ScenarioResult[] = [];
  try {
    for (const { scenario, ...chosen } of scenarios) {
      say(`scenario ${[scenario.name, ...Object.values(chosen)].join('/')}, seed ${seed}`);
      const options = {
        config,
        seed,
        records,
        fallback,
        silenceDetection: silence,
        onStep: say,
        signal,
        ...chosen,
      };
      const kept = history === undefined ? {} : { historyFolder: history };
      const result = await runScenario(scenario, (how) => rehearsals.fresh(how), { ...options, ...kept });
      results.push(result);
      console.log(`\n${tableOf(result)}\n`);
    }
  } finally {
    await rehearsals.stop();
  }
  if (command.json !== undefined) await write(command.json, `${JSON.stringify(jsonOf(results), null, 2)}\n`);
  await write(command.html, reportOf(results));
  console.log(`report: ${relative(process.cwd(), command.html)}`);
  return results.every(({ passed }) => passed) ? PASSED : FAILED;
}

async function write(file: string, text: string): Promise<void> {
  await mkdir(dirname(resolve(file)), { recursive: true });
  await writeFile(file, text);
}

async function main(): Promise<number> {
  const command = read(process.argv.slice(2));
  if (command === 'help') {
    console.log(USAGE);
    return PASSED;
  }
  if (command === 'list') {
    for (const { name, title, variants = [] } of SCENARIOS) {
      console.log(`${name.padEnd(20)} ${title}`);
      if (variants.length > 1) console.log(`${''.padEnd(20)} variants: ${variants.join(', ')}`);
    }
    return PASSED;
  }
  const stopping = new AbortController();
  const stop = () => stopping.abort(new Error('stopped'));
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  return drill(command, stopping.signal);
}

let exitCode: number;
try {
  exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  exitCode = NOT_RUN;
}
// Everything is written and ended. Node itself would wait for sockets that both ends of are in this process, and was
// seen to wait for good.
process.exit(exitCode);
