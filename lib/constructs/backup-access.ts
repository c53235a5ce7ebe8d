// What the backup function may do: ask DynamoDB to export its own Region's replica into its own Region's buckets, which
// DynamoDB does with the function's permissions, and look into all Regions' backup buckets. Of a bucket in another account
// that account's own policies must say the same (lib/stacks/offsite-copy.ts).
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html
import type { Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type Config, regionsOf } from '../../config/config.ts';
import { type BackupTier, VERDICT_FILE } from '../../protocol/backups.ts';
import { bucketName, roleName, scratchPrefix, tableName } from '../names.ts';
import { bucketArn } from './bucket-arn.ts';
import { backupBuckets } from './journal-access.ts';
import type { Offsite } from './offsite.ts';
import { keyArnIn } from './regional-key.ts';

/** Into one bucket, for the tiers that stand there. */
export interface BackupTarget {
  readonly bucket: string;
  readonly tiers: readonly BackupTier[];
  readonly keyArn: string;
}

/** What stands in every Region's bucket. */
export const REGIONAL_TIERS: readonly BackupTier[] = ['hourly', 'daily', 'weekly'];

/** The bucket every Region has, and the offsite one where that is. */
export function backupTargets(
  stack: Stack,
  { stage }: Config,
  keyArn: string,
  offsite: Offsite | undefined,
): readonly BackupTarget[] {
  const own = bucketName(stage, 'backup', stack.region, stack.account);
  return [
    { bucket: own, tiers: REGIONAL_TIERS, keyArn },
    ...(offsite ? [{ bucket: offsite.bucket, tiers: ['offsite'], keyArn: offsite.keyArn } as const] : []),
  ];
}

/** What a function is told of them. */
export function backupEnvironment(
  stack: Stack,
  config: Config,
  offsite: Offsite | undefined,
): Readonly<Record<string, string>> {
  return {
    BACKUP_BUCKETS: JSON.stringify(backupBuckets(stack, config)),
    ...(offsite && {
      OFFSITE: JSON.stringify({
        bucket: offsite.bucket,
        keyArn: offsite.keyArn,
        ...(offsite.owner !== undefined && { owner: offsite.owner }),
      }),
    }),
  };
}

/** Of a role that reaches into another account, which has to know it by name; undefined of any other. */
export function knownRoleName(
  stack: Stack,
  { stage }: Config,
  name: 'backup' | 'verification',
  offsite: Offsite | undefined,
): string | undefined {
  return offsite?.owner === undefined ? undefined : roleName(stage, name, stack.region);
}

export function tableArnIn(stack: Stack, { stage }: Config): string {
  return stack.formatArn({ service: 'dynamodb', resource: 'table', resourceName: tableName(stage) });
}

export function backupStatements(
  stack: Stack,
  config: Config,
  keyId: string,
  targets: readonly BackupTarget[],
): readonly PolicyStatement[] {
  const table = tableArnIn(stack, config);
  const regions = regionsOf(config);
  const peers = regions.filter((region) => region !== stack.region);
  const own = targets.flatMap(({ bucket, tiers }) =>
    tiers.map((tier) => bucketArn(stack, bucket, `${tier}/*`)),
  );
  const peerBuckets = peers.map((region) => bucketName(config.stage, 'backup', region, stack.account));
  const others = peerBuckets.flatMap((bucket) =>
    REGIONAL_TIERS.map((tier) => bucketArn(stack, bucket, `${tier}/*`)),
  );
  const useKey = (
    sid: string,
    actions: readonly string[],
    keys: readonly string[],
    inRegions: readonly string[],
  ) =>
    new PolicyStatement({
      sid,
      actions: [...actions],
      resources: [...keys],
      conditions: {
        StringEquals: { 'kms:ViaService': inRegions.map((region) => `s3.${region}.amazonaws.com`) },
      },
    });
  return [
    new PolicyStatement({
      sid: 'Export',
      actions: ['dynamodb:ExportTableToPointInTime', 'dynamodb:DescribeContinuousBackups'],
      resources: [table],
    }),
    new PolicyStatement({
      sid: 'Exports',
      actions: ['dynamodb:DescribeExport'],
      resources: [`${table}/export/*`],
    }),
    new PolicyStatement({
      sid: 'Backups',
      actions: ['s3:PutObject', 's3:PutObjectAcl', 's3:AbortMultipartUpload', 's3:GetObject'],
      resources: own,
    }),
    useKey(
      'BackupKeys',
      ['kms:GenerateDataKey', 'kms:Decrypt'],
      targets.map(({ keyArn }) => keyArn),
      [stack.region],
    ),
    new PolicyStatement({ sid: 'PeerBackups', actions: ['s3:GetObject'], resources: others }),
    useKey(
      'PeerBackupKeys',
      ['kms:Decrypt'],
      peers.map((region) => keyArnIn(stack, region, keyId)),
      peers,
    ),
    // Without it S3 says 403 of an object that does not exist, instead of 404:
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    new PolicyStatement({
      sid: 'BackupBuckets',
      actions: ['s3:ListBucket'],
      resources: [...targets.map(({ bucket }) => bucket), ...peerBuckets].map((bucket) =>
        bucketArn(stack, bucket),
      ),
    }),
  ];
}

/** What counting the third copies takes, where another Region makes them. */
export function thirdCopyStatements(
  stack: Stack,
  { bucket, keyArn, region }: Offsite,
): readonly PolicyStatement[] {
  return [
    new PolicyStatement({
      sid: 'ThirdCopies',
      actions: ['s3:GetObject'],
      resources: [bucketArn(stack, bucket, 'offsite/*')],
    }),
    new PolicyStatement({
      sid: 'ThirdCopyBucket',
      actions: ['s3:ListBucket'],
      resources: [bucketArn(stack, bucket)],
    }),
    new PolicyStatement({
      sid: 'ThirdCopyKey',
      actions: ['kms:Decrypt'],
      resources: [keyArn],
      conditions: { StringEquals: { 'kms:ViaService': `s3.${region}.amazonaws.com` } },
    }),
  ];
}

/** What the verification may do: read all of its own Region's backups, write verdicts, and extend locks. It can neither
 * delete nor shorten anything. */
export function verificationStatements(
  stack: Stack,
  targets: readonly BackupTarget[],
): readonly PolicyStatement[] {
  const objects = (file: string) =>
    targets.flatMap(({ bucket, tiers }) => tiers.map((tier) => bucketArn(stack, bucket, `${tier}/*${file}`)));
  return [
    new PolicyStatement({
      sid: 'Backups',
      actions: ['s3:GetObject', 's3:PutObjectRetention'],
      resources: objects(''),
    }),
    new PolicyStatement({ sid: 'Verdicts', actions: ['s3:PutObject'], resources: objects(VERDICT_FILE) }),
    new PolicyStatement({
      sid: 'BackupBuckets',
      actions: ['s3:ListBucket'],
      resources: targets.map(({ bucket }) => bucketArn(stack, bucket)),
    }),
    new PolicyStatement({
      sid: 'BackupKeys',
      actions: ['kms:GenerateDataKey', 'kms:Decrypt'],
      resources: targets.map(({ keyArn }) => keyArn),
      conditions: { StringEquals: { 'kms:ViaService': `s3.${stack.region}.amazonaws.com` } },
    }),
  ];
}

/** What the verification may do to scratch tables: everything it does to them, and to no other. The key is used by
 * DynamoDB on its behalf, which for a table's life needs a grant.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html */
export function scratchStatements(
  stack: Stack,
  { stage }: Config,
  keyArn: string,
): readonly PolicyStatement[] {
  const via = { 'kms:ViaService': `dynamodb.${stack.region}.amazonaws.com` };
  return [
    new PolicyStatement({
      sid: 'ScratchTables',
      actions: ['CreateTable', 'TagResource', 'DescribeTable', 'DeleteTable', 'BatchWriteItem', 'Scan'].map(
        (action) => `dynamodb:${action}`,
      ),
      resources: [
        stack.formatArn({ service: 'dynamodb', resource: 'table', resourceName: `${scratchPrefix(stage)}*` }),
      ],
    }),
    new PolicyStatement({
      sid: 'ScratchKey',
      actions: ['kms:DescribeKey'],
      resources: [keyArn],
      conditions: { StringEquals: via },
    }),
    new PolicyStatement({
      sid: 'ScratchGrants',
      actions: ['kms:CreateGrant'],
      resources: [keyArn],
      conditions: { StringEquals: via, Bool: { 'kms:GrantIsForAWSResource': 'true' } },
    }),
  ];
}
