// One way of filling the table with the records of an export, in a process of its own: as `npm run restore` does it, from
// the files in the bucket, or by bare BatchWriteItems of the same items, which are in memory already.

import { createReadStream } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { BatchWriteItemCommand, DynamoDBClient, type WriteRequest } from '@aws-sdk/client-dynamodb';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { openBucket } from '../../bin/buckets.ts';
import { loadSink } from '../../bin/restore/sinks.ts';
import { restoreStates } from '../../bin/restore/states.ts';
import { Target } from '../../bin/restore/target.ts';
import { lineBatches } from '../../protocol/lines.ts';
import { Stamps } from '../../protocol/restore-stamps.ts';
import { scopeTest } from '../../protocol/restoring.ts';
import { serveParent } from '../processes.ts';
import type { TableAccess } from '../sync/plant.ts';
import { type Corpus, layerOf } from './corpus.ts';

export interface LoaderOptions {
  readonly way: 'restore' | 'bare';
  readonly corpus: Corpus;
  readonly table: TableAccess;
  /** Where the corpus stands, under the same keys. */
  readonly bucket: string;
  /** Batches at once. */
  readonly lanes: number;
}

export interface LoaderAnswers {
  /** Milliseconds it took. */
  readonly load: number;
}

/** `BatchWriteItem` takes no more. */
const BATCH = 25;

serveParent<LoaderAnswers, LoaderOptions>(async (options) => {
  const load = options.way === 'restore' ? restorer(options) : await bareWriter(options);
  return {
    async load() {
      const began = performance.now();
      await load();
      return performance.now() - began;
    },
  };
});

function restorer({ corpus, table, bucket: name, lanes }: LoaderOptions): () => Promise<void> {
  const { region, endpoint, credentials, tableName } = table;
  const bucket = openBucket({ region, bucket: name, endpoint, credentials });
  const target = new Target({
    address: { name: tableName, endpoint, credentials },
    regions: [region],
    lanes,
  });
  const interrupted = new AbortController().signal;
  return async () => {
    let records = 0;
    const stamps = new Stamps('0123456789abcdef', Date.now);
    await restoreStates(loadSink({ target, stamps, through: undefined, interrupted }), {
      layers: [layerOf(corpus, bucket)],
      journals: undefined,
      scope: scopeTest({ kind: 'all' }),
      lanes,
      forced: false,
      done: new Set(),
      onUnit: async (_, facts) => {
        records += facts.records;
      },
      onItems: () => undefined,
      onProblem: () => undefined,
    });
    if (records !== corpus.records) throw new Error(`expected ${corpus.records} records, got ${records}`);
  };
}

async function bareWriter({ corpus, table, lanes }: LoaderOptions): Promise<() => Promise<void>> {
  const { region, endpoint, credentials, tableName } = table;
  const client = new DynamoDBClient({
    region,
    endpoint,
    credentials,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: true, maxSockets: lanes }) }),
  });
  const batches: WriteRequest[][] = [];
  for (const { key } of corpus.files)
    for await (const lines of lineBatches(createReadStream(join(corpus.folder, key)).pipe(createGunzip())))
      for (const line of lines) {
        const last = batches.at(-1);
        const request = { PutRequest: { Item: JSON.parse(line).Item } };
        if (last && last.length < BATCH) last.push(request);
        else batches.push([request]);
      }
  return async () => {
    let next = 0;
    const lane = async () => {
      for (let batch = batches[next++]; batch; batch = batches[next++]) {
        const { UnprocessedItems = {} } = await client.send(
          new BatchWriteItemCommand({ RequestItems: { [tableName]: batch } }),
        );
        if (Object.keys(UnprocessedItems).length > 0)
          throw new Error(`expected a whole batch to be written, ${tableName} left some`);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  };
}
