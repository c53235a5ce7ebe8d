// What a function may do to the backup buckets for the journal (DESIGN §6): put, and nothing else. Segments go into its
// own Region's; what that one does not take is parked in any.
import { ArnFormat, type Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type Config, regionsOf } from '../../config/config.ts';
import { JOURNAL_PARKED_PREFIX, JOURNAL_PREFIX } from '../../protocol/journal.ts';
import { bucketName } from '../names.ts';
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
      resources: into.map((region) =>
        stack.formatArn({
          service: 's3',
          region: '',
          account: '',
          resource: String(buckets[region]),
          resourceName: `${prefix}*`,
          arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
        }),
      ),
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
