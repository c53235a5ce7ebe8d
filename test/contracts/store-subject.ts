// What the cases of the store's contract share: an engine to open, a store on it, and writes that are in order unless a
// case says otherwise.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AttributeValue,
  type DynamoDBClient,
  type DynamoDBClientConfig,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import { contentOf } from '../../lambdas/core/canonical.ts';
import { createStampClock } from '../../lambdas/core/clock.ts';
import type { Content } from '../../lambdas/core/record.ts';
import { createDynamoDBClient } from '../../lambdas/store/attempts.ts';
import { createDynamoDBStore } from '../../lambdas/store/dynamodb-store.ts';
import type { Replica } from '../../lambdas/store/replicas.ts';
import type { RecordWrite, Store } from '../../lambdas/store/store.ts';
import type { RecordKey } from '../../protocol/names.ts';

export interface StoreEngine {
  readonly tableName: string;
  /** Of the same table; one on a single-region engine. */
  readonly regions: readonly string[];
  clientConfig(region: string): DynamoDBClientConfig;
  /** Cuts a region off from the others, and back. Absent where there is nothing to cut. */
  readonly isolate?: (region: string, cut: boolean) => void;
  /** Makes one store of the regions' stores, the own region's first. @default the own region's is taken as it is */
  readonly over?: (replicas: readonly Replica[]) => Store;
  close(): Promise<void>;
}

export const session = (n: number) => n.toString(16).padStart(32, '0');
export const text = (value: string): Content => contentOf({ text: value });

export class StoreSubject {
  readonly #commits = createStampClock('c'.repeat(16));
  readonly #versions = createStampClock('f'.repeat(16));
  readonly #clients: DynamoDBClient[] = [];
  #opened:
    | { readonly engine: StoreEngine; readonly store: Store; readonly client: DynamoDBClient }
    | undefined;
  #keys = 0;

  /** Opens an engine before the suite it is made in, and closes it after. */
  constructor(open: () => Promise<StoreEngine>) {
    before(async () => {
      const engine = await open();
      const home = engine.regions[0] as string;
      const client = this.track(createDynamoDBClient(engine.clientConfig(home)));
      this.#opened = { engine, client, store: this.#storeWith(client, engine, home) };
    });
    after(async () => {
      for (const client of this.#clients) client.destroy();
      await this.#opened?.engine.close();
    });
  }

  get engine(): StoreEngine {
    return this.#opened?.engine ?? assert.fail('the suite has not begun');
  }

  /** In the engine's first region. */
  get store(): Store {
    return this.#opened?.store ?? assert.fail('the suite has not begun');
  }

  get client(): DynamoDBClient {
    return this.#opened?.client ?? assert.fail('the suite has not begun');
  }

  storeIn(region: string): Store {
    return this.#storeWith(
      this.track(createDynamoDBClient(this.engine.clientConfig(region))),
      this.engine,
      region,
    );
  }

  /** Closes the client with the suite. */
  track(client: DynamoDBClient): DynamoDBClient {
    this.#clients.push(client);
    return client;
  }

  commit() {
    return this.#commits.stamp(Date.now());
  }

  version() {
    return this.#versions.stamp(Date.now());
  }

  newKey(tenant = 'acme'): RecordKey {
    this.#keys += 1;
    return { tenant, collection: 'notes', id: `n${this.#keys}` };
  }

  /** A write of `key` with everything in order; `over` replaces parts of it. */
  writeOf(key: RecordKey, over: Partial<RecordWrite> = {}): RecordWrite {
    return {
      key,
      version: this.version(),
      content: text('hello'),
      base: undefined,
      commitVersion: this.commit(),
      ...over,
    };
  }

  async written(write: RecordWrite): Promise<RecordWrite> {
    assert.deepEqual(await this.store.write(write), { written: true });
    return write;
  }

  /** What was stored when the condition failed. */
  async refused(write: RecordWrite) {
    const outcome = await this.store.write(write);
    assert.ok(!outcome.written, 'expected the condition to fail');
    return outcome.stored;
  }

  async putItem(
    { pk, sk }: { readonly pk: string; readonly sk: string },
    attributes: Record<string, AttributeValue>,
  ): Promise<void> {
    const item = { pk: { S: pk }, sk: { S: sk }, ...attributes };
    await this.client.send(new PutItemCommand({ TableName: this.engine.tableName, Item: item }));
  }

  #storeWith(client: DynamoDBClient, engine: StoreEngine, home: string): Store {
    // As whoever works in the home region, whichever region's endpoint is called.
    const config = engine.clientConfig(home);
    const peers = new Map(
      engine.regions.map((region) => [region, this.track(createDynamoDBClient({ ...config, region }))]),
    );
    const storeOver = (through: DynamoDBClient) =>
      createDynamoDBStore({
        client: through,
        tableName: engine.tableName,
        peers,
        writeAttemptMs: 3_000,
        readAttemptMs: 2_000,
        copyAttemptMs: 1_000,
      });
    const own = storeOver(client);
    if (!engine.over) return own;
    const others = [...peers]
      .filter(([region]) => region !== home)
      .map(([region, peer]) => ({ region, store: storeOver(peer) }));
    return engine.over([{ region: home, store: own }, ...others]);
  }
}

/** Tries until it passes, for what is eventually consistent; fails as it failed last. */
export async function eventually(check: () => Promise<void>): Promise<void> {
  const giveUpAt = Date.now() + 10_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > giveUpAt) throw error;
      await sleep(20);
    }
  }
}
