// A table as the template of its stack describes it, read into what the rehearsal's table needs.
import type { Resource } from '../../assembly/assembly.ts';
import { asList, isRecord } from '../iam-conditions.ts';
import type { TableSchema } from './dynalite.ts';
import { isStreamViewType, type StreamViewType } from './streams.ts';

export interface GlobalTable {
  readonly schema: TableSchema;
  readonly regions: readonly string[];
  /** ARN of the customer's key by region; a region without one uses a key of AWS's. */
  readonly keyArns: ReadonlyMap<string, string>;
  /** What its stream carries; undefined without a stream. */
  readonly streamViewType: StreamViewType | undefined;
  /** How many days point-in-time recovery reaches back, by region; a region without it has none. */
  readonly recoveryDays: ReadonlyMap<string, number>;
}

/**
 * Reads an `AWS::DynamoDB::GlobalTable`.
 * @throws TypeError it is not strongly consistent, lacks what every table has, or has a stream of an unknown kind
 */
export function readGlobalTable({ logicalId, physicalId, properties }: Resource): GlobalTable {
  const { MultiRegionConsistency: consistency, GlobalSecondaryIndexes: indexes } = properties;
  if (consistency !== 'STRONG')
    throw new TypeError(
      `${logicalId}: MultiRegionConsistency: the rehearsal plays STRONG, got ${String(consistency)}`,
    );
  const replicas = asList(properties['Replicas']).filter(isRecord);
  const schema = {
    TableName: physicalId,
    AttributeDefinitions: properties['AttributeDefinitions'],
    KeySchema: properties['KeySchema'],
    ...(indexes !== undefined && {
      GlobalSecondaryIndexes: asList(indexes)
        .filter(isRecord)
        .map(({ IndexName, KeySchema, Projection }) => ({ IndexName, KeySchema, Projection })),
    }),
  };
  if (!isTableSchema(schema))
    throw new TypeError(
      `${logicalId}: expected AttributeDefinitions and KeySchema, got ${JSON.stringify(schema)}`,
    );
  return {
    schema,
    recoveryDays: new Map(
      replicas.flatMap((replica) => {
        const days = recoveryDaysOf(replica['PointInTimeRecoverySpecification']);
        return days === undefined ? [] : [[String(replica['Region']), days] as const];
      }),
    ),
    streamViewType: streamViewTypeOf(logicalId, properties['StreamSpecification']),
    regions: replicas.map((replica) => String(replica['Region'])),
    keyArns: new Map(
      replicas.flatMap(({ Region: region, SSESpecification: encryption }) => {
        const arn = isRecord(encryption) ? encryption['KMSMasterKeyId'] : undefined;
        return arn === undefined ? [] : [[String(region), String(arn)] as const];
      }),
    ),
  };
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/PointInTimeRecovery.html */
const RECOVERY_DAYS_DEFAULT = 35;

function recoveryDaysOf(specification: unknown): number | undefined {
  if (!isRecord(specification) || specification['PointInTimeRecoveryEnabled'] !== true) return undefined;
  return Number(specification['RecoveryPeriodInDays'] ?? RECOVERY_DAYS_DEFAULT);
}

function streamViewTypeOf(logicalId: string, specification: unknown): StreamViewType | undefined {
  if (specification === undefined) return undefined;
  const type = isRecord(specification) ? specification['StreamViewType'] : undefined;
  if (isStreamViewType(type)) return type;
  throw new TypeError(
    `${logicalId}: StreamSpecification: expected a StreamViewType, got ${JSON.stringify(type)}`,
  );
}

/** The engine checks the rest, in DynamoDB's own words, when it makes the table. */
function isTableSchema(value: { AttributeDefinitions: unknown; KeySchema: unknown }): value is TableSchema {
  return Array.isArray(value.AttributeDefinitions) && Array.isArray(value.KeySchema);
}
