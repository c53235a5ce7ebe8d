// A payload is never served unless it is the one that was written: its SHA-256 says so.
import { recordPk } from '../protocol/items.ts';
import { METRICS } from '../protocol/metrics.ts';
import type { RecordKey } from '../protocol/names.ts';
import { isWhole } from './core/canonical.ts';
import type { Content, StoredRecord } from './core/record.ts';
import type { HttpRequest } from './http.ts';

/** Fails the request when this region's copy is damaged, and counts it. */
export function wholeContent(key: RecordKey, { content }: StoredRecord, request: HttpRequest): Content {
  if (isWhole(content)) return content;
  request.samples.push({ name: METRICS.dataCorruption, value: 1 });
  throw new Error(`${recordPk(key)}: the payload does not match its SHA-256`);
}
