// A region whose replica fails, is slow or is cut off goes on answering through another region's, says so, and loses
// nothing. On the rehearsal's replicated table; the functions' own region keeps its network, only its replica goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { READ_CIRCUIT, replicaOrder } from '../../lambdas/core/circuit.ts';
import { noteElsewhere } from '../../lambdas/elsewhere.ts';
import { httpHandler, type Routes } from '../../lambdas/http.ts';
import { createReadiness, readyRoutes, serviceChecks } from '../../lambdas/readiness.ts';
import { createDynamoDBClient } from '../../lambdas/store/attempts.ts';
import { createDynamoDBStore } from '../../lambdas/store/dynamodb-store.ts';
import { createReplicatedStore } from '../../lambdas/store/replicas.ts';
import { type Store, StoreUnavailableError } from '../../lambdas/store/store.ts';
import { regionStatusKey } from '../../protocol/items.ts';
import { type RunningTable, startTable } from '../../rehearsal/aws/start-table.ts';
import { Device, Functions, REGIONS, Recorder, type Reply } from './functions.ts';

const OWN = REGIONS.primary;
const NEXT = REGIONS.standby;
/** An attempt on the own replica is given up soon, one on another's never because the machine is busy. */
const OWN_ATTEMPT_MS = 250;
const OTHER_ATTEMPT_MS = 10_000;

/** The primary's functions over every region's replica; `own` stands before the own one. */
class Degraded {
  /** Added to the circuits' clock. */
  skippedMs = 0;
  /** The commit stamp of every attempt on any replica. */
  readonly stamps: string[] = [];
  readonly running: RunningTable;
  readonly functions: Functions;
  readonly close: () => Promise<void>;

  private constructor(running: RunningTable, own: (store: Store) => Store, ownAttemptMs: number) {
    // Signed in the region that is called, since the rehearsal takes a region's replica down with all that is in it.
    const clients = new Map(
      replicaOrder(REGIONS, OWN).map((region) => {
        const credentials = running.credentials(region);
        return [region, createDynamoDBClient({ endpoint: running.endpoint, region, credentials })];
      }),
    );
    const replicas = [...clients].map(([region, client]) => {
      const attemptMs = region === OWN ? ownAttemptMs : OTHER_ATTEMPT_MS;
      const store = createDynamoDBStore({
        client,
        tableName: running.tableName,
        peers: clients,
        readAttemptMs: attemptMs,
        writeAttemptMs: attemptMs,
        copyAttemptMs: OWN_ATTEMPT_MS * 4,
      });
      return { region, store: this.#spiedOn(region === OWN ? own(store) : store) };
    });
    const replicated = createReplicatedStore({
      replicas,
      now: () => performance.now() + this.skippedMs,
      onElsewhere: noteElsewhere,
    });
    this.running = running;
    this.functions = new Functions({ running, replicated });
    this.close = async () => {
      this.functions.close();
      for (const client of clients.values()) client.destroy();
      await running.close();
    };
  }

  /** Opened, with a feed that is known to be complete in every region. */
  static async open(
    own: (store: Store) => Store = (store) => store,
    ownAttemptMs = OWN_ATTEMPT_MS,
  ): Promise<Degraded> {
    const on = new Degraded(await startTable({ refusalMs: OWN_ATTEMPT_MS * 4 }), own, ownAttemptMs);
    await on.functions.open();
    await on.steady(Object.values(REGIONS));
    return on;
  }

  async steady(regions: readonly string[], steadyForMs = 60_000): Promise<void> {
    const checkedAt = Date.now();
    for (const region of regions)
      await this.functions.putControl(regionStatusKey(region), {
        checkedAt: { N: String(checkedAt) },
        steadySince: { N: String(checkedAt - steadyForMs) },
      });
  }

  /** The own region's replica goes or comes back, with whatever works there; its functions stay. */
  setUp(up: boolean): void {
    this.running.links.setUp(OWN, up);
  }

  /** The own region's replica is cut off from the others, and still answers; or no longer. */
  isolate(cut: boolean): void {
    this.running.links.set(
      [REGIONS.standby, REGIONS.quorum].map((other) => ({ between: [OWN, other], cut, delayMs: 0 })),
    );
  }

  async ready(): Promise<{ readonly status: number; readonly body: string }> {
    const { functions } = this;
    const { read, write } = serviceChecks(functions.service, { keyArn: 'unused', writes: true });
    assert.ok(read && write);
    const readiness = createReadiness({
      ...functions.service,
      region: OWN,
      checks: { read, write },
      checkMsMax: OTHER_ATTEMPT_MS,
    });
    const handler = httpHandler(readyRoutes(readiness), functions.service);
    const { statusCode, body } = await handler({ resource: '/ready', httpMethod: 'GET', headers: {} });
    return { status: statusCode, body };
  }

  #spiedOn(store: Store): Store {
    return {
      ...store,
      write: (write) => {
        this.stamps.push(write.commitVersion);
        return store.write(write);
      },
      decide: (decision) => {
        this.stamps.push(decision.commitVersion);
        return store.decide(decision);
      },
    };
  }
}

const degradedBy = (region: string) => `replica; region=${region}`;

/** As expected, and through the next region's replica. */
function assertDegraded(reply: Reply, status: number, region: string = NEXT): Reply {
  assert.equal(reply.status, status, reply.text);
  assert.equal(reply.headers['eden-degraded'], degradedBy(region));
  assert.equal(reply.headers['eden-region'], OWN);
  return reply;
}

/** A write by each of the ways there are; the ids written. */
async function writeEveryWay({ functions }: Degraded, round: string): Promise<Map<string, string>> {
  const device = new Device();
  const operations = Array.from({ length: 12 }, (_, n) => device.put(`${round}-pushed-${n}`, round));
  const pushed = assertDegraded(await functions.push('acme', operations), 200);
  assert.deepEqual(new Set(pushed.body.verdicts.map(({ verdict }) => verdict)), new Set(['applied']));

  const { session, sequence, version } = device.put('unused', 0);
  const keyed = { 'idempotency-key': `${session}:${sequence}`, 'eden-version': version };
  const put = (id: string, headers: Readonly<Record<string, string>>) =>
    functions.record('PUT', 'acme', id, { headers, body: JSON.stringify(round) });
  assertDegraded(await put(`${round}-keyed`, keyed), 201);
  assertDegraded(await put(`${round}-unkeyed`, { 'if-none-match': '*' }), 201);
  const ids = [...operations.map(({ id }) => id), `${round}-keyed`, `${round}-unkeyed`];
  return new Map(ids.map((id) => [id, round]));
}

/** What a device that pulls everything holds. */
async function pulled(functions: Functions, check: (reply: Reply) => void): Promise<Map<string, unknown>> {
  const held = new Map<string, unknown>();
  let query: Readonly<Record<string, string>> = {};
  for (let more = true; more; ) {
    const reply = await functions.pull('acme', query);
    check(reply);
    for (const { id, payload } of reply.body.changes) held.set(id, payload);
    query = { cursor: reply.body.cursor };
    more = reply.body.more;
  }
  return held;
}

const sorted = (map: ReadonlyMap<string, unknown>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

test('with its replica dead a region still reads, writes, votes, lists and pulls; nothing acknowledged is lost', async () => {
  const on = await Degraded.open();
  const { functions } = on;
  try {
    const first = await functions.record('PUT', 'acme', 'before', {
      headers: { 'if-none-match': '*' },
      body: '"before"',
    });
    assert.equal(first.status, 201, first.text);
    on.setUp(false);

    const acknowledged = new Map([['before', 'before'], ...(await writeEveryWay(on, 'dead'))]);
    assertDegraded(await functions.record('GET', 'acme', 'before'), 200);
    assertDegraded(await functions.record('GET', 'acme', 'nowhere'), 404);
    // Two of three replicas decide; the stranger's version is the lower.
    const stranger = new Device();
    const version = stranger.version(Date.now() - 60_000);
    const conflict = stranger.put('dead-keyed', 'late', { version });
    const voted = assertDegraded(await functions.push('acme', [conflict]), 200);
    assert.equal(voted.body.verdicts[0]?.verdict, 'superseded');

    const listed = assertDegraded(
      await functions.call('GET', '/v1/records/{collection}', {
        tenant: 'acme',
        params: { collection: 'notes' },
        query: { limit: '100' },
      }),
      200,
    );
    assert.equal(listed.body.records.length, acknowledged.size);
    assert.deepEqual(
      sorted(await pulled(functions, (reply) => assertDegraded(reply, 200))),
      sorted(acknowledged),
    );

    assert.equal(functions.telemetry.sum('degraded'), 8);
    assert.deepEqual(functions.telemetry.errors, []);
    assert.equal(new Set(on.stamps).size, on.stamps.length, 'a stamp was used twice');

    const { status, body } = await on.ready();
    assert.equal(status, 503);
    assert.match(body, /"read":"the table did not answer/);
    assert.match(body, /"write":"the table did not answer/);
    const health = await functions.call('GET', '/health');
    assert.deepEqual([health.status, health.headers['eden-degraded']], [200, undefined]);

    on.setUp(true);
    assert.equal((await on.ready()).status, 200);
    on.skippedMs += READ_CIRCUIT.pauseMs.max;
    await backHome(on);
    for (const [id, payload] of acknowledged) {
      const reply = await functions.record('GET', 'acme', id);
      assert.deepEqual([reply.status, reply.body.payload], [200, payload], id);
    }
  } finally {
    await on.close();
  }
});

/** Until a read and a write go through the own replica again; a busy machine may miss its short attempts. */
async function backHome({ functions }: Degraded): Promise<void> {
  for (const giveUpAt = Date.now() + 10_000; ; ) {
    const read = await functions.record('GET', 'acme', 'before');
    const write = await functions.verdicts('acme', [new Device().put(`home-${Date.now()}`, 0)]);
    assert.deepEqual([read.status, write[0]?.verdict], [200, 'applied']);
    if (read.headers['eden-degraded'] === undefined) return;
    assert.ok(Date.now() < giveUpAt, 'its own replica is not used any more');
    await sleep(50);
  }
}

test('a replica that is cut off is passed over, and its frozen index is not pulled from', async () => {
  const on = await Degraded.open();
  const { functions } = on;
  try {
    on.isolate(true);
    const acknowledged = await writeEveryWay(on, 'cut');
    const pull = () => pulled(functions, (reply) => assertDegraded(reply, 200));
    assert.deepEqual(sorted(await pull()), sorted(acknowledged));
    assert.equal(new Set(on.stamps).size, on.stamps.length, 'a stamp was used twice');
    assert.equal((await on.ready()).status, 503);
  } finally {
    on.isolate(false);
    await on.close();
  }
});

test('a replica that answers slowly is left for the next, until it is quick again', async () => {
  let slow = true;
  const on = await Degraded.open((store) => ({
    ...store,
    async read(key) {
      // As if so much time had passed.
      if (slow) on.skippedMs += READ_CIRCUIT.slowMs + 1;
      return store.read(key);
    },
  }));
  try {
    const get = () => on.functions.record('GET', 'acme', 'n1');
    let asked = 0;
    for (; asked < 20; asked += 1) if ((await get()).headers['eden-degraded']) break;
    assert.ok(asked <= READ_CIRCUIT.slowMax, `${asked} slow answers`);
    assertDegraded(await get(), 404);
    await writeEveryWay(on, 'slow');
    slow = false;
    on.skippedMs += READ_CIRCUIT.pauseMs.max;
    for (const giveUpAt = Date.now() + 10_000; (await get()).headers['eden-degraded']; await sleep(50))
      assert.ok(Date.now() < giveUpAt, 'its own replica is not used any more');
  } finally {
    await on.close();
  }
});

test('a region whose own feed is not known to be complete pulls from the next; 503 when no feed is', async () => {
  const on = await Degraded.open();
  try {
    await on.steady([OWN], 0);
    assertDegraded(await on.functions.pull('acme'), 200);
    await on.steady([NEXT], 0);
    assertDegraded(await on.functions.pull('acme'), 200, REGIONS.quorum);
    await on.steady([REGIONS.quorum], 0);
    assert.equal((await on.functions.pull('acme')).body.code, 'feed_unsteady');
    await on.steady([OWN]);
    const { status, headers } = await on.functions.pull('acme');
    assert.deepEqual([status, headers['eden-degraded']], [200, undefined]);
  } finally {
    await on.close();
  }
});

test('an answer with a reason of its own gives both', async () => {
  const telemetry = new Recorder();
  const unsteady = `feed_unsteady; region=${NEXT}`;
  const routes: Routes = {
    'GET /listing': async () => {
      await sleep(0);
      noteElsewhere(NEXT);
      return { status: 200, headers: { 'eden-degraded': unsteady } };
    },
  };
  const place = { stage: 'dev', role: 'primary', region: OWN, regions: REGIONS } as const;
  const handler = httpHandler(routes, { place, telemetry, now: Date.now });
  const { headers } = await handler({ resource: '/listing', httpMethod: 'GET', headers: {} });
  assert.equal(headers?.['eden-degraded'], `${unsteady}, ${degradedBy(NEXT)}`);
  assert.equal(telemetry.sum('degraded'), 1);
  noteElsewhere(NEXT); // Outside of a request: nobody to tell.
});

test('of requests at the same time only those that another replica answered say so', async () => {
  const on = await Degraded.open(
    (store) => ({
      ...store,
      async read(key) {
        const record = await store.read(key);
        if (!key.id.startsWith('bad')) return record;
        throw new StoreUnavailableError('cut off', { retryable: true, mayHaveLanded: true });
      },
    }),
    OTHER_ATTEMPT_MS,
  );
  try {
    const ids = ['good-1', 'bad-1', 'good-2', 'good-3', 'bad-2', 'good-4'];
    const replies = await Promise.all(ids.map((id) => on.functions.record('GET', 'acme', id)));
    for (const [n, { status, headers }] of replies.entries())
      assert.deepEqual(
        [status, headers['eden-degraded']],
        [404, ids[n]?.startsWith('bad') ? degradedBy(NEXT) : undefined],
        ids[n],
      );
    assert.equal(on.functions.telemetry.sum('degraded'), 2);
  } finally {
    await on.close();
  }
});
