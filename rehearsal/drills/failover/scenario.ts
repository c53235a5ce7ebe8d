// A failover drill as data: the load, what is broken and for how long, and what is promised. Running it (run.ts),
// measuring (measure.ts) and judging (judge.ts) know nothing of any single one.
import type { Config, Role } from '../../../config/config.ts';

export interface LoadProfile {
  /** Through the client library, open loop: a slow answer delays no later request. */
  readonly requestsPerSecond: number;
  /** Of those, how many write a fresh record; the others read an acknowledged one. From above 0 to 1. */
  readonly writeShare: number;
  /** By the client that knows only the failover name. */
  readonly dnsRequestsPerSecond: number;
}

export interface Variant {
  /** For tables, e.g. `SIGKILL`. */
  readonly name: string;
  readonly fault: 'kill' | 'freeze';
  readonly role: Role;
}

export interface FailoverPlan {
  /** The scenario's, for file names. */
  readonly name: string;
  readonly load: LoadProfile;
  /** Load before the fault; the last part of it is the steady state. */
  readonly warmUpMs: number;
  /** The fault lasts at least this long, and until the DNS-only client is served again. */
  readonly faultMsMin: number;
  /** Load after the region is back. */
  readonly settleMs: number;
  readonly variants: readonly Variant[];
  readonly limits: (config: Config) => Limits;
}

/** Each holds for every variant; what is undefined is measured and not judged. */
export interface Limits {
  /** Fault to the first request that the standby then serves; below, not at. */
  readonly redirectMs?: number;
  readonly requestsFailed?: number;
  readonly acknowledgedWritesLost?: number;
  readonly staleReads?: number;
  readonly attemptsPerOperation?: number;
  readonly dnsOutageMs?: number;
}
