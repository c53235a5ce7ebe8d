// The end of every history: faults have ended, every device is switched on, and what is under way comes to rest.
import { fill } from '../../bin/audit/fill.ts';
import { Violation } from './chronicle.ts';
import { ALL_REGIONS } from './functions.ts';
import type { World } from './world.ts';

/** By then all queues must be empty. */
const DRAIN_MS_MAX = 3 * 3_600_000;
const ROUND_MS = 20_000;
const STREAMS_MS_MAX = 600_000;
const PULL_MS_MAX = 600_000;
/** An index shows everything by then. */
const FEED_DELAY_MS = 25_000;
/** A region that was cut off needs so long until its feed counts as steady. */
const FEED_STEADY_MS = 60_000;

export async function settleDown(world: World): Promise<void> {
  const { scheduler, devices, streams, onLog, profile, chronicle } = world;
  onLog(() => 'faults end');
  world.heal();
  streams.resume();
  for (const device of devices) {
    device.calm();
    if (device.pullsAnew) await device.close();
    device.open();
  }
  let resting = false;
  const observing = profile.observers
    ? ALL_REGIONS.map((region) => observe(world, region, () => resting))
    : [];
  if (!profile.observers) world.keepFeedSteady();
  await drain(world);
  if (profile.observers) await scheduler.wait(FEED_STEADY_MS);
  // A pull brings news of a restore to who has nothing to send, and with it work.
  if (chronicle.restores.length > 0) await pullAll(world);
  await drain(world);
  await scheduler.wait(FEED_DELAY_MS);
  // The first may end one that was broken off long ago, whose shards it has read in part before the last edits.
  for (let time = 0; time < 2; time += 1) await pullAll(world);
  const byMs = scheduler.nowMs + STREAMS_MS_MAX;
  while (streams.pending > 0 && scheduler.nowMs < byMs) await scheduler.wait(2_000);
  // Archivers were down for longer than a stream keeps its records: `npm run audit -- fill`.
  if (streams.expired.size > 0) await fillGaps(world);
  resting = true;
  await Promise.all(observing);
}

async function fillGaps({ buckets, onLog }: World): Promise<void> {
  const places = ALL_REGIONS.map((region) => buckets.place(region));
  for (const place of places) {
    const { entries, payloads } = await fill(
      place,
      places.filter((peer) => peer !== place),
    );
    onLog(() => `the bucket of ${place.region} is filled: ${entries} entries, ${payloads} payloads`);
  }
}

/** Each until one pull goes through: with the last fault over, that is soon. */
async function pullAll(world: World): Promise<void> {
  const { profile, scheduler, devices } = world;
  if (!profile.observers) world.keepFeedSteady();
  const byMs = scheduler.nowMs + PULL_MS_MAX;
  await Promise.all(
    devices.map(async (device) => {
      while (!(await device.pullAnew())) {
        if (scheduler.nowMs > byMs) throw new Violation('7 queues drain', `${device.name} cannot pull`);
        await scheduler.wait(5_000);
        if (!profile.observers) world.keepFeedSteady();
      }
    }),
  );
}

async function observe(world: World, region: string, resting: () => boolean): Promise<void> {
  while (!resting()) await world.functions.get(region)?.observe();
}

async function drain(world: World): Promise<void> {
  const { scheduler, devices } = world;
  const byMs = scheduler.nowMs + DRAIN_MS_MAX;
  while (devices.some((device) => (device.queue?.pending ?? 1) > 0)) {
    if (scheduler.nowMs > byMs) {
      const left = devices.map((device) => `${device.name} ${device.queue?.pending}`).join(', ');
      throw new Violation('7 queues drain', `three hours after the last fault operations wait: ${left}`);
    }
    await Promise.all(devices.map((device) => device.flush(ROUND_MS)));
    await scheduler.wait(100);
  }
}
