// Versions order everything: the edits of a record and the rows of the feed (PROTOCOL §1).
// A version is a hybrid logical clock reading written so that string order is its order:
// 12 hex digits of Unix milliseconds, 4 hex digits of counter, 16 hex digits naming who made it.

export type Version = string & { readonly __version: never };

/** The clock's own state: the highest reading it has given or seen. `ms` is Unix time in milliseconds. */
export interface Clock {
  readonly ms: number;
  readonly counter: number;
}

export const CLOCK_ZERO: Clock = { ms: 0, counter: 0 };
const MS_MAX = 2 ** 48 - 1;
const COUNTER_MAX = 0xffff;
const PATTERN = /^[0-9a-f]{12}-[0-9a-f]{4}-[0-9a-f]{16}$/;
const MAKER_PATTERN = /^[0-9a-f]{16}$/;

/** Whether `text` has a version's form; says nothing of its time. */
export function isVersion(text: unknown): text is Version {
  return typeof text === 'string' && PATTERN.test(text);
}

/** Throws a `RangeError` naming what came when `text` is no version. */
export function asVersion(text: string): Version {
  if (!isVersion(text))
    throw new RangeError(`a version is <12 hex>-<4 hex>-<16 hex>, got ${JSON.stringify(text)}`);
  return text;
}

/** `maker` is a file id (a client's queue file) or an instance id (a function's environment): 16 hex digits. */
export function versionOf(clock: Clock, maker: string): Version {
  if (!MAKER_PATTERN.test(maker))
    throw new RangeError(`a maker is 16 hex digits, got ${JSON.stringify(maker)}`);
  if (!(clock.ms >= 0 && clock.ms <= MS_MAX && Number.isInteger(clock.ms)))
    throw new RangeError(`a clock counts whole milliseconds from 0 to ${MS_MAX}, got ${clock.ms}`);
  if (!(clock.counter >= 0 && clock.counter <= COUNTER_MAX && Number.isInteger(clock.counter)))
    throw new RangeError(`a counter is a whole number from 0 to ${COUNTER_MAX}, got ${clock.counter}`);
  return `${hex(clock.ms, 12)}-${hex(clock.counter, 4)}-${maker}` as Version;
}

/** The reading inside a version. */
export function clockOf(version: Version): Clock {
  return {
    ms: Number.parseInt(version.slice(0, 12), 16),
    counter: Number.parseInt(version.slice(13, 17), 16),
  };
}

/** Who made a version: a file id or an instance id. */
export function makerOf(version: Version): string {
  return version.slice(18);
}

/** Total order: earlier clock first, makers break ties. The same on every node, so every voter agrees. */
export function compareVersions(a: Version, b: Version): -1 | 0 | 1 {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The next reading: above everything given or seen, and not behind `nowMs`. */
export function tick(clock: Clock, nowMs: number): Clock {
  return nowMs > clock.ms ? { ms: nowMs, counter: 0 } : successor(clock);
}

/** Seeing a version advances the clock to it, so that the next reading is past it (PROTOCOL 1.1). */
export function observe(clock: Clock, version: Version): Clock {
  const seen = clockOf(version);
  return compareClocks(seen, clock) > 0 ? seen : clock;
}

/** The smallest reading above `clock`, whoever made either. */
export function successor(clock: Clock): Clock {
  return clock.counter < COUNTER_MAX
    ? { ms: clock.ms, counter: clock.counter + 1 }
    : { ms: clock.ms + 1, counter: 0 };
}

export function compareClocks(a: Clock, b: Clock): number {
  return a.ms - b.ms || a.counter - b.counter;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
