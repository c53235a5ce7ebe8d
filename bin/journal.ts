// `npm run journal`: whether each region's change journal is whole, and bringing into one what it lacks. Reads and writes
// the backup buckets with the operator's own credentials.
import { parseArgs } from 'node:util';
import { regionsOf } from '../config/config.ts';
import { bucketName } from '../lib/names.ts';
import { journalHour, journalHourMs } from '../protocol/journal.ts';
import { type Asked, askedFrom, type Everywhere, openEverywhere } from './everywhere.ts';
import { bringHome, fillJournal, parkedOf } from './journal/fill.ts';
import { type JournalPlace, openJournalPlace } from './journal/places.ts';
import { verifyJournal } from './journal/verify.ts';
import { linesOf } from './journal/words.ts';
import { WHERE_OPTIONS } from './routing/where.ts';

const USAGE = `npm run journal -- verify [--region R]... [--since HOUR]
npm run journal -- fill --region R [--since HOUR]
  verify        looks for gaps: in each journal by itself, and against the other regions'
  fill          brings into a region's journal what was parked elsewhere, and what the others' have
  --region      whose journal; default all (verify)
  --since       the first hour looked at, such as 2026-07-01T05Z; default the first there is
  --wait        how long changes may still be on their way into a journal, in seconds; default 120
  --stage       a stage on AWS; default the rehearsal that runs here
  --endpoint    another endpoint than AWS's; so does AWS_ENDPOINT_URL. With it the stage is dev unless named
  --state       where npm start left word of the rehearsal; default .cache/rehearsal.json
Exit code: 0 nothing is missing, 1 something is, 2 could not run.`;

const MISSING = 1;
const COULD_NOT_RUN = 2;

interface Command extends Asked {
  readonly what: 'verify' | 'fill';
  readonly since: string | undefined;
  readonly waitMs: number;
}

async function commandFrom(args: readonly string[]): Promise<Command | 'help'> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      stage: { type: 'string' },
      region: { type: 'string', multiple: true },
      since: { type: 'string' },
      wait: { type: 'string', default: '120' },
      endpoint: { type: 'string' },
      state: WHERE_OPTIONS.state,
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { since, wait } = values;
  const [what, ...others] = positionals;
  if ((what !== 'verify' && what !== 'fill') || others.length > 0)
    throw new RangeError(`expected verify or fill, got "${positionals.join(' ')}"`);
  const asked = await askedFrom(what, values);
  if (since !== undefined && journalHourMs(since) === undefined)
    throw new RangeError(`--since is an hour such as ${journalHour(0)}, got "${since}"`);
  if (!/^\d{1,6}$/.test(wait)) throw new RangeError(`--wait is in whole seconds, got "${wait}"`);
  return { what, ...asked, since, waitMs: Number(wait) * 1_000 };
}

interface Opened extends Everywhere<JournalPlace> {
  /** All that answer. */
  readonly everywhere: readonly JournalPlace[];
}

async function openPlaces({ stage, table, config, regions }: Command): Promise<Opened> {
  const opened = await openEverywhere(regions, regionsOf(config), (region) =>
    openJournalPlace({
      region,
      table: table.name,
      bucketIn: (account) => bucketName(stage, 'backup', region, account),
      endpoint: table.endpoint,
      credentials: table.credentials,
    }),
  );
  return { ...opened, everywhere: [...opened.places, ...opened.peers] };
}

function verifying(place: JournalPlace, { everywhere, silent }: Opened, command: Command) {
  const { config, since, waitMs } = command;
  const peers = everywhere.filter((it) => it !== place);
  const alike = config.consistency === 'strong';
  const untilMs = Date.now() - waitMs;
  return verifyJournal({ place, peers, alike, since, untilMs, comparable: silent.length === 0 });
}

/** Says what is missing; returns the exit code. */
async function runVerify(command: Command): Promise<number> {
  const opened = await openPlaces(command);
  let code = 0;
  for (const place of opened.places) {
    const report = await verifying(place, opened, command);
    const parked = await parkedOf(place, opened.everywhere);
    for (const line of linesOf(report, parked)) console.log(line);
    if (!report.isWhole || parked.length > 0) code = MISSING;
  }
  return withSilent(code, opened);
}

async function runFill(command: Command): Promise<number> {
  const opened = await openPlaces(command);
  let code = 0;
  for (const place of opened.places) {
    const home = await bringHome(place, await parkedOf(place, opened.everywhere));
    const { lacking } = await verifying(place, opened, command);
    const filled = await fillJournal(place, lacking);
    console.log(
      `${place.region}: ${home.copied} parked segments brought home, ${filled.copied} copied from other regions`,
    );
    for (const { key, why } of [...home.damaged, ...filled.damaged])
      console.log(`  ${key} is not whole and stays where it is: ${why}`);
    const left = await verifying(place, opened, command);
    const parked = await parkedOf(place, opened.everywhere);
    if (left.isWhole && parked.length === 0) continue;
    for (const line of linesOf(left, parked)) console.log(line);
    code = MISSING;
  }
  return withSilent(code, opened);
}

function withSilent(code: number, { silent }: Opened): number {
  if (silent.length === 0) return code;
  console.error(`journal: ${silent.join(', ')} did not answer: ask again when it does`);
  return COULD_NOT_RUN;
}

try {
  const command = await commandFrom(process.argv.slice(2));
  if (command === 'help') console.log(USAGE);
  else process.exitCode = await (command.what === 'verify' ? runVerify(command) : runFill(command));
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(`journal: ${error instanceof Error ? error.message : error}${isUsage ? `\n\n${USAGE}` : ''}`);
  process.exitCode = COULD_NOT_RUN;
}
