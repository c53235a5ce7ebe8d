// The rehearsal's table held to the contract, and what only it can show: lags, the log, copies tampered with.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import fc from 'fast-check';
import { parseRequest } from '../../rehearsal/aws/dynamodb/dynalite.ts';
import { RegionLinks } from '../../rehearsal/aws/dynamodb/region-links.ts';
import type { LogEntry } from '../../rehearsal/aws/dynamodb/replica.ts';
import { ReplicatedTable } from '../../rehearsal/aws/dynamodb/replicated-table.ts';
import { ServiceError } from '../../rehearsal/aws/service-error.ts';
import { recordsSchema, startTable } from '../../rehearsal/aws/start-table.ts';
import { replicatedTableContract } from '../contracts/replicated-table.ts';

const REGIONS = ['us-east-2', 'us-west-2', 'us-east-1'] as const;
const [PRIMARY, STANDBY, QUORUM] = REGIONS;
const TABLE = 'records';
const KEY = { pk: { S: 'a' }, sk: { S: 'STATE' } };

replicatedTableContract('the rehearsal', async () => {
  const running = await startTable({
    regions: REGIONS,
    refusalMs: 60,
    itemLag: { min: 1, max: 5 },
    indexLag: { min: 1, max: 5 },
  });
  const clients: DynamoDBClient[] = [];
  const state = new Map<string, { cut: boolean; delayMs: number }>();
  return {
    regions: REGIONS,
    tableName: running.tableName,
    client(region, { maxAttempts = 1 } = {}) {
      const client = new DynamoDBClient({
        region,
        endpoint: running.endpoint,
        credentials: running.credentials(region),
        maxAttempts,
      });
      clients.push(client);
      return client;
    },
    faults: {
      link(between, change) {
        const name = [...between].sort().join(' ');
        const next = { cut: false, delayMs: 0, ...state.get(name), ...change };
        state.set(name, next);
        running.links.set([{ between, ...next }]);
      },
      replica: (region, up) => running.links.setUp(region, up),
    },
    async close() {
      for (const client of clients) client.destroy();
      await running.close();
    },
  };
});

const NO_LAG = { min: 0, max: 0 };

function openTable(options: Partial<Parameters<typeof ReplicatedTable.open>[0]> & { links: RegionLinks }) {
  return ReplicatedTable.open({
    schema: recordsSchema(TABLE),
    regions: REGIONS,
    account: '000000000000',
    itemLag: NO_LAG,
    indexLag: NO_LAG,
    refusalMs: 20,
    ...options,
  });
}

function put(table: ReplicatedTable, region: string, n: number, pk = 'a') {
  const item = {
    ...KEY,
    pk: { S: pk },
    n: { N: String(n) },
    feedShard: { S: 'f' },
    feedOrder: { S: `${n}` },
  };
  return table.write(region, 'PutItem', parseRequest('PutItem', { TableName: TABLE, Item: item }), false);
}

async function get(table: ReplicatedTable, region: string, consistent: boolean, pk = 'a') {
  const input = { TableName: TABLE, Key: { ...KEY, pk: { S: pk } }, ConsistentRead: consistent };
  const { Item: item } = await table.read(region, 'GetItem', parseRequest('GetItem', input), consistent);
  return (item as { n: { N: string } } | undefined)?.n.N;
}

async function indexed(table: ReplicatedTable, region: string) {
  const input = {
    TableName: TABLE,
    IndexName: 'feed',
    KeyConditionExpression: 'feedShard = :f',
    ExpressionAttributeValues: { ':f': { S: 'f' } },
  };
  return (await table.read(region, 'Query', parseRequest('Query', input), false))['Count'];
}

describe('lag', () => {
  const links = new RegionLinks();
  let table: ReplicatedTable;
  before(async () => {
    table = await openTable({ links, itemLag: { min: 150, max: 150 }, indexLag: { min: 150, max: 150 } });
  });
  after(() => table.close());

  test('an eventually consistent read is late by the item lag, an index query by both', async () => {
    await put(table, PRIMARY, 1);
    assert.equal(await get(table, PRIMARY, false), undefined);
    await sleep(220);
    assert.equal(await get(table, PRIMARY, false), '1');
    assert.equal(await indexed(table, PRIMARY), 0);
    await sleep(150);
    assert.equal(await indexed(table, PRIMARY), 1);
  });

  test('a consistent read does not wait for the lag, and later reads see no less', async () => {
    await put(table, PRIMARY, 2);
    const start = performance.now();
    assert.equal(await get(table, STANDBY, true), '2');
    assert.ok(performance.now() - start < 100);
    assert.equal(await get(table, STANDBY, false), '2');
    assert.equal(await get(table, PRIMARY, false), '1');
  });

  test('a lag delays a stream of changes, it does not thin it out', async () => {
    // One after the other these would take twelve seconds.
    const before = Number(await indexed(table, PRIMARY));
    await Promise.all(Array.from({ length: 40 }, (_, n) => put(table, PRIMARY, n, `stream-${n}`)));
    await sleep(600);
    assert.equal(await indexed(table, PRIMARY), before + 40);
  });

  test('refuses a lag beyond two seconds, and one that runs backwards', async () => {
    await assert.rejects(
      openTable({ links, itemLag: { min: 0, max: 2_001 } }),
      /itemLag: expected .* got 0\.\.2001/,
    );
    await assert.rejects(
      openTable({ links, indexLag: { min: 5, max: 1 } }),
      /indexLag: expected .* got 5\.\.1/,
    );
  });
});

test('refuses another number of regions than three', async () => {
  const links = new RegionLinks();
  await assert.rejects(openTable({ links, regions: [PRIMARY, STANDBY] }), /expected 3 different regions/);
  await assert.rejects(
    openTable({ links, regions: [PRIMARY, PRIMARY, QUORUM] }),
    /expected 3 different regions/,
  );
});

test('a region without a replica does not know the table', async () => {
  const table = await openTable({ links: new RegionLinks() });
  await assert.rejects(get(table, 'eu-west-1', false), { name: 'ResourceNotFoundException' });
  await table.close();
});

test('the log has every committed change once, in order, with what stood before and after', async () => {
  const table = await openTable({ links: new RegionLinks() });
  const log: LogEntry[] = [];
  const stop = table.subscribe((entry) => log.push(entry));
  await put(table, PRIMARY, 1);
  await put(table, STANDBY, 2);
  const remove = () => parseRequest('DeleteItem', { TableName: TABLE, Key: { ...KEY } });
  await table.write(QUORUM, 'DeleteItem', remove(), false);
  await table.write(QUORUM, 'DeleteItem', remove(), false); // changes nothing
  stop();
  await put(table, PRIMARY, 3);
  assert.deepEqual(
    log.map(({ sequence, region, before, after }) => [sequence, region, before?.['n'], after?.['n']]),
    [
      [1, PRIMARY, undefined, { N: '1' }],
      [2, STANDBY, { N: '1' }, { N: '2' }],
      [3, QUORUM, { N: '2' }, undefined],
    ],
  );
  assert.ok(log.every(({ heldBy, region }) => heldBy.length === 2 && heldBy[0] === region));
  await table.close();
});

test('a failed condition is in no log', async () => {
  const table = await openTable({ links: new RegionLinks() });
  const input = { TableName: TABLE, Item: { ...KEY }, ConditionExpression: 'attribute_exists(pk)' };
  await assert.rejects(table.write(PRIMARY, 'PutItem', parseRequest('PutItem', input), true), {
    name: 'ConditionalCheckFailedException',
  });
  assert.equal(table.committed, 0);
  await table.close();
});

test('a copy tampered with is what its own region reads, consistently too, and nobody else', async () => {
  const table = await openTable({ links: new RegionLinks() });
  await put(table, PRIMARY, 1);
  assert.equal(await get(table, STANDBY, true), '1');
  await table.tamper(STANDBY, KEY, { ...KEY, n: { N: '666' } });
  assert.equal(await get(table, STANDBY, true), '666');
  assert.equal(await get(table, PRIMARY, true), '1');
  assert.deepEqual((await table.item(STANDBY, KEY))?.['n'], { N: '666' });
  await put(table, PRIMARY, 2);
  assert.equal(await get(table, STANDBY, true), '2');
  await table.tamper(STANDBY, KEY, undefined);
  assert.equal(await get(table, STANDBY, true), undefined);
  await table.close();
});

test('a region reached by only one other gets everything through it', async () => {
  const links = new RegionLinks([{ between: [PRIMARY, STANDBY], cut: true, delayMs: 0 }]);
  const table = await openTable({ links });
  await put(table, PRIMARY, 1);
  assert.equal(await get(table, STANDBY, true), '1');
  await put(table, STANDBY, 2);
  assert.equal(await get(table, PRIMARY, true), '2');
  await table.close();
});

test('an acknowledged write survives the loss of the region that took it', async () => {
  const links = new RegionLinks([{ between: [PRIMARY, STANDBY], cut: false, delayMs: 200 }]);
  const table = await openTable({ links });
  await put(table, PRIMARY, 1);
  links.setUp(PRIMARY, false);
  assert.equal(await get(table, STANDBY, true), '1');
  assert.equal(await get(table, QUORUM, true), '1');
  await table.close();
});

test('a write whose region dies under way does not keep others from the item', async () => {
  const links = new RegionLinks([
    { between: [PRIMARY, QUORUM], cut: false, delayMs: 20 },
    { between: [PRIMARY, STANDBY], cut: false, delayMs: 20 },
  ]);
  const table = await openTable({ links, refusalMs: 2_000 });
  const dying = assert.rejects(put(table, PRIMARY, 1), { name: 'InternalServerError' });
  links.setUp(PRIMARY, false);
  await sleep(60);
  await put(table, STANDBY, 2);
  assert.equal(await get(table, QUORUM, true), '2');
  await dying;
  await table.close();
});

test('whatever is cut and killed meanwhile, acknowledged additions are exactly those that count', async () => {
  const cuts = fc.record({ kind: fc.constant('cut' as const), pair: fc.nat(2), cut: fc.boolean() });
  const deaths = fc.record({ kind: fc.constant('replica' as const), region: fc.nat(2), up: fc.boolean() });
  const writes = fc.record({ kind: fc.constant('add' as const), region: fc.nat(2), item: fc.nat(1) });
  const pauses = fc.record({ kind: fc.constant('pause' as const), ms: fc.nat(3) });
  const pairs = [
    [PRIMARY, STANDBY],
    [STANDBY, QUORUM],
    [PRIMARY, QUORUM],
  ] as const;
  const steps = fc.array(fc.oneof(cuts, deaths, { arbitrary: writes, weight: 4 }, pauses), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const links = new RegionLinks(pairs.map((between) => ({ between, cut: false, delayMs: 1 })));
      const table = await openTable({ links, refusalMs: 50, itemLag: { min: 0, max: 3 } });
      const acknowledged = [0, 0];
      const under: Promise<void>[] = [];
      const add = async (region: string, item: number) => {
        const input = {
          TableName: TABLE,
          Key: { ...KEY, pk: { S: `item-${item}` } },
          UpdateExpression: 'ADD n :one',
          ExpressionAttributeValues: { ':one': { N: '1' } },
        };
        try {
          await table.write(region, 'UpdateItem', parseRequest('UpdateItem', input), false);
          acknowledged[item] = (acknowledged[item] ?? 0) + 1;
        } catch (error) {
          assert.ok(error instanceof ServiceError);
          assert.match(error.name, /^(InternalServerError|ReplicatedWriteConflictException)$/);
        }
      };
      for (const step of history) {
        if (step.kind === 'cut')
          links.set([{ between: pairs[step.pair] ?? pairs[0], cut: step.cut, delayMs: 1 }]);
        else if (step.kind === 'replica') links.setUp(REGIONS[step.region] ?? PRIMARY, step.up);
        else if (step.kind === 'pause') await sleep(step.ms);
        else under.push(add(REGIONS[step.region] ?? PRIMARY, step.item));
      }
      await Promise.all(under);
      links.set(pairs.map((between) => ({ between, cut: false, delayMs: 0 })));
      for (const region of REGIONS) links.setUp(region, true);
      await sleep(5);
      for (const region of REGIONS)
        for (const item of [0, 1])
          assert.equal(Number((await get(table, region, true, `item-${item}`)) ?? 0), acknowledged[item]);
      await table.close();
    }),
    { numRuns: 40 },
  );
});
