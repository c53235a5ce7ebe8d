// Two Regions whose replicas only follow each other: the functions of each on a table of its own, the stream of what
// happens to a tenant's one record, and its reconciler. Replication is played one item at a time, when a test says so.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { DeleteItemCommand, type DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { Generation } from '../../lambdas/core/admission.ts';
import type { StoredRecord } from '../../lambdas/core/record.ts';
import { type ChangeEvent, createReconciler } from '../../lambdas/routes/reconciler.ts';
import { createDynamoDBClient } from '../../lambdas/store/attempts.ts';
import { createReconcilingStore, type ReconcilingStore } from '../../lambdas/store/reconciling-store.ts';
import type { Item } from '../../lambdas/store/update-draft.ts';
import { HEARTBEAT_SHARD, heartbeatKey, recordPk, STATE } from '../../protocol/items.ts';
import type { Json } from '../../protocol/operations.ts';
import { Device, EPOCH, Functions, openTable } from './functions.ts';

type Event = ChangeEvent['Records'][number];
export type Side = 'west' | 'east';

export class Region {
  readonly functions: Functions;
  readonly client: DynamoDBClient;
  /** Of the stream, not yet read. */
  readonly events: Event[] = [];
  generation: Generation | undefined = { status: 'open', restoreEpoch: EPOCH };
  /** Stands between the reconciler and its table. */
  wrap: (store: ReconcilingStore) => ReconcilingStore = (store) => store;
  #sequence = 100;

  constructor(functions: Functions) {
    this.functions = functions;
    const { running, service } = functions;
    const { region } = service.place;
    this.client = createDynamoDBClient({
      endpoint: running.endpoint,
      region,
      credentials: running.credentials(region),
    });
  }

  item(tenant: string, id = 'a'): Promise<Item | undefined> {
    const { running, service } = this.functions;
    return running.table.item(service.place.region, keyOf(tenant, id)) as Promise<Item | undefined>;
  }

  stored(tenant: string): Promise<StoredRecord | undefined> {
    return this.functions.service.store.read({ tenant, collection: 'notes', id: 'a' });
  }

  /** Does something to the tenant's record, which the stream then tells. */
  async told<T>(tenant: string, act: () => Promise<T>, atMs = Date.now()): Promise<T> {
    const old = await this.item(tenant);
    const result = await act();
    const fresh = await this.item(tenant);
    this.events.push({
      dynamodb: {
        SequenceNumber: String(this.#sequence++),
        ApproximateCreationDateTime: Math.floor(atMs / 1_000),
        ...(old && { OldImage: old }),
        ...(fresh && { NewImage: fresh }),
      },
    });
    return result;
  }

  put(item: Item): Promise<unknown> {
    return this.client.send(new PutItemCommand({ TableName: this.functions.running.tableName, Item: item }));
  }

  remove(tenant: string): Promise<unknown> {
    const { tableName } = this.functions.running;
    return this.client.send(new DeleteItemCommand({ TableName: tableName, Key: keyOf(tenant) }));
  }

  reconciler() {
    const { service, audit, running } = this.functions;
    const store = this.wrap(createReconcilingStore({ client: this.client, tableName: running.tableName }));
    return createReconciler({
      ...service,
      audit,
      store,
      generation: { current: async () => this.generation },
      wait: async () => {},
    });
  }

  /** One batch with all that is not yet read; what it wrote is told in turn. Returns what failed. */
  async reconcile(tenant: string): Promise<readonly string[]> {
    const Records = this.events.splice(0);
    const before = this.functions.telemetry.sum('reconciled');
    let failed: readonly string[] = [];
    await this.told(tenant, async () => {
      const { batchItemFailures } = await this.reconciler()({ Records });
      failed = batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
    });
    if (this.functions.telemetry.sum('reconciled') === before) this.events.pop();
    this.delivered = Records;
    return failed;
  }

  delivered: readonly Event[] = [];
}

export function keyOf(tenant: string, id = 'a') {
  return { pk: { S: recordPk({ tenant, collection: 'notes', id }) }, sk: { S: STATE } };
}

export const sides = {} as Record<Side, Region>;
let tenants = 0;
export function newTenant(): string {
  tenants += 1;
  return `t-${tenants}`;
}

/** Before the tests of the file that asks; closed after them. */
export function openSides(): void {
  before(openBoth);
  after(closeBoth);
}

async function openBoth(): Promise<void> {
  const roles = { west: 'primary', east: 'standby' } as const;
  for (const side of ['west', 'east'] as const) {
    const functions = new Functions({ running: await openTable(), role: roles[side], eventual: true });
    await functions.open({ steady: false });
    sides[side] = new Region(functions);
  }
}

async function closeBoth(): Promise<void> {
  for (const { functions, client } of Object.values(sides)) {
    client.destroy();
    functions.close();
    await functions.running.close();
  }
}

/** What replication does with the item as it is now. */
export async function send(tenant: string, from: Side, to: Side, atMs = Date.now()): Promise<void> {
  const item = await sides[from].item(tenant);
  assert.ok(item, 'expected an item to send');
  await sides[to].told(tenant, () => sides[to].put(item), atMs);
}

export const push = (side: Side, tenant: string, device: Device, payload: Json, over = {}) =>
  sides[side].told(tenant, () => sides[side].functions.verdict(tenant, device.put('a', payload, over)));

/** By somebody who knew nothing, a minute ago: it loses. */
export function pushEarlier(side: Side, tenant: string, payload: Json) {
  const stranger = new Device();
  return push(side, tenant, stranger, payload, { version: stranger.version(Date.now() - 60_000) });
}

export async function payloadOf(side: Side, tenant: string): Promise<Json | undefined> {
  const { body, status } = await sides[side].functions.record('GET', tenant, 'a');
  return status === 200 ? body.payload : undefined;
}

export const trailOf = async (side: Side, tenant: string) =>
  (await sides[side].functions.conflicts(tenant, 'a')).body.conflicts;

/** West wrote `higher`, East `lower` at the same time, and replication let East's stay in both. */
export async function diverge(tenant: string, { higher = 'higher' as Json, lower = 'lower' as Json } = {}) {
  const [a, b] = [new Device(), new Device()];
  await push('west', tenant, a, higher, { version: a.version(Date.now() + 5_000) });
  await push('east', tenant, b, lower, { version: b.version(Date.now() - 5_000) });
  await send(tenant, 'east', 'west');
  return { a, b };
}

export async function beatOf(side: Side, region: string, atMs: number): Promise<void> {
  await sides[side].functions.putControl(heartbeatKey(region), {
    feedShard: { S: HEARTBEAT_SHARD },
    feedOrder: { S: `${String(atMs).padStart(13, '0')}#${region}` },
  });
}
