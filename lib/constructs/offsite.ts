// The offsite bucket, for what is kept for years, with a key of its own, so that neither the loss of the stage's key nor
// its misuse reaches that copy. It stands in the quorum Region; where there is none, in another account.
import { ArnFormat, CfnParameter, type RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import type { Bucket } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { type EventualStage, offsiteRegionOf } from '../../config/config.ts';
import { bucketName, offsiteKeyAlias, projectName, stackName } from '../names.ts';
import { BackupBucket } from './backup-bucket.ts';

/** As functions are told of it, and policies name it. */
export interface Offsite {
  readonly bucket: string;
  readonly keyArn: string;
  readonly region: string;
  /** Its account, where that is another than the stage's. */
  readonly owner?: string;
}

export interface MadeOffsite {
  readonly offsite: Offsite;
  readonly bucket: Bucket;
  readonly key: Key;
}

export interface MakeOffsiteOptions {
  readonly stage: string;
  /** See {@link BackupBucketProps.compliance}. */
  readonly compliance: boolean;
  readonly removalPolicy: RemovalPolicy;
}

/** Bucket and key, in the account and the Region of the scope's stack. */
export function makeOffsite(scope: Construct, options: MakeOffsiteOptions): MadeOffsite {
  const { stage, compliance, removalPolicy } = options;
  const { region, account } = Stack.of(scope);
  const name = bucketName(stage, 'offsite', region, account);
  // Its policy is the default one: the account decides by IAM policies, and no service uses it by itself.
  const key = new Key(scope, 'OffsiteKey', {
    alias: offsiteKeyAlias(stage),
    description: `The offsite copy of what ${projectName(stage)} stores`,
    enableKeyRotation: true,
    removalPolicy,
  });
  const { bucket } = new BackupBucket(scope, 'Offsite', {
    bucketName: name,
    use: 'offsite',
    key,
    compliance,
    removalPolicy,
  });
  return { offsite: { bucket: name, keyArn: key.keyArn, region }, bucket, key };
}

/**
 * The one in the other account, as a stack of the stage's own account knows it. Everything goes by names, but a key in
 * another account: S3 takes that by its ARN only, and AWS makes up the id in it, so the deployment is told.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html (x-amz-server-side-encryption-aws-kms-key-id)
 */
export function offsiteElsewhere(
  stack: Stack,
  config: EventualStage & { readonly stage: string },
): Required<Offsite> {
  const { stage, thirdCopyAccount: owner } = config;
  const region = offsiteRegionOf(config);
  const keyId = new CfnParameter(stack, 'OffsiteKeyId', {
    description: `Output OffsiteKeyId of ${stackName(stage, 'offsite-copy')}, in account ${owner}`,
    allowedPattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
    constraintDescription: 'the id of a key, as a UUID',
  });
  return {
    bucket: bucketName(stage, 'offsite', region, owner),
    keyArn: stack.formatArn({
      service: 'kms',
      region,
      account: owner,
      resource: 'key',
      resourceName: keyId.valueAsString,
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    }),
    region,
    owner,
  };
}
