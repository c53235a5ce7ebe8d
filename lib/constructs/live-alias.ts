// The alias every caller goes through. Provisioned concurrency stands on the published version, not on the alias:
// an alias with weights cannot have any, and a canary is an alias with weights (ADR 0003).
import {
  CfnScalableTarget,
  CfnScalingPolicy,
  PredefinedMetric,
  ServiceNamespace,
} from 'aws-cdk-lib/aws-applicationautoscaling';
import { Alias, type IFunction, type IVersion, type Version } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { SCALING } from '../../config/promises.ts';
import { LIVE } from '../names.ts';
import type { ServiceFunction } from './service-function.ts';

export interface WarmCapacity {
  /** Provisioned from the start of a version's life; the version does not exist before they are warm. */
  readonly min: number;
  readonly max: number;
}

export interface LiveAliasProps {
  readonly of: ServiceFunction;
  /** @default none: every environment starts on demand */
  readonly warm?: WarmCapacity;
}

export class LiveAlias extends Construct {
  readonly alias: Alias;
  /** The same, as what calls a function wants it. */
  readonly callee: IFunction;
  readonly version: Version;

  constructor(scope: Construct, id: string, props: LiveAliasProps) {
    super(scope, id);
    const { of, warm } = props;
    this.version = of.function.currentVersion;
    // CDK's classes say `role: IRole | undefined` where its interfaces say `role?: IRole`, which
    // `exactOptionalPropertyTypes` tells apart; they are the same to CDK.
    const version = this.version as IVersion;
    this.alias = new Alias(this, 'Alias', { aliasName: LIVE, version });
    this.callee = this.alias as IFunction;
    if (warm) this.alias.node.addDependency(this.scale(of.functionName, warm));
  }

  /** Target tracking on the version's own utilization. The alias waits for it, so that traffic never reaches a version
   * that cannot grow. The cooldowns come on top of the metric's own delay of a minute or more (ADR 0005). */
  private scale(functionName: string, { min, max }: WarmCapacity): Construct {
    if (!(min >= 1 && max >= min))
      throw new RangeError(`${this.node.path}: warm: expected 1 <= min <= max, got min ${min}, max ${max}`);
    const target = new CfnScalableTarget(this, 'Capacity', {
      serviceNamespace: ServiceNamespace.LAMBDA,
      scalableDimension: 'lambda:function:ProvisionedConcurrency',
      resourceId: `function:${functionName}:${this.version.version}`,
      minCapacity: min,
      maxCapacity: max,
    });
    return new CfnScalingPolicy(this, 'Utilization', {
      policyName: `${functionName}-utilization`,
      policyType: 'TargetTrackingScaling',
      scalingTargetId: target.ref,
      targetTrackingScalingPolicyConfiguration: {
        targetValue: SCALING.cpuUtilization,
        scaleOutCooldown: SCALING.scaleOutDelayMs / 1_000,
        scaleInCooldown: SCALING.scaleInDelayMs / 1_000,
        predefinedMetricSpecification: {
          predefinedMetricType: PredefinedMetric.LAMBDA_PROVISIONED_CONCURRENCY_UTILIZATION,
        },
      },
    });
  }
}
