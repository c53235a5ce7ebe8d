// The API: exactly the protocol's paths, each to its function, in the protocol's words when it answers itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROBLEM_CONTENT_TYPE, PROBLEMS } from '../../protocol/errors.ts';
import { HEADERS, PATHS } from '../../protocol/messages.ts';
import { DEV, ofType, only, type Stack, stackNamed, synthesize } from './assembly.ts';

const stacks = synthesize(DEV);
const serving = ['primary', 'standby'].map((role) => stackNamed(stacks, `eden-field-dev-service-${role}`));

function pathOf(stack: Stack, resourceId: { readonly Ref?: string }): string {
  const resource = resourceId.Ref === undefined ? undefined : stack.template.Resources[resourceId.Ref];
  if (resource?.Type !== 'AWS::ApiGateway::Resource') return '';
  return `${pathOf(stack, resource.Properties.ParentId)}/${resource.Properties.PathPart}`;
}

/** `GET /path → function (authorization)` of every method. */
function routesOf(stack: Stack): readonly string[] {
  return ofType(stack, 'AWS::ApiGateway::Method').map(([, { Properties }]) => {
    const alias = /"Ref":"(\w+)liveAlias\w+"/.exec(JSON.stringify(Properties.Integration.Uri))?.[1];
    assert.equal(Properties.Integration.Type, 'AWS_PROXY');
    return `${Properties.HttpMethod} ${pathOf(stack, Properties.ResourceId)} → ${alias} (${Properties.AuthorizationType})`;
  });
}

test('has the routes of the protocol and no others', () => {
  for (const stack of serving)
    assert.deepEqual(
      [...routesOf(stack)].sort(),
      [
        `GET ${PATHS.health} → health (NONE)`,
        `GET ${PATHS.ready} → ready (NONE)`,
        `GET ${PATHS.readyRecords} → records (NONE)`,
        `GET ${PATHS.readyPush} → push (NONE)`,
        `GET ${PATHS.readyPull} → pull (NONE)`,
        `GET ${PATHS.description} → describe (NONE)`,
        `GET ${PATHS.records} → records (CUSTOM)`,
        `GET ${PATHS.record} → records (CUSTOM)`,
        `PUT ${PATHS.record} → records (CUSTOM)`,
        `DELETE ${PATHS.record} → records (CUSTOM)`,
        `GET ${PATHS.conflicts} → records (CUSTOM)`,
        `POST ${PATHS.push} → push (CUSTOM)`,
        `GET ${PATHS.pull} → pull (CUSTOM)`,
      ].sort(),
    );
});

test('asks the authorizer once per token and five minutes', () => {
  for (const stack of serving) {
    const authorizer = only(stack, 'AWS::ApiGateway::Authorizer').Properties;
    assert.equal(authorizer.Type, 'REQUEST');
    assert.equal(authorizer.IdentitySource, 'method.request.header.Authorization');
    assert.equal(authorizer.AuthorizerResultTtlInSeconds, 300);
    assert.match(JSON.stringify(authorizer.AuthorizerUri), /authorizerliveAlias/);
  }
});

test('is throttled, traced, measured and logged as configured', () => {
  for (const stack of serving) {
    const stage = only(stack, 'AWS::ApiGateway::Stage').Properties;
    const [settings, ...others] = stage.MethodSettings;
    assert.equal(others.length, 0);
    assert.equal(`${settings.ResourcePath} ${settings.HttpMethod}`, '/* *');
    assert.equal(settings.ThrottlingRateLimit, DEV.capacity.requestsPerSecondMax);
    assert.equal(settings.ThrottlingBurstLimit, DEV.capacity.requestBurstMax);
    assert.equal(settings.MetricsEnabled, true);
    assert.equal(settings.DataTraceEnabled, false, 'payloads stay out of logs');
    assert.equal(settings.LoggingLevel, 'OFF', 'execution logs cannot be encrypted or end');
    assert.equal(stage.TracingEnabled, true);
    assert.equal(stage.StageName, 'live');
    const format = JSON.parse(stage.AccessLogSetting.Format);
    for (const field of ['requestId', 'tenant', 'status', 'latencyMs']) assert.ok(field in format, field);
    assert.doesNotMatch(stage.AccessLogSetting.Format, /authorization/i);
  }
});

test('is regional, on both address families, and reached by its own names only', () => {
  for (const stack of serving) {
    const api = only(stack, 'AWS::ApiGateway::RestApi').Properties;
    assert.deepEqual(api.EndpointConfiguration, { Types: ['REGIONAL'], IpAddressType: 'dualstack' });
    assert.equal(api.DisableExecuteApiEndpoint, true);
  }
});

test('answers its own errors as problems of the protocol, naming the Region', () => {
  for (const stack of serving) {
    const responses = ofType(stack, 'AWS::ApiGateway::GatewayResponse').map(([, it]) => it.Properties);
    for (const response of responses) {
      const problem = JSON.parse(response.ResponseTemplates['application/json']);
      const known = PROBLEMS[problem.code as keyof typeof PROBLEMS];
      assert.ok(known, `${response.ResponseType}: ${problem.code}`);
      assert.equal(problem.title, known.title);
      assert.equal(problem.type, `urn:eden-field:problem:${problem.code}`);
      assert.equal(String(problem.status), response.StatusCode);
      const headers = response.ResponseParameters;
      assert.equal(headers['gatewayresponse.header.content-type'], `'${PROBLEM_CONTENT_TYPE}'`);
      assert.equal(headers[`gatewayresponse.header.${HEADERS.region}`], `'${stack.region}'`);
    }
    const status = new Map(responses.map((it) => [it.ResponseType, it.StatusCode]));
    const expected = {
      UNAUTHORIZED: '401',
      ACCESS_DENIED: '403',
      MISSING_AUTHENTICATION_TOKEN: '404',
      RESOURCE_NOT_FOUND: '404',
      REQUEST_TOO_LARGE: '413',
      UNSUPPORTED_MEDIA_TYPE: '415',
      THROTTLED: '429',
      AUTHORIZER_FAILURE: '500',
      INTEGRATION_FAILURE: '502',
      DEFAULT_5XX: '502',
      INTEGRATION_TIMEOUT: '504',
      DEFAULT_4XX: '400',
    };
    for (const [type, code] of Object.entries(expected)) assert.equal(status.get(type), code, type);
  }
});

test('is deployed after everything it answers with', () => {
  for (const stack of serving) {
    const deployment = only(stack, 'AWS::ApiGateway::Deployment');
    for (const type of ['Method', 'Authorizer', 'GatewayResponse'])
      for (const [id] of ofType(stack, `AWS::ApiGateway::${type}`))
        assert.ok(deployment.DependsOn?.includes(id), id);
    const stage = only(stack, 'AWS::ApiGateway::Stage');
    assert.ok(
      stage.DependsOn?.includes(only(stack, 'AWS::ApiGateway::Account').id),
      'logs need the account role',
    );
  }
});
