import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readDeployment } from '../../rehearsal/assembly/assembly.ts';
import { startAws } from '../../rehearsal/aws/aws.ts';
import { recordsSchema } from '../../rehearsal/aws/start-table.ts';
import { apisOf } from '../../rehearsal/region/api-gateway-model.ts';
import { workingFunctionsOf } from '../../rehearsal/region/gray.ts';
import { unrehearsedSettings } from '../../rehearsal/region/region-plan.ts';
import type {
  FromRegionProcess,
  RegionProcessOptions,
  ToRegionProcess,
} from '../../rehearsal/supervisor/messages.ts';
import { apiTemplate, type FixtureMethod } from './fixtures/api.ts';
import { deploymentOf, functionTemplate, writeAssembly } from './fixtures/assembly.ts';

const REGION = join(import.meta.dirname, '..', '..', 'rehearsal', 'region', 'region.ts');
const LAMBDA = 'arn:aws:lambda:us-east-2:000000000000:function';

const permission = (name: string, sourceArn: object) => ({
  Type: 'AWS::Lambda::Permission',
  Properties: {
    Action: 'lambda:InvokeFunction',
    FunctionName: `${LAMBDA}:${name}:live`,
    Principal: 'apigateway.amazonaws.com',
    SourceArn: sourceArn,
  },
});
const apiArn = (rest: string) => ({ 'Fn::Sub': `arn:aws:execute-api:us-east-2:000000000000:\${Api}${rest}` });

/** An API with an authorizer and a closed door, and a schedule. */
function template(more: object = {}) {
  const { Resources } = apiTemplate([
    { path: '/a/{id}', method: 'GET', authorizer: true },
    { path: '/shut', method: 'GET', to: 'echo' },
  ]);
  return {
    Resources: {
      ...Resources,
      ...functionTemplate(
        'answer',
        {},
        { ProvisionedConcurrencyConfig: { ProvisionedConcurrentExecutions: 1 } },
      ),
      ...functionTemplate('authorizer', {}),
      ...functionTemplate('echo', {}),
      ...functionTemplate('metrics', {}),
      MayAnswer: permission('answer', apiArn('/*/GET/a/*')),
      MayAuthorize: permission('authorizer', apiArn('/authorizers/*')),
      Caller: {
        Type: 'AWS::IAM::Role',
        Properties: {
          RoleName: 'caller',
          Policies: [
            {
              PolicyName: 'invoke',
              PolicyDocument: {
                Version: '2012-10-17',
                Statement: [
                  { Effect: 'Allow', Action: 'lambda:InvokeFunction', Resource: `${LAMBDA}:metrics:live` },
                ],
              },
            },
          ],
        },
      },
      Schedule: {
        Type: 'AWS::Scheduler::Schedule',
        Properties: {
          Name: 'minutely',
          ScheduleExpression: 'rate(1 minute)',
          Target: { Arn: `${LAMBDA}:metrics:live`, RoleArn: { 'Fn::GetAtt': ['Caller', 'Arn'] } },
        },
      },
      ...more,
    },
  };
}

interface RunningRegion {
  readonly child: ChildProcess;
  readonly url: string;
  readonly messages: FromRegionProcess[];
  /** The first message, come or to come, that `fits`. */
  readonly message: (fits: (message: FromRegionProcess) => boolean) => Promise<FromRegionProcess>;
}

async function start(
  t: TestContext,
  assemblyDir: string,
  region = 'us-east-2',
  more: Partial<RegionProcessOptions> = {},
): Promise<RunningRegion> {
  const options: RegionProcessOptions = {
    assemblyDir,
    account: '000000000000',
    region,
    awsEndpoint: 'http://127.0.0.1:1',
    substitutions: { jwtKeySet: '{"keys":[]}', probes: {} },
    ...more,
  };
  const child = fork(REGION, [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  t.after(() => child.kill('SIGKILL'));
  const messages: FromRegionProcess[] = [];
  const listeners = new Set<() => void>();
  child.on('message', (message: FromRegionProcess) => {
    messages.push(message);
    for (const listener of [...listeners]) listener();
  });
  const message: RunningRegion['message'] = (fits) => {
    const { promise, resolve } = Promise.withResolvers<FromRegionProcess>();
    const look = () => {
      const found = messages.find(fits);
      if (!found) return;
      listeners.delete(look);
      resolve(found);
    };
    listeners.add(look);
    look();
    return promise;
  };
  const ready = await message(({ type }) => type === 'ready');
  const port = ready.type === 'ready' ? ready.endpoints[0]?.port : undefined;
  return { child, url: `http://127.0.0.1:${port}`, messages, message };
}

test('serves its API, keeps its schedule, says what it does, and goes when its parent does', async (t) => {
  const { child, url, messages, message } = await start(
    t,
    writeAssembly(t, { only: { template: template() } }),
  );

  const good = await fetch(`${url}/a/7`, { headers: { authorization: 'acme' } });
  assert.equal(good.status, 200);
  assert.equal(good.headers.get('x-region'), 'us-east-2');
  const { requestContext } = (await good.json()) as {
    requestContext: { authorizer: Record<string, string> };
  };
  assert.equal(requestContext.authorizer['tenant'], 'acme');
  assert.equal((await fetch(`${url}/a/7`)).status, 401);
  assert.equal((await fetch(`${url}/a/7`, { headers: { authorization: 'stranger' } })).status, 401);
  assert.equal((await fetch(`${url}/shut`)).status, 500, 'no permission lets the API invoke it');

  // Four requests within a second or, at its end, within two.
  await message((it) => it.type === 'traffic' && it.errors === 1);
  const traffic = messages.flatMap((it) => (it.type === 'traffic' ? [it] : []));
  assert.equal(
    traffic.reduce((sum, { served }) => sum + served, 0),
    3,
  );
  assert.ok(traffic.some(({ byResource }) => byResource['/shut']?.errors === 1));
  assert.ok(Math.abs((traffic[0]?.at ?? 0) - Date.now()) < 10_000);
  const metrics = await message(({ type }) => type === 'metrics');
  assert.equal(metrics.type === 'metrics' ? metrics.points.length : 0, 4, 'the schedule ran at once');
  await message((it) => it.type === 'log' && it.line === 'metrics: a plain line');

  const ask = async () => (await fetch(`${url}/a/7`, { headers: { authorization: 'acme' } })).status;
  child.send({ type: 'gray', gray: true } satisfies ToRegionProcess);
  while ((await ask()) === 200);
  assert.equal(await ask(), 502, 'its work fails as that of a function that breaks');
  assert.ok(messages.some((it) => it.type === 'log' && it.line.includes('Rehearsal.InjectedError')));
  child.send({ type: 'gray', gray: false } satisfies ToRegionProcess);
  while ((await ask()) === 502);
  assert.equal(await ask(), 200);

  child.kill('SIGINT');
  assert.equal(await ask(), 200, 'Ctrl-C is not for it');
  child.disconnect();
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});

test('a region without an API is ready all the same', async (t) => {
  const assembly = writeAssembly(t, {
    only: { template: template() },
    quorum: { region: 'us-east-1', template: { Resources: functionTemplate('echo', {}) } },
  });
  const { messages } = await start(t, assembly, 'us-east-1');
  assert.deepEqual(
    messages.filter(({ type }) => type === 'ready'),
    [{ type: 'ready', endpoints: [] }],
  );
});

test('frozen it is silent, thawed it goes on', async (t) => {
  const { child, url } = await start(t, writeAssembly(t, { only: { template: template() } }));
  child.kill('SIGSTOP');
  const waiting = fetch(`${url}/nowhere`);
  const first = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 200, 'silence'))]);
  assert.equal(first, 'silence');
  child.kill('SIGCONT');
  assert.equal((await waiting).status, 403);
});

test('an assembly that cannot be read ends it, saying why', async (t) => {
  const child = fork(REGION, [JSON.stringify({ assemblyDir: '/nowhere', region: 'us-east-2' })], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.match(said, /\/nowhere holds no cloud assembly .*npm run synth/);
});

test('feeds a stream to its function as the function’s role, and goes on behind a checkpoint', async (t) => {
  const { TableName, ...schema } = recordsSchema('records');
  const stream = { 'Fn::GetAtt': ['Table', 'StreamArn'] };
  const assemblyDir = writeAssembly(t, {
    only: {
      template: {
        Resources: {
          ...functionTemplate('sequences', {}),
          Role: {
            Type: 'AWS::IAM::Role',
            Properties: {
              RoleName: 'fixture',
              Policies: [
                {
                  PolicyName: 'read',
                  PolicyDocument: {
                    Statement: [
                      {
                        Effect: 'Allow',
                        Action: [
                          'dynamodb:DescribeStream',
                          'dynamodb:GetShardIterator',
                          'dynamodb:GetRecords',
                        ],
                        Resource: stream,
                      },
                      { Effect: 'Allow', Action: 'dynamodb:ListStreams', Resource: '*' },
                    ],
                  },
                },
              ],
            },
          },
          Table: {
            Type: 'AWS::DynamoDB::GlobalTable',
            Properties: {
              TableName,
              ...schema,
              MultiRegionConsistency: 'STRONG',
              StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' },
              Replicas: ['us-east-2', 'us-west-2', 'us-east-1'].map((Region) => ({ Region })),
            },
          },
          Mapping: {
            Type: 'AWS::Lambda::EventSourceMapping',
            Properties: {
              FunctionName: 'sequences:live',
              EventSourceArn: stream,
              StartingPosition: 'LATEST',
            },
          },
        },
      },
    },
  });
  const deployment = readDeployment(assemblyDir);
  const aws = await startAws({ deployment });
  t.after(() => aws.close());
  const put = (pk: string) => {
    const Item = { pk: { S: pk }, sk: { S: 'STATE' } };
    return aws.tables.get('records')?.write('us-east-2', 'PutItem', { TableName: 'records', Item }, false);
  };
  await put('a');
  await put('b');
  const [mapping] = deployment.ofType('AWS::Lambda::EventSourceMapping');
  const mappingId = String(mapping?.physicalId);
  const one = '100000000000000000001';
  const two = '100000000000000000002';
  const revived = await start(t, assemblyDir, 'us-east-2', {
    awsEndpoint: aws.endpoint,
    checkpoints: { [mappingId]: one },
  });
  await revived.message((it) => it.type === 'log' && it.line === `sequences: got ${two}`);
  await revived.message((it) => it.type === 'checkpoint' && it.sequenceNumber === two);
  assert.equal(
    revived.messages.some((it) => it.type === 'log' && it.line.includes(one)),
    false,
  );
  // A region that ran and got nowhere has seen nothing: LATEST would pass over what came while it was gone.
  const early = await start(t, assemblyDir, 'us-east-2', { awsEndpoint: aws.endpoint, checkpoints: {} });
  await early.message((it) => it.type === 'log' && it.line === `sequences: got ${one},${two}`);
  assert.ok(aws.iam.used.some(({ action }) => action === 'dynamodb:GetRecords'));
});

test('settings that are not played are listed for all regions', (t) => {
  const deployment = readDeployment(
    writeAssembly(t, {
      only: { template: template({ ...functionTemplate('echo', { VpcConfig: {}, Layers: ['x'] }) }) },
    }),
  );
  assert.deepEqual(unrehearsedSettings(deployment), [
    'eden-field-test-only/echo: AWS::Lambda::Function Layers',
    'eden-field-test-only/echo: AWS::Lambda::Function VpcConfig',
  ]);
});

test('all that the API leads to fails, but for what answers health and who lets callers in', (t) => {
  const methods: FixtureMethod[] = [
    { path: '/health', method: 'GET', to: 'health' },
    { path: '/ready', method: 'GET', to: 'ready' },
    { path: '/v1/records/{collection}/{id}', method: 'PUT', to: 'records', authorizer: true },
    { path: '/v1/sync/push', method: 'POST', to: 'push', authorizer: true },
    { path: '/v1/sync/{proxy+}', method: 'ANY', to: 'rest' },
    { path: '/', method: 'GET', to: 'health' },
  ];
  const deployment = deploymentOf(t, apiTemplate(methods));
  const { apis } = apisOf(deployment, 'us-east-2');
  assert.deepEqual([...workingFunctionsOf(apis)].sort(), ['push', 'ready', 'records', 'rest']);
  assert.deepEqual([...workingFunctionsOf(apis, 'health and ready')].sort(), ['push', 'records', 'rest']);
});

test('a region without an API has no work to fail', () => {
  assert.equal(workingFunctionsOf([]).size, 0);
});
