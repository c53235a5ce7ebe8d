// What a stream's image of a record asks of an archiver (PROTOCOL 4.3): the entries in its outbox, each with the
// sequence and the hash it is archived under. Both follow from the item, so that an entry which cannot be read is
// archived all the same.
import type { AuditEntry } from '../../protocol/audit.ts';
import { ATTRIBUTES, recordKeyOf, type StoredItem } from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { isVersion, type Version } from '../../protocol/versions.ts';
import { outboxEntries } from './audit.ts';

/** An entry by its place in the chain. */
export interface ChainLink {
  readonly record: RecordKey;
  readonly sequence: number;
  readonly hash: string;
}

export interface Archivable {
  readonly record: RecordKey;
  /** Of the image: what it says of the outbox holds while the item still has this one. */
  readonly commitVersion: Version;
  /** The oldest first. */
  readonly entries: ReturnType<typeof outboxEntries>;
}

/** Undefined when the image is no record's, or has nothing to archive. */
export function archivableOf(image: StoredItem | undefined): Archivable | undefined {
  const record = recordKeyOf(image?.[ATTRIBUTES.pk]?.S ?? '');
  const commitVersion = image?.[ATTRIBUTES.commitVersion]?.S;
  const outbox = image?.[ATTRIBUTES.outbox]?.L?.map(({ S }) => S ?? '') ?? [];
  const sequence = Number(image?.[ATTRIBUTES.auditSequence]?.N);
  if (!record || !isVersion(commitVersion) || outbox.length === 0 || !Number.isInteger(sequence))
    return undefined;
  return { record, commitVersion, entries: outboxEntries({ sequence, outbox }) };
}

/**
 * The end of a record's trail that a change brought here without its entries: where replicas follow each other, another
 * region may have written and trimmed them before this one saw either. Undefined when the outbox holds entries, which
 * lead on to those before, or when the trail already ended there.
 */
export function unseenHeadOf(
  before: StoredItem | undefined,
  after: StoredItem | undefined,
): ChainLink | undefined {
  const record = recordKeyOf(after?.[ATTRIBUTES.pk]?.S ?? '');
  const hash = after?.[ATTRIBUTES.auditHead]?.S;
  const sequence = Number(after?.[ATTRIBUTES.auditSequence]?.N);
  if (!record || hash === undefined || !(sequence > 0)) return undefined;
  const isSeen = (after?.[ATTRIBUTES.outbox]?.L ?? []).length > 0;
  return isSeen || before?.[ATTRIBUTES.auditHead]?.S === hash ? undefined : { record, sequence, hash };
}

/** The entry before this one; undefined for a chain's first. */
export function linkBefore({ record, sequence, previous }: AuditEntry): ChainLink | undefined {
  return sequence > 1 ? { record, sequence: sequence - 1, hash: previous } : undefined;
}

/** Undefined when the text is no entry: nothing of ours ever wrote such a one. */
export function parseEntry(text: string): AuditEntry | undefined {
  try {
    const entry: unknown = JSON.parse(text);
    return isEntry(entry) ? entry : undefined;
  } catch {
    return undefined;
  }
}

function isEntry(value: unknown): value is AuditEntry {
  return (
    typeof value === 'object' &&
    value !== null &&
    'record' in value &&
    'incoming' in value &&
    'region' in value &&
    typeof value.region === 'string' &&
    'sequence' in value &&
    Number.isInteger(value.sequence) &&
    'previous' in value &&
    typeof value.previous === 'string'
  );
}

/** What this environment knows to be archived; forgets the longest known first. */
export class RecentKeys {
  readonly #max: number;
  readonly #keys = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  add(key: string): void {
    this.#keys.delete(key);
    this.#keys.add(key);
    for (const oldest of this.#keys) {
      if (this.#keys.size <= this.#max) return;
      this.#keys.delete(oldest);
    }
  }
}
