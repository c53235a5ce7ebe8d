import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { type Access, Iam } from '../../rehearsal/aws/iam.ts';
import { readPolicy } from '../../rehearsal/aws/iam-policy.ts';
import { deploymentOf, PRIMARY, resource, role, roleArn, STANDBY, tableArn } from './fake-deployment.ts';

const PUT: Access = { action: 'dynamodb:PutItem', resource: tableArn(PRIMARY), context: {} };
const VARIABLE = ['$', '{aws:username}'].join('');
const allow = (rest: object) => ({ Effect: 'Allow', ...rest });
const deny = (rest: object) => ({ Effect: 'Deny', ...rest });
const putHere = { Action: 'dynamodb:PutItem', Resource: tableArn(PRIMARY) };

/** Whether a role with these statements may; `problems` is what was not understood. */
function may(statements: readonly object[], access: Partial<Access> = {}) {
  const iam = new Iam(deploymentOf(role('worker', statements)));
  try {
    iam.authorize(roleArn('worker'), { ...PUT, ...access });
    return { allowed: true, problems: iam.problems };
  } catch (error) {
    assert.equal((error as Error).name, 'AccessDeniedException');
    return { allowed: false, problems: iam.problems };
  }
}
const isAllowed = (statements: readonly object[], access?: Partial<Access>) =>
  may(statements, access).allowed;

describe('identity policies', () => {
  test('nothing is allowed that no policy allows', () => {
    assert.equal(isAllowed([]), false);
    assert.equal(isAllowed([allow(putHere)]), true);
    assert.equal(isAllowed([allow(putHere)], { action: 'dynamodb:DeleteItem' }), false);
    assert.equal(isAllowed([allow(putHere)], { resource: tableArn(STANDBY) }), false);
    assert.equal(isAllowed([allow(putHere)], { resource: `${tableArn(PRIMARY)}/index/feed` }), false);
  });

  test('a deny wins over every allow', () => {
    assert.equal(isAllowed([allow({ Action: '*', Resource: '*' }), deny(putHere)]), false);
    const other = deny({ Action: 'dynamodb:DeleteItem', Resource: '*' });
    assert.equal(isAllowed([allow({ Action: '*', Resource: '*' }), other]), true);
  });

  test('wildcards stand for many characters or one, and actions have no case', () => {
    assert.equal(isAllowed([allow({ Action: 'DynamoDB:put*', Resource: '*' })]), true);
    assert.equal(isAllowed([allow({ Action: 'dynamodb:PutIte?', Resource: 'arn:aws:dynamodb:*' })]), true);
    assert.equal(isAllowed([allow({ Action: 'dynamodb:PutItem?', Resource: '*' })]), false);
    assert.equal(isAllowed([allow({ Action: 'dynamodb:PutItem', Resource: 'arn.aws:*' })]), false);
    assert.equal(
      isAllowed([allow({ Action: 'dynamodb:PutItem', Resource: tableArn(PRIMARY).toUpperCase() })]),
      false,
    );
  });

  test('NotAction and NotResource speak of everything else', () => {
    assert.equal(isAllowed([allow({ NotAction: 'dynamodb:Delete*', Resource: '*' })]), true);
    assert.equal(isAllowed([allow({ NotAction: 'dynamodb:Put*', Resource: '*' })]), false);
    assert.equal(isAllowed([allow({ Action: '*', NotResource: tableArn(STANDBY) })]), true);
    assert.equal(isAllowed([allow({ Action: '*', NotResource: tableArn(PRIMARY) })]), false);
  });

  test('policies beside the role count: inline, attached by name, attached by ARN', () => {
    const arn = 'arn:aws:iam::000000000000:policy/shared';
    const document = { Statement: [allow(putHere)] };
    for (const deployment of [
      deploymentOf(
        role('worker', []),
        resource('AWS::IAM::Policy', { PolicyDocument: document, Roles: ['worker'] }),
      ),
      deploymentOf(
        role('worker', [], { ManagedPolicyArns: [arn] }),
        resource('AWS::IAM::ManagedPolicy', { PolicyDocument: document }, { arn, physicalId: arn }),
      ),
      deploymentOf(
        role('worker', []),
        resource(
          'AWS::IAM::ManagedPolicy',
          { PolicyDocument: document, Roles: ['worker'] },
          { arn, physicalId: arn },
        ),
      ),
    ])
      new Iam(deployment).authorize(roleArn('worker'), PUT);
    const others = resource('AWS::IAM::Policy', { PolicyDocument: document, Roles: ['somebody'] });
    assert.throws(() => new Iam(deploymentOf(role('worker', []), others)).authorize(roleArn('worker'), PUT));
  });

  test("AWS's own policies grant logs and traces; an unknown one grants nothing and is reported", () => {
    const managed = (name: string) => `arn:aws:iam::aws:policy/service-role/${name}`;
    const iam = new Iam(
      deploymentOf(
        role('worker', [], {
          ManagedPolicyArns: [managed('AWSLambdaBasicExecutionRole'), managed('Mystery')],
        }),
      ),
    );
    iam.authorize(roleArn('worker'), {
      action: 'logs:PutLogEvents',
      resource: 'arn:aws:logs:x',
      context: {},
    });
    assert.throws(() => iam.authorize(roleArn('worker'), PUT));
    assert.deepEqual(iam.problems, [
      `managed policy ${managed('Mystery')} is not known: it grants nothing here`,
    ]);
  });

  test('the refusal reads as AWS words it', () => {
    const iam = new Iam(deploymentOf(role('worker', [deny({ Action: 'dynamodb:Query', Resource: '*' })])));
    const user =
      'User: arn:aws:sts::000000000000:assumed-role/worker/rehearsal is not authorized to perform:';
    assert.throws(() => iam.authorize(roleArn('worker'), PUT), {
      name: 'AccessDeniedException',
      message: `${user} dynamodb:PutItem on resource: ${tableArn(PRIMARY)} because no identity-based policy allows the dynamodb:PutItem action`,
    });
    assert.throws(() => iam.authorize(roleArn('worker'), { ...PUT, action: 'dynamodb:Query' }), {
      message: `${user} dynamodb:Query on resource: ${tableArn(PRIMARY)} with an explicit deny in an identity-based policy`,
    });
  });

  test('the operator may do everything, an unknown principal nothing', () => {
    const iam = new Iam(deploymentOf());
    iam.authorize(OPERATOR, PUT);
    assert.throws(() => iam.authorize(roleArn('nobody'), PUT));
  });

  test('a policy that is none is refused, with its place', () => {
    assert.throws(() => readPolicy('x', 'mine'), /mine: expected a policy document, got string/);
    assert.throws(
      () => readPolicy({ Statement: { Effect: 'Maybe' } }, 'mine'),
      /mine#1: Effect: expected Allow/,
    );
    assert.throws(
      () => readPolicy({ Statement: allow({ Resource: '*' }) }, 'mine'),
      /mine#1: .* got neither/,
    );
    const token = { Statement: allow({ Action: 'a:b', Resource: { Ref: 'X' } }) };
    assert.throws(() => readPolicy(token, 'mine'), /mine#1: Resource: expected text, got {"Ref":"X"}/);
  });
});

test('a resource’s own policy may have to allow, or may allow and deny beside the caller’s', () => {
  const statement = (effect: string, principal: string) => ({
    Effect: effect,
    Principal: { AWS: principal },
    Action: '*',
  });
  const judged = (own: readonly object[], theirs: readonly object[], mustAllow: boolean) => {
    const iam = new Iam(deploymentOf(role('worker', own)));
    try {
      iam.authorize(roleArn('worker'), PUT, {
        statements: readPolicy({ Statement: theirs }, 'it'),
        mustAllow,
      });
      return true;
    } catch {
      return false;
    }
  };
  const mine = [allow(putHere)];
  assert.equal(judged(mine, [], true), false, 'a key’s policy that says nothing allows nothing');
  assert.equal(judged(mine, [], false), true, 'a bucket’s policy that says nothing changes nothing');
  for (const mustAllow of [true, false]) {
    assert.equal(judged([], [statement('Allow', roleArn('worker'))], mustAllow), true);
    assert.equal(
      judged(mine, [statement('Allow', roleArn('worker')), statement('Deny', '*')], mustAllow),
      false,
    );
    assert.equal(judged([], [], mustAllow), false);
  }
});

describe('conditions', () => {
  const when = (Condition: object, context: Access['context'] = {}) =>
    may([allow({ Action: '*', Resource: '*', Condition })], { context });
  const holds = (condition: object, context?: Access['context']) => when(condition, context).allowed;

  test('every condition must hold, by any of its values', () => {
    const via = { 'kms:ViaService': 'dynamodb.us-east-2.amazonaws.com' };
    const both = ['dynamodb.us-west-2.amazonaws.com', 'dynamodb.us-east-2.amazonaws.com'];
    assert.equal(holds({ StringEquals: { 'kms:ViaService': both } }, via), true);
    assert.equal(holds({ StringEquals: { 'kms:viaservice': both } }, via), true);
    assert.equal(holds({ StringEquals: { 'kms:ViaService': 'sqs.us-east-2.amazonaws.com' } }, via), false);
    assert.equal(holds({ StringEquals: { 'kms:ViaService': both, 'aws:SourceAccount': '1' } }, via), false);
  });

  test('a key the request lacks fails, unless the operator says otherwise', () => {
    assert.equal(holds({ StringEquals: { 'aws:SourceAccount': '1' } }), false);
    assert.equal(holds({ StringEqualsIfExists: { 'aws:SourceAccount': '1' } }), true);
    assert.equal(holds({ StringNotEquals: { 'aws:SourceAccount': '1' } }), true);
    assert.equal(holds({ Null: { 'aws:SourceAccount': 'true' } }), true);
    assert.equal(holds({ Null: { 'aws:SourceAccount': 'false' } }), false);
    assert.equal(holds({ 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': 'a' } }), true);
    assert.equal(holds({ 'ForAnyValue:StringEquals': { 'dynamodb:LeadingKeys': 'a' } }), false);
  });

  test('text is compared exactly, by pattern, or by the parts of an ARN', () => {
    const context = { 'aws:SourceArn': 'arn:aws:execute-api:us-east-2:0:abc/dev/GET/x' };
    assert.equal(holds({ StringLike: { 'aws:SourceArn': '*execute-api*' } }, context), true);
    assert.equal(holds({ StringNotLike: { 'aws:SourceArn': '*execute-api*' } }, context), false);
    assert.equal(holds({ ArnLike: { 'aws:SourceArn': 'arn:aws:execute-api:us-*:0:abc/*' } }, context), true);
    assert.equal(holds({ ArnLike: { 'aws:SourceArn': 'arn:aws:execute-api:*:abc/*' } }, context), false);
    assert.equal(holds({ ArnNotLike: { 'aws:SourceArn': 'arn:aws:s3:*:*:*' } }, context), true);
    assert.equal(
      holds({ StringEqualsIgnoreCase: { 'aws:SourceArn': context['aws:SourceArn'].toUpperCase() } }, context),
      true,
    );
    assert.equal(holds({ Bool: { 'aws:SecureTransport': true } }), true);
    assert.equal(holds({ Bool: { 'aws:SecureTransport': 'false' } }), false);
  });

  test('numbers are compared as numbers', () => {
    const context = { 's3:TlsVersion': '1.3' };
    const operators = [
      'LessThan',
      'LessThanEquals',
      'GreaterThan',
      'GreaterThanEquals',
      'Equals',
      'NotEquals',
    ];
    const outcomes = operators.map((operator) =>
      [1.2, '1.30', 1.4].map((value) =>
        holds({ [`Numeric${operator}`]: { 's3:TlsVersion': value } }, context),
      ),
    );
    assert.deepEqual(outcomes, [
      [false, false, true],
      [false, true, true],
      [true, false, false],
      [true, true, false],
      [false, true, false],
      [true, false, true],
    ]);
  });

  test('leading keys: all of them, or any', () => {
    const keys = { 'dynamodb:LeadingKeys': ['R#acme#1', 'R#evil#1'] };
    assert.equal(holds({ 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': 'R#acme#*' } }, keys), false);
    assert.equal(holds({ 'ForAnyValue:StringLike': { 'dynamodb:LeadingKeys': 'R#acme#*' } }, keys), true);
    assert.equal(holds({ 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': 'R#*' } }, keys), true);
  });

  test('what is not understood allows nothing, denies everything, and is reported', () => {
    const cases: readonly [object, RegExp][] = [
      [{ IpAddress: { 'aws:PrincipalArn': '10.0.0.0/8' } }, /condition operator IpAddress is not understood/],
      [{ StringEquals: { 'aws:UserAgent': 'x' } }, /condition key aws:UserAgent is not understood/],
      [{ StringEquals: { 'aws:PrincipalArn': VARIABLE } }, /policy variable in .* is not understood/],
    ];
    for (const [condition, problem] of cases) {
      const asAllow = when(condition, { 'aws:PrincipalArn': 'x' });
      assert.equal(asAllow.allowed, false);
      assert.match(asAllow.problems[0] ?? '', problem);
      const statements = [
        allow({ Action: '*', Resource: '*' }),
        deny({ Action: '*', Resource: '*', Condition: condition }),
      ];
      assert.equal(isAllowed(statements), false);
    }
    assert.equal(may([allow({ Action: '*', Resource: VARIABLE })]).allowed, false);
  });
});

test('permissions never used are named, those of services nobody checks are not', () => {
  const iam = new Iam(
    deploymentOf(
      role('worker', [
        allow({
          Action: ['dynamodb:PutItem', 'dynamodb:Query'],
          Resource: [tableArn(PRIMARY), tableArn(STANDBY)],
        }),
        allow({ Action: 'logs:*', Resource: '*' }),
      ]),
    ),
  );
  iam.authorize(roleArn('worker'), PUT);
  iam.authorize(roleArn('worker'), PUT);
  assert.deepEqual(iam.used, [
    { principalArn: roleArn('worker'), action: 'dynamodb:PutItem', resource: tableArn(PRIMARY) },
  ]);
  assert.deepEqual(
    iam.unused(['dynamodb', 'kms']).map(({ action, resource }) => `${action} ${resource}`),
    [
      `dynamodb:PutItem ${tableArn(STANDBY)}`,
      `dynamodb:Query ${tableArn(PRIMARY)}`,
      `dynamodb:Query ${tableArn(STANDBY)}`,
    ],
  );
});

describe('invoking a function', () => {
  const functionArn = 'arn:aws:lambda:us-east-2:000000000000:function:records';
  const live = `${functionArn}:live`;
  const api = {
    service: 'apigateway.amazonaws.com',
    sourceArn: 'arn:aws:execute-api:us-east-2:000000000000:abc/dev/GET/v1',
  };
  const permission = (properties: object) =>
    resource('AWS::Lambda::Permission', {
      Action: 'lambda:InvokeFunction',
      FunctionName: live,
      Principal: 'apigateway.amazonaws.com',
      SourceArn: 'arn:aws:execute-api:us-east-2:000000000000:abc/*/GET/v1',
      ...properties,
    });

  test('a service may when the very function, alias and source are permitted', () => {
    const iam = new Iam(deploymentOf(permission({})));
    assert.equal(iam.mayInvoke(api, live), true);
    assert.equal(iam.mayInvoke(api, functionArn), false);
    assert.equal(iam.mayInvoke({ ...api, sourceArn: api.sourceArn.replace('GET', 'PUT') }, live), false);
    assert.equal(iam.mayInvoke({ ...api, service: 'scheduler.amazonaws.com' }, live), false);
    assert.equal(iam.mayInvoke(api, live.replace('us-east-2', 'us-west-2')), false);
    assert.equal(new Iam(deploymentOf()).mayInvoke(api, live), false);
  });

  test('permissions name functions by ARN or by name, and may demand an account', () => {
    const by = (properties: object, target: string) =>
      new Iam(deploymentOf(permission(properties))).mayInvoke(api, target);
    assert.equal(by({ FunctionName: 'records' }, functionArn), true);
    assert.equal(by({ FunctionName: 'records:live' }, live), true);
    assert.equal(by({ SourceAccount: '000000000000' }, live), true);
    assert.equal(by({ SourceAccount: '111111111111' }, live), false);
  });

  test("a role may by its own policies, for the function's alias only when they say so", () => {
    const iam = new Iam(
      deploymentOf(role('scheduler', [allow({ Action: 'lambda:InvokeFunction', Resource: live })])),
    );
    assert.equal(iam.mayInvoke({ roleArn: roleArn('scheduler') }, live), true);
    assert.equal(iam.mayInvoke({ roleArn: roleArn('scheduler') }, functionArn), false);
    assert.deepEqual(iam.unused(['lambda']), []);
  });
});
