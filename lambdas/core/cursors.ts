// Cursors are opaque to clients: base64url of a small JSON array that starts with the kind and version of the format.
// They name a tenant, so that one handed in with another tenant's token is noticed instead of skipping changes.
import * as v from 'valibot';
import { FEED_SHARDS } from '../../protocol/limits.ts';
import type { RecordKey } from '../../protocol/names.ts';

/** Where a puller stands. */
export interface PullCursor {
  readonly tenant: string;
  readonly restoreEpoch: number;
  /** Unix ms, from before the first read of the pull that this cursor belongs to: its age counts from here. */
  readonly startedMs: number;
  /** Unix ms until when the feed was known to be complete, where that was less: a checkpoint stays behind it. */
  readonly completeMs?: number;
  /** Everything up to this feed position was returned, in every shard (PROTOCOL 6.3). */
  readonly checkpoint: string;
  readonly resync: boolean;
  /** Within a paged pull: the last row returned of each shard, null where the shard was read to its end. */
  readonly positions?: readonly (string | null)[];
}

export interface ListCursor {
  readonly tenant: string;
  readonly collection: string;
  readonly shard: number;
  readonly after: string;
}

/** The entry of a record's audit trail that the next page begins with. */
export interface ConflictsCursor {
  readonly record: RecordKey;
  readonly sequence: number;
  readonly hash: string;
}

const text = v.pipe(v.string(), v.maxLength(400));
const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const pullSchema = v.tuple([
  v.literal('pull1'),
  text,
  wholeNumber,
  wholeNumber,
  text,
  v.boolean(),
  v.nullable(v.pipe(v.array(v.nullable(text)), v.length(FEED_SHARDS))),
  // Behind the others, and only where it says something: code that does not know it reads the rest.
  v.optional(wholeNumber),
]);
const listSchema = v.tuple([
  v.literal('list1'),
  text,
  text,
  v.pipe(wholeNumber, v.maxValue(FEED_SHARDS - 1)),
  text,
]);

const conflictsSchema = v.tuple([
  v.literal('conflicts1'),
  text,
  text,
  text,
  v.pipe(wholeNumber, v.minValue(1)),
  v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
]);

export function encodePullCursor(cursor: PullCursor): string {
  const { tenant, restoreEpoch, startedMs, completeMs, checkpoint, resync, positions = null } = cursor;
  const known = ['pull1', tenant, restoreEpoch, startedMs, checkpoint, resync, positions];
  return encode(completeMs === undefined ? known : [...known, completeMs]);
}

/** Undefined when `cursor` is none of ours. */
export function decodePullCursor(cursor: string): PullCursor | undefined {
  const parsed = v.safeParse(pullSchema, decode(cursor));
  if (!parsed.success) return undefined;
  const [, tenant, restoreEpoch, startedMs, checkpoint, resync, positions, completeMs] = parsed.output;
  return {
    tenant,
    restoreEpoch,
    startedMs,
    checkpoint,
    resync,
    ...(positions && { positions }),
    ...(completeMs !== undefined && { completeMs }),
  };
}

export function encodeListCursor({ tenant, collection, shard, after }: ListCursor): string {
  return encode(['list1', tenant, collection, shard, after]);
}

export function decodeListCursor(cursor: string): ListCursor | undefined {
  const parsed = v.safeParse(listSchema, decode(cursor));
  if (!parsed.success) return undefined;
  const [, tenant, collection, shard, after] = parsed.output;
  return { tenant, collection, shard, after };
}

export function encodeConflictsCursor({ record, sequence, hash }: ConflictsCursor): string {
  return encode(['conflicts1', record.tenant, record.collection, record.id, sequence, hash]);
}

export function decodeConflictsCursor(cursor: string): ConflictsCursor | undefined {
  const parsed = v.safeParse(conflictsSchema, decode(cursor));
  if (!parsed.success) return undefined;
  const [, tenant, collection, id, sequence, hash] = parsed.output;
  return { record: { tenant, collection, id }, sequence, hash };
}

function encode(value: readonly unknown[]): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return undefined; // not ours either
  }
}
