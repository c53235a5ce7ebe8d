// What a drill needs of the system it breaks: the rehearsal, or anything that behaves like one.

export interface DrilledRegion {
  readonly region: string;
  readonly role: 'primary' | 'standby';
  /** As clients reach it, links and all. */
  readonly endpoint: string;
}

export interface DrilledSystem {
  readonly regions: readonly DrilledRegion[];
  /** Absent where there is no failover name, or nobody wants to wait for it. */
  readonly dns?: { readonly name: string; readonly resolver: string };
  token(): Promise<string>;
  /** Resolves with the moment it was done, Unix ms; `revive` once the region serves again. */
  fault(region: string, fault: 'kill' | 'freeze' | 'revive'): Promise<number>;
  /** Resolves with what went wrong if the system itself breaks down. */
  readonly broken: Promise<Error>;
}

/** The drill cannot say anything about the system: it could not be run as described. */
export class DrillError extends Error {
  override readonly name = 'DrillError';
}
