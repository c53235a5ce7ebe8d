// Between DynamoDB's JSON, as exports and journals have it, and what its SDK takes and gives: the same but for binary
// values, which are text here and bytes there.
import type { ExportedItem, ExportedValue } from './export-files.ts';

/** A value as the SDK takes it. */
export type NativeValue =
  | { S: string }
  | { N: string }
  | { B: Uint8Array }
  | { BOOL: boolean }
  | { NULL: true }
  | { L: NativeValue[] }
  | { M: Record<string, NativeValue> }
  | { SS: string[] }
  | { NS: string[] }
  | { BS: Uint8Array[] };

/** A value as the SDK gives it: one of these is there. */
export interface AnyNativeValue {
  readonly S?: string | undefined;
  readonly N?: string | undefined;
  readonly B?: Uint8Array | undefined;
  readonly BOOL?: boolean | undefined;
  readonly NULL?: boolean | undefined;
  readonly L?: readonly AnyNativeValue[] | undefined;
  readonly M?: Readonly<Record<string, AnyNativeValue>> | undefined;
  readonly SS?: readonly string[] | undefined;
  readonly NS?: readonly string[] | undefined;
  readonly BS?: readonly Uint8Array[] | undefined;
}

export function toItem(item: ExportedItem): Record<string, NativeValue> {
  const made: Record<string, NativeValue> = {};
  for (const name in item) made[name] = toValue(item[name] as ExportedValue);
  return made;
}

function toValue(value: ExportedValue): NativeValue {
  if ('S' in value || 'N' in value || 'BOOL' in value) return value;
  if ('L' in value) return { L: value.L.map(toValue) };
  if ('M' in value) return { M: toItem(value.M) };
  if ('B' in value) return { B: Buffer.from(value.B, 'base64') };
  if ('BS' in value) return { BS: value.BS.map((text) => Buffer.from(text, 'base64')) };
  if ('SS' in value) return { SS: [...value.SS] };
  if ('NS' in value) return { NS: [...value.NS] };
  return { NULL: true };
}

/** @throws {TypeError} a type that DynamoDB did not have when this was written */
export function fromItem(item: Readonly<Record<string, AnyNativeValue>>): ExportedItem {
  const made: Record<string, ExportedValue> = {};
  for (const [name, value] of Object.entries(item)) made[name] = fromValue(value);
  return made;
}

function fromValue(value: AnyNativeValue): ExportedValue {
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
