// An item that is restored: what is changed about it on its way from a backup into the table, what it is weighed against
// there, and which removals are believed. Nothing is hashed here: whether a payload is whole comes in.
import type { ExportedItem } from './export-files.ts';
import { contentOfExported, type ExportedRecord } from './exported-records.ts';
import {
  ATTRIBUTES,
  feedOrderOf,
  feedShardOf,
  sweepOrderOf,
  sweepShardOf,
  throughAttribute,
} from './items.ts';
import { TOMBSTONE_AGE_MS_MIN } from './limits.ts';
import { clockOf, isVersion, type Version } from './versions.ts';

/** A record as it is to be, read and whole. */
export interface Wanted {
  readonly item: ExportedItem;
  readonly record: ExportedRecord;
}

/** What a replica has of a record. */
export type Copy =
  | { readonly kind: 'none' }
  | ({ readonly kind: 'whole' } & Wanted)
  /** Its payload does not match its hash, or it is no record at all. */
  | { readonly kind: 'damaged'; readonly item: ExportedItem; readonly why: string };

/**
 * Stamped anew (PROTOCOL 8.1), and with it its places in both indexes. What its sessions have settled and its audit trail
 * are of the same state and come with it. `through`: where replicas only follow each other, the Region it is written in.
 */
export function stamped(
  item: ExportedItem,
  { key, content }: Pick<ExportedRecord, 'key' | 'content'>,
  commitVersion: Version,
  through?: string,
): ExportedItem {
  return {
    ...item,
    [ATTRIBUTES.commitVersion]: { S: commitVersion },
    [ATTRIBUTES.feedShard]: { S: feedShardOf(key) },
    [ATTRIBUTES.feedOrder]: { S: feedOrderOf(commitVersion, key) },
    ...(content === undefined && {
      [ATTRIBUTES.sweepShard]: { S: sweepShardOf(key) },
      [ATTRIBUTES.sweepOrder]: { S: sweepOrderOf(commitVersion, key) },
    }),
    ...(through !== undefined && { [throughAttribute(through)]: { S: commitVersion } }),
  };
}

/** What has to be done about a record. All but `nothing` writes. */
export type Need =
  /** It is there and whole. */
  | { readonly kind: 'nothing' }
  /** The state that is there is made whole and stays what it is: no version goes back, so the service may stay open. */
  | { readonly kind: 'mend'; readonly wanted: Wanted; readonly over: Version }
  /** Nothing is there. */
  | { readonly kind: 'fill'; readonly wanted: Wanted }
  /** What is there is damaged and of another version, or whole and to be replaced all the same. */
  | { readonly kind: 'replace'; readonly wanted: Wanted; readonly over: ExportedItem };

/** At least one copy; those of replicas that did not answer are left out. */
export function needOf(copies: readonly Copy[], wanted: Wanted, { overwrite = false } = {}): Need {
  const whole = copies
    .filter((copy) => copy.kind === 'whole')
    .sort((a, b) => (a.record.commitVersion < b.record.commitVersion ? 1 : -1))[0];
  if (whole) {
    if (overwrite && !isSameState(whole.record, wanted.record))
      return { kind: 'replace', wanted, over: whole.item };
    if (copies.every(({ kind }) => kind === 'whole')) return { kind: 'nothing' };
    // What one replica has whole is later than any backup, and is written over what the others have of it.
    const { item, record } = whole;
    return { kind: 'mend', wanted: { item, record }, over: record.commitVersion };
  }
  const damaged = copies.filter((copy) => copy.kind === 'damaged');
  for (const { item } of damaged) {
    const mended = mendedBy(item, wanted);
    if (mended) return { kind: 'mend', wanted: mended, over: mended.record.commitVersion };
  }
  const [over] = damaged;
  return over ? { kind: 'replace', wanted, over: over.item } : { kind: 'fill', wanted };
}

/** A version names what its author wrote, so that of the same version there is one content. */
function isSameState(a: ExportedRecord, b: ExportedRecord): boolean {
  return a.version === b.version && a.content?.sha256 === b.content?.sha256;
}

/** The damaged item with the content that its version had; undefined when that does not make a record of it. */
function mendedBy(item: ExportedItem, { item: source, record }: Wanted): Wanted | undefined {
  const [version, commitVersion] = [textIn(item, ATTRIBUTES.version), textIn(item, ATTRIBUTES.commitVersion)];
  if (version !== record.version || !isVersion(commitVersion)) return undefined;
  const { [ATTRIBUTES.payload]: _, [ATTRIBUTES.sha256]: __, ...rest } = item;
  const names = [ATTRIBUTES.payload, ATTRIBUTES.sha256, ATTRIBUTES.deleted];
  const content = Object.fromEntries(names.flatMap((name) => (source[name] ? [[name, source[name]]] : [])));
  const mended = stamped({ ...rest, ...content }, record, commitVersion);
  const read = contentOfExported(mended);
  return read.kind === 'record' ? { item: mended, record: read.record } : undefined;
}

/**
 * The service itself only ever removes tombstones, and those only long after they were made (PROTOCOL 7). Every other
 * removal is part of what a restore is there to undo.
 */
export function isSweep(removed: { readonly commitVersion: Version }, atMs: number): boolean {
  return atMs - clockOf(removed.commitVersion).ms >= TOMBSTONE_AGE_MS_MIN - SKEW_MS;
}

const SKEW_MS = 3_600_000;

/** Of a damaged item, whose place it has all the same. */
export function keyIn(item: ExportedItem): { readonly pk: string; readonly sk: string } {
  return { pk: textIn(item, ATTRIBUTES.pk) ?? '', sk: textIn(item, ATTRIBUTES.sk) ?? '' };
}

export function commitVersionIn(item: ExportedItem): Version | undefined {
  const text = textIn(item, ATTRIBUTES.commitVersion);
  return isVersion(text) ? text : undefined;
}

function textIn(item: ExportedItem, attribute: string): string | undefined {
  const value = item[attribute];
  return value && 'S' in value ? value.S : undefined;
}
