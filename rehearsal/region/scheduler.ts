// EventBridge Scheduler in one region: invokes functions when their schedules say so, asynchronously, with the input
// the template gives, and again as its retry policy allows when Lambda does not take the event. A run that takes
// longer than its interval does not hold back the next: Scheduler does not look.
import { randomUUID } from 'node:crypto';
import type { Deployment, Resource } from '../assembly/assembly.ts';
import { isFields } from '../assembly/intrinsics.ts';
import type { InvokeRequest } from './lambda.ts';
import { nextRun, parseSchedule, type ScheduleExpression } from './schedule-expression.ts';

export const PLAYED_TYPES: readonly string[] = ['AWS::Scheduler::Schedule', 'AWS::Scheduler::ScheduleGroup'];

export interface Schedule {
  readonly name: string;
  readonly arn: string;
  readonly expression: ScheduleExpression;
  readonly functionArn: string;
  readonly roleArn: string;
  /** Undefined gives the target Scheduler's own notification. */
  readonly input: string | undefined;
  readonly retriesMax: number;
  readonly ageMsMax: number;
}

/** https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html */
const RETRIES_DEFAULT = 185;
const AGE_S_DEFAULT = 86_400;
/** AWS says only that it backs off exponentially. */
const RETRY_DELAY_MS = 1_000;
const RETRY_DELAY_MS_MAX = 300_000;
/** What every schedule's name begins with. */
const PROJECT_AND_STAGE = /^eden-field-[^-]+-/;
/** As long as Node's timers can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The schedules of a region that are enabled, and what of them is not played, in words. */
export function schedulesOf(
  deployment: Deployment,
  region: string,
): { schedules: readonly Schedule[]; notRehearsed: readonly string[] } {
  const notRehearsed: string[] = [];
  const schedules = deployment
    .ofType('AWS::Scheduler::Schedule', region)
    .filter(({ properties: { State } }) => State !== 'DISABLED')
    .flatMap((resource) => scheduleOf(resource, notRehearsed) ?? []);
  return { schedules, notRehearsed };
}

function scheduleOf(resource: Resource, notRehearsed: string[]): Schedule | undefined {
  const { properties, physicalId, stack, logicalId } = resource;
  const leave = (what: string): undefined => {
    notRehearsed.push(`${stack}/${logicalId}: ${what}`);
    return undefined;
  };
  const target = isFields(properties['Target']) ? properties['Target'] : {};
  const functionArn = String(target['Arn']);
  if (!/^arn:[^:]+:lambda:[^:]*:\d*:function:/.test(functionArn))
    return leave(`a schedule whose target is ${functionArn}`);
  const timezone = properties['ScheduleExpressionTimezone'] ?? 'UTC';
  if (timezone !== 'UTC' && timezone !== 'Etc/UTC') return leave(`a schedule in time zone ${timezone}`);
  for (const part of ['StartDate', 'EndDate'])
    if (properties[part] !== undefined) return leave(`a schedule with a ${part}`);
  if (target['DeadLetterConfig'] !== undefined) leave('the dead-letter queue of a schedule');
  let expression: ScheduleExpression;
  try {
    expression = parseSchedule(String(properties['ScheduleExpression']));
  } catch (cause) {
    return leave(`a schedule that cannot be read: ${cause}`);
  }
  const retry = isFields(target['RetryPolicy']) ? target['RetryPolicy'] : {};
  return {
    name: physicalId,
    arn: resource.arn ?? physicalId,
    expression,
    functionArn,
    roleArn: String(target['RoleArn']),
    input: target['Input'] === undefined ? undefined : String(target['Input']),
    retriesMax: Number(retry['MaximumRetryAttempts'] ?? RETRIES_DEFAULT),
    ageMsMax: Number(retry['MaximumEventAgeInSeconds'] ?? AGE_S_DEFAULT) * 1_000,
  };
}

export interface SchedulerOptions {
  readonly schedules: readonly Schedule[];
  readonly account: string;
  readonly region: string;
  /** Hands over an event; throws when it is not taken. */
  readonly invokeAsync: (request: InvokeRequest) => void;
  readonly onLog: (line: string) => void;
  /** Makes time between runs pass faster by this factor. @default 1 */
  readonly scale?: number;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #scale: number;
  readonly #startMs = Date.now();

  /** Starts at once; a rate without a start date has its first run now, as on AWS. */
  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#scale = options.scale ?? 1;
    // One millisecond before now, so that a rate's run at this very moment is still to come.
    for (const schedule of options.schedules) this.#arm(schedule, this.#startMs - 1);
  }

  /**
   * The call that a schedule makes when it is due at a time.
   * @param name with or without project and stage
   * @throws RangeError there is no such schedule
   */
  requestOf(
    name: string,
    scheduledMs: number,
    executionId: string = randomUUID(),
    attempt = 1,
  ): InvokeRequest {
    const { schedules } = this.#options;
    const schedule =
      schedules.find((it) => it.name === name) ??
      schedules.find((it) => it.name.replace(PROJECT_AND_STAGE, '') === name);
    if (!schedule) {
      const known = schedules.map((it) => it.name.replace(PROJECT_AND_STAGE, '')).join(', ');
      throw new RangeError(`a schedule is one of ${known}, got "${name}"`);
    }
    return {
      functionArn: schedule.functionArn,
      invoker: { roleArn: schedule.roleArn },
      payload: this.#payload(schedule, scheduledMs, executionId, attempt),
    };
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #now(): number {
    return this.#startMs + (Date.now() - this.#startMs) * this.#scale;
  }

  #arm(schedule: Schedule, afterMs: number): void {
    const atMs = nextRun(schedule.expression, afterMs, this.#startMs);
    if (atMs === undefined) return;
    const wait = () => {
      const delayMs = (atMs - this.#now()) / this.#scale;
      if (delayMs > TIMER_MS_MAX) return this.#later(TIMER_MS_MAX, wait);
      this.#later(Math.max(0, delayMs), () => {
        this.#arm(schedule, atMs);
        this.#run(schedule, atMs);
      });
    };
    wait();
  }

  #run(schedule: Schedule, scheduledMs: number): void {
    const executionId = randomUUID();
    const attempt = (number: number): void => {
      try {
        this.#options.invokeAsync(this.requestOf(schedule.name, scheduledMs, executionId, number));
      } catch (refused) {
        const delayMs = Math.min(RETRY_DELAY_MS * 2 ** (number - 1), RETRY_DELAY_MS_MAX);
        const again =
          number <= schedule.retriesMax && this.#now() + delayMs - scheduledMs <= schedule.ageMsMax;
        this.#options.onLog(
          `schedule ${schedule.name}: ${refused}${again ? `; again in ${delayMs / 1_000} s` : '; given up'}`,
        );
        if (again) this.#later(delayMs / this.#scale, () => attempt(number + 1));
      }
    };
    attempt(1);
  }

  #payload({ arn, input }: Schedule, scheduledMs: number, executionId: string, attempt: number): string {
    const time = new Date(scheduledMs).toISOString().replace(/\.\d+Z$/, 'Z');
    if (input !== undefined)
      return input
        .replaceAll('<aws.scheduler.schedule-arn>', arn)
        .replaceAll('<aws.scheduler.scheduled-time>', time)
        .replaceAll('<aws.scheduler.execution-id>', executionId)
        .replaceAll('<aws.scheduler.attempt-number>', String(attempt));
    const { account, region } = this.#options;
    return JSON.stringify({
      version: '0',
      id: executionId,
      'detail-type': 'Scheduled Event',
      source: 'aws.scheduler',
      account,
      time,
      region,
      resources: [arn],
      detail: '{}',
    });
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }
}
