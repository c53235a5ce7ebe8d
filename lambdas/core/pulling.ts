// How a pull pages through the 16 shards of a tenant's feed without missing a change (PROTOCOL 6.1, 6.3, 6.4).
// Index rows may show up late, so a checkpoint stays 120 s behind the time the pull began; what was read beyond it is
// read again next time. Within one pull the page position runs ahead of the checkpoint, shard by shard.
import { CURSOR_AGE_MS_MAX, FEED_SETTLE_MS, FEED_SHARDS } from '../../protocol/limits.ts';
import type { PullCursor } from './cursors.ts';

/** Before every feed position. */
const START = '';

/** A pull under way: a cursor with its positions filled in. */
export type Pull = PullCursor & Required<Pick<PullCursor, 'positions'>>;

export interface ShardRead {
  readonly shard: number;
  /** Feed positions of the rows returned, in order. */
  readonly rows: readonly string[];
  /** Whether the shard had no more behind them. */
  readonly exhausted: boolean;
}

/**
 * The pull that a cursor continues, or that starts without one. A cursor from before a restore starts from nothing,
 * as a resync. `expired`: issued too long ago, since tombstones it has not seen may be gone. `completeMs`: until when
 * the feed is known to be complete, if that is less than the delay a checkpoint allows for. It holds the checkpoint and
 * says nothing of a cursor's age: a region that is silent for long must not end pulling in the other.
 */
export function beginPull(
  cursor: PullCursor | undefined,
  {
    tenant,
    restoreEpoch,
    nowMs,
    completeMs = nowMs,
  }: {
    readonly tenant: string;
    readonly restoreEpoch: number;
    readonly nowMs: number;
    readonly completeMs?: number;
  },
): Pull | 'expired' {
  const reach = reachOf(nowMs, completeMs);
  if (cursor && nowMs - cursor.startedMs > CURSOR_AGE_MS_MAX) return 'expired';
  if (!cursor || cursor.restoreEpoch !== restoreEpoch)
    return { tenant, restoreEpoch, ...reach, checkpoint: START, resync: true, positions: all(START) };
  if (cursor.positions) return { ...cursor, ...lesser(cursor, reach), positions: cursor.positions };
  return { ...cursor, ...reach, resync: false, positions: all(cursor.checkpoint) };
}

/** How far what a pull returns is known to reach. */
type Reach = Pick<PullCursor, 'startedMs' | 'completeMs'>;

function reachOf(startedMs: number, completeMs: number): Reach {
  return completeMs < startedMs ? { startedMs, completeMs } : { startedMs };
}

/** Pages of a pull may come from several regions: it reaches no further than the least of them. */
function lesser(a: Reach, b: Reach): Reach {
  return reachOf(Math.min(a.startedMs, b.startedMs), Math.min(completeOf(a), completeOf(b)));
}

function completeOf({ startedMs, completeMs = startedMs }: Reach): number {
  return Math.min(startedMs, completeMs);
}

/** What to read for a page of `limit` rows: an equal share of every shard not yet at its end. */
export function sharesOf(
  { positions }: Pull,
  limit: number,
): readonly { readonly shard: number; readonly after: string; readonly limit: number }[] {
  const open = positions
    .flatMap((after, shard) => (after === null ? [] : [{ shard, after }]))
    .slice(0, limit);
  return open.map((position) => ({ ...position, limit: Math.max(1, Math.floor(limit / open.length)) }));
}

/**
 * The pull after `taken` rows of the reads, counted through them in order, were put into the answer. A shard may be
 * among them several times; what comes after the first row left out counts as not read at all.
 */
export function advance(pull: Pull, reads: readonly ShardRead[], taken: number): Pull {
  const positions = [...pull.positions];
  let left = taken;
  for (const { shard, rows, exhausted } of reads) {
    const used = Math.min(left, rows.length);
    left -= used;
    if (used > 0) positions[shard] = rows[used - 1] as string;
    if (used < rows.length) break;
    if (exhausted) positions[shard] = null;
  }
  return { ...pull, positions };
}

export function isComplete({ positions }: Pull): boolean {
  return positions.every((position) => position === null);
}

/** The cursor to hand out. At the end of a pull all shards share one checkpoint: 120 s before the pull began, or before
 * the feed was last known to be complete. */
export function cursorOf(pull: Pull): PullCursor {
  if (!isComplete(pull)) return pull;
  const { tenant, restoreEpoch, startedMs } = pull;
  const settled = positionAt(completeOf(pull) - FEED_SETTLE_MS);
  const checkpoint = [settled, pull.checkpoint].sort()[1] as string;
  return { tenant, restoreEpoch, startedMs, checkpoint, resync: false };
}

/** A feed position above every row stamped before `ms` and below every row stamped then or later. */
function positionAt(ms: number): string {
  return Math.max(0, ms).toString(16).padStart(12, '0');
}

function all(position: string): readonly string[] {
  return Array.from({ length: FEED_SHARDS }, () => position);
}
