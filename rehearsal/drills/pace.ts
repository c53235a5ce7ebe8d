// An open loop: calls at fixed moments, whatever became of the earlier ones. A process that was late makes up for it
// at once and every call keeps the moment it was meant for, so that a stall is measured instead of left out.
import { preciseNow } from '../measuring.ts';

/** Calls `act` with the moment each call was meant for, Unix ms; stops when the returned function is called. */
export function atPace(perSecond: number, act: (scheduledAt: number) => void): () => void {
  if (!(perSecond > 0)) throw new RangeError(`a pace is above 0 a second, got ${perSecond}`);
  const everyMs = 1_000 / perSecond;
  const from = preciseNow();
  let made = 0;
  let timer: NodeJS.Timeout;
  const step = () => {
    const now = preciseNow();
    for (let due = from + made * everyMs; due <= now; due = from + made * everyMs) {
      made += 1;
      act(due);
    }
    timer = setTimeout(step, Math.max(1, from + made * everyMs - now));
  };
  timer = setTimeout(step, 0);
  return () => clearTimeout(timer);
}

/** The same numbers for the same seed (mulberry32); from 0 to below 1. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
