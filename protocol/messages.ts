// The wire: paths, headers, bodies. `docs/openapi.yaml` describes the same and a test holds the two together.
import type { AuditEntry } from './audit.ts';
import type { Json, Operation } from './operations.ts';
import type { Verdict } from './verdicts.ts';
import type { Version } from './versions.ts';

export const PATHS = {
  health: '/health',
  ready: '/ready',
  /** Of the functions that do a region's work, each for itself. */
  readyRecords: '/ready/records',
  readyPush: '/ready/push',
  readyPull: '/ready/pull',
  description: '/openapi.yaml',
  records: '/v1/records/{collection}',
  record: '/v1/records/{collection}/{id}',
  conflicts: '/v1/records/{collection}/{id}/conflicts',
  push: '/v1/sync/push',
  pull: '/v1/sync/pull',
} as const;

/** Lower case, as Node gives them; HTTP does not mind. */
export const HEADERS = {
  /** `<session>:<sequence>`; with `eden-version` it makes a record write safe to retry and to hedge. */
  idempotencyKey: 'idempotency-key',
  version: 'eden-version',
  /** Which verdict a keyed record write got. */
  verdict: 'eden-verdict',
  /** Both ways: the client's known restore epoch, the one an answer was admitted under (PROTOCOL 8.2). */
  restoreEpoch: 'eden-restore-epoch',
  /** Names this request in the logs. */
  requestId: 'eden-request-id',
  /** The region that answered. */
  region: 'eden-region',
  /** `true` on `/health` when this region is evacuated: use it last, but it still serves. */
  evacuated: 'eden-evacuated',
  /** What is not as it should be about this answer, as `reason; region=…`, several joined by commas. `replica`: that
   * region's replica answered in place of this one's. `feed_unsteady`: that region's index may be incomplete. */
  degraded: 'eden-degraded',
} as const;

/** A restore epoch as headers carry it: decimal Unix ms, 0 for none known. Undefined when it is not one. */
export function parseRestoreEpoch(text: string): number | undefined {
  return /^(0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : undefined;
}

export const SCOPES = { read: 'records:read', write: 'records:write', sync: 'sync' } as const;

export interface PushRequest {
  readonly operations: readonly Operation[];
}

/** One verdict per operation, in the order sent. */
export interface PushResponse {
  readonly verdicts: readonly Verdict[];
}

export interface Change {
  readonly collection: string;
  readonly id: string;
  readonly version: Version;
  readonly deleted: boolean;
  /** Absent when deleted. */
  readonly payload?: Json;
}

export interface PullResponse {
  readonly changes: readonly Change[];
  /** Opaque: hand it back to go on from here. */
  readonly cursor: string;
  /** Whether more is waiting behind `cursor` right now. */
  readonly more: boolean;
  /** Set from the first to the last page of a resync: what it does not return is gone (PROTOCOL 6.4). */
  readonly resync: boolean;
}

export interface RecordResponse {
  readonly collection: string;
  readonly id: string;
  readonly version: Version;
  readonly payload: Json;
}

export interface ListResponse {
  readonly records: readonly { readonly id: string; readonly version: Version; readonly payload: Json }[];
  /** Absent on the last page. */
  readonly cursor?: string;
}

/** A record's conflicts, the latest first. */
export interface ConflictsResponse {
  readonly conflicts: readonly Conflict[];
  /** Absent on the last page. */
  readonly cursor?: string;
}

export interface Conflict extends Omit<AuditEntry, 'record' | 'lost'> {
  /** The entry's own hash: the chain's link. */
  readonly hash: string;
  /** What lost: its payload, fetched from the audit bucket where need be. Absent when it was a delete, or nothing,
   * or damaged. */
  readonly lost?: Json;
}

export interface HealthResponse {
  readonly status: 'ok' | 'evacuated';
  readonly region: string;
}

export interface ReadyResponse {
  readonly status: 'ready' | 'not_ready';
  readonly region: string;
  /** Per dependency: `ok`, or why not. */
  readonly dependencies: { readonly [name: string]: string };
}
