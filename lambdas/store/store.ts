// The store port: what the functions ask of the one table. A contract suite (test/contracts/store.ts) holds every
// engine behind it to these words.
import { EdenFieldError } from '../../protocol/errors.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { ObserverReport, RoutingState } from '../../protocol/routing.ts';
import type { FeedStatus } from '../../protocol/steadiness.ts';
import type { Version } from '../../protocol/versions.ts';
import type { Generation } from '../core/admission.ts';
import type { AuditState, Content, Copy, StoredRecord } from '../core/record.ts';
import type { Beat } from '../core/steadiness.ts';

/** One conditional write of a record: payload, version and settled sequence land together, or not at all. */
export interface RecordWrite {
  readonly key: RecordKey;
  readonly version: Version;
  readonly content: Content;
  /** The version that must be stored, below `version`; undefined when nothing may be stored. */
  readonly base: Version | undefined;
  /** Stamped for this attempt; what is stored must have a lower one (PROTOCOL 1.3). */
  readonly commitVersion: Version;
  /** The session's sequence to settle, above what is settled; undefined for a writer without a session. */
  readonly settles?: { readonly session: string; readonly sequence: number; readonly atMs: number };
  /** Sessions to forget, decided on the record as it was at `commitVersion`, which must still be stored. */
  readonly forget?: { readonly sessions: readonly string[]; readonly commitVersion: Version };
  /** Written with it: the trail of a record that begins with an entry (PROTOCOL 7). @default none, or left as it is */
  readonly audit?: AuditState;
}

/** What a vote decided, in one conditional write (PROTOCOL 4.2). */
export interface DecisionWrite {
  readonly key: RecordKey;
  /** The commit version that was voted on, which must still be stored. */
  readonly decidedOn: Version;
  /** Stamped for this attempt, above `decidedOn`: a decision is a change, whoever won. */
  readonly commitVersion: Version;
  /** The edit, when it won; undefined when what is stored stays the state. */
  readonly winner: { readonly version: Version; readonly content: Content } | undefined;
  /** Whether what is the state afterwards is a tombstone, whoever won: the sweeper's index must say so. */
  readonly deleted: boolean;
  readonly settles: { readonly session: string; readonly sequence: number; readonly atMs: number };
  /** As it is with the new entry. */
  readonly audit: AuditState;
  /** Sessions to forget in the same write. */
  readonly forget: readonly string[];
}

export interface Tombstone {
  readonly key: RecordKey;
  readonly commitVersion: Version;
}

export type WriteOutcome =
  | { readonly written: true }
  /** The condition failed on this; undefined when nothing is stored. */
  | { readonly written: false; readonly stored: StoredRecord | undefined };

export interface FeedQuery {
  readonly tenant: string;
  readonly shard: number;
  /** Rows above this position only. */
  readonly after: string;
  /** Rows looked at. */
  readonly limit: number;
  /** Rows of other collections are left out of the answer, but count towards `limit`. */
  readonly collection?: string;
}

export interface FeedPage {
  readonly rows: readonly { readonly key: RecordKey; readonly position: string }[];
  /** The last position looked at; undefined when the shard has no more. */
  readonly next: string | undefined;
}

/**
 * Every method throws {@link StoreUnavailableError} when the table refuses or does not answer.
 * Reads are consistent except where they say otherwise.
 */
export interface Store {
  /** @throws {RecordFullError} the item has no room for the write */
  write(write: RecordWrite): Promise<WriteOutcome>;
  /** @throws {RecordFullError} */
  decide(decision: DecisionWrite): Promise<WriteOutcome>;
  read(key: RecordKey): Promise<StoredRecord | undefined>;
  /**
   * Every region's, side by side; once `isEnough` of them, the rest is waited for only a little longer. Never throws: a
   * region that does not answer in time is a copy that did not answer.
   */
  copies(key: RecordKey, isEnough?: (copies: readonly Copy[]) => boolean): Promise<readonly Copy[]>;
  /** Drops all but `outbox` from the record's outbox, under "commit version unchanged" and without a new one (PROTOCOL
   * 4.3). Returns false, and writes nothing, when it did change. */
  trim(key: RecordKey, commitVersion: Version, outbox: readonly string[]): Promise<boolean>;
  /** Those of a shard of index `tombstones` whose commit version is below `before`, oldest first, and behind `after`
   * where it is given: eventually consistent. */
  tombstones(shard: number, before: Version, limit: number, after?: Tombstone): Promise<readonly Tombstone[]>;
  /** Removes a tombstone whose commit version is unchanged and whose outbox is empty (PROTOCOL 7); false when either is
   * not so, and nothing was removed. */
  sweep(tombstone: Tombstone): Promise<boolean>;
  /** Those that exist, by {@link recordPk}; fewer when `bytesMax` of payload are reached, in the order asked for. */
  readMany(
    keys: readonly RecordKey[],
    bytesMax: number,
  ): Promise<{ readonly records: ReadonlyMap<string, StoredRecord>; readonly looked: number }>;
  /** Through this region's index: eventually consistent. */
  feed(query: FeedQuery): Promise<FeedPage>;
  generation(): Promise<Generation | undefined>;
  /** @throws {DamagedItemError} what is stored is no routing state */
  routing(): Promise<RoutingState | undefined>;
  /** Returns false, and writes nothing, when the stored epoch is not `previous`'s any more, or there is an item where
   * `previous` is undefined. `next` is made by `nextRouting`. */
  changeRouting(previous: RoutingState | undefined, next: RoutingState): Promise<boolean>;
  /** Those that exist, in the regions' order.
   * @throws {DamagedItemError} */
  observerReports(regions: readonly string[]): Promise<readonly ObserverReport[]>;
  /** Returns false, and writes nothing, when the stored report is of the same slot or a later one; unless that is so far
   * ahead that a clock must have stepped. */
  saveObserverReport(report: ObserverReport): Promise<boolean>;
  /** Records under which epoch a job that must run once begins. Returns false, and writes nothing, when it began under a
   * later one before. */
  enterJob(
    job: string,
    entry: { readonly epoch: number; readonly region: string; readonly at: number },
  ): Promise<boolean>;
  feedStatus(region: string): Promise<FeedStatus | undefined>;
  /** Returns false, and writes nothing, when the stored status is not `previous` any more. */
  saveFeedStatus(region: string, status: FeedStatus, previous: FeedStatus | undefined): Promise<boolean>;
  /** Returns false, and writes nothing, when the stored beat is not older. */
  beat(region: string, atMs: number): Promise<boolean>;
  /** Every region's last beat, as this region's index shows it: eventually consistent. */
  beats(): Promise<readonly Beat[]>;
  /** Writes the region's probe item. */
  probe(region: string, atMs: number): Promise<void>;
}

/** The table refused, or did not answer. */
export class StoreUnavailableError extends EdenFieldError {
  readonly code = 'store_unavailable';
  readonly retryable: boolean;
  /** Whether the write may have landed all the same, which the next send finds out. */
  readonly mayHaveLanded: boolean;
  constructor(
    message: string,
    {
      retryable,
      mayHaveLanded,
      cause,
    }: { readonly retryable: boolean; readonly mayHaveLanded: boolean; readonly cause?: unknown },
  ) {
    super(message, { cause });
    this.retryable = retryable;
    this.mayHaveLanded = mayHaveLanded;
  }
}

/** The item would pass DynamoDB's 400 KB. */
export class RecordFullError extends EdenFieldError {
  readonly code = 'record_full';
  readonly retryable = false;
}
