// One history, from its seed: bursts of work on several devices while things break, gaps of minutes to months, restores,
// and at the end calm, in which everything has to come right.
import type { Device } from './device.ts';
import { Dice } from './dice.ts';
import { ALL_REGIONS, SERVING_REGIONS } from './functions.ts';
import { judgeOutcome } from './outcome.ts';
import type { Doing, Profile, Trouble } from './profiles.ts';
import { type Backup, restore, takeBackup } from './restore.ts';
import { Scheduler, takeTimers } from './scheduler.ts';
import { settleDown } from './settle-down.ts';
import { World } from './world.ts';

export interface Played {
  readonly events: number;
  readonly operations: number;
  readonly conflicts: number;
  readonly restores: number;
  readonly crashes: number;
  readonly virtualMs: number;
  /** Undefined: every invariant held. */
  readonly violation: { readonly invariant: string; readonly what: string } | undefined;
}

/** A morning in 2026. */
const START_MS = Date.UTC(2026, 2, 2, 8);
const ROUGH = 6;
/** Well within the 60 s for which a check counts. */
const FEED_KEPT_MS = 40_000;
const OBSERVER_LOOK_MS = 5_000;
const LONG_GAP_MS = 10 * 60_000;

/** From the event loop only: see scheduler.ts. `onLog` is given every step, as text made on demand. */
export function play(seed: number, profile: Profile, onLog: (line: () => string) => void = () => {}): Played {
  const dice = new Dice(seed);
  const scheduler = new Scheduler(START_MS + dice.whole(0, 86_400_000));
  const startMs = scheduler.nowMs;
  const giveBack = takeTimers(scheduler);
  let world: World | undefined;
  let failure: unknown;
  try {
    const script = new World({
      scheduler,
      dice: dice.split(),
      profile,
      onLog: (line) =>
        onLog(() => `${new Date(scheduler.nowMs).toISOString().slice(5, -1).replace('T', ' ')}  ${line()}`),
    });
    world = script;
    let over = false;
    new Script(script, dice).run().then(
      () => {
        over = true;
      },
      (error: unknown) => {
        failure = error;
        over = true;
      },
    );
    const end = scheduler.run(() => over || script.violation !== undefined, Number.POSITIVE_INFINITY);
    if (end === 'idle') failure ??= new Error('the history came to a standstill');
  } catch (error) {
    failure = error;
  } finally {
    giveBack();
  }
  return playedOf(world, scheduler, startMs, world?.violation ?? failure);
}

function playedOf(world: World | undefined, scheduler: Scheduler, startMs: number, failure: unknown): Played {
  const { chronicle } = world ?? {};
  return {
    events: scheduler.events,
    operations: chronicle?.made.size ?? 0,
    conflicts: chronicle?.audited.length ?? 0,
    restores: chronicle?.restores.length ?? 0,
    crashes: world?.devices.reduce((sum, { crashes }) => sum + crashes, 0) ?? 0,
    virtualMs: scheduler.nowMs - startMs,
    violation: failure === undefined ? undefined : violationOf(failure),
  };
}

function violationOf(failure: unknown): NonNullable<Played['violation']> {
  const error = failure instanceof Error ? failure : new Error(String(failure));
  const invariant = 'invariant' in error ? String(error.invariant) : 'it runs at all';
  return { invariant, what: invariant === 'it runs at all' ? String(error.stack) : error.message };
}

class Script {
  readonly #world: World;
  readonly #dice: Dice;
  #backup: Backup | undefined;

  constructor(world: World, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
  }

  async run(): Promise<void> {
    const { profile } = this.#world;
    this.#backup = takeBackup(this.#world);
    for (let left = this.#dice.whole(...profile.phases); left > 0; left -= 1) {
      await this.#phase();
      if (left > 1 || this.#dice.chance(profile.lastGap)) await this.#gap();
    }
    if (this.#dice.chance(profile.restore / 3)) await this.#lastRestore();
    await settleDown(this.#world);
    await judgeOutcome(this.#world);
  }

  /** With nobody at work; some hear of it only minutes later. */
  async #lastRestore(): Promise<void> {
    const dice = this.#dice;
    const old = dice.chance(this.#world.profile.oldBackup);
    await restore(this.#world, (old && this.#backup) || takeBackup(this.#world), dice);
    if (dice.chance(0.6)) await this.#world.scheduler.wait(dice.between(0, 400_000));
  }

  async #phase(): Promise<void> {
    const world = this.#world;
    const { devices, profile, scheduler } = world;
    const dice = this.#dice;
    for (const device of devices) if (!device.isOpen && dice.chance(0.85)) device.open();
    let working = true;
    const observing = profile.observers
      ? ALL_REGIONS.map((region) => this.#observe(region, () => working))
      : [];
    if (!profile.observers) void this.#keepFeedSteady(() => working);
    const work = devices.map((device) => this.#work(device, dice.split()));
    work.push(this.#trouble(dice.split()));
    if (dice.chance(profile.restore)) work.push(this.#restore(dice.split()));
    else if (dice.chance(0.7))
      scheduler.after(dice.between(0, 20_000), () => {
        this.#backup = takeBackup(world);
      });
    await Promise.all(work);
    working = false;
    await Promise.all(observing);
    if (dice.chance(0.5)) await scheduler.wait(dice.between(0, 5_000));
  }

  /** Nobody is at work; devices are switched off before a long one. */
  async #gap(): Promise<void> {
    const { profile, scheduler, devices, streams, functions } = this.#world;
    const dice = this.#dice;
    const { ms } = weighted(profile.gaps, dice);
    const gapMs = dice.between(...ms);
    const long = gapMs > LONG_GAP_MS;
    for (const device of devices) {
      if (!long && dice.chance(0.6)) continue;
      if (dice.chance(0.5)) await device.close();
      else device.crash(dice.chance(0.5));
    }
    streams.stopped ||= long && dice.chance(0.2);
    await scheduler.wait(gapMs);
    streams.resume();
    if (long) for (const region of functions.values()) region.coldStart();
    if (gapMs > 3_600_000) await this.#sweep();
  }

  async #sweep(): Promise<void> {
    const { functions, onLog } = this.#world;
    for (const region of SERVING_REGIONS)
      try {
        await functions.get(region)?.sweep();
      } catch (error) {
        onLog(() => `a sweep in ${region} ends: ${String(error)}`);
      }
  }

  async #observe(region: string, working: () => boolean): Promise<void> {
    const { functions, unobserved, scheduler } = this.#world;
    while (working())
      if (unobserved.has(region)) await scheduler.wait(OBSERVER_LOOK_MS);
      else await functions.get(region)?.observe();
  }

  async #keepFeedSteady(working: () => boolean): Promise<void> {
    while (working()) {
      this.#world.keepFeedSteady();
      await this.#world.scheduler.wait(FEED_KEPT_MS);
    }
  }

  async #work(device: Device, dice: Dice): Promise<void> {
    const { profile, scheduler } = this.#world;
    for (let left = dice.whole(...profile.actions); left > 0; left -= 1) {
      const pause = dice.chance(profile.longPause) ? profile.longPauseMs : profile.pauseMs;
      await scheduler.wait(dice.between(...pause));
      if (!device.isOpen) device.open();
      await this.#act(device, dice.weighted<Doing>(profile.doing), dice);
    }
  }

  async #act(device: Device, doing: Doing, dice: Dice): Promise<void> {
    const world = this.#world;
    const { network, scheduler, keys } = world;
    switch (doing) {
      case 'put':
      case 'delete':
        return device.edit(dice.pick(keys), doing);
      case 'burst': {
        const key = dice.pick(keys);
        const kinds = Array.from({ length: dice.whole(2, 5) }, () => (dice.chance(0.8) ? 'put' : 'delete'));
        await Promise.all(kinds.map((kind) => device.edit(dice.chance(0.7) ? key : dice.pick(keys), kind)));
        return;
      }
      case 'pull':
        void device.pull();
        return;
      case 'read':
        return this.#read(device, dice.pick(keys));
      case 'flush':
        return device.flush(dice.between(1_000, 30_000));
      case 'kill':
        return device.crash(false);
      case 'powerCut':
        return device.crash(true);
      case 'crashSoon':
        device.crashSoon();
        if (dice.chance(0.5)) void device.pull();
        return;
      case 'reopen':
        return device.close();
      case 'offline': {
        for (const region of SERVING_REGIONS) network.cut(device.name, region);
        scheduler.after(dice.between(...world.profile.offlineMs), () => {
          for (const region of SERVING_REGIONS) network.join(device.name, region);
        });
        return;
      }
      case 'clockJump': {
        device.skewMs = dice.between(...dice.pick(world.profile.deviceSkewMs));
        world.onLog(() => `the clock of ${device.name} jumps to ${Math.round(device.skewMs)} ms`);
      }
    }
  }

  /** What it gives must have been the state at some time between question and answer. */
  async #read(device: Device, id: string): Promise<void> {
    const { scheduler } = this.#world;
    const fromMs = scheduler.nowMs;
    const answer = await device.read(id).catch(() => undefined);
    if (answer) this.#world.judgeRead(device, id, answer, fromMs);
  }

  async #trouble(dice: Dice): Promise<void> {
    const { profile, scheduler } = this.#world;
    for (let left = dice.whole(...profile.troubles); left > 0; left -= 1) {
      await scheduler.wait(dice.between(0, 10_000));
      await this.#break(dice.weighted<Trouble>(profile.trouble), dice);
    }
  }

  async #break(trouble: Trouble, dice: Dice): Promise<void> {
    const world = this.#world;
    const { table, network, scheduler, buckets, functions, broken, unobserved, keys } = world;
    const ms = dice.between(...world.profile.troubleMs);
    const region = dice.pick(trouble === 'isolate' ? [...SERVING_REGIONS, ...ALL_REGIONS] : ALL_REGIONS);
    const others = ALL_REGIONS.filter((other) => other !== region);
    world.onLog(() => `trouble: ${trouble} ${region} for ${Math.round(ms)} ms`);
    switch (trouble) {
      case 'isolate':
        for (const other of others) table.cut(region, other);
        if (dice.chance(0.5)) unobserved.add(region);
        await scheduler.wait(ms);
        for (const other of others) table.join(region, other);
        scheduler.after(dice.between(0, 40_000), () => unobserved.delete(region));
        for (const device of world.devices)
          if (dice.chance(0.6)) scheduler.after(dice.between(0, 15_000), () => void device.pull());
        break;
      case 'cutLink': {
        const other = dice.pick(others);
        table.cut(region, other);
        await scheduler.wait(ms);
        table.join(region, other);
        break;
      }
      case 'cutDevice': {
        const device = dice.pick(world.devices);
        const serving = dice.pick(SERVING_REGIONS);
        network.cut(device.name, serving);
        await scheduler.wait(ms);
        network.join(device.name, serving);
        break;
      }
      case 'brokenReplica':
        broken.add(region);
        await scheduler.wait(ms);
        broken.delete(region);
        break;
      case 'coldStart':
        functions.get(region)?.coldStart();
        return;
      case 'damage':
        table.damage(world.pkOf(dice.pick(keys)), region);
        return;
      case 'bucket':
        buckets.setReachable(region, false);
        await scheduler.wait(ms);
        buckets.setReachable(region, true);
        break;
      case 'archivers':
        world.streams.stopped = true;
        return;
      case 'stall':
        return this.#stall(dice);
      case 'rough':
        world.setRoughness(ROUGH);
        await scheduler.wait(ms / 2);
        world.setRoughness(1);
    }
    world.onLog(() => `trouble over: ${trouble} ${region}`);
  }

  /** Writes hang, and a device that sent some is gone before it hears of them; the others go on pulling. */
  async #stall(dice: Dice): Promise<void> {
    const { scheduler, network, devices, keys, onLog } = this.#world;
    this.#world.setStalled(true);
    const device = dice.pick(devices);
    await device.edit(dice.pick(keys), 'put');
    await scheduler.wait(dice.between(1_200, 4_000));
    onLog(() => `${device.name} is out of reach`);
    for (const serving of SERVING_REGIONS) network.cut(device.name, serving);
    await scheduler.wait(dice.between(12_000, 20_000));
    this.#world.setStalled(false);
    for (const other of devices)
      if (other !== device) scheduler.after(dice.between(110_000, 300_000), () => void other.pull());
    await scheduler.wait(dice.between(100_000, 500_000));
    for (const serving of SERVING_REGIONS) network.join(device.name, serving);
  }

  async #restore(dice: Dice): Promise<void> {
    const { scheduler } = this.#world;
    await scheduler.wait(dice.between(0, 20_000));
    const old = dice.chance(this.#world.profile.oldBackup);
    const backup = old ? this.#backup : takeBackup(this.#world);
    await scheduler.wait(dice.between(0, 30_000));
    if (!backup) return;
    // What was sent right before comes back under the old epoch, perhaps after the device has heard of the new one.
    const { devices, keys } = this.#world;
    for (const device of devices) if (dice.chance(0.5)) void device.edit(dice.pick(keys), 'put');
    await scheduler.wait(dice.between(1_000, 6_000));
    await restore(this.#world, backup, dice);
    for (const device of devices)
      if (dice.chance(0.5)) scheduler.after(dice.between(0, 4_000), () => void device.pull());
  }
}

function weighted(choices: Profile['gaps'], dice: Dice): Profile['gaps'][number] {
  let left = dice.next() * choices.reduce((sum, { weight }) => sum + weight, 0);
  for (const choice of choices) {
    left -= choice.weight;
    if (left < 0) return choice;
  }
  return choices[0] as Profile['gaps'][number];
}
