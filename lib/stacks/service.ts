// A serving Region: its API, the functions behind it, each with a `live` alias and a canary, its names, its observer,
// its archiver, its sweeper, its scrubber, its backups.
// Primary and standby get the same, capacity included, so that the standby can take everything at once without asking
// a control plane for anything.
import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IAlarm,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { LambdaApplication } from 'aws-cdk-lib/aws-codedeploy';
import type { Construct } from 'constructs';
import { ALERTS } from '../../config/promises.ts';
import { Api } from '../constructs/api.ts';
import { Archiver } from '../constructs/archiver.ts';
import { Backups } from '../constructs/backups.ts';
import { CanaryRelease } from '../constructs/canary-release.ts';
import { LiveAlias, type WarmCapacity } from '../constructs/live-alias.ts';
import { Observer } from '../constructs/observer.ts';
import { offsiteElsewhere } from '../constructs/offsite.ts';
import { RegionalDomain } from '../constructs/regional-domain.ts';
import { RestoreQueue } from '../constructs/restore-queue.ts';
import { ScheduledFunction } from '../constructs/scheduled-function.ts';
import { Scrubber } from '../constructs/scrubber.ts';
import { ServiceFunction } from '../constructs/service-function.ts';
import { Verification } from '../constructs/verification.ts';
import { CANARY_FUNCTIONS, FUNCTIONS, type FunctionName, type FunctionSpec } from '../functions.ts';
import { LIVE, projectName } from '../names.ts';
import { EdenStack, type EdenStackProps } from './eden-stack.ts';
import type { FoundationStack } from './foundation.ts';

export interface ServiceStackProps extends EdenStackProps {
  readonly role: 'primary' | 'standby';
  readonly foundation: FoundationStack;
}

interface Deployed {
  readonly of: ServiceFunction;
  readonly live: LiveAlias;
}

export class ServiceStack extends EdenStack {
  constructor(scope: Construct, props: ServiceStackProps) {
    const { config, role, foundation } = props;
    super(scope, `service-${role}`, role, `the API and its functions in the ${role} Region`, config);
    const { key, keyId } = foundation;
    const { removalPolicy } = this;
    const shared = { config, role, key, keyId, removalPolicy };

    const deploy = (name: FunctionName): Deployed => {
      const spec: FunctionSpec = FUNCTIONS[name];
      const warm = spec.warm ? this.warmCapacity(spec) : undefined;
      const of = new ServiceFunction(this, name, { ...shared, name, ...(warm ? { warm: warm.min } : {}) });
      const live = new LiveAlias(this, `${name}-live`, { of, ...(warm ? { warm } : {}) });
      return { of, live };
    };
    const deployed = {
      records: deploy('records'),
      push: deploy('push'),
      pull: deploy('pull'),
      authorizer: deploy('authorizer'),
      health: deploy('health'),
      ready: deploy('ready'),
      describe: deploy('describe'),
    };

    const { restApi } = new Api(this, 'Api', {
      config,
      region: this.region,
      key,
      removalPolicy,
      aliases: {
        records: deployed.records.live.callee,
        push: deployed.push.live.callee,
        pull: deployed.pull.live.callee,
        authorizer: deployed.authorizer.live.callee,
        health: deployed.health.live.callee,
        ready: deployed.ready.live.callee,
        describe: deployed.describe.live.callee,
      },
    });
    if (config.domain)
      new RegionalDomain(this, 'Domain', { domain: config.domain, region: this.region, restApi });

    const application = new LambdaApplication(this, 'Releases', {
      applicationName: projectName(config.stage),
    });
    const alarms = [this.failuresAlarm()];
    for (const name of CANARY_FUNCTIONS)
      new CanaryRelease(this, `${name}-release`, { ...shared, ...deployed[name], application, alarms });

    new Observer(this, 'Observer', shared);
    new Archiver(this, 'Archiver', shared);
    const thirdCopy = config.consistency === 'eventual' ? offsiteElsewhere(this, config) : undefined;
    const offsite = thirdCopy?.region === this.region ? thirdCopy : undefined;
    new Backups(this, 'Backups', { ...shared, offsite, thirdCopy });
    new Verification(this, 'Verification', { ...shared, offsite });
    new Scrubber(this, 'Scrubber', shared);
    new RestoreQueue(this, 'RestoreQueue', shared);
    new ScheduledFunction(this, 'Sweeper', { ...shared, name: 'sweeper' });
  }

  /** Where concurrency is reserved, old and new version share it during a release. */
  private warmCapacity({ reserved }: FunctionSpec): WarmCapacity {
    const { instancesMin, instancesMax, authorizerReservedConcurrency } = this.config.capacity;
    const max =
      reserved === undefined
        ? instancesMax
        : Math.min(instancesMax, Math.floor(authorizerReservedConcurrency / 2));
    return { min: instancesMin, max };
  }

  /** What Lambda does not count as an error: a function that answers 5xx, and a gateway that gets no answer. */
  private failuresAlarm(): IAlarm {
    const { stage } = this.config;
    return new Alarm(this, 'Failures', {
      alarmName: `${projectName(stage)}-release-failures`,
      alarmDescription: 'The API answers more 5xx than a release may cause',
      metric: new Metric({
        namespace: 'AWS/ApiGateway',
        metricName: '5XXError',
        dimensionsMap: { ApiName: projectName(stage), Stage: LIVE },
        statistic: Stats.AVERAGE,
        period: Duration.minutes(1),
      }),
      threshold: ALERTS.errorRateCritical.above,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 3,
      datapointsToAlarm: 2,
      // No requests, no failures.
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
  }
}
