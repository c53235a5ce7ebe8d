// What a function may do to the audit buckets, as policy statements: its own calls, on the part of a bucket they are
// for, and the use of the key that those calls make through S3.
import type { Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type Config, regionsOf } from '../../config/config.ts';
import { ENTRIES_PREFIX, LOSING_PAYLOADS_PREFIX } from '../../protocol/audit.ts';
import { ROUTING_CHANGES_PREFIX } from '../../protocol/routing.ts';
import type { AuditNeeds, ObjectAction } from '../functions.ts';
import { bucketName } from '../names.ts';
import { bucketArn } from './bucket-arn.ts';
import { keyArnIn } from './regional-key.ts';

/** What the key must allow for a call on an encrypted bucket:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html */
const KEY_ACTION: Readonly<Record<ObjectAction, string>> = {
  PutObject: 'kms:GenerateDataKey',
  GetObject: 'kms:Decrypt',
};

/** Name of the audit bucket of every Region, by Region. */
export function auditBuckets(stack: Stack, config: Config): Readonly<Record<string, string>> {
  return Object.fromEntries(
    regionsOf(config).map((region) => [region, bucketName(config.stage, 'audit', region, stack.account)]),
  );
}

export function auditStatements(
  stack: Stack,
  config: Config,
  keyId: string,
  { entries = [], payloads = [], routing = [], peers }: AuditNeeds,
): readonly PolicyStatement[] {
  const own = stack.region;
  const others = peers ? regionsOf(config).filter((region) => region !== own) : [];
  const buckets = auditBuckets(stack, config);
  const arnIn = (region: string, path?: string) => bucketArn(stack, String(buckets[region]), path);
  const onObjects = (
    sid: string,
    actions: readonly ObjectAction[],
    regions: readonly string[],
    part: string,
  ) =>
    new PolicyStatement({
      sid,
      actions: actions.map((action) => `s3:${action}`),
      resources: regions.map((region) => arnIn(region, `${part}*`)),
    });
  const useKey = (sid: string, actions: readonly ObjectAction[], regions: readonly string[]) =>
    new PolicyStatement({
      sid,
      actions: actions.map((action) => KEY_ACTION[action]),
      resources: regions.map((region) => keyArnIn(stack, region, keyId)),
      conditions: {
        StringEquals: { 'kms:ViaService': regions.map((region) => `s3.${region}.amazonaws.com`) },
      },
    });

  const onOwn = (sid: string, actions: readonly ObjectAction[], part: string) =>
    actions.length > 0 ? [onObjects(sid, actions, [own], part)] : [];
  const ownActions = [...new Set([...entries, ...payloads, ...routing])];
  const statements = [
    ...onOwn('AuditEntries', entries, ENTRIES_PREFIX),
    ...onOwn('LosingPayloads', payloads, LOSING_PAYLOADS_PREFIX),
    ...onOwn('RoutingChanges', routing, ROUTING_CHANGES_PREFIX),
    useKey('AuditKey', ownActions, [own]),
  ];
  if (others.length > 0)
    statements.push(
      onObjects('PeerEntries', ['GetObject'], others, ENTRIES_PREFIX),
      onObjects('PeerPayloads', ['GetObject'], others, LOSING_PAYLOADS_PREFIX),
      useKey('PeerKeys', ['GetObject'], others),
    );
  // Without it S3 says 403 of an object that does not exist, instead of 404:
  // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
  if (ownActions.includes('GetObject'))
    statements.push(
      new PolicyStatement({
        sid: 'AuditBuckets',
        actions: ['s3:ListBucket'],
        resources: [own, ...others].map((region) => arnIn(region)),
      }),
    );
  return statements;
}
