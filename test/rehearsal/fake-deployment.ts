// A deployment made of a few resources, for tests of what reads one.
import type { Resource } from '../../rehearsal/assembly/assembly.ts';
import { recordsSchema } from '../../rehearsal/aws/start-table.ts';

export const ACCOUNT = '000000000000';
export const [PRIMARY, STANDBY, QUORUM] = ['us-east-2', 'us-west-2', 'us-east-1'] as const;
export const REGIONS = [PRIMARY, STANDBY, QUORUM];
export const TABLE = 'eden-field-dev-records';
export const KEY_ID = 'mrk-0000000000000000000000000000abcd';

export const tableArn = (region: string) => `arn:aws:dynamodb:${region}:${ACCOUNT}:table/${TABLE}`;
export const keyArn = (region: string) => `arn:aws:kms:${region}:${ACCOUNT}:key/${KEY_ID}`;
export const roleArn = (name: string) => `arn:aws:iam::${ACCOUNT}:role/${name}`;

export function resource(
  type: string,
  properties: Resource['properties'],
  rest: Partial<Resource> = {},
): Resource {
  const logicalId = `${type.slice(type.lastIndexOf(':') + 1)}A`;
  return { stack: 'stack', region: PRIMARY, logicalId, physicalId: logicalId, type, properties, ...rest };
}

/** A role with one inline policy of these statements. */
export function role(
  name: string,
  statements: readonly object[],
  properties: Resource['properties'] = {},
): Resource {
  const policies = [{ PolicyName: 'inline', PolicyDocument: { Statement: statements } }];
  return resource(
    'AWS::IAM::Role',
    { ...(statements.length > 0 && { Policies: policies }), ...properties },
    { logicalId: name, physicalId: name, arn: roleArn(name) },
  );
}

const ACCOUNT_DECIDES = {
  Statement: {
    Effect: 'Allow',
    Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` },
    Action: 'kms:*',
    Resource: '*',
  },
};

/** The primary key and its replicas, which leave decisions to the account's policies unless told otherwise. */
export function keys(policy: object = ACCOUNT_DECIDES): readonly Resource[] {
  return [
    resource(
      'AWS::KMS::Key',
      { KeyPolicy: policy, MultiRegion: true },
      { physicalId: KEY_ID, arn: keyArn(PRIMARY) },
    ),
    ...[STANDBY, QUORUM].map((region) =>
      resource(
        'AWS::KMS::ReplicaKey',
        { KeyPolicy: policy, PrimaryKeyArn: keyArn(PRIMARY) },
        { region, physicalId: KEY_ID, arn: keyArn(region) },
      ),
    ),
    resource('AWS::KMS::Alias', { AliasName: 'alias/eden', TargetKeyId: KEY_ID }, { region: STANDBY }),
  ];
}

/** The records table, encrypted by {@link keys}. */
export function recordsTable(properties: Resource['properties'] = {}): Resource {
  return resource(
    'AWS::DynamoDB::GlobalTable',
    {
      ...recordsSchema(TABLE),
      MultiRegionConsistency: 'STRONG',
      Replicas: REGIONS.map((region) => ({
        Region: region,
        SSESpecification: { KMSMasterKeyId: keyArn(region) },
      })),
      ...properties,
    },
    { physicalId: TABLE, arn: tableArn(PRIMARY) },
  );
}

export function deploymentOf(...resources: readonly Resource[]) {
  return {
    account: ACCOUNT,
    resources,
    ofType: (type: string, region?: string) =>
      resources.filter((each) => each.type === type && (region === undefined || each.region === region)),
  };
}
