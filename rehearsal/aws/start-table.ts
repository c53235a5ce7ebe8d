// The records table on its own, behind an endpoint that any SDK can use: for tests of what stores data. No template,
// no permissions, and no delays unless asked for.
import { ATTRIBUTES, FEED_INDEX, FEED_PROJECTION, TOMBSTONE_INDEX } from '../../protocol/items.ts';
import { type Caller, jsonService, openAwsFront } from './aws-front.ts';
import { type Credentials, credentialsOf, OPERATOR } from './credentials.ts';
import type { TableSchema } from './dynamodb/dynalite.ts';
import { DynamoDb } from './dynamodb/dynamodb.ts';
import { RegionLinks } from './dynamodb/region-links.ts';
import { ReplicatedTable, type ReplicatedTableOptions } from './dynamodb/replicated-table.ts';

export interface StartTableOptions
  extends Partial<Omit<ReplicatedTableOptions, 'schema' | 'account' | 'links'>> {
  /** @default 'eden-field-test-records' */
  readonly tableName?: string;
}

export interface RunningTable {
  readonly endpoint: string;
  readonly tableName: string;
  readonly regions: readonly string[];
  readonly table: ReplicatedTable;
  /** Cuts and delays between the regions; takes replicas down. */
  readonly links: RegionLinks;
  /** What an SDK client of that region signs with. */
  credentials(region: string): Credentials;
  close(): Promise<void>;
}

const ACCOUNT = '000000000000';
const NO_LAG = { min: 0, max: 0 };

/** The records table as the protocol lays it out. */
export function recordsSchema(tableName: string): TableSchema {
  const { pk, sk, feedShard, feedOrder, sweepShard, sweepOrder, commitVersion } = ATTRIBUTES;
  return {
    TableName: tableName,
    AttributeDefinitions: [pk, sk, feedShard, feedOrder, sweepShard, sweepOrder].map((name) => ({
      AttributeName: name,
      AttributeType: 'S',
    })),
    KeySchema: keySchema(pk, sk),
    GlobalSecondaryIndexes: [
      {
        IndexName: FEED_INDEX,
        KeySchema: keySchema(feedShard, feedOrder),
        Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: FEED_PROJECTION },
      },
      {
        IndexName: TOMBSTONE_INDEX,
        KeySchema: keySchema(sweepShard, sweepOrder),
        Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: [commitVersion] },
      },
    ],
  };
}

function keySchema(hash: string, range: string) {
  return [
    { AttributeName: hash, KeyType: 'HASH' },
    { AttributeName: range, KeyType: 'RANGE' },
  ];
}

/** Starts it on a free port of 127.0.0.1, empty. */
export async function startTable({
  tableName = 'eden-field-test-records',
  regions = ['us-east-2', 'us-west-2', 'us-east-1'],
  itemLag = NO_LAG,
  indexLag = NO_LAG,
  ...rest
}: StartTableOptions = {}): Promise<RunningTable> {
  const links = new RegionLinks();
  const table = await ReplicatedTable.open({
    ...rest,
    schema: recordsSchema(tableName),
    account: ACCOUNT,
    regions,
    links,
    itemLag,
    indexLag,
  });
  const dynamodb = new DynamoDb([{ table, keyArns: new Map() }], ACCOUNT);
  const callers = new Map(
    regions.map((region): [string, Caller] => {
      const { accessKeyId, secretAccessKey } = credentialsOf(OPERATOR, region);
      return [accessKeyId, { principalArn: OPERATOR, region, secretAccessKey }];
    }),
  );
  const service = jsonService('DynamoDB_20120810', 'application/x-amz-json-1.0', (call) =>
    dynamodb.call({ ...call, authorize: () => {} }),
  );
  const front = await openAwsFront({ services: new Map([['dynamodb', service]]), callers, links });
  return {
    endpoint: front.endpoint,
    tableName,
    regions,
    table,
    links,
    credentials: (region) => credentialsOf(OPERATOR, region),
    close: async () => {
      await front.close();
      await table.close();
    },
  };
}
