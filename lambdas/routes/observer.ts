// One minute of observing (PROTOCOL 6.2): a heartbeat into the feed every 5 s, and every 15 s a look through this
// region's own index at the others' heartbeats. Beside that runs the watch over the serving regions (lambdas/watch.ts).
// All of it is keyed by time slots, so that a second invocation for the same minute changes nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { HEARTBEAT_CHECK_EVERY_MS, HEARTBEAT_EVERY_MS } from '../../protocol/limits.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { isEvacuated } from '../core/routing.ts';
import { checkFeed, freshestAgeMs } from '../core/steadiness.ts';
import type { Service } from '../service.ts';
import type { Sample } from '../telemetry.ts';
import type { Watch, WatchParts } from '../watch.ts';

const MINUTE_MS = 60_000;

export interface ObserverParts extends Pick<Service, 'store' | 'place' | 'telemetry' | 'now'> {
  /** Of changes of the routing state; never rejects. */
  readonly archive: WatchParts['archive'];
  /** @default the serving regions are not watched */
  readonly watch?: Watch | undefined;
  /** Resolves after so many ms. @default a timer */
  readonly wait?: (ms: number) => Promise<unknown>;
}

/** Resolves when the minute is over; what failed meanwhile was logged and counted. */
export function createObserver(parts: ObserverParts) {
  const { store, place, telemetry, now, archive, watch, wait = sleep } = parts;
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

  /** What looks do otherwise. The standby feeds the alarm that keeps an evacuated primary out of DNS; it is silent when
   * that cannot be known. */
  async function tendRouting(): Promise<void> {
    const routing = await store.routing();
    if (role === 'standby') {
      const evacuated = isEvacuated(routing, regions.primary, regions.primary);
      telemetry.measure([{ name: METRICS.evacuated, value: evacuated ? 1 : 0 }]);
    }
    await archive(routing);
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
    if (!watch) running.push(attempt('tending the routing state', tendRouting));
    let lookedAt = Number.NEGATIVE_INFINITY;
    for (const offsetMs of dueOffsets(watch)) {
      const dueMs = startMs + offsetMs;
      if (dueMs > now()) await wait(dueMs - now());
      if (offsetMs % HEARTBEAT_EVERY_MS === 0)
        running.push(attempt('a heartbeat', () => beat(slotOf(dueMs, HEARTBEAT_EVERY_MS))));
      if (offsetMs % HEARTBEAT_CHECK_EVERY_MS === 0) running.push(attempt('a feed check', check));
      // Once in every slot that the minute touches: the slots at its ends may be the neighbours' too and count once, while
      // a minute that begins a moment late leaves none out.
      const slotMs = watch ? slotOf(dueMs, watch.everyMs) : lookedAt;
      if (watch && slotMs > lookedAt) running.push(watch.look(slotMs));
      else if (watch && offsetMs % HEARTBEAT_EVERY_MS === 0)
        running.push(watch.heed(slotOf(dueMs, HEARTBEAT_EVERY_MS)));
      lookedAt = slotMs;
    }
    await Promise.all(running);
  };
}

/** Of a minute's beats and looks, in turn; checks fall on beats, and so does asking whether to look at once. */
function dueOffsets(watch: Watch | undefined): readonly number[] {
  const offsets = [HEARTBEAT_EVERY_MS, ...(watch ? [watch.everyMs] : [])].flatMap((everyMs) =>
    Array.from({ length: MINUTE_MS / everyMs }, (_, n) => n * everyMs),
  );
  return [...new Set(offsets)].toSorted((a, b) => a - b);
}

function slotOf(ms: number, everyMs: number): number {
  return Math.floor(ms / everyMs) * everyMs;
}
