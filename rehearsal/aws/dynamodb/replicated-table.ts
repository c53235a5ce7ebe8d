// A global table with multi-Region strong consistency, in one process. Every write goes into one log per table: its
// region asks the nearest peer it reaches, and once those two (a majority of three) hold it, it is committed: judged
// against the committed head, acknowledged, and sent to the replicas in order. A region that reaches no peer commits
// nothing, and nothing of what it tried ever shows.

import { ServiceError } from '../service-error.ts';
import { DynaliteEngine, type Item, type Json, type TableSchema } from './dynalite.ts';
import { ItemLocks } from './item-locks.ts';
import type { RegionLinks } from './region-links.ts';
import { type LagRange, type LogEntry, Replica } from './replica.ts';

export interface ReplicatedTableOptions {
  readonly schema: TableSchema;
  /** The three regions that hold a replica. */
  readonly regions: readonly string[];
  readonly account: string;
  readonly links: RegionLinks;
  /** How far eventually consistent reads trail. @default 1..20 ms */
  readonly itemLag?: LagRange;
  /** How far index queries trail that. @default 1..50 ms */
  readonly indexLag?: LagRange;
  /** How long a region that reaches no majority keeps a caller waiting before it refuses. @default 1000 */
  readonly refusalMs?: number;
  /** Gives 0 ≤ x < 1, for the lags. @default Math.random */
  readonly random?: () => number;
}

export type ReadOperation = 'GetItem' | 'BatchGetItem' | 'Query' | 'Scan';
export type WriteOperation = 'PutItem' | 'UpdateItem' | 'DeleteItem';

/** What happened to a table behind everybody's back: one region's copy of an item replaced, or everything lost. */
export type Damage =
  | {
      readonly kind: 'tampered';
      readonly region: string;
      readonly key: Item;
      readonly item: Item | undefined;
    }
  | { readonly kind: 'wiped' };

const NAMESPACE = 'com.amazonaws.dynamodb.v20120810';
const REPLICAS = 3;

type CommitArguments = [
  region: string,
  operation: WriteOperation,
  parsed: Json,
  key: Item,
  heldBy: readonly string[],
  returnOld: boolean,
];

export class ReplicatedTable {
  readonly schema: TableSchema;
  readonly regions: readonly string[];
  readonly #links: RegionLinks;
  readonly #refusalMs: number;
  /** The committed state, against which conditions are judged. */
  readonly #head: DynaliteEngine;
  readonly #replicas = new Map<string, Replica>();
  readonly #locks = new ItemLocks();
  readonly #subscribers = new Set<(entry: LogEntry) => void>();
  readonly #damageListeners = new Set<(damage: Damage) => void>();
  readonly #committing = new Set<Promise<Json>>();
  /** While something is done behind everybody's back: writes wait for that. */
  #disturbing: Promise<void> | undefined;
  readonly #stopListening: () => void;
  /** Entries that some replica has still to apply; the first has sequence `#trimmed` + 1. */
  #log: LogEntry[] = [];
  #trimmed = 0;

  private constructor(
    options: ReplicatedTableOptions,
    head: DynaliteEngine,
    engines: readonly DynaliteEngine[],
  ) {
    this.schema = options.schema;
    this.regions = options.regions;
    this.#links = options.links;
    this.#refusalMs = options.refusalMs ?? 1_000;
    this.#head = head;
    for (const [at, region] of options.regions.entries()) {
      const replica = new Replica({
        region,
        engine: engines[at] as DynaliteEngine,
        links: options.links,
        itemLag: options.itemLag ?? { min: 1, max: 20 },
        indexLag: options.indexLag ?? { min: 1, max: 50 },
        random: options.random ?? Math.random,
        entryAt: (sequence) => this.#log[sequence - this.#trimmed - 1],
        replicas: () => [...this.#replicas.values()],
        onIndexed: () => this.#trim(),
      });
      this.#replicas.set(region, replica);
    }
    this.#stopListening = options.links.onChange(() => this.#wakeAll());
  }

  static async open(options: ReplicatedTableOptions): Promise<ReplicatedTable> {
    const { schema, regions, account } = options;
    if (regions.length !== REPLICAS || new Set(regions).size !== REPLICAS)
      throw new RangeError(
        `${schema.TableName}: expected ${REPLICAS} different regions, got ${regions.join(', ')}`,
      );
    const [head, ...engines] = await Promise.all(
      [regions[0] as string, ...regions].map((region) => DynaliteEngine.open(schema, region, account)),
    );
    return new ReplicatedTable(options, head as DynaliteEngine, engines);
  }

  /** Sequence of the last committed write. */
  get committed(): number {
    return this.#trimmed + this.#log.length;
  }

  /** Sequence of the last write that a region's own copy has. */
  applied(region: string): number {
    return this.#replica(region).applied;
  }

  /** Every write committed from now on, in order, until the returned function is called. */
  subscribe(listener: (entry: LogEntry) => void): () => void {
    this.#subscribers.add(listener);
    return () => this.#subscribers.delete(listener);
  }

  /** One region's own copy of an item, whatever the others hold. */
  item(region: string, key: Item): Promise<Item | undefined> {
    return this.#replica(region).engine.item(key);
  }

  /** Replaces one region's copy of an item behind everybody's back; undefined removes it. */
  async tamper(region: string, key: Item, item: Item | undefined): Promise<void> {
    await this.#replica(region).tamper(key, item);
    for (const listener of this.#damageListeners)
      listener({ kind: 'tampered', region, key: this.keyOf(key), item });
  }

  /**
   * Loses every item in every region behind everybody's back: no stream tells of it. A region that is down or cut off
   * loses its own when it is back.
   */
  wipe(): Promise<void> {
    return this.#disturb(async () => {
      await this.#head.clearItems();
      await this.#head.clearIndexes();
      this.#log.push({ ...this.#unheard(), key: {}, wiped: true });
      for (const listener of this.#damageListeners) listener({ kind: 'wiped' });
    });
  }

  /**
   * Changes items in every region behind everybody's back, as silent corruption of what is stored would: no stream and
   * no history tells of it, and indexes carry what there is now. A region that is down or cut off has its own changed
   * when it is back. All or nothing: where `change` throws, nothing is changed.
   */
  corrupt(keys: readonly Item[], change: (item: Item | undefined, key: Item) => Item): Promise<void> {
    return this.#disturb(async () => {
      const found = await Promise.all(keys.map((key) => this.#head.item(key)));
      const changes = keys.map((key, at) => ({ key, before: found[at], after: change(found[at], key) }));
      for (const each of changes) {
        await this.#head.applyItem(each);
        await this.#head.applyIndexes(each);
        this.#log.push({ ...this.#unheard(), ...each });
      }
    });
  }

  /** Everything that happens to the table behind everybody's back from now on. */
  onDamage(listener: (damage: Damage) => void): void {
    this.#damageListeners.add(listener);
  }

  /** Whether a region is up and reaches a majority now. */
  isConnected(region: string): boolean {
    return this.#links.isUp(region) && this.#nearestPeer(region) !== undefined;
  }

  /**
   * Waits until a region's own copy has everything that was committed when it asked, as a consistent read does.
   * @throws {ServiceError} InternalServerError without a majority
   */
  async catchUp(region: string): Promise<void> {
    await this.#caughtUp(region, Date.now() + this.#refusalMs);
  }

  /** The primary key within an item. */
  keyOf(item: Item): Item {
    return this.#head.keyOf(item);
  }

  /** What a region says of the table. */
  async describe(region: string): Promise<Json> {
    const { engine } = this.#replica(region);
    const { Table: table } = await engine.run('DescribeTable', { TableName: this.schema.TableName });
    return {
      Table: {
        ...(table as Json),
        GlobalTableVersion: '2019.11.21',
        MultiRegionConsistency: 'STRONG',
        Replicas: this.regions
          .filter((other) => other !== region)
          .map((other) => ({ RegionName: other, ReplicaStatus: 'ACTIVE' })),
      },
    };
  }

  /**
   * Reads in a region. A consistent read asks a majority how far the log is, then answers from the region's own copy
   * once that is there; any other read answers from the copy as it stands, however old.
   * @throws {ServiceError} InternalServerError without a majority
   */
  async read(region: string, operation: ReadOperation, parsed: Json, consistent: boolean): Promise<Json> {
    const replica = this.#replica(region);
    const deadline = Date.now() + this.#refusalMs;
    if (!this.#links.isUp(region)) throw await this.#refusal(region, deadline);
    if (consistent) await this.#caughtUp(region, deadline);
    return replica.read(operation, parsed);
  }

  /**
   * Writes in a region, all or nothing.
   * @param returnOld gives the item in the body of a ConditionalCheckFailedException
   * @throws {ServiceError} what dynalite throws, ReplicatedWriteConflictException while another region writes the
   *   item, InternalServerError without a majority: then nothing was and nothing will be written
   */
  async write(region: string, operation: WriteOperation, parsed: Json, returnOld: boolean): Promise<Json> {
    const deadline = Date.now() + this.#refusalMs;
    const key = this.#head.keyOf((parsed['Key'] ?? parsed['Item']) as Item);
    if (this.#head.schema.KeySchema.some(({ AttributeName: name }) => key[name] === undefined))
      return this.#head.run(operation, parsed); // Refused there, with DynamoDB's own words.
    for (;;) {
      const peer = await this.#peer(region, deadline);
      // Held only while a peer is being asked: nobody else hears of a write that reaches no peer.
      const release = await this.#locks.take(this.#head.keyText(key), region);
      if (!release) {
        await this.#majority(region, deadline, () => undefined);
        throw new ServiceError(400, {
          __type: `${NAMESPACE}#ReplicatedWriteConflictException`,
          message:
            'The request was rejected because one or more items in the request are being modified by a request in another Region.',
        });
      }
      try {
        if (await this.#ask(region, peer, () => true))
          return await this.#commit(region, operation, parsed, key, [region, peer], returnOld);
      } finally {
        release();
      }
    }
  }

  async close(): Promise<void> {
    this.#stopListening();
    await Promise.all([
      this.#head.close(),
      ...[...this.#replicas.values()].map((replica) => replica.close()),
    ]);
  }

  async #caughtUp(region: string, deadline: number): Promise<void> {
    const replica = this.#replica(region);
    if (!this.#links.isUp(region)) throw await this.#refusal(region, deadline);
    // Any majority shares a member with the one that held the last write, so it knows of that write.
    const head = await this.#majority(region, deadline, () => this.committed);
    if (!(await replica.caughtUpTo(head, Math.max(1, deadline - Date.now()))))
      throw await this.#refusal(region, deadline);
  }

  /** What the nearest peer in reach knows. Tries others until the deadline. */
  async #majority<T>(region: string, deadline: number, know: () => T): Promise<T> {
    for (;;) {
      const answer = await this.#ask(region, await this.#peer(region, deadline), () => ({ known: know() }));
      if (answer) return answer.known;
    }
  }

  /** The nearest peer in reach, now or before the deadline. */
  async #peer(region: string, deadline: number): Promise<string> {
    const peer = await this.#links.until(() => this.#nearestPeer(region), deadline - Date.now());
    if (peer) return peer;
    throw await this.#refusal(region, deadline);
  }

  /** A round trip; `there` runs half-way. Undefined when the link broke under way. */
  async #ask<T>(region: string, peer: string, there: () => T): Promise<T | undefined> {
    await this.#links.travel(region, peer);
    if (!this.#connected(region, peer)) return undefined;
    const answer = there();
    await this.#links.travel(peer, region);
    return this.#connected(region, peer) ? answer : undefined;
  }

  #nearestPeer(region: string): string | undefined {
    const distance = (peer: string) => this.#links.delayMs(region, peer);
    return this.regions
      .filter((peer) => peer !== region && this.#connected(region, peer))
      .reduce<string | undefined>(
        (best, peer) => (best === undefined || distance(peer) < distance(best) ? peer : best),
        undefined,
      );
  }

  #connected(region: string, peer: string): boolean {
    return this.#links.reaches(region, peer) && this.#links.reaches(peer, region);
  }

  /**
   * The answer of a region without a majority, once the deadline is over. Which error AWS gives is not documented;
   * under its fault injection an isolated replica was observed to answer InternalServerError, which SDKs retry.
   */
  async #refusal(region: string, deadline: number): Promise<ServiceError> {
    await this.#links.until(() => undefined, deadline - Date.now());
    return new ServiceError(500, {
      __type: `${NAMESPACE}#InternalServerError`,
      message: `The replica in ${region} is down or does not reach a majority of the replicas.`,
    });
  }

  /** Does something between writes: those under way are done, others wait. */
  async #disturb(act: () => Promise<void>): Promise<void> {
    while (this.#disturbing) await this.#disturbing;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#disturbing = promise;
    try {
      await Promise.allSettled(this.#committing);
      await act();
    } finally {
      this.#disturbing = undefined;
      resolve();
      this.#wakeAll();
    }
  }

  /** Of the next entry in the log that no subscriber hears of: everybody has it at once. */
  #unheard(): Pick<LogEntry, 'region' | 'heldBy' | 'sequence' | 'at'> {
    const [region = ''] = this.regions;
    return { region, heldBy: this.regions, sequence: this.committed + 1, at: Date.now() };
  }

  async #commit(...write: CommitArguments): Promise<Json> {
    while (this.#disturbing) await this.#disturbing;
    const committing = this.#commitNow(...write);
    this.#committing.add(committing);
    try {
      return await committing;
    } finally {
      this.#committing.delete(committing);
    }
  }

  async #commitNow(...[region, operation, parsed, key, heldBy, returnOld]: CommitArguments): Promise<Json> {
    const before = await this.#head.item(key);
    let output: Json;
    try {
      output = await this.#head.run(operation, parsed);
    } catch (error) {
      if (!returnOld || !before || !(error instanceof ServiceError)) throw error;
      if (error.name !== 'ConditionalCheckFailedException') throw error;
      throw new ServiceError(error.status, { ...error.body, Item: before });
    }
    const after = operation === 'DeleteItem' ? undefined : await this.#head.item(key);
    // Deleting nothing changes nothing and is in no stream either.
    if (before || after) this.#append({ key, before, after, region, heldBy });
    return output;
  }

  #append(write: Omit<LogEntry, 'sequence' | 'at'>): void {
    const entry: LogEntry = { ...write, sequence: this.committed + 1, at: Date.now() };
    this.#log.push(entry);
    for (const listener of this.#subscribers) listener(entry);
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const replica of this.#replicas.values()) replica.wake();
  }

  /** Lets go of what every replica has; now and then, so that it costs nothing. */
  #trim(): void {
    const done = Math.min(...[...this.#replicas.values()].map(({ indexed }) => indexed));
    if (done - this.#trimmed < 1_000) return;
    this.#log = this.#log.slice(done - this.#trimmed);
    this.#trimmed = done;
  }

  #replica(region: string): Replica {
    const replica = this.#replicas.get(region);
    if (replica) return replica;
    // As DynamoDB words it for a table that this region does not have.
    throw new ServiceError(400, {
      __type: `${NAMESPACE}#ResourceNotFoundException`,
      message: `Requested resource not found: Table: ${this.schema.TableName} not found`,
    });
  }
}
