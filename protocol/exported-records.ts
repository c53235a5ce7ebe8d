// An exported item as what it is in the table: a record, read as strictly as it was written, or a control item, which
// backups carry and restores skip (PROTOCOL 8.1). Whether a payload matches its SHA-256 is the caller's to check: here
// nothing is hashed.
import { CHAIN_START } from './audit.ts';
import type { ExportedItem, ExportedValue } from './export-files.ts';
import {
  ATTRIBUTES,
  feedOrderOf,
  feedShardOf,
  RECORD_PK_PREFIX,
  recordKeyOf,
  STATE,
  settledAttribute,
} from './items.ts';
import type { RecordKey } from './names.ts';
import { isVersion, type Version } from './versions.ts';

export interface ExportedRecord {
  readonly key: RecordKey;
  readonly version: Version;
  readonly commitVersion: Version;
  /** Undefined of a tombstone. `payload` is canonical JSON text, `sha256` of its UTF-8 bytes in hex. */
  readonly content: { readonly payload: string; readonly sha256: string } | undefined;
}

/** What an item says it is; `damaged` with what is wrong with it, without what it holds. */
export type ExportedContent =
  | { readonly kind: 'record'; readonly record: ExportedRecord }
  | { readonly kind: 'control'; readonly pk: string }
  | { readonly kind: 'damaged'; readonly pk: string; readonly why: string };

const SETTLED_PREFIX = settledAttribute('');
const SHA256 = /^[0-9a-f]{64}$/;
/** Whether it is that of the payload is seen by hashing it. */
const SHA256_CHARACTERS = 64;

export function contentOfExported(item: ExportedItem): ExportedContent {
  const pk = textOf(item[ATTRIBUTES.pk]) ?? '';
  const damaged = (why: string): ExportedContent => ({ kind: 'damaged', pk, why });
  if (pk === '' || textOf(item[ATTRIBUTES.sk]) === undefined) return damaged('it has no key');
  if (!pk.startsWith(RECORD_PK_PREFIX)) return { kind: 'control', pk };
  const key = recordKeyOf(pk);
  if (!key || textOf(item[ATTRIBUTES.sk]) !== STATE) return damaged("its key is no record's");
  const version = textOf(item[ATTRIBUTES.version]);
  const commitVersion = textOf(item[ATTRIBUTES.commitVersion]);
  if (!isVersion(version) || !isVersion(commitVersion)) return damaged('it has no version or commit version');
  if (textOf(item[ATTRIBUTES.feedShard]) !== feedShardOf(key)) return damaged('it is not in its feed shard');
  if (textOf(item[ATTRIBUTES.feedOrder]) !== feedOrderOf(commitVersion, key))
    return damaged('its place in the feed is not that of its commit version');
  const why = trailFault(item) ?? settledFault(item);
  if (why !== undefined) return damaged(why);
  const content = contentIn(item);
  return typeof content === 'string'
    ? damaged(content)
    : { kind: 'record', record: { key, version, commitVersion, content: content.is } };
}

/** A text says what is wrong. */
function contentIn(item: ExportedItem): { readonly is: ExportedRecord['content'] } | string {
  const flag = item[ATTRIBUTES.deleted];
  if (!flag || !('BOOL' in flag)) return 'it does not say whether it is deleted';
  const payload = textOf(item[ATTRIBUTES.payload]);
  const sha256 = textOf(item[ATTRIBUTES.sha256]);
  if (flag.BOOL)
    return payload === undefined && sha256 === undefined ? { is: undefined } : 'a tombstone with a payload';
  if (payload === undefined || sha256 === undefined || sha256.length !== SHA256_CHARACTERS)
    return 'it has no payload or no SHA-256';
  return { is: { payload, sha256 } };
}

function trailFault(item: ExportedItem): string | undefined {
  const sequence = item[ATTRIBUTES.auditSequence];
  const outbox = item[ATTRIBUTES.outbox];
  const head = textOf(item[ATTRIBUTES.auditHead]);
  if (!sequence) return outbox || head !== undefined ? 'an audit trail without its sequence' : undefined;
  const count = 'N' in sequence ? Number(sequence.N) : Number.NaN;
  if (!Number.isSafeInteger(count) || count < 1) return 'its audit sequence is no count';
  if (head === undefined || !SHA256.test(head) || head === CHAIN_START) return 'its audit head is no hash';
  if (!outbox) return undefined;
  const texts = 'L' in outbox ? outbox.L : undefined;
  if (!texts?.every((text) => 'S' in text)) return 'its outbox is no list of texts';
  return texts.length <= count ? undefined : 'its outbox holds more entries than its audit trail';
}

function settledFault(item: ExportedItem): string | undefined {
  for (const name in item) {
    if (!name.startsWith(SETTLED_PREFIX)) continue;
    const settled = item[name];
    const fields: ExportedItem = settled && 'M' in settled ? settled.M : {};
    if (!isCount(fields['s']) || !isCount(fields['t']))
      return 'what a session has settled is no sequence and time';
  }
  return undefined;
}

function isCount(value: ExportedValue | undefined): boolean {
  return value !== undefined && 'N' in value && Number.isSafeInteger(Number(value.N)) && Number(value.N) >= 0;
}

function textOf(value: ExportedValue | undefined): string | undefined {
  return value && 'S' in value ? value.S : undefined;
}
