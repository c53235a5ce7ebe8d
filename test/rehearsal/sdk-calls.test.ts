// Custom resources that ask AWS while a stack is deployed: the answers they get, and whether they may ask.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  AssemblyError,
  type Deployment,
  readDeployment,
  unrehearsedTypes,
} from '../../rehearsal/assembly/assembly.ts';
import { unplayedCalls } from '../../rehearsal/assembly/sdk-calls.ts';
import { checkDeploymentCalls } from '../../rehearsal/aws/deployment-calls.ts';
import { Iam } from '../../rehearsal/aws/iam.ts';
import { stackName, writeAssembly } from './fixtures/assembly.ts';

const DESCRIBE = { service: 'DynamoDB', action: 'describeTable', parameters: { TableName: 'records' } };
const ALLOWED = { Effect: 'Allow', Action: 'dynamodb:DescribeTable', Resource: '*' };

interface Lookup {
  readonly call?: object;
  /** What another resource asks of the answer. */
  readonly attribute?: string;
  readonly region?: string;
  readonly statement?: object;
  readonly stream?: boolean;
}

/** As the CDK's AwsCustomResource writes it: the call, and the function that makes it. */
function read(t: TestContext, lookup: Lookup = {}): Deployment {
  const { call = DESCRIBE, attribute = 'Table.LatestStreamArn', region = 'us-west-2' } = lookup;
  const { statement = ALLOWED, stream = true } = lookup;
  const table = {
    Type: 'AWS::DynamoDB::GlobalTable',
    Properties: {
      TableName: 'records',
      Replicas: [{ Region: 'us-east-2' }, { Region: 'us-west-2' }],
      ...(stream && { StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' } }),
    },
  };
  const asker = {
    Provider: {
      Type: 'AWS::Lambda::Function',
      Properties: { Role: { 'Fn::GetAtt': ['Role', 'Arn'] }, Code: { S3Key: 'none.zip' } },
    },
    Role: {
      Type: 'AWS::IAM::Role',
      Properties: {
        RoleName: 'provider',
        Policies: [{ PolicyName: 'ask', PolicyDocument: { Statement: [statement] } }],
      },
    },
    Lookup: {
      Type: 'Custom::AWS',
      Properties: {
        ServiceToken: { 'Fn::GetAtt': ['Provider', 'Arn'] },
        Create: { 'Fn::Join': ['', [JSON.stringify({ ...call, physicalResourceId: { id: 'lookup' } })]] },
      },
    },
    Reader: {
      Type: 'AWS::Test::Thing',
      Properties: { id: { Ref: 'Lookup' }, answer: { 'Fn::GetAtt': ['Lookup', attribute] } },
    },
  };
  return readDeployment(
    writeAssembly(t, {
      data: { template: { Resources: { Table: table } } },
      reader: { region, template: { Resources: asker } },
    }),
  );
}
const answer = (deployment: Deployment) => deployment.byLogicalId(stackName('reader'), 'Reader').properties;

test('DescribeTable answers for the replica of the stack’s own region, or of the one it names', (t) => {
  assert.deepEqual(answer(read(t)), {
    id: 'lookup',
    answer: 'arn:aws:dynamodb:us-west-2:000000000000:table/records/stream/2020-01-01T00:00:00.000',
  });
  const call = {
    ...DESCRIBE,
    service: '@aws-sdk/client-dynamodb',
    action: 'DescribeTable',
    region: 'us-east-2',
  };
  const { answer: arn } = answer(read(t, { call, attribute: 'Table.TableArn', region: 'eu-west-1' }));
  assert.equal(arn, 'arn:aws:dynamodb:us-east-2:000000000000:table/records');
  const deployment = read(t);
  assert.ok(!unrehearsedTypes(deployment, []).includes('Custom::AWS'));
  assert.deepEqual(unplayedCalls(deployment.ofType('Custom::AWS')), []);
});

test('what cannot be answered is refused where it stands', (t) => {
  const refused = (lookup: Lookup, message: RegExp) =>
    assert.throws(
      () => read(t, lookup),
      (error) =>
        error instanceof AssemblyError && error.logicalId === 'Lookup' && message.test(error.message),
    );
  refused({ region: 'eu-west-1' }, /no stack has a table records with a replica in eu-west-1/);
  refused({ stream: false }, /expected an attribute of records that is played, got Table.LatestStreamArn/);
  refused({ attribute: 'Table.ItemCount' }, /got Table.ItemCount/);
  const call = { service: 'S3', action: 'listBuckets' };
  refused({ call }, /expected DynamoDB's DescribeTable of a table, .* got s3:listbuckets/);
});

test('a call that is not played, and that nobody asks about, is listed', (t) => {
  const deployment = readDeployment(
    writeAssembly(t, {
      only: {
        template: {
          Resources: {
            Lookup: {
              Type: 'Custom::AWS',
              Properties: { Create: '{"service":"SSM","action":"getParameter"}' },
            },
          },
        },
      },
    }),
  );
  assert.match(
    String(unplayedCalls(deployment.ofType('Custom::AWS'))[0]),
    /^eden-field-test-only\/Lookup: Custom::AWS: expected DynamoDB's DescribeTable/,
  );
});

test('a stack whose custom resource is refused would not deploy, and so does not start', (t) => {
  const checked = (statement: object) => {
    const deployment = read(t, { statement });
    checkDeploymentCalls(deployment, new Iam(deployment));
  };
  checked(ALLOWED);
  const elsewhere = 'arn:aws:dynamodb:us-east-2:000000000000:table/records';
  assert.throws(
    () => checked({ ...ALLOWED, Resource: elsewhere }),
    /reader\/Lookup: the stack would not deploy: .* not authorized to perform: dynamodb:DescribeTable/,
  );
});
