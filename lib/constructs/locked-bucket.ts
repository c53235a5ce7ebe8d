// A bucket whose objects cannot be changed or deleted before their time: versioned, Object Lock, our key, TLS only.
import { Duration, type RemovalPolicy } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type LifecycleRule,
  ObjectLockRetention,
  ObjectOwnership,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';

export interface LockedBucketProps {
  readonly bucketName: string;
  readonly key: IKey;
  /** How long a new object is locked unless its writer asks for longer. */
  readonly lockDays: number;
  /** Compliance mode: not even the account's root can lift the lock. Otherwise governance, so that tests can. */
  readonly compliance: boolean;
  /** What ends when, beside unfinished uploads, which end after a day. @default nothing */
  readonly lifecycleRules?: readonly LifecycleRule[];
  readonly removalPolicy: RemovalPolicy;
}

export class LockedBucket extends Construct {
  readonly bucket: Bucket;

  constructor(scope: Construct, id: string, props: LockedBucketProps) {
    super(scope, id);
    const { bucketName, key, lockDays, compliance, lifecycleRules = [], removalPolicy } = props;
    if (!(Number.isInteger(lockDays) && lockDays > 0))
      throw new RangeError(`${this.node.path}: lockDays: expected a whole number above 0, got ${lockDays}`);
    const lock = Duration.days(lockDays);
    this.bucket = new Bucket(this, 'Bucket', {
      bucketName,
      encryption: BucketEncryption.KMS,
      encryptionKey: key,
      // One call to KMS a bucket instead of one an object.
      bucketKeyEnabled: true,
      versioned: true,
      objectLockEnabled: true,
      objectLockDefaultRetention: compliance
        ? ObjectLockRetention.compliance(lock)
        : ObjectLockRetention.governance(lock),
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      lifecycleRules: [
        { id: 'abort-unfinished-uploads', abortIncompleteMultipartUploadAfter: Duration.days(1) },
        ...lifecycleRules,
      ],
      removalPolicy,
    });
  }
}
