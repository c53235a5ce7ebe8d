// `/v1/records`: one record at a time, for clients with and without a queue of their own. A keyed write (idempotency
// key and version) is an operation like any pushed one; any other is conditional on what the caller knows.
import { recordPk } from '../../protocol/items.ts';
import {
  ANSWER_PAYLOAD_BYTES_MAX,
  FEED_SHARDS,
  LIST_LIMIT_DEFAULT,
  LIST_LIMIT_MAX,
} from '../../protocol/limits.ts';
import { HEADERS, PATHS } from '../../protocol/messages.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { Version } from '../../protocol/versions.ts';
import { admitRequest } from '../admit.ts';
import { contentOf } from '../core/canonical.ts';
import { decodeListCursor, encodeListCursor, type ListCursor } from '../core/cursors.ts';
import { payloadExcess } from '../core/operations.ts';
import { isKnown } from '../core/preconditions.ts';
import type { Content } from '../core/record.ts';
import { isSteady } from '../core/steadiness.ts';
import { pointerOf } from '../core/strict-json.ts';
import { type HttpAnswer, type HttpRequest, ProblemError, type Routes } from '../http.ts';
import { limitOf } from '../paging.ts';
import type { Service, VotingService } from '../service.ts';
import type { ReplicaReads } from '../store/replicas.ts';
import type { FeedPage } from '../store/store.ts';
import { wholeContent } from '../whole.ts';
import { listConflicts } from './conflicts.ts';
import { writeKeyed } from './keyed-write.ts';
import { collectionIn, recordIn } from './record-path.ts';
import { writeUnkeyed } from './unkeyed-write.ts';

export function recordsRoutes(service: VotingService): Routes {
  const write = async (request: HttpRequest, content: (request: HttpRequest) => Content) => {
    const key = recordIn(request);
    const keyed =
      request.header(HEADERS.idempotencyKey) !== undefined || request.header(HEADERS.version) !== undefined;
    const admitted = await admitRequest(request, service, { required: false });
    const edit = { key, content: content(request) };
    return keyed
      ? writeKeyed(edit, request, admitted, service)
      : writeUnkeyed(edit, request, admitted, service);
  };
  return {
    [`GET ${PATHS.record}`]: (request) => get(request, service),
    [`GET ${PATHS.records}`]: (request) => list(request, service),
    [`PUT ${PATHS.record}`]: (request) => write(request, payloadOf),
    [`DELETE ${PATHS.record}`]: (request) => write(request, () => ({ deleted: true })),
    [`GET ${PATHS.conflicts}`]: (request) => listConflicts(request, service),
  };
}

async function get(request: HttpRequest, service: Service): Promise<HttpAnswer> {
  const key = recordIn(request);
  await admitRequest(request, service, { required: false });
  const record = await service.store.read(key);
  if (!record || record.content.deleted) throw new ProblemError('not_found', 'there is no such record');
  const { version } = record;
  const headers = { etag: etagOf(version) };
  const known = request.header('if-none-match');
  if (known !== undefined && isKnown(known, version)) return { status: 304, headers };
  const content = wholeContent(key, record, request);
  const { collection, id } = key;
  const rest = JSON.stringify({ collection, id, version });
  return {
    status: 200,
    headers: { ...headers, 'content-type': 'application/json' },
    body: `${rest.slice(0, -1)},"payload":${content.deleted ? 'null' : content.payload}}`,
  };
}

/** Shards looked into side by side. */
const LIST_SHARDS_AT_ONCE = 4;

/**
 * A page of a collection, in no particular order, walked shard by shard through the index: it may miss edits of the
 * last seconds, and a record edited while somebody pages may come twice, but none that stays is left out.
 */
async function list(request: HttpRequest, service: Service): Promise<HttpAnswer> {
  const tenant = request.tenant();
  const collection = collectionIn(request);
  const limit = limitOf(request, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX);
  const from = listCursorIn(request, tenant, collection);
  await admitRequest(request, service, { required: false });
  return service.atOneReplica(async (replica, region) => {
    const steady = isSteady(await replica.feedStatus(region), service.now());
    const page = await listPage({ tenant, collection, limit, from, request }, replica);
    if (steady) return page;
    return { ...page, headers: { ...page.headers, [HEADERS.degraded]: `feed_unsteady; region=${region}` } };
  });
}

interface Asked {
  readonly tenant: string;
  readonly collection: string;
  readonly limit: number;
  readonly from: ListCursor;
  readonly request: HttpRequest;
}

async function listPage(
  { tenant, collection, limit, from, request }: Asked,
  replica: ReplicaReads,
): Promise<HttpAnswer> {
  const rows: { readonly key: RecordKey; readonly position: string; readonly shard: number }[] = [];
  /** Where the next page starts; undefined at the end. */
  let next: Omit<ListCursor, 'tenant' | 'collection'> | undefined = from;
  while (next && rows.length < limit) {
    const { shard: first, after }: { shard: number; after: string } = next;
    const shards = Array.from(
      { length: Math.min(LIST_SHARDS_AT_ONCE, FEED_SHARDS - first) },
      (_, index) => first + index,
    );
    const pages: readonly FeedPage[] = await Promise.all(
      shards.map((shard) =>
        replica.feed({ tenant, shard, after: shard === first ? after : '', limit, collection }),
      ),
    );
    next = { shard: first + shards.length, after: '' };
    for (const [index, page] of pages.entries()) {
      const shard = first + index;
      rows.push(...page.rows.map((row) => ({ ...row, shard })));
      if (page.next === undefined) continue;
      // The shards behind an unfinished one wait for their turn.
      next = { shard, after: page.next };
      break;
    }
    if (next.shard >= FEED_SHARDS) next = undefined;
  }

  const { records, looked } = await replica.readMany(
    rows.slice(0, limit).map(({ key }) => key),
    ANSWER_PAYLOAD_BYTES_MAX,
  );
  const last = rows[looked - 1];
  if (last && looked < rows.length) next = { shard: last.shard, after: last.position };
  const found = rows.slice(0, looked).flatMap(({ key }) => {
    const record = records.get(recordPk(key));
    const content = record && wholeContent(key, record, request);
    if (!record || !content || content.deleted) return [];
    const head = JSON.stringify({ id: key.id, version: record.version });
    return [`${head.slice(0, -1)},"payload":${content.payload}}`];
  });
  const cursor = next ? `,"cursor":"${encodeListCursor({ tenant, collection, ...next })}"` : '';
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: `{"records":[${found.join(',')}]${cursor}}`,
  };
}

function listCursorIn(request: HttpRequest, tenant: string, collection: string): ListCursor {
  const text = request.query('cursor');
  if (text === undefined) return { tenant, collection, shard: 0, after: '' };
  const cursor = decodeListCursor(text);
  if (cursor?.tenant !== tenant || cursor.collection !== collection)
    throw new ProblemError(
      'invalid_request',
      'cursor: expected one that a listing of this collection returned',
    );
  return cursor;
}

function payloadOf(request: HttpRequest): Content {
  const { value, unstorable } = request.json();
  const [flaw] = unstorable;
  if (flaw) throw new ProblemError('invalid_request', `${pointerOf(flaw.path) || 'the body'} ${flaw.detail}`);
  const content = contentOf(value);
  const excess = payloadExcess(content);
  if (excess !== undefined) throw new ProblemError('too_large', excess);
  return content;
}

export function etagOf(version: Version): string {
  return `"${version}"`;
}
