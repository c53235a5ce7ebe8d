// `GET /v1/records/{collection}/{id}/conflicts`: what a record's audit trail says, the latest first. It is walked back by
// hash, through the item's outbox and on into the audit bucket, so that nothing is told that the chain does not hold.
import { type AuditEntry, CHAIN_START, lostElsewhere } from '../../protocol/audit.ts';
import { recordPk } from '../../protocol/items.ts';
import {
  ANSWER_PAYLOAD_BYTES_MAX,
  CONFLICTS_LIMIT_DEFAULT,
  CONFLICTS_LIMIT_MAX,
} from '../../protocol/limits.ts';
import type { Conflict, ConflictsResponse } from '../../protocol/messages.ts';
import { METRICS } from '../../protocol/metrics.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { Json } from '../../protocol/operations.ts';
import { admitRequest } from '../admit.ts';
import { outboxEntries } from '../core/audit.ts';
import { sha256Of } from '../core/canonical.ts';
import { type ConflictsCursor, decodeConflictsCursor, encodeConflictsCursor } from '../core/cursors.ts';
import type { StoredRecord } from '../core/record.ts';
import { type HttpAnswer, type HttpRequest, ProblemError } from '../http.ts';
import { limitOf } from '../paging.ts';
import type { VotingService } from '../service.ts';
import { recordIn } from './record-path.ts';

type Link = Pick<ConflictsCursor, 'sequence' | 'hash'>;

export async function listConflicts(request: HttpRequest, service: VotingService): Promise<HttpAnswer> {
  const key = recordIn(request);
  const limit = limitOf(request, CONFLICTS_LIMIT_DEFAULT, CONFLICTS_LIMIT_MAX);
  const from = cursorIn(request, key);
  await admitRequest(request, service, { required: false });
  const record = await service.store.read(key);
  if (!record) throw new ProblemError('not_found', 'there is no such record, and no trail of one');

  const head: Link = { sequence: record.audit.sequence, hash: record.audit.head };
  try {
    const { conflicts, next } = await readPage(from ?? head, limit, key, record, service);
    const body: ConflictsResponse = {
      conflicts,
      ...(next && { cursor: encodeConflictsCursor({ record: key, ...next }) }),
    };
    return { status: 200, body };
  } catch (error) {
    if (!(error instanceof BrokenTrailError)) throw error;
    // An entry that a cursor of ours names was there when the cursor was made.
    if (from && error.unknown?.hash === from.hash) throw foreignCursor();
    throw brokenTrail(key, error, request, service);
  }
}

async function readPage(
  from: Link,
  limit: number,
  key: RecordKey,
  record: StoredRecord,
  service: VotingService,
): Promise<{ readonly conflicts: readonly Conflict[]; readonly next: Link | undefined }> {
  const outbox = new Map(outboxEntries(record.audit).map(({ hash, text }) => [hash, text]));
  const entryAt = async (link: Link) =>
    checked(link, outbox.get(link.hash) ?? (await service.audit.entry(key, link.sequence, link.hash)));
  const conflicts: Conflict[] = [];
  let bytes = 0;
  let link: Link = from;
  while (link.sequence > 0 && conflicts.length < limit && bytes < ANSWER_PAYLOAD_BYTES_MAX) {
    const entry = await entryAt(link);
    const lost = await lostPayload(entry, service);
    conflicts.push(conflictOf(entry, link.hash, lost));
    bytes += Buffer.byteLength(lost ?? '');
    link = { sequence: link.sequence - 1, hash: entry.previous };
  }
  if (link.sequence === 0) return { conflicts, next: undefined };
  // A break right behind this page is told now: a cursor only ever names an entry that is there.
  await entryAt(link);
  return { conflicts, next: link };
}

/** A link that is missing, or is not what its hash says. */
class BrokenTrailError extends Error {
  override readonly name = 'BrokenTrailError';
  /** Of the entry that nobody ever wrote there, as far as can be told from here. */
  readonly unknown: Link | undefined;
  constructor(message: string, unknown?: Link) {
    super(message);
    this.unknown = unknown;
  }
}

function checked(link: Link, text: string | undefined): AuditEntry {
  const name = `entry ${link.sequence} (${link.hash})`;
  if (text === undefined) throw new BrokenTrailError(`${name} is missing`, link);
  const actual = sha256Of(text);
  if (actual !== link.hash) throw new BrokenTrailError(`${name} hashes to ${actual}`);
  const entry = JSON.parse(text) as AuditEntry;
  if (entry.sequence !== link.sequence)
    throw new BrokenTrailError(`${name} says that it is entry ${entry.sequence}`, link);
  if (entry.sequence === 1 && entry.previous !== CHAIN_START)
    throw new BrokenTrailError(`${name} is the first and names one before it`);
  return entry;
}

/** Canonical JSON text; undefined when no payload was lost. */
async function lostPayload(entry: AuditEntry, { audit }: VotingService): Promise<string | undefined> {
  const sha256 = lostElsewhere(entry);
  if (sha256 === undefined) return entry.lost;
  const payload = await audit.payload(entry.record.tenant, sha256);
  const name = `the payload ${sha256} that lost by entry ${entry.sequence}`;
  if (payload === undefined) throw new BrokenTrailError(`${name} is missing`);
  if (sha256Of(payload) !== sha256) throw new BrokenTrailError(`${name} does not match its SHA-256`);
  return payload;
}

function conflictOf(entry: AuditEntry, hash: string, lost: string | undefined): Conflict {
  const { sequence, previous, at, region, outcome, votes, quorum, incoming, stored, merges, damaged } = entry;
  return {
    sequence,
    hash,
    previous,
    at,
    region,
    outcome,
    votes,
    ...(quorum && { quorum }),
    incoming,
    ...(stored && { stored }),
    ...(merges && { merges }),
    ...(damaged && { damaged }),
    ...(lost !== undefined && { lost: JSON.parse(lost) as Json }),
  };
}

function brokenTrail(
  key: RecordKey,
  error: BrokenTrailError,
  request: HttpRequest,
  { telemetry }: VotingService,
): ProblemError {
  request.samples.push({ name: METRICS.dataCorruption, value: 1 });
  telemetry.error('an audit trail does not hold', error, {
    record: recordPk(key),
    requestId: request.requestId,
  });
  return new ProblemError('internal', `the audit trail of this record does not hold: ${error.message}`);
}

function cursorIn(request: HttpRequest, { tenant, collection, id }: RecordKey): Link | undefined {
  const text = request.query('cursor');
  if (text === undefined) return undefined;
  const cursor = decodeConflictsCursor(text);
  const of = cursor?.record;
  if (!cursor || of?.tenant !== tenant || of.collection !== collection || of.id !== id) throw foreignCursor();
  return cursor;
}

function foreignCursor(): ProblemError {
  return new ProblemError('invalid_request', "cursor: expected one that this record's conflicts returned");
}
