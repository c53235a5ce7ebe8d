// Every region's copy of a record, each by a consistent read through that region's own endpoint, side by side: what a
// vote is made of (PROTOCOL 4.1). A region that fails or is slow is one that did not answer.
import { type DynamoDBClient, GetItemCommand, type GetItemCommandOutput } from '@aws-sdk/client-dynamodb';
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

/** How long the last copy is waited for when those that came are enough: longer than a round trip between regions, so
 * that its vote is on record too, and far shorter than a region that is gone takes to be given up. */
const LAST_COPY_MS = 150;

/** Those that answered in time, or until those that did are enough. Never throws. */
export async function readCopies(
  { peers, tableName, attemptMs }: CopiesOptions,
  key: RecordKey,
  isEnough: (copies: readonly Copy[]) => boolean = () => false,
): Promise<readonly Copy[]> {
  const copies = [...peers.keys()].map(
    (region): Copy => ({ region, answered: false, why: 'the others were enough' }),
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const reading = [...peers].map(async ([region, client], index) => {
    copies[index] = await readCopy(region, () => {
      const command = new GetItemCommand({ TableName: tableName, Key: itemKey(key), ConsistentRead: true });
      return attempt(attemptMs, (abortSignal) => client.send(command, { abortSignal }));
    });
    if (timer === undefined && isEnough(copies)) timer = setTimeout(resolve, LAST_COPY_MS);
  });
  await Promise.race([Promise.all(reading), promise]);
  clearTimeout(timer);
  // What comes later has no say any more.
  return [...copies];
}

async function readCopy(region: string, read: () => Promise<GetItemCommandOutput>): Promise<Copy> {
  try {
    const { Item: item } = await read();
    return { region, answered: true, record: item && recordOf(item) };
  } catch (error) {
    return { region, answered: false, why: error instanceof Error ? error.message : String(error) };
  }
}
