import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiTemplate, ECHO, type Functions, runApi } from './fixtures/api.ts';

const GET_ROOT = { path: '/', method: 'GET' };
const RECORD = { path: '/v1/records/{collection}/{id}', method: 'GET' };
type Event = Record<string, unknown> & { requestContext: Record<string, unknown> };
const eventOf = async (response: Response) => (await response.json()) as Event;

test('a function gets the whole event of format 1.0', async (t) => {
  const { url, calls, front } = await runApi(
    t,
    apiTemplate([{ ...RECORD, method: 'PUT' }], { stage: { Variables: { colour: 'blue' } } }),
  );
  const before = Date.now();
  const response = await fetch(`${url}/v1/records/notes/a%20b?limit=1&limit=2&q=x%20y`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json', 'If-Match': '"v"', 'User-Agent': 'test' },
    body: '{"text":"ü"}',
  });
  const event = await eventOf(response);
  assert.equal(event['resource'], '/v1/records/{collection}/{id}');
  assert.equal(event['path'], '/v1/records/notes/a%20b', 'REST APIs hand paths on as they came');
  assert.equal(event['httpMethod'], 'PUT');
  assert.deepEqual(event['pathParameters'], { collection: 'notes', id: 'a%20b' });
  assert.deepEqual(event['queryStringParameters'], { limit: '2', q: 'x y' });
  assert.deepEqual(event['multiValueQueryStringParameters'], { limit: ['1', '2'], q: ['x y'] });
  assert.deepEqual(event['stageVariables'], { colour: 'blue' });
  assert.equal(event['body'], '{"text":"ü"}');
  assert.equal(event['isBase64Encoded'], false);
  const headers = event['headers'] as Record<string, string>;
  const lower = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
  assert.equal(lower['if-match'], '"v"');
  assert.equal(lower['x-forwarded-for'], '127.0.0.1');
  assert.equal(lower['x-forwarded-proto'], 'https');
  assert.match(lower['x-amzn-trace-id'] ?? '', /^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$/);
  const context = event.requestContext;
  assert.equal(context['stage'], 'live');
  assert.equal(context['apiId'], front.api.id);
  assert.equal(context['resourcePath'], '/v1/records/{collection}/{id}');
  assert.equal(context['domainName'], '127.0.0.1');
  assert.equal(context['protocol'], 'HTTP/1.1');
  assert.equal(context['accountId'], '000000000000');
  assert.match(String(context['requestTime']), /^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/);
  const identity = context['identity'] as Record<string, unknown>;
  assert.deepEqual([identity['sourceIp'], identity['userAgent']], ['127.0.0.1', 'test']);
  assert.equal(context['authorizer'], undefined);
  assert.equal(response.headers.get('x-amzn-requestid'), context['requestId']);
  assert.equal(response.headers.get('x-amz-apigw-id'), context['extendedRequestId']);
  assert.ok(response.headers.get('date'));
  const receivedAt = Number(response.headers.get('x-rehearsal-received-at'));
  assert.ok(receivedAt >= before - 5 && receivedAt <= Date.now() + 5, `received at ${receivedAt}`);
  assert.deepEqual(calls[0]?.invoker, {
    service: 'apigateway.amazonaws.com',
    sourceArn: `arn:aws:execute-api:us-east-2:000000000000:${front.api.id}/live/PUT/v1/records/{collection}/{id}`,
  });
  assert.equal(calls[0]?.functionArn, 'arn:aws:lambda:us-east-2:000000000000:function:answer:live');
});

test('what is absent is null', async (t) => {
  const { url } = await runApi(t, apiTemplate([GET_ROOT]));
  const event = await eventOf(await fetch(url));
  for (const name of [
    'body',
    'pathParameters',
    'queryStringParameters',
    'multiValueQueryStringParameters',
    'stageVariables',
  ])
    assert.equal(event[name], null, name);
});

test('literal parts win over parameters, parameters over greedy ones', async (t) => {
  const { url } = await runApi(
    t,
    apiTemplate([
      GET_ROOT,
      { path: '/a/fixed', method: 'GET' },
      { path: '/a/{one}', method: 'GET' },
      { path: '/a/fixed/deep', method: 'GET' },
      { path: '/a/{one}/{two}', method: 'ANY' },
      { path: '/a/{rest+}', method: 'GET' },
    ]),
  );
  const resource = async (path: string, method = 'GET') => {
    const response = await fetch(`${url}${path}`, { method });
    const event = (await response.json()) as Event;
    return response.ok ? [event['resource'], event['pathParameters']] : response.status;
  };
  assert.deepEqual(await resource('/'), ['/', null]);
  assert.deepEqual(await resource('/a/fixed'), ['/a/fixed', null]);
  assert.deepEqual(await resource('/a/fixed/'), ['/a/fixed', null]);
  assert.deepEqual(await resource('/a/other'), ['/a/{one}', { one: 'other' }]);
  assert.deepEqual(await resource('/a/fixed/deep'), ['/a/fixed/deep', null]);
  assert.deepEqual(await resource('/a/x/y', 'DELETE'), ['/a/{one}/{two}', { one: 'x', two: 'y' }]);
  assert.deepEqual(await resource('/a/x/y/z'), ['/a/{rest+}', { rest: 'x/y/z' }]);
  assert.equal(await resource('/b'), 403);
  assert.equal(await resource('/a'), 403);
  assert.equal(await resource('/a/fixed', 'POST'), 403, 'an unknown method is an unknown path');
});

test("AWS's own words where the template has none", async (t) => {
  const { url, answered } = await runApi(t, apiTemplate([GET_ROOT]));
  const response = await fetch(`${url}/nowhere`);
  assert.equal(response.status, 403);
  assert.equal(response.headers.get('x-amzn-errortype'), 'MissingAuthenticationTokenException');
  assert.equal(response.headers.get('content-type'), 'application/json');
  assert.ok(response.headers.get('x-rehearsal-received-at'));
  assert.deepEqual(await response.json(), { message: 'Missing Authentication Token' });
  assert.deepEqual(
    answered.map(({ resourcePath, status }) => [resourcePath, status]),
    [['(none)', 403]],
  );
});

test("the template's gateway responses, their variables put in, the default standing for its class", async (t) => {
  const response = (type: string, properties: object) => ({
    Type: 'AWS::ApiGateway::GatewayResponse',
    Properties: { RestApiId: { Ref: 'Api' }, ResponseType: type, ...properties },
  });
  const { url } = await runApi(
    t,
    apiTemplate([GET_ROOT, { path: '/bad', method: 'GET', to: 'bad' }], {
      resources: {
        Missing: response('MISSING_AUTHENTICATION_TOKEN', {
          StatusCode: '404',
          ResponseParameters: {
            'gatewayresponse.header.Content-Type': "'application/problem+json'",
            'gatewayresponse.header.x-request': 'context.requestId',
            'gatewayresponse.header.x-origin': 'method.request.header.Origin',
          },
          ResponseTemplates: {
            'application/json':
              '{"detail":$context.error.messageString,"plain":"$context.error.message","type":"$context.error.responseType","id":"$context.requestId","path":"$context.path","none":"$context.nothing.here"}',
          },
        }),
        Server: response('DEFAULT_5XX', { ResponseTemplates: { 'application/json': '{"sorry":true}' } }),
      },
    }),
    { ...ECHO, bad: () => 'no answer' },
  );
  const missing = await fetch(`${url}/nowhere`, { headers: { origin: 'here' } });
  const id = missing.headers.get('x-amzn-requestid');
  assert.equal(missing.status, 404);
  assert.equal(missing.headers.get('content-type'), 'application/problem+json');
  assert.deepEqual([missing.headers.get('x-request'), missing.headers.get('x-origin')], [id, 'here']);
  assert.deepEqual(await missing.json(), {
    detail: 'Missing Authentication Token',
    plain: 'Missing Authentication Token',
    type: 'MISSING_AUTHENTICATION_TOKEN',
    id,
    path: '/nowhere',
    none: '',
  });
  const bad = await fetch(`${url}/bad`);
  assert.deepEqual(
    [bad.status, await bad.json()],
    [502, { sorry: true }],
    'without a status the original stays',
  );
});

test('answers are taken over: headers, many values, nothing to say, binary', async (t) => {
  const functions: Functions = {
    answer: ({ path }) =>
      ({
        '/headers': {
          statusCode: '201',
          headers: {
            ETag: '"1"',
            'Content-Type': 'text/plain',
            Date: 'never',
            'WWW-Authenticate': 'Bearer',
            n: 1,
          },
          multiValueHeaders: { 'Set-Cookie': ['a=1', 'b=2'] },
          body: 'text',
        },
        '/empty': { statusCode: 204 },
        '/binary': {
          statusCode: 200,
          headers: { 'Content-Type': 'application/octet-stream' },
          body: Buffer.from([0, 255]).toString('base64'),
          isBase64Encoded: true,
        },
      })[String(path)],
  };
  const methods = ['/headers', '/empty', '/binary'].map((path) => ({ path, method: 'ANY' }));
  const { url } = await runApi(
    t,
    apiTemplate(methods, { api: { BinaryMediaTypes: ['application/octet-stream'] } }),
    functions,
  );
  const headers = await fetch(`${url}/headers`);
  assert.equal(headers.status, 201);
  assert.equal(headers.headers.get('etag'), '"1"');
  assert.equal(headers.headers.get('content-type'), 'text/plain');
  assert.equal(headers.headers.get('x-amzn-remapped-www-authenticate'), 'Bearer');
  assert.equal(headers.headers.get('x-amzn-remapped-date'), 'never');
  assert.notEqual(headers.headers.get('date'), 'never');
  assert.deepEqual(headers.headers.getSetCookie(), ['a=1', 'b=2']);
  assert.equal(await headers.text(), 'text');
  const empty = await fetch(`${url}/empty`);
  assert.deepEqual([empty.status, await empty.text()], [204, '']);
  const accept = { accept: 'application/octet-stream' };
  assert.deepEqual([...(await (await fetch(`${url}/binary`, { headers: accept })).bytes())], [0, 255]);
  assert.equal(await (await fetch(`${url}/binary`)).text(), 'AP8=', 'nobody asked for bytes');
});

test('a binary body arrives as base64', async (t) => {
  const { url } = await runApi(
    t,
    apiTemplate([{ path: '/', method: 'POST' }], { api: { BinaryMediaTypes: ['application/x'] } }),
  );
  const event = await eventOf(
    await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x' },
      body: new Uint8Array([0, 255]),
    }),
  );
  assert.deepEqual([event['body'], event['isBase64Encoded']], ['AP8=', true]);
});

test('what is no answer is 502', async (t) => {
  const malformed: readonly unknown[] = [
    'text',
    null,
    {},
    { statusCode: 'ok' },
    { statusCode: 99 },
    { statusCode: 101 },
    { statusCode: 200, headers: { a: 'line\nbreak' } },
    { statusCode: 200, headers: { 'a b': 'c' } },
    { statusCode: 200, body: { a: 1 } },
    { statusCode: 200, headers: { a: {} } },
    { statusCode: 200, multiValueHeaders: { a: 'b' } },
    { functionError: { errorType: 'Error', errorMessage: 'broken' } },
  ];
  let next = 0;
  const { url, answered, lines } = await runApi(t, apiTemplate([GET_ROOT]), {
    answer: () => malformed[next++],
  });
  for (const answer of malformed) {
    const response = await fetch(url);
    assert.equal(response.status, 502, JSON.stringify(answer));
    assert.deepEqual(await response.json(), { message: 'Internal server error' });
  }
  assert.equal(answered.length, malformed.length);
  assert.match(lines[0] ?? '', /Malformed Lambda proxy response/);
});

test('a base path stands in front of every path', async (t) => {
  const { url } = await runApi(
    t,
    apiTemplate([{ path: '/a', method: 'GET' }], {
      resources: {
        Mapping: {
          Type: 'AWS::ApiGateway::BasePathMapping',
          Properties: { RestApiId: { Ref: 'Api' }, DomainName: 'x', BasePath: 'base' },
        },
      },
    }),
  );
  const event = await eventOf(await fetch(`${url}/base/a`));
  assert.deepEqual([event['path'], event.requestContext['path']], ['/a', '/base/a']);
  assert.equal((await fetch(`${url}/a`)).status, 403);
});

test('what the front does not play is listed, and closed rather than open', async (t) => {
  const { url, notRehearsed } = await runApi(
    t,
    apiTemplate(
      [
        {
          path: '/http',
          method: 'GET',
          properties: { Integration: { Type: 'HTTP_PROXY', Uri: 'https://example.com' } },
        },
        { path: '/iam', method: 'GET', properties: { AuthorizationType: 'AWS_IAM' } },
        { path: '/key', method: 'GET', properties: { ApiKeyRequired: true } },
      ],
      {
        api: { Policy: { Statement: [] } },
        stage: { AccessLogSetting: { Format: 'x' }, CacheClusterEnabled: true },
      },
    ),
  );
  for (const what of [
    /Api: AWS::ApiGateway::RestApi Policy/,
    /Stage AccessLogSetting/,
    /response cache/,
    /GET \/http\): integration type HTTP_PROXY/,
    /GET \/iam\): authorization AWS_IAM, so the method is closed/,
    /GET \/key\): API keys/,
  ])
    assert.ok(
      notRehearsed.some((line) => what.test(line)),
      `${what} in ${notRehearsed.join('\n')}`,
    );
  assert.equal((await fetch(`${url}/iam`)).status, 403);
});
