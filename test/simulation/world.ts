// One history's world: table, buckets, functions, network, devices. What happens in it is history.ts's to say.
import type { ProxyEvent } from '../../lambdas/http.ts';
import {
  GENERATION_KEY,
  HEARTBEAT_SHARD,
  heartbeatKey,
  recordPk,
  regionStatusKey,
  STATE,
} from '../../protocol/items.ts';
import type { PushResponse } from '../../protocol/messages.ts';
import { COLLECTION } from './author.ts';
import { Buckets } from './buckets.ts';
import { Chronicle, type Violation } from './chronicle.ts';
import { Device } from './device.ts';
import type { Dice } from './dice.ts';
import type { StoreFaults } from './dynamodb.ts';
import type { Item } from './expressions.ts';
import { ALL_REGIONS, REGIONS, RegionFunctions, SERVING_REGIONS } from './functions.ts';
import { type HttpResult, Network, type NetworkFaults } from './network.ts';
import type { Profile } from './profiles.ts';
import type { Scheduler } from './scheduler.ts';
import { Streams } from './streams.ts';
import { Table } from './table.ts';
import { judgeChange, judgeRead, judgeVerdict } from './verdicts.ts';

export interface WorldParts {
  readonly scheduler: Scheduler;
  readonly dice: Dice;
  readonly profile: Profile;
  readonly onLog: (line: () => string) => void;
}

const TENANT = 'acme';
/** Between two clocks twice as much; from 20 s on it alarms, and pulls promise nothing (PROTOCOL 6.3). */
const FEED_SKEW_MS_MAX = 10_000;
/** In shards of the feed of their own, and all in one. */
const SPREAD = ['k0', 'k1', 'k2'] as const;
const TOGETHER = ['k0', 'k13', 'k26'] as const;

export class World {
  readonly scheduler: Scheduler;
  readonly profile: Profile;
  readonly table: Table;
  readonly buckets: Buckets;
  readonly network: Network;
  readonly chronicle: Chronicle;
  readonly streams: Streams;
  readonly functions: ReadonlyMap<string, RegionFunctions>;
  readonly devices: readonly Device[];
  readonly keys: readonly string[];
  readonly onLog: (line: () => string) => void;
  /** Regions whose own replica does not answer. */
  readonly broken = new Set<string>();
  /** Regions whose observer nobody starts. */
  readonly unobserved = new Set<string>();
  /** The first invariant that broke. */
  violation: Violation | Error | undefined;
  #networkFaults: NetworkFaults;
  #storeFaults: StoreFaults;
  #roughness = 1;
  #stalled = false;
  #tokens = 0;

  constructor({ scheduler, dice, profile, onLog }: WorldParts) {
    this.scheduler = scheduler;
    this.profile = profile;
    this.onLog = onLog;
    this.#networkFaults = profile.network;
    this.#storeFaults = profile.store;
    this.table = new Table(ALL_REGIONS, scheduler, dice.split(), profile.table);
    this.chronicle = new Chronicle(scheduler, (change) => judgeChange(this.chronicle, change));
    this.buckets = new Buckets(
      scheduler,
      dice.split(),
      () => ({ ...profile.buckets, fails: profile.buckets.fails * this.#roughness }),
      (from, to) => this.table.areLinked(from, to),
    );
    this.functions = this.#makeFunctions(dice.split());
    this.streams = new Streams({
      scheduler,
      table: this.table,
      dice: dice.split(),
      archive: (region, event) => this.#functionsOf(region).archive(event),
    });
    this.table.onEntry((entry) => {
      onLog(() => `${entry.region ?? 'an operator'} writes ${describe(entry.pk, entry.after)}`);
      this.chronicle.take(entry);
      this.streams.take(entry);
    });
    this.network = new Network(
      SERVING_REGIONS,
      scheduler,
      dice.split(),
      () => this.#networkFaults,
      (region, event) => this.#serve(region, event),
    );
    this.keys = (dice.chance(0.5) ? SPREAD : TOGETHER).slice(0, dice.whole(...profile.keys));
    this.devices = this.#makeDevices(dice.split());
    this.#open();
  }

  judgeRead(device: Device, id: string, answer: HttpResult, fromMs: number): void {
    try {
      const pk = recordPk({ tenant: device.tenant, collection: COLLECTION, id });
      judgeRead(this.table, pk, answer, fromMs);
    } catch (violation) {
      this.violated(violation);
    }
  }

  violated(violation: unknown): void {
    this.violation ??= violation instanceof Error ? violation : new Error(String(violation));
  }

  /** Probabilities of faults are multiplied by this from now on. */
  setRoughness(roughness: number): void {
    this.#roughness = roughness;
    this.#networkFaults = rough(this.profile.network, roughness);
    this.setStalled(this.#stalled && roughness > 0);
  }

  /** Every write takes long from now on. */
  setStalled(stalled: boolean): void {
    this.#stalled = stalled;
    const faults = rough(this.profile.store, this.#roughness);
    this.#storeFaults = stalled ? { ...faults, slowWrites: 0.95 } : faults;
  }

  /** Faults end: everything reaches everything, nothing fails any more. */
  heal(): void {
    this.setRoughness(0);
    this.table.joinAll();
    this.table.repairAll();
    this.network.joinAll();
    this.broken.clear();
    this.unobserved.clear();
    for (const region of ALL_REGIONS) this.buckets.setReachable(region, true);
    // Clocks that far off alarm; whoever sets them right has devices pull anew, since feeds were stamped by them.
    if (this.profile.serverSkewMs <= FEED_SKEW_MS_MAX) return;
    for (const functions of this.functions.values()) functions.coldStart();
    for (const device of this.devices) device.pullsAnew = true;
  }

  /** Without observers the feed counts as steady: nobody is cut off for long in such a history. */
  keepFeedSteady(): void {
    const nowMs = Math.floor(this.scheduler.nowMs);
    for (const region of ALL_REGIONS) {
      const { pk, sk } = regionStatusKey(region);
      const [checkedAt, steadySince] = [nowMs, nowMs - 3_600_000];
      const item = { checkedAt: { N: String(checkedAt) }, steadySince: { N: String(steadySince) } };
      this.table.put(pk, { pk: { S: pk }, sk: { S: sk }, ...item }, REGIONS.primary);
    }
  }

  setGeneration(status: 'open' | 'restoring', restoreEpoch: number): void {
    const { pk, sk } = GENERATION_KEY;
    const item = { status: { S: status }, restoreEpoch: { N: String(restoreEpoch) } };
    this.table.put(pk, { pk: { S: pk }, sk: { S: sk }, ...item }, undefined);
  }

  /** Of the tenant most devices belong to. */
  pkOf(id: string): string {
    return recordPk({ tenant: TENANT, collection: COLLECTION, id });
  }

  #functionsOf(region: string): RegionFunctions {
    const functions = this.functions.get(region);
    if (functions === undefined) throw new Error(`there is no region ${region}`);
    return functions;
  }

  async #serve(region: string, event: ProxyEvent): Promise<HttpResult> {
    const result = await this.#functionsOf(region).serve(event);
    if (result.status === 200 && event.httpMethod === 'POST')
      try {
        for (const verdict of (JSON.parse(result.body) as PushResponse).verdicts)
          judgeVerdict(this.chronicle, verdict);
      } catch (violation) {
        this.violated(violation);
      }
    return result;
  }

  #makeFunctions(dice: Dice): ReadonlyMap<string, RegionFunctions> {
    const { scheduler, table, buckets, onLog, profile } = this;
    const parts = {
      scheduler,
      table,
      buckets,
      dice,
      onLog,
      faults: () => this.#storeFaults,
      skewMs: () => (this.#roughness === 0 ? 0 : dice.between(-profile.serverSkewMs, profile.serverSkewMs)),
      isBroken: (region: string) => this.broken.has(region),
    };
    const roles = ['primary', 'standby', 'quorum'] as const;
    return new Map(roles.map((role) => [REGIONS[role], new RegionFunctions(role, parts)]));
  }

  #makeDevices(dice: Dice): readonly Device[] {
    const { scheduler, network, chronicle, profile, onLog } = this;
    const count = dice.whole(...profile.devices);
    // The last device of a larger group belongs to somebody else, with records of the same names.
    const tenantOf = (index: number) => (index === 3 || (index === 2 && dice.chance(0.3)) ? 'other' : TENANT);
    return Array.from(
      { length: count },
      (_, index) =>
        new Device({
          name: `device ${'ABCD'[index]}`,
          tenant: tenantOf(index),
          scheduler,
          network,
          chronicle,
          dice: dice.split(),
          nextToken: () => {
            this.#tokens += 1;
            return this.#tokens;
          },
          skewMs: dice.between(...dice.pick(profile.deviceSkewMs)),
          pullLimits: profile.pullLimits,
          onLog,
          onViolation: (violation) => this.violated(violation),
        }),
    );
  }

  /** A table that has been open for a while. */
  #open(): void {
    const nowMs = Math.floor(this.scheduler.nowMs);
    this.setGeneration('open', nowMs - 200 * 86_400_000);
    for (const region of ALL_REGIONS) {
      const { pk } = heartbeatKey(region);
      const order = { S: `${String(nowMs).padStart(13, '0')}#${region}` };
      const row = { pk: { S: pk }, sk: { S: STATE }, feedShard: { S: HEARTBEAT_SHARD }, feedOrder: order };
      this.table.put(pk, row, region);
    }
    this.keepFeedSteady();
  }
}

/** Probabilities, not times, grow. */
function rough<Faults extends NetworkFaults | StoreFaults>(faults: Faults, factor: number): Faults {
  if (factor === 1) return faults;
  const entries = Object.entries(faults).map(([name, value]) => [
    name,
    typeof value === 'number' ? Math.min(0.6, value * factor) : value,
  ]);
  return Object.fromEntries(entries) as Faults;
}

/** One line on what stands in the table now. */
function describe(pk: string, item: Item | undefined): string {
  if (item === undefined) return `${pk}, gone`;
  const { version, commitVersion, deleted, payload, auditSequence, outbox } = item;
  if (version === undefined) {
    const { pk: _, sk, ...rest } = item;
    return `${pk} ${JSON.stringify(rest)}`;
  }
  const settled = Object.keys(item).filter((name) => name.startsWith('w#'));
  const sequences = settled.map((name) => `${name.slice(2, 8)}:${item[name]?.M?.['s']?.N}`);
  return (
    `${pk} ${deleted?.BOOL ? 'deleted' : payload?.S}, version ${version.S}, commit ${commitVersion?.S}, ` +
    `settled ${sequences.join(' ')}` +
    (auditSequence ? `, entries ${auditSequence.N}, ${outbox?.L?.length ?? 0} in the outbox` : '')
  );
}
