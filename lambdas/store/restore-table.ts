// What a restore loads, put into the Region's own replica: only where nothing is, so that a task that comes late, twice or
// out of order changes nothing that is there (PROTOCOL 8.1).
import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { toItem } from '../../protocol/item-values.ts';
import { ATTRIBUTES } from '../../protocol/items.ts';
import { WRITE_ATTEMPT_MS_MAX } from '../../protocol/limits.ts';
import { asUnavailable, attempt } from './attempts.ts';

export interface RestoreTable {
  /** One attempt; what is there already stays. @throws {StoreUnavailableError} */
  putIfAbsent(item: ExportedItem): Promise<void>;
}

export interface RestoreTableOptions {
  /** Made by `createDynamoDBClient`: one attempt a call. */
  readonly client: DynamoDBClient;
  readonly tableName: string;
}

export function createRestoreTable({ client, tableName }: RestoreTableOptions): RestoreTable {
  return {
    async putIfAbsent(item) {
      const command = new PutItemCommand({
        TableName: tableName,
        Item: toItem(item),
        ConditionExpression: 'attribute_not_exists(#pk)',
        ExpressionAttributeNames: { '#pk': ATTRIBUTES.pk },
      });
      try {
        await attempt(WRITE_ATTEMPT_MS_MAX, (abortSignal) => client.send(command, { abortSignal }));
      } catch (error) {
        if (!(error instanceof ConditionalCheckFailedException)) throw asUnavailable(error);
      }
    },
  };
}
