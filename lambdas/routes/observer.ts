// One minute of observing (PROTOCOL 6.2): a heartbeat into the feed every 5 s, and every 15 s a look through this
// region's own index at the others' heartbeats. Beats and checks are keyed by their time slot, so that a second
// invocation for the same minute changes nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { HEARTBEAT_CHECK_EVERY_MS, HEARTBEAT_EVERY_MS } from '../../protocol/limits.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { isEvacuated } from '../core/routing.ts';
import { checkFeed, freshestAgeMs } from '../core/steadiness.ts';
import type { Service } from '../service.ts';
import type { Sample } from '../telemetry.ts';

const MINUTE_MS = 60_000;
const BEATS = MINUTE_MS / HEARTBEAT_EVERY_MS;
const BEATS_PER_CHECK = HEARTBEAT_CHECK_EVERY_MS / HEARTBEAT_EVERY_MS;

export interface ObserverParts extends Pick<Service, 'store' | 'place' | 'telemetry' | 'now'> {
  /** Resolves after so many ms. @default a timer */
  readonly wait?: (ms: number) => Promise<unknown>;
}

/** Resolves when the minute is over; what failed meanwhile was logged and counted. */
export function createObserver({ store, place, telemetry, now, wait = sleep }: ObserverParts) {
  const { region, role, regions } = place;

  async function beat(slotMs: number): Promise<void> {
    await store.beat(region, slotMs);
  }

  async function check(): Promise<void> {
    // Before the index is read, so that the status never claims more than was seen.
    const nowMs = now();
    const [previous, beats] = await Promise.all([store.feedStatus(region), store.beats()]);
    const ageMs = freshestAgeMs(beats, region, nowMs);
    const samples: Sample[] =
      ageMs === undefined ? [] : [{ name: METRICS.heartbeatAge, value: ageMs, unit: 'Milliseconds' }];
    telemetry.measure(samples);
    // Two checks at once both rest on the same status; the one that comes second is dropped.
    await store.saveFeedStatus(region, checkFeed(previous, beats, region, nowMs), previous);
  }

  /** What the alarm that keeps an evacuated primary out of DNS is fed with; silent when it cannot be known. */
  async function reportEvacuation(): Promise<void> {
    const evacuated = isEvacuated(await store.routing(), regions.primary, regions.primary);
    telemetry.measure([{ name: METRICS.evacuated, value: evacuated ? 1 : 0 }]);
  }

  /** Runs beside the others; a failure is logged and counted, and the next slot tries again. */
  async function attempt(what: string, action: () => Promise<void>): Promise<void> {
    let failed = 0;
    try {
      await action();
    } catch (error) {
      failed = 1;
      telemetry.error(`${what} failed`, error);
    }
    telemetry.measure([
      { name: METRICS.heartbeats, value: 1 },
      { name: METRICS.heartbeatFailures, value: failed },
    ]);
  }

  return async (): Promise<void> => {
    const startMs = now();
    const running: Promise<void>[] = [];
    if (role === 'standby') running.push(attempt('reporting the evacuation', reportEvacuation));
    for (let slot = 0; slot < BEATS; slot += 1) {
      const dueMs = startMs + slot * HEARTBEAT_EVERY_MS;
      if (dueMs > now()) await wait(dueMs - now());
      const slotMs = Math.floor(dueMs / HEARTBEAT_EVERY_MS) * HEARTBEAT_EVERY_MS;
      running.push(attempt('a heartbeat', () => beat(slotMs)));
      if (slot % BEATS_PER_CHECK === 0) running.push(attempt('a feed check', check));
    }
    await Promise.all(running);
  };
}
