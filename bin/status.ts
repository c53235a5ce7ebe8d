// `npm run status`: who is active, since when and why, what each observer, region, replica and health check says, and
// what changed last. Of the rehearsal that runs here, or of a stage on AWS. Whoever does not answer is shown as such.
import { parseArgs } from 'node:util';
import { statusOf } from './routing/status-report.ts';
import { statusForPrograms, statusInWords } from './routing/status-words.ts';
import { WHERE_OPTIONS, WHERE_USAGE, type Where, whereFrom } from './routing/where.ts';

const USAGE = `npm run status -- [--stage STAGE] [--resolver URL] [--name NAME] [--json]
  --resolver  which one to ask; default that of the rehearsal that runs here
  --name      the failover name; default the rehearsal's own
  --json      one line of JSON
${WHERE_USAGE}`;

/** A resolver named beside it is asked instead of its own. */
function withResolver(
  where: Where | undefined,
  resolver: string | undefined,
  name: string | undefined,
): Where {
  if (resolver !== undefined && !URL.canParse(resolver))
    throw new RangeError(`--resolver is a URL, got "${resolver}"`);
  const dns = where?.dns;
  const known = dns?.kind === 'resolver' ? dns : undefined;
  const url = (resolver ?? known?.url)?.replace(/\/$/, '');
  if (url !== undefined)
    return {
      name: `what ${url} says`,
      stage: 'dev',
      regions: [],
      ...where,
      dns: { kind: 'resolver', url, name: name ?? known?.name },
    };
  if (!where)
    throw new Error('no rehearsal runs here: start one with npm start, or name a stage with --stage');
  if (name !== undefined) throw new RangeError('--name goes with a resolver: give --resolver');
  return where;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...WHERE_OPTIONS,
      resolver: { type: 'string' },
      name: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const where = withResolver(await whereFrom(values), values.resolver, values.name);
  const status = await statusOf(where, Date.now);
  console.log(values.json ? JSON.stringify(statusForPrograms(status)) : statusInWords(status));
}

try {
  await main();
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(`status: ${error instanceof Error ? error.message : error}${isUsage ? `\n\n${USAGE}` : ''}`);
  process.exitCode = 1;
}
