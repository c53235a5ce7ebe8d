// DNS failover: what Route 53 is asked to do, and that both Regions own the names it needs. How it plays out stands in
// polarity.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whereFrom } from '../../bin/routing/where.ts';
import { DEV, ofType, only, stackNamed, synthesize } from './assembly.ts';

const stacks = synthesize(DEV);
const traffic = stackNamed(stacks, 'eden-field-dev-traffic');
const NAME = 'api.dev.eden-field.example';
const OWN = { primary: `us-east-2.${NAME}`, standby: `us-west-2.${NAME}` };

test('checks the regional names as often as configured, and never the failover name', () => {
  const checks = ofType(traffic, 'AWS::Route53::HealthCheck').map(
    ([, it]) => it.Properties.HealthCheckConfig,
  );
  const endpoints = checks.filter(({ Type }) => Type === 'HTTPS');
  assert.deepEqual(endpoints.map(({ FullyQualifiedDomainName: name }) => name).sort(), [
    OWN.primary,
    OWN.standby,
  ]);
  for (const check of endpoints) {
    assert.equal(check.ResourcePath, '/health');
    assert.equal(check.RequestInterval, DEV.dns.checkIntervalMs / 1_000);
    assert.equal(check.FailureThreshold, DEV.dns.checkFailures);
    assert.equal(check.EnableSNI, true);
  }
});

test('what npm run status looks for are the checks that the template makes, by their names', async () => {
  const where = await whereFrom({ stage: 'dev', state: 'none' });
  assert.ok(where?.dns.kind === 'name');
  const { endpoints, alarm, calculated } = where.dns.checks;
  const made = new Map(
    ofType(traffic, 'AWS::Route53::HealthCheck').map(([, { Properties }]) => [
      Properties.HealthCheckTags[0].Value,
      Properties.HealthCheckConfig,
    ]),
  );
  assert.deepEqual(
    [...made.keys()].sort(),
    [...endpoints.map(({ name }) => name), alarm.name, calculated.name].sort(),
  );
  for (const { name, host } of endpoints) assert.equal(made.get(name).FullyQualifiedDomainName, host);
  assert.deepEqual(made.get(alarm.name).AlarmIdentifier, { Name: alarm.alarmName, Region: alarm.region });
  assert.equal(made.get(calculated.name).Type, 'CALCULATED');
});

test('the alarm is one Route 53 can follow, on what the standby observer sends', () => {
  const alarm = only(traffic, 'AWS::CloudWatch::Alarm').Properties;
  assert.equal(alarm.Namespace, 'EdenField');
  assert.equal(alarm.MetricName, 'evacuated');
  assert.deepEqual(
    new Map(alarm.Dimensions.map(({ Name, Value }: Record<string, string>) => [Name, Value])),
    new Map([
      ['Region', DEV.regions.standby],
      ['Service', 'observer'],
      ['Stage', 'dev'],
    ]),
  );
  assert.equal(alarm.Statistic, 'Maximum', 'extended statistics are not supported');
  assert.equal(alarm.Metrics, undefined, 'metric math is not supported');
  assert.ok(alarm.Period >= 60, 'high resolution is not supported');
  assert.deepEqual([alarm.EvaluationPeriods, alarm.DatapointsToAlarm], [1, 1]);
  const check = only(
    traffic,
    'AWS::Route53::HealthCheck',
    (it) => it.Properties.HealthCheckConfig.Type === 'CLOUDWATCH_METRIC',
  );
  assert.deepEqual(check.Properties.HealthCheckConfig.AlarmIdentifier, {
    Name: alarm.AlarmName,
    Region: traffic.region,
  });
  assert.ok(
    check.DependsOn?.includes(only(traffic, 'AWS::CloudWatch::Alarm').id),
    'the alarm must be there first',
  );
});

test('failover records are CNAMEs with the configured TTL to names that the service stacks own', () => {
  const origins = new Map(
    ['service-primary', 'service-standby'].flatMap((layer) => {
      const stack = stackNamed(stacks, `eden-field-dev-${layer}`);
      return ofType(stack, 'AWS::Route53::RecordSet').map(([, it]) => [
        `${it.Properties.Type} ${it.Properties.Name}`,
        stack,
      ]);
    }),
  );
  for (const [, { Properties: record }] of ofType(traffic, 'AWS::Route53::RecordSet')) {
    assert.equal(record.Type, 'CNAME');
    assert.equal(record.Name, NAME);
    assert.equal(record.TTL, String(DEV.dns.ttlMs / 1_000));
    const [target] = record.ResourceRecords;
    for (const type of ['A', 'AAAA']) assert.ok(origins.has(`${type} ${target}.`), `${type} ${target}`);
  }
});

test('both Regions own the failover name, on TLS 1.2 and both address families', () => {
  for (const [layer, own] of [
    ['service-primary', OWN.primary],
    ['service-standby', OWN.standby],
  ] as const) {
    const stack = stackNamed(stacks, `eden-field-dev-${layer}`);
    const names = ofType(stack, 'AWS::ApiGateway::DomainName');
    assert.deepEqual(names.map(([, it]) => it.Properties.DomainName).sort(), [NAME, own].sort());
    for (const [id, { Properties }] of names) {
      assert.equal(Properties.SecurityPolicy, 'TLS_1_2');
      assert.deepEqual(Properties.EndpointConfiguration, { Types: ['REGIONAL'], IpAddressType: 'dualstack' });
      only(stack, 'AWS::ApiGateway::BasePathMapping', (it) => it.Properties.DomainName.Ref === id);
    }
    const certificate = only(stack, 'AWS::CertificateManager::Certificate').Properties;
    assert.deepEqual([certificate.DomainName, ...certificate.SubjectAlternativeNames], [own, NAME]);
    // The failover name's address is its own custom domain's, not the regional one's.
    const failover = names.find(([, it]) => it.Properties.DomainName === NAME)?.[0];
    const origin = ofType(stack, 'AWS::Route53::RecordSet').filter(([, it]) =>
      String(it.Properties.Name).startsWith('origin-'),
    );
    assert.equal(origin.length, 2);
    for (const [, { Properties }] of origin)
      assert.deepEqual(Properties.AliasTarget.DNSName, { 'Fn::GetAtt': [failover, 'RegionalDomainName'] });
  }
});
