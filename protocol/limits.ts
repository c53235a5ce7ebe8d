// Limits both ends of the wire hold each other to. Sizes in bytes of UTF-8, times in milliseconds.

/** Operations in one push, and how long a client waits to fill one (spec: batchSize, batchTimeout). */
export const BATCH_OPERATIONS_MAX = 100;
export const BATCH_WAIT_MS = 5_000;

/** A payload, in its canonical form (RFC 8785); a request body, as sent. */
export const PAYLOAD_BYTES_MAX = 256 * 1024;
export const BODY_BYTES_MAX = 1024 * 1024;
/** Objects and arrays inside one another in a body, itself included. */
export const JSON_DEPTH_MAX = 64;
/** All `w#` attributes of an item together, names included (PROTOCOL 2). */
export const SETTLED_BYTES_MAX = 32 * 1024;

/** The outbox of an item: texts of its entries together. A losing payload above the second is put into the audit bucket
 * first, and the entry carries its hash (PROTOCOL 2). */
export const OUTBOX_BYTES_MAX = 64 * 1024;
export const LOST_INLINE_BYTES_MAX = 16 * 1024;

/** A version this far ahead of the server is refused as `clock_ahead` (PROTOCOL 3.3). */
export const CLOCK_AHEAD_MS_MAX = 60_000;
/** An operation older than this is refused as `too_old`; a replayed one gets two days more (PROTOCOL 3.3). */
export const OPERATION_AGE_MS_MAX = 90 * 86_400_000;
export const REPLAYED_OPERATION_AGE_MS_MAX = 92 * 86_400_000;
/** Tombstones, and sessions silent on a record, are kept this long (PROTOCOL 2, 7). */
export const TOMBSTONE_AGE_MS_MIN = 93 * 86_400_000;

/** Nothing is swept this long after a restore: what it brought back has not been replayed yet (PROTOCOL 7). */
export const SWEEP_AFTER_RESTORE_MS = 86_400_000;

/** The feed: index partitions a tenant, and how far behind now a checkpoint stays (PROTOCOL 6). */
export const FEED_SHARDS = 16;
export const FEED_SETTLE_MS = 120_000;
export const CURSOR_AGE_MS_MAX = 90 * 86_400_000;
/** A pull page. */
export const PULL_LIMIT_DEFAULT = 100;
export const PULL_LIMIT_MAX = 1_000;
/** Payloads in one answer: Lambda answers with 6 MB at most, and the last payload may exceed this by its own size.
 * https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
export const ANSWER_PAYLOAD_BYTES_MAX = 4 * 1024 * 1024;
/** A listing page. */
export const LIST_LIMIT_DEFAULT = 50;
export const LIST_LIMIT_MAX = 100;
/** A page of a record's conflicts: each may be an object of its own in the audit bucket, read one after the other. */
export const CONFLICTS_LIMIT_DEFAULT = 20;
export const CONFLICTS_LIMIT_MAX = 100;

/** Feed heartbeats (PROTOCOL 6.2). */
export const HEARTBEAT_EVERY_MS = 5_000;
export const HEARTBEAT_CHECK_EVERY_MS = 15_000;
export const HEARTBEAT_AGE_MS_MAX = 20_000;
export const HEARTBEAT_GAP_MS_MAX = 35_000;
export const FEED_CHECK_AGE_MS_MAX = 60_000;
export const FEED_STEADY_MS_MIN = 20_000;

/** A copy of the generation item older than this may not admit a write (PROTOCOL 8.1). */
export const GENERATION_AGE_MS_MAX = 5_000;
/** One write attempt, after which its socket is destroyed (PROTOCOL 1.3). */
export const WRITE_ATTEMPT_MS_MAX = 10_000;

/** Failover (DESIGN §4). A probe that takes longer has failed; one that could not even reach its region is repeated so
 * often, so far apart, before it counts as an emergency. */
export const PROBE_MS_MAX = 5_000;
export const EMERGENCY_PROBES = 3;
export const EMERGENCY_PROBE_EVERY_MS = 1_000;
/** A vote counts as long as its observer can be expected to have looked again, with one look late. */
export const VOTE_AGE_MS_MAX = 45_000;
/** Nobody but an operator with `--force` moves again so soon after a move. */
export const HOLD_DOWN_MS = 600_000;
/** From the first sign that a region is being left to the move. */
export const DRAIN_MS = 30_000;

/** From closing the table to loading it (PROTOCOL 8.1): by then no copy of the generation admits a write any more, and no
 * attempt that one admitted can land. */
export const CLOSED_MS_MIN = GENERATION_AGE_MS_MAX + WRITE_ATTEMPT_MS_MAX;
