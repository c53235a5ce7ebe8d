// One way of reading an export's files, in a process of its own: the verification's, the restore's into nothing, or the
// plainest there is. Says how long it took, and how much memory it ever had.
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { restoreStates } from '../../bin/restore/states.ts';
import { readExportFile } from '../../lambdas/file-reading.ts';
import { scopeTest } from '../../protocol/restoring.ts';
import { serveParent } from '../processes.ts';
import { type Corpus, layerOf } from './corpus.ts';
import { folderBucket } from './folder-bucket.ts';

export interface ReaderOptions {
  readonly corpus: Corpus;
  readonly way: 'verification' | 'restore' | 'plain';
}

export interface ReaderAnswers {
  /** Milliseconds it took. */
  readonly read: number;
  /** The most this process ever had in memory, in bytes. */
  readonly peak: number;
}

serveParent<ReaderAnswers, ReaderOptions>(async ({ corpus, way }) => ({
  async read() {
    const began = performance.now();
    const records = await WAYS[way](corpus);
    const tookMs = performance.now() - began;
    if (records !== corpus.records)
      throw new Error(`${way}: expected ${corpus.records} records, got ${records}`);
    return tookMs;
  },
  peak: async () => process.resourceUsage().maxRSS * 1_024,
}));

const WAYS: Readonly<Record<ReaderOptions['way'], (corpus: Corpus) => Promise<number>>> = {
  /** What the function does with each file once it has its bytes. */
  async verification({ folder, files, summary }) {
    let records = 0;
    for (const file of files) {
      const report = await readExportFile(file, summary, createReadStream(join(folder, file.key)));
      const [problem] = report.problems;
      if (problem) throw new Error(`${problem.file}: ${problem.what}`);
      records += report.records;
    }
    return records;
  },

  /** All of it but the table: a sink that takes whatever comes. */
  async restore(corpus) {
    let records = 0;
    await restoreStates(
      { batchMax: SINK_BATCH, put: async () => undefined },
      {
        layers: [layerOf(corpus, folderBucket(corpus.folder))],
        journals: undefined,
        scope: scopeTest({ kind: 'all' }),
        lanes: 16,
        forced: false,
        done: new Set(),
        onUnit: async (_, facts) => {
          records += facts.records;
        },
        onItems: () => undefined,
        onProblem: () => undefined,
      },
    );
    return records;
  },

  /** The quickest: a whole file at a time, in as much memory as that takes, and nothing looked at. */
  async plain({ folder, files }) {
    let records = 0;
    for (const { key } of files)
      for (const line of gunzipSync(await readFile(join(folder, key)))
        .toString()
        .split('\n'))
        if (line !== '' && JSON.parse(line) !== undefined) records += 1;
    return records;
  },
};

/** As many as the table takes at once. */
const SINK_BATCH = 25;
