// `GET /v1/sync/pull`: a page of a tenant's changes, and the cursor to go on from (PROTOCOL §6).
import { recordPk } from '../../protocol/items.ts';
import { ANSWER_PAYLOAD_BYTES_MAX, PULL_LIMIT_DEFAULT, PULL_LIMIT_MAX } from '../../protocol/limits.ts';
import { PATHS } from '../../protocol/messages.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { admitRequest } from '../admit.ts';
import { decodePullCursor, encodePullCursor, type PullCursor } from '../core/cursors.ts';
import {
  advance,
  beginPull,
  cursorOf,
  isComplete,
  type Pull,
  type ShardRead,
  sharesOf,
} from '../core/pulling.ts';
import { completeUntilMs, isSteady } from '../core/steadiness.ts';
import { hasQuorum } from '../env.ts';
import { type HttpAnswer, type HttpRequest, ProblemError, type Routes } from '../http.ts';
import { limitOf } from '../paging.ts';
import type { Service } from '../service.ts';
import type { ReplicaReads } from '../store/replicas.ts';
import { wholeContent } from '../whole.ts';

export function pullRoutes(service: Service): Routes {
  return {
    [`GET ${PATHS.pull}`]: async (request) => {
      const tenant = request.tenant();
      const limit = limitOf(request, PULL_LIMIT_DEFAULT, PULL_LIMIT_MAX);
      const cursor = cursorIn(request, tenant);
      const { restoreEpoch } = await admitRequest(request, service, { required: true });
      // An index is only as good as its own region's feed: both are asked of one replica, or another's are.
      const answer = await service.atOneReplica((replica, region) =>
        pullThrough(replica, region, { tenant, restoreEpoch, cursor, limit, request, service }),
      );
      if (answer) return answer;
      throw new ProblemError(
        'feed_unsteady',
        `the feed of ${service.place.region} is not known to be complete`,
      );
    },
  };
}

interface Asked {
  readonly tenant: string;
  readonly restoreEpoch: number;
  readonly cursor: PullCursor | undefined;
  readonly limit: number;
  readonly request: HttpRequest;
  readonly service: Pick<Service, 'now' | 'place'>;
}

/** A page through one region's replica; undefined when that region's feed is not known to be complete. */
async function pullThrough(
  replica: ReplicaReads,
  region: string,
  { tenant, restoreEpoch, cursor, limit, request, service }: Asked,
): Promise<HttpAnswer | undefined> {
  // Before the first read of the feed: what is stamped from here on may not be in it yet.
  const nowMs = service.now();
  const strong = hasQuorum(service.place);
  const completeMs = strong ? nowMs : completeUntilMs(await replica.beats(), region);
  if (completeMs === undefined) return undefined;
  const pull = beginPull(cursor, { tenant, restoreEpoch, nowMs, completeMs });
  if (pull === 'expired')
    throw new ProblemError('cursor_expired', 'the cursor is older than 90 days: pull without one');
  if (strong && !isSteady(await replica.feedStatus(region), service.now())) return undefined;
  return readPage(pull, limit, request, replica);
}

/** How often the shards are gone round for one page: few changes then come on one page, however few rows it may hold. */
const ROUNDS_MAX = 20;

interface PageRead extends ShardRead {
  readonly keys: readonly RecordKey[];
}

/** Reads of the feed that together hold at most `limit` rows. */
async function readFeed(pull: Pull, limit: number, replica: ReplicaReads): Promise<readonly PageRead[]> {
  const reads: PageRead[] = [];
  let at = pull;
  let left = limit;
  for (let round = 0; round < ROUNDS_MAX && left > 0 && !isComplete(at); round += 1) {
    const more = await Promise.all(
      sharesOf(at, left).map(async ({ shard, after, limit: share }): Promise<PageRead> => {
        const { rows, next } = await replica.feed({ tenant: pull.tenant, shard, after, limit: share });
        return {
          shard,
          keys: rows.map(({ key }) => key),
          rows: rows.map(({ position }) => position),
          exhausted: next === undefined,
        };
      }),
    );
    const found = more.reduce((sum, { rows }) => sum + rows.length, 0);
    at = advance(at, more, found);
    left -= found;
    reads.push(...more);
  }
  return reads;
}

async function readPage(
  pull: Pull,
  limit: number,
  request: HttpRequest,
  replica: ReplicaReads,
): Promise<HttpAnswer> {
  const reads = await readFeed(pull, limit, replica);
  const keys = reads.flatMap((read) => read.keys);
  const { records, looked } = await replica.readMany(keys, ANSWER_PAYLOAD_BYTES_MAX);
  const changes: string[] = [];
  for (const key of keys.slice(0, looked)) {
    const record = records.get(recordPk(key));
    // Swept since: whoever still has it learnt of its deletion, or starts anew (PROTOCOL 6.4, 7).
    if (!record) continue;
    const content = wholeContent(key, record, request);
    const { collection, id } = key;
    const change = JSON.stringify({ collection, id, version: record.version, deleted: content.deleted });
    // The stored text goes out as it is: it is JSON, and canonical.
    changes.push(content.deleted ? change : `${change.slice(0, -1)},"payload":${content.payload}}`);
  }
  const next = advance(pull, reads, looked);
  const rest = JSON.stringify({
    cursor: encodePullCursor(cursorOf(next)),
    more: !isComplete(next),
    resync: pull.resync,
  });
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: `{"changes":[${changes.join(',')}],${rest.slice(1)}`,
  };
}

function cursorIn(request: HttpRequest, tenant: string): PullCursor | undefined {
  const text = request.query('cursor');
  if (text === undefined) return undefined;
  const cursor = decodePullCursor(text);
  if (cursor?.tenant !== tenant)
    throw new ProblemError('invalid_request', 'cursor: expected one that a pull of this tenant returned');
  return cursor;
}
