// What the backup function may do: ask DynamoDB to export its own Region's replica into its own Region's buckets, which
// DynamoDB does with the function's permissions, and look into all Regions' backup buckets.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html
import { ArnFormat, type Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type Config, regionsOf } from '../../config/config.ts';
import { type BackupTier, VERDICT_FILE } from '../../protocol/backups.ts';
import { bucketName, scratchPrefix, tableName } from '../names.ts';
import { backupBuckets } from './journal-access.ts';
import { keyArnIn } from './regional-key.ts';

/** Into one bucket, for the tiers that stand there. */
export interface BackupTarget {
  readonly use: 'backup' | 'offsite';
  readonly tiers: readonly BackupTier[];
  readonly keyArn: string;
}

/** The bucket every Region has, and the offsite one where that is. */
export function backupTargets(keyArn: string, offsiteKeyArn: string | undefined): readonly BackupTarget[] {
  return [
    { use: 'backup', tiers: ['hourly', 'daily', 'weekly'], keyArn },
    ...(offsiteKeyArn === undefined
      ? []
      : [{ use: 'offsite', tiers: ['offsite'], keyArn: offsiteKeyArn } as const]),
  ];
}

/** What a function is told of them. */
export function backupEnvironment(
  stack: Stack,
  config: Config,
  offsiteKeyArn: string | undefined,
): Readonly<Record<string, string>> {
  return {
    BACKUP_BUCKETS: JSON.stringify(backupBuckets(stack, config)),
    ...(offsiteKeyArn !== undefined && {
      OFFSITE: JSON.stringify({
        bucket: bucketName(config.stage, 'offsite', stack.region, stack.account),
        keyArn: offsiteKeyArn,
      }),
    }),
  };
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
  const bucketArn = (use: BackupTarget['use'], region: string, path?: string) =>
    stack.formatArn({
      service: 's3',
      region: '',
      account: '',
      resource: bucketName(config.stage, use, region, stack.account),
      ...(path === undefined
        ? { arnFormat: ArnFormat.NO_RESOURCE_NAME }
        : { resourceName: path, arnFormat: ArnFormat.SLASH_RESOURCE_NAME }),
    });
  const own = targets.flatMap(({ use, tiers }) =>
    tiers.map((tier) => bucketArn(use, stack.region, `${tier}/*`)),
  );
  const others = targets.flatMap(({ use, tiers }) =>
    use === 'backup'
      ? peers.flatMap((region) => tiers.map((tier) => bucketArn(use, region, `${tier}/*`)))
      : [],
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
      resources: [
        ...targets.map(({ use }) => bucketArn(use, stack.region)),
        ...peers.map((region) => bucketArn('backup', region)),
      ],
    }),
  ];
}

/** What the verification may do: read all of its own Region's backups, write verdicts, and extend locks. It can neither
 * delete nor shorten anything. */
export function verificationStatements(
  stack: Stack,
  { stage }: Config,
  targets: readonly BackupTarget[],
): readonly PolicyStatement[] {
  const arn = (use: BackupTarget['use'], path?: string) =>
    stack.formatArn({
      service: 's3',
      region: '',
      account: '',
      resource: bucketName(stage, use, stack.region, stack.account),
      ...(path === undefined
        ? { arnFormat: ArnFormat.NO_RESOURCE_NAME }
        : { resourceName: path, arnFormat: ArnFormat.SLASH_RESOURCE_NAME }),
    });
  const objects = (file: string) =>
    targets.flatMap(({ use, tiers }) => tiers.map((tier) => arn(use, `${tier}/*${file}`)));
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
      resources: targets.map(({ use }) => arn(use)),
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
