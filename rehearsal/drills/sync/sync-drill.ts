// What every sync drill stands on: devices in processes of their own with a tap on each of their wires, the table's log
// read along, and at the end the history of it all. Everything is undone when the drill is over, however it ends.
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HEADERS, PATHS } from '../../../protocol/messages.ts';
import { preciseNow } from '../../measuring.ts';
import { Children } from '../../supervisor/children.ts';
import { Cleanup } from '../../supervisor/cleanup.ts';
import { getPlainly } from '../plain-http.ts';
import type { DrillOptions } from '../scenario.ts';
import { Stopping } from '../stopping.ts';
import type { Marker } from '../svg.ts';
import { DrillError, type FreshSystem, type SyncedSystem } from '../system.ts';
import { conflictsShown } from './conflicts-api.ts';
import type { Look } from './device-messages.ts';
import { type DeviceEvent, DeviceProcess, DeviceTrouble } from './device-process.ts';
import { type EditPlan, keyOfEdit } from './edits.ts';
import type { Cut, DeviceEnd, Made, Sent, SyncHistory } from './history.ts';
import { keepHistory } from './keep.ts';
import { TableReader } from './table-reader.ts';
import { Watcher } from './watcher.ts';
import { openWireTap, type WireTap } from './wire-tap.ts';

export interface DeviceWishes {
  readonly name: string;
  /** Whose endpoints it knows, the preferred one first. */
  readonly regions: readonly string[];
  readonly plan: Omit<EditPlan, 'by' | 'seed'>;
  /** Where its clock stands, Unix ms. @default the machine's */
  readonly clockMs?: number;
  /** It pulls by itself so often. @default never */
  readonly pullIntervalMs?: number;
}

/** How long a freshly started or healed region may be silent on pulls (PROTOCOL 6.2), with room. */
const FEED_STEADY_WITHIN_MS = 120_000;
const PULL_MS_MAX = 30_000;
/** Twice as long as the library lets an operation wait for company. */
const PUSH_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 20;

export class SyncDrill {
  readonly system: SyncedSystem;
  /** Of the timeline. */
  readonly marks: Marker[] = [];
  readonly startedAt = preciseNow();
  readonly #name: string;
  readonly #options: DrillOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #token: string;
  readonly #folder: string;
  readonly #children: Children;
  readonly #cleanup: Cleanup;
  readonly #reader: TableReader;
  readonly #stopping: Stopping;
  readonly #sent: Sent[] = [];
  readonly #made = new Map<string, Made[]>();
  readonly #events = new Map<string, DeviceEvent[]>();
  readonly #ends = new Map<string, DeviceEnd>();
  readonly #cuts: Cut[] = [];
  readonly #taps: { readonly region: string; readonly tap: WireTap }[] = [];
  #watcher: Watcher | undefined;

  private constructor(parts: {
    name: string;
    system: SyncedSystem;
    options: DrillOptions;
    token: string;
    folder: string;
    children: Children;
    cleanup: Cleanup;
    reader: TableReader;
  }) {
    this.system = parts.system;
    this.#name = parts.name;
    this.#options = parts.options;
    this.#token = parts.token;
    this.#folder = parts.folder;
    this.#children = parts.children;
    this.#cleanup = parts.cleanup;
    this.#reader = parts.reader;
    this.#stopping = new Stopping(parts.system, parts.options.signal);
    this.#cleanup.add(() => this.#agent.destroy());
  }

  /** Runs `work` on a drill of its own tenant, whose table is empty then. */
  static async run<Result>(
    name: string,
    fresh: FreshSystem,
    options: DrillOptions,
    work: (drill: SyncDrill) => Promise<Result>,
  ): Promise<Result> {
    const cleanup = new Cleanup();
    try {
      const system = await fresh();
      const folder = await mkdtemp(join(tmpdir(), 'eden-field-drill-'));
      cleanup.add(() => rm(folder, { recursive: true, force: true }));
      const children = new Children();
      cleanup.add(() => children.endAll());
      const tenant = `${name}-${Date.now().toString(36)}`;
      const token = await system.token(tenant);
      const reader = await TableReader.start(system.table, tenant);
      cleanup.add(() => reader.close());
      cleanup.add(() => {
        for (const { region } of system.regions) system.way(region, 'usual');
      });
      return await work(new SyncDrill({ name, system, options, token, folder, children, cleanup, reader }));
    } finally {
      await cleanup.run();
    }
  }

  region(role: 'primary' | 'standby'): string {
    const found = this.system.regions.find((each) => each.role === role)?.region;
    if (found === undefined) throw new DrillError(`there is no ${role} region`);
    return found;
  }

  /** A device's queue file; what belongs to it stands beside it, under names that begin with its own. */
  fileOf(name: string): string {
    return join(this.#folder, `${name}.db`);
  }

  step(text: string): void {
    this.#options.onStep?.(text);
  }

  mark(text: string, style: Marker['style'] = 'plain', at = preciseNow()): void {
    this.marks.push({ at, text, style });
  }

  /** Opens a device, or opens it again after its end, with the file it had. */
  async device({ name, regions, plan, ...rest }: DeviceWishes): Promise<DeviceProcess> {
    const { seed, fallback = true, silenceDetection = true } = this.#options;
    const endpoints: string[] = [];
    for (const region of regions) {
      const target = this.system.regions.find((each) => each.region === region)?.endpoint;
      if (target === undefined) throw new DrillError(`nobody serves clients in ${region}`);
      const tap = await openWireTap(region, target, (sent) => this.#sent.push(...sent));
      this.#cleanup.add(() => tap.close());
      this.#taps.push({ region, tap });
      endpoints.push(tap.url);
    }
    const events = this.#events.get(name) ?? [];
    this.#events.set(name, events);
    const made = this.#made.get(name) ?? [];
    this.#made.set(name, made);
    const whole: EditPlan = { ...plan, by: name, seed };
    return this.orStopped(
      DeviceProcess.start(
        this.#children,
        {
          name,
          path: this.fileOf(name),
          endpoints,
          token: this.#token,
          plan: whole,
          fallback,
          silenceDetection,
          ...rest,
        },
        (event) => {
          events.push(event);
          if (event.type !== 'acknowledged') return;
          for (let n = event.from; n <= event.to; n += 1)
            made.push({ by: name, n, key: keyOfEdit(whole, n), acknowledgedAt: event.at });
        },
      ),
    );
  }

  /** What a device said, all its lives together. */
  events<Type extends DeviceEvent['type']>(
    name: string,
    type: Type,
  ): readonly Extract<DeviceEvent, { type: Type }>[] {
    const isWanted = (event: DeviceEvent): event is Extract<DeviceEvent, { type: Type }> =>
      event.type === type;
    return this.#events.get(name)?.filter(isWanted) ?? [];
  }

  /** What the client library failed with, on these devices. */
  trouble(names: readonly string[]) {
    return names.flatMap((name) => this.events(name, 'trouble'));
  }

  /** Edits that a device was told are durable. */
  made(name: string): readonly Made[] {
    return this.#made.get(name) ?? [];
  }

  /** What passed over all wires so far. */
  get sent(): readonly Sent[] {
    return this.#sent;
  }

  watch(readsPerSecond: number, key: () => string): void {
    const options = { regions: this.system.regions, token: this.#token, readsPerSecond, key };
    this.#watcher = new Watcher(options);
    this.#cleanup.add(() => this.#watcher?.stop());
  }

  /** Waits until a push is under way to a region; a while at most, so that silence is no deadlock. */
  async pushUnderWay(region: string): Promise<void> {
    const giveUpAt = preciseNow() + PUSH_WITHIN_MS;
    const isUnderWay = () => this.#taps.some(({ region: to, tap }) => to === region && tap.underWay > 0);
    await this.until(() => isUnderWay() || preciseNow() > giveUpAt);
  }

  /** Cuts a region off from the others; gives what heals it. */
  async partition(region: string): Promise<() => Promise<void>> {
    const from = await this.orStopped(this.system.fault(region, 'partition'));
    this.mark(`${region} is cut off`, 'fault', from);
    return async () => {
      this.#cuts.push({ region, from, to: preciseNow() });
      this.mark('healed', 'good');
      await this.orStopped(this.system.fault(region, 'revive'));
    };
  }

  /** Waits until pulls are answered in these regions. */
  async feedSteady(regions: readonly string[]): Promise<void> {
    const giveUpAt = preciseNow() + FEED_STEADY_WITHIN_MS;
    let restoreEpoch = '0';
    for (const { region, endpoint } of this.system.regions.filter((each) => regions.includes(each.region)))
      for (;;) {
        const { status, headers, body } = await this.orStopped(
          getPlainly(`${endpoint}${PATHS.pull}?limit=1`, {
            agent: this.#agent,
            timeoutMs: PULL_MS_MAX,
            headers: { authorization: `Bearer ${this.#token}`, [HEADERS.restoreEpoch]: restoreEpoch },
          }),
        );
        if (status === 200) break;
        // Which epoch it is, is learnt from the first answer.
        restoreEpoch = String(headers[HEADERS.restoreEpoch] ?? restoreEpoch);
        if (preciseNow() > giveUpAt)
          throw new DrillError(
            `pulls in ${region} are refused for ${FEED_STEADY_WITHIN_MS / 1_000} s: ${status} ${body}`,
          );
        await this.pause(500);
      }
  }

  /** Waits for something that is looked at again and again. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await this.pause(LOOK_EVERY_MS);
  }

  pause(ms: number): Promise<void> {
    return this.#stopping.pause(ms);
  }

  orStopped<T>(promise: Promise<T>): Promise<T> {
    return this.#stopping.orStopped(promise);
  }

  /** Undefined where the client library failed: the device has told of it, and the drill goes on and counts it. */
  async tried<T>(promise: Promise<T>): Promise<T | undefined> {
    try {
      return await this.orStopped(promise);
    } catch (error) {
      if (error instanceof DeviceTrouble) return undefined;
      throw error;
    }
  }

  /** The same order to several devices at once, each {@link tried}. */
  async all(
    devices: readonly DeviceProcess[],
    order: (device: DeviceProcess) => Promise<unknown>,
  ): Promise<void> {
    await Promise.all(devices.map((device) => this.tried(order(device))));
  }

  /** What a device holds and what waits on it, for the history. It has pulled everything, of all these collections. */
  async look(device: DeviceProcess, collections: readonly string[]): Promise<Look> {
    const look = await this.orStopped(device.order({ type: 'look', collections }));
    const { pending, quarantined, held } = look;
    this.#ends.set(device.name, { name: device.name, pending, quarantined, held: new Map(held) });
    return look;
  }

  /** When the table was opened and closed, by the log as far as it was read. */
  get generations() {
    return this.#reader.generations;
  }

  /** Hashes of the audit entries that the API of a region shows of these records. */
  conflictsShown(region: string, keys: Iterable<string>): Promise<ReadonlySet<string>> {
    const endpoint = this.system.regions.find((each) => each.region === region)?.endpoint ?? '';
    return this.orStopped(conflictsShown(endpoint, this.#token, keys));
  }

  /** Everything recorded, the table's log read to its end, and kept where it was asked for. Nothing may write any more. */
  async history(): Promise<SyncHistory> {
    await this.#watcher?.stop();
    this.step('reading the table and its log');
    const log = await this.orStopped(this.#reader.finish());
    const table = await this.orStopped(this.#reader.table());
    const history: SyncHistory = {
      made: [...this.#made.values()].flat(),
      sent: this.#sent,
      reads: this.#watcher?.reads ?? [],
      log,
      table,
      devices: [...this.#ends.values()],
      cuts: this.#cuts,
    };
    const { historyFolder } = this.#options;
    if (historyFolder !== undefined) await keepHistory(historyFolder, this.#name, history);
    return history;
  }
}
