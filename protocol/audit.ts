// The audit trail of a record (PROTOCOL 4.2, 4.3): one entry a conflict, each naming the hash of the one before, so
// that nobody can take one out, change one or put one in without the chain saying so. Entries first stand in the
// item's outbox, written with the decision itself; archivers carry them to each region's locked bucket.
import type { RecordKey } from './names.ts';
import type { Version } from './versions.ts';

/** What a replica said of an edit against its own copy. */
export type Vote =
  /** `incoming` or `stored` counts; two equal ones decide. */
  | 'incoming'
  | 'stored'
  /** Its copy has another commit version than the one the vote is about. */
  | 'void'
  /** Its copy's payload does not match its hash. */
  | 'corrupt'
  /** It did not answer. */
  | 'absent';

export interface RegionVote {
  readonly region: string;
  readonly vote: Vote;
}

/** One side of a conflict. */
export interface AuditedState {
  readonly version: Version;
  readonly deleted: boolean;
  /** Of the payload; absent when deleted. */
  readonly sha256?: string;
}

export interface AuditEntry {
  readonly record: RecordKey;
  /** 1, 2, 3 … within the record's life. */
  readonly sequence: number;
  /** Hash of the entry before; {@link CHAIN_START} for the first. */
  readonly previous: string;
  /** Unix ms, and the region that wrote the decision. */
  readonly at: number;
  readonly region: string;
  /** Which side is the state now. `base_missing`: the edit's base was gone, and it was written as new (PROTOCOL 7). */
  readonly outcome: 'incoming' | 'stored' | 'base_missing';
  readonly votes: readonly RegionVote[];
  /** Nobody voted: with two replicas the higher version wins. Absent where three decide. */
  readonly quorum?: 'none';
  readonly incoming: AuditedState & {
    /** Both absent when it is no edit but what replication put in place of what was `stored`. */
    readonly session?: string;
    readonly sequence?: number;
    /** Absent when its author knew of no record. */
    readonly base?: Version;
  };
  /** Absent when nothing was stored. */
  readonly stored?: AuditedState & { readonly commitVersion: Version };
  /** The end of a branch of the trail that is left here: both sides of a partition had added to it. Its entries stand in
   * the audit bucket of the region that wrote them. */
  readonly merges?: { readonly sequence: number; readonly hash: string };
  /** The payload that lost did not match its SHA-256: nothing of it is kept but that. Only with two replicas; where three
   * decide, what lost is taken from a copy that is whole. */
  readonly damaged?: true;
  /**
   * The payload that lost, as canonical JSON text. Absent when what lost was a delete, or nothing; or when it is larger
   * than an outbox holds: then it stands in the audit bucket under its SHA-256 ({@link losingPayloadKey}).
   */
  readonly lost?: string;
}

/** In place of a hash before the first entry. */
export const CHAIN_START = '0'.repeat(64);

/** The hash of an entry is SHA-256, in hex, over the UTF-8 of exactly this text. Members in this order, always. */
export function auditText(entry: AuditEntry): string {
  const { record, sequence, previous, at, region, outcome, votes, quorum, incoming, stored, merges } = entry;
  const { damaged, lost } = entry;
  return JSON.stringify({
    record: { tenant: record.tenant, collection: record.collection, id: record.id },
    sequence,
    previous,
    at,
    region,
    outcome,
    votes: votes.map(({ region, vote }) => ({ region, vote })),
    quorum,
    incoming: {
      ...stateOf(incoming),
      session: incoming.session,
      sequence: incoming.sequence,
      base: incoming.base,
    },
    stored: stored && { ...stateOf(stored), commitVersion: stored.commitVersion },
    merges: merges && { sequence: merges.sequence, hash: merges.hash },
    damaged,
    lost,
  });
}

function stateOf({ version, deleted, sha256 }: AuditedState): AuditedState {
  return { version, deleted, ...(sha256 === undefined ? {} : { sha256 }) };
}

/** What an audit bucket holds: entries under the one, large losing payloads under the other. */
export const ENTRIES_PREFIX = 'audit/';
export const LOSING_PAYLOADS_PREFIX = 'losing-payloads/';

/** Folder of a record's entries in an audit bucket; no name has a slash in it. */
export function auditFolder({ tenant, collection, id }: RecordKey): string {
  return `${ENTRIES_PREFIX}${tenant}/${collection}/${id}/`;
}

/** Ten digits, so that a listing comes in order. */
export function auditKey(record: RecordKey, sequence: number, hash: string): string {
  return `${auditFolder(record)}${String(sequence).padStart(10, '0')}-${hash}`;
}

/** The entry's sequence and hash; undefined when the key names none. */
export function parseAuditKey(
  key: string,
): { readonly record: RecordKey; readonly sequence: number; readonly hash: string } | undefined {
  const [, tenant, collection, id, sequence, hash] =
    /^audit\/([^/]+)\/([^/]+)\/([^/]+)\/(\d{10})-([0-9a-f]{64})$/.exec(key) ?? [];
  if (!tenant || !collection || !id || !sequence || !hash) return undefined;
  return { record: { tenant, collection, id }, sequence: Number(sequence), hash };
}

/** A large losing payload, by its SHA-256. Put before the decision: left over from one that failed, it is harmless. */
export function losingPayloadKey(tenant: string, sha256: string): string {
  return `${LOSING_PAYLOADS_PREFIX}${tenant}/${sha256}`;
}

/** SHA-256 of a losing payload that stands in the audit bucket instead of in its entry; undefined when none does. */
export function lostElsewhere({ outcome, incoming, stored, damaged, lost }: AuditEntry): string | undefined {
  if (lost !== undefined || damaged || outcome === 'base_missing') return undefined;
  // Both sides had the same: only their trails had to be brought together.
  if (incoming.version === stored?.version && incoming.sha256 === stored.sha256) return undefined;
  return (outcome === 'incoming' ? stored : incoming)?.sha256;
}

export interface BrokenLink {
  /** Of the entry that is not as it should be. */
  readonly sequence: number;
  readonly hash: string;
  readonly what: string;
}

/**
 * Walks a chain back from its head by hash (PROTOCOL 4.3). `textOf` gives the text archived under a sequence and hash;
 * `hashOf` is SHA-256 in hex. Returns the entries in order, or the first link from the head that does not hold.
 */
export async function walkChain(
  head: { readonly sequence: number; readonly hash: string },
  textOf: (sequence: number, hash: string) => Promise<string | undefined>,
  hashOf: (text: string) => string,
): Promise<{ readonly entries: readonly AuditEntry[] } | { readonly broken: BrokenLink }> {
  const entries: AuditEntry[] = [];
  let { sequence, hash } = head;
  const broken = (what: string) => ({ broken: { sequence, hash, what } });
  while (sequence > 0) {
    const text = await textOf(sequence, hash);
    if (text === undefined) return broken('there is no such entry');
    const actual = hashOf(text);
    if (actual !== hash) return broken(`its content hashes to ${actual}`);
    const entry = JSON.parse(text) as AuditEntry;
    if (entry.sequence !== sequence) return broken(`it says of itself that it is entry ${entry.sequence}`);
    entries.push(entry);
    sequence -= 1;
    hash = entry.previous;
  }
  if (hash !== CHAIN_START) return broken('the first entry names one before it');
  return { entries: entries.reverse() };
}
