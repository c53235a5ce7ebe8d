import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { commonError } from '../../rehearsal/aws/service-error.ts';
import type { InvokeRequest } from '../../rehearsal/region/lambda.ts';
import { nextRun, parseSchedule } from '../../rehearsal/region/schedule-expression.ts';
import { Scheduler, schedulesOf } from '../../rehearsal/region/scheduler.ts';
import { deploymentOf } from './fixtures/assembly.ts';

const at = (text: string) => Date.parse(`${text}Z`);
const text = (ms: number | undefined) =>
  ms === undefined ? undefined : new Date(ms).toISOString().slice(0, 19);
const FUNCTION = 'arn:aws:lambda:us-east-2:000000000000:function:observer:live';

const following = (expression: string, after: string) =>
  text(nextRun(parseSchedule(expression), at(after), at('2026-01-01T00:00:00')));

test('cron expressions run when AWS says', () => {
  // The monthly chaos test: the spec's `0 2 1 * *`.
  assert.equal(following('cron(0 2 1 * ? *)', '2026-01-01T02:00:00'), '2026-02-01T02:00:00');
  assert.equal(following('cron(0 2 1 * ? *)', '2026-01-01T01:59:59'), '2026-01-01T02:00:00');
  assert.equal(following('cron(20 * * * ? *)', '2026-01-01T23:20:00'), '2026-01-02T00:20:00');
  assert.equal(following('cron(0/15 * * * ? *)', '2026-01-01T00:46:00'), '2026-01-01T01:00:00');
  assert.equal(following('cron(0 18 ? * MON-FRI *)', '2026-01-02T18:00:00'), '2026-01-05T18:00:00');
  assert.equal(following('cron(0 0 ? * 1 *)', '2026-01-01T00:00:00'), '2026-01-04T00:00:00', '1 is Sunday');
  assert.equal(following('cron(5 8,20 ? JAN,jul SAT *)', '2026-01-31T20:05:00'), '2026-07-04T08:05:00');
  assert.equal(following('cron(0 0 L * ? *)', '2028-02-01T00:00:00'), '2028-02-29T00:00:00');
  assert.equal(following('cron(0 0 29 2 ? *)', '2026-03-01T00:00:00'), '2028-02-29T00:00:00');
  assert.equal(following('cron(0 0 31 2 ? *)', '2026-01-01T00:00:00'), undefined);
  assert.equal(following('cron(0 0 1 1 ? 2027)', '2026-06-01T00:00:00'), '2027-01-01T00:00:00');
  assert.equal(following('cron(0 0 1 1 ? 2027)', '2027-01-01T00:00:00'), undefined);
});

test('rates count from their start, one-time schedules run once', () => {
  assert.equal(following('rate(1 minute)', '2026-01-01T00:00:00'), '2026-01-01T00:01:00');
  assert.equal(following('rate(2 hours)', '2026-01-01T03:00:00'), '2026-01-01T04:00:00');
  assert.equal(
    following('rate(1 day)', '2025-12-31T23:59:59'),
    '2026-01-01T00:00:00',
    'the first is the start',
  );
  assert.equal(following('at(2026-05-01T10:00:00)', '2026-01-01T00:00:00'), '2026-05-01T10:00:00');
  assert.equal(following('at(2026-05-01T10:00:00)', '2026-05-01T10:00:00'), undefined);
});

test('what follows is always later, and nothing lies between', () => {
  const minute = fc.integer({ min: 0, max: 59 });
  const hour = fc.integer({ min: 0, max: 23 });
  const moment = fc.integer({ min: at('2020-01-01T00:00:00'), max: at('2040-01-01T00:00:00') });
  fc.assert(
    fc.property(minute, hour, moment, (minutes, hours, after) => {
      const daily = parseSchedule(`cron(${minutes} ${hours} * * ? *)`);
      const next = nextRun(daily, after, 0) as number;
      assert.ok(next > after && next - after <= 86_400_000);
      assert.equal(nextRun(daily, next - 1, 0), next);
    }),
  );
});

test('what is no expression, or one that is not played, is refused with what was expected', () => {
  const cases: Record<string, RegExp> = {
    'every minute': /expected rate\(<value> <unit>\), cron/,
    'rate(0 minutes)': /expected rate\(<1 or more> minutes/,
    'rate(5 seconds)': /expected rate/,
    'at(tomorrow)': /expected rate/,
    'cron(0 2 1 * *)': /expected six fields in cron\(…\), got 5/,
    'cron(0 2 1 * 1 *)': /expected \? for exactly one/,
    'cron(0 2 ? * ? *)': /expected \? for exactly one/,
    'cron(60 2 1 * ? *)': /expected values from 0 to 59, got 60/,
    'cron(0 2 1W * ? *)': /expected values from 1 to 31, got 1W/,
    'cron(0 2 ? * 2#1 *)': /expected values from 1 to 7, got 2#1/,
    'cron(5-1 2 1 * ? *)': /expected values from 0 to 59, got 5-1/,
  };
  for (const [expression, message] of Object.entries(cases))
    assert.throws(() => parseSchedule(expression), message, expression);
});

const schedule = (properties: object = {}, target: object = {}) => ({
  Type: 'AWS::Scheduler::Schedule',
  Properties: {
    Name: 'minutely',
    ScheduleExpression: 'rate(1 minute)',
    FlexibleTimeWindow: { Mode: 'OFF' },
    Target: { Arn: FUNCTION, RoleArn: 'arn:aws:iam::000000000000:role/caller', ...target },
    ...properties,
  },
});
const read = (t: TestContext, resources: object) =>
  schedulesOf(deploymentOf(t, { Resources: resources }), 'us-east-2');

test('a schedule is read with its policy; what is not played is listed', (t) => {
  const { schedules, notRehearsed } = read(t, {
    Good: schedule({}, { RetryPolicy: { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60 } }),
    Plain: schedule(),
    Off: schedule({ State: 'DISABLED' }),
    Zone: schedule({ ScheduleExpressionTimezone: 'Europe/Berlin' }),
    Bus: schedule({}, { Arn: 'arn:aws:sqs:us-east-2:000000000000:queue' }),
    Odd: schedule({ ScheduleExpression: 'cron(0 2 1W * ? *)' }),
    Late: schedule({ StartDate: '2030-01-01T00:00:00Z' }),
    Dead: schedule({}, { DeadLetterConfig: { Arn: 'x' } }),
  });
  assert.deepEqual(
    schedules.map(({ retriesMax, ageMsMax }) => [retriesMax, ageMsMax]),
    [
      [0, 60_000],
      [185, 86_400_000],
      [185, 86_400_000],
    ],
  );
  assert.deepEqual(
    notRehearsed.map((line) => line.replace(/^eden-field-test-only\/(\w+): (.{20}).*$/, '$1 $2')),
    [
      'Zone a schedule in time z',
      'Bus a schedule whose tar',
      'Odd a schedule that cann',
      'Late a schedule with a St',
      'Dead the dead-letter queu',
    ],
  );
});

test('a schedule called out of turn calls what it would have, by its short name too', (t) => {
  const { schedules } = read(t, {
    One: schedule(
      { Name: 'eden-field-test-backup-daily', ScheduleExpression: 'cron(20 0 * * ? *)' },
      { Input: '{"tier":"daily","at":"<aws.scheduler.scheduled-time>"}' },
    ),
    Other: schedule({ ScheduleExpression: 'cron(20 0 * * ? *)' }),
  });
  const options = { schedules, account: '000000000000', region: 'us-east-2', onLog: () => undefined };
  const scheduler = new Scheduler({ ...options, invokeAsync: () => assert.fail('nothing is due') });
  t.after(() => scheduler.close());
  const due = at('2026-11-25T00:20:00');
  const called = {
    functionArn: FUNCTION,
    invoker: { roleArn: 'arn:aws:iam::000000000000:role/caller' },
    payload: '{"tier":"daily","at":"2026-11-25T00:20:00Z"}',
  };
  assert.deepEqual(scheduler.requestOf('backup-daily', due), called);
  assert.deepEqual(scheduler.requestOf('eden-field-test-backup-daily', due), called);
  assert.equal(JSON.parse(scheduler.requestOf('minutely', due).payload).time, '2026-11-25T00:20:00Z');
  assert.throws(() => scheduler.requestOf('daily', due), {
    name: 'RangeError',
    message: 'a schedule is one of backup-daily, minutely, got "daily"',
  });
});

interface Watched {
  readonly sent: InvokeRequest[];
  readonly lines: string[];
  /** Lets time pass. */
  readonly pass: (ms: number) => void;
}

function run(
  t: TestContext,
  resource: object,
  invokeAsync?: (request: InvokeRequest) => void,
  scale = 1,
): Watched {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: at('2026-01-01T00:00:30') });
  const sent: InvokeRequest[] = [];
  const lines: string[] = [];
  const scheduler = new Scheduler({
    schedules: read(t, { It: resource }).schedules,
    account: '000000000000',
    region: 'us-east-2',
    invokeAsync(request) {
      sent.push(request);
      invokeAsync?.(request);
    },
    onLog: (line) => lines.push(line),
    scale,
  });
  t.after(() => scheduler.close());
  return { sent, lines, pass: (ms) => t.mock.timers.tick(ms) };
}

test("runs at once and every minute, with the role's permission and Scheduler's own notification", (t) => {
  const { sent, pass } = run(t, schedule());
  pass(0);
  assert.equal(sent.length, 1);
  pass(59_999);
  assert.equal(sent.length, 1);
  pass(1);
  pass(60_000);
  assert.equal(sent.length, 3, 'nothing holds it back');
  const [first, second] = sent;
  assert.deepEqual(first?.invoker, { roleArn: 'arn:aws:iam::000000000000:role/caller' });
  assert.equal(first?.functionArn, FUNCTION);
  const { id, ...event } = JSON.parse(second?.payload ?? '{}');
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(event, {
    version: '0',
    'detail-type': 'Scheduled Event',
    source: 'aws.scheduler',
    account: '000000000000',
    time: '2026-01-01T00:01:30Z',
    region: 'us-east-2',
    resources: ['arn:aws:scheduler:us-east-2:000000000000:schedule/default/minutely'],
    detail: '{}',
  });
});

test("its own input, with Scheduler's values put in", (t) => {
  const Input =
    '{"at":"<aws.scheduler.scheduled-time>","try":"<aws.scheduler.attempt-number>","of":"<aws.scheduler.schedule-arn>"}';
  const { sent, pass } = run(t, schedule({}, { Input }));
  pass(0);
  assert.deepEqual(JSON.parse(sent[0]?.payload ?? '{}'), {
    at: '2026-01-01T00:00:30Z',
    try: '1',
    of: 'arn:aws:scheduler:us-east-2:000000000000:schedule/default/minutely',
  });
});

test('a refused event is sent again as often and as long as the policy says', (t) => {
  const refuse = () => {
    throw commonError(403, 'AccessDeniedException', 'no');
  };
  const hourly = (policy: object) =>
    schedule({ ScheduleExpression: 'rate(1 hour)' }, { RetryPolicy: policy });
  const twice = run(t, hourly({ MaximumRetryAttempts: 2 }), refuse);
  twice.pass(0);
  for (let second = 0; second < 60; second += 1) twice.pass(1_000);
  assert.equal(twice.sent.length, 3);
  assert.match(twice.lines[0] ?? '', /^schedule minutely: AccessDeniedException: no; again in 1 s$/);
  assert.match(twice.lines.at(-1) ?? '', /given up$/);
  t.mock.timers.reset();
  const minute = run(t, hourly({ MaximumEventAgeInSeconds: 60 }), refuse);
  minute.pass(0);
  for (let second = 0; second < 600; second += 1) minute.pass(1_000);
  // 1 + 2 + 4 + 8 + 16 s of waiting are under a minute, 32 s more are not.
  assert.equal(minute.sent.length, 6);
});

test('waits longer than a timer can, and faster where time is scaled', (t) => {
  const monthly = run(t, schedule({ ScheduleExpression: 'cron(0 2 1 2 ? *)' }));
  monthly.pass(at('2026-02-01T01:59:59') - at('2026-01-01T00:00:30'));
  assert.equal(monthly.sent.length, 0);
  monthly.pass(1_000);
  assert.equal(monthly.sent.length, 1);
  t.mock.timers.reset();
  const scaled = run(t, schedule(), undefined, 60);
  scaled.pass(0);
  for (let second = 0; second < 5; second += 1) scaled.pass(1_000);
  assert.equal(scaled.sent.length, 6);
});
