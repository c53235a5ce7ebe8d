// `npm run audit`: whether the trail of every conflict still holds, region by region, and copying into a region's
// bucket what it lacks. Reads the table and the audit buckets of the rehearsal that runs here, or of a stage with the
// operator's own credentials.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { regionsOf } from '../config/config.ts';
import { bucketName } from '../lib/names.ts';
import type { RecordKey } from '../protocol/names.ts';
import { fill } from './audit/fill.ts';
import { type AuditPlace, openPlace } from './audit/places.ts';
import { Arrival } from './audit/verify.ts';
import { verifyAll } from './audit/verify-all.ts';
import { type Asked, askedFrom, type Everywhere, openEverywhere } from './everywhere.ts';
import { WHERE_OPTIONS } from './routing/where.ts';

const USAGE = `npm run audit -- verify [--tenant T --collection C --id I | all] [--region R]... [--wait SECONDS]
npm run audit -- fill --region R
  verify        walks every chain back from its head by hash, and checks the payloads that lost
  fill          copies into a region's bucket what the others' have and it lacks
  --tenant, --collection, --id
                one record; default all that have entries in a bucket
  --region      whose bucket; default all three (verify)
  --wait        how long entries may still be on their way into a bucket; default 15
  --stage       a stage on AWS; default the rehearsal that runs here
  --endpoint    another endpoint than AWS's; so does AWS_ENDPOINT_URL. With it the stage is dev unless named
  --state       where npm start left word of the rehearsal; default .cache/rehearsal.json
Exit code: 0 everything holds, 1 something is broken, 2 could not run.`;

const BROKEN = 1;
const COULD_NOT_RUN = 2;

interface Command extends Asked {
  readonly what: 'verify' | 'fill';
  readonly record: RecordKey | undefined;
  readonly waitMs: number;
}

async function commandFrom(args: readonly string[]): Promise<Command | 'help'> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      stage: { type: 'string' },
      tenant: { type: 'string' },
      collection: { type: 'string' },
      id: { type: 'string' },
      region: { type: 'string', multiple: true },
      wait: { type: 'string', default: '15' },
      endpoint: { type: 'string' },
      state: WHERE_OPTIONS.state,
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { wait } = values;
  const [what, ...others] = positionals;
  const isAll = what === 'verify' && others.length === 1 && others[0] === 'all';
  if ((what !== 'verify' && what !== 'fill') || (others.length > 0 && !isAll))
    throw new RangeError(`expected verify or fill, got "${positionals.join(' ')}"`);
  const record = recordFrom(values, what);
  if (isAll && record) throw new RangeError('expected all or one record, got both');
  const asked = await askedFrom(what, values);
  if (!/^\d{1,4}$/.test(wait)) throw new RangeError(`--wait is in whole seconds, got "${wait}"`);
  return {
    what,
    ...asked,
    record,
    waitMs: Number(wait) * 1_000,
  };
}

function recordFrom(
  {
    tenant,
    collection,
    id,
  }: { readonly tenant?: string; readonly collection?: string; readonly id?: string },
  what: string,
): RecordKey | undefined {
  if (tenant === undefined && collection === undefined && id === undefined) return undefined;
  if (what === 'fill') throw new RangeError('fill takes no record: it fills whatever is missing');
  if (tenant === undefined || collection === undefined || id === undefined)
    throw new RangeError('a record is named by --tenant, --collection and --id together');
  return { tenant, collection, id };
}

function openPlaces({ stage, table, config, regions }: Command): Promise<Everywhere<AuditPlace>> {
  return openEverywhere(regions, regionsOf(config), (region) =>
    openPlace({
      region,
      table: table.name,
      bucketIn: (account) => bucketName(stage, 'audit', region, account),
      endpoint: table.endpoint,
      credentials: table.credentials,
    }),
  );
}

/** Returns the exit code. */
async function runFill(command: Command): Promise<number> {
  const { places, peers, silent } = await openPlaces(command);
  let code = 0;
  for (const place of places) {
    const { entries, payloads, damaged } = await fill(place, peers);
    console.log(`${place.region}: ${entries} entries and ${payloads} payloads copied into its bucket`);
    for (const key of damaged) console.log(`  of ${key} there is no whole copy to be had`);
    if (damaged.length > 0) code = BROKEN;
  }
  if (silent.length === 0) return code;
  console.error(`audit: ${silent.join(', ')} did not answer: fill again when it does`);
  return COULD_NOT_RUN;
}

async function runVerify(command: Command): Promise<number> {
  const { places, peers } = await openPlaces(command);
  const holds = await verifyAll({
    record: command.record,
    places,
    peers,
    arrival: new Arrival(command.waitMs, sleep),
    say: console.log,
  });
  return holds ? 0 : BROKEN;
}

try {
  const command = await commandFrom(process.argv.slice(2));
  if (command === 'help') console.log(USAGE);
  else process.exitCode = await (command.what === 'verify' ? runVerify(command) : runFill(command));
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(`audit: ${error instanceof Error ? error.message : error}${isUsage ? `\n\n${USAGE}` : ''}`);
  process.exitCode = COULD_NOT_RUN;
}
