// What a function may do to the table, as policy statements: its own calls, on this table's replicas, and the use of
// the key that those calls make through DynamoDB.
import type { Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type Config, regionsOf } from '../../config/config.ts';
import { FEED_INDEX, TOMBSTONE_INDEX } from '../../protocol/items.ts';
import type { TableAction, TableNeeds } from '../functions.ts';
import { tableName } from '../names.ts';
import { keyArnIn } from './regional-key.ts';

/** Calls through DynamoDB that the table's key must allow their caller:
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
 * https://docs.aws.amazon.com/kms/latest/developerguide/services-dynamodb.html */
const KEY_ACTIONS = {
  read: ['kms:Decrypt'],
  write: ['kms:Encrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*'],
};

const WRITES: readonly TableAction[] = ['PutItem', 'UpdateItem', 'DeleteItem'];

export function tableStatements(stack: Stack, config: Config, keyId: string, needs: TableNeeds) {
  const { stage } = config;
  const inRegions = needs.everyRegion ? regionsOf(config) : [stack.region];
  const tables = inRegions.map((region) =>
    stack.formatArn({ service: 'dynamodb', region, resource: 'table', resourceName: tableName(stage) }),
  );
  const keys = inRegions.map((region) => keyArnIn(stack, region, keyId));
  const writes = needs.updates !== undefined || needs.actions.some((action) => WRITES.includes(action));
  const statements = [
    new PolicyStatement({
      sid: 'Table',
      actions: needs.actions.map((action) => `dynamodb:${action}`),
      resources: tables,
    }),
    new PolicyStatement({
      sid: 'TableKey',
      actions: writes ? [...KEY_ACTIONS.read, ...KEY_ACTIONS.write] : KEY_ACTIONS.read,
      resources: keys,
      conditions: {
        StringEquals: { 'kms:ViaService': inRegions.map((region) => `dynamodb.${region}.amazonaws.com`) },
      },
    }),
  ];
  const query = (sid: string, index: string) =>
    new PolicyStatement({
      sid,
      actions: ['dynamodb:Query'],
      resources: tables.map((table) => `${table}/index/${index}`),
    });
  if (needs.updates) statements.push(updateStatement(tables, needs.updates(stack.region)));
  if (needs.feed) statements.push(query('Feed', FEED_INDEX));
  if (needs.tombstones) statements.push(query('Tombstones', TOMBSTONE_INDEX));
  if (needs.stream) statements.push(...streamStatements(tables));
  return statements;
}

/** Of an item by its partition key. `ForAllValues` also holds where a request names none, hence the second condition:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html */
function updateStatement(tables: readonly string[], partitionKeys: readonly string[]): PolicyStatement {
  return new PolicyStatement({
    sid: 'OwnItems',
    actions: ['dynamodb:UpdateItem'],
    resources: [...tables],
    conditions: {
      'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': [...partitionKeys] },
      Null: { 'dynamodb:LeadingKeys': 'false' },
    },
  });
}

/** What an event source mapping asks of the role it reads a stream as. The stream's own name is not known here; it is
 * one of the table's. https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html */
function streamStatements(tables: readonly string[]): readonly PolicyStatement[] {
  return [
    new PolicyStatement({
      sid: 'Stream',
      actions: ['dynamodb:DescribeStream', 'dynamodb:GetShardIterator', 'dynamodb:GetRecords'],
      resources: tables.map((table) => `${table}/stream/*`),
    }),
    // Has no resources to name:
    // https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
    new PolicyStatement({ sid: 'Streams', actions: ['dynamodb:ListStreams'], resources: ['*'] }),
  ];
}

/** The readiness check's own use of the Region's key, which goes through no other service. */
export function keyCheckStatement(keyArn: string): PolicyStatement {
  return new PolicyStatement({
    sid: 'KeyCheck',
    actions: ['kms:GenerateDataKey'],
    resources: [keyArn],
  });
}
