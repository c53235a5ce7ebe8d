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
  throughAttribute,
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
const THROUGH_PREFIX = throughAttribute('');
const SHA256 = /^[0-9a-f]{64}$/;
/** Whether it is that of the payload is seen by hashing it. */
const SHA256_CHARACTERS = 64;

export function contentOfExported(item: ExportedItem): ExportedContent {
  const parts = partsOf(item);
  const { pk = '', version, commitVersion } = parts;
  const damaged = (why: string): ExportedContent => ({ kind: 'damaged', pk, why });
  if (pk === '' || parts.sk === undefined) return damaged('it has no key');
  if (!pk.startsWith(RECORD_PK_PREFIX)) return { kind: 'control', pk };
  const key = recordKeyOf(pk);
  if (!key || parts.sk !== STATE) return damaged("its key is no record's");
  if (!isVersion(version) || !isVersion(commitVersion)) return damaged('it has no version or commit version');
  if (parts.feedShard !== feedShardOf(key)) return damaged('it is not in its feed shard');
  if (parts.feedOrder !== feedOrderOf(commitVersion, key))
    return damaged('its place in the feed is not that of its commit version');
  const why = trailFault(parts);
  if (why !== undefined) return damaged(why);
  if (parts.isSettledOdd) return damaged('what a session has settled is no sequence and time');
  if (parts.isOriginOdd) return damaged('a write that it came from is no version');
  const content = contentIn(parts);
  return typeof content === 'string'
    ? damaged(content)
    : { kind: 'record', record: { key, version, commitVersion, content: content.is } };
}

/** What is looked at of an item; undefined where it has none, or none of that type. */
interface Parts {
  pk: string | undefined;
  sk: string | undefined;
  version: string | undefined;
  commitVersion: string | undefined;
  feedShard: string | undefined;
  feedOrder: string | undefined;
  deleted: boolean | undefined;
  payload: string | undefined;
  sha256: string | undefined;
  auditSequence: ExportedValue | undefined;
  auditHead: string | undefined;
  outbox: ExportedValue | undefined;
  isSettledOdd: boolean;
  isOriginOdd: boolean;
}

/** In one going-over: since the sessions that wrote an item are among its names, hardly two items have the same ones, and
 * asking each for what it may have takes several times as long. */
function partsOf(item: ExportedItem): Parts {
  const parts: Parts = {
    pk: undefined,
    sk: undefined,
    version: undefined,
    commitVersion: undefined,
    feedShard: undefined,
    feedOrder: undefined,
    deleted: undefined,
    payload: undefined,
    sha256: undefined,
    auditSequence: undefined,
    auditHead: undefined,
    outbox: undefined,
    isSettledOdd: false,
    isOriginOdd: false,
  };
  for (const name in item) {
    const value = item[name];
    switch (name) {
      case ATTRIBUTES.pk:
      case ATTRIBUTES.sk:
      case ATTRIBUTES.version:
      case ATTRIBUTES.commitVersion:
      case ATTRIBUTES.feedShard:
      case ATTRIBUTES.feedOrder:
      case ATTRIBUTES.payload:
      case ATTRIBUTES.sha256:
      case ATTRIBUTES.auditHead:
        parts[name] = textOf(value);
        break;
      case ATTRIBUTES.deleted:
        parts.deleted = value && 'BOOL' in value ? value.BOOL : undefined;
        break;
      case ATTRIBUTES.auditSequence:
      case ATTRIBUTES.outbox:
        parts[name] = value;
        break;
      case ATTRIBUTES.takenUp:
        parts.isOriginOdd ||= !areVersions(value);
        break;
      default:
        if (name.startsWith(SETTLED_PREFIX)) parts.isSettledOdd ||= !isSettled(value);
        else if (name.startsWith(THROUGH_PREFIX)) parts.isOriginOdd ||= !isVersion(textOf(value));
    }
  }
  return parts;
}

/** A text says what is wrong. */
function contentIn({ deleted, payload, sha256 }: Parts): { readonly is: ExportedRecord['content'] } | string {
  if (deleted === undefined) return 'it does not say whether it is deleted';
  if (deleted)
    return payload === undefined && sha256 === undefined ? { is: undefined } : 'a tombstone with a payload';
  if (payload === undefined || sha256 === undefined || sha256.length !== SHA256_CHARACTERS)
    return 'it has no payload or no SHA-256';
  return { is: { payload, sha256 } };
}

function trailFault({ auditSequence, auditHead, outbox }: Parts): string | undefined {
  if (!auditSequence)
    return outbox || auditHead !== undefined ? 'an audit trail without its sequence' : undefined;
  const count = 'N' in auditSequence ? Number(auditSequence.N) : Number.NaN;
  if (!Number.isSafeInteger(count) || count < 1) return 'its audit sequence is no count';
  if (auditHead === undefined || !SHA256.test(auditHead) || auditHead === CHAIN_START)
    return 'its audit head is no hash';
  if (!outbox) return undefined;
  const texts = 'L' in outbox ? outbox.L : undefined;
  if (!texts?.every((text) => 'S' in text)) return 'its outbox is no list of texts';
  return texts.length <= count ? undefined : 'its outbox holds more entries than its audit trail';
}

function areVersions(value: ExportedValue | undefined): boolean {
  return value !== undefined && 'L' in value && value.L.every((it) => isVersion(textOf(it)));
}

function isSettled(settled: ExportedValue | undefined): boolean {
  const fields: ExportedItem = settled && 'M' in settled ? settled.M : {};
  return isCount(fields['s']) && isCount(fields['t']);
}

function isCount(value: ExportedValue | undefined): boolean {
  return value !== undefined && 'N' in value && Number.isSafeInteger(Number(value.N)) && Number(value.N) >= 0;
}

function textOf(value: ExportedValue | undefined): string | undefined {
  return value && 'S' in value ? value.S : undefined;
}
