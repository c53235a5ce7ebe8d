import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiTemplate, ECHO, type Functions, runApi } from './fixtures/api.ts';

const methods = [
  { path: '/a/{id}', method: 'GET', authorizer: true },
  { path: '/a/{id}', method: 'PUT', authorizer: true },
  { path: '/open', method: 'GET' },
];
type Policy = readonly { Effect?: string; Action?: unknown; Resource?: unknown }[];

/** An authorizer that answers with `statements` for the stage that asks. */
const allowing = (statements: (stage: string) => Policy, more: object = {}): Functions => ({
  ...ECHO,
  authorizer: ({ methodArn }) => ({
    principalId: 'somebody',
    policyDocument: {
      Version: '2012-10-17',
      Statement: statements(String(methodArn).split('/').slice(0, 2).join('/')),
    },
    ...more,
  }),
});
const reading = allowing(
  (stage) => [{ Effect: 'Allow', Action: 'execute-api:Invoke', Resource: `${stage}/GET/a/*` }],
  {
    context: { tenant: 'acme', scopes: 3, admin: false },
  },
);
const as = (token: string) => ({ headers: { authorization: token } });

test('the authorizer sees the request, and the function sees what it found', async (t) => {
  const { url, calls, front } = await runApi(t, apiTemplate(methods), reading);
  const event = (await (await fetch(`${url}/a/7?x=1`, as('Bearer t'))).json()) as {
    requestContext: { authorizer: Record<string, unknown> };
  };
  const { integrationLatency, ...authorizer } = event.requestContext.authorizer;
  assert.equal(typeof integrationLatency, 'number');
  assert.deepEqual(authorizer, { principalId: 'somebody', tenant: 'acme', scopes: '3', admin: 'false' });
  const [asked] = calls;
  const seen = JSON.parse(asked?.payload ?? '{}');
  assert.equal(seen.type, 'REQUEST');
  assert.equal(seen.methodArn, `arn:aws:execute-api:us-east-2:000000000000:${front.api.id}/live/GET/a/7`);
  assert.equal(seen.headers.authorization, 'Bearer t');
  assert.deepEqual(
    [seen.resource, seen.pathParameters, seen.queryStringParameters],
    ['/a/{id}', { id: '7' }, { x: '1' }],
  );
  assert.equal(seen.requestContext.resourcePath, '/a/{id}');
  assert.match(
    JSON.stringify(asked?.invoker),
    new RegExp(`:${front.api.id}/authorizers/[a-z0-9]{6}"`),
    'the permission it needs names the authorizer',
  );
});

test('nobody is asked about a request without an identity, and an open method asks nobody', async (t) => {
  const { url, calls } = await runApi(t, apiTemplate(methods), reading);
  const response = await fetch(`${url}/a/7`);
  assert.deepEqual([response.status, await response.json()], [401, { message: 'Unauthorized' }]);
  assert.equal((await fetch(`${url}/open`)).status, 200);
  assert.deepEqual(
    calls.map(({ functionArn }) => functionArn.split(':')[6]),
    ['answer'],
  );
});

test('an answer is remembered per identity until its time is over, for every method it allows', async (t) => {
  const { url, calls, advance } = await runApi(
    t,
    apiTemplate(methods, { authorizer: { AuthorizerResultTtlInSeconds: 60 } }),
    reading,
  );
  const asked = () => calls.filter(({ functionArn }) => functionArn.includes(':authorizer:')).length;
  await fetch(`${url}/a/7`, as('one'));
  await fetch(`${url}/a/8`, as('one'));
  assert.equal((await fetch(`${url}/a/8`, { method: 'PUT', ...as('one') })).status, 403);
  assert.equal(asked(), 1);
  await fetch(`${url}/a/7`, as('two'));
  assert.equal(asked(), 2);
  advance(60_000);
  await fetch(`${url}/a/7`, as('one'));
  assert.equal(asked(), 3);
});

test('with a TTL of zero it is asked every time', async (t) => {
  const { url, calls } = await runApi(
    t,
    apiTemplate(methods, { authorizer: { AuthorizerResultTtlInSeconds: 0 } }),
    reading,
  );
  await fetch(`${url}/a/7`, as('one'));
  await fetch(`${url}/a/7`, as('one'));
  assert.equal(calls.filter(({ functionArn }) => functionArn.includes(':authorizer:')).length, 2);
});

test('Unauthorized is 401 and not remembered; any other failure is 500', async (t) => {
  const errors = [
    { functionError: { errorType: 'Error', errorMessage: 'Unauthorized' } },
    { functionError: { errorType: 'Error', errorMessage: 'broken' } },
    { principalId: 7, policyDocument: { Statement: [] } },
    { principalId: 'x' },
    { principalId: 'x', policyDocument: { Statement: [] }, context: { deep: {} } },
    { principalId: 'x', policyDocument: { Statement: [{ Effect: 'Perhaps', Action: '*', Resource: '*' }] } },
    {
      principalId: 'x',
      policyDocument: { Statement: [{ Effect: 'Allow', Action: '*', Resource: '*', Condition: {} }] },
    },
    null,
  ];
  let next = 0;
  const { url } = await runApi(t, apiTemplate(methods), { ...ECHO, authorizer: () => errors[next++] });
  const statuses: number[] = [];
  for (const _ of errors) statuses.push((await fetch(`${url}/a/7`, as('same'))).status);
  assert.deepEqual(statuses, [401, 500, 500, 500, 500, 500, 500, 500]);
});

test('the policy decides: no allowance and any denial are 403', async (t) => {
  const allow = (Resource: unknown, Action: unknown = 'execute-api:Invoke') => ({
    Effect: 'Allow',
    Action,
    Resource,
  });
  const cases: readonly (readonly [(stage: string) => Policy, number, string?])[] = [
    [(stage) => [allow(`${stage}/GET/a/7`)], 200],
    [(stage) => [allow([`${stage}/PUT/a/7`, `${stage}/*/a/?`], ['s3:*', 'execute-api:*'])], 200],
    [() => [allow('*', '*')], 200],
    [() => [], 403, 'User is not authorized to access this resource'],
    [(stage) => [allow(`${stage}/GET/b/*`)], 403],
    [(stage) => [allow(`${stage}/GET/a/7x`)], 403],
    [(stage) => [allow(`${stage}/GET/a`)], 403],
    [() => [allow('*', 's3:GetObject')], 403],
    [
      (stage) => [allow('*'), { Effect: 'Deny', Action: 'execute-api:Invoke', Resource: `${stage}/GET/a/*` }],
      403,
      'User is not authorized to access this resource with an explicit deny in an identity-based policy',
    ],
  ];
  for (const [statements, status, message] of cases) {
    const { url } = await runApi(t, apiTemplate(methods), allowing(statements));
    const response = await fetch(`${url}/a/7`, as('x'));
    assert.equal(response.status, status, JSON.stringify(statements('<stage>')));
    if (message) assert.deepEqual(await response.json(), { message });
  }
});

test('a TOKEN authorizer gets the token alone, once it looks like one', async (t) => {
  const { url, calls } = await runApi(
    t,
    apiTemplate(methods, { authorizer: { Type: 'TOKEN', IdentityValidationExpression: 'Bearer .+' } }),
    reading,
  );
  assert.equal((await fetch(`${url}/a/7`, as('Basic x'))).status, 401);
  assert.equal(calls.length, 0);
  assert.equal((await fetch(`${url}/a/7`, as('Bearer x'))).status, 200);
  const { type, authorizationToken, ...rest } = JSON.parse(calls[0]?.payload ?? '{}');
  assert.deepEqual([type, authorizationToken, Object.keys(rest)], ['TOKEN', 'Bearer x', ['methodArn']]);
});

test('an identity may stand in several places, all of which must be filled', async (t) => {
  const { url } = await runApi(
    t,
    apiTemplate(methods, {
      stage: { Variables: { tier: 'gold' } },
      authorizer: {
        IdentitySource:
          'method.request.header.Authorization, method.request.querystring.key, context.httpMethod, stageVariables.tier',
      },
    }),
    reading,
  );
  assert.equal((await fetch(`${url}/a/7`, as('x'))).status, 401);
  assert.equal((await fetch(`${url}/a/7?key=`, as('x'))).status, 401);
  assert.equal((await fetch(`${url}/a/7?key=1`, as('x'))).status, 200);
});
