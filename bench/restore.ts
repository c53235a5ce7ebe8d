// What is added to the writes and the reading that a restore and a verification cannot do without: a restore against bare
// batches into the same table, a verification against unpacking and parsing the same bytes, and how much memory both
// take for a hundred times the records.
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBucket } from '../bin/buckets.ts';
import { readDeployment } from '../rehearsal/assembly/assembly.ts';
import { assemblyOf } from '../rehearsal/assembly/synthesis.ts';
import { STAGE_DEFAULT, stageConfig } from '../rehearsal/supervisor/stage.ts';
import { type Benchmark, inPairs, type Ratio } from './benchmark.ts';
import { startSide } from './processes.ts';
import { type Corpus, writeCorpus } from './restore/corpus.ts';
import type { LoaderAnswers, LoaderOptions } from './restore/loader.ts';
import type { ReaderAnswers, ReaderOptions } from './restore/reader.ts';
import { type Plant, startPlant } from './sync/plant.ts';

const LOADED = 4_000;
const LOADED_PAIRS = 9;
/** What `npm run restore` does unless told otherwise. */
const LANES = 16;
const READ = 50_000;
const READ_PAIRS = 15;
const PEAKS = 3;
const FEW = 10_000;
/** Each ten or a hundred times as many. */
const MANY = { quick: 100_000, long: 1_000_000 } as const;

async function loading(folder: string): Promise<Ratio> {
  const corpus = await writeCorpus(join(folder, 'loaded'), LOADED);
  const plant = await startPlant();
  const bucket = await filledBucket(plant, corpus);
  const options = { corpus, table: plant.table, bucket, lanes: LANES };
  const side = (way: LoaderOptions['way']) =>
    startSide<LoaderAnswers>('restore/loader.ts', { way, ...options } satisfies LoaderOptions);
  const sides = { restore: await side('restore'), bare: await side('bare') };
  const load = async (way: LoaderOptions['way']) => {
    await plant.engine.ask('wipe');
    return await sides[way].ask('load');
  };
  try {
    const pairs = await inPairs(
      LOADED_PAIRS,
      () => load('restore'),
      () => load('bare'),
    );
    const [ours, theirs] = [0, 1].map((at) =>
      perSecond(
        LOADED,
        pairs.map((pair) => pair[at] as number),
      ),
    );
    console.log(`  into the emulated table: restore ${ours} records/s, bare batches ${theirs} records/s`);
    return {
      name: 'restore / bare batched writes, records per second',
      values: pairs.map(([restored, written]) => written / restored),
      target: {
        bound: 'at least',
        value: 0.85,
        reason: 'reading, unpacking, checking and stamping may cost a seventh of writing',
      },
    };
  } finally {
    sides.restore.end();
    sides.bare.end();
    await plant.end();
  }
}

/** The backup bucket of the plant's Region, with the corpus in it. */
async function filledBucket(
  { assemblyDir, region, table: { endpoint, credentials } }: Plant,
  { folder, files }: Corpus,
): Promise<string> {
  const bucket = readDeployment(assemblyDir)
    .ofType('AWS::S3::Bucket', region)
    .find(({ physicalId }) => physicalId.includes('-backup-'))?.physicalId;
  if (bucket === undefined) throw new Error(`${assemblyDir} describes no backup bucket in ${region}`);
  const objects = openBucket({ region, bucket, endpoint, credentials });
  for (const { key } of files)
    await objects.put(key, await readFile(join(folder, key)), 'application/octet-stream');
  objects.close();
  return bucket;
}

async function verifying(folder: string): Promise<Ratio> {
  const corpus = await writeCorpus(join(folder, 'read'), READ);
  const side = (way: ReaderOptions['way']) =>
    startSide<ReaderAnswers>('restore/reader.ts', { corpus, way } satisfies ReaderOptions);
  const sides = { verification: await side('verification'), plain: await side('plain') };
  try {
    const pairs = await inPairs(
      READ_PAIRS,
      () => sides.verification.ask('read'),
      () => sides.plain.ask('read'),
    );
    const [ours, theirs] = [0, 1].map((at) =>
      perSecond(
        READ,
        pairs.map((pair) => pair[at] as number),
      ),
    );
    console.log(`  verification ${ours} records/s, gunzip and JSON.parse ${theirs} records/s`);
    return {
      name: 'verification / gunzip and JSON.parse of the same files, records per second',
      values: pairs.map(([verified, parsed]) => parsed / verified),
      target: {
        bound: 'at least',
        value: 0.6,
        reason: 'an MD5, two SHA-256 a record and every check may cost two thirds of parsing',
      },
    };
  } finally {
    sides.verification.end();
    sides.plain.end();
  }
}

/** Each reads its export once and cold, under the flags that the product runs with. */
async function memory(folder: string, records: number): Promise<Ratio[]> {
  const few = await writeCorpus(join(folder, 'few'), FEW);
  const many = await writeCorpus(join(folder, 'many'), records);
  const ratios: Ratio[] = [];
  const ways = { verification: await verificationFlags(), restore: await restoreFlags() };
  for (const way of ['verification', 'restore'] as const) {
    const flags = ways[way];
    const pairs: [number, number][] = [];
    for (let pair = 0; pair < PEAKS; pair += 1)
      pairs.push([await peakOf(way, few, flags), await peakOf(way, many, flags)]);
    const list = (at: 0 | 1) => pairs.map((pair) => pair[at]).join(', ');
    console.log(
      `  ${way} (node ${flags.join(' ')}): peak RSS ${list(0)} MB for ${FEW} records, ${list(1)} MB for ${records}`,
    );
    ratios.push({
      name: `${way}, peak RSS for ${records} records / for ${FEW}, each read once`,
      values: pairs.map(([least, most]) => most / least),
      target: {
        bound: 'at most',
        value: 1.2,
        reason: 'size is no limit: what is held at once does not grow with it',
      },
    });
  }
  return ratios;
}

/** As `npm run restore` starts Node.js. */
async function restoreFlags(): Promise<readonly string[]> {
  const { scripts } = JSON.parse(await readFile(join(import.meta.dirname, '../package.json'), 'utf8'));
  return String(scripts.restore)
    .split(' ')
    .filter((word) => word.startsWith('--'));
}

/** As the template has the function start Node.js. */
async function verificationFlags(): Promise<readonly string[]> {
  const described = readDeployment(await assemblyOf(STAGE_DEFAULT))
    .ofType('AWS::Lambda::Function', stageConfig().regions.primary)
    .find(({ physicalId }) => physicalId.includes('-verification'));
  const environment = described?.properties['Environment'] as
    | { readonly Variables: Readonly<Record<string, string>> }
    | undefined;
  if (!environment) throw new Error('expected a verification function in the template, got none');
  return environment.Variables['NODE_OPTIONS']?.split(' ') ?? [];
}

/** In MB, of a process that does nothing else. */
async function peakOf(way: ReaderOptions['way'], corpus: Corpus, flags: readonly string[]): Promise<number> {
  const options = { corpus, way } satisfies ReaderOptions;
  const side = await startSide<ReaderAnswers>('restore/reader.ts', options, flags);
  try {
    await side.ask('read');
    return Math.round((await side.ask('peak')) / 1_000_000);
  } finally {
    side.end();
  }
}

function perSecond(records: number, tookMs: readonly number[]): number {
  const median = tookMs.toSorted((a, b) => a - b)[Math.floor(tookMs.length / 2)] as number;
  return Math.round((records / median) * 1_000);
}

export const restoreBenchmark: Benchmark = {
  name: 'restore',
  about: `restore against bare batches of the same items, ${LANES} at once; verification against parsing; memory of both (--long: of a million records)`,
  async run({ long }) {
    const folder = mkdtempSync(join(tmpdir(), 'eden-field-bench-'));
    try {
      return [
        await loading(folder),
        await verifying(folder),
        ...(await memory(folder, long ? MANY.long : MANY.quick)),
      ];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
