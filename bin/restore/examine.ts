// Whether an item is a record and whole: read as strictly as it was written, its payload held against its SHA-256.
import { hash } from 'node:crypto';
import { contentText, type DigestSum, stateText } from '../../protocol/digest-sums.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { contentOfExported, type ExportedRecord } from '../../protocol/exported-records.ts';
import type { Sha256 } from '../../protocol/key-index.ts';
import { isWhole } from '../../protocol/reading-layers.ts';
import type { Copy, Wanted } from '../../protocol/restored-items.ts';

export const sha256: Sha256 = (text, as) => hash('sha256', text, as);

/** Of an item that a replica gave; undefined: it has none. */
export function copyOf(item: ExportedItem | undefined): Copy {
  if (!item) return { kind: 'none' };
  const read = contentOfExported(item);
  if (read.kind === 'control') return { kind: 'damaged', item, why: 'it is no record' };
  if (read.kind === 'damaged') return { kind: 'damaged', item, why: read.why };
  if (!isWhole(read.record, sha256))
    return { kind: 'damaged', item, why: 'the payload does not match its SHA-256' };
  return { kind: 'whole', item, record: read.record };
}

/** Undefined for anything but a whole record. */
export function readWhole(item: ExportedItem): Wanted | undefined {
  const copy = copyOf(item);
  return copy.kind === 'whole' ? { item: copy.item, record: copy.record } : undefined;
}

/** Into a sum that a table can be compared by. */
export function addContent(sum: DigestSum, record: ExportedRecord): void {
  sum.addHash(sha256(contentText(record), 'binary'));
}

/** Into a sum that a verdict can be compared by. */
export function addState(sum: DigestSum, record: ExportedRecord): void {
  sum.addHash(sha256(stateText(record), 'binary'));
}
