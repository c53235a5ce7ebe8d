// The third copy of a stage that has two Regions: the offsite bucket and its key in an account of their own, in the
// standby's Region. Two functions of the stage's account may add to it, its people may read it, and nobody there may
// delete or unlock anything; what is put over leaves its locked version behind.
import { ArnFormat, CfnOutput } from 'aws-cdk-lib';
import { AccountPrincipal, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { EventualStage } from '../../config/config.ts';
import { VERDICT_FILE } from '../../protocol/backups.ts';
import { type MadeOffsite, makeOffsite } from '../constructs/offsite.ts';
import { roleName } from '../names.ts';
import { EdenStack } from './eden-stack.ts';

export interface OffsiteCopyStackProps {
  readonly config: EventualStage & { readonly stage: string };
}

export class OffsiteCopyStack extends EdenStack {
  constructor(scope: Construct, { config }: OffsiteCopyStackProps) {
    const { stage, retainData, account, thirdCopyAccount } = config;
    const what = 'the third copy of its backups, out of reach of its own account';
    super(scope, 'offsite-copy', 'standby', what, config, thirdCopyAccount);
    const { removalPolicy } = this;
    const made = makeOffsite(this, { stage, compliance: retainData, removalPolicy });
    this.letIn(account, made);
    new CfnOutput(this, 'OffsiteKeyId', {
      value: made.key.keyId,
      description: 'What the service stacks are to be told',
    });
  }

  /**
   * Roles are let in by what they are called: a policy that had a role itself as its principal could not be written before
   * the role is there, and would mean nobody once it was made anew. What they may do their own account has to allow too.
   * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
   */
  private letIn(account: string, { bucket, key }: MadeOffsite): void {
    const principals = [new AccountPrincipal(account)];
    const byRole = (...names: readonly ('backup' | 'verification')[]) => ({
      ArnEquals: { 'aws:PrincipalArn': names.map((name) => this.roleArn(account, name)) },
    });
    const throughS3 = { StringEquals: { 'kms:ViaService': `s3.${this.region}.amazonaws.com` } };
    const objects = bucket.arnForObjects('offsite/*');
    for (const statement of [
      // What DynamoDB writes with the permissions of who asked it to, and what that one says of it.
      // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html
      new PolicyStatement({
        sid: 'Exports',
        principals,
        actions: ['s3:PutObject', 's3:PutObjectAcl', 's3:AbortMultipartUpload'],
        resources: [objects],
        conditions: byRole('backup'),
      }),
      new PolicyStatement({
        sid: 'Verdicts',
        principals,
        actions: ['s3:PutObject'],
        resources: [`${objects}${VERDICT_FILE}`],
        conditions: byRole('verification'),
      }),
      new PolicyStatement({
        sid: 'Locks',
        principals,
        actions: ['s3:PutObjectRetention'],
        resources: [objects],
        conditions: byRole('verification'),
      }),
      // Counting, verification and restores, the last by whoever is an operator there.
      new PolicyStatement({ sid: 'Reads', principals, actions: ['s3:GetObject'], resources: [objects] }),
      new PolicyStatement({
        sid: 'Lists',
        principals,
        actions: ['s3:ListBucket'],
        resources: [bucket.bucketArn],
      }),
    ])
      bucket.addToResourcePolicy(statement);
    // In a key's own policy `*` means this key.
    for (const statement of [
      new PolicyStatement({
        sid: 'Writes',
        principals,
        actions: ['kms:GenerateDataKey'],
        resources: ['*'],
        conditions: { ...throughS3, ...byRole('backup', 'verification') },
      }),
      new PolicyStatement({
        sid: 'Reads',
        principals,
        actions: ['kms:Decrypt'],
        resources: ['*'],
        conditions: throughS3,
      }),
    ])
      key.addToResourcePolicy(statement);
  }

  private roleArn(account: string, name: 'backup' | 'verification'): string {
    return this.formatArn({
      service: 'iam',
      region: '',
      account,
      resource: 'role',
      resourceName: roleName(this.config.stage, name, this.region),
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    });
  }
}
