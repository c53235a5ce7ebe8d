// What a deployment says of its own shape: which region plays which role, which API stands where, what DNS knows.
// Pure reading; nothing is started here.

import { type Deployment, unrehearsedTypes } from '../assembly/assembly.ts';
import { SDK_CALL_TYPE, unplayedCalls } from '../assembly/sdk-calls.ts';
import { PLAYED_TYPES as S3_TYPES, unplayedBucketSettings } from '../aws/s3/buckets.ts';
import { PLAYED_TYPES as SQS_TYPES } from '../aws/sqs.ts';
import { type AlarmDefinition, readAlarm } from '../cloudwatch.ts';
import { PLAYED_TYPES as REGION_TYPES, unrehearsedSettings } from '../region/region-plan.ts';
import { type HealthCheckDefinition, readHealthCheck } from '../route53/health-checks.ts';
import { type DnsRecord, readRecord } from '../route53/route53.ts';
import type { RegionRole } from './state.ts';

export interface PlannedRegion {
  readonly region: string;
  readonly role: RegionRole;
  /** The API it serves; absent in a region that serves nobody. */
  readonly apiPhysicalId?: string;
}

export interface Topology {
  /** Primary, standby, quorum. */
  readonly regions: readonly PlannedRegion[];
  readonly healthChecks: readonly HealthCheckDefinition[];
  readonly records: readonly DnsRecord[];
  readonly alarms: readonly AlarmDefinition[];
  /** Absent without a domain. */
  readonly failoverName?: string;
  /** Alarms and checks of kinds that are not rehearsed, each with its reason. */
  readonly notRehearsed: readonly string[];
}

/** What is played beside what a region process plays: here by the supervisor, the rest by the AWS process. */
const PLAYED_TYPES: readonly string[] = [
  'AWS::CloudWatch::Alarm',
  'AWS::DynamoDB::GlobalTable',
  'AWS::IAM::ManagedPolicy',
  'AWS::IAM::Policy',
  'AWS::IAM::Role',
  'AWS::KMS::Alias',
  'AWS::KMS::Key',
  'AWS::KMS::ReplicaKey',
  'AWS::Lambda::Permission',
  'AWS::Route53::HealthCheck',
  'AWS::Route53::RecordSet',
];

const ROLES: readonly RegionRole[] = ['primary', 'standby', 'quorum'];

/** Throws when a role has no stack, or a region more than one API. */
export function readTopology(deployment: Deployment): Topology {
  const notRehearsed: string[] = [];
  const healthChecks: HealthCheckDefinition[] = [];
  for (const { physicalId, properties } of deployment.ofType('AWS::Route53::HealthCheck')) {
    const check = readHealthCheck(physicalId, properties);
    if (check) healthChecks.push(check);
    else
      notRehearsed.push(
        `health check ${physicalId} (of a type other than HTTP, CALCULATED and CLOUDWATCH_METRIC)`,
      );
  }
  const alarms: AlarmDefinition[] = [];
  const leftOut = new Map<string, string[]>();
  for (const { region, properties, physicalId } of deployment.ofType('AWS::CloudWatch::Alarm')) {
    const alarm = readAlarm(region, properties, physicalId);
    if ('notRehearsed' in alarm) {
      const names = leftOut.get(alarm.notRehearsed) ?? [];
      leftOut.set(alarm.notRehearsed, [...names, `${alarm.name} in ${region}`]);
    } else alarms.push(alarm);
  }
  for (const [why, names] of leftOut) notRehearsed.push(`${names.length} alarms ${why}: ${names.join(', ')}`);
  // AAAA records say the same of IPv6, which links do not carry.
  const records = deployment
    .ofType('AWS::Route53::RecordSet')
    .map(({ properties }) => readRecord(properties))
    .filter(({ type }) => type === 'A' || type === 'CNAME');
  const failoverName = records.find(({ failover }) => failover === 'PRIMARY')?.name;
  return {
    regions: ROLES.map((role) => plannedRegion(deployment, role)),
    healthChecks,
    records,
    alarms,
    ...(failoverName === undefined ? {} : { failoverName }),
    notRehearsed,
  };
}

/** By the stack every role has of its own. */
function plannedRegion(deployment: Deployment, role: RegionRole): PlannedRegion {
  const stack = `eden-field-${deployment.stage}-foundation-${role}`;
  const region = deployment.resources.find((resource) => resource.stack === stack)?.region;
  if (region === undefined)
    throw new Error(`the assembly has no stack ${stack}: run \`npm run synth\` again`);
  const apis = deployment.ofType('AWS::ApiGateway::RestApi', region);
  if (apis.length > 1) throw new Error(`expected at most one REST API in ${region}, got ${apis.length}`);
  const [api] = apis;
  return { region, role, ...(api ? { apiPhysicalId: api.physicalId } : {}) };
}

/** All of a deployment that nothing plays: resource types, settings of played ones, alarms and checks. */
export function notRehearsedIn(deployment: Deployment, topology: Topology): readonly string[] {
  return [
    ...unrehearsedTypes(deployment, [...PLAYED_TYPES, ...REGION_TYPES, ...S3_TYPES, ...SQS_TYPES]),
    ...unplayedCalls(deployment.ofType(SDK_CALL_TYPE)),
    ...unplayedBucketSettings(deployment),
    ...unrehearsedSettings(deployment),
    ...topology.notRehearsed,
  ];
}
