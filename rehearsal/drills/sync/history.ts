// The history of a sync drill: what devices were told is safe, what went over the wire, what the table's log says
// happened, and what everybody held in the end. The checker reads this and nothing else. Times are Unix ms with
// fractions from one process's clock, the log's excepted.
//
// Every payload names the edit it came from ({@link Mark}), so that an edit is recognised wherever it turns up, however
// often it was sent or stamped anew.
import type { Json } from '../../../protocol/operations.ts';
import type { DeferredReason, VerdictName } from '../../../protocol/verdicts.ts';
import type { Version } from '../../../protocol/versions.ts';

/** Which edit it is: the device's name, and a number that the device never uses twice. */
export interface Mark {
  readonly by: string;
  readonly n: number;
}

/** An edit as its device made it. */
export interface Made extends Mark {
  /** `<collection>/<id>`. */
  readonly key: string;
  /** When the device was told that it is durable; absent when it died before it could say so. */
  readonly acknowledgedAt?: number;
}

/** One operation in one copy of a push, as it passed by on its way to a region, and what came back for it. */
export interface Sent extends Mark {
  readonly key: string;
  readonly session: string;
  readonly sequence: number;
  readonly version: Version;
  readonly base?: Version;
  readonly region: string;
  readonly sentAt: number;
  /** The region said no to the request as a whole and did nothing with it. */
  readonly refused?: true;
  /** Absent: no answer came, or none with verdicts. */
  readonly answer?: {
    readonly at: number;
    readonly verdict: VerdictName;
    readonly reason?: DeferredReason;
    /** What the verdict says is stored. */
    readonly version?: Version;
  };
}

/** A consistent read of a record by whoever watches, that was answered. */
export interface Read {
  readonly key: string;
  readonly region: string;
  readonly from: number;
  readonly to: number;
  /** Absent: there was no record. */
  readonly version?: Version;
}

/** One write in the table's own log, to a record. */
export interface Logged {
  /** Place in the log. */
  readonly order: number;
  /** Begin of the second it was written in, Unix ms: streams say no more. */
  readonly at: number;
  readonly key: string;
  /** Version before it; absent when there was no record. */
  readonly before?: Version;
  /** Absent when the item is gone. */
  readonly after?: LoggedState;
}

export interface LoggedState {
  readonly version: Version;
  /** Absent on a tombstone. */
  readonly mark?: Mark;
  /** Entries of the record's audit trail so far, and the hash of the last. */
  readonly audit: { readonly sequence: number; readonly head: string };
  /** Texts of entries that stand in the item. */
  readonly outbox: readonly string[];
}

/** A record in the end. */
export interface Held {
  readonly version: Version;
  readonly mark?: Mark;
}

/** What a device says of itself in the end. */
export interface DeviceEnd {
  readonly name: string;
  readonly pending: number;
  /** Edits it keeps because the service will not take them. */
  readonly quarantined: readonly Mark[];
  /** By key; absent for a device that did not pull everything. */
  readonly held?: ReadonlyMap<string, Held>;
}

/** A region that reached no other one, while clients reached it. */
export interface Cut {
  readonly region: string;
  readonly from: number;
  readonly to: number;
}

export interface SyncHistory {
  readonly made: readonly Made[];
  readonly sent: readonly Sent[];
  readonly reads: readonly Read[];
  readonly log: readonly Logged[];
  /** The table in the end, by consistent reads. */
  readonly table: ReadonlyMap<string, Held>;
  readonly devices: readonly DeviceEnd[];
  readonly cuts: readonly Cut[];
}

/** The mark inside a payload; undefined when it carries none. */
export function markOf(payload: Json | undefined): Mark | undefined {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return undefined;
  const { by, n } = payload as { readonly by?: Json; readonly n?: Json };
  return typeof by === 'string' && typeof n === 'number' ? { by, n } : undefined;
}

/** One text per edit, for maps. */
export function nameOf({ by, n }: Mark): string {
  return `${by} ${n}`;
}
