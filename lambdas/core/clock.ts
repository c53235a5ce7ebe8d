// The clock an execution environment stamps with (PROTOCOL 1.3): it never runs backwards, and what it has seen it
// stays above. The time comes in as an argument.
import { CLOCK_ZERO, observe, tick, type Version, versionOf } from '../../protocol/versions.ts';

export interface StampClock {
  /** A version above every one stamped or observed so far, and not behind `nowMs` (Unix ms). */
  stamp(nowMs: number): Version;
  observe(version: Version): void;
}

/** `maker` is the environment's instance id: 16 hex digits. */
export function createStampClock(maker: string): StampClock {
  let clock = CLOCK_ZERO;
  return {
    stamp(nowMs) {
      clock = tick(clock, nowMs);
      return versionOf(clock, maker);
    },
    observe(version) {
      clock = observe(clock, version);
    },
  };
}
