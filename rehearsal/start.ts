// `npm start`: the rehearsal for people and for scripts. Says what it does while it starts, then what there is and how
// to use it and break it; ends everything on Ctrl-C, at once on the second.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { RoutingChange } from '../protocol/routing.ts';
import { clockAheadMs, clockCommand } from './ahead.ts';
import { SUBSTITUTIONS } from './assembly/substitutions.ts';
import { type Rehearsal, startRehearsal } from './supervisor/rehearsal.ts';
import { STAGE_DEFAULT, stageConfig } from './supervisor/stage.ts';
import { FAULTS, type RehearsalEvent, STORAGE_FAULTS } from './supervisor/state.ts';
import { stateFileOf } from './supervisor/state-file.ts';

const PORT_DEFAULT = 4600;
const USAGE = `npm start -- [--port ${PORT_DEFAULT}] [--stage ${STAGE_DEFAULT}] [--no-client] [--clock TIME]
       [--restorable-after SECONDS] [--state FILE] [--json]
  --port       the console's port; resolver, AWS endpoint and regions take the next ones, or free ones near them
  --stage      which stage's stacks to rehearse
  --no-client  without the sample client
  --clock      what time all its clocks show when it starts, e.g. 2027-01-01T23:58:00Z; default the machine's, and
               never earlier
  --restorable-after
               how long the table's latest restorable time trails; default 300, as DynamoDB's
  --state      the file that tells npm run status of it while it runs; default .cache/rehearsal.json
  --json       one line of JSON on standard output when ready, everything else on standard error`;

/** Where `npm run status` looks for what runs here. */
const STATE_FILE_DEFAULT = join(import.meta.dirname, '..', '.cache', 'rehearsal.json');

interface StartOptions {
  readonly port: number;
  readonly stage: string;
  readonly sampleClient: boolean;
  readonly aheadMs: number;
  readonly exportTimes: { readonly latestLagMs?: number };
  readonly stateFile: string;
  readonly json: boolean;
}

function optionsFrom(args: readonly string[]): StartOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      port: { type: 'string', default: String(PORT_DEFAULT) },
      stage: { type: 'string', default: STAGE_DEFAULT },
      'no-client': { type: 'boolean', default: false },
      clock: { type: 'string' },
      'restorable-after': { type: 'string' },
      state: { type: 'string', default: STATE_FILE_DEFAULT },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) throw new RangeError('how it is used:');
  const port = /^\d+$/.test(values.port) ? Number(values.port) : Number.NaN;
  // Room for the ports that follow.
  if (!(port === 0 || (port >= 1_024 && port <= 65_000)))
    throw new RangeError(`--port is 0 or from 1024 to 65000, got "${values.port}"`);
  stageConfig(values.stage);
  const { stage, state: stateFile, json } = values;
  return {
    port,
    stage,
    sampleClient: !values['no-client'],
    aheadMs: aheadFrom(values.clock),
    exportTimes: exportTimesFrom(values['restorable-after']),
    stateFile,
    json,
  };
}

function aheadFrom(text: string | undefined): number {
  if (text === undefined) return clockAheadMs();
  const nowMs = Date.now() - clockAheadMs();
  const atMs = Date.parse(text);
  if (atMs >= nowMs) return atMs - nowMs;
  throw new RangeError(`--clock is a time to come, like 2027-01-01T23:58:00Z, got "${text}"`);
}

function exportTimesFrom(text: string | undefined): StartOptions['exportTimes'] {
  if (text === undefined) return {};
  if (/^\d{1,5}$/.test(text)) return { latestLagMs: Number(text) * 1_000 };
  throw new RangeError(`--restorable-after is a whole number of seconds, got "${text}"`);
}

/** The one line of `--json`; its shape is a promise to scripts. */
async function readyLine(rehearsal: Rehearsal): Promise<string> {
  const { console: url, failoverName, resolver, aws, regions } = rehearsal;
  const { endpoint, accessKeyId, secretAccessKey } = aws;
  const token = await rehearsal.token({ ttlS: 86_400 });
  return JSON.stringify({
    console: url,
    failoverName: failoverName ?? null,
    resolver,
    token,
    aws: { endpoint, accessKeyId, secretAccessKey },
    // A region that serves nobody has none.
    regions: regions.map(({ region, role, endpoint = null }) => ({ region, role, endpoint })),
  });
}

async function welcome(rehearsal: Rehearsal): Promise<string> {
  const { console: url, failoverName, resolver, aws, regions } = rehearsal;
  const primary = regions.find(({ role }) => role === 'primary');
  const token = await rehearsal.token({ ttlS: 86_400 });
  const line = (name: string, value: string) => `  ${name.padEnd(22)}${value}`;
  return [
    '',
    line('console', String(url)),
    ...regions.map(({ region, role, endpoint }) =>
      line(`${role}, ${region}`, endpoint ?? 'votes, serves nobody'),
    ),
    line('resolver', `${resolver}/resolve?name=${failoverName ?? '…'}&type=CNAME`),
    line('AWS endpoint', aws.endpoint),
    line('', `AWS_ACCESS_KEY_ID=${aws.accessKeyId} AWS_SECRET_ACCESS_KEY=${aws.secretAccessKey}`),
    line('', 'plays DynamoDB with its streams, S3, KMS and STS, for any SDK or the AWS CLI'),
    line('permissions', `${aws.endpoint}/permissions (used, never used, not understood)`),
    '',
    'Try it (the token is good for a day; npm run token makes others):',
    '',
    `  TOKEN=${token}`,
    `  curl -i -X PUT ${primary?.endpoint}/v1/records/notes/hello \\`,
    `    -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d '{"text":"hello"}'`,
    `  curl -i ${primary?.endpoint}/v1/records/notes/hello -H "authorization: Bearer $TOKEN"`,
    '',
    'Break it, with the buttons of the console or like this:',
    '',
    `  curl ${url}/api/faults -H 'content-type: application/json' -d '{"region":"${primary?.region}","fault":"kill"}'`,
    `  (${FAULTS.join(', ')})`,
    `  curl ${url}/api/faults -H 'content-type: application/json' -d '{"fault":"damage","records":3}'`,
    `  (${STORAGE_FAULTS.join(', ')}: docs/ARCHITECTURE.md says what each takes)`,
    '',
    'What is active now: npm run status. Ctrl-C ends it all.',
    ...(rehearsal.clockAheadMs === 0
      ? []
      : [`Its clocks are ahead: other commands take the time from it like this: ${clockCommand()}npm run …`]),
    '',
  ].join('\n');
}

/** What somebody who watches the terminal wants to know; undefined for the rest. */
function newsOf(event: RehearsalEvent): string | undefined {
  switch (event.type) {
    case 'region':
      return `${event.region} is ${event.condition}: ${event.why}`;
    case 'healthCheck':
      return `health check "${event.name}" is ${event.healthy ? 'healthy' : 'unhealthy'}: ${event.why}`;
    case 'routing':
      return `DNS: ${event.answer.name} leads to ${event.answer.region}`;
    case 'vote':
      return `${event.vote.observer} votes to leave ${event.vote.against}: ${event.vote.why}`;
    case 'routingChange':
      return changeInWords(event.change);
    case 'storage':
      return `${event.what}: ${event.why}`;
    case 'schedule':
      return `${event.schedule} in ${event.region} ${event.failed === undefined ? 'has run' : `failed: ${event.failed}`}`;
    case 'alarm':
      return `alarm ${event.name} in ${event.region} is ${event.state}`;
    default:
      return undefined;
  }
}

function changeInWords({ what, from, to, by, reason }: RoutingChange): string {
  if (what === 'drain') return `${from} is being drained towards ${to} by the ${by}: ${reason}`;
  if (what === 'drain_given_up') return `the ${by} gave up draining ${from}: ${reason}`;
  return `the ${by} moved from ${from} to ${to}: ${reason}`;
}

async function run({ json, stateFile, ...options }: StartOptions): Promise<void> {
  const beganAt = performance.now();
  const seconds = () => `${((performance.now() - beganAt) / 1_000).toFixed(1).padStart(5)} s`;
  // Standard output belongs to the one line of JSON, where that is wanted.
  const tell = json ? console.error : console.log;
  const interrupted = new AbortController();
  let firstAt: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      interrupted.abort(new Interrupted(signal));
      tell(`\n${signal}: ending everything (again to insist)`);
    } else if (now - firstAt > SAME_KEY_MS) {
      // Children end with this process, however it ends.
      process.exit(EXIT_INTERRUPTED);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);

  const rehearsal = await startRehearsal(
    { ...options, onStep: (step) => tell(`${seconds()}  ${step}`) },
    interrupted.signal,
  );
  try {
    tell(`${seconds()}  up`);
    if (rehearsal.notRehearsed.length > 0)
      tell(`\nNot rehearsed (in full on the console):\n${rehearsal.notRehearsed.map(shortened).join('\n')}`);
    tell(
      `\nPut in the place of the template's own values:\n${SUBSTITUTIONS.map((what) => `  ${what}`).join('\n')}`,
    );
    const ready = await readyLine(rehearsal);
    await writeState(stateFile, rehearsal);
    if (json) process.stdout.write(`${ready}\n`);
    else tell(await welcome(rehearsal));
    rehearsal.listen((event) => {
      const news = newsOf(event);
      if (news !== undefined) tell(`${new Date(event.at).toTimeString().slice(0, 8)}  ${news}`);
    });
    const broken = await Promise.race([rehearsal.broken, aborted(interrupted.signal)]);
    if (broken) throw broken;
  } finally {
    await rehearsal.stop();
  }
}

function shortened(what: string): string {
  return `  ${what.length > COLUMNS ? `${what.slice(0, COLUMNS - 1)}…` : what}`;
}

const COLUMNS = 110;

/** One Ctrl-C comes twice under npm: from the terminal, and passed on. */
const SAME_KEY_MS = 500;
/** By the shell's convention for SIGINT. */
const EXIT_INTERRUPTED = 130;

class Interrupted extends Error {}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

/** What operators' commands need to work on this rehearsal. It is gone again when this process ends, however it ends,
 * unless another rehearsal has put its own there. */
async function writeState(file: string, rehearsal: Rehearsal): Promise<void> {
  const text = stateFileOf(rehearsal);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  process.once('exit', () => {
    if (existsSync(file) && readFileSync(file, 'utf8') === text) rmSync(file);
  });
}

try {
  await run(optionsFrom(process.argv.slice(2)));
  process.exit(0);
} catch (error) {
  if (error instanceof Interrupted) process.exit(0);
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(isUsage ? `${(error as Error).message}\n\n${USAGE}` : error);
  process.exit(1);
}
