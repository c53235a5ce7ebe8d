// Versions of this file's operations. Each is above the version it was made on, so a later edit of a key is never
// beaten by an earlier one, whatever the machine's clock does (PROTOCOL 1.1, 5.4).
import { CLOCK_AHEAD_MS_MAX } from '../../protocol/limits.ts';
import {
  type Clock,
  clockOf,
  compareClocks,
  successor,
  tick,
  type Version,
  versionOf,
} from '../../protocol/versions.ts';
import type { Stamp } from './format.ts';

/** The milliseconds of a version and the dash behind them. */
const SHARED_LENGTH = 13;
/** Two hex digits each. */
const BYTES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The reading for a new operation made on `base`. `nowMs`: corrected by the known offset. */
export function readingAbove(clock: Clock, nowMs: number, base: Version | undefined): Clock {
  const ticked = tick(clock, nowMs);
  return base === undefined ? ticked : later(ticked, successor(clockOf(base)));
}

/** {@link versionOf} for readings that mostly share their millisecond: what they share is written once. */
export function stamper(fileId: string): (clock: Clock) => Version {
  let ms = -1;
  let shared = '';
  const maker = `-${fileId}`;
  return ({ ms: nowMs, counter }) => {
    if (nowMs !== ms) {
      ms = nowMs;
      shared = versionOf({ ms, counter: 0 }, fileId).slice(0, SHARED_LENGTH);
    }
    return (shared +
      ((BYTES[counter >> 8] as string) + (BYTES[counter & 0xff] as string)) +
      maker) as Version;
  };
}

/**
 * Stamps the unsettled operations of one key anew after `clock_ahead` (PROTOCOL 5.4): each to the latest of the
 * server's time, base + 1, predecessor + 1 and the verdict's version + 1. A base that was the predecessor's version
 * follows it.
 */
export function restamp(
  chain: readonly Stamp[],
  serverTimeMs: number,
  stored: Version | undefined,
  fileId: string,
): Stamp[] {
  let floor: Clock = { ms: Math.floor(serverTimeMs), counter: 0 };
  if (stored !== undefined) floor = later(floor, successor(clockOf(stored)));
  let before: { readonly was: Version; readonly is: Version } | undefined;
  return chain.map((operation) => {
    const base = before !== undefined && operation.base === before.was ? before.is : operation.base;
    if (base !== undefined) floor = later(floor, successor(clockOf(base)));
    const version = versionOf(floor, fileId);
    floor = successor(floor);
    before = { was: operation.version, is: version };
    return { version, base };
  });
}

/**
 * A clock that would only give versions the server refuses is put back to the server's time. An edit stamped from it
 * may come to stand below an earlier one that a restore brings back; the server's answer then re-stamps it (3.2).
 */
export function putBack(clock: Clock, serverTimeMs: number): Clock {
  return clock.ms > serverTimeMs + CLOCK_AHEAD_MS_MAX ? { ms: Math.floor(serverTimeMs), counter: 0 } : clock;
}

function later(a: Clock, b: Clock): Clock {
  return compareClocks(a, b) >= 0 ? a : b;
}
