// What functions may do to the backup buckets for the journal (DESIGN §6). Who writes it may put, and nothing else:
// segments into its own Region's, what that one does not take into any. Who keeps it whole reads all, and puts into its own.
import type { Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type Config, regionsOf } from '../../config/config.ts';
import { JOURNAL_PARKED_PREFIX, JOURNAL_PREFIX } from '../../protocol/journal.ts';
import { bucketName } from '../names.ts';
import { bucketArn } from './bucket-arn.ts';
import { keyArnIn } from './regional-key.ts';

/** Name of the backup bucket of every Region, by Region. */
export function backupBuckets(stack: Stack, config: Config): Readonly<Record<string, string>> {
  return Object.fromEntries(
    regionsOf(config).map((region) => [region, bucketName(config.stage, 'backup', region, stack.account)]),
  );
}

export function journalStatements(stack: Stack, config: Config, keyId: string): readonly PolicyStatement[] {
  const buckets = backupBuckets(stack, config);
  const regions = regionsOf(config);
  const put = (sid: string, prefix: string, into: readonly string[]) =>
    new PolicyStatement({
      sid,
      actions: ['s3:PutObject'],
      resources: into.map((region) => bucketArn(stack, String(buckets[region]), `${prefix}*`)),
    });
  return [
    put('Journal', JOURNAL_PREFIX, [stack.region]),
    put('JournalParked', JOURNAL_PARKED_PREFIX, regions),
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    new PolicyStatement({
      sid: 'JournalKey',
      actions: ['kms:GenerateDataKey'],
      resources: regions.map((region) => keyArnIn(stack, region, keyId)),
      conditions: {
        StringEquals: { 'kms:ViaService': regions.map((region) => `s3.${region}.amazonaws.com`) },
      },
    }),
  ];
}

/** What filling gaps takes, beside what the Region's own backups take: segments of all Regions, read; its own, put. */
export function journalCareStatements(
  stack: Stack,
  config: Config,
  keyId: string,
): readonly PolicyStatement[] {
  const buckets = backupBuckets(stack, config);
  const regions = regionsOf(config);
  const peers = regions.filter((region) => region !== stack.region);
  const arn = (region: string, path?: string) => bucketArn(stack, String(buckets[region]), path);
  return [
    new PolicyStatement({
      sid: 'JournalsRead',
      actions: ['s3:GetObject'],
      resources: regions.flatMap((region) =>
        [JOURNAL_PREFIX, JOURNAL_PARKED_PREFIX].map((prefix) => arn(region, `${prefix}*`)),
      ),
    }),
    new PolicyStatement({
      sid: 'JournalFilled',
      actions: ['s3:PutObject'],
      resources: [arn(stack.region, `${JOURNAL_PREFIX}*`)],
    }),
    new PolicyStatement({
      sid: 'PeerJournals',
      actions: ['s3:ListBucket'],
      resources: peers.map((region) => arn(region)),
    }),
    new PolicyStatement({
      sid: 'PeerJournalKeys',
      actions: ['kms:Decrypt'],
      resources: peers.map((region) => keyArnIn(stack, region, keyId)),
      conditions: { StringEquals: { 'kms:ViaService': peers.map((region) => `s3.${region}.amazonaws.com`) } },
    }),
  ];
}
