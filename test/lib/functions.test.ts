// Every function as all of ours are; how it is kept warm, released, scheduled and logged.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineConfig } from '../../config/config.ts';
import { READINESS, SCALING, SERVER_MEMORY_MB, SERVICE_LEVELS } from '../../config/promises.ts';
import { CANARY_FUNCTIONS, FUNCTIONS, type FunctionName, type FunctionSpec } from '../../lib/functions.ts';
import {
  DEV,
  ofType,
  only,
  ourFunctions,
  type Stack,
  stackNamed,
  stageConfig,
  synthesize,
} from './assembly.ts';

const stacks = synthesize(DEV);
const serving = ['primary', 'standby'].map((role) => stackNamed(stacks, `eden-field-dev-service-${role}`));
const quorum = stackNamed(stacks, 'eden-field-dev-quorum');
/** Those that are deployed under their own names where three replicas decide; the rest is in gov.test.ts. */
const DEPLOYED = Object.keys(FUNCTIONS).filter((name) => name !== 'pretraffic' && name !== 'reconciler');
const WARM: readonly FunctionName[] = ['records', 'push', 'pull', 'authorizer'];

function functionOf(stack: Stack, name: string) {
  return only(
    stack,
    'AWS::Lambda::Function',
    (it) => it.Properties.FunctionName === `eden-field-dev-${name}`,
  );
}

function versionOf(stack: Stack, name: string) {
  const { id } = functionOf(stack, name);
  return only(stack, 'AWS::Lambda::Version', (it) => it.Properties.FunctionName.Ref === id);
}

function aliasOf(stack: Stack, name: string) {
  const { id } = functionOf(stack, name);
  return only(stack, 'AWS::Lambda::Alias', (it) => it.Properties.FunctionName.Ref === id);
}

/** A text that CloudFormation joins, with the names of its references in their places. */
function joined(value: { readonly 'Fn::Join': readonly [string, readonly (string | { Ref: string })[]] }) {
  const [between, parts] = value['Fn::Join'];
  return parts.map((part) => (typeof part === 'string' ? part : part.Ref)).join(between);
}

test('runs on Node 24 and arm64, traced, within the memory of the specification', () => {
  for (const stack of [...serving, quorum])
    for (const [id, { Properties }] of ourFunctions(stack)) {
      assert.equal(Properties.Runtime, 'nodejs24.x', id);
      assert.deepEqual(Properties.Architectures, ['arm64'], id);
      assert.equal(Properties.Handler, 'index.handler', id);
      assert.equal(Properties.TracingConfig.Mode, 'Active', id);
      const restores = Properties.FunctionName === 'eden-field-dev-restore';
      const memoryMb = restores ? FUNCTIONS.restore.memoryMb : DEV.capacity.memoryMb;
      assert.equal(Properties.MemorySize, memoryMb, id);
      assert.ok(memoryMb >= SERVER_MEMORY_MB.min && memoryMb <= SERVER_MEMORY_MB.max, id);
    }
});

test('each serving Region has every function, the quorum Region its observer, its archiver, its scrubber, its backups and their verification', () => {
  const names = (stack: Stack) => ourFunctions(stack).map(([, { Properties }]) => Properties.FunctionName);
  const expected = [...DEPLOYED, ...CANARY_FUNCTIONS.map((name) => `pretraffic-${name}`)].map(
    (name) => `eden-field-dev-${name}`,
  );
  for (const stack of serving) assert.deepEqual(names(stack).sort(), expected.sort());
  assert.deepEqual(
    names(quorum).sort(),
    ['archiver', 'backup', 'observer', 'scrubber', 'verification'].map((name) => `eden-field-dev-${name}`),
  );
});

test('gets the environment of the contract and nothing else', () => {
  const everywhere = [
    'EDEN_REGIONS',
    'EDEN_ROLE',
    'EDEN_STAGE',
    'POWERTOOLS_METRICS_NAMESPACE',
    'POWERTOOLS_SERVICE_NAME',
  ];
  const beside: Partial<Record<string, readonly string[]>> = {
    records: ['AUDIT_BUCKETS', 'KEY_ARN', 'TABLE_NAME'],
    push: ['AUDIT_BUCKETS', 'KEY_ARN', 'TABLE_NAME'],
    pull: ['KEY_ARN', 'TABLE_NAME'],
    ready: ['KEY_ARN', 'TABLE_NAME'],
    health: ['TABLE_NAME'],
    observer: ['AUDIT_BUCKETS', 'OBSERVED', 'TABLE_NAME'],
    archiver: ['AUDIT_BUCKETS', 'BACKUP_BUCKETS', 'TABLE_NAME'],
    sweeper: ['AUDIT_BUCKETS', 'TABLE_NAME'],
    backup: ['BACKUP_BUCKETS', 'KEY_ARN', 'TABLE_ARN', 'TABLE_NAME'],
    verification: [
      ...['AUDIT_BUCKETS', 'BACKUP_BUCKETS', 'BACKUP_LOCKS', 'KEY_ARN', 'NODE_OPTIONS', 'SCRATCH_PREFIX'],
      'TABLE_NAME',
    ],
    scrubber: ['SCRUB_ITEMS', 'TABLE_NAME'],
    restore: ['BACKUP_BUCKETS', 'QUEUE_URL', 'TABLE_NAME'],
    authorizer: ['JWT_AUDIENCE', 'JWT_ISSUER', 'JWT_KEY_SET'],
    describe: [],
  };
  for (const [stack, role] of [
    [serving[0], 'primary'],
    [serving[1], 'standby'],
    [quorum, 'quorum'],
  ] as const) {
    assert.ok(stack);
    for (const [, { Properties }] of ourFunctions(stack)) {
      const name = String(Properties.FunctionName).replace('eden-field-dev-', '');
      const named = name.startsWith('pretraffic-') ? ['NEW_VERSION_ARN'] : beside[name];
      assert.ok(named, name);
      const offsite = role === 'quorum' && ['backup', 'verification'].includes(name);
      const own = offsite ? [...named, 'OFFSITE'] : named;
      const { Variables } = Properties.Environment;
      assert.deepEqual(Object.keys(Variables).sort(), [...everywhere, ...own].sort(), name);
      assert.equal(Variables.EDEN_STAGE, 'dev');
      assert.equal(Variables.EDEN_ROLE, role);
      assert.deepEqual(JSON.parse(Variables.EDEN_REGIONS), DEV.regions);
      const spec: FunctionSpec = FUNCTIONS[name.replace(/^pretraffic-.*/, 'pretraffic') as FunctionName];
      assert.equal(Variables.POWERTOOLS_SERVICE_NAME, spec.service, name);
      if ('TABLE_NAME' in Variables) assert.equal(Variables.TABLE_NAME, 'eden-field-dev-records');
      for (const use of ['audit', 'backup']) {
        const buckets = Variables[`${use.toUpperCase()}_BUCKETS`];
        if (buckets === undefined) continue;
        assert.deepEqual(
          JSON.parse(joined(buckets)),
          Object.fromEntries(
            Object.values(DEV.regions).map((region) => [
              region,
              `eden-field-dev-${use}-${region}-AWS::AccountId`,
            ]),
          ),
        );
      }
      if ('JWT_KEY_SET' in Variables) assert.deepEqual(JSON.parse(Variables.JWT_KEY_SET), DEV.auth.keySet);
    }
  }
});

test('each observer watches both serving Regions by their own names, beside public endpoints of all three', () => {
  const name = DEV.domain?.name;
  for (const stack of [...serving, quorum]) {
    const { OBSERVED } = functionOf(stack, 'observer').Properties.Environment.Variables;
    // The endpoints' suffix is the partition's.
    assert.deepEqual(JSON.parse(joined(OBSERVED)), {
      endpoints: { 'us-east-2': `https://us-east-2.${name}`, 'us-west-2': `https://us-west-2.${name}` },
      controls: Object.fromEntries(
        Object.values(DEV.regions).map((region) => [region, `https://dynamodb.${region}.AWS::URLSuffix/`]),
      ),
      probeIntervalMs: DEV.observers.probeIntervalMs,
      probeFailures: DEV.observers.probeFailures,
    });
  }
});

test('every log is encrypted, ends when the stage says, and is the one its function writes to', () => {
  for (const stack of [...serving, quorum]) {
    for (const [id, { Properties }] of ofType(stack, 'AWS::Logs::LogGroup')) {
      assert.equal(Properties.RetentionInDays, DEV.logRetentionDays, id);
      assert.match(JSON.stringify(Properties.KmsKeyId), /ImportValue.*foundation-/, id);
    }
    for (const [, { Properties }] of ourFunctions(stack)) {
      const log = stack.template.Resources[Properties.LoggingConfig.LogGroup.Ref];
      assert.equal(log?.Properties.LogGroupName, `/aws/lambda/${Properties.FunctionName}`);
    }
  }
});

test('what answers a request is warm on its version from 3 to 50, and its alias has no capacity of its own', () => {
  for (const stack of serving) {
    assert.equal(ofType(stack, 'AWS::ApplicationAutoScaling::ScalableTarget').length, WARM.length);
    for (const name of WARM) {
      const version = versionOf(stack, name);
      assert.equal(version.Properties.ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions, 3);
      const target = only(stack, 'AWS::ApplicationAutoScaling::ScalableTarget', (it) =>
        JSON.stringify(it.Properties.ResourceId).includes(`function:eden-field-dev-${name}:`),
      );
      assert.deepEqual(target.Properties.ResourceId['Fn::Join'][1][1], {
        'Fn::GetAtt': [version.id, 'Version'],
      });
      assert.equal(target.Properties.MinCapacity, SCALING.instancesMin);
      assert.equal(target.Properties.MaxCapacity, SCALING.instancesMax);
      assert.equal(target.Properties.ScalableDimension, 'lambda:function:ProvisionedConcurrency');
      const policy = only(
        stack,
        'AWS::ApplicationAutoScaling::ScalingPolicy',
        (it) => it.Properties.ScalingTargetId.Ref === target.id,
      );
      assert.deepEqual(policy.Properties.TargetTrackingScalingPolicyConfiguration, {
        PredefinedMetricSpecification: { PredefinedMetricType: 'LambdaProvisionedConcurrencyUtilization' },
        TargetValue: 0.7,
        ScaleOutCooldown: 30,
        ScaleInCooldown: 300,
      });
      const alias = aliasOf(stack, name);
      assert.equal(alias.Properties.ProvisionedConcurrencyConfig, undefined);
      assert.ok(alias.DependsOn?.includes(policy.id), 'no traffic before the version can grow');
    }
  }
});

test('an old version goes, and its capacity with it', () => {
  for (const stack of [...serving, quorum])
    for (const [id, { DeletionPolicy }] of ofType(stack, 'AWS::Lambda::Version'))
      assert.equal(DeletionPolicy, 'Delete', id);
});

test('another number of warm environments publishes another version', () => {
  const { capacity, ...rest } = stageConfig('dev');
  const more = synthesize(defineConfig('dev', { ...rest, capacity: { ...capacity, instancesMin: 5 } }));
  const stack = stackNamed(more, 'eden-field-dev-service-primary');
  for (const name of WARM)
    assert.notEqual(versionOf(stack, name).id, versionOf(serving[0] as Stack, name).id);
});

test('health, ready and the authorizer have concurrency that load cannot take', () => {
  const reserved: Partial<Record<string, number>> = {
    health: DEV.capacity.healthReservedConcurrency,
    ready: DEV.capacity.healthReservedConcurrency,
    authorizer: DEV.capacity.authorizerReservedConcurrency,
  };
  for (const stack of serving)
    for (const name of DEPLOYED)
      assert.equal(functionOf(stack, name).Properties.ReservedConcurrentExecutions, reserved[name], name);
});

test('two versions of the authorizer fit its reservation at full stretch', () => {
  const { capacity, ...rest } = stageConfig('dev');
  const tight = synthesize(
    defineConfig('dev', { ...rest, capacity: { ...capacity, authorizerReservedConcurrency: 20 } }),
  );
  const stack = stackNamed(tight, 'eden-field-dev-service-primary');
  const target = only(stack, 'AWS::ApplicationAutoScaling::ScalableTarget', (it) =>
    JSON.stringify(it.Properties.ResourceId).includes('authorizer'),
  );
  assert.equal(target.Properties.MaxCapacity, 10);
});

test('a release asks the new version first, sends it a tenth for five minutes, and goes back on any alarm', () => {
  for (const stack of serving) {
    assert.equal(ofType(stack, 'AWS::CodeDeploy::DeploymentGroup').length, CANARY_FUNCTIONS.length);
    for (const name of CANARY_FUNCTIONS) {
      const version = versionOf(stack, name);
      const alias = aliasOf(stack, name);
      assert.deepEqual(alias.Properties.FunctionVersion, { 'Fn::GetAtt': [version.id, 'Version'] });
      const { DeploymentGroupName, BeforeAllowTrafficHook } = alias.UpdatePolicy.CodeDeployLambdaAliasUpdate;

      const hook = stack.template.Resources[BeforeAllowTrafficHook.Ref];
      assert.equal(hook?.Properties.FunctionName, `eden-field-dev-pretraffic-${name}`);
      assert.deepEqual(hook?.Properties.Environment.Variables.NEW_VERSION_ARN, { Ref: version.id });
      assert.ok(hook.Properties.Timeout > READINESS.failuresMax * (READINESS.intervalMs / 1_000) * 2);

      const group = stack.template.Resources[DeploymentGroupName.Ref]?.Properties;
      assert.equal(group.DeploymentConfigName, 'CodeDeployDefault.LambdaCanary10Percent5Minutes');
      assert.deepEqual(group.AutoRollbackConfiguration, {
        Enabled: true,
        Events: ['DEPLOYMENT_FAILURE', 'DEPLOYMENT_STOP_ON_REQUEST', 'DEPLOYMENT_STOP_ON_ALARM'],
      });
      assert.equal(group.AlarmConfiguration.Enabled, true);
      const alarms = group.AlarmConfiguration.Alarms.map(
        ({ Name }: { Name: { Ref: string } }) => stack.template.Resources[Name.Ref]?.Properties,
      );
      assert.deepEqual(alarms.map(({ MetricName }: { MetricName: string }) => MetricName).sort(), [
        '5XXError',
        'Duration',
        'Errors',
      ]);
      for (const alarm of alarms) {
        assert.match(alarm.ComparisonOperator, /^GreaterThan/);
        assert.equal(alarm.TreatMissingData, 'notBreaching');
        if (alarm.Namespace !== 'AWS/Lambda') continue;
        const dimensions = new Map(
          alarm.Dimensions.map(({ Name, Value }: { Name: string; Value: unknown }) => [Name, Value]),
        );
        assert.deepEqual(dimensions.get('ExecutedVersion'), { 'Fn::GetAtt': [version.id, 'Version'] });
        assert.equal(dimensions.get('Resource'), `eden-field-dev-${name}:live`);
        if (alarm.MetricName === 'Duration')
          assert.equal(
            alarm.Threshold,
            ['push', 'pull'].includes(name)
              ? SERVICE_LEVELS.syncLatencyP99Ms
              : SERVICE_LEVELS.apiLatencyP99Ms,
          );
      }
      const policy = only(
        stack,
        'AWS::IAM::Policy',
        (it) => it.Properties.Roles[0].Ref === group.ServiceRoleArn['Fn::GetAtt'][0],
      );
      assert.match(JSON.stringify(policy.Properties.PolicyDocument), new RegExp(BeforeAllowTrafficHook.Ref));
      assert.ok(alias.DependsOn?.includes(policy.id), 'no release before the group may call its hook');
    }
  }
});

function scheduleOf(stack: Stack, name: string) {
  return only(stack, 'AWS::Scheduler::Schedule', (it) => it.Properties.Name === `eden-field-dev-${name}`);
}

function invokeOf(stack: Stack, name: string) {
  const { id } = functionOf(stack, name);
  return only(stack, 'AWS::Lambda::EventInvokeConfig', (it) => it.Properties.FunctionName.Ref === id);
}

test('an observer runs every minute and is never run late or again', () => {
  for (const stack of [...serving, quorum]) {
    const alias = aliasOf(stack, 'observer');
    const schedule = scheduleOf(stack, 'observer').Properties;
    assert.equal(schedule.ScheduleExpression, 'rate(1 minute)');
    assert.deepEqual(schedule.FlexibleTimeWindow, { Mode: 'OFF' });
    assert.deepEqual(schedule.Target.Arn, { Ref: alias.id });
    assert.deepEqual(schedule.Target.RetryPolicy, {
      MaximumRetryAttempts: 0,
      MaximumEventAgeInSeconds: 60,
    });
    const invoke = invokeOf(stack, 'observer').Properties;
    assert.deepEqual([invoke.MaximumRetryAttempts, invoke.MaximumEventAgeInSeconds], [0, 60]);
    assert.ok(functionOf(stack, 'observer').Properties.Timeout > 60, 'it works for the whole minute');
  }
});

test('a sweeper runs every hour where it may be active, and a missed hour waits for the next', () => {
  for (const stack of serving) {
    const schedule = scheduleOf(stack, 'sweeper').Properties;
    assert.equal(schedule.ScheduleExpression, 'rate(1 hour)');
    assert.deepEqual(schedule.Target.Arn, { Ref: aliasOf(stack, 'sweeper').id });
    assert.deepEqual(schedule.Target.RetryPolicy, {
      MaximumRetryAttempts: 0,
      MaximumEventAgeInSeconds: 3_600,
    });
    const invoke = invokeOf(stack, 'sweeper').Properties;
    assert.deepEqual([invoke.MaximumRetryAttempts, invoke.MaximumEventAgeInSeconds], [0, 3_600]);
  }
});
