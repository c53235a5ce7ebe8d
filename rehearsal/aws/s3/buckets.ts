// Buckets as the templates describe them: where they stand, what they keep and for how long, who may not use them.
import type { Resource } from '../../assembly/assembly.ts';
import type { PolicySource } from '../iam.ts';
import { asList, isRecord } from '../iam-conditions.ts';
import { readPolicy, type Statement } from '../iam-policy.ts';
import { DAY_MS, lifecycleOf, type Rule, unplayedOf } from './lifecycle.ts';

export const PLAYED_TYPES: readonly string[] = ['AWS::S3::Bucket', 'AWS::S3::BucketPolicy'];

export interface Retention {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE';
  readonly ms: number;
}

export interface Bucket {
  readonly name: string;
  readonly arn: string;
  readonly region: string;
  readonly versioned: boolean;
  /** Object Lock is on: writers must send a checksum, and locked versions stay. */
  readonly locks: boolean;
  /** Of every new version that does not ask for its own. */
  readonly retention: Retention | undefined;
  /** ARN of the customer's key; undefined where S3's own encrypts. */
  readonly keyArn: string | undefined;
  readonly bucketKey: boolean;
  readonly policy: readonly Statement[];
  readonly lifecycle: readonly Rule[];
}

/** Nothing to see of these through S3's own API, here or there. */
const WITHOUT_EFFECT = ['OwnershipControls', 'PublicAccessBlockConfiguration', 'Tags'];
const PLAYED = [
  'BucketEncryption',
  'BucketName',
  'LifecycleConfiguration',
  'ObjectLockConfiguration',
  'ObjectLockEnabled',
  'VersioningConfiguration',
  ...WITHOUT_EFFECT,
];

/** @throws TypeError a setting does not read as S3's; says which and where */
export function bucketsOf(source: PolicySource): readonly Bucket[] {
  const policies = source.ofType('AWS::S3::BucketPolicy');
  return source.ofType('AWS::S3::Bucket').map((resource) => {
    const { physicalId: name, arn = `arn:aws:s3:::${name}`, region, properties } = resource;
    const policy = policies
      .filter(({ properties: { Bucket: of } }) => of === name)
      .flatMap(({ logicalId, properties: { PolicyDocument } }) => readPolicy(PolicyDocument, logicalId));
    const encryption = encryptionOf(properties['BucketEncryption']);
    const versioning = properties['VersioningConfiguration'];
    const locks = properties['ObjectLockEnabled'] === true;
    return {
      name,
      arn,
      region,
      // Object Lock needs versions, and switches them on by itself.
      versioned: locks || (isRecord(versioning) && versioning['Status'] === 'Enabled'),
      locks,
      retention: locks ? retentionOf(resource) : undefined,
      keyArn: encryption.keyArn,
      bucketKey: encryption.bucketKey,
      policy,
      lifecycle: lifecycleOf(resource),
    };
  });
}

/** Settings of buckets that are not played, as `<stack>/<logical id>: <what>`. */
export function unplayedBucketSettings(source: Pick<PolicySource, 'ofType'>): readonly string[] {
  return source.ofType('AWS::S3::Bucket').flatMap(({ stack, logicalId, properties }) => {
    const settings = Object.keys(properties).filter((setting) => !PLAYED.includes(setting));
    const lifecycle = properties['LifecycleConfiguration'];
    const rules = asList(isRecord(lifecycle) ? lifecycle['Rules'] : undefined).filter(isRecord);
    const inRules = rules.flatMap((rule) =>
      unplayedOf(rule).map((name) => `LifecycleConfiguration ${String(rule['Id'] ?? '')} ${name}`),
    );
    return [...settings, ...inRules].map((what) => `${stack}/${logicalId}: AWS::S3::Bucket ${what}`);
  });
}

function retentionOf({ logicalId, properties }: Resource): Retention | undefined {
  const configuration = properties['ObjectLockConfiguration'];
  const rule = isRecord(configuration) ? configuration['Rule'] : undefined;
  const given = isRecord(rule) ? rule['DefaultRetention'] : undefined;
  if (!isRecord(given)) return undefined;
  const { Mode: mode, Days: days, Years: years } = given;
  const ms = (days === undefined ? Number(years) * 365 : Number(days)) * DAY_MS;
  if ((mode === 'GOVERNANCE' || mode === 'COMPLIANCE') && ms > 0) return { mode, ms };
  throw new TypeError(
    `${logicalId}: DefaultRetention: expected a Mode with Days or Years, got ${JSON.stringify(given)}`,
  );
}

function encryptionOf(encryption: unknown): { keyArn: string | undefined; bucketKey: boolean } {
  const rules = isRecord(encryption) ? asList(encryption['ServerSideEncryptionConfiguration']) : [];
  const rule = rules.find(isRecord);
  const by = rule?.['ServerSideEncryptionByDefault'];
  const keyArn = isRecord(by) ? by['KMSMasterKeyID'] : undefined;
  return {
    keyArn: keyArn === undefined ? undefined : String(keyArn),
    bucketKey: rule?.['BucketKeyEnabled'] === true,
  };
}
