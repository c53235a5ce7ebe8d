// What histories are made of: how many devices, how rough the network, how often what breaks. A profile bends chance
// towards one kind of trouble; the mix draws one for every history. All of them must pass on the shipped code.
import type { BucketFaults } from './buckets.ts';
import { Dice } from './dice.ts';
import type { StoreFaults } from './dynamodb.ts';
import type { NetworkFaults } from './network.ts';
import type { TableFaults } from './table.ts';

type Range = readonly [number, number];

export interface Profile {
  /** How often the mix draws it. */
  readonly weight: number;
  readonly devices: Range;
  readonly keys: Range;
  /** Bursts of work, with a gap in between. */
  readonly phases: Range;
  /** Of a device in a phase. */
  readonly actions: Range;
  /** What a device does next, by weight. */
  readonly doing: Readonly<Record<Doing, number>>;
  /** Between two actions of a device, ms, usually; and now and then. */
  readonly pauseMs: Range;
  readonly longPauseMs: Range;
  readonly longPause: number;
  /** What breaks in a phase, how often, and by weight. */
  readonly troubles: Range;
  readonly trouble: Readonly<Record<Trouble, number>>;
  readonly troubleMs: Range;
  /** Between phases, by weight, in ms. */
  readonly gaps: readonly { readonly weight: number; readonly ms: Range }[];
  readonly offlineMs: Range;
  /** Rows a page, one of these for each run of a device. */
  readonly pullLimits: readonly number[];
  /** Of a gap behind the last phase as well. */
  readonly lastGap: number;
  /** Of a restore in a phase, and of one that loads an old backup. */
  readonly restore: number;
  readonly oldBackup: number;
  /** Clocks are ahead by so many ms, or behind: one of these ranges each time. */
  readonly deviceSkewMs: readonly Range[];
  readonly serverSkewMs: number;
  /** Whether the observers beat and look; without them the feed counts as steady throughout. */
  readonly observers: boolean;
  readonly network: NetworkFaults;
  readonly store: StoreFaults;
  readonly table: TableFaults;
  readonly buckets: BucketFaults;
}

export type Doing =
  | 'put'
  | 'delete'
  | 'burst'
  | 'pull'
  | 'read'
  | 'flush'
  | 'kill'
  | 'powerCut'
  | 'crashSoon'
  | 'reopen'
  | 'offline'
  | 'clockJump';

export type Trouble =
  | 'isolate'
  | 'cutLink'
  | 'cutDevice'
  | 'brokenReplica'
  | 'coldStart'
  | 'damage'
  | 'bucket'
  | 'archivers'
  | 'stall'
  | 'rough';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const BASE: Profile = {
  weight: 4,
  devices: [2, 4],
  keys: [1, 3],
  phases: [1, 2],
  actions: [5, 11],
  doing: {
    put: 8,
    delete: 2,
    burst: 2,
    pull: 2.5,
    read: 1,
    flush: 1,
    kill: 0.4,
    powerCut: 0.4,
    crashSoon: 0.4,
    reopen: 0.3,
    offline: 0.5,
    clockJump: 0.3,
  },
  pauseMs: [0, 2_500],
  longPauseMs: [5_000, 30_000],
  longPause: 0.08,
  troubles: [0, 3],
  trouble: {
    isolate: 2,
    cutLink: 1,
    cutDevice: 3,
    brokenReplica: 1,
    coldStart: 1,
    damage: 1,
    bucket: 1,
    archivers: 0.3,
    stall: 0.3,
    rough: 1,
  },
  troubleMs: [500, 20_000],
  gaps: [
    { weight: 4, ms: [1_000, 5 * MINUTE_MS] },
    { weight: 1, ms: [MINUTE_MS, 20 * HOUR_MS] },
    { weight: 0.5, ms: [DAY_MS, 80 * DAY_MS] },
    { weight: 0.5, ms: [88 * DAY_MS, 100 * DAY_MS] },
  ],
  pullLimits: [1, 3, 20, 500, 500],
  offlineMs: [1_000, 120_000],
  lastGap: 0.05,
  restore: 0.08,
  oldBackup: 0.4,
  deviceSkewMs: [
    [0, 0],
    [-HOUR_MS, HOUR_MS],
  ],
  serverSkewMs: 8_000,
  observers: false,
  network: {
    latencyMs: [1, 80],
    requestLost: 0.03,
    answerLost: 0.05,
    hedged: 0.12,
    late: 0.03,
    lateMs: [200, 90_000],
    slow: 0.03,
    slowMs: [500, 9_000],
  },
  store: {
    latencyMs: [1, 25],
    writeConflict: 0.02,
    throttled: 0.01,
    lostBefore: 0.01,
    lostAfter: 0.015,
    slow: 0.015,
    slowMs: [500, 14_000],
    slowWrites: 0,
  },
  table: { lagMsMax: 1_500, lagMsMaxRare: 18_000, rareLag: 0.03, catchUpMsMax: 15_000 },
  buckets: { latencyMs: [1, 60], fails: 0.03 },
};

type Parts = 'doing' | 'trouble' | 'network' | 'store' | 'table' | 'buckets';
type Over = Partial<Omit<Profile, Parts>> & { readonly [Name in Parts]?: Partial<Profile[Name]> };

function profile(over: Over): Profile {
  return {
    ...BASE,
    ...over,
    doing: { ...BASE.doing, ...over.doing },
    trouble: { ...BASE.trouble, ...over.trouble },
    network: { ...BASE.network, ...over.network },
    store: { ...BASE.store, ...over.store },
    table: { ...BASE.table, ...over.table },
    buckets: { ...BASE.buckets, ...over.buckets },
  };
}

export const PROFILES = {
  mixed: BASE,
  /** Few keys, many writers, replicas that disagree on who came when. */
  conflicts: profile({
    devices: [3, 4],
    keys: [1, 1],
    doing: { pull: 2, put: 12 },
    troubles: [1, 4],
    trouble: { damage: 4, isolate: 2, cutDevice: 1 },
    store: { slow: 0.05, writeConflict: 0.05 },
    restore: 0.02,
  }),
  /** Observers at work, regions cut off for minutes, pulls meanwhile. */
  feed: profile({
    weight: 1,
    devices: [2, 3],
    keys: [3, 3],
    actions: [8, 14],
    doing: { put: 5, delete: 1, burst: 0.5, pull: 2, read: 0, flush: 0 },
    longPause: 0.35,
    longPauseMs: [10_000, 90_000],
    troubles: [1, 3],
    trouble: {
      isolate: 10,
      cutDevice: 0,
      brokenReplica: 0,
      damage: 0,
      bucket: 0,
      archivers: 0,
      stall: 0,
      rough: 0,
    },
    troubleMs: [100_000, 400_000],
    table: { rareLag: 0.1, catchUpMsMax: 19_000 },
    observers: true,
    restore: 0.03,
  }),
  /** Restores from backups, with writes under way. */
  restores: profile({
    weight: 2,
    devices: [2, 3],
    keys: [1, 2],
    phases: [1, 3],
    restore: 0.8,
    troubles: [0, 2],
    longPause: 0.2,
    doing: { pull: 5, offline: 1 },
    network: { slow: 0.15, slowMs: [6_000, 28_000] },
    gaps: [
      { weight: 2, ms: [1_000, 5 * MINUTE_MS] },
      { weight: 2, ms: [26 * HOUR_MS, 5 * DAY_MS] },
    ],
  }),
  /** Restores of days ago, from before what devices still keep. */
  oldBackups: profile({
    weight: 1,
    devices: [2, 3],
    keys: [1, 2],
    phases: [2, 3],
    actions: [4, 8],
    restore: 0.7,
    oldBackup: 1,
    troubles: [0, 1],
    doing: { pull: 6 },
    gaps: [{ weight: 1, ms: [26 * HOUR_MS, 5 * DAY_MS] }],
  }),
  /** Devices that come back after months, tombstones that are swept meanwhile. */
  months: profile({
    weight: 2,
    phases: [2, 4],
    actions: [3, 7],
    keys: [1, 2],
    doing: { delete: 8, offline: 2, reopen: 1 },
    troubles: [0, 1],
    trouble: { bucket: 4 },
    gaps: [
      { weight: 1, ms: [MINUTE_MS, 10 * MINUTE_MS] },
      { weight: 2, ms: [20 * DAY_MS, 70 * DAY_MS] },
      { weight: 2, ms: [86 * DAY_MS, 97 * DAY_MS] },
    ],
    restore: 0.05,
  }),
  /** Clocks off by a minute or two, jumping, and copies of requests that come late. */
  clocks: profile({
    weight: 2,
    keys: [1, 2],
    deviceSkewMs: [
      [48_000, 72_000],
      [48_000, 72_000],
      [-150_000, 150_000],
    ],
    doing: { clockJump: 2.5, burst: 4, reopen: 1, offline: 1.5 },
    offlineMs: [5_000, 150_000],
    network: { hedged: 0.4, late: 0.2, lateMs: [1_000, 160_000], slow: 0.08 },
    longPause: 0.2,
    restore: 0.25,
  }),
  /** Functions' clocks off by up to an hour, which alarms; set right in the end. */
  serverClocks: profile({
    weight: 1,
    serverSkewMs: HOUR_MS,
    doing: { burst: 3 },
    troubles: [0, 2],
    trouble: { coldStart: 4 },
    restore: 0.1,
  }),
  /** Clocks off by days. */
  farClocks: profile({
    weight: 1,
    keys: [1, 2],
    deviceSkewMs: [[-5 * DAY_MS, 5 * DAY_MS]],
    doing: { clockJump: 1.5, burst: 5 },
    gaps: [{ weight: 1, ms: [1_000, 5 * MINUTE_MS] }],
    restore: 0,
  }),
  /** A table that takes minutes for some calls, which nobody waits for. */
  slowStore: profile({
    weight: 1,
    devices: [3, 3],
    keys: [2, 3],
    doing: { put: 6, pull: 5, kill: 0.2, powerCut: 0.2, crashSoon: 0, reopen: 0, offline: 0.2 },
    troubles: [1, 3],
    trouble: { stall: 12, isolate: 0, cutLink: 0, brokenReplica: 0, damage: 0, bucket: 0, rough: 0 },
    store: { slow: 0.02, slowMs: [130_000, 400_000] },
    longPause: 0.5,
    longPauseMs: [10_000, 150_000],
    restore: 0.1,
  }),
  /** Pulls a row at a time, broken off and taken up again. */
  paging: profile({
    weight: 1,
    keys: [3, 3],
    doing: { pull: 7, kill: 2, crashSoon: 4, offline: 1 },
    pullLimits: [1, 2],
    longPause: 0.3,
    longPauseMs: [20_000, 200_000],
    network: { requestLost: 0.12, answerLost: 0.12 },
    restore: 0.3,
  }),
  /** Devices that only send, and pull for the first time a quarter of a year later. */
  lateReaders: profile({
    weight: 1,
    devices: [2, 3],
    phases: [1, 2],
    lastGap: 0.8,
    actions: [4, 8],
    keys: [1, 2],
    doing: { delete: 7, pull: 0, read: 0 },
    troubles: [0, 1],
    gaps: [
      { weight: 1, ms: [MINUTE_MS, 10 * MINUTE_MS] },
      { weight: 3, ms: [93 * DAY_MS, 100 * DAY_MS] },
    ],
    restore: 0.1,
  }),
  /** Deletes that meet conflicts, archivers that are down, and a sweeper a quarter of a year later. */
  tombstones: profile({
    weight: 1,
    devices: [3, 3],
    phases: [2, 3],
    actions: [4, 8],
    keys: [1, 2],
    doing: { put: 4, delete: 12 },
    troubles: [1, 2],
    trouble: { archivers: 12, stall: 0 },
    gaps: [{ weight: 1, ms: [93 * DAY_MS, 100 * DAY_MS] }],
    restore: 0.05,
  }),
  /** Conflict upon conflict, buckets that take their time, and archivers that go down for days in the middle of it. */
  archives: profile({
    weight: 1,
    devices: [3, 4],
    keys: [1, 1],
    phases: [2, 2],
    actions: [6, 12],
    doing: { put: 12, delete: 2, burst: 3, pull: 0.5, offline: 0 },
    pauseMs: [0, 700],
    longPause: 0,
    troubles: [1, 2],
    trouble: { archivers: 30, stall: 0 },
    gaps: [{ weight: 1, ms: [26 * HOUR_MS, 3 * DAY_MS] }],
    buckets: { latencyMs: [20, 1_500] },
    restore: 0,
  }),
  /** Disks and processes that fail all the time. */
  crashes: profile({
    weight: 2,
    doing: { kill: 2, powerCut: 2, crashSoon: 3, reopen: 1 },
    troubles: [0, 1],
    restore: 0.05,
  }),
} as const satisfies Readonly<Record<string, Profile>>;

export type ProfileName = keyof typeof PROFILES;

/** The one that a history of the mix has. */
export function profileOf(seed: number): ProfileName {
  const weights = Object.entries<Profile>(PROFILES).map(([name, { weight }]) => [name, weight]);
  return new Dice(seed ^ 0x5eed).weighted(Object.fromEntries(weights) as Record<ProfileName, number>);
}
