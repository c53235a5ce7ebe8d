// The table, and what is refused before it could be deployed wrong.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App, Stack as CdkStack, RemovalPolicy } from 'aws-cdk-lib';
import type { CfnGlobalTable } from 'aws-cdk-lib/aws-dynamodb';
import { Key } from 'aws-cdk-lib/aws-kms';
import { ROLES } from '../../config/config.ts';
import { RecordTable } from '../../lib/constructs/record-table.ts';
import { DEV, only, PROD, stackNamed, synthesize } from './assembly.ts';

const table = only(
  stackNamed(synthesize(DEV), 'eden-field-dev-data'),
  'AWS::DynamoDB::GlobalTable',
).Properties;
const prodTable = only(
  stackNamed(synthesize(PROD), 'eden-field-prod-data'),
  'AWS::DynamoDB::GlobalTable',
).Properties;

interface Replica {
  readonly Region: string;
  readonly DeletionProtectionEnabled: boolean;
  readonly PointInTimeRecoverySpecification: object;
  readonly SSESpecification: { readonly KMSMasterKeyId: object };
}

test('three strongly consistent replicas, none of them a witness', () => {
  assert.equal(table.TableName, 'eden-field-dev-records');
  assert.equal(table.MultiRegionConsistency, 'STRONG');
  assert.equal(table.GlobalTableWitnesses, undefined);
  assert.deepEqual(
    table.Replicas.map(({ Region }: Replica) => Region).sort(),
    ROLES.map((role) => DEV.regions[role]).sort(),
  );
});

test('every replica has point-in-time recovery and the key of its own Region', () => {
  for (const { Region, PointInTimeRecoverySpecification, SSESpecification } of table.Replicas as Replica[]) {
    assert.deepEqual(PointInTimeRecoverySpecification, {
      PointInTimeRecoveryEnabled: true,
      RecoveryPeriodInDays: 35,
    });
    const key = JSON.stringify(SSESpecification.KMSMasterKeyId);
    if (Region === DEV.regions.primary) assert.match(key, /ImportValue.*KeyPrimary\w+Arn/);
    else assert.match(key, new RegExp(`:kms:${Region}:.*:key/.*ImportValue.*RefKeyPrimary`));
  }
});

test('where data is kept, every replica refuses to be deleted', () => {
  for (const { DeletionProtectionEnabled } of prodTable.Replicas as Replica[])
    assert.equal(DeletionProtectionEnabled, true);
});

test('index feed carries what a pull needs and no payloads; index tombstones what a sweep needs', () => {
  assert.deepEqual(table.GlobalSecondaryIndexes, [
    {
      IndexName: 'feed',
      KeySchema: [
        { AttributeName: 'feedShard', KeyType: 'HASH' },
        { AttributeName: 'feedOrder', KeyType: 'RANGE' },
      ],
      Projection: { NonKeyAttributes: ['version', 'commitVersion', 'deleted'], ProjectionType: 'INCLUDE' },
    },
    {
      IndexName: 'tombstones',
      KeySchema: [
        { AttributeName: 'sweepShard', KeyType: 'HASH' },
        { AttributeName: 'sweepOrder', KeyType: 'RANGE' },
      ],
      Projection: { ProjectionType: 'KEYS_ONLY' },
    },
  ]);
});

test('no TTL, no local index, a stream of whole items, paid by request', () => {
  assert.equal(table.TimeToLiveSpecification, undefined);
  assert.equal(table.LocalSecondaryIndexes, undefined);
  assert.deepEqual(table.StreamSpecification, { StreamViewType: 'NEW_AND_OLD_IMAGES' });
  assert.equal(table.BillingMode, 'PAY_PER_REQUEST');
});

function build(
  replicaRegions: readonly [string, string],
  change: (table: CfnGlobalTable) => void = () => {},
) {
  const app = new App({ builtinCloudFormationValidation: false });
  const stack = new CdkStack(app, 'S', { env: { region: 'us-east-2' } });
  const records = new RecordTable(stack, 'Records', {
    tableName: 'records',
    key: Key.fromKeyArn(stack, 'Key', 'arn:aws:kms:us-east-2:000000000000:key/k'),
    keyId: 'k',
    replicaRegions,
    removalPolicy: RemovalPolicy.DESTROY,
    deletionProtection: false,
  });
  change(records.node.findChild('Table').node.defaultChild as CfnGlobalTable);
  app.synth();
}

test('a table with strong consistency and a TTL, a local index, a witness or a fourth copy is refused', () => {
  build(['us-west-2', 'us-east-1']);
  const cases: readonly (readonly [RegExp, (table: CfnGlobalTable) => void])[] = [
    [
      /has no TTL/,
      (it) => {
        it.timeToLiveSpecification = { enabled: true, attributeName: 'expires' };
      },
    ],
    [
      /has no local secondary indexes: expected none, got 1/,
      (it) => {
        it.localSecondaryIndexes = [
          { indexName: 'local', keySchema: [], projection: { projectionType: 'ALL' } },
        ];
      },
    ],
    [
      /has 3 replicas here, none of them a witness, got 1/,
      (it) => {
        it.replicas = [{ region: 'us-east-2' }];
      },
    ],
    [
      /not a witness/,
      (it) => {
        it.globalTableWitnesses = [{ region: 'us-east-1' }];
      },
    ],
  ];
  for (const [message, change] of cases)
    assert.throws(() => build(['us-west-2', 'us-east-1'], change), { message });
});

test('replicas in the same Region are refused', () => {
  assert.throws(() => build(['us-west-2', 'us-west-2']), {
    message: /expected 3 different Regions, got us-east-2, us-west-2, us-west-2/,
  });
  assert.throws(() => build(['us-east-2', 'us-west-2']), { message: /expected 3 different Regions/ });
});
