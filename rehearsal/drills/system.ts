// What a drill needs of the system it breaks: the rehearsal, or anything that behaves like one.
import type { ObserverReport, RoutingState } from '../../protocol/routing.ts';
import type { Credentials } from '../aws/credentials.ts';
import type { LinkConditions } from '../supervisor/link.ts';
import type { WayCut } from '../supervisor/network.ts';
import type { Rehearsal, RehearsalOptions } from '../supervisor/rehearsal.ts';

export interface DrilledRegion {
  readonly region: string;
  readonly role: 'primary' | 'standby';
  /** As clients reach it, links and all. */
  readonly endpoint: string;
}

/** `gray`: health answers, work fails. `hollow`: readiness answers, too. `outage`: all of it dies, links and its copy of
 * the data included. */
export type Broken = 'kill' | 'freeze' | 'partition' | 'gray' | 'hollow' | 'outage';

/** What an operator may order, beside looking. */
export type OperatorCommand = 'evacuate' | 'failback' | 'restore' | 'journal' | 'audit';

export interface DrilledSystem {
  readonly regions: readonly DrilledRegion[];
  /** The region that only votes; absent where there is none. */
  readonly quorum?: string | undefined;
  /** Absent where there is no failover name, or nobody wants to wait for it. */
  readonly dns?: { readonly name: string; readonly resolver: string };
  /** @param tenant @default one that all drills share */
  token(tenant?: string): Promise<string>;
  /** Resolves with the moment it was done, Unix ms; `revive` once the region serves again, `into` a partition from the
   * other regions where that is asked for. */
  fault(region: string, fault: Broken | 'revive', into?: 'partition'): Promise<number>;
  /** Cuts the way between two regions and no other, or heals it; gives the moment it was done, Unix ms. */
  cutWay(from: string, to: string, cut: WayCut | undefined): number;
  /** Disables the health check that keeps an evacuated primary out of DNS, or enables it again. */
  disableLatch(disabled: boolean): void;
  /** As the table has it, read consistently in the quorum region; undefined while nothing ever changed.
   * @throws {Error} it cannot be read there now */
  routing(): Promise<RoutingState | undefined>;
  /** Regions that have an observer. */
  readonly observers: readonly string[];
  /** The latest report of each that ever reported; undefined while nobody could read them. */
  reports(): readonly ObserverReport[] | undefined;
  /** Those of them whose observers wake somebody now, because nobody may move. */
  paging(): readonly string[];
  /** Runs a command as an operator would; resolves when it ends, whatever with. `signal` ends it early. */
  operator(
    command: OperatorCommand,
    args: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ readonly code: number | null; readonly said: string }>;
  /** Resolves with what went wrong if the system itself breaks down. */
  readonly broken: Promise<Error>;
}

/** What may be done to stored data, and called out of turn (supervisor/rehearsal.ts). */
export type StoredSystem = SyncedSystem &
  Pick<
    Rehearsal,
    | 'breakBucket'
    | 'rot'
    | 'damage'
    | 'wipe'
    | 'plantRecords'
    | 'runSchedule'
    | 'clockAheadMs'
    | 'state'
    | 'listen'
    | 'measured'
    | 'deployment'
  >;

/** How a fresh system is to differ from the usual; what depends on the time is asked for once it is about to start. */
export type FreshOptions = Pick<RehearsalOptions, 'aheadMs' | 'exportTimes'>;

/** One whose network towards clients can be changed, and whose table can be looked into. */
export interface SyncedSystem extends DrilledSystem {
  /** Changes the way from all clients to a region; `usual` makes it what it was. */
  way(region: string, conditions: Partial<LinkConditions> | 'usual'): void;
  readonly table: TableAccess;
}

/**
 * Starts a system that nothing has been done to, and ends the one before. A region that was left stays evacuated until
 * an operator fails back, so whoever breaks something needs a system of its own.
 */
export type FreshSystem<System extends DrilledSystem = StoredSystem> = (
  options?: FreshOptions | (() => FreshOptions),
) => Promise<System>;

/** The table as an operator reaches it, through a region that no drill here breaks. */
export interface TableAccess {
  readonly endpoint: string;
  readonly region: string;
  readonly tableName: string;
  readonly credentials: Credentials;
}

/** The drill cannot say anything about the system: it could not be run as described. */
export class DrillError extends Error {
  override readonly name = 'DrillError';
}
