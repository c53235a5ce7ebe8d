// What the restore function may do: read its own Region's backups, leave what it found beside them, take tasks from its
// own queue. It can neither delete a backup nor write over one.
import type { Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Config } from '../../config/config.ts';
import { RESTORING_PREFIX } from '../../protocol/restore-work.ts';
import { bucketName } from '../names.ts';
import { REGIONAL_TIERS } from './backup-access.ts';
import { bucketArn } from './bucket-arn.ts';

export function restoreStatements(
  stack: Stack,
  { stage }: Config,
  keyArn: string,
  queueArn: string,
): readonly PolicyStatement[] {
  const bucket = (path?: string) =>
    bucketArn(stack, bucketName(stage, 'backup', stack.region, stack.account), path);
  const restoring = bucket(`${RESTORING_PREFIX}*`);
  const key = (sid: string, service: 's3' | 'sqs', actions: readonly string[]) =>
    new PolicyStatement({
      sid,
      actions: [...actions],
      resources: [keyArn],
      conditions: { StringEquals: { 'kms:ViaService': `${service}.${stack.region}.amazonaws.com` } },
    });
  return [
    new PolicyStatement({
      sid: 'Backups',
      actions: ['s3:GetObject'],
      resources: [...REGIONAL_TIERS.map((tier) => bucket(`${tier}/*`)), restoring],
    }),
    new PolicyStatement({ sid: 'Results', actions: ['s3:PutObject'], resources: [restoring] }),
    // Without it S3 says 403 of an object that does not exist, instead of 404:
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    new PolicyStatement({ sid: 'BackupBucket', actions: ['s3:ListBucket'], resources: [bucket()] }),
    key('BackupKey', 's3', ['kms:Decrypt', 'kms:GenerateDataKey']),
    // https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    new PolicyStatement({
      sid: 'Tasks',
      actions: [
        'sqs:ReceiveMessage',
        'sqs:DeleteMessage',
        'sqs:GetQueueAttributes',
        'sqs:ChangeMessageVisibility',
      ],
      resources: [queueArn],
    }),
    key('TasksKey', 'sqs', ['kms:Decrypt']),
  ];
}
