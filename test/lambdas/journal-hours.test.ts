// Which hours of a journal are looked at, again, and no more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  gapsIn,
  type HourOutcome,
  hourLooked,
  hoursToLookAt,
  REACH_BACK_MS,
  withoutOld,
} from '../../lambdas/core/journal-hours.ts';
import { journalHour } from '../../protocol/journal.ts';
import { HOUR, MINUTE } from './journal-care-world.ts';

const T = Date.UTC(2025, 6, 1, 5);

test('hours: the last day at first, then each once; open ones as they are due', () => {
  const now = T + 30 * MINUTE;
  const all = () => true;
  const first = hoursToLookAt(undefined, now, all);
  assert.equal(first.length, 24);
  assert.equal(first.at(-1), journalHour(T - HOUR));
  const nothing: HourOutcome = { unasked: [], journalGaps: 0, auditGaps: 0, auditOpen: 0 };
  let state = hourLooked(undefined, journalHour(T - HOUR), nothing, now);
  assert.deepEqual(hoursToLookAt(state, now, all), []);
  assert.deepEqual(hoursToLookAt(state, now + HOUR, all), [journalHour(T)]);
  state = hourLooked(state, journalHour(T - 2 * HOUR), { ...nothing, unasked: ['standby'] }, now);
  assert.equal(state.next, journalHour(T), 'an open hour does not turn time back');
  assert.deepEqual(
    hoursToLookAt(state, now, () => false),
    [],
  );
  assert.deepEqual(hoursToLookAt(state, now, all), [journalHour(T - 2 * HOUR)]);
  assert.equal(withoutOld(state, now + 30 * 24 * HOUR).state.open.length, 1);
  assert.equal(withoutOld(state, now + REACH_BACK_MS).givenUp.length, 1);
  assert.ok(JSON.stringify(state).length < 1_000);
});

test('a gap counts once all were asked, is looked for each hour, and a day later is let go', () => {
  const now = T + 30 * MINUTE;
  const gone: HourOutcome = { unasked: [], journalGaps: 3, auditGaps: 1, auditOpen: 0 };
  const unasked = hourLooked(undefined, journalHour(T - HOUR), { ...gone, unasked: ['standby'] }, now);
  assert.deepEqual(gapsIn(unasked), { journalGaps: 0, auditGaps: 0 });
  let state = hourLooked(unasked, journalHour(T - HOUR), gone, now);
  assert.deepEqual(gapsIn(state), { journalGaps: 3, auditGaps: 1 });
  assert.deepEqual(
    hoursToLookAt(state, now + 40 * MINUTE, () => true),
    [],
  );
  assert.deepEqual(
    hoursToLookAt(state, now + HOUR, () => true),
    [journalHour(T), journalHour(T - HOUR)],
  );
  state = hourLooked(state, journalHour(T - HOUR), gone, now + 20 * HOUR);
  assert.equal(withoutOld(state, now + 25 * HOUR).state.open.length, 1);
  assert.equal(withoutOld(state, now + 26 * HOUR).givenUp.length, 1, 'from when it was found');
  state = hourLooked(state, journalHour(T - HOUR), { ...gone, journalGaps: 0, auditGaps: 0 }, now);
  assert.deepEqual(state.open, []);
});

test('an audit entry that could not be seen to is tried again each hour, as long as it may be somewhere', () => {
  const open: HourOutcome = { unasked: [], journalGaps: 0, auditGaps: 0, auditOpen: 2 };
  const state = hourLooked(undefined, journalHour(T - HOUR), open, T);
  assert.deepEqual(hoursToLookAt(state, T + HOUR, () => true).includes(journalHour(T - HOUR)), true);
  assert.equal(withoutOld(state, T + 20 * 24 * HOUR).state.open.length, 1);
});

test('after an outage hours are gone through from where it was, a month back at most', () => {
  const state = hourLooked(
    undefined,
    journalHour(T),
    { unasked: [], journalGaps: 0, auditGaps: 0, auditOpen: 0 },
    T,
  );
  assert.equal(hoursToLookAt(state, T + 100 * HOUR + 20 * MINUTE, () => true).length, 99);
  assert.equal(
    hoursToLookAt(state, T + 50 * 24 * HOUR, () => true)[0],
    journalHour(T + 50 * 24 * HOUR - REACH_BACK_MS),
  );
});
