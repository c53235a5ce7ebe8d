// `npm run retention`: a year of backups under the rules of the synthesized templates, in seconds. Says which backups
// there are on a day and what is held month by month, and holds both against the policy.
import { DAY_MS } from '../protocol/backups.ts';
import { readDeployment } from './assembly/assembly.ts';
import { assemblyOf } from './assembly/synthesis.ts';
import { type Asked, askedIn, dayText, USAGE } from './retention/ask.ts';
import { keepingsOf } from './retention/keeping.ts';
import { type Played, play } from './retention/play.ts';
import { dayLines, tableLines } from './retention/report.ts';
import { stageConfig } from './supervisor/stage.ts';

const DIFFERS = 1;
const COULD_NOT_RUN = 2;

async function run(asked: Asked): Promise<number> {
  const { stage, fromMs, days } = asked;
  stageConfig(stage);
  const keepings = keepingsOf(readDeployment(await assemblyOf(stage)));
  console.log(
    `${days} days from ${dayText(fromMs)} to ${dayText(fromMs + (days - 1) * DAY_MS)}, stage ${stage}`,
  );
  const all = play(keepings, asked);
  for (const played of all) print(played, asked);
  const found = all.flatMap(({ differences }) => differences);
  console.log(
    found.length === 0
      ? '\non every day there is what the policy says, and nothing else'
      : `\nNOT AS THE POLICY SAYS, in ${found.length} ways`,
  );
  return found.length === 0 ? 0 : DIFFERS;
}

function print({ buckets, day, months, differences }: Played, { list }: Asked): void {
  console.log(`\n${buckets.join(', ')}`);
  if (day) for (const line of dayLines(day, { list })) console.log(line);
  console.log('by month, on the first at noon');
  for (const line of tableLines(months)) console.log(line);
  for (const { atMs, what, times } of differences)
    console.log(
      `  DIFFERS ${new Date(atMs).toISOString()}: ${what}${times > 1 ? ` (the first of ${times})` : ''}`,
    );
}

try {
  const asked = askedIn(process.argv.slice(2), Date.now());
  if (asked === 'help') console.log(USAGE);
  else process.exitCode = await run(asked);
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(
    `retention: ${error instanceof Error ? error.message : error}${isUsage ? `\n\n${USAGE}` : ''}`,
  );
  process.exitCode = COULD_NOT_RUN;
}
