// Every region's copy of a record, each by a consistent read through that region's own endpoint, side by side: what a
// vote is made of (PROTOCOL 4.1). A region that fails or is slow is one that did not answer.
import { type DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import type { RecordKey } from '../../protocol/names.ts';
import type { Copy } from '../core/record.ts';
import { attempt } from './attempts.ts';
import { itemKey, recordOf } from './record-items.ts';

export interface CopiesOptions {
  /** By region, each made by `createDynamoDBClient` in that region; the order of the answer. */
  readonly peers: ReadonlyMap<string, DynamoDBClient>;
  readonly tableName: string;
  /** One region's read, tried once: a conflict waits for the slowest. */
  readonly attemptMs: number;
}

/** Never throws. */
export function readCopies(
  { peers, tableName, attemptMs }: CopiesOptions,
  key: RecordKey,
): Promise<readonly Copy[]> {
  return Promise.all(
    [...peers].map(async ([region, client]): Promise<Copy> => {
      const command = new GetItemCommand({ TableName: tableName, Key: itemKey(key), ConsistentRead: true });
      try {
        const { Item: item } = await attempt(attemptMs, (abortSignal) =>
          client.send(command, { abortSignal }),
        );
        return { region, answered: true, record: item && recordOf(item) };
      } catch (error) {
        return { region, answered: false, why: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
}
