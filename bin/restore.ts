// `npm run restore`: brings back records, a tenant, or everything, as it last was or as it was at a time, from verified
// backups and the journals. Reads buckets and writes the table with the operator's own credentials.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { defineConfig, type Role, regionOf } from '../config/config.ts';
import { STAGES } from '../config/stages.ts';
import { Stamps } from '../protocol/restore-stamps.ts';
import { accountOf } from './audit/places.ts';
import { type Asked, askedIn, USAGE } from './restore/ask.ts';
import { openPlaces } from './restore/places.ts';
import { TaskQueues } from './restore/queue.ts';
import { type Result, restore } from './restore/run.ts';
import { Target } from './restore/target.ts';
import type { Ports } from './restore/work.ts';
import { agreed, listenForInterrupts } from './routing/operator.ts';
import { type Place, type TableAddress, type Where, whereFrom } from './routing/where.ts';

const DONE = 0;
const NOT_DONE = 1;
const COULD_NOT_RUN = 2;
/** By the shell's convention for SIGINT. */
const INTERRUPTED = 130;

const ENDINGS: Readonly<Record<Result['ending'], readonly [exitCode: number, words: string]>> = {
  restored: [DONE, 'done'],
  mended: [DONE, 'done'],
  nothing: [DONE, 'nothing to do'],
  dry_run: [DONE, 'dry run'],
  opened: [DONE, 'opened'],
  not_all: [NOT_DONE, 'not all of it'],
  not_equal: [NOT_DONE, 'NOT WHAT IT SHOULD BE'],
  refused: [NOT_DONE, 'refused'],
  declined: [NOT_DONE, 'not wanted'],
  interrupted: [INTERRUPTED, 'interrupted'],
};

/** Whose restore function may load. Where replicas only follow each other everything goes through one. */
const WITH_WORKERS: Readonly<Record<'strong' | 'eventual', readonly Role[]>> = {
  strong: ['primary', 'standby'],
  eventual: ['primary'],
};

async function run(asked: Asked): Promise<number> {
  const where = await whereFrom(asked.where);
  if (!where)
    throw new Error('no rehearsal runs here: start one with npm start, or name a stage with --stage');
  const { table, stage } = where;
  if (!table) throw new Error(`${where.name} does not say where its table is: start it again with npm start`);
  if (!asked.yes && !asked.dryRun && !process.stdin.isTTY)
    throw new RangeError('nobody is there to be asked: expected a terminal or --yes, got neither');
  const raw = Object.hasOwn(STAGES, stage) ? STAGES[stage] : undefined;
  if (!raw)
    throw new Error(`${where.name}: expected a stage of ${Object.keys(STAGES).join(', ')}, got ${stage}`);
  const config = defineConfig(stage, raw);
  const account = await accountFrom(where.regions, table);
  const places = await openPlaces({ config, stage, account, address: table });
  const queues = new TaskQueues({ stage, address: table });
  const regions = regionsFor(asked, where);
  const { lanes, force } = asked;
  const target = new Target({ address: { ...table, name: asked.ask.into ?? table.name }, regions, lanes });
  const interruption = listenForInterrupts('a closed table');
  const ports = portsOf(asked, interruption.signal);
  try {
    const stamps = new Stamps(randomBytes(8).toString('hex'), ports.now);
    const functions = {
      regions: WITH_WORKERS[config.consistency].map((role) => regionOf(config, role)),
      queueIn: (region: string) => queues.in(region),
    };
    const through = config.consistency === 'eventual' ? regions[0] : undefined;
    const result = await restore(
      { places, target, lanes, force, ports, stamps, through, functions },
      { ...asked, name: where.name },
    );
    return end(result, asked.json);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    return end({ ending: 'interrupted', why: 'the table is as open as it was' }, asked.json);
  } finally {
    interruption.stop();
    places.close();
    queues.close();
    target.close();
  }
}

/** Of the stage's table, through whichever Region answers: buckets are named by it. */
async function accountFrom(
  regions: readonly Place[],
  { name, endpoint, credentials }: TableAddress,
): Promise<string> {
  const failures: string[] = [];
  for (const { region } of regions) {
    const client = new DynamoDBClient({
      region,
      maxAttempts: 1,
      requestHandler: { connectionTimeout: 5_000, requestTimeout: 10_000 },
      ...(endpoint !== undefined && { endpoint }),
      ...(credentials && { credentials }),
    });
    try {
      return await accountOf(client, name);
    } catch (error) {
      failures.push(`${region}: ${error instanceof Error ? error.message || error.name : error}`);
    } finally {
      client.destroy();
    }
  }
  throw new Error(
    `no Region knows the table ${name} (${failures.join('; ')}): are the credentials, the stage and the endpoint right? A table that is gone is deployed again first, empty`,
  );
}

/** Every replica of the stage's own table, the primary's first; of another the one Region that was named. */
function regionsFor({ ask, intoRegion }: Asked, { regions }: Where): readonly string[] {
  const order = ['primary', 'standby', 'quorum'];
  const own = regions
    .toSorted((a, b) => order.indexOf(a.role) - order.indexOf(b.role))
    .map(({ region }) => region);
  return ask.into === undefined ? own : [intoRegion ?? (own[0] as string)];
}

function portsOf({ yes, json }: Asked, interrupted: AbortSignal): Ports {
  const beganAt = performance.now();
  return {
    now: () => Date.now(),
    sleep: (ms) => sleep(ms, undefined, { signal: interrupted }).catch(() => undefined),
    agree: async (question) => yes || (await agreed(question, { interrupted })),
    say: (step) => {
      if (json) line(step);
      else console.log(`${((performance.now() - beganAt) / 1_000).toFixed(1).padStart(6)} s  ${step.says}`);
    },
    interrupted,
    json,
  };
}

function end(result: Result, json: boolean): number {
  const [exitCode, words] = ENDINGS[result.ending];
  if (json) line({ step: 'end', says: result.why, ...result, exitCode });
  else console.log(`${words}: ${result.why}`);
  return exitCode;
}

function line(fields: object): void {
  console.log(JSON.stringify({ at: Date.now(), ...fields }));
}

try {
  const asked = askedIn(process.argv.slice(2), Date.now());
  if (asked === 'help') console.log(USAGE);
  else process.exitCode = await run(asked);
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(`restore: ${error instanceof Error ? error.message : error}${isUsage ? `\n\n${USAGE}` : ''}`);
  process.exitCode = COULD_NOT_RUN;
}
