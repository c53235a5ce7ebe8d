// Between DynamoDB's JSON, as exports and journals have it, and what the SDK takes: the same but for binary values.
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { ExportedItem, ExportedValue } from '../../protocol/export-files.ts';

export function toItem(item: ExportedItem): Record<string, AttributeValue> {
  const made: Record<string, AttributeValue> = {};
  for (const name in item) made[name] = toValue(item[name] as ExportedValue);
  return made;
}

function toValue(value: ExportedValue): AttributeValue {
  if ('S' in value || 'N' in value || 'BOOL' in value) return value;
  if ('L' in value) return { L: value.L.map(toValue) };
  if ('M' in value) return { M: toItem(value.M) };
  if ('B' in value) return { B: Buffer.from(value.B, 'base64') };
  if ('BS' in value) return { BS: value.BS.map((text) => Buffer.from(text, 'base64')) };
  if ('SS' in value) return { SS: [...value.SS] };
  if ('NS' in value) return { NS: [...value.NS] };
  return { NULL: true };
}

export function fromItem(item: Record<string, AttributeValue>): ExportedItem {
  const made: Record<string, ExportedValue> = {};
  for (const [name, value] of Object.entries(item)) made[name] = fromValue(value);
  return made;
}

/** @throws {TypeError} a type that DynamoDB did not have when this was written */
function fromValue(value: AttributeValue): ExportedValue {
  const { S, N, BOOL, L, M, B, BS, SS, NS, NULL } = value;
  if (S !== undefined) return { S };
  if (N !== undefined) return { N };
  if (BOOL !== undefined) return { BOOL };
  if (L) return { L: L.map(fromValue) };
  if (M) return { M: fromItem(M) };
  if (B) return { B: base64(B) };
  if (BS) return { BS: BS.map(base64) };
  if (SS) return { SS };
  if (NS) return { NS };
  if (NULL !== undefined) return { NULL };
  throw new TypeError(`a DynamoDB value: expected a known type, got ${Object.keys(value).join(', ')}`);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
