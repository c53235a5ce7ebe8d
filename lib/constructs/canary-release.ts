// How a new version gets its traffic: first it must call itself ready twice, then it gets a tenth for five minutes,
// then everything; any alarm on the way puts the old version back. Two alarms look at the new version alone. What they
// cannot see is a function that answers 5xx itself, so the API's own alarm counts too. It also stops the release of a
// fix while the API is failing: evacuate the Region first, and the alarm is silent.
import { Aws, Duration, type RemovalPolicy } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IAlarm,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import {
  type LambdaApplication,
  LambdaDeploymentConfig,
  LambdaDeploymentGroup,
} from 'aws-cdk-lib/aws-codedeploy';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import type { Config, Role as RegionRole } from '../../config/config.ts';
import { SERVICE_LEVELS } from '../../config/promises.ts';
import { LIVE } from '../names.ts';
import type { LiveAlias } from './live-alias.ts';
import { ServiceFunction } from './service-function.ts';

export interface CanaryReleaseProps {
  readonly config: Config;
  readonly role: RegionRole;
  readonly key: IKey;
  readonly keyId: string;
  readonly of: ServiceFunction;
  readonly live: LiveAlias;
  readonly application: LambdaApplication;
  /** Alarms beside the version's own two that end a release. @default none */
  readonly alarms?: readonly IAlarm[];
  readonly removalPolicy: RemovalPolicy;
}

export class CanaryRelease extends Construct {
  constructor(scope: Construct, id: string, props: CanaryReleaseProps) {
    super(scope, id);
    const { config, role, key, keyId, of, live, application, alarms = [], removalPolicy } = props;

    const pretraffic = new ServiceFunction(this, 'Pretraffic', {
      config,
      role,
      name: 'pretraffic',
      as: `pretraffic-${of.shortName}`,
      key,
      keyId,
      environment: { NEW_VERSION_ARN: live.version.functionArn },
      removalPolicy,
    });
    pretraffic.function.addToRolePolicy(
      new PolicyStatement({
        sid: 'AskNewVersion',
        actions: ['lambda:InvokeFunction'],
        resources: [live.version.functionArn],
      }),
    );
    const releaseRole = new Role(this, 'Role', {
      description: `Moves the traffic of ${of.functionName}`,
      assumedBy: new ServicePrincipal('codedeploy.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    });
    new LambdaDeploymentGroup(this, 'Group', {
      application,
      deploymentGroupName: of.functionName,
      alias: live.alias,
      deploymentConfig: LambdaDeploymentConfig.CANARY_10PERCENT_5MINUTES,
      preHook: pretraffic.function,
      alarms: [...this.versionAlarms(of, live), ...alarms],
      autoRollback: { failedDeployment: true, stoppedDeployment: true, deploymentInAlarm: true },
      role: releaseRole,
    });
    // The alias waits for its group, but not for the policy that lets the group call the hook: without this a release
    // could start before it may.
    live.alias.node.addDependency(releaseRole);
  }

  private versionAlarms(of: ServiceFunction, live: LiveAlias): readonly IAlarm[] {
    // Only calls through the alias that this version answered:
    // https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    const metric = (metricName: string, statistic: string) =>
      new Metric({
        namespace: 'AWS/Lambda',
        metricName,
        statistic,
        period: Duration.minutes(1),
        dimensionsMap: {
          FunctionName: of.functionName,
          Resource: `${of.functionName}:${LIVE}`,
          ExecutedVersion: live.version.version,
        },
      });
    // A quiet minute is no fault: with no calls there is nothing to roll back for.
    const treatMissingData = TreatMissingData.NOT_BREACHING;
    return [
      // Handlers answer failures themselves, so that an error here is a crash, a timeout or no memory left.
      new Alarm(this, 'Errors', {
        alarmName: `${of.functionName}-release-errors`,
        alarmDescription: `The version of ${of.functionName} being released crashes or times out`,
        metric: metric('Errors', Stats.SUM),
        threshold: 0,
        comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluationPeriods: 1,
        treatMissingData,
      }),
      new Alarm(this, 'Latency', {
        alarmName: `${of.functionName}-release-latency`,
        alarmDescription: `The version of ${of.functionName} being released is slower than promised`,
        metric: metric('Duration', Stats.p(99)),
        threshold:
          of.spec.service === 'sync' ? SERVICE_LEVELS.syncLatencyP99Ms : SERVICE_LEVELS.apiLatencyP99Ms,
        comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluationPeriods: 3,
        datapointsToAlarm: 2,
        // A tenth of little traffic has no 99th percentile worth rolling back for.
        evaluateLowSampleCountPercentile: 'ignore',
        treatMissingData,
      }),
    ];
  }
}
