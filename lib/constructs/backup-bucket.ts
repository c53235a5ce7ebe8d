// A bucket that backups stand in, each tier for its time (DESIGN §6). Versioned buckets free nothing by expiration alone:
// what expires goes under a delete marker, so old versions and lone markers have ends of their own. What these rules come
// to is checked on the finished template (lib/retention.ts).
import { Duration, type RemovalPolicy } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { type LifecycleRule, StorageClass } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import {
  type BackupBucketUse,
  KEPT,
  type KeptPrefix,
  LOCK_DAYS,
  NONCURRENT_DAYS,
} from '../../config/retention.ts';
import { LockedBucket } from './locked-bucket.ts';

export interface BackupBucketProps {
  readonly bucketName: string;
  readonly use: BackupBucketUse;
  readonly key: IKey;
  /** Not even the account's root can lift a lock; see {@link LockedBucket}. */
  readonly compliance: boolean;
  readonly removalPolicy: RemovalPolicy;
}

export class BackupBucket extends LockedBucket {
  constructor(scope: Construct, id: string, { use, ...props }: BackupBucketProps) {
    super(scope, id, {
      ...props,
      lockDays: LOCK_DAYS,
      lifecycleRules: [
        ...KEPT[use].map(ruleOf),
        { id: 'expired-delete-markers', expiredObjectDeleteMarker: true },
      ],
    });
  }
}

/** Objects under 128 KB, such as manifests and verdicts, stay where they are and can be read at once:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html */
function ruleOf({ prefix, days, archive }: KeptPrefix): LifecycleRule {
  return {
    id: prefix.replace('/', ''),
    prefix,
    expiration: Duration.days(days),
    noncurrentVersionExpiration: Duration.days(NONCURRENT_DAYS),
    ...(archive && {
      transitions: [
        {
          storageClass: new StorageClass(archive.storageClass),
          transitionAfter: Duration.days(archive.afterDays),
        },
      ],
    }),
  };
}
