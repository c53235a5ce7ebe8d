// The judgement of drills: histories in, numbers and verdicts out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAILOVER_MS_MAX } from '../../config/promises.ts';
import type { AttemptEntry, OperationEntry } from '../../rehearsal/drills/failover/history.ts';
import { judge } from '../../rehearsal/drills/failover/judge.ts';
import {
  acknowledgedWrites,
  type MeasureInput,
  type Measurements,
  measure,
} from '../../rehearsal/drills/failover/measure.ts';
import { KILL_PRIMARY } from '../../rehearsal/drills/scenarios/kill-primary.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';

const FAULT = 1_000_000;

function attempt(over: Partial<AttemptEntry> = {}): AttemptEntry {
  return { region: 'east', kind: 'first', startedAt: FAULT - 500, outcome: 'settled', status: 200, ...over };
}

function operation(over: Partial<OperationEntry> = {}): OperationEntry {
  const scheduledAt = over.scheduledAt ?? FAULT - 500;
  return {
    client: 'library',
    operation: 'get',
    key: 'drill/1',
    scheduledAt,
    endedAt: scheduledAt + 20,
    ok: true,
    status: 200,
    region: 'east',
    receivedAt: scheduledAt + 8,
    attempts: [attempt({ startedAt: scheduledAt })],
    ...over,
  };
}

function of(history: readonly OperationEntry[], over: Partial<MeasureInput> = {}): Measurements {
  return measure({
    history,
    steadyFrom: FAULT - 1_000,
    faultAt: FAULT,
    region: 'east',
    missing: [],
    leaves: true,
    dnsExpected: false,
    ...over,
  });
}

/** Served by the standby, `receivedAfterMs` after the fault. */
function redirected(
  kind: AttemptEntry['kind'],
  scheduledAfterMs: number,
  sentAfterMs: number,
): OperationEntry {
  return operation({
    scheduledAt: FAULT + scheduledAfterMs,
    endedAt: FAULT + sentAfterMs + 40,
    region: 'west',
    receivedAt: FAULT + sentAfterMs + 18,
    attempts: [
      attempt({ startedAt: FAULT + scheduledAfterMs, outcome: 'overtaken' }),
      attempt({ region: 'west', kind, startedAt: FAULT + sentAfterMs }),
    ],
  });
}

test('the redirect time ends when the standby receives the first request it then serves', () => {
  const { redirectMs } = of([
    redirected('redirect', -10, 80),
    redirected('redirect', -5, 58),
    redirected('fallback', 3, 90),
  ]);
  assert.equal(redirectMs, 76);
});

test('copies sent before the fault prove no redirect, even when received after it', () => {
  assert.equal(of([redirected('redirect', -60, -5)]).redirectMs, null);
});

test('a guess about a request that was slow before the fault proves none, one begun after it does', () => {
  assert.equal(of([redirected('hedge', -30, 20)]).redirectMs, null);
  assert.equal(of([redirected('hedge', 2, 52)]).redirectMs, 70);
});

test('a first attempt at the standby proves none, nor does a request that failed there', () => {
  assert.equal(of([redirected('first', 10, 10)]).redirectMs, null);
  assert.equal(of([{ ...redirected('redirect', -5, 58), ok: false }]).redirectMs, null);
});

test('no redirect is a missed target, not a missing one', () => {
  const results = judge('X', of([operation()]), { redirectMs: 100 });
  assert.deepEqual(results, [
    { name: 'X: redirect', target: '< 100', measured: null, unit: 'ms', passed: false },
  ]);
});

test('the longest gap spans from the last success before the fault, not from before', () => {
  const { longestGapMs } = of([
    operation({ scheduledAt: FAULT - 900 }),
    operation({ scheduledAt: FAULT - 30 }),
    redirected('redirect', 0, 60),
    operation({ scheduledAt: FAULT + 200, region: 'west' }),
  ]);
  // The half second of quiet before the fault is not the fault's; 100 ms after −10 ms is, 120 ms after that is longest.
  assert.equal(longestGapMs, 120);
});

test('a gap that never ends lasts until the last answer', () => {
  const { longestGapMs } = of([
    operation({ scheduledAt: FAULT - 30 }),
    operation({ scheduledAt: FAULT + 10, endedAt: FAULT + 5_000, ok: false }),
  ]);
  assert.equal(longestGapMs, 5_010);
});

test('the worst latency counts from when a request was due, failures included', () => {
  const { worstLatencyMs } = of([
    operation({ scheduledAt: FAULT + 10, endedAt: FAULT + 900, ok: false }),
    operation({ scheduledAt: FAULT - 5_000, endedAt: FAULT - 1_000 }),
  ]);
  assert.equal(worstLatencyMs, 890);
});

test('attempts per operation are those of the steady state', () => {
  const twice = [attempt(), attempt({ kind: 'hedge', outcome: 'overtaken' })];
  const { attemptsPerOperation } = of([
    operation(),
    operation({ attempts: twice }),
    operation({ scheduledAt: FAULT + 5, attempts: [...twice, ...twice] }),
    operation({ scheduledAt: FAULT - 2_000, attempts: [...twice, ...twice] }),
  ]);
  assert.equal(attemptsPerOperation, 1.5);
});

test('without a steady state attempts per operation are unknown, and unknown has missed', () => {
  const measurements = of([operation({ scheduledAt: FAULT + 5 })]);
  const [result] = judge('X', measurements, { attemptsPerOperation: 1.1 });
  assert.deepEqual(result?.measured, null);
  assert.equal(result?.passed, false);
});

test('a read answered with less than was acknowledged before it is stale; a read that failed has only failed', () => {
  const stale = (over: Partial<OperationEntry>) => of([operation({ acknowledged: 'b', ok: false, ...over })]);
  assert.equal(stale({ status: 404 }).staleReads, 1);
  assert.equal(stale({ status: 200, version: 'a' }).staleReads, 1);
  assert.equal(stale({ status: 200, version: 'a' }).requestsFailed, 0);
  assert.equal(stale({ status: 503 }).staleReads, 0);
  assert.equal(stale({ status: 503 }).requestsFailed, 1);
  assert.equal(of([operation({ acknowledged: 'b', status: 200, version: 'c' })]).staleReads, 0);
});

test('a write missing in two regions is one write lost', () => {
  const found = 'nothing';
  const missing = [
    { key: 'drill/1', region: 'east', found },
    { key: 'drill/1', region: 'west', found },
    { key: 'drill/2', region: 'west', found },
  ];
  assert.equal(of([], { missing }).acknowledgedWritesLost, 2);
});

test('only writes that were acknowledged have to be there', () => {
  const put = (key: string, ok: boolean) => operation({ operation: 'put', key, version: 'v', ok });
  assert.deepEqual(
    [...acknowledgedWrites([put('a', true), put('b', false), operation({ key: 'c' })])],
    [['a', 'v']],
  );
});

test('the DNS-only outage runs from the last success at the broken region to the first elsewhere', () => {
  const dns = (afterMs: number, region: string, ok = true) =>
    operation({ client: 'dns', scheduledAt: FAULT + afterMs, endedAt: FAULT + afterMs + 10, region, ok });
  const history = [
    dns(-200, 'east'),
    dns(-10, 'east'),
    dns(200, 'east', false),
    dns(45_000, 'west'),
    dns(46_000, 'west'),
  ];
  assert.equal(of(history, { dnsExpected: true }).dnsOutageMs, 45_010);
  assert.equal(of(history.slice(0, 3), { dnsExpected: true }).dnsOutageMs, null);
  assert.equal('dnsOutageMs' in of(history), false);
});

test('where nobody is to leave, the DNS-only outage is the longest gap after the fault, and there is no redirect', () => {
  const dns = (afterMs: number, ok = true) =>
    operation({ client: 'dns', scheduledAt: FAULT + afterMs, endedAt: FAULT + afterMs + 10, ok });
  const history = [dns(-5_000), dns(-10), dns(2_000, false), dns(3_000), dns(3_200)];
  const measured = of(history, { leaves: false, dnsExpected: true });
  assert.equal(measured.dnsOutageMs, 3_010);
  assert.equal(measured.dnsRequestsFailed, 1);
  assert.equal('redirectMs' in measured, false);
  assert.deepEqual(judge('X', measured, { redirectMs: 100, dnsRequestsFailed: 0 }), [
    { name: 'X: DNS-only requests failed', target: '≤ 0', measured: 1, unit: 'requests', passed: false },
  ]);
});

test('the longest gap is judged as the outage that the library saw', () => {
  const measurements = of([
    operation({ scheduledAt: FAULT - 20 }),
    operation({ scheduledAt: FAULT + 2_480 }),
  ]);
  const [result] = judge('X', measurements, { longestGapMs: 2_500 });
  assert.deepEqual(result, {
    name: 'X: longest gap between successes',
    target: '< 2.5',
    measured: 2.5,
    unit: 's',
    passed: false,
  });
});

test('limits are judged as promised: redirect below, counts at most', () => {
  const measurements: Measurements = {
    ...of([operation()]),
    redirectMs: 100,
    requestsFailed: 0,
    dnsOutageMs: 70_000,
  };
  const limits = KILL_PRIMARY.limits(stageConfig('dev'));
  const byName = new Map(judge('X', measurements, limits).map((result) => [result.name, result]));
  assert.equal(byName.get('X: redirect')?.passed, false);
  assert.equal(byName.get('X: redirect')?.target, `< ${FAILOVER_MS_MAX}`);
  assert.equal(byName.get('X: requests failed')?.passed, true);
  assert.deepEqual(byName.get('X: DNS-only outage'), {
    name: 'X: DNS-only outage',
    target: '≤ 70',
    measured: 70,
    unit: 's',
    passed: true,
  });
});
