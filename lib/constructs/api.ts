// The Region's API: exactly the paths of the protocol, each to its function's `live` alias, behind the authorizer
// except for what must answer without a token.
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import {
  AccessLogField,
  AccessLogFormat,
  CfnAccount,
  EndpointType,
  IdentitySource,
  IpAddressType,
  type IResource,
  type IRestApi,
  LambdaIntegration,
  LogGroupLogDestination,
  MethodLoggingLevel,
  type MethodOptions,
  RequestAuthorizer,
  RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import { ManagedPolicy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Config } from '../../config/config.ts';
import { PATHS } from '../../protocol/messages.ts';
import type { FunctionName } from '../functions.ts';
import { accessLogGroup, LIVE, projectName } from '../names.ts';
import { ProblemResponses } from './problem-responses.ts';

export interface ApiProps {
  readonly config: Config;
  readonly region: string;
  readonly key: IKey;
  /** The `live` alias of every function that answers a request. */
  readonly aliases: Readonly<Record<ApiFunction | 'authorizer', IFunction>>;
  readonly removalPolicy: RemovalPolicy;
}

type ApiFunction = Exclude<
  FunctionName,
  | 'authorizer'
  | 'observer'
  | 'archiver'
  | 'reconciler'
  | 'sweeper'
  | 'backup'
  | 'verification'
  | 'scrubber'
  | 'restore'
  | 'pretraffic'
>;

interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly to: ApiFunction;
  /** Answers without a token. */
  readonly open?: true;
}

/** Every route there is. */
export const ROUTES: readonly Route[] = [
  { method: 'GET', path: PATHS.health, to: 'health', open: true },
  { method: 'GET', path: PATHS.ready, to: 'ready', open: true },
  { method: 'GET', path: PATHS.readyRecords, to: 'records', open: true },
  { method: 'GET', path: PATHS.readyPush, to: 'push', open: true },
  { method: 'GET', path: PATHS.readyPull, to: 'pull', open: true },
  { method: 'GET', path: PATHS.description, to: 'describe', open: true },
  { method: 'GET', path: PATHS.records, to: 'records' },
  { method: 'GET', path: PATHS.record, to: 'records' },
  { method: 'PUT', path: PATHS.record, to: 'records' },
  { method: 'DELETE', path: PATHS.record, to: 'records' },
  { method: 'GET', path: PATHS.conflicts, to: 'records' },
  { method: 'POST', path: PATHS.push, to: 'push' },
  { method: 'GET', path: PATHS.pull, to: 'pull' },
];

/** As long as API Gateway may hold on to an authorizer's answer for one token. */
const AUTHORIZATION_CACHE = Duration.minutes(5);

export class Api extends Construct {
  readonly restApi: RestApi;

  constructor(scope: Construct, id: string, props: ApiProps) {
    super(scope, id);
    const { config, region, key, aliases, removalPolicy } = props;
    const { stage, capacity, domain, logRetentionDays } = config;

    const accessLog = new LogGroup(this, 'AccessLog', {
      logGroupName: accessLogGroup(stage),
      encryptionKey: key,
      retention: logRetentionDays,
      removalPolicy,
    });
    const account = this.loggingAccount();
    this.restApi = new RestApi(this, 'RestApi', {
      restApiName: projectName(stage),
      description: `Eden Field ${stage} in ${region}`,
      endpointConfiguration: { types: [EndpointType.REGIONAL], ipAddressType: IpAddressType.DUAL_STACK },
      // The default name takes TLS 1.0; where there are names of our own, only they answer.
      disableExecuteApiEndpoint: domain !== undefined,
      cloudWatchRole: false,
      // Bodies reach the functions as the bytes that were sent. As text, API Gateway would quietly replace what is not
      // UTF-8, which they have to refuse.
      binaryMediaTypes: ['*/*'],
      deployOptions: {
        stageName: LIVE,
        throttlingRateLimit: capacity.requestsPerSecondMax,
        throttlingBurstLimit: capacity.requestBurstMax,
        tracingEnabled: true,
        metricsEnabled: true,
        // Execution logs go to a log group that nobody can encrypt or end; access logs and traces say what is needed.
        loggingLevel: MethodLoggingLevel.OFF,
        dataTraceEnabled: false,
        accessLogDestination: new LogGroupLogDestination(accessLog),
        accessLogFormat: ACCESS_LOG_FORMAT,
      },
    });
    this.restApi.deploymentStage.node.addDependency(account);

    const authorizer = new RequestAuthorizer(this, 'Authorizer', {
      authorizerName: projectName(stage),
      handler: aliases.authorizer,
      identitySources: [IdentitySource.header('Authorization')],
      resultsCacheTtl: AUTHORIZATION_CACHE,
    });
    for (const { method, path, to, open } of ROUTES) {
      const options: MethodOptions = open ? {} : { authorizer };
      this.resourceAt(path).addMethod(
        method,
        new LambdaIntegration(aliases[to], { proxy: true, allowTestInvoke: false }),
        options,
      );
    }
    // The cast is for `exactOptionalPropertyTypes`; see LiveAlias.
    new ProblemResponses(this, 'Problems', { api: this.restApi as IRestApi, region });
  }

  private resourceAt(path: string): IResource {
    return path
      .split('/')
      .filter(Boolean)
      .reduce<IResource>((at, part) => at.getResource(part) ?? at.addResource(part), this.restApi.root);
  }

  /** The account's one role for writing access logs. Kept when the stack goes, since another stage may use it by then.
   * https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html */
  private loggingAccount(): CfnAccount {
    const role = new Role(this, 'LoggingRole', {
      description: 'Lets API Gateway write access logs',
      // No aws:SourceAccount: API Gateway tries the role out when the setting is made, on behalf of no API.
      assumedBy: new ServicePrincipal('apigateway.amazonaws.com'),
      managedPolicies: [
        ManagedPolicy.fromAwsManagedPolicyName('service-role/AmazonAPIGatewayPushToCloudWatchLogs'),
      ],
    });
    role.applyRemovalPolicy(RemovalPolicy.RETAIN);
    const account = new CfnAccount(this, 'LoggingAccount', { cloudWatchRoleArn: role.roleArn });
    account.applyRemovalPolicy(RemovalPolicy.RETAIN);
    return account;
  }
}

const ACCESS_LOG_FORMAT = AccessLogFormat.custom(
  JSON.stringify({
    time: AccessLogField.contextRequestTimeEpoch(),
    requestId: AccessLogField.contextRequestId(),
    traceId: AccessLogField.contextXrayTraceId(),
    ip: AccessLogField.contextIdentitySourceIp(),
    tenant: AccessLogField.contextAuthorizer('tenant'),
    subject: AccessLogField.contextAuthorizer('subject'),
    method: AccessLogField.contextHttpMethod(),
    route: AccessLogField.contextResourcePath(),
    path: AccessLogField.contextPath(),
    status: AccessLogField.contextStatus(),
    bytes: AccessLogField.contextResponseLength(),
    latencyMs: AccessLogField.contextResponseLatency(),
    functionLatencyMs: AccessLogField.contextIntegrationLatency(),
    functionStatus: AccessLogField.contextIntegrationStatus(),
    authorizerLatencyMs: AccessLogField.contextAuthorizerIntegrationLatency(),
    error: AccessLogField.contextErrorMessage(),
    userAgent: AccessLogField.contextIdentityUserAgent(),
  }),
);
