// The archiver of a Region: reads its own replica's stream into its own audit bucket, so that no Region's archive
// depends on another's (PROTOCOL 4.3). Where two replicas follow each other the reconciler stands in its place, which
// archives first: a global table's stream should have one reader.
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
import { Duration, type RemovalPolicy } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { EventSourceMapping, FilterCriteria, FilterRule, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Config, Role } from '../../config/config.ts';
import { ATTRIBUTES, RECORD_PK_PREFIX } from '../../protocol/items.ts';
import { LiveAlias } from './live-alias.ts';
import { ReconcilerAlarms } from './reconciler-alarms.ts';
import { ReplicaStream } from './replica-stream.ts';
import { ServiceFunction } from './service-function.ts';

export interface ArchiverProps {
  readonly config: Config;
  readonly role: Role;
  readonly key: IKey;
  readonly keyId: string;
  readonly removalPolicy: RemovalPolicy;
}

/** Conflicts come in bursts, when a partition heals; they need not wait to be archived, but go together. */
const BATCH_WINDOW = Duration.seconds(1);
const BATCH_RECORDS = 100;
/** Batches of one shard at once, by key: one that waits for another Region's bucket does not hold up the others. */
const BATCHES_AT_ONCE = 2;

/** `exists` looks at leaves only, so the path goes down to a list element's text:
 * https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html#filtering-ddb-exists */
const WITH_OUTBOX = { NewImage: { [ATTRIBUTES.outbox]: { L: { S: FilterRule.exists() } } } };
/** Any change may be one that replication made wrongly, a removal too. */
const OF_RECORDS = { Keys: { [ATTRIBUTES.pk]: { S: FilterRule.beginsWith(RECORD_PK_PREFIX) } } };

export class Archiver extends Construct {
  constructor(scope: Construct, id: string, props: ArchiverProps) {
    super(scope, id);
    const { config, role, key, keyId, removalPolicy } = props;
    const strong = config.consistency === 'strong';
    const reader = new ServiceFunction(this, strong ? 'Archiver' : 'Reconciler', {
      config,
      role,
      name: strong ? 'archiver' : 'reconciler',
      key,
      keyId,
      removalPolicy,
    });
    const { callee } = new LiveAlias(this, 'Live', { of: reader });
    const { streamArn } = new ReplicaStream(this, 'Stream', { config, key, removalPolicy });
    new EventSourceMapping(this, 'Mapping', {
      target: callee,
      eventSourceArn: streamArn,
      // Whatever the stream still has: archiving twice archives once.
      startingPosition: StartingPosition.TRIM_HORIZON,
      batchSize: BATCH_RECORDS,
      maxBatchingWindow: BATCH_WINDOW,
      parallelizationFactor: BATCHES_AT_ONCE,
      // What failed is delivered again with what came behind it in its shard, and again until the stream drops it after
      // its 24 h: neither attempts nor age are limited. Hence no destination for failures either: what expires unarchived
      // still stands in the outbox, or in another Region's bucket (ADR 0012).
      // https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
      reportBatchItemFailures: true,
      bisectBatchOnError: true,
      filters: [FilterCriteria.filter({ dynamodb: strong ? WITH_OUTBOX : OF_RECORDS })],
    });
    if (!strong)
      new ReconcilerAlarms(this, 'Alarms', { stage: config.stage, functionName: reader.functionName });
  }
}
