// Who may do what. Every action a role has is written here; a new one has to be added by hand, and explained.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Role } from '../../config/config.ts';
import { ROLES } from '../../config/config.ts';
import { DEV, ofType, only, type Stack, stackNamed, synthesize } from './assembly.ts';

const stacks = synthesize(DEV);
const STACK_OF: Record<Role, Stack> = {
  primary: stackNamed(stacks, 'eden-field-dev-service-primary'),
  standby: stackNamed(stacks, 'eden-field-dev-service-standby'),
  quorum: stackNamed(stacks, 'eden-field-dev-quorum'),
};

interface Statement {
  readonly Sid?: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
  readonly Condition?: { readonly StringEquals?: Readonly<Record<string, unknown>> };
}

function statementsOf(stack: Stack, functionName: string): readonly Statement[] {
  const lambda = only(
    stack,
    'AWS::Lambda::Function',
    (it) => it.Properties.FunctionName === `eden-field-dev-${functionName}`,
  );
  const role = lambda.Properties.Role['Fn::GetAtt'][0];
  assert.equal(stack.template.Resources[role]?.Properties.ManagedPolicyArns, undefined, 'own policy only');
  return ofType(stack, 'AWS::IAM::Policy')
    .filter(([, it]) => it.Properties.Roles.some(({ Ref }: { Ref: string }) => Ref === role))
    .flatMap(([, it]) => it.Properties.PolicyDocument.Statement);
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

const LOG = ['logs:CreateLogStream', 'logs:PutLogEvents'];
const TRACE = ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'];
const READ_KEY = ['kms:Decrypt'];
const WRITE_KEY = ['kms:Decrypt', 'kms:Encrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*'];
const CHECK_KEY = ['kms:GenerateDataKey'];
const MAY: Readonly<Record<string, readonly string[]>> = {
  records: [
    ...['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:UpdateItem', 'dynamodb:Query'],
    ...WRITE_KEY,
    ...CHECK_KEY,
  ],
  push: ['dynamodb:GetItem', 'dynamodb:UpdateItem', ...WRITE_KEY, ...CHECK_KEY],
  pull: ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query', ...READ_KEY, ...CHECK_KEY],
  health: ['dynamodb:GetItem', ...READ_KEY],
  ready: ['dynamodb:GetItem', 'dynamodb:UpdateItem', ...WRITE_KEY, ...CHECK_KEY],
  observer: ['dynamodb:GetItem', 'dynamodb:UpdateItem', 'dynamodb:Query', ...WRITE_KEY],
  authorizer: [],
  describe: [],
  'pretraffic-push': ['lambda:InvokeFunction', 'codedeploy:PutLifecycleEventHookExecutionStatus'],
};

test('each function may do what its code does, and no more', () => {
  for (const [name, actions] of Object.entries(MAY)) {
    const granted = statementsOf(STACK_OF.primary, name).flatMap(({ Action }) => list(Action));
    assert.deepEqual([...granted].sort(), [...LOG, ...TRACE, ...actions].sort(), name);
  }
});

test('a function reaches the replicas it needs: all three for votes and fallback, its own otherwise', () => {
  const everyRegion = ['records', 'push', 'pull'];
  for (const role of ROLES)
    for (const name of role === 'quorum' ? ['observer'] : [...everyRegion, 'health', 'ready', 'observer']) {
      const own = DEV.regions[role];
      const expected = everyRegion.includes(name) ? ROLES.map((it) => DEV.regions[it]).sort() : [own];
      for (const statement of statementsOf(STACK_OF[role], name)) {
        const text = JSON.stringify(statement.Resource);
        if (statement.Sid !== 'Table' && statement.Sid !== 'TableKey' && statement.Sid !== 'Feed') continue;
        assert.deepEqual(
          [
            ...new Set([...text.matchAll(/:(?:dynamodb|kms):([a-z0-9-]+):/g)].map(([, region]) => region)),
          ].sort(),
          expected,
          `${role} ${name} ${statement.Sid}`,
        );
        const ends = { Table: ':table/eden-field-dev-records"', Feed: '/index/feed"', TableKey: ':key/"' };
        assert.equal(text.split(ends[statement.Sid]).length - 1, expected.length, `${name} ${statement.Sid}`);
        if (statement.Sid === 'TableKey')
          assert.deepEqual(
            list(statement.Condition?.StringEquals?.['kms:ViaService']).toSorted(),
            expected.map((region) => `dynamodb.${region}.amazonaws.com`),
          );
      }
    }
});

/** Statements on every resource, and why there is no other way. */
const WILDCARDS: Readonly<Record<string, string>> = {
  'xray:PutTraceSegments,xray:PutTelemetryRecords': 'X-Ray has no resources to name (IAM service reference)',
};

test('no role may do anything to every resource, but for what has a reason', () => {
  for (const stack of stacks)
    for (const [id, { Properties }] of ofType(stack, 'AWS::IAM::Policy'))
      for (const { Action, Resource } of Properties.PolicyDocument.Statement as Statement[]) {
        if (list(Resource).includes('*'))
          assert.ok(String(Action) in WILDCARDS, `${stack.name} ${id}: ${String(Action)} on *`);
        for (const action of list(Action))
          assert.doesNotMatch(String(action), /^\*|:\*$/, `${stack.name} ${id}`);
      }
});

/** AWS's own policies that a role of ours carries, and why we do not write our own. */
const MANAGED: Readonly<Record<string, string>> = {
  AmazonAPIGatewayPushToCloudWatchLogs: 'the account setting for access logs is checked against it',
  AWSCodeDeployRoleForLambdaLimited: 'CDK attaches it to every deployment group',
  AWSLambdaBasicExecutionRole: "CDK's provider of the one cross-Region value logs with it",
};

test("carries an AWS policy only where there is a reason, and never an administrator's", () => {
  for (const stack of stacks)
    for (const [id, { Properties }] of ofType(stack, 'AWS::IAM::Role'))
      for (const arn of Properties.ManagedPolicyArns ?? []) {
        const name = /\/(\w+)"?[\]}]*$/.exec(JSON.stringify(arn))?.[1];
        assert.ok(name && name in MANAGED, `${stack.name} ${id}: ${JSON.stringify(arn)}`);
      }
});

test('every service that takes a role of ours takes it for this account', () => {
  for (const stack of stacks)
    for (const [id, { Properties }] of ofType(stack, 'AWS::IAM::Role')) {
      if (id.startsWith('CustomCrossRegion')) continue;
      for (const { Principal, Condition } of Properties.AssumeRolePolicyDocument.Statement) {
        // API Gateway tries its logging role out on behalf of no API.
        if (Principal.Service === 'apigateway.amazonaws.com') continue;
        assert.deepEqual(
          Condition?.StringEquals?.['aws:SourceAccount'],
          { Ref: 'AWS::AccountId' },
          `${stack.name} ${id}`,
        );
      }
    }
});

test('API Gateway may call a function from its own method only, through the alias', () => {
  for (const stack of [STACK_OF.primary, STACK_OF.standby]) {
    const api = only(stack, 'AWS::ApiGateway::RestApi').id;
    const aliases = new Set(ofType(stack, 'AWS::Lambda::Alias').map(([id]) => id));
    const methods = ofType(stack, 'AWS::ApiGateway::Method').length;
    const permissions = ofType(stack, 'AWS::Lambda::Permission');
    assert.equal(permissions.length, methods + 1, 'one a method, and the authorizer');
    for (const [id, { Properties }] of permissions) {
      assert.equal(Properties.Principal, 'apigateway.amazonaws.com');
      assert.ok(aliases.has(Properties.FunctionName.Ref), `${id} names an alias`);
      const source = JSON.stringify(Properties.SourceArn);
      assert.ok(source.includes(`{"Ref":"${api}"}`), `${id}: ${source}`);
      assert.doesNotMatch(source, /test-invoke-stage/);
    }
  }
});

test('a schedule may call its observer and nothing else', () => {
  for (const role of ROLES) {
    const stack = STACK_OF[role];
    const { Target } = only(stack, 'AWS::Scheduler::Schedule').Properties;
    const policy = only(
      stack,
      'AWS::IAM::Policy',
      (it) => it.Properties.Roles[0].Ref === Target.RoleArn['Fn::GetAtt'][0],
    );
    const [statement, ...others] = policy.Properties.PolicyDocument.Statement;
    assert.equal(others.length, 0);
    assert.equal(statement.Action, 'lambda:InvokeFunction');
    assert.match(JSON.stringify(statement.Resource), /ObserverLiveAlias/);
  }
});
