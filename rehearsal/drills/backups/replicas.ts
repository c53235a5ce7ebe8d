// Records as every Region's replica has them, read consistently and with an operator's key: nothing here asks the functions
// under test.
import { ATTRIBUTES, GENERATION_KEY, recordKeyOf, recordPk, STATE } from '../../../protocol/items.ts';
import type { RecordKey } from '../../../protocol/names.ts';
import { credentialsOf, OPERATOR } from '../../aws/credentials.ts';
import { type Planting, plantedKey, plantedPayload } from '../../planting.ts';
import type { TableAccess } from '../system.ts';
import { TableCalls } from '../table-calls.ts';

/** As DynamoDB's JSON has them. */
type Value = { readonly [type: string]: unknown };
type Item = Readonly<Record<string, Value>>;

export interface TableFacts {
  readonly records: number;
  /** Of an item of a record, as DynamoDB counts sizes, on average. */
  readonly bytesPerItem: number;
  /** Planted records that are there with the payload they were planted with. */
  readonly planted: number;
}

export class Replicas {
  readonly #tableName: string;
  readonly #calls: readonly TableCalls[];

  constructor(access: TableAccess, regions: readonly string[]) {
    this.#tableName = access.tableName;
    this.#calls = regions.map(
      (region) => new TableCalls({ ...access, region, credentials: credentialsOf(OPERATOR, region) }),
    );
  }

  close(): void {
    for (const calls of this.#calls) calls.close();
  }

  /** What each replica has as the record's payload; undefined where it has none. */
  async payloads(key: RecordKey): Promise<readonly (string | undefined)[]> {
    return Promise.all(
      this.#calls.map(async (calls) => {
        const { Item } = await calls.call<{ Item?: Item }>('DynamoDB_20120810.GetItem', {
          TableName: this.#tableName,
          Key: { [ATTRIBUTES.pk]: { S: recordPk(key) }, [ATTRIBUTES.sk]: { S: STATE } },
          ConsistentRead: true,
        });
        return textIn(Item, ATTRIBUTES.payload);
      }),
    );
  }

  /** Of the table, as its generation item has it; 0 without one. */
  async restoreEpoch(): Promise<number> {
    const { pk, sk } = GENERATION_KEY;
    const [calls] = this.#calls as [TableCalls];
    const { Item } = await calls.call<{ Item?: Item }>('DynamoDB_20120810.GetItem', {
      TableName: this.#tableName,
      Key: { [ATTRIBUTES.pk]: { S: pk }, [ATTRIBUTES.sk]: { S: sk } },
      ConsistentRead: true,
    });
    return Number(Item?.['restoreEpoch']?.['N'] ?? 0);
  }

  /** The whole table, in one Region. */
  async facts(planting: Planting): Promise<TableFacts> {
    const [calls] = this.#calls as [TableCalls];
    const wanted = new Map(
      Array.from({ length: planting.records }, (_, n) => [recordPk(plantedKey(planting, n)), n] as const),
    );
    let [records, bytes, planted] = [0, 0, 0];
    let from: Item | undefined;
    do {
      const page: { Items: readonly Item[]; LastEvaluatedKey?: Item } = await calls.call(
        'DynamoDB_20120810.Scan',
        { TableName: this.#tableName, ConsistentRead: true, ...(from ? { ExclusiveStartKey: from } : {}) },
      );
      for (const item of page.Items) {
        const pk = textIn(item, ATTRIBUTES.pk) ?? '';
        if (recordKeyOf(pk) === undefined) continue;
        records += 1;
        bytes += itemBytes(item);
        const n = wanted.get(pk);
        if (n !== undefined && textIn(item, ATTRIBUTES.payload) === plantedPayload(planting, n)) planted += 1;
      }
      from = page.LastEvaluatedKey;
    } while (from !== undefined);
    return { records, bytesPerItem: records === 0 ? 0 : bytes / records, planted };
  }
}

function textIn(item: Item | undefined, attribute: string): string | undefined {
  const text = item?.[attribute]?.['S'];
  return typeof text === 'string' ? text : undefined;
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html */
export function itemBytes(item: Item): number {
  return Object.entries(item).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + valueBytes(value),
    0,
  );
}

function valueBytes(value: Value): number {
  const [[type, content] = ['NULL', true]] = Object.entries(value);
  if (type === 'S') return Buffer.byteLength(String(content));
  if (type === 'N') return Math.ceil(String(content).length / 2) + 1;
  if (type === 'B') return Math.ceil((String(content).length * 3) / 4);
  if (type === 'L' && Array.isArray(content))
    return 3 + content.reduce((sum: number, each: Value) => sum + 1 + valueBytes(each), 0);
  if (type === 'M' && typeof content === 'object' && content !== null)
    return 3 + itemBytes(content as Item) + Object.keys(content).length;
  if (Array.isArray(content))
    return content.reduce((sum: number, each) => sum + Buffer.byteLength(String(each)), 0);
  return 1;
}

/** `<tenant>/<collection>/<id>`, as commands and logs call it. */
export function nameOf({ tenant, collection, id }: RecordKey): string {
  return `${tenant}/${collection}/${id}`;
}

/** Inverse of {@link nameOf}. */
export function keyOf(name: string): RecordKey {
  const [tenant = '', collection = '', id = ''] = name.split('/');
  return { tenant, collection, id };
}
