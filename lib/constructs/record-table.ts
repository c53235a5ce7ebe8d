// The one table: three strongly consistent replicas, of which two are a majority (ADR 0007). What multi-Region strong
// consistency forbids and CDK does not check is refused here, at synth. Where it cannot be had, two replicas that
// follow each other, with what docs/GOVCLOUD.md says is lost by that.
import { Aspects, type IAspect, type RemovalPolicy, Stack, Token } from 'aws-cdk-lib';
import {
  AttributeType,
  Billing,
  CfnGlobalTable,
  MultiRegionConsistency,
  ProjectionType,
  StreamViewType,
  TableEncryptionV2,
  TableV2,
} from 'aws-cdk-lib/aws-dynamodb';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct, type IConstruct } from 'constructs';
import { REPLICATION } from '../../config/promises.ts';
import { ATTRIBUTES, FEED_INDEX, FEED_PROJECTION, TOMBSTONE_INDEX } from '../../protocol/items.ts';
import { keyArnIn } from './regional-key.ts';

export interface RecordTableProps {
  readonly tableName: string;
  /** The copy of the key in this stack's Region. */
  readonly key: IKey;
  /** The multi-Region key's id, the same in every Region. */
  readonly keyId: string;
  /** Besides the stack's own Region. Strong: two, so that two of three copies are a majority. Eventual: one. */
  readonly replicaRegions: readonly string[];
  /** @default 'strong' */
  readonly consistency?: 'strong' | 'eventual';
  /** @default what DynamoDB gives a new table */
  readonly warmWriteUnitsPerSecond?: number | undefined;
  readonly removalPolicy: RemovalPolicy;
  /** Whether each replica refuses to be deleted. */
  readonly deletionProtection: boolean;
}

/** The most DynamoDB keeps: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/PointInTimeRecovery.html */
const POINT_IN_TIME_DAYS = 35;
/** A third would follow like the second, and decide nothing. */
const EVENTUAL_COPIES = 2;

export class RecordTable extends Construct {
  constructor(scope: Construct, id: string, props: RecordTableProps) {
    super(scope, id);
    const { tableName, key, keyId, replicaRegions, removalPolicy, deletionProtection } = props;
    const { consistency = 'strong', warmWriteUnitsPerSecond: warmUnits } = props;
    // Every record is in the feed; whoever is not kept ready as well holds up the table.
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html
    const warm = warmUnits === undefined ? {} : { warmThroughput: { writeUnitsPerSecond: warmUnits } };
    const strong = consistency === 'strong';
    const stack = Stack.of(this);
    const regions = [stack.region, ...replicaRegions];
    const copies = strong ? REPLICATION.copies : EVENTUAL_COPIES;
    if (regions.length !== copies || new Set(regions).size !== copies)
      throw new Error(`${this.node.path}: expected ${copies} different Regions, got ${regions.join(', ')}`);
    // The replica keys' ARNs differ in the Region only, so that no value has to cross Regions.
    const replicaKeyArns = Object.fromEntries(
      replicaRegions.map((region) => [region, keyArnIn(stack, region, keyId)]),
    );
    new TableV2(this, 'Table', {
      tableName,
      partitionKey: { name: ATTRIBUTES.pk, type: AttributeType.STRING },
      sortKey: { name: ATTRIBUTES.sk, type: AttributeType.STRING },
      globalSecondaryIndexes: [
        {
          indexName: FEED_INDEX,
          partitionKey: { name: ATTRIBUTES.feedShard, type: AttributeType.STRING },
          sortKey: { name: ATTRIBUTES.feedOrder, type: AttributeType.STRING },
          projectionType: ProjectionType.INCLUDE,
          nonKeyAttributes: [...FEED_PROJECTION],
          ...warm,
        },
        // Tombstones alone have its keys, so that it holds nothing else (PROTOCOL 7).
        {
          indexName: TOMBSTONE_INDEX,
          partitionKey: { name: ATTRIBUTES.sweepShard, type: AttributeType.STRING },
          sortKey: { name: ATTRIBUTES.sweepOrder, type: AttributeType.STRING },
          projectionType: ProjectionType.KEYS_ONLY,
          ...warm,
        },
      ],
      multiRegionConsistency: strong ? MultiRegionConsistency.STRONG : MultiRegionConsistency.EVENTUAL,
      replicas: replicaRegions.map((region) => ({ region })),
      encryption: TableEncryptionV2.customerManagedKey(key, replicaKeyArns),
      // No ceiling: one would turn a burst, or the replay after a restore, into refused writes in every Region.
      // API Gateway's throttle is what bounds the cost.
      billing: Billing.onDemand(),
      ...warm,
      pointInTimeRecoverySpecification: {
        pointInTimeRecoveryEnabled: true,
        recoveryPeriodInDays: POINT_IN_TIME_DAYS,
      },
      deletionProtection,
      // What journals and archivers will read; replication does not need it.
      dynamoStream: StreamViewType.NEW_AND_OLD_IMAGES,
      removalPolicy,
    });
    if (strong) Aspects.of(this).add(new StrongConsistencyRules());
  }
}

/** Checks the table as it will be written, however it came to be so: a prop of ours, or an override by somebody else.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html */
class StrongConsistencyRules implements IAspect {
  visit(node: IConstruct): void {
    if (!(node instanceof CfnGlobalTable)) return;
    const refuse = (what: string): never => {
      throw new Error(`${node.node.path}: a table with multi-Region strong consistency ${what}`);
    };
    if (node.timeToLiveSpecification !== undefined) refuse('has no TTL: expected none, got one');
    const local: unknown = Stack.of(node).resolve(node.localSecondaryIndexes);
    if (Array.isArray(local) && local.length > 0)
      refuse(`has no local secondary indexes: expected none, got ${local.length}`);
    const replicas: unknown = Stack.of(node).resolve(node.replicas);
    const copies = Array.isArray(replicas) ? replicas.length : 0;
    if (copies !== REPLICATION.copies)
      refuse(`has ${REPLICATION.copies} replicas here, none of them a witness, got ${copies}`);
    if (node.globalTableWitnesses !== undefined && !Token.isUnresolved(node.globalTableWitnesses))
      refuse('needs a third copy that votes and can be restored from, not a witness');
  }
}
