// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is CloudFormation's own syntax
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssemblyError, readDeployment, unrehearsedTypes } from '../../rehearsal/assembly/assembly.ts';
import {
  deploymentOf,
  type FixtureStack,
  FUNCTIONS_DIR,
  stackName,
  writeAssembly,
} from './fixtures/assembly.ts';

const THING = 'AWS::Test::Thing';
/** A template with one resource that holds `properties`, beside whatever else is given. */
const holding = (properties: object, rest: object = {}, resources: object = {}) => ({
  Resources: { It: { Type: THING, Properties: properties }, ...resources },
  ...rest,
});
const TABLE = { Type: 'AWS::DynamoDB::GlobalTable', Properties: { TableName: 'records' } };

test('intrinsic functions give what CloudFormation gives', (t) => {
  const sub = (text: string, variables?: object) => ({ 'Fn::Sub': variables ? [text, variables] : text });
  const cases: Record<string, readonly [unknown, unknown]> = {
    ref: [{ Ref: 'Table' }, 'records'],
    getAttList: [{ 'Fn::GetAtt': ['Table', 'Arn'] }, 'arn:aws:dynamodb:us-east-2:000000000000:table/records'],
    getAttText: [{ 'Fn::GetAtt': 'Table.Arn' }, 'arn:aws:dynamodb:us-east-2:000000000000:table/records'],
    join: [{ 'Fn::Join': ['-', ['a', 1, { Ref: 'Table' }]] }, 'a-1-records'],
    select: [{ 'Fn::Select': ['1', ['a', 'b']] }, 'b'],
    selectOfSplit: [{ 'Fn::Select': [3, { 'Fn::Split': [':', 'arn:aws:kms:us-west-2'] }] }, 'us-west-2'],
    split: [{ 'Fn::Split': [',', 'a,b'] }, ['a', 'b']],
    base64: [{ 'Fn::Base64': sub('${Table}') }, 'cmVjb3Jkcw=='],
    sub: [
      sub('${Table} ${Table.Arn} ${AWS::Region} ${!Literal}'),
      'records arn:aws:dynamodb:us-east-2:000000000000:table/records us-east-2 ${Literal}',
    ],
    subWithVariables: [sub('${name}/${Table}', { name: { Ref: 'AWS::AccountId' } }), '000000000000/records'],
    map: [{ 'Fn::FindInMap': ['Sizes', { Ref: 'AWS::Region' }, 'size'] }, 12],
    ifTrue: [{ 'Fn::If': ['Yes', { Ref: 'Table' }, 'no'] }, 'records'],
    ifFalse: [{ 'Fn::If': ['No', { Ref: 'Nowhere' }, 'no'] }, 'no'],
    noValueInList: [
      ['a', { Ref: 'AWS::NoValue' }, 'b'],
      ['a', 'b'],
    ],
    noValueByIf: [{ kept: 1, dropped: { 'Fn::If': ['No', 1, { Ref: 'AWS::NoValue' }] } }, { kept: 1 }],
    parameter: [{ Ref: 'Size' }, 7],
    listParameter: [{ Ref: 'Names' }, ['a', 'b']],
    // IAM's own `Condition`, which is no condition of the template.
    iam: [
      { Condition: { StringEquals: { a: { Ref: 'Table' } } } },
      { Condition: { StringEquals: { a: 'records' } } },
    ],
    // Two keys: no function call, although one is called Ref.
    twoKeys: [
      { Ref: 'x', other: 1 },
      { Ref: 'x', other: 1 },
    ],
  };
  const { properties } = deploymentOf(
    t,
    holding(
      Object.fromEntries(Object.entries(cases).map(([name, [value]]) => [name, value])),
      {
        Parameters: {
          Size: { Type: 'Number', Default: 7 },
          Names: { Type: 'CommaDelimitedList', Default: 'a,b' },
        },
        Mappings: { Sizes: { 'us-east-2': { size: 12 } } },
        Conditions: {
          Yes: { 'Fn::And': [{ 'Fn::Equals': [{ Ref: 'Size' }, 7] }, { 'Fn::Not': [{ Condition: 'No' }] }] },
          No: { 'Fn::Or': [{ 'Fn::Equals': ['a', 'b'] }, { 'Fn::Equals': ['a', 'c'] }] },
        },
      },
      { Table: TABLE },
    ),
  ).byLogicalId(stackName('only'), 'It');
  for (const [name, [, expected]] of Object.entries(cases))
    assert.deepEqual(properties[name], expected, name);
});

test('what holds no intrinsic function stays as it is', (t) => {
  // Keys that read as functions are functions.
  const key = fc
    .string()
    .filter((text) => text !== 'Ref' && !text.startsWith('Fn::') && text !== '__proto__');
  const json = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 4 },
      fc.string().filter((text) => !text.includes('{{resolve:')),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('node'), { maxLength: 4 }),
      fc.dictionary(key, tie('node'), { maxKeys: 4 }),
    ),
  })).node;
  fc.assert(
    fc.property(json, (value) => {
      const { properties } = deploymentOf(t, holding({ value })).byLogicalId(stackName('only'), 'It');
      assert.deepEqual(JSON.stringify(properties['value']), JSON.stringify(value));
    }),
    { numRuns: 50 },
  );
});

test('pseudo parameters are those of the stack', (t) => {
  const pseudo = ['Region', 'AccountId', 'Partition', 'URLSuffix', 'StackName'];
  const template = holding({
    all: pseudo.map((name) => ({ Ref: `AWS::${name}` })),
    id: { Ref: 'AWS::StackId' },
  });
  const deployment = readDeployment(
    writeAssembly(t, { here: { template }, there: { region: 'us-west-2', template } }),
    { account: '123456789012' },
  );
  const of = (name: string) => deployment.byLogicalId(stackName(name), 'It').properties;
  assert.deepEqual(of('here')['all'], [
    'us-east-2',
    '123456789012',
    'aws',
    'amazonaws.com',
    stackName('here'),
  ]);
  assert.deepEqual(of('there')['all'], [
    'us-west-2',
    '123456789012',
    'aws',
    'amazonaws.com',
    stackName('there'),
  ]);
  assert.match(String(of('there')['id']), /^arn:aws:cloudformation:us-west-2:123456789012:stack\//);
});

test("a stack's own account counts, not the option", (t) => {
  const stacks = { only: { account: '111122223333', template: holding({}) } };
  assert.equal(readDeployment(writeAssembly(t, stacks), { account: '999999999999' }).account, '111122223333');
});

test('values cross stacks: exports, outputs, and from region to region', (t) => {
  const name = '/cdk/exports/replica/key';
  const deployment = readDeployment(
    writeAssembly(t, {
      primary: {
        template: {
          Resources: {
            Key: { Type: 'AWS::KMS::Key', Properties: { MultiRegion: true } },
            Writer: {
              Type: 'Custom::CrossRegionExportWriter',
              Properties: {
                WriterProps: { region: 'us-west-2', exports: { [name]: { 'Fn::GetAtt': ['Key', 'Arn'] } } },
              },
            },
          },
          Outputs: {
            Out: { Value: { Ref: 'Key' }, Export: { Name: { 'Fn::Sub': '${AWS::StackName}:key' } } },
          },
        },
      },
      neighbour: { template: holding({ imported: { 'Fn::ImportValue': `${stackName('primary')}:key` } }) },
      replica: {
        region: 'us-west-2',
        template: holding(
          {
            output: {
              'Fn::GetStackOutput': {
                StackName: stackName('primary'),
                OutputName: 'Out',
                Region: 'us-east-2',
              },
            },
          },
          {},
          {
            Replica: {
              Type: 'AWS::KMS::ReplicaKey',
              Properties: { PrimaryKeyArn: { 'Fn::GetAtt': ['Reader', name] } },
            },
            Reader: {
              Type: 'Custom::CrossRegionExportReader',
              Properties: {
                ReaderProps: { region: 'us-west-2', imports: { [name]: `{{resolve:ssm:${name}}}` } },
              },
            },
          },
        ),
      },
    }),
  );
  const key = deployment.byLogicalId(stackName('primary'), 'Key');
  assert.match(key.physicalId, /^mrk-[0-9a-f]{32}$/);
  assert.equal(deployment.byLogicalId(stackName('neighbour'), 'It').properties['imported'], key.physicalId);
  assert.equal(deployment.byLogicalId(stackName('replica'), 'It').properties['output'], key.physicalId);
  const replica = deployment.byLogicalId(stackName('replica'), 'Replica');
  assert.equal(replica.properties['PrimaryKeyArn'], key.arn);
  assert.equal(replica.physicalId, key.physicalId, 'a replica shares its primary key’s id');
  assert.equal(replica.arn, key.arn?.replace('us-east-2', 'us-west-2'));
  assert.deepEqual(unrehearsedTypes(deployment, [THING]), ['AWS::KMS::Key', 'AWS::KMS::ReplicaKey']);
});

test('a resource whose condition does not hold is not there', (t) => {
  const deployment = deploymentOf(t, {
    Conditions: { Never: { 'Fn::Equals': ['a', 'b'] } },
    Resources: { Gone: { Type: THING, Condition: 'Never' }, Here: { Type: THING } },
  });
  assert.deepEqual(
    deployment.resources.map(({ logicalId }) => logicalId),
    ['Here'],
  );
});

test('physical ids and ARNs are those of each type, and the same every time', (t) => {
  const directory = writeAssembly(t, {
    only: {
      template: {
        Resources: {
          Fn: { Type: 'AWS::Lambda::Function', Properties: { FunctionName: 'records' } },
          Version: { Type: 'AWS::Lambda::Version', Properties: { FunctionName: { Ref: 'Fn' } } },
          Alias: {
            Type: 'AWS::Lambda::Alias',
            Properties: { FunctionName: { 'Fn::GetAtt': 'Fn.Arn' }, Name: 'live' },
          },
          Role: { Type: 'AWS::IAM::Role', Properties: { RoleName: 'reader', Path: '/service/' } },
          Topic: { Type: 'AWS::SNS::Topic', Properties: { TopicName: 'pages' } },
          Queue: { Type: 'AWS::SQS::Queue', Properties: { QueueName: 'left' } },
          Bucket: { Type: 'AWS::S3::Bucket' },
          Log: { Type: 'AWS::Logs::LogGroup', Properties: { LogGroupName: '/aws/x' } },
          Api: { Type: 'AWS::ApiGateway::RestApi', Properties: { Name: 'api' } },
          Schedule: { Type: 'AWS::Scheduler::Schedule', Properties: { Name: 'minute' } },
          Check: { Type: 'AWS::Route53::HealthCheck' },
          Alarm: { Type: 'AWS::CloudWatch::Alarm', Properties: { AlarmName: 'loud' } },
          Other: { Type: THING },
        },
      },
    },
  });
  const first = readDeployment(directory);
  assert.deepEqual(readDeployment(directory).resources, first.resources);
  const of = (logicalId: string) => first.byLogicalId(stackName('only'), logicalId);
  const arn = 'arn:aws:lambda:us-east-2:000000000000:function:records';
  assert.deepEqual([of('Fn').physicalId, of('Fn').arn], ['records', arn]);
  assert.deepEqual([of('Version').physicalId, of('Alias').physicalId], [`${arn}:1`, `${arn}:live`]);
  assert.equal(of('Role').arn, 'arn:aws:iam::000000000000:role/service/reader');
  assert.equal(of('Topic').physicalId, 'arn:aws:sns:us-east-2:000000000000:pages');
  assert.equal(of('Queue').physicalId, 'https://sqs.us-east-2.amazonaws.com/000000000000/left');
  assert.equal(of('Queue').arn, 'arn:aws:sqs:us-east-2:000000000000:left');
  assert.match(of('Bucket').physicalId, /^[a-z0-9-]{3,63}$/);
  assert.equal(of('Log').arn, 'arn:aws:logs:us-east-2:000000000000:log-group:/aws/x:*');
  assert.match(of('Api').physicalId, /^[a-z0-9]{10}$/);
  assert.equal(of('Schedule').arn, 'arn:aws:scheduler:us-east-2:000000000000:schedule/default/minute');
  assert.match(of('Check').physicalId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(of('Alarm').arn, 'arn:aws:cloudwatch:us-east-2:000000000000:alarm:loud');
  assert.match(of('Other').physicalId, /^eden-field-test-only-Other-[A-Z0-9]{12}$/);
  assert.equal(of('Other').arn, undefined);
  assert.deepEqual(first.ofType('AWS::SQS::Queue', 'us-west-2'), []);
  assert.equal(first.ofType('AWS::SQS::Queue', 'us-east-2').length, 1);
});

test('what cannot be resolved is named with its stack, resource and path', (t) => {
  const cases: Record<string, readonly [unknown, RegExp]> = {
    ref: [{ Ref: 'Nowhere' }, /there is no Nowhere in this stack/],
    attribute: [{ 'Fn::GetAtt': ['Table', 'Colour'] }, /GlobalTable\) has no attribute Colour/],
    attributeOfUnknownType: [
      { 'Fn::GetAtt': ['Other', 'Arn'] },
      /add it to rehearsal\/assembly\/resource-types\.ts/,
    ],
    unknownFunction: [{ 'Fn::Cidr': ['10.0.0.0/16', 1] }, /knows no such intrinsic/],
    import: [{ 'Fn::ImportValue': 'missing' }, /no stack in us-east-2 exports missing/],
    output: [
      { 'Fn::GetStackOutput': { StackName: 'x', OutputName: 'y' } },
      /stack x in us-east-2 has no output y/,
    ],
    select: [{ 'Fn::Select': [2, ['a', 'b']] }, /no item 2 of 2/],
    join: [{ 'Fn::Join': ['', [{ a: 1 }]] }, /expected text, got \{"a":1\}/],
    joinNoList: [{ 'Fn::Join': ['', 'abc'] }, /expected a list, got "abc"/],
    map: [{ 'Fn::FindInMap': ['M', 'a', 'b'] }, /hold nothing at M\.a\.b/],
    condition: [{ 'Fn::If': ['Nope', 1, 2] }, /no condition Nope/],
    parameter: [{ Ref: 'Bare' }, /parameter Bare has no default/],
    ssmParameter: [{ Ref: 'Ssm' }, /nothing in the assembly gives SSM parameter \/there/],
    secret: [
      '{{resolve:secretsmanager:mine}}',
      /nothing in the assembly gives \{\{resolve:secretsmanager:mine/,
    ],
    circle: [{ 'Fn::If': ['Circle', 1, 2] }, /needs itself: .*Circle → .*Circle/],
  };
  for (const [name, [value, message]] of Object.entries(cases)) {
    const template = holding(
      { Deep: [{ value }] },
      {
        Parameters: {
          Bare: { Type: 'String' },
          Ssm: { Type: 'AWS::SSM::Parameter::Value<String>', Default: '/there' },
        },
        Conditions: { Circle: { 'Fn::Not': [{ Condition: 'Circle' }] } },
      },
      { Table: TABLE, Other: { Type: THING } },
    );
    assert.throws(
      () => deploymentOf(t, template),
      (error) => {
        assert.ok(error instanceof AssemblyError, name);
        assert.match(error.message, message, name);
        assert.equal(error.stackName, stackName('only'), name);
        assert.equal(error.logicalId, 'It', name);
        if (name !== 'circle') assert.match(error.path ?? '', /^Properties\.Deep\[0\]\.value/, name);
        return true;
      },
    );
  }
});

test('circles are found: in names, in waiting, in outputs', (t) => {
  const role = (name: unknown) => ({ Type: 'AWS::IAM::Role', Properties: { RoleName: name } });
  assert.throws(
    () => deploymentOf(t, { Resources: { A: role({ Ref: 'B' }), B: role({ Ref: 'A' }) } }),
    /needs itself: .*\/A → .*\/B → .*\/A/,
  );
  assert.throws(
    () =>
      deploymentOf(t, {
        Resources: {
          A: { Type: THING, DependsOn: ['B'] },
          B: { Type: THING, Properties: { of: { Ref: 'C' } } },
          C: { Type: THING, DependsOn: 'A' },
        },
      }),
    /resources wait for one another: A → B → C → A/,
  );
  const output = (from: string): FixtureStack => ({
    template: {
      Resources: {},
      Outputs: {
        Out: { Value: { 'Fn::GetStackOutput': { StackName: stackName(from), OutputName: 'Out' } } },
      },
    },
  });
  const asks = holding({ of: { 'Fn::GetStackOutput': { StackName: stackName('a'), OutputName: 'Out' } } });
  assert.throws(
    () => readDeployment(writeAssembly(t, { a: output('b'), b: output('a'), c: { template: asks } })),
    /needs itself: .*-a\/output Out → .*-b\/output Out → .*-a\/output Out/,
  );
});

test('without an assembly it says how to get one', (t) => {
  assert.throws(
    () => readDeployment('/nowhere/cdk.out'),
    /\/nowhere\/cdk\.out holds no cloud assembly.*npm run synth/,
  );
  const directory = writeAssembly(t, { only: { template: holding({}) } });
  writeFileSync(join(directory, 'only.template.json'), '{');
  assert.throws(
    () => readDeployment(directory),
    /only\.template\.json is not JSON: run `npm run synth` again/,
  );
  rmSync(join(directory, 'only.template.json'));
  assert.throws(() => readDeployment(directory), /only\.template\.json is missing from the assembly/);
  assert.throws(() => readDeployment(writeAssembly(t, {})), /holds no stack/);
});

test('a stack without a fixed region is refused', (t) => {
  const stacks = { only: { region: 'unknown-region', template: holding({}) } };
  assert.throws(
    () => readDeployment(writeAssembly(t, stacks)),
    /stack eden-field-test-only: expected a stack with a fixed region/,
  );
});

test("a function's code is the directory of its asset", (t) => {
  const fn = (code: object) => ({ Type: 'AWS::Lambda::Function', Properties: { Code: code } });
  const deployment = readDeployment(
    writeAssembly(
      t,
      {
        only: {
          template: {
            Resources: {
              Good: fn({ S3Bucket: 'assets', S3Key: 'code.zip' }),
              Inline: fn({ ZipFile: 'exports.handler = 1' }),
              Gone: fn({ S3Bucket: 'assets', S3Key: 'gone.zip' }),
            },
          },
        },
      },
      { code: FUNCTIONS_DIR, gone: '/nowhere' },
    ),
  );
  const of = (logicalId: string) =>
    deployment.assetPath(deployment.byLogicalId(stackName('only'), logicalId));
  assert.equal(of('Good'), FUNCTIONS_DIR);
  assert.throws(() => of('Inline'), /Inline, Properties\.Code: expected an S3Key of an asset, got ZipFile/);
  assert.throws(() => of('Gone'), /asset directory .*nowhere is missing: run `npm run synth` again/);
  assert.equal(deployment.stage, 'test');
  assert.throws(() => deployment.byLogicalId(stackName('only'), 'None'), /None: there is no such resource/);
});
