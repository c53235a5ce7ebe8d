// What is done to stored data in this process on the supervisor's orders: faults that no API offers, because they happen
// behind every API's back, and records that are planted through the API's own way.
import { ATTRIBUTES, RECORD_PK_PREFIX, recordKeyOf, recordPk, STATE } from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { CLOCK_ZERO, tick } from '../../protocol/versions.ts';
import { checkPlanting, type Planting, plantedItem } from '../planting.ts';
import type { StorageOrder } from '../supervisor/messages.ts';
import type { Aws } from './aws.ts';
import type { Clock } from './clock.ts';
import { type Item, parseRequest } from './dynamodb/dynalite.ts';
import type { ReplicatedTable } from './dynamodb/replicated-table.ts';
import type { S3 } from './s3/s3.ts';

/** Of an export's data files (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html). */
const DATA_FILE = /(^|\/)AWSDynamoDB\/[^/]+\/data\/[^/]+$/;
/** Under way at a time: a round trip between regions is then none that anybody waits for. */
const PLANTED_AT_ONCE = 500;

/**
 * Does what was ordered; resolves with the names of what it was done to.
 * @throws RangeError it cannot be done as it was asked, and nothing was
 */
export async function obey(aws: Aws, clock: Clock, order: StorageOrder): Promise<readonly string[]> {
  switch (order.what) {
    case 'advance':
      clock.advance(order.ms);
      await aws.s3?.tick(clock.now());
      return [];
    case 'bucket':
      s3Of(aws).setAvailable(order.bucket, order.available);
      return [order.bucket];
    case 'rot':
      return [await rot(s3Of(aws), order.bucket, order.key, order.at)];
    case 'damage':
      return damage(tableOf(aws, order.table), order.records);
    case 'wipe':
      await tableOf(aws, order.table).wipe();
      return [order.table];
    case 'plant':
      await plant(tableOf(aws, order.table), order.region, order.planting);
      return [];
  }
}

function s3Of({ s3 }: Aws): S3 {
  if (s3) return s3;
  throw new RangeError('this deployment has no buckets');
}

function tableOf({ tables }: Aws, name: string): ReplicatedTable {
  const table = tables.get(name);
  if (table) return table;
  throw new RangeError(`a table is one of ${[...tables.keys()].join(', ')}, got "${name}"`);
}

async function rot(s3: S3, bucket: string, key?: string, at?: number): Promise<string> {
  const all = s3.contentsOf(bucket);
  const object = key === undefined ? newestDataFile(all) : all.find((it) => it.key === key);
  if (!object)
    throw new RangeError(
      key === undefined
        ? `${bucket} has no backup yet: expected an export's data file to rot`
        : `${bucket} holds no object ${key}`,
    );
  await s3.rot(bucket, object.key, at ?? Math.floor(object.bytes / 2));
  return object.key;
}

/** The largest of those written last: an export's others may hold next to nothing. */
function newestDataFile(all: ReturnType<S3['contentsOf']>) {
  const folderOf = (key: string) => key.slice(0, key.lastIndexOf('/'));
  const files = all.filter(({ key }) => DATA_FILE.test(key));
  const newest = files.toSorted((a, b) => b.modifiedAt - a.modifiedAt)[0];
  return files
    .filter(({ key }) => newest && folderOf(key) === folderOf(newest.key))
    .sort((a, b) => b.bytes - a.bytes)[0];
}

async function damage(
  table: ReplicatedTable,
  records: number | readonly RecordKey[],
): Promise<readonly string[]> {
  const keys = typeof records === 'number' ? await someRecords(table, records) : records.map(itemKeyOf);
  await table.corrupt(keys, damaged);
  return keys.map((key) => {
    const { tenant, collection, id } = recordKeyOf(textOf(key, ATTRIBUTES.pk)) as RecordKey;
    return `${tenant}/${collection}/${id}`;
  });
}

function itemKeyOf(key: RecordKey): Item {
  return { [ATTRIBUTES.pk]: { S: recordPk(key) }, [ATTRIBUTES.sk]: { S: STATE } };
}

/** One character in the middle of the payload is another one; its hash stays. */
function damaged(item: Item | undefined, key: Item): Item {
  const payload = item && textOf(item, ATTRIBUTES.payload);
  if (!payload)
    throw new RangeError(
      `${textOf(key, ATTRIBUTES.pk).slice(RECORD_PK_PREFIX.length).replaceAll('#', '/')}: expected a record with a payload, got ${item ? 'a tombstone' : 'none'}`,
    );
  const at = payload.length >> 1;
  const other = payload[at] === 'x' ? 'y' : 'x';
  return { ...item, [ATTRIBUTES.payload]: { S: payload.slice(0, at) + other + payload.slice(at + 1) } };
}

/** The first so many in the order of the table, which is that of their keys' hashes: from all tenants alike. */
async function someRecords(table: ReplicatedTable, count: number): Promise<readonly Item[]> {
  if (!(Number.isInteger(count) && count >= 1))
    throw new RangeError(`expected a whole number of records from 1, got ${count}`);
  const [region = ''] = table.regions;
  await table.catchUp(region);
  const found: Item[] = [];
  let start: unknown;
  do {
    const scan = {
      TableName: table.schema.TableName,
      ...(start !== undefined && { ExclusiveStartKey: start }),
    };
    const page = await table.read(region, 'Scan', parseRequest('Scan', scan), false);
    const items = page['Items'] as readonly Item[];
    found.push(...items.filter(isRecord).map((item) => table.keyOf(item)));
    start = page['LastEvaluatedKey'];
  } while (start !== undefined && found.length < count);
  if (found.length < count)
    throw new RangeError(`expected up to ${found.length} records, as many as there are, got ${count}`);
  return found.slice(0, count);
}

function isRecord(item: Item): boolean {
  return textOf(item, ATTRIBUTES.pk).startsWith(RECORD_PK_PREFIX) && textOf(item, ATTRIBUTES.payload) !== '';
}

function textOf(item: Item, name: string): string {
  return String(item[name]?.['S'] ?? '');
}

/** Each record is a write of its own, over the network, into the log, the stream and the history like any other. */
async function plant(table: ReplicatedTable, region: string, planting: Planting): Promise<void> {
  checkPlanting(planting);
  const { TableName } = table.schema;
  let clock = CLOCK_ZERO;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < planting.records) {
      clock = tick(clock, Date.now());
      const put = { TableName, Item: plantedItem(planting, next++, clock) };
      await table.write(region, 'PutItem', parseRequest('PutItem', put), false);
    }
  };
  await Promise.all(Array.from({ length: PLANTED_AT_ONCE }, lane));
}
