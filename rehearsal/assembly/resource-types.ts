// What CloudFormation gives for `Ref` and `Fn::GetAtt` of each resource type, and its ARN. Names that AWS would make
// up are derived from the stack and the logical id, so that every run, and every process of a run, has the same.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
import { createHash } from 'node:crypto';
import { givenPhysicalId, SDK_CALL_TYPE } from './sdk-calls.ts';

/** What an identity may depend on: where the resource stands and some of its own properties, resolved. */
export interface Facts {
  readonly partition: string;
  readonly urlSuffix: string;
  readonly account: string;
  readonly region: string;
  readonly stack: string;
  readonly logicalId: string;
  /** A property's text; undefined when it is absent. */
  text(property: string): string | undefined;
}

type Attribute = (facts: Facts, id: string) => string;

export interface TypeRule {
  /** The physical id, which `Ref` gives. */
  readonly id: (facts: Facts) => string;
  readonly arn?: Attribute;
  /** Beside `Arn`, which {@link arn} gives. */
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

const BASE_36 = '0123456789abcdefghijklmnopqrstuvwxyz';

/** `length` letters and digits that only this resource has. */
function token({ region, stack, logicalId }: Facts, purpose: string, length: number): string {
  const digest = createHash('sha256').update(`${region}\n${stack}\n${logicalId}\n${purpose}`).digest();
  return Array.from(digest.subarray(0, length), (byte) => BASE_36[byte % BASE_36.length]).join('');
}

function uuid(facts: Facts): string {
  const hex = createHash('sha256').update(`${facts.stack}\n${facts.logicalId}`).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}

/** As CloudFormation makes up names: stack, logical id, twelve characters; cut so that 64 hold it. */
function generatedName(facts: Facts): string {
  const { stack, logicalId } = facts;
  return `${stack.slice(0, 24)}-${logicalId.slice(0, 24)}-${token(facts, 'name', 12).toUpperCase()}`;
}

const named =
  (property: string): TypeRule['id'] =>
  (facts) =>
    facts.text(property) ?? generatedName(facts);
const madeUp =
  (length: number, purpose = 'id'): TypeRule['id'] =>
  (facts) =>
    token(facts, purpose, length);
/** `arn:<partition>:<service>:<region>:<account>:<resource>`. */
const arnOf =
  (service: string, resource: Attribute): Attribute =>
  (facts, id) =>
    `arn:${facts.partition}:${service}:${facts.region}:${facts.account}:${resource(facts, id)}`;
/** API Gateway's own ARNs name no account. */
const apiArnOf =
  (resource: Attribute): Attribute =>
  ({ partition, region, ...facts }, id) =>
    `arn:${partition}:apigateway:${region}::${resource({ ...facts, partition, region }, id)}`;
const iamArnOf =
  (kind: string): Attribute =>
  (facts, id) =>
    `arn:${facts.partition}:iam::${facts.account}:${kind}${facts.text('Path') ?? '/'}${id}`;

/** The ARN that a `FunctionName` property means, which takes a name, a part of an ARN or an ARN. */
function functionArn(facts: Facts): string {
  const text = facts.text('FunctionName') ?? '';
  if (text.startsWith('arn:')) return text;
  return arnOf('lambda', () => `function:${text.slice(text.lastIndexOf(':') + 1)}`)(facts, '');
}

function certificateArn(facts: Facts): string {
  return arnOf('acm', () => `certificate/${uuid(facts)}`)(facts, '');
}

function topicArn(facts: Facts): string {
  return arnOf('sns', () => named('TopicName')(facts))(facts, '');
}

const queueName: Attribute = (facts) => named('QueueName')(facts);
/** A replica has the id of its primary key. */
const keyIdOf = (primaryArn: string | undefined) => primaryArn?.slice(primaryArn.lastIndexOf('/') + 1);
const keyArn = arnOf('kms', (_, id) => `key/${id}`);
const self: Attribute = (_, id) => id;

const SPLIT_ID_LENGTH = 6;
/** The label of every table's stream: the same in all regions and every run. */
export const STREAM_LABEL = '2020-01-01T00:00:00.000';

export const RESOURCE_TYPES: Readonly<Record<string, TypeRule>> = {
  'AWS::ApiGateway::Authorizer': { id: madeUp(SPLIT_ID_LENGTH), attributes: { AuthorizerId: self } },
  'AWS::ApiGateway::Deployment': { id: madeUp(SPLIT_ID_LENGTH), attributes: { DeploymentId: self } },
  'AWS::ApiGateway::DomainName': {
    id: (facts) => facts.text('DomainName') ?? generatedName(facts),
    arn: apiArnOf((_, id) => `/domainnames/${id}`),
    attributes: {
      DomainNameArn: apiArnOf((_, id) => `/domainnames/${id}`),
      RegionalDomainName: (facts) =>
        `d-${token(facts, 'domain', 10)}.execute-api.${facts.region}.${facts.urlSuffix}`,
      RegionalHostedZoneId: (facts) => `Z${token(facts, 'zone', 13).toUpperCase()}`,
    },
  },
  'AWS::ApiGateway::Model': { id: named('Name') },
  'AWS::ApiGateway::RequestValidator': {
    id: madeUp(SPLIT_ID_LENGTH),
    attributes: { RequestValidatorId: self },
  },
  'AWS::ApiGateway::Resource': { id: madeUp(SPLIT_ID_LENGTH), attributes: { ResourceId: self } },
  'AWS::ApiGateway::RestApi': {
    id: madeUp(10),
    arn: apiArnOf((_, id) => `/restapis/${id}`),
    attributes: { RestApiId: self, RootResourceId: madeUp(10, 'root') },
  },
  'AWS::ApiGateway::Stage': {
    id: (facts) => facts.text('StageName') ?? 'default',
    arn: apiArnOf((facts, id) => `/restapis/${facts.text('RestApiId')}/stages/${id}`),
  },
  'AWS::ApplicationAutoScaling::ScalableTarget': {
    id: ({ text }) => [text('ResourceId'), text('ScalableDimension'), text('ServiceNamespace')].join('|'),
    attributes: { Id: self },
  },
  'AWS::ApplicationAutoScaling::ScalingPolicy': {
    id: (facts) =>
      arnOf('autoscaling', () => `scalingPolicy:${uuid(facts)}:policyName/${facts.text('PolicyName')}`)(
        facts,
        '',
      ),
    arn: self,
    attributes: { PolicyName: (facts) => facts.text('PolicyName') ?? '' },
  },
  'AWS::CertificateManager::Certificate': { id: certificateArn, arn: certificateArn },
  'AWS::CloudWatch::Alarm': { id: named('AlarmName'), arn: arnOf('cloudwatch', (_, id) => `alarm:${id}`) },
  'AWS::CloudWatch::CompositeAlarm': {
    id: named('AlarmName'),
    arn: arnOf('cloudwatch', (_, id) => `alarm:${id}`),
  },
  'AWS::CloudWatch::Dashboard': { id: named('DashboardName') },
  'AWS::CodeDeploy::Application': {
    id: named('ApplicationName'),
    arn: arnOf('codedeploy', (_, id) => `application:${id}`),
  },
  'AWS::CodeDeploy::DeploymentConfig': {
    id: named('DeploymentConfigName'),
    arn: arnOf('codedeploy', (_, id) => `deploymentconfig:${id}`),
  },
  'AWS::CodeDeploy::DeploymentGroup': {
    id: named('DeploymentGroupName'),
    arn: arnOf('codedeploy', ({ text }, id) => `deploymentgroup:${text('ApplicationName')}/${id}`),
  },
  'AWS::DynamoDB::GlobalTable': {
    id: named('TableName'),
    arn: arnOf('dynamodb', (_, id) => `table/${id}`),
    attributes: {
      TableId: uuid,
      StreamArn: arnOf('dynamodb', (_, id) => `table/${id}/stream/${STREAM_LABEL}`),
    },
  },
  'AWS::Events::Rule': { id: named('Name'), arn: arnOf('events', (_, id) => `rule/${id}`) },
  'AWS::IAM::ManagedPolicy': {
    id: (facts) => iamArnOf('policy')(facts, named('ManagedPolicyName')(facts)),
    arn: self,
    attributes: { PolicyArn: self },
  },
  'AWS::IAM::Role': {
    id: named('RoleName'),
    arn: iamArnOf('role'),
    attributes: { RoleId: (facts) => `AROA${token(facts, 'role', 17).toUpperCase()}` },
  },
  'AWS::KMS::Alias': {
    id: (facts) => facts.text('AliasName') ?? `alias/${generatedName(facts)}`,
    arn: arnOf('kms', self),
  },
  'AWS::KMS::Key': {
    id: (facts) =>
      facts.text('MultiRegion') === 'true' ? `mrk-${uuid(facts).replaceAll('-', '')}` : uuid(facts),
    arn: keyArn,
    attributes: { KeyId: self },
  },
  'AWS::KMS::ReplicaKey': {
    id: (facts) => keyIdOf(facts.text('PrimaryKeyArn')) ?? uuid(facts),
    arn: keyArn,
    attributes: { KeyId: self },
  },
  'AWS::Lambda::Alias': {
    id: (facts) => `${functionArn(facts)}:${facts.text('Name')}`,
    arn: self,
    attributes: { AliasArn: self },
  },
  'AWS::Lambda::EventSourceMapping': {
    id: uuid,
    arn: arnOf('lambda', (_, id) => `event-source-mapping:${id}`),
    attributes: {
      Id: self,
      EventSourceMappingArn: arnOf('lambda', (_, id) => `event-source-mapping:${id}`),
    },
  },
  'AWS::Lambda::Function': {
    id: named('FunctionName'),
    arn: arnOf('lambda', (_, id) => `function:${id}`),
  },
  'AWS::Lambda::Version': {
    // A template holds one version of a function: the one it publishes.
    id: (facts) => `${functionArn(facts)}:1`,
    arn: self,
    attributes: { Version: () => '1', FunctionArn: self },
  },
  'AWS::Logs::LogGroup': { id: named('LogGroupName'), arn: arnOf('logs', (_, id) => `log-group:${id}:*`) },
  'AWS::Route53::HealthCheck': {
    id: uuid,
    arn: ({ partition }, id) => `arn:${partition}:route53:::healthcheck/${id}`,
    attributes: { HealthCheckId: self },
  },
  'AWS::Route53::RecordSet': { id: (facts) => facts.text('Name') ?? generatedName(facts) },
  'AWS::S3::Bucket': {
    id: (facts) => facts.text('BucketName') ?? generatedName(facts).toLowerCase(),
    arn: ({ partition }, id) => `arn:${partition}:s3:::${id}`,
    attributes: {
      DomainName: ({ urlSuffix }, id) => `${id}.s3.${urlSuffix}`,
      RegionalDomainName: ({ region, urlSuffix }, id) => `${id}.s3.${region}.${urlSuffix}`,
    },
  },
  'AWS::Scheduler::Schedule': {
    id: named('Name'),
    arn: arnOf('scheduler', ({ text }, id) => `schedule/${text('GroupName') ?? 'default'}/${id}`),
  },
  'AWS::Scheduler::ScheduleGroup': {
    id: named('Name'),
    arn: arnOf('scheduler', (_, id) => `schedule-group/${id}`),
  },
  'AWS::SNS::Subscription': { id: (facts) => `${facts.text('TopicArn')}:${uuid(facts)}`, arn: self },
  'AWS::SNS::Topic': {
    id: topicArn,
    arn: self,
    attributes: { TopicArn: self, TopicName: (facts) => named('TopicName')(facts) },
  },
  'AWS::SQS::Queue': {
    id: (facts) => `https://sqs.${facts.region}.${facts.urlSuffix}/${facts.account}/${queueName(facts, '')}`,
    arn: arnOf('sqs', queueName),
    attributes: { QueueName: queueName, QueueUrl: self },
  },
  'AWS::SSM::Parameter': {
    id: named('Name'),
    arn: arnOf('ssm', (_, id) => `parameter/${id.replace(/^\//, '')}`),
    attributes: { Value: (facts) => facts.text('Value') ?? '' },
  },
  [SDK_CALL_TYPE]: { id: (facts) => givenPhysicalId(facts.text('Create')) ?? generatedName(facts) },
  'AWS::WAFv2::WebACL': {
    id: (facts) => `${named('Name')(facts)}|${uuid(facts)}|${facts.text('Scope')}`,
    arn: arnOf('wafv2', (facts) => `regional/webacl/${named('Name')(facts)}/${uuid(facts)}`),
    attributes: { Id: uuid },
  },
};

/** For types whose id nobody outside looks at. */
export const OTHER_TYPE: TypeRule = { id: generatedName };
