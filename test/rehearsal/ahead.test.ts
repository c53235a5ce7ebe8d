// A clock that is ahead: what it changes in a process, and that processes and workers which are started have it too.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import {
  clockAheadMs,
  clockArguments,
  clockCommand,
  clockEnvironment,
  setClockAhead,
} from '../../rehearsal/ahead.ts';
import { preciseNow } from '../../rehearsal/measuring.ts';
import { Environment } from '../../rehearsal/region/lambda-environment.ts';
import { signingKey, signToken } from '../../rehearsal/supervisor/keys.ts';

const DAY = 86_400_000;
/** Two readings of clocks are never further apart here. */
const NEAR_MS = 2_000;
const MACHINE = Date;
const near = (ms: number, expected: number) =>
  assert.ok(
    Math.abs(ms - expected) < NEAR_MS,
    `${new MACHINE(ms).toISOString()} is not near what it should be`,
  );

afterEach(() => setClockAhead(0));

test('Date is ahead by as much, however it is asked, and what has a time keeps it', () => {
  const machine = MACHINE.now();
  const before = new Date(5);
  setClockAhead(3 * DAY);
  near(Date.now(), machine + 3 * DAY);
  near(Date.parse(new Date().toISOString()), machine + 3 * DAY);
  near(Date.parse(Date()), machine + 3 * DAY);
  near(preciseNow(), machine + 3 * DAY);
  assert.equal(new Date(5).getTime(), 5);
  assert.equal(new Date(2026, 0, 2, 3).getHours(), 3);
  assert.equal(Date.UTC(2026, 0), MACHINE.UTC(2026, 0));
  assert.ok(before instanceof Date && new Date() instanceof MACHINE);
  assert.ok(before.constructor === Date && new Date().constructor === Date);
  class Own extends Date {}
  near(new Own().getTime(), machine + 3 * DAY);
  assert.ok(new Own() instanceof Own);
  setClockAhead(0);
  near(Date.now(), machine);
  near(preciseNow(), machine);
  assert.equal(Date, MACHINE);
});

test('timers and durations are the machine’s', async () => {
  setClockAhead(DAY);
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(performance.now() - startedAt < NEAR_MS);
});

test('a clock is not set back, nor by part of a millisecond, nor by more than a year', () => {
  for (const ms of [-1, 0.5, Number.NaN, 400 * DAY])
    assert.throws(() => setClockAhead(ms), { name: 'RangeError', message: /a whole number of ms from 0/ });
  assert.equal(clockAheadMs(), 0);
});

test('a process that is started has the clock before anything else runs, and its own children can', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ahead-'));
  try {
    const script = join(folder, 'clock.mjs');
    writeFileSync(
      script,
      'const first = Date.now(); process.send({ first, iso: new Date().toISOString() });',
    );
    const read = async () => {
      const child = fork(script, [], { execArgv: clockArguments(), env: clockEnvironment() });
      const [message] = (await once(child, 'message')) as [{ first: number; iso: string }];
      return message;
    };
    setClockAhead(2 * DAY);
    const { first, iso } = await read();
    near(first, Date.now());
    near(Date.parse(iso), Date.now());
    assert.match(
      clockCommand(),
      /^EDEN_CLOCK_AHEAD_MS=172800000 npm_config_node_options="--import file:.*ahead\.ts" $/,
    );
    setClockAhead(0);
    near((await read()).first, MACHINE.now());
    assert.deepEqual([clockArguments(), clockCommand()], [[], '']);
    assert.equal(clockEnvironment()['EDEN_CLOCK_AHEAD_MS'], undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a function has its region’s clock, and nothing of it in its environment', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ahead-'));
  setClockAhead(2 * DAY);
  const environment = new Environment({
    functionName: 'clock',
    handler: 'index.clock',
    taskRoot: folder,
    memoryMb: 128,
    timeoutMs: 10_000,
    logGroupName: 'group',
    logStreamName: 'stream',
    env: { OWN: 'yes' },
    onLine: () => undefined,
  });
  try {
    writeFileSync(
      join(folder, 'index.mjs'),
      `const loadedAt = Date.now();
       export const clock = async (event, context) => ({
         loadedAt, now: new Date().getTime(), left: context.getRemainingTimeInMillis(), env: Object.keys(process.env),
       });`,
    );
    const outcome = await environment.invoke({
      payload: '{}',
      requestId: 'r',
      functionArn: 'arn',
      functionVersion: '1',
    });
    assert.ok('payload' in outcome, JSON.stringify(outcome));
    const { loadedAt, now, left, env } = JSON.parse(outcome.payload);
    near(loadedAt, Date.now());
    near(now, Date.now());
    assert.ok(left > 8_000 && left <= 10_000, `${left} ms are left`);
    assert.deepEqual(env, ['OWN']);
  } finally {
    await environment.close();
    rmSync(folder, { recursive: true });
  }
});

test('tokens are of the clock that is ahead', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ahead-'));
  try {
    const key = await signingKey(join(folder, 'key.json'));
    setClockAhead(2 * DAY);
    const token = await signToken(key, { issuer: 'i', audience: 'a', tenant: 'demo', ttlS: 60 });
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    near(claims.iat * 1_000, Date.now());
  } finally {
    rmSync(folder, { recursive: true });
  }
});
