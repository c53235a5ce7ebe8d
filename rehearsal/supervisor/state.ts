// What a running rehearsal shows of itself: one state for whoever asks now (console, status), and dated events for
// whoever draws a timeline (console, drills). Times are Unix milliseconds with fractions unless a name says otherwise.
import type { ObserverReport, RoutingChange, RoutingState, Vote } from '../../protocol/routing.ts';
import type { AlarmState } from '../cloudwatch.ts';
import type { HealthCheckState } from '../route53/health-checks.ts';

export type RegionRole = 'primary' | 'standby' | 'quorum';

/** `kill`: its processes end at once and its copy of the data is gone with them; connections are refused. `outage`: a
 * data centre without power: the same, but nothing answers any more, neither to clients nor to other regions, so that
 * connections are not even refused. `freeze`: its processes stop, connections stay open and silent. `isolate`: it runs,
 * but nothing passes between it and anyone. `partition`: nothing passes between it and the other regions, and clients
 * reach it as before. `gray`: its health answers, and all other work fails. `hollow`: the same, but `/ready` answers too.
 * `revive`: ends all of these. */
export const FAULTS = [
  'kill',
  'outage',
  'freeze',
  'isolate',
  'partition',
  'gray',
  'hollow',
  'revive',
] as const;
export type Fault = (typeof FAULTS)[number];

/** `bucket`: a region's backup bucket answers nothing but 503, or works again. `rot`: one byte in it is flipped. `damage`:
 * payloads of records are changed in every replica, under the hash they had. `wipe`: the table loses every item. */
export const STORAGE_FAULTS = ['bucket', 'rot', 'damage', 'wipe'] as const;
export type StorageFault = (typeof STORAGE_FAULTS)[number];

/** `dead` is also what a region shows whose process ended by itself; `out`, one that an outage took. */
export type RegionCondition =
  | 'starting'
  | 'running'
  | 'frozen'
  | 'isolated'
  | 'partitioned'
  | 'gray'
  | 'hollow'
  | 'dead'
  | 'out';

export interface RegionState {
  readonly region: string;
  readonly role: RegionRole;
  /** Where clients reach it, through a link with their round-trip time; absent for a region that serves nobody. */
  readonly endpoint?: string;
  readonly condition: RegionCondition;
  readonly since: number;
  /** What its front answered in the last full second; zero when it says nothing. */
  readonly servedPerSecond: number;
  readonly errorsPerSecond: number;
}

/** What the sample client, or a drill's load, saw in one second. */
export interface ClientSecond {
  readonly at: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Successes by the region that served them. */
  readonly byRegion: Readonly<Record<string, number>>;
  /** Of the requests that ended in this second; 0 when none did. */
  readonly latencyMsMedian: number;
  readonly latencyMsMax: number;
  /** Longest time between two successes, of those gaps that ended in this second or still go on at its end. */
  readonly gapMsMax: number;
}

/** A region's backup bucket. */
export interface BucketState {
  readonly region: string;
  readonly bucket: string;
  /** False while it answers nothing but 503. */
  readonly available: boolean;
  readonly since: number;
}

/** What the resolver answers for the failover name now. */
export interface FailoverAnswer {
  readonly name: string;
  readonly target: string;
  readonly region: string;
  readonly ttlS: number;
}

/** Who is active, as the table says, and what the observers see (DESIGN §4). */
export interface RoutingView {
  /** The primary while nothing ever changed. */
  readonly activeRegion: string;
  /** 0 while nothing ever changed; so is `since`. */
  readonly epoch: number;
  readonly since: number;
  /** Empty while nothing ever changed. */
  readonly reason: string;
  readonly draining?: RoutingState['draining'];
  /** The latest first. */
  readonly changes: readonly RoutingChange[];
  /** Of those observers that have reported. */
  readonly reports: readonly ObserverReport[];
  /** Where it was read; that copy may lag a moment behind. */
  readonly readIn: string;
  readonly readAt: number;
}

export interface RehearsalState {
  readonly stage: string;
  readonly startedAt: number;
  readonly at: number;
  /** By how many ms all clocks here are ahead of the machine's. */
  readonly clockAheadMs: number;
  readonly regions: readonly RegionState[];
  readonly buckets: readonly BucketState[];
  readonly healthChecks: readonly HealthCheckState[];
  /** Absent when the stage has no domain. */
  readonly failover?: FailoverAnswer;
  /** Absent until it was read once; the last that could be read while no region can be asked. */
  readonly routing?: RoutingView;
  readonly alarms: readonly AlarmState[];
  /** Absent until the sample client has run for a second, or without one. */
  readonly client?: ClientSecond;
  /** Resource types of the templates, and alarms, that are not rehearsed. */
  readonly notRehearsed: readonly string[];
  readonly timeline: readonly RehearsalEvent[];
}

export type RehearsalEvent =
  | {
      readonly type: 'region';
      readonly at: number;
      readonly region: string;
      readonly condition: RegionCondition;
      readonly why: string;
    }
  | {
      readonly type: 'healthCheck';
      readonly at: number;
      readonly id: string;
      readonly name: string;
      readonly healthy: boolean;
      readonly why: string;
    }
  /** Something was done to what is stored. */
  | {
      readonly type: 'storage';
      readonly at: number;
      readonly what: StorageFault;
      /** It ends such a fault. */
      readonly mends?: true;
      readonly why: string;
    }
  /** What a schedule calls was called out of turn, and has ended; `failed` says how, where it failed. */
  | {
      readonly type: 'schedule';
      readonly at: number;
      readonly region: string;
      readonly schedule: string;
      readonly failed?: string;
    }
  /** The failover name's answer changed. */
  | { readonly type: 'routing'; readonly at: number; readonly answer: FailoverAnswer }
  /** The routing state changed; `at` is when that was written, so it may come after younger events. */
  | { readonly type: 'routingChange'; readonly at: number; readonly change: RoutingChange }
  /** An observer has come to vote; its repeating that vote is no news. `at` is when it was cast. */
  | { readonly type: 'vote'; readonly at: number; readonly vote: Vote }
  | {
      readonly type: 'alarm';
      readonly at: number;
      readonly region: string;
      readonly name: string;
      readonly state: AlarmState['state'];
      readonly why: string;
    }
  | {
      readonly type: 'traffic';
      readonly at: number;
      readonly region: string;
      readonly served: number;
      readonly errors: number;
    }
  | { readonly type: 'client'; readonly at: number; readonly second: ClientSecond }
  | { readonly type: 'log'; readonly at: number; readonly from: string; readonly line: string };
