import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { substitute } from '../../rehearsal/assembly/substitutions.ts';
import { ServiceError } from '../../rehearsal/aws/service-error.ts';
import { metricPointsOf } from '../../rehearsal/region/emf.ts';
import { Lambda, type LambdaOptions } from '../../rehearsal/region/lambda.ts';
import type { MetricPoint } from '../../rehearsal/supervisor/messages.ts';
import { deploymentOf, functionTemplate } from './fixtures/assembly.ts';

const INVOKER = {
  service: 'apigateway.amazonaws.com',
  sourceArn: 'arn:aws:execute-api:us-east-2:000000000000:api/live/GET/',
};

interface Running {
  readonly lambda: Lambda;
  readonly lines: string[];
  readonly points: MetricPoint[];
  /** Invokes through alias `live`; the parsed payload, or the error. */
  readonly call: (event?: object, qualifier?: string) => Promise<unknown>;
  readonly arn: string;
}

/** A function of the fixtures, `name` also being its export. */
function run(
  t: TestContext,
  name: string,
  properties: object = {},
  options: Partial<LambdaOptions> & { alias?: object; resources?: object } = {},
): Running {
  const { alias, resources, ...lambdaOptions } = options;
  const lines: string[] = [];
  const points: MetricPoint[] = [];
  const deployment = deploymentOf(t, {
    Resources: { ...functionTemplate(name, properties, alias), ...resources },
  });
  const lambda = new Lambda({
    deployment,
    region: 'us-east-2',
    mayInvoke: () => true,
    environmentOf: (environment) => environment,
    onLog: (line) => lines.push(line),
    onMetrics: (more) => points.push(...more),
    ...lambdaOptions,
  });
  t.after(() => lambda.close());
  const arn = `arn:aws:lambda:us-east-2:000000000000:function:${name}`;
  const call = async (event: object = {}, qualifier = ':live') =>
    JSON.parse(
      (
        await lambda.invoke({
          functionArn: `${arn}${qualifier}`,
          invoker: INVOKER,
          payload: JSON.stringify(event),
        })
      ).payload,
    );
  return { lambda, lines, points, call, arn };
}

test('a handler gets its event, its context and its own environment, and nothing of ours', async (t) => {
  process.env['SECRET_OF_THE_PARENT'] = 'x';
  t.after(() => delete process.env['SECRET_OF_THE_PARENT']);
  const { call, arn } = run(
    t,
    'echo',
    {
      MemorySize: 256,
      Timeout: 10,
      Environment: { Variables: { TABLE_NAME: 'records', JWT_KEY_SET: 'pinned' } },
    },
    {
      environmentOf: (environment, roleArn) =>
        substitute(environment, {
          roleArn,
          region: 'us-east-2',
          awsEndpoint: 'http://127.0.0.1:1',
          jwtKeySet: 'ours',
          probes: {},
        }),
    },
  );
  const { event, context, env, remainingMs } = (await call({ a: [1, 'ü'] })) as Record<
    string,
    Record<string, unknown>
  >;
  assert.deepEqual(event, { a: [1, 'ü'] });
  assert.equal(context?.['invokedFunctionArn'], `${arn}:live`);
  assert.equal(context?.['functionName'], 'echo');
  assert.equal(context?.['functionVersion'], '1');
  assert.equal(context?.['memoryLimitInMB'], '256');
  assert.match(String(context?.['awsRequestId']), /^[0-9a-f-]{36}$/);
  assert.ok(Number(remainingMs) > 9_000 && Number(remainingMs) <= 10_000, `${remainingMs} ms remain`);
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_LAMBDA_LOG_STREAM_NAME, LAMBDA_TASK_ROOT, ...rest } =
    env ?? {};
  assert.match(String(AWS_ACCESS_KEY_ID), /^A[A-Z0-9]{19}$/);
  assert.equal(String(AWS_SECRET_ACCESS_KEY).length, 40);
  assert.ok(AWS_LAMBDA_LOG_STREAM_NAME);
  assert.match(String(LAMBDA_TASK_ROOT), /fixtures\/functions$/);
  assert.deepEqual(rest, {
    _HANDLER: 'index.echo',
    AWS_DEFAULT_REGION: 'us-east-2',
    AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '256',
    AWS_LAMBDA_FUNCTION_NAME: 'echo',
    AWS_LAMBDA_FUNCTION_VERSION: '1',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    AWS_LAMBDA_LOG_GROUP_NAME: '/aws/lambda/echo',
    AWS_REGION: 'us-east-2',
    JWT_KEY_SET: 'ours',
    LANG: 'en_US.UTF-8',
    TABLE_NAME: 'records',
    TZ: ':UTC',
  });
});

test('an environment is kept between invocations, and its start is logged', async (t) => {
  const { call, lines } = run(t, 'echo');
  const first = (await call()) as { invocations: number };
  const second = (await call()) as { invocations: number };
  assert.deepEqual([first.invocations, second.invocations], [1, 2]);
  assert.match(lines.join('\n'), /^echo: INIT \d+ ms$/);
});

test('provisioned concurrency is warm before the first invocation; nothing else is', async (t) => {
  const warm = run(
    t,
    'echo',
    {},
    { alias: { ProvisionedConcurrencyConfig: { ProvisionedConcurrentExecutions: 3 } } },
  );
  await warm.lambda.warm();
  assert.match(warm.lines.join('\n'), /echo: INIT/);
  const { env } = (await warm.call()) as { env: Record<string, string> };
  assert.equal(env['AWS_LAMBDA_INITIALIZATION_TYPE'], 'provisioned-concurrency');
  const cold = run(t, 'slow');
  await cold.lambda.warm();
  assert.deepEqual(cold.lines, []);
});

test('what a handler throws comes back as Lambda words it, and the environment lives on', async (t) => {
  const { call, lambda, arn, lines } = run(t, 'fail');
  const { functionError } = await lambda.invoke({ functionArn: arn, invoker: INVOKER, payload: '{}' });
  assert.equal(functionError?.errorType, 'TypeError');
  assert.equal(functionError?.errorMessage, 'no such luck');
  assert.match(functionError?.trace?.[0] ?? '', /TypeError: no such luck/);
  await call();
  assert.equal(lines.filter((line) => line.includes('INIT')).length, 1);
  assert.match(lines.join('\n'), /fail: ERROR Invoke Error \{"errorType":"TypeError"/);
  assert.deepEqual(await run(t, 'throwText').call(), {
    errorType: 'string',
    errorMessage: 'just text',
    trace: [],
  });
});

test('no answer is null', async (t) => {
  assert.equal(await run(t, 'nothing').call(), null);
});

test('handlers are found as the runtime finds them, and missing ones are named', async (t) => {
  const of = async (handler: string) => run(t, 'echo', { Handler: handler }).call();
  assert.equal(await of('nested/old.deep.handler'), 'from afar');
  const type = async (handler: string) => ((await of(handler)) as { errorType: string }).errorType;
  assert.equal(await type('absent.handler'), 'Runtime.ImportModuleError');
  assert.equal(await type('index.absent'), 'Runtime.HandlerNotFound');
  assert.equal(await type('index.notAFunction'), 'Runtime.HandlerNotFound');
  assert.equal(await type('index'), 'Runtime.MalformedHandlerName');
  const broken = (await of('broken.handler')) as { errorType: string; errorMessage: string };
  assert.deepEqual([broken.errorType, broken.errorMessage], ['Error', 'cannot load']);
});

test('a busy loop ends at the timeout, and the next invocation finds a new environment', async (t) => {
  const { call, lines } = run(t, 'hang', { Timeout: 1 });
  await call();
  const startedAt = performance.now();
  const { errorType, errorMessage } = (await call({ hang: true })) as Record<string, string>;
  assert.ok(performance.now() - startedAt < 1_500);
  assert.equal(errorType, 'Sandbox.Timedout');
  assert.match(errorMessage ?? '', /^RequestId: [0-9a-f-]{36} Error: Task timed out after 1\.00 seconds$/);
  assert.equal(await call(), 'free');
  assert.equal(lines.filter((line) => line.includes('INIT')).length, 2);
});

test('after a timeout the others in the environment still end well', async (t) => {
  const { call } = run(t, 'slow', { Timeout: 1 });
  await call({ ms: 0 });
  const late = call({ ms: 5_000 });
  await sleep(500);
  const fine = call({ ms: 800 });
  assert.equal(((await late) as { errorType: string }).errorType, 'Sandbox.Timedout');
  assert.equal(await fine, 'late');
});

test('an exit, an uncaught error and a rejection nobody handles each end the environment', async (t) => {
  const exit = run(t, 'exit');
  assert.equal(await exit.call(), 1);
  const exited = (await exit.call({ exit: true })) as Record<string, string>;
  assert.equal(exited['errorType'], 'Runtime.ExitError');
  assert.match(
    exited['errorMessage'] ?? '',
    /^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 3$/,
  );
  assert.equal(await exit.call(), 1, 'a new environment has forgotten');

  const crash = run(t, 'crashLater');
  const crashed = (await crash.call({ crash: true })) as Record<string, string>;
  assert.deepEqual([crashed['errorType'], crashed['errorMessage']], ['RangeError', 'out of the blue']);
  assert.equal(await crash.call(), 'fine');

  const rejected = (await run(t, 'rejectLater').call()) as Record<string, string>;
  assert.equal(rejected['errorMessage'], 'nobody listens');
});

test('too much memory kills the environment, not the process', async (t) => {
  const { call } = run(t, 'greedy', { MemorySize: 128, Timeout: 30 });
  const { errorType, errorMessage } = (await call()) as Record<string, string>;
  assert.equal(errorType, 'Runtime.ExitError');
  assert.match(errorMessage ?? '', /signal: killed$/);
});

test('reserved concurrency is a limit: one more is refused', async (t) => {
  const { call } = run(t, 'slow', { ReservedConcurrentExecutions: 2 });
  await call({ ms: 0 });
  const running = [call({ ms: 200 }), call({ ms: 200 })];
  await assert.rejects(call(), (error) => {
    assert.ok(error instanceof ServiceError);
    assert.deepEqual([error.name, error.status], ['TooManyRequestsException', 429]);
    return true;
  });
  assert.deepEqual(await Promise.all(running), ['late', 'late']);
  assert.equal(await call({ ms: 0 }), 'late');
});

test('only what exists, and what is allowed, is invoked', async (t) => {
  const seen: unknown[] = [];
  const { call, lambda, arn } = run(
    t,
    'echo',
    {},
    {
      mayInvoke: (invoker, functionArn) => {
        seen.push([invoker, functionArn]);
        return !functionArn.endsWith(':1');
      },
    },
  );
  await assert.rejects(call({}, ':dead'), {
    name: 'ResourceNotFoundException',
    message: `Function not found: ${arn}:dead`,
  });
  await assert.rejects(
    lambda.invoke({ functionArn: arn.replace('echo', 'other'), invoker: INVOKER, payload: '{}' }),
    { name: 'ResourceNotFoundException' },
  );
  await assert.rejects(call({}, ':1'), {
    name: 'AccessDeniedException',
    message: `apigateway.amazonaws.com for ${INVOKER.sourceArn} is not authorized to perform: lambda:InvokeFunction on resource: ${arn}:1`,
  });
  await call({}, ':$LATEST');
  assert.deepEqual(seen, [
    [INVOKER, `${arn}:1`],
    [INVOKER, `${arn}:$LATEST`],
  ]);
});

test('payloads over 6 MB are refused both ways', async (t) => {
  const { call } = run(t, 'large');
  await assert.rejects(call({ text: 'x'.repeat(6 * 1024 * 1024) }), {
    name: 'RequestEntityTooLargeException',
  });
  assert.equal(((await call()) as { errorType: string }).errorType, 'Function.ResponseSizeTooLarge');
});

test('lines are logged, metric lines become points', async (t) => {
  const { call, lines, points } = run(t, 'metrics');
  await call();
  await sleep(50);
  assert.deepEqual(lines.filter((line) => !line.includes('INIT')).sort(), [
    'metrics: a line on stderr',
    'metrics: a plain line',
  ]);
  const base = { namespace: 'EdenField', timestampMs: 1_700_000_000_000 };
  const both = { Stage: 'test', Region: 'us-east-2' };
  assert.deepEqual(points, [
    { ...base, name: 'writes', dimensions: both, values: [3], unit: 'Count' },
    { ...base, name: 'writes', dimensions: { Stage: 'test' }, values: [3], unit: 'Count' },
    { ...base, name: 'latency', dimensions: both, values: [1.5, 2.5] },
    { ...base, name: 'latency', dimensions: { Stage: 'test' }, values: [1.5, 2.5] },
  ]);
});

test('what only looks like a metric line stays a line', () => {
  const aws = (value: unknown) => JSON.stringify({ _aws: value, Stage: 'test' });
  for (const line of [
    'plain',
    '{"_aws": broken',
    aws('text'),
    aws({ CloudWatchMetrics: [] }),
    aws({ Timestamp: 1, CloudWatchMetrics: {} }),
  ])
    assert.equal(metricPointsOf(line), undefined, line);
  // No value in the line: nothing to count, but no text either.
  assert.deepEqual(
    metricPointsOf(
      aws({
        Timestamp: 1,
        CloudWatchMetrics: [{ Namespace: 'N', Dimensions: [['Stage']], Metrics: [{ Name: 'm' }] }],
      }),
    ),
    [],
  );
});

test('an event is tried again as often as the function says, then dropped', async (t) => {
  const config = (retries: number) => ({
    resources: {
      Config: {
        Type: 'AWS::Lambda::EventInvokeConfig',
        Properties: { FunctionName: { Ref: 'flaky' }, Qualifier: 'live', MaximumRetryAttempts: retries },
      },
    },
    // Minutes of waiting become a tenth of a second.
    scale: 600,
  });
  const attempts = async (retries: number, failures: number) => {
    const { lambda, arn, lines } = run(t, 'flaky', {}, config(retries));
    lambda.invokeAsync({
      functionArn: `${arn}:live`,
      invoker: INVOKER,
      payload: JSON.stringify({ failures }),
    });
    await sleep(900);
    return lines.filter((line) => /^flaky: attempt \d+$/.test(line)).length;
  };
  assert.deepEqual(await Promise.all([attempts(2, 1), attempts(2, 9), attempts(0, 9)]), [2, 3, 1]);
});

test('an event for nobody, or from somebody who may not, is refused at once', (t) => {
  const { lambda, arn } = run(t, 'echo', {}, { mayInvoke: () => false });
  const send = (functionArn: string) => () =>
    lambda.invokeAsync({ functionArn, invoker: INVOKER, payload: '{}' });
  assert.throws(send(`${arn}:live`), { name: 'AccessDeniedException' });
  assert.throws(send(`${arn}:dead`), { name: 'ResourceNotFoundException' });
});
