// When a region's replica is left alone, when it is asked again, and who is asked in its place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  answered,
  begin,
  type Circuit,
  CLOSED,
  chooseReplica,
  failed,
  HEALTHY,
  isChoice,
  READ_CIRCUIT,
  type ReplicaHealth,
  replicaOrder,
  takes,
  WRITE_CIRCUIT,
} from '../../lambdas/core/circuit.ts';

const LIMITS = READ_CIRCUIT;
const FAST = { tookMs: 5, nowMs: 0 };

/** Calls one after another; `s` an answer that was slow, `a` one that was not, `f` a failure. */
function after(outcomes: string, from: Circuit = CLOSED, nowMs = 0, limits = LIMITS): Circuit {
  let circuit = from;
  for (const outcome of outcomes) {
    circuit = begin(circuit);
    circuit =
      outcome === 'f'
        ? failed(circuit, circuit.era, nowMs, limits)
        : answered(circuit, circuit.era, { tookMs: outcome === 's' ? 501 : 500, nowMs }, limits);
  }
  return circuit;
}

for (const [outcomes, state] of [
  ['ff', 'closed'],
  ['fff', 'open'],
  ['ffaff', 'closed'],
  ['ffafff', 'open'],
  ['sssssssss', 'closed'],
  ['ssssssssss', 'open'],
  [`${'sa'.repeat(9)}s`, 'open'],
  [`${'saa'.repeat(20)}`, 'closed'],
] as const)
  test(`reads after ${outcomes}: ${state}`, () => {
    assert.equal(after(outcomes).state, state);
  });

test('a single failure keeps writes away', () => {
  assert.equal(after('f', CLOSED, 0, WRITE_CIRCUIT).state, 'open');
});

test('failures far apart are not failures in a row', () => {
  let circuit = after('ff');
  circuit = after('f', circuit, LIMITS.doubtMs + 1);
  assert.equal(circuit.state, 'closed');
  assert.equal(after('ff', circuit, LIMITS.doubtMs + 2).state, 'open');
});

test('an open circuit takes nothing until its pause is over, then one trial and nothing beside it', () => {
  const open = after('fff', CLOSED, 1_000);
  assert.equal(takes(open, 1_000 + LIMITS.pauseMs.first - 1), false);
  assert.equal(takes(open, 1_000 + LIMITS.pauseMs.first), true);
  const trial = begin(open);
  assert.equal(trial.state, 'trial');
  assert.equal(takes(trial, 1e9), false);
});

test('a trial that passes closes it; one that fails, or is slow, doubles the pause up to its maximum', () => {
  const trial = begin(after('fff'));
  assert.equal(answered(trial, trial.era, FAST, LIMITS).state, 'closed');
  for (const outcome of ['f', 's']) {
    let circuit: Circuit = after('fff');
    const pauses: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      pauses.push(circuit.pauseMs);
      circuit = after(outcome, circuit, round);
    }
    assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
  }
});

test('a region that fails again soon after its trial is left alone for longer; after a calm minute it starts anew', () => {
  const passed = after('a', after('fff'), 1_000);
  assert.equal(passed.state, 'closed');
  assert.equal(after('fff', passed, 1_000 + LIMITS.calmMs).pauseMs, 2_000);
  assert.equal(after('fff', passed, 1_001 + LIMITS.calmMs).pauseMs, 1_000);
});

test('what was begun before the circuit opened or closed says nothing about it', () => {
  const open = after('fff');
  for (const late of [failed(open, CLOSED.era, 9, LIMITS), answered(open, CLOSED.era, FAST, LIMITS)])
    assert.equal(late, open);
  const trial = begin(open);
  assert.equal(failed(trial, CLOSED.era, 9, LIMITS), trial);
  const passed = answered(trial, trial.era, FAST, LIMITS);
  for (const era of [CLOSED.era, open.era, trial.era]) assert.equal(failed(passed, era, 9, LIMITS), passed);
});

test('answers in time leave a healthy circuit as it is, so that they cost nothing', () => {
  assert.equal(begin(CLOSED), CLOSED);
  assert.equal(answered(CLOSED, CLOSED.era, FAST, LIMITS), CLOSED);
});

type Step = { readonly waitMs: number; readonly outcome: 'fast' | 'slow' | 'failure' };
const step: fc.Arbitrary<Step> = fc.record({
  waitMs: fc.oneof(fc.nat(50), fc.nat(20_000)),
  outcome: fc.constantFrom('fast', 'slow', 'failure'),
});

test('whatever happens: it opens for a reason, pauses within bounds, and is always asked again', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let circuit: Circuit = CLOSED;
      let nowMs = 0;
      let bad = 0;
      for (const { waitMs, outcome } of steps) {
        nowMs += waitMs;
        if (!takes(circuit, nowMs)) continue;
        const begun = begin(circuit);
        const tookMs = outcome === 'slow' ? LIMITS.slowMs + 1 : 1;
        circuit =
          outcome === 'failure'
            ? failed(begun, begun.era, nowMs, LIMITS)
            : answered(begun, begun.era, { tookMs, nowMs }, LIMITS);
        bad = outcome === 'fast' ? bad : bad + 1;
        if (circuit.state !== 'open') continue;
        assert.notEqual(outcome, 'fast', 'a good answer opened it');
        assert.ok(bad >= LIMITS.failuresMax, 'opened after less than three bad ones');
        assert.ok(circuit.pauseMs >= LIMITS.pauseMs.first && circuit.pauseMs <= LIMITS.pauseMs.max);
        assert.ok(takes(circuit, nowMs + circuit.pauseMs));
        assert.ok(!takes(circuit, nowMs));
      }
      // Once the region works, one trial is enough.
      const end = after('a', circuit, nowMs + LIMITS.pauseMs.max);
      assert.equal(end.state, 'closed');
    }),
  );
});

const circuitOf = fc
  .tuple(fc.array(step, { maxLength: 12 }), fc.constantFrom(READ_CIRCUIT, WRITE_CIRCUIT))
  .map(([steps, limits]) => {
    let nowMs = 0;
    let circuit: Circuit = CLOSED;
    for (const { waitMs, outcome } of steps) {
      nowMs += waitMs;
      const letter = { failure: 'f', slow: 's', fast: 'a' }[outcome];
      circuit = after(letter, circuit, nowMs, limits);
    }
    return circuit;
  });
const health: fc.Arbitrary<ReplicaHealth> = fc.record({ reads: circuitOf, writes: circuitOf });

test('the first region that may be asked is; when none may, one is asked all the same', () => {
  fc.assert(
    fc.property(
      fc.array(health, { minLength: 1, maxLength: 3 }),
      fc.constantFrom('reads', 'writes'),
      fc.nat(300_000),
      (replicas, kind, nowMs) => {
        const at = chooseReplica(replicas, kind, nowMs) ?? assert.fail('refused unasked');
        const possible = replicas.flatMap((one, index) => (isChoice(one, kind, nowMs) ? [index] : []));
        if (possible.length > 0) assert.equal(at, possible[0]);
        const tried: number[] = [];
        for (let next: number | undefined = at; next !== undefined; ) {
          tried.push(next);
          next = chooseReplica(replicas, kind, nowMs, tried);
        }
        assert.deepEqual(tried.slice(0, possible.length), possible, 'those that may be asked come first');
        assert.equal(new Set(tried).size, replicas.length, 'then all the others');
      },
    ),
  );
});

test('when every region fails they are asked in turn, the longest left alone first', () => {
  const broken = (atMs: number): ReplicaHealth => ({ ...HEALTHY, reads: after('fff', CLOSED, atMs) });
  assert.equal(chooseReplica([broken(20), broken(10), broken(30)], 'reads', 40), 1);
  assert.equal(chooseReplica([broken(20), broken(50), broken(30)], 'reads', 60), 0);
});

test('a write keeps away from where a read has just failed; a read does not', () => {
  const doubted: ReplicaHealth = { ...HEALTHY, reads: after('f', CLOSED, 1_000) };
  const both = [doubted, HEALTHY];
  assert.equal(chooseReplica(both, 'reads', 1_001), 0);
  assert.equal(chooseReplica(both, 'writes', 1_001), 1);
  assert.equal(chooseReplica([{ ...HEALTHY, reads: after('fa') }, HEALTHY], 'writes', 1), 0);
  assert.equal(chooseReplica(both, 'writes', 1_001 + LIMITS.doubtMs), 0, 'nothing failed since');
});

test('the own region comes first, the quorum region last', () => {
  const regions = { primary: 'p', standby: 's', quorum: 'q' };
  assert.deepEqual(replicaOrder(regions, 'p'), ['p', 's', 'q']);
  assert.deepEqual(replicaOrder(regions, 's'), ['s', 'p', 'q']);
  assert.deepEqual(replicaOrder(regions, 'q'), ['q', 'p', 's']);
});
