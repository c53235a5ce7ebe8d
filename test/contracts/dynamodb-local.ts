// The store's contract suite on Amazon's DynamoDB Local, at the endpoint that .ci/dynamodb-local hands over. Not part
// of `npm test`, which needs no Java.
import { CreateTableCommand, DeleteTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { ATTRIBUTES, FEED_INDEX, FEED_PROJECTION, TOMBSTONE_INDEX } from '../../protocol/items.ts';
import { storeContract } from './store.ts';

const endpoint = process.env['DYNAMODB_LOCAL_ENDPOINT'];
if (!endpoint)
  throw new Error('DYNAMODB_LOCAL_ENDPOINT: expected its URL, got none; run .ci/dynamodb-local instead');

storeContract('DynamoDB Local', async () => {
  const config = {
    endpoint,
    region: 'us-east-2',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  };
  const admin = new DynamoDBClient(config);
  const tableName = `records-${process.pid}-${Date.now()}`;
  const { pk, sk, feedShard, feedOrder, sweepShard, sweepOrder } = ATTRIBUTES;
  await admin.send(
    new CreateTableCommand({
      TableName: tableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [pk, sk, feedShard, feedOrder, sweepShard, sweepOrder].map((AttributeName) => ({
        AttributeName,
        AttributeType: 'S',
      })),
      KeySchema: [
        { AttributeName: pk, KeyType: 'HASH' },
        { AttributeName: sk, KeyType: 'RANGE' },
      ],
      GlobalSecondaryIndexes: [
        {
          IndexName: FEED_INDEX,
          KeySchema: [
            { AttributeName: feedShard, KeyType: 'HASH' },
            { AttributeName: feedOrder, KeyType: 'RANGE' },
          ],
          Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: [...FEED_PROJECTION] },
        },
        {
          IndexName: TOMBSTONE_INDEX,
          KeySchema: [
            { AttributeName: sweepShard, KeyType: 'HASH' },
            { AttributeName: sweepOrder, KeyType: 'RANGE' },
          ],
          Projection: { ProjectionType: 'KEYS_ONLY' },
        },
      ],
    }),
  );
  return {
    tableName,
    regions: ['us-east-2'],
    clientConfig: () => config,
    async close() {
      await admin.send(new DeleteTableCommand({ TableName: tableName }));
      admin.destroy();
    },
  };
});
