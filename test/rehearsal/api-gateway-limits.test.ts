import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { commonError } from '../../rehearsal/aws/service-error.ts';
import { apiTemplate, ECHO, runApi } from './fixtures/api.ts';

const GET_ROOT = { path: '/', method: 'GET' };

test('a function that takes too long is 504, one that Lambda refuses is 500', async (t) => {
  const integration = { Type: 'AWS_PROXY', TimeoutInMillis: 100 };
  const template = apiTemplate([
    { ...GET_ROOT, to: 'slow' },
    { path: '/full', method: 'GET', to: 'full' },
    { path: '/shut', method: 'GET', to: 'shut' },
  ]);
  const method = template.Resources['M0'] as { Properties: { Integration: object } };
  method.Properties.Integration = { ...method.Properties.Integration, ...integration };
  const { url } = await runApi(t, template, {
    slow: () => sleep(300, { statusCode: 200 }),
    full: () => {
      throw commonError(429, 'TooManyRequestsException', 'Rate Exceeded.');
    },
    shut: () => {
      throw commonError(403, 'AccessDeniedException', 'no');
    },
  });
  const slow = await fetch(url);
  assert.deepEqual([slow.status, await slow.json()], [504, { message: 'Endpoint request timed out' }]);
  assert.equal((await fetch(`${url}/full`)).status, 500);
  assert.equal((await fetch(`${url}/shut`)).status, 500);
});

test('more than 10 MB is 413, whether announced or not, and the connection goes on', async (t) => {
  const { url, calls } = await runApi(t, apiTemplate([{ path: '/', method: 'POST' }]));
  const large = new Uint8Array(10 * 1024 * 1024 + 1);
  const announced = await fetch(url, { method: 'POST', body: large });
  assert.deepEqual([announced.status, await announced.json()], [413, { message: 'Request Too Long' }]);
  const request = httpRequest(url, { method: 'POST' });
  request.on('error', () => {});
  request.write(large);
  request.end();
  const [response] = await once(request, 'response');
  response.resume();
  assert.equal(response.statusCode, 413);
  assert.equal(calls.length, 0);
  assert.equal((await fetch(url, { method: 'POST', body: 'small' })).status, 200);
});

test('a stage throttles each method by rate and burst', async (t) => {
  const { url, advance } = await runApi(
    t,
    apiTemplate([GET_ROOT, { path: '/a', method: 'GET' }, { path: '/free', method: 'GET' }], {
      stage: {
        MethodSettings: [
          { ResourcePath: '/*', HttpMethod: '*', ThrottlingRateLimit: 10, ThrottlingBurstLimit: 2 },
          { ResourcePath: '/~1free', HttpMethod: 'GET', ThrottlingRateLimit: 10, ThrottlingBurstLimit: 5 },
        ],
      },
    }),
  );
  const statuses = async (path: string, times: number) => {
    const all: number[] = [];
    for (let at = 0; at < times; at += 1) all.push((await fetch(url + path)).status);
    return all;
  };
  assert.deepEqual(await statuses('/', 3), [200, 200, 429]);
  assert.deepEqual(await statuses('/a', 1), [200]);
  assert.deepEqual(await statuses('/free', 6), [200, 200, 200, 200, 200, 429]);
  advance(100);
  assert.deepEqual(await statuses('/', 2), [200, 429]);
  advance(60_000);
  assert.deepEqual(await statuses('/', 3), [200, 200, 429], 'tokens do not pile up beyond the burst');
});

test('a validator insists on its parameters', async (t) => {
  const { url } = await runApi(
    t,
    apiTemplate(
      [
        {
          ...GET_ROOT,
          properties: {
            RequestValidatorId: { Ref: 'Validator' },
            RequestParameters: {
              'method.request.querystring.limit': true,
              'method.request.header.X-Must': true,
              'method.request.querystring.maybe': false,
            },
          },
        },
      ],
      {
        resources: {
          Validator: {
            Type: 'AWS::ApiGateway::RequestValidator',
            Properties: { RestApiId: { Ref: 'Api' }, ValidateRequestParameters: true },
          },
        },
      },
    ),
  );
  const missing = await fetch(url, { headers: { 'x-must': '1' } });
  assert.deepEqual(
    [missing.status, await missing.json()],
    [400, { message: 'Missing required request parameters: [limit]' }],
  );
  assert.equal((await fetch(`${url}/?limit=1`, { headers: { 'x-must': '1' } })).status, 200);
});

test('a client that leaves in the middle of its request is neither answered nor counted', async (t) => {
  const { url, calls, answered } = await runApi(t, apiTemplate([{ path: '/', method: 'POST' }]));
  const request = httpRequest(url, { method: 'POST', headers: { 'content-length': 100 } });
  request.on('error', () => {});
  request.write('half');
  await once(request, 'socket');
  await sleep(50);
  request.destroy();
  await sleep(50);
  assert.deepEqual([calls.length, answered.length], [0, 0]);
  assert.equal((await fetch(url, { method: 'POST', body: 'whole' })).status, 200);
});

test('a client that leaves while the function works does no harm', async (t) => {
  const { url, answered } = await runApi(t, apiTemplate([GET_ROOT]), {
    ...ECHO,
    answer: () => sleep(100, { statusCode: 200 }),
  });
  await assert.rejects(fetch(url, { signal: AbortSignal.timeout(30) }));
  await sleep(150);
  assert.deepEqual(
    answered.map(({ status }) => status),
    [200],
  );
  assert.equal((await fetch(url)).status, 200);
});
