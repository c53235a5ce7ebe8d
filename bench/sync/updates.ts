// The other side of the push function: the same items by conditional UpdateItems through the SDK, as many at once, and
// nothing else. Nothing is parsed, checked, hashed, timed out or judged.
import { Agent } from 'node:http';
import { DynamoDBClient, UpdateItemCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import {
  ATTRIBUTES,
  feedOrderOf,
  feedShardOf,
  recordPk,
  STATE,
  settledAttribute,
} from '../../protocol/items.ts';
import type { PutOperation } from '../../protocol/operations.ts';
import { versionOf } from '../../protocol/versions.ts';
import type { Credentials } from '../../rehearsal/aws/credentials.ts';
import { serveParent } from '../processes.ts';
import type { Load, WriterAnswers } from './function.ts';
import { operationsOf, TENANT } from './operations.ts';

export interface UpdatesOptions {
  readonly region: string;
  readonly endpoint: string;
  readonly tableName: string;
  readonly credentials: Credentials;
  /** Updates at once. */
  readonly atOnce: number;
}

const MAKER = 'fedcba9876543210';
/** As long as one in hex; what is in it does not matter to a table. */
const SHA256 = 'a'.repeat(64);

serveParent<WriterAnswers, UpdatesOptions>(async ({ region, endpoint, tableName, credentials, atOnce }) => {
  const client = new DynamoDBClient({
    region,
    endpoint,
    credentials,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: true, maxSockets: atOnce }) }),
  });
  return {
    async write({ session, operations: count }: Load) {
      const operations = operationsOf(session, count, Date.now());
      const started = performance.now();
      let next = 0;
      const worker = async () => {
        for (let operation = operations[next++]; operation !== undefined; operation = operations[next++])
          await client.send(new UpdateItemCommand(updateOf(operation, tableName)));
      };
      await Promise.all(Array.from({ length: atOnce }, worker));
      return performance.now() - started;
    },
  };
});

/** What the push function asks for a new record. */
function updateOf(operation: PutOperation, tableName: string): UpdateItemCommandInput {
  const { session, sequence, collection, id, version, payload } = operation;
  const key = { tenant: TENANT, collection, id };
  const nowMs = Date.now();
  const commitVersion = versionOf({ ms: nowMs, counter: sequence & 0xffff }, MAKER);
  const values = {
    [ATTRIBUTES.version]: { S: version },
    [ATTRIBUTES.deleted]: { BOOL: false },
    [ATTRIBUTES.payload]: { S: JSON.stringify(payload) },
    [ATTRIBUTES.sha256]: { S: SHA256 },
    [ATTRIBUTES.commitVersion]: { S: commitVersion },
    [ATTRIBUTES.feedShard]: { S: feedShardOf(key) },
    [ATTRIBUTES.feedOrder]: { S: feedOrderOf(commitVersion, key) },
    [settledAttribute(session)]: { M: { s: { N: String(sequence) }, t: { N: String(nowMs) } } },
  };
  const entries = Object.entries(values);
  const sets = entries.map((_, index) => `#${index} = :${index}`).join(', ');
  return {
    TableName: tableName,
    Key: { [ATTRIBUTES.pk]: { S: recordPk(key) }, [ATTRIBUTES.sk]: { S: STATE } },
    UpdateExpression: `SET ${sets} REMOVE #ss, #so`,
    ConditionExpression: 'attribute_not_exists(#pk)',
    ExpressionAttributeNames: {
      '#pk': ATTRIBUTES.pk,
      '#ss': ATTRIBUTES.sweepShard,
      '#so': ATTRIBUTES.sweepOrder,
      ...Object.fromEntries(entries.map(([name], index) => [`#${index}`, name])),
    },
    ExpressionAttributeValues: Object.fromEntries(entries.map(([, value], index) => [`:${index}`, value])),
    ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
  };
}
