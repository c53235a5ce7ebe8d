// How the one table is laid out (PROTOCOL 1.4, 2, 6). Everything that reads or writes it takes the names from here.
import { FEED_SHARDS } from './limits.ts';
import type { RecordKey } from './names.ts';
import type { Version } from './versions.ts';

export const STATE = 'STATE';
export const FEED_INDEX = 'feed';
export const TOMBSTONE_INDEX = 'tombstones';

/** As DynamoDB and its streams give an item: one of the SDK fits, and other types than these are nothing to us. */
export interface StoredValue {
  readonly S?: string;
  readonly N?: string;
  readonly L?: readonly StoredValue[];
}
export type StoredItem = Readonly<Record<string, StoredValue>>;

export const ATTRIBUTES = {
  pk: 'pk',
  sk: 'sk',
  /** Index `feed`: partition and sort key. */
  feedShard: 'feedShard',
  feedOrder: 'feedOrder',
  /** Canonical JSON text (RFC 8785), and the SHA-256 of its UTF-8 bytes in hex; both absent on a tombstone. */
  payload: 'payload',
  sha256: 'sha256',
  version: 'version',
  commitVersion: 'commitVersion',
  deleted: 'deleted',
  /** How many audit entries the record has, the hash of the last, and those not yet trimmed as a list of their texts
   * (PROTOCOL 2, 4.2); all absent on a record that never met a conflict. The outbox is absent when it is empty. */
  auditSequence: 'auditSequence',
  auditHead: 'auditHead',
  outbox: 'outbox',
  /** With eventual replication only: commit versions of states that replication dropped and a reconciler took up again,
   * the latest last, as a list; absent until there is one. */
  takenUp: 'takenUp',
  /** Index `tombstones`: on tombstones only, so that the sweeper finds them without a scan (PROTOCOL 7). */
  sweepShard: 'sweepShard',
  sweepOrder: 'sweepOrder',
} as const;

/** What index `feed` carries beside the keys; payloads come by consistent batch reads. */
export const FEED_PROJECTION = [ATTRIBUTES.version, ATTRIBUTES.commitVersion, ATTRIBUTES.deleted] as const;

/** Of the partition key of every record, and of no control item. */
export const RECORD_PK_PREFIX = 'R#';

export function recordPk({ tenant, collection, id }: RecordKey): string {
  return `${RECORD_PK_PREFIX}${tenant}#${collection}#${id}`;
}

/** Inverse of {@link recordPk}; undefined for a control item. */
export function recordKeyOf(pk: string): RecordKey | undefined {
  const [kind, tenant, collection, id] = pk.split('#');
  return kind === 'R' && tenant && collection && id ? { tenant, collection, id } : undefined;
}

/** The settled sequence of a session on a record: `{ s: sequence, t: Unix ms when settled }`. */
export function settledAttribute(session: string): string {
  return `w#${session}`;
}

/** With eventual replication only: the commit version of the last write through a region's replica that this state came
 * from. By it that replica knows whether what came from elsewhere was written on top of its own last write, or beside it. */
export function throughAttribute(region: string): string {
  return `r#${region}`;
}

/** Spreads a tenant's records evenly; FNV-1a over the key, so that a record never changes shard. */
export function feedShardOf(key: RecordKey): string {
  return feedShard(key.tenant, shardNumberOf(key));
}

function shardNumberOf(key: RecordKey): number {
  const pk = recordPk(key);
  let hash = 0x811c9dc5;
  // Names are ASCII (names.ts), so a code unit is a byte.
  for (let at = 0; at < pk.length; at += 1) hash = Math.imul(hash ^ pk.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % FEED_SHARDS;
}

export function feedShard(tenant: string, shard: number): string {
  return `F#${tenant}#${shard.toString(16)}`;
}

/** Order within a shard: (commit version, key), as one string (PROTOCOL 6.1). */
export function feedOrderOf(commitVersion: Version, key: RecordKey): string {
  return `${commitVersion}#${key.collection}#${key.id}`;
}

/** Where a record's tombstone stands in index `tombstones`: over all tenants, ordered by commit version. */
export function sweepShardOf(key: RecordKey): string {
  return sweepShard(shardNumberOf(key));
}

export function sweepShard(shard: number): string {
  return `T#${shard.toString(16)}`;
}

/** By commit version, so that those due to be swept come first. */
export function sweepOrderOf(commitVersion: Version, key: RecordKey): string {
  return `${commitVersion}#${recordPk(key)}`;
}

// Control items. None is a record: a restore skips them and no tenant can name them.

/** `{ status: 'open' | 'restoring', restoreEpoch: Unix ms }`, with `restoreId` while it is restored; no item means closed
 * (PROTOCOL 1.4). */
export const GENERATION_KEY = { pk: 'CONTROL#generation', sk: STATE } as const;
/** Who is active: `RoutingState` (routing.ts), `draining` as JSON, `changes` as a list of JSON texts. The primary region
 * is evacuated while another is active or about to be; the standby never is, since it serves either way. */
export const ROUTING_KEY = { pk: 'CONTROL#routing', sk: STATE } as const;
/** An observer's `ObserverReport` (routing.ts): `slotMs`, and `report` as JSON. */
export function observerKey(region: string) {
  return { pk: `CONTROL#observer#${region}`, sk: STATE } as const;
}
/** `{ epoch, region, at }`: under which routing epoch a job that must run once last ran, and where. */
export function jobKey(job: string) {
  return { pk: `CONTROL#job#${job}`, sk: STATE } as const;
}
/** `{ revision, state }`: how far the verification of a backup has come, as JSON; `what` is `<region>#<tier>`. */
export function verificationKey(what: string) {
  return { pk: `CONTROL#verification#${what}`, sk: STATE } as const;
}
/** `{ revision, state }`: how far a region's scrubber has come, and which items it found damaged, as JSON. */
export function scrubberKey(region: string) {
  return { pk: `CONTROL#scrubber#${region}`, sk: STATE } as const;
}
/** `{ revision, state }`: how far a restore has come, as JSON; none: none is under way. */
export const RESTORE_KEY = { pk: 'CONTROL#restore', sk: STATE } as const;
/** `{ checkedAt, steadySince }` in Unix ms: whether a region's feed can be trusted (PROTOCOL 6.2). No `steadySince`:
 * the check found no fresh heartbeat. */
export function regionStatusKey(region: string) {
  return { pk: `CONTROL#status#${region}`, sk: STATE } as const;
}
/** A region's beat in the feed; index shard {@link HEARTBEAT_SHARD}, order `<Unix ms, 13 digits>#<region>`. */
export function heartbeatKey(region: string) {
  return { pk: `CONTROL#heartbeat#${region}`, sk: STATE } as const;
}
export const HEARTBEAT_SHARD = 'F#CONTROL#heartbeat';
/** What `/ready` writes to prove that it can. */
export function writeProbeKey(region: string) {
  return { pk: `CONTROL#probe#${region}`, sk: STATE } as const;
}
