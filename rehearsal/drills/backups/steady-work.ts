// The steady load of these drills: devices with the client library, each on the wire of its own tap, and beside them bare
// `/v1/records` calls.
import { preciseNow } from '../../measuring.ts';
import type { DeviceProcess } from '../sync/device-process.ts';
import type { DeviceWishes, SyncDrill } from '../sync/sync-drill.ts';
import { BareLoad } from './bare-load.ts';

/** Edits a second of each device. */
const EDITS_PER_S = 4;
const BARE_PER_S = 20;
const BARE_WRITE_SHARE = 0.4;
/** More edits than any drill makes. */
const EDITS_MAX = 1_000_000;
const RECORDS = 200;
const TEXT_BYTES = 60;
const FLUSH_MS = 30_000;
/** Nothing was delivered for so many flushes: it never will be. */
const STALLED_FLUSHES = 10;
const PULL_MS = 120_000;
export const BARE_TENANT = 'bare';
export const BARE_COLLECTION = 'calls';

interface Working {
  readonly device: DeviceProcess;
  readonly collection: string;
  readonly making: Promise<unknown>;
}

export class SteadyWork {
  readonly bare: BareLoad;
  readonly #drill: SyncDrill;
  readonly #devices = new Map<string, Working>();

  private constructor(drill: SyncDrill, bare: BareLoad) {
    this.#drill = drill;
    this.bare = bare;
  }

  /** Two devices that edit the same records, the one preferring the primary, the other the standby; and bare calls. */
  static async begin(drill: SyncDrill, seed: number): Promise<SteadyWork> {
    const { system } = drill;
    const bare = new BareLoad({
      regions: system.regions,
      token: await drill.orStopped(system.token(BARE_TENANT)),
      collection: BARE_COLLECTION,
      perSecond: BARE_PER_S,
      writeShare: BARE_WRITE_SHARE,
      seed,
    });
    const work = new SteadyWork(drill, bare);
    const [primary, standby] = [drill.region('primary'), drill.region('standby')];
    await work.add({ name: 'van', regions: [primary, standby] }, 'notes');
    await work.add({ name: 'truck', regions: [standby, primary] }, 'notes');
    return work;
  }

  get names(): readonly string[] {
    return [...this.#devices.keys()];
  }

  /** One more device at work, in a collection; the numbers of its edits begin at `from`. */
  async add(wishes: Omit<DeviceWishes, 'plan'>, collection: string, from = 1): Promise<DeviceProcess> {
    const plan = { collection, records: RECORDS, textBytes: TEXT_BYTES };
    const device = await this.#drill.device({ ...wishes, plan });
    const making = device.order({
      type: 'make',
      from,
      to: from + EDITS_MAX,
      how: { perSecond: EDITS_PER_S },
    });
    // Whoever waits for it hears of it; a device that is killed never finishes.
    making.catch(() => undefined);
    this.#devices.set(wishes.name, { device, collection, making });
    return device;
  }

  /** Takes a device out: it makes no more edits, and its file is closed. */
  async close(name: string): Promise<void> {
    const working = this.#working(name);
    await this.#stopMaking(working);
    await this.#drill.orStopped(working.device.end());
    this.#devices.delete(name);
  }

  /** SIGKILL. */
  async kill(name: string): Promise<void> {
    await this.#drill.orStopped(this.#working(name).device.kill());
    this.#devices.delete(name);
  }

  /** No more edits; resolves with when nothing waited on any device any more, or null when that never came. */
  async drained(): Promise<number | null> {
    const all = [...this.#devices.values()];
    await Promise.all(all.map((working) => this.#stopMaking(working)));
    const delivered = await Promise.all(all.map(({ device }) => this.#delivered(device)));
    return delivered.every(Boolean) ? preciseNow() : null;
  }

  /** No more bare calls, and which of those that were stored are there. */
  async readBack(): Promise<ReadonlySet<string>> {
    await this.#drill.orStopped(this.bare.stop());
    return this.#drill.orStopped(this.bare.readBack(this.bare.stored.map(({ key }) => key)));
  }

  /** Every device pulls everything and says what it holds. */
  async look(): Promise<void> {
    const drill = this.#drill;
    await drill.feedSteady([drill.region('primary'), drill.region('standby')]);
    const collections = [...new Set([...this.#devices.values()].map(({ collection }) => collection))];
    const devices = [...this.#devices.values()].map(({ device }) => device);
    await drill.all(devices, (device) => device.order({ type: 'pull', withinMs: PULL_MS }));
    for (const device of devices) await drill.look(device, collections);
  }

  #working(name: string): Working {
    const found = this.#devices.get(name);
    if (found === undefined) throw new Error(`expected a device of ${this.names.join(', ')}, got ${name}`);
    return found;
  }

  async #stopMaking({ device, making }: Working): Promise<void> {
    await this.#drill.orStopped(device.order({ type: 'stopMaking' }));
    await this.#drill.tried(making);
  }

  async #delivered(device: DeviceProcess): Promise<boolean> {
    const drill = this.#drill;
    for (let stalled = 0; stalled < STALLED_FLUSHES; ) {
      const verdicts = await drill.tried(device.order({ type: 'flush', withinMs: FLUSH_MS }));
      const { pending } = await drill.orStopped(device.order({ type: 'look', collections: [] }));
      if (pending === 0) return true;
      const settled = verdicts && verdicts.applied + verdicts.duplicate + verdicts.superseded;
      stalled = settled ? 0 : stalled + 1;
    }
    return false;
  }
}
