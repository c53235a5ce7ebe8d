// What a table with multi-Region strong consistency promises, as an ordinary SDK sees it. Runs on every adapter that
// can open three regions; the cases that break things need an adapter that can break them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DeleteItemCommand,
  DescribeTableCommand,
  QueryCommand,
  ScanCommand,
  TransactGetItemsCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  UpdateTimeToLiveCommand,
} from '@aws-sdk/client-dynamodb';
import { faultCases } from './replicated-table-faults.ts';
import {
  eventually,
  failure,
  itemOf,
  keyOf,
  newKey,
  operationsOn,
  type TableUnderTest,
} from './replicated-table-subject.ts';

/** @param open a fresh table; the suite closes it */
export function replicatedTableContract(name: string, open: () => Promise<TableUnderTest>): void {
  describe(`replicated table contract: ${name}`, () => {
    let table: TableUnderTest;
    const { put, create, step, read, indexed } = operationsOn(() => table);
    before(async () => {
      table = await open();
    });
    after(() => table.close());

    describe('with the network whole', () => {
      test('a write acknowledged anywhere is read consistently everywhere', async () => {
        for (const writer of table.regions) {
          const pk = newKey();
          await put(writer, pk, 7);
          for (const reader of table.regions)
            assert.equal(await read(reader, pk, true), 7, `${writer} → ${reader}`);
        }
      });

      test('a deleted item is gone from consistent reads everywhere', async () => {
        const [primary, standby] = table.regions;
        const pk = newKey();
        await put(primary, pk, 1);
        await table
          .client(standby)
          .send(new DeleteItemCommand({ TableName: table.tableName, Key: keyOf(pk) }));
        for (const region of table.regions) assert.equal(await read(region, pk, true), undefined);
        await eventually(() => indexed(primary, pk), []);
      });

      test('a condition is judged on what another region has just written', async () => {
        const [primary, standby] = table.regions;
        const pk = newKey();
        await create(primary, pk, 1);
        const error = await failure(create(standby, pk, 2));
        assert.equal(error.name, 'ConditionalCheckFailedException');
        assert.equal(error.Item, undefined);
        assert.equal(await read(standby, pk, true), 1);
      });

      test('ALL_OLD gives the item that made the condition fail', async () => {
        const [primary, standby] = table.regions;
        const pk = newKey();
        await create(primary, pk, 1);
        assert.deepEqual((await failure(create(standby, pk, 2, true))).Item, itemOf(pk, 1));
      });

      test('ALL_OLD gives no item where there is none', async () => {
        const command = new UpdateItemCommand({
          TableName: table.tableName,
          Key: keyOf(newKey()),
          UpdateExpression: 'SET n = :n',
          ConditionExpression: 'attribute_exists(pk)',
          ExpressionAttributeValues: { ':n': { N: '1' } },
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        });
        const error = await failure(table.client(table.regions[0]).send(command));
        assert.equal(error.name, 'ConditionalCheckFailedException');
        assert.equal(error.Item, undefined);
      });

      test('two conditional writers in two regions never both win', async () => {
        const [primary, standby] = table.regions;
        const pk = newKey();
        await put(primary, pk, 0);
        let won = 0;
        for (let round = 0; round < 60; round++) {
          const outcomes = await Promise.allSettled([step(primary, pk, won + 1), step(standby, pk, won + 1)]);
          const wins = outcomes.filter(({ status }) => status === 'fulfilled').length;
          assert.ok(wins <= 1, `round ${round}: ${wins} winners`);
          won += wins;
          assert.equal(await read(table.regions[2], pk, true), won);
        }
        assert.ok(won > 0);
      });

      test('concurrent additions in one region all count', async () => {
        const [primary, standby] = table.regions;
        const pk = newKey();
        const add = new UpdateItemCommand({
          TableName: table.tableName,
          Key: keyOf(pk),
          UpdateExpression: 'ADD n :one',
          ExpressionAttributeValues: { ':one': { N: '1' } },
        });
        await Promise.all(Array.from({ length: 20 }, () => table.client(primary).send(add)));
        assert.equal(await read(standby, pk, true), 20);
      });

      test('batches write and read several items', async () => {
        const [primary, standby] = table.regions;
        const pks = [newKey(), newKey(), newKey()];
        const written = await table.client(primary).send(
          new BatchWriteItemCommand({
            RequestItems: {
              [table.tableName]: pks.map((pk, n) => ({ PutRequest: { Item: itemOf(pk, n) } })),
            },
          }),
        );
        assert.deepEqual(written.UnprocessedItems, {});
        const { Responses } = await table.client(standby).send(
          new BatchGetItemCommand({
            RequestItems: { [table.tableName]: { Keys: pks.map(keyOf), ConsistentRead: true } },
          }),
        );
        const found = (Responses?.[table.tableName] ?? []).map((item) => Number(item['n']?.N)).sort();
        assert.deepEqual(found, [0, 1, 2]);
      });

      test('a batch that names an item twice is refused whole', async () => {
        const pk = newKey();
        const twice = [1, 2].map((n) => ({ PutRequest: { Item: itemOf(pk, n) } }));
        const command = new BatchWriteItemCommand({ RequestItems: { [table.tableName]: twice } });
        assert.equal(
          (await failure(table.client(table.regions[0]).send(command))).name,
          'ValidationException',
        );
        assert.equal(await read(table.regions[0], pk, true), undefined);
      });

      test('return values and consumed capacity come through', async () => {
        const pk = newKey();
        await put(table.regions[0], pk, 1);
        const { Attributes, ConsumedCapacity } = await table.client(table.regions[1]).send(
          new UpdateItemCommand({
            TableName: table.tableName,
            Key: keyOf(pk),
            UpdateExpression: 'SET n = n + :one, deep = :deep',
            ExpressionAttributeValues: {
              ':one': { N: '1' },
              ':deep': {
                M: { list: { L: [{ BOOL: true }, { NULL: true }, { B: new Uint8Array([1, 2]) }] } },
              },
            },
            ReturnValues: 'ALL_NEW',
            ReturnConsumedCapacity: 'TOTAL',
          }),
        );
        assert.deepEqual(Attributes, {
          ...itemOf(pk, 2),
          feedOrder: { S: '000001' },
          deep: { M: { list: { L: [{ BOOL: true }, { NULL: true }, { B: new Uint8Array([1, 2]) }] } } },
        });
        assert.equal(ConsumedCapacity?.TableName, table.tableName);
        assert.ok((ConsumedCapacity?.CapacityUnits ?? 0) >= 1);
      });

      test('a consistent scan finds what was acknowledged', async () => {
        const pk = newKey();
        await put(table.regions[2], pk, 5);
        const { Count } = await table.client(table.regions[0]).send(
          new ScanCommand({
            TableName: table.tableName,
            ConsistentRead: true,
            FilterExpression: 'pk = :pk',
            ExpressionAttributeValues: { ':pk': { S: pk } },
          }),
        );
        assert.equal(Count, 1);
      });

      test('an index is eventually up to date everywhere, and never read consistently', async () => {
        const pk = newKey();
        await put(table.regions[0], pk, 3);
        for (const region of table.regions) await eventually(() => indexed(region, pk), [3]);
        const command = new QueryCommand({
          TableName: table.tableName,
          IndexName: 'feed',
          KeyConditionExpression: 'feedShard = :shard',
          ExpressionAttributeValues: { ':shard': { S: `shard-${pk}` } },
          ConsistentRead: true,
        });
        assert.equal(
          (await failure(table.client(table.regions[0]).send(command))).name,
          'ValidationException',
        );
      });

      test('says what it is', async () => {
        const [primary, standby, quorum] = table.regions;
        const { Table } = await table
          .client(standby)
          .send(new DescribeTableCommand({ TableName: table.tableName }));
        assert.equal(Table?.MultiRegionConsistency, 'STRONG');
        assert.equal(Table?.TableStatus, 'ACTIVE');
        assert.match(
          Table?.TableArn ?? '',
          new RegExp(`:dynamodb:${standby}:\\d+:table/${table.tableName}$`),
        );
        assert.deepEqual(
          Table?.Replicas?.map(({ RegionName }) => RegionName).sort(),
          [primary, quorum].sort(),
        );
      });

      test('transactions and time to live are refused', async () => {
        const client = table.client(table.regions[0]);
        const { tableName: TableName } = table;
        const key = keyOf(newKey());
        const commands = [
          client.send(new TransactWriteItemsCommand({ TransactItems: [{ Put: { TableName, Item: key } }] })),
          client.send(new TransactGetItemsCommand({ TransactItems: [{ Get: { TableName, Key: key } }] })),
          client.send(
            new UpdateTimeToLiveCommand({
              TableName,
              TimeToLiveSpecification: { Enabled: true, AttributeName: 'n' },
            }),
          ),
        ];
        for (const command of commands) assert.equal((await failure(command)).name, 'ValidationException');
      });
    });

    describe('with the network at fault', () => faultCases(() => table));
  });
}
