// A function that a schedule calls through its `live` alias, and that is never run late or again: what a call missed,
// the next one does (DESIGN §4, PROTOCOL 7).
import { Aws, Duration, type RemovalPolicy } from 'aws-cdk-lib';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Schedule, ScheduleExpression } from 'aws-cdk-lib/aws-scheduler';
import { LambdaInvoke } from 'aws-cdk-lib/aws-scheduler-targets';
import { Construct } from 'constructs';
import type { Config, Role as RegionRole } from '../../config/config.ts';
import { FUNCTIONS } from '../functions.ts';
import { functionName } from '../names.ts';
import { LiveAlias } from './live-alias.ts';
import { ServiceFunction } from './service-function.ts';

export interface ScheduledFunctionProps {
  readonly config: Config;
  readonly role: RegionRole;
  /** Which entry of `FUNCTIONS`; it says how often. */
  readonly name: 'observer' | 'sweeper' | 'verification' | 'scrubber';
  readonly key: IKey;
  readonly keyId: string;
  /** See {@link ServiceFunctionProps.roleName}. */
  readonly roleName?: string | undefined;
  /** Beside what every function gets. @default nothing */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where its entry leaves that to the stage. @default as its entry says */
  readonly rate?: Duration;
  readonly removalPolicy: RemovalPolicy;
}

const EVERY = {
  minute: { id: 'EveryMinute', rate: Duration.minutes(1) },
  quarter: { id: 'EveryQuarter', rate: Duration.minutes(15) },
  hour: { id: 'EveryHour', rate: Duration.hours(1) },
} as const;

export class ScheduledFunction extends Construct {
  protected readonly scheduled: ServiceFunction;

  constructor(scope: Construct, id: string, props: ScheduledFunctionProps) {
    super(scope, id);
    const { config, name, rate: configured } = props;
    const scheduled = new ServiceFunction(this, id, props);
    this.scheduled = scheduled;
    const { alias, callee } = new LiveAlias(this, 'Live', { of: scheduled });
    const { every, does } = FUNCTIONS[name].schedule;
    const { id: scheduleId, rate } =
      every === 'configured' ? { id: 'EveryInterval', rate: configured } : EVERY[every];
    if (!rate) throw new Error(`${this.node.path}: rate: expected one, since ${name} has none of its own`);
    // The schedule's call is asynchronous, so that Lambda has a queue and retries of its own beside the schedule's.
    alias.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: rate });

    new Schedule(this, scheduleId, {
      scheduleName: functionName(config.stage, name),
      description: does,
      schedule: ScheduleExpression.rate(rate),
      target: new LambdaInvoke(callee, {
        // The default is 185 retries over 24 h: after an outage they would all arrive at once.
        retryAttempts: 0,
        maxEventAge: rate,
        role: new Role(this, 'ScheduleRole', {
          description: `Lets the schedule call the ${name}`,
          assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
            conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
          }),
        }),
      }),
    });
  }
}
