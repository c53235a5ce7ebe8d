// The sweep that judges linearizability against the definition: it has to agree, on small random histories, with a
// search through every order that real time allows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CHAIN_START } from '../../protocol/audit.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';
import type { Logged, Read, Sent, SyncHistory } from '../../rehearsal/drills/sync/history.ts';
import { findUnlinearizable } from '../../rehearsal/drills/sync/linearizable.ts';
import { effectsOf } from '../../rehearsal/drills/sync/table-log.ts';

const KEY = 'notes/n1';
const RUNS = 2_000;

interface Step {
  readonly from: number;
  readonly to: number;
  /** 0: before any write. */
  readonly value: number;
  readonly isWrite: boolean;
}

const version = (value: number): Version => versionOf({ ms: value, counter: 0 }, 'a'.repeat(16));

/** By the definition: some order in which nothing is moved before what had ended, writes rise, reads see the latest. */
function isLinearizable(left: readonly Step[], state = 0): boolean {
  if (left.length === 0) return true;
  return left.some((step) => {
    if (left.some((other) => other !== step && other.to < step.from)) return false;
    if (step.isWrite ? step.value <= state : step.value !== state) return false;
    return isLinearizable(
      left.filter((other) => other !== step),
      step.value,
    );
  });
}

function historyOf(steps: readonly Step[]): SyncHistory {
  const writes = steps.filter(({ isWrite }) => isWrite).sort((a, b) => a.value - b.value);
  const sent = writes.map(({ from, to, value }): Sent => {
    const identity = { by: 'd', n: value, key: KEY, session: 's', sequence: value, version: version(value) };
    const answer = { at: to, verdict: 'applied', version: version(value) } as const;
    return { ...identity, region: 'east', sentAt: from, ...(Number.isFinite(to) ? { answer } : {}) };
  });
  const reads = steps
    .filter(({ isWrite }) => !isWrite)
    .map(
      ({ from, to, value }): Read => ({
        key: KEY,
        region: 'east',
        from,
        to,
        ...(value === 0 ? {} : { version: version(value) }),
      }),
    );
  const log = writes.map(({ value }, index): Logged => {
    const before = writes[index - 1];
    return {
      order: index + 1,
      at: 0,
      key: KEY,
      ...(before ? { before: version(before.value) } : {}),
      after: {
        version: version(value),
        mark: { by: 'd', n: value },
        audit: { sequence: 0, head: CHAIN_START },
        outbox: [],
      },
    };
  });
  return { made: [], sent, reads, log, table: new Map(), devices: [], cuts: [] };
}

const interval = fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 12 }));
const write = fc.record({ interval, isAnswered: fc.boolean() });
const readStep = fc.record({ interval, value: fc.integer({ min: 0, max: 3 }) });

test('the sweep and a search through all orders agree', () => {
  let linearizable = 0;
  fc.assert(
    fc.property(
      fc.array(write, { minLength: 1, maxLength: 3 }),
      fc.array(readStep, { maxLength: 3 }),
      (writes, reads) => {
        const steps: Step[] = [
          ...writes.map(({ interval: [from, lasts], isAnswered }, index) => ({
            from,
            to: isAnswered ? from + lasts : Number.POSITIVE_INFINITY,
            value: index + 1,
            isWrite: true,
          })),
          ...reads.map(({ interval: [from, lasts], value }) => ({
            from,
            to: from + lasts,
            value,
            isWrite: false,
          })),
        ];
        const history = historyOf(steps);
        const found = findUnlinearizable(history, effectsOf(history.log));
        const expected = isLinearizable(steps);
        if (expected) linearizable += 1;
        assert.equal(found.length === 0, expected, JSON.stringify({ steps, found }));
      },
    ),
    { numRuns: RUNS },
  );
  assert.ok(
    linearizable > RUNS / 20 && linearizable < RUNS * 0.95,
    `${linearizable} of ${RUNS} were linearizable`,
  );
});
