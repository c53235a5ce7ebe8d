// `npm run planted -- [--histories N] [--only TEXT] [--workers W] [--verbose]`: plants every bug alone and plays
// histories until an invariant breaks. Prints which caught what; fails when one survives.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { wholeOf } from './arguments.ts';
import { check } from './mutation.ts';
import { PLANTS } from './plants/all.ts';
import { type Catch, catchPlant } from './plants/catch.ts';
import { eachOnThreads } from './pool.ts';

const { values } = parseArgs({
  options: {
    histories: { type: 'string', default: '4000' },
    only: { type: 'string', default: '' },
    workers: { type: 'string', default: String(Math.min(availableParallelism(), 8)) },
    verbose: { type: 'boolean', default: false },
  },
});

const plants = PLANTS.filter(({ rule, what }) => `${rule} ${what}`.includes(values.only));
if (plants.length === 0) throw new RangeError(`--only: no plant has ${JSON.stringify(values.only)} in it`);
for (const { mutations } of plants) check(mutations);

const workers = wholeOf('workers', values.workers, 1);
const histories = wholeOf('histories', values.histories, 1);
const startMs = performance.now();
const catches = new Map<number, Catch>();
await eachOnThreads(workers, plants.entries(), async ([index, plant]) => {
  const caught = await catchPlant(plant, histories).catch(
    (error: unknown): Catch => ({
      plant,
      invariant: undefined,
      what: String(error),
      seed: undefined,
      histories: 0,
    }),
  );
  catches.set(index, caught);
  if (values.verbose) console.log(`${lineOf(caught)}\n    ${caught.what}`);
});

/** What stops a history is no invariant of the protocol: such a bug has to be planted better. */
function isCaught({ invariant }: Catch): boolean {
  return invariant !== undefined && invariant !== 'it runs at all';
}

function lineOf(caught: Catch): string {
  const { plant, invariant, histories, seed } = caught;
  const where = plant.simulated ? ' (in what is simulated)' : '';
  const by = isCaught(caught) ? `${invariant}` : `**SURVIVED** ${caught.what}`;
  const profile = plant.profile ?? 'mixed';
  return `| ${plant.rule} | ${plant.what}${where} | ${by} | ${histories} | ${profile} ${seed ?? ''} |`;
}

const ordered = [...catches].sort(([a], [b]) => a - b).map(([, caught]) => caught);
console.log('| rule | planted | caught by invariant | after histories | profile, seed |');
console.log('|---|---|---|---|---|');
for (const caught of ordered) console.log(lineOf(caught));
const survivors = ordered.filter((caught) => !isCaught(caught));
console.log(
  `${ordered.length - survivors.length} of ${ordered.length} planted bugs caught in ` +
    `${((performance.now() - startMs) / 1_000).toFixed(0)} s`,
);
process.exitCode = survivors.length === 0 ? 0 : 1;
