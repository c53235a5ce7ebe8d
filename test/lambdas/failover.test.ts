// The decision to fail over, case by case. Whole worlds of probes and observers: failover-worlds.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Control,
  type Decision,
  decide,
  isCalled,
  type Look,
  look,
  REPORT_AHEAD_MS_MAX,
  type Scene,
} from '../../lambdas/core/failover.ts';
import { isEvacuated, runsJobs } from '../../lambdas/core/routing.ts';
import { HOLD_DOWN_MS, VOTE_AGE_MS_MAX } from '../../protocol/limits.ts';
import type { ObserverReport, Vote } from '../../protocol/routing.ts';
import { outcomeOf, type Seen, SLOT_MS, START } from './failover-world.ts';
import { REGIONS } from './functions.ts';
import { activeIn } from './who-is-active.ts';

const { primary: P, standby: S, quorum: Q } = REGIONS;
const REACHED: Control = { reachable: true };

/** The quorum region's looks, one slot after the other unless said otherwise. */
function looks(seen: readonly (Seen | 'none')[], over: Partial<Look> = {}): ObserverReport | undefined {
  let report: ObserverReport | undefined;
  for (const [n, primary] of seen.entries()) {
    if (primary === 'none') continue;
    const slotMs = START + n * SLOT_MS;
    report = look(report, { ...lookAt(slotMs, primary), ...over });
  }
  return report;
}

function lookAt(slotMs: number, primary: Seen, standby: Seen = 'ready'): Look {
  return {
    observer: Q,
    slotMs,
    nowMs: slotMs + 4_000,
    outcomes: { [P]: outcomeOf(primary), [S]: outcomeOf(standby) },
    routing: undefined,
    primaryRegion: P,
    control: REACHED,
    probeIntervalMs: SLOT_MS,
    probeFailures: 3,
  };
}

for (const [what, seen, failures, votes] of [
  ['nothing amiss', ['ready', 'ready'], 0, false],
  ['two failures', ['ready', 'not_ready', 'not_ready'], 2, false],
  ['three failures in a row', ['not_ready', 'not_ready', 'not_ready'], 3, true],
  ['a fourth', ['not_ready', 'not_ready', 'not_ready', 'not_ready'], 4, true],
  ['three, but one well in between', ['not_ready', 'not_ready', 'ready', 'not_ready'], 1, false],
  ['three, but a slot without a look in between', ['not_ready', 'not_ready', 'none', 'not_ready'], 1, false],
  ['a recovery after three', ['not_ready', 'not_ready', 'not_ready', 'ready'], 0, false],
  ['an emergency', ['ready', 'unreachable'], 1, true],
  ['an emergency that is over', ['unreachable', 'not_ready'], 2, false],
  ['three silences in a row', ['silent', 'silent', 'silent'], 3, true],
] as [string, (Seen | 'none')[], number, boolean][])
  test(`${what}: ${votes ? 'a vote' : 'no vote'}`, () => {
    const report = looks(seen) ?? assert.fail();
    assert.equal(report.watched[P]?.failures, failures);
    assert.equal(report.vote !== undefined, votes);
    if (!report.vote) return;
    const { observer, against, epoch, at, emergency, why } = report.vote;
    assert.deepEqual([observer, against, epoch, at], [Q, P, 0, report.at]);
    assert.equal(emergency, seen.includes('unreachable'));
    assert.match(
      why,
      emergency ? /^unreachable: connect ECONN/ : /^not ready \d times in a row: (status 503|no answer)/,
    );
  });

test('a report says since when a region is as it is, and why', () => {
  const since = (seen: Parameters<typeof looks>[0]) => looks(seen)?.watched[P];
  assert.deepEqual(since(['not_ready', 'unreachable']), {
    failures: 2,
    since: START + 4_000,
    why: 'connect ECONNREFUSED',
  });
  assert.deepEqual(since(['not_ready', 'ready', 'none', 'ready']), {
    failures: 0,
    since: START + SLOT_MS + 4_000,
    why: 'ready',
  });
});

test('a second look in one slot, or a late one, changes nothing', () => {
  const twice = looks(['not_ready', 'not_ready']) ?? assert.fail();
  for (const slotMs of [START + SLOT_MS, START, START - 2 * SLOT_MS])
    assert.equal(look(twice, lookAt(slotMs, 'not_ready')), twice);
  const cut = look(twice, { ...lookAt(START, 'silent'), control: { reachable: false, why: 'silence' } });
  assert.match(cut.abstains ?? '', /silence/, 'but one that is cut off may not decide on it');
  assert.deepEqual(cut.watched, twice.watched);
  const stepped = { ...twice, slotMs: START + REPORT_AHEAD_MS_MAX + 1 };
  assert.equal(look(stepped, lookAt(START, 'not_ready')).watched[P]?.failures, 1, 'unless its clock stepped');
});

test('a look at once, later in the same slot, takes the place of what stands, and makes no row longer', () => {
  const atOnce = (standing: ObserverReport | undefined, seen: Seen) =>
    look(standing, lookAt(START + SLOT_MS + 5_000, seen)).watched[P]?.failures;
  const row = looks(['not_ready', 'not_ready']);
  assert.deepEqual(
    (['not_ready', 'unreachable', 'ready'] as const).map((seen) => atOnce(row, seen)),
    [2, 2, 0],
  );
  assert.equal(atOnce(looks(['not_ready', 'ready']), 'not_ready'), 1);
  const voted = look(row, lookAt(START + SLOT_MS + 5_000, 'unreachable'));
  assert.deepEqual([voted.slotMs, voted.vote?.emergency], [START + SLOT_MS + 5_000, true]);
  const next = look(voted, lookAt(START + 2 * SLOT_MS, 'not_ready'));
  assert.deepEqual([next.watched[P]?.failures, next.vote?.emergency], [3, false], 'the row goes on');
  const late = look(voted, lookAt(START + 3 * SLOT_MS, 'not_ready'));
  assert.equal(late.watched[P]?.failures, 1, 'and ends where a slot is left out');
});

test('a region that answers "not ready" shows that whoever asked is not cut off', () => {
  const unreached = { control: { reachable: false, why: 'no answer' } } as const;
  const said = looks(['not_ready', 'not_ready', 'not_ready'], unreached);
  assert.deepEqual([said?.abstains, said?.vote?.emergency], [undefined, false]);
  for (const seen of ['silent', 'unreachable'] as const) {
    const report = looks([seen, seen, seen], unreached);
    assert.deepEqual([report?.vote, typeof report?.abstains], [undefined, 'string'], seen);
  }
});

test('an observer that reaches nothing else abstains, and its count goes on', () => {
  for (const control of [{ reachable: false, why: 'no answer' } as const, undefined]) {
    const report = looks(['silent', 'silent', 'silent'], { control });
    assert.equal(report?.vote, undefined);
    assert.match(report?.abstains ?? '', /us-east-2 is not ready, but neither is anything else reached: no/);
    const again = look(report, lookAt(START + 3 * SLOT_MS, 'silent'));
    assert.deepEqual([again.watched[P]?.failures, again.abstains], [4, undefined]);
    assert.ok(again.vote);
  }
  assert.equal(looks(['ready'], { control: undefined })?.abstains, undefined, 'there was nothing to vote on');
});

test('after a failover, votes are against the standby and under its epoch', () => {
  const routing = activeIn(S, 77);
  const report = looks(['unreachable', 'unreachable', 'unreachable'], { routing });
  assert.deepEqual([report?.vote, report?.abstains], [undefined, undefined]);
  const bad = look(undefined, { ...lookAt(START, 'ready', 'unreachable'), routing });
  assert.deepEqual([bad.vote?.against, bad.vote?.epoch], [S, 77]);
});

const voteOf = (observer: string, over: Partial<Vote> = {}): Vote => ({
  observer,
  against: P,
  epoch: 0,
  at: START,
  emergency: true,
  why: 'unreachable: connect ECONNREFUSED',
  ...over,
});
const reportOf = (observer: string, over: Partial<ObserverReport> = {}): ObserverReport => ({
  observer,
  slotMs: START,
  at: START,
  watched: {},
  ...over,
});
const voting = (observer: string, over: Partial<Vote> = {}) =>
  reportOf(observer, { vote: voteOf(observer, over) });

/** What the standby's observer does, with two good votes unless said otherwise. */
function decided(over: Partial<Scene> = {}): Decision {
  return decide({
    own: voting(S),
    reports: [voting(S), voting(Q)],
    observers: [P, S, Q],
    outcomes: { [P]: outcomeOf('unreachable'), [S]: outcomeOf('ready') },
    routing: undefined,
    regions: REGIONS,
    nowMs: START,
    ...over,
  });
}

test('two votes and a ready standby move the service, with the votes and the reason', () => {
  const decision = decided();
  assert.deepEqual(decision, {
    act: 'move',
    from: P,
    to: S,
    votes: [voteOf(S), voteOf(Q)],
    why: `2 of 3 observers would leave us-east-2; us-west-2: ${voteOf(S).why}; us-east-1: ${voteOf(Q).why}`,
  });
});

const ago = (ms: number) => START - ms;
/** As old as its vote. */
const stale = (report: ObserverReport): ObserverReport => ({ ...report, at: report.vote?.at ?? report.at });
for (const [what, over, act, why] of [
  ['no vote', { reports: [] }, 'stay', /^0 of 3/],
  [
    'one vote',
    { reports: [voting(S), reportOf(Q)] },
    'stay',
    /^1 of 3 observers would leave us-east-2; us-west-2/,
  ],
  ['three votes', { reports: [voting(P), voting(S), voting(Q)] }, 'move', /^3 of 3/],
  [
    'two votes, but it has just found the primary ready again',
    { own: reportOf(P), outcomes: { [P]: outcomeOf('ready'), [S]: outcomeOf('ready') } },
    'stay',
    /^us-east-2 is ready now\. 2 of 3/,
  ],
  ['two votes, none its own', { own: reportOf(P), reports: [voting(S), voting(Q)] }, 'move', /^2 of 3/],
  [
    'two votes of one observer',
    { reports: [voting(S), reportOf(Q, { vote: voteOf(S) })] },
    'stay',
    /^1 of 3/,
  ],
  ['two reports of one observer', { reports: [voting(S), voting(S)] }, 'page', /heard.*1 of 3/],
  ['a vote of a stranger', { reports: [voting(S), voting('eu-west-1')] }, 'page', /heard.*1 of 3/],
  [
    'one vote, and nobody else has been heard of',
    { reports: [voting(S)] },
    'page',
    /^no other observer has been heard for 45000 ms, and one alone moves nothing\. 1 of 3/,
  ],
  [
    'one vote, and another heard of just lately enough',
    { reports: [voting(S), reportOf(P, { at: ago(VOTE_AGE_MS_MAX) })] },
    'stay',
    /^1 of 3/,
  ],
  [
    'one vote, and the others were last heard of too long ago',
    { reports: [voting(S), reportOf(P, { at: ago(45_001) }), voting(Q, { at: ago(45_001) })].map(stale) },
    'page',
    /heard/,
  ],
  [
    'one vote, and the others abstain',
    { reports: [voting(S), reportOf(P, { abstains: 'cut off' }), reportOf(Q, { abstains: 'cut off' })] },
    'page',
    /heard/,
  ],
  [
    'one vote of its own, but it finds the primary ready now',
    { reports: [voting(S)], outcomes: { [P]: outcomeOf('ready'), [S]: outcomeOf('ready') } },
    'stay',
    /^us-east-2 is ready now/,
  ],
  ['one vote, and it is not its own', { own: reportOf(S), reports: [voting(Q)] }, 'stay', /^1 of 3/],
  ['a vote of another epoch', { reports: [voting(S), voting(Q, { epoch: 4 })] }, 'stay', /^1 of 3/],
  ['a vote against the standby', { reports: [voting(S), voting(Q, { against: S })] }, 'stay', /^1 of 3/],
  [
    'a vote just young enough',
    { reports: [voting(S), voting(Q, { at: ago(VOTE_AGE_MS_MAX) })] },
    'move',
    /^2/,
  ],
  [
    'a vote too old',
    { reports: [voting(S), voting(Q, { at: ago(VOTE_AGE_MS_MAX + 1) })] },
    'stay',
    /^1 of 3/,
  ],
  ['a vote from the future', { reports: [voting(S), voting(Q, { at: ago(-46_000) })] }, 'stay', /^1 of 3/],
  [
    'a vote of one that abstains',
    { reports: [voting(S), { ...voting(Q), abstains: 'cut off' }, reportOf(P)] },
    'stay',
    /^1 of 3/,
  ],
  [
    'two votes, but itself cut off',
    { own: reportOf(P, { abstains: 'cut off' }) },
    'page',
    /^no vote: cut off$/,
  ],
  [
    'a standby that is not ready',
    { outcomes: { [S]: outcomeOf('not_ready') } },
    'page',
    /us-west-2 is not ready either: status 503\. 2 of 3/,
  ],
  ['a standby that was not asked', { outcomes: {} }, 'page', /it was not asked/],
  ['a move long ago', { routing: activeIn(P, 0, { since: ago(HOLD_DOWN_MS) }) }, 'move', /^2 of 3/],
  [
    'a move just now',
    { routing: activeIn(P, 0, { since: ago(HOLD_DOWN_MS - 1) }) },
    'page',
    /moved to us-east-2 at 20.*Z, less than 600000 ms ago/,
  ],
  [
    'a clock that stepped back behind the move',
    { routing: activeIn(P, 0, { since: ago(-60_000) }) },
    'page',
    /less than/,
  ],
  [
    'an operator who is at it',
    { routing: activeIn(P, 0, { draining: { to: S, since: START } }) },
    'move',
    /^2/,
  ],
  [
    'a drain that was left behind',
    { routing: activeIn(P, 0, { draining: { to: S, since: ago(3_600_000) } }) },
    'move',
    /^2 of 3/,
  ],
] as const)
  test(`${what}: ${act}`, () => {
    const decision = decided(over);
    assert.equal(decision.act, act);
    assert.match(decision.why, why);
  });

test('a failover is latched: two votes against the standby page, whoever is ready', () => {
  const against = { against: S, epoch: 9 };
  const latched = {
    routing: activeIn(S, 9),
    outcomes: { [P]: outcomeOf('ready'), [S]: outcomeOf('unreachable') },
  };
  const decision = decided({ ...latched, reports: [voting(P, against), voting(Q, against)] });
  assert.equal(decision.act, 'page');
  assert.match(
    decision.why,
    /us-west-2 took over and only an operator moves the service from there\. 2 of 3/,
  );
  assert.equal(decided({ ...latched, reports: [voting(Q, against)] }).act, 'stay');
});

test('a drain that nobody ended pages, votes or none', () => {
  const left = (ms: number) =>
    decided({ reports: [], routing: activeIn(P, 5, { draining: { to: S, since: ago(ms) } }) });
  assert.equal(left(300_000).act, 'stay');
  assert.equal(left(300_001).act, 'page');
  assert.match(left(300_001).why, /finish it or give it up/);
});

test('what another could not even reach is looked at at once, by whoever has not looked since', () => {
  const called = (vote: Partial<Vote>, over: Partial<Scene> = {}) =>
    isCalled(S, {
      reports: [reportOf(S, { at: ago(1) }), voting(Q, vote)],
      observers: [P, S, Q],
      routing: undefined,
      regions: REGIONS,
      nowMs: START,
      ...over,
    });
  assert.ok(called({}));
  assert.ok(called({}, { reports: [voting(Q)] }), 'one that never looked');
  for (const [what, vote, over] of [
    ['not an emergency', { emergency: false }, {}],
    ['under another epoch', { epoch: 3 }, {}],
    ['against the standby', { against: S }, {}],
    ['too old', { at: ago(VOTE_AGE_MS_MAX + 1) }, { reports: [voting(Q, { at: ago(45_001) })] }],
    ['before it looked itself', { at: ago(1) }, {}],
    ['its own', {}, { reports: [voting(S)] }],
    ['of one that abstains', {}, { reports: [{ ...voting(Q), abstains: 'cut off' }] }],
  ] as const)
    assert.equal(called(vote, over), false, what);
});

test('the primary is evacuated while another is active or about to be; the standby never is', () => {
  const draining = (from: string, to: string) => activeIn(from, 2, { draining: { to, since: START } });
  for (const [routing, primary, jobs] of [
    [undefined, false, P],
    [activeIn(P, 1), false, P],
    [activeIn(S, 1), true, S],
    [draining(P, S), true, undefined],
    [draining(S, P), true, undefined],
  ] as const) {
    assert.equal(isEvacuated(routing, P, P), primary);
    for (const region of [S, Q]) assert.equal(isEvacuated(routing, region, P), false);
    for (const region of [P, S, Q]) assert.equal(runsJobs(routing, region, P).runs, region === jobs);
  }
});
