// The one key of a stage, in one Region: the primary of a multi-Region key, or a replica of it. All share the key id,
// so that a Region which is gone takes no data with it. Key policies do not replicate; each is written here.
import { ArnFormat, Aws, type RemovalPolicy, Stack } from 'aws-cdk-lib';
import { AccountRootPrincipal, PolicyDocument, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { CfnAlias, CfnReplicaKey, type IKey, Key } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { accessLogGroup, functionLogGroup, keyAlias, projectName } from '../names.ts';

export interface RegionalKeyProps {
  readonly stage: string;
  readonly removalPolicy: RemovalPolicy;
  /** ARN of the primary key. Absent: this is the primary key. */
  readonly primaryKeyArn?: string;
}

/** ARN of the key's copy in a Region: the copies' ARNs differ in the Region only, so that no value has to cross Regions. */
export function keyArnIn(stack: Stack, region: string, keyId: string): string {
  return stack.formatArn({
    service: 'kms',
    region,
    resource: 'key',
    resourceName: keyId,
    arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
  });
}

export class RegionalKey extends Construct {
  /** The Region's own copy, as one that grants do not change: its policy is complete. */
  readonly key: IKey;
  readonly keyArn: string;
  /** The same in every Region. */
  readonly keyId: string;

  constructor(scope: Construct, id: string, props: RegionalKeyProps) {
    super(scope, id);
    const { stage, removalPolicy, primaryKeyArn } = props;
    const description = `Everything ${projectName(stage)} stores`;
    const policy = keyPolicy(this, stage);
    if (primaryKeyArn === undefined) {
      const primary = new Key(this, 'Primary', {
        description,
        multiRegion: true,
        enableKeyRotation: true,
        policy,
        removalPolicy,
      });
      this.keyArn = primary.keyArn;
      this.keyId = primary.keyId;
    } else {
      // Rotation is a property of the primary key and reaches the replicas by itself:
      // https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html#multi-region-rotate
      const replica = new CfnReplicaKey(this, 'Replica', {
        description,
        primaryKeyArn,
        keyPolicy: policy,
        enabled: true,
      });
      replica.applyRemovalPolicy(removalPolicy);
      this.keyArn = replica.attrArn;
      this.keyId = replica.ref;
    }
    new CfnAlias(this, 'Alias', { aliasName: keyAlias(stage), targetKeyId: this.keyId });
    this.key = Key.fromKeyArn(this, 'Key', this.keyArn);
  }
}

/** In a key's own policy `*` means this key. */
function keyPolicy(scope: Construct, stage: string): PolicyDocument {
  const stack = Stack.of(scope);
  const logGroup = (name: string) =>
    stack.formatArn({
      service: 'logs',
      resource: 'log-group',
      resourceName: name,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  return new PolicyDocument({
    statements: [
      // Hands the decision to IAM policies; without it nobody could ever change the key again.
      new PolicyStatement({
        sid: 'Account',
        principals: [new AccountRootPrincipal()],
        actions: ['kms:*'],
        resources: ['*'],
      }),
      // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
      new PolicyStatement({
        sid: 'Logs',
        principals: [new ServicePrincipal(`logs.${stack.region}.amazonaws.com`)],
        actions: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:DescribeKey'],
        resources: ['*'],
        // The encryption context is the log group's ARN and so names the account; CloudWatch Logs sends no source account.
        conditions: {
          ArnLike: {
            'kms:EncryptionContext:aws:logs:arn': [
              logGroup(functionLogGroup(stage, '*')),
              logGroup(accessLogGroup(stage)),
            ],
          },
        },
      }),
      // Without this an alarm's message to an encrypted topic is dropped, and nobody hears:
      // https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
      new PolicyStatement({
        sid: 'AlarmsToTopics',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    ],
  });
}
