// The observer of a Region, once a minute: it probes, keeps the feed's heartbeats and feeds the alarm that holds an
// evacuated primary out of DNS (DESIGN §4, PROTOCOL 6.2).
import { Aws, Duration, type RemovalPolicy } from 'aws-cdk-lib';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Schedule, ScheduleExpression } from 'aws-cdk-lib/aws-scheduler';
import { LambdaInvoke } from 'aws-cdk-lib/aws-scheduler-targets';
import { Construct } from 'constructs';
import type { Config, Role as RegionRole } from '../../config/config.ts';
import { functionName } from '../names.ts';
import { LiveAlias } from './live-alias.ts';
import { ServiceFunction } from './service-function.ts';

export interface ObserverProps {
  readonly config: Config;
  readonly role: RegionRole;
  readonly key: IKey;
  readonly keyId: string;
  readonly removalPolicy: RemovalPolicy;
}

/** A minute's observation is worth nothing in the next one. */
const MINUTE = Duration.minutes(1);

export class Observer extends Construct {
  constructor(scope: Construct, id: string, props: ObserverProps) {
    super(scope, id);
    const { config, role, key, keyId, removalPolicy } = props;
    const observer = new ServiceFunction(this, 'Observer', {
      config,
      role,
      name: 'observer',
      key,
      keyId,
      removalPolicy,
    });
    const { alias, callee } = new LiveAlias(this, 'Live', { of: observer });
    // The schedule's call is asynchronous, so that Lambda has a queue and retries of its own beside the schedule's.
    alias.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: MINUTE });

    new Schedule(this, 'EveryMinute', {
      scheduleName: functionName(config.stage, 'observer'),
      description: 'One minute of observation',
      schedule: ScheduleExpression.rate(MINUTE),
      target: new LambdaInvoke(callee, {
        // The default is 185 retries over 24 h: after an outage they would all arrive at once.
        retryAttempts: 0,
        maxEventAge: MINUTE,
        role: new Role(this, 'ScheduleRole', {
          description: 'Lets the schedule call the observer',
          assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
            conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
          }),
        }),
      }),
    });
  }
}
