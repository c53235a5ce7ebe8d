// A failover drill: the load, what is done to the system while it runs, and what is promised. Running it (run.ts),
// measuring (measure.ts) and judging (judge.ts) know nothing of any single one.
import type { Config, Role } from '../../../config/config.ts';
import type { WayCut } from '../../supervisor/network.ts';
import type { Line } from '../lines.ts';
import type { Broken, OperatorCommand } from '../system.ts';
import type { Seen } from './seen.ts';

export interface LoadProfile {
  /** Through the client library, open loop: a slow answer delays no later request. */
  readonly requestsPerSecond: number;
  /** Of those, how many write a fresh record; the others read an acknowledged one. From above 0 to 1. */
  readonly writeShare: number;
  /** By the client that knows only the failover name. */
  readonly dnsRequestsPerSecond: number;
}

export type ServingRole = Exclude<Role, 'quorum'>;

/** What may be done while the load runs. Waits end when they have waited long enough, too: that it never came shows in
 * what was seen, and misses its target. Everything ends when the drill is stopped. */
export interface Acts {
  readonly config: Config;
  /** How long DNS is waited for after a fault: its limit and a little more; undefined where nobody knows only a name. */
  readonly dnsWithinMs: number | undefined;
  regionOf(role: Role): string;
  /** The region that only votes can be cut off, and no more. */
  fault(role: Role, fault: Broken): Promise<void>;
  /** Cuts the way between two regions and no other. */
  cutWay(from: Role, to: Role, cut: WayCut): void;
  /** Heals every way that was cut alone. */
  healWays(): void;
  /** Resolves once the region runs again, `into` a partition from the other regions where that is asked for. */
  revive(role: Role, into?: 'partition'): Promise<void>;
  pause(ms: number): Promise<void>;
  /** Until the DNS-only client is served by that region. */
  untilDnsServedBy(role: ServingRole, withinMs: number | undefined): Promise<void>;
  /** Until the routing state says that this region is active. */
  untilActive(role: ServingRole, withinMs: number): Promise<void>;
  /** Until `/ready` of a region was good twice in a row, a probe interval apart. */
  untilVerified(role: ServingRole, withinMs: number): Promise<void>;
  /** Until every observer pages, or that of one region does, or none. */
  untilPaging(whose: 'all' | 'none' | Role, withinMs: number): Promise<void>;
  /** Runs an operator's command to its end. */
  order(command: OperatorCommand, args: readonly string[]): Promise<void>;
  /** Disables the health check that keeps an evacuated primary out of DNS, as a failback says, or enables it again. */
  latch(change: 'disable' | 'enable'): void;
}

export interface Variant {
  /** For tables, e.g. `SIGKILL`. */
  readonly name: string;
  /** The region that is left, or is to be kept. */
  readonly role: ServingRole;
  /** What is done to it, e.g. `killed`. */
  readonly done: string;
  /** The first fault or order in it is what outages are counted from. */
  readonly act: (acts: Acts) => Promise<void>;
  /** @default the plan's */
  readonly limits?: (config: Config) => Limits;
  readonly follow?: (seen: Seen, config: Config) => readonly Line[];
}

export interface FailoverPlan {
  /** The scenario's, for file names. */
  readonly name: string;
  readonly load: LoadProfile;
  /** Load before the fault; the last part of it is the steady state. */
  readonly warmUpMs: number;
  /** Load after everything was done. */
  readonly settleMs: number;
  /** Each on a system of its own. */
  readonly variants: readonly Variant[];
  /** Whether clients are to leave the region, DNS-only ones too; otherwise their longest gap counts. */
  readonly leaves: boolean;
  readonly limits: (config: Config) => Limits;
  /** For every variant that has none of its own: whether the routing state, DNS, `/health` and pages are watched meanwhile, and what is said of that. */
  readonly follow?: (seen: Seen, config: Config) => readonly Line[];
  /** For the report, below the figures. */
  readonly notes?: readonly string[];
}

/** What is undefined is measured and not judged. */
export interface Limits {
  /** Fault to the first request that the standby then serves; below, not at. */
  readonly redirectMs?: number;
  /** Between two successes of a client of the library; below, not at. */
  readonly longestGapMs?: number;
  readonly requestsFailed?: number;
  readonly acknowledgedWritesLost?: number;
  readonly staleReads?: number;
  readonly attemptsPerOperation?: number;
  readonly dnsOutageMs?: number;
  readonly dnsRequestsFailed?: number;
}
