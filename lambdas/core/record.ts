// A record as the table holds it, and an edit that wants to change it: what every decision here is made from.
import { CHAIN_START } from '../../protocol/audit.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { Version } from '../../protocol/versions.ts';

/** What a version of a record says: its payload, or that it is deleted. */
export type Content =
  | { readonly deleted: true }
  /** `payload` is canonical JSON text (RFC 8785); `sha256` is of its UTF-8 bytes, in hex. */
  | { readonly deleted: false; readonly payload: string; readonly sha256: string };

/** The highest sequence of a session settled on a record, and when (Unix ms). */
export interface Settled {
  readonly sequence: number;
  readonly atMs: number;
}

export interface StoredRecord {
  readonly version: Version;
  readonly commitVersion: Version;
  readonly content: Content;
  readonly settled: ReadonlyMap<string, Settled>;
  readonly audit: AuditState;
  /** With eventual replication, by region: the commit version of the last write through its replica that this state came
   * from; and those of states that were dropped beside it and taken up again. Absent with strong consistency. */
  readonly through?: ReadonlyMap<string, Version>;
  readonly takenUp?: readonly Version[];
}

/** Where a record's audit trail stands. */
export interface AuditState {
  /** Entries so far; 0 when it never met a conflict. */
  readonly sequence: number;
  /** Hash of the last. */
  readonly head: string;
  /** Texts of those not trimmed yet, the oldest first; the last `outbox.length` of the chain. */
  readonly outbox: readonly string[];
}

export const NO_AUDIT: AuditState = { sequence: 0, head: CHAIN_START, outbox: [] };

/** One region's copy of a record, by a consistent read through that region's own endpoint (PROTOCOL 4.1). */
export type Copy =
  | { readonly region: string; readonly answered: true; readonly record: StoredRecord | undefined }
  | { readonly region: string; readonly answered: false; readonly why: string };

/** An operation that passed validation, ready to be written. */
export interface Edit {
  readonly key: RecordKey;
  readonly session: string;
  readonly sequence: number;
  readonly version: Version;
  /** Undefined when its author knew of no record. */
  readonly base: Version | undefined;
  /** Queued again after a restore (PROTOCOL 8.2). */
  readonly replayed: boolean;
  readonly content: Content;
}
