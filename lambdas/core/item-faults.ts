// What is wrong with one item of the table, as far as that can be seen from the item alone: read as the service reads
// it, held against every hash that covers a part of it. The words never repeat what the item holds.
import { type AuditEntry, CHAIN_START } from '../../protocol/audit.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { contentOfExported } from '../../protocol/exported-records.ts';
import { ATTRIBUTES, recordKeyOf, recordPk, STATE } from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { parseEntry } from './archiving.ts';
import { outboxEntries } from './audit.ts';
import { sha256Of } from './canonical.ts';
import { controlFault } from './control-faults.ts';

/** Undefined when it is as it should be. */
export function itemFault(item: ExportedItem): string | undefined {
  const read = contentOfExported(item);
  if (read.kind === 'damaged') return read.why;
  if (read.kind === 'control') return controlFault(read.pk, item);
  const { key, content } = read.record;
  if (content && sha256Of(content.payload) !== content.sha256)
    return 'the payload does not match its SHA-256';
  return trailFault(key, item);
}

/** What people and `npm run restore -- --record` call it. */
export function itemName({ pk, sk }: { readonly pk: string; readonly sk: string }): string {
  const key = sk === STATE ? recordKeyOf(pk) : undefined;
  return key ? `${key.tenant}/${key.collection}/${key.id}` : `${pk} ${sk}`;
}

/** The outbox holds the end of the trail: its last entry hashes to the head, every other to what the next one names. Of
 * a trail whose outbox is empty only `npm run audit -- verify` can say more. */
function trailFault(key: RecordKey, item: ExportedItem): string | undefined {
  const outbox = item[ATTRIBUTES.outbox];
  const sequence = item[ATTRIBUTES.auditSequence];
  const head = item[ATTRIBUTES.auditHead];
  if (!outbox || !sequence || !head || !('L' in outbox && 'N' in sequence && 'S' in head)) return undefined;
  const texts = outbox.L.map((text) => ('S' in text ? text.S : ''));
  const entries = outboxEntries({ sequence: Number(sequence.N), outbox: texts });
  let expected = head.S;
  for (const { sequence: place, hash, text } of entries.toReversed()) {
    const name = `its audit trail: entry ${place} in its outbox`;
    if (hash !== expected) return `${name} does not match the hash that is kept of it`;
    const entry = parseEntry(text);
    if (!entry || !isOf(entry, key)) return `${name} is no entry of this record`;
    if (entry.sequence !== place) return `${name} says of itself that it is another one`;
    if (place === 1 && entry.previous !== CHAIN_START) return `${name} names one before it`;
    expected = entry.previous;
  }
  return undefined;
}

function isOf({ record }: AuditEntry, key: RecordKey): boolean {
  return recordPk(record) === recordPk(key);
}
