// A payload as the one text that stands for it (RFC 8785: keys in UTF-16 order, no white space). What the server would
// refuse is refused here, before it is queued. A payload that is in order already, as most programs write them, is
// left to JSON.stringify; any other is written out here, and what is wrong with it found on the way.
import { JSON_DEPTH_MAX, PAYLOAD_BYTES_MAX } from '../../protocol/limits.ts';
import type { Json } from '../../protocol/operations.ts';
import { InvalidEditError } from './errors.ts';

/** A push nests a payload in its body, the list of operations and an operation. */
export const PAYLOAD_DEPTH_MAX = JSON_DEPTH_MAX - 3;

/** Keys and indexes from the payload down to the value in hand, for the error message. */
type Trail = (string | number)[];

/**
 * @throws {@link InvalidEditError} for anything JSON does not carry unchanged (undefined, NaN, Date, class instances,
 * lone surrogates, a `__proto__` key), for nesting past {@link PAYLOAD_DEPTH_MAX} and for more than 256 KB.
 */
export function canonicalPayload(payload: Json): string {
  let text = isInOrder(payload, 0) ? JSON.stringify(payload) : write(payload, []);
  // JSON.stringify escapes lone surrogates and nothing else so; a backslash in front of "ud" is rare enough to look.
  if (text.includes('\\ud')) text = write(payload, []);
  // Three bytes a UTF-16 unit at most: most payloads need no count.
  if (text.length * 3 > PAYLOAD_BYTES_MAX) {
    const bytes = Buffer.byteLength(text);
    if (bytes > PAYLOAD_BYTES_MAX) throw invalid([], `at most ${PAYLOAD_BYTES_MAX} bytes`, `${bytes} bytes`);
  }
  return text;
}

/** Whether JSON.stringify gives the canonical text, lone surrogates aside. False says nothing of what is wrong. */
function isInOrder(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value);
    case 'object':
      if (value === null) return true;
      if (depth >= PAYLOAD_DEPTH_MAX) return false;
      return Array.isArray(value) ? isArrayInOrder(value, depth) : isObjectInOrder(value, depth);
    default:
      return false;
  }
}

/** By index: holes count as undefined. */
function isArrayInOrder(values: readonly unknown[], depth: number): boolean {
  for (let index = 0; index < values.length; index++) if (!isInOrder(values[index], depth + 1)) return false;
  return true;
}

function isObjectInOrder(value: object, depth: number): boolean {
  if (!isPlain(value)) return false;
  let previous = '';
  for (const key of Object.keys(value)) {
    if (key < previous || key === '__proto__') return false;
    previous = key;
    if (!isInOrder(value[key as keyof typeof value], depth + 1)) return false;
  }
  return true;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function write(value: unknown, trail: Trail): string {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw invalid(trail, 'well-formed text', 'a lone surrogate');
      return JSON.stringify(value);
    case 'number':
      if (!Number.isFinite(value)) throw invalid(trail, 'a finite number', String(value));
      return JSON.stringify(value);
    case 'boolean':
      return JSON.stringify(value);
    case 'object':
      if (value === null) return 'null';
      if (trail.length >= PAYLOAD_DEPTH_MAX)
        throw invalid(trail, `at most ${PAYLOAD_DEPTH_MAX} levels`, 'a deeper nesting');
      return Array.isArray(value) ? writeArray(value, trail) : writeObject(value, trail);
    default:
      throw invalid(trail, 'a JSON value', typeof value);
  }
}

function writeArray(values: readonly unknown[], trail: Trail): string {
  return `[${Array.from(values, (member, index) => write(member, [...trail, index])).join(',')}]`;
}

function writeObject(value: object, trail: Trail): string {
  if (!isPlain(value)) throw invalid(trail, 'a plain object', value.constructor?.name ?? 'another object');
  const members = Object.keys(value)
    .sort()
    .map((key) => {
      if (key === '__proto__' || !key.isWellFormed())
        throw invalid(trail, 'well-formed keys other than __proto__', JSON.stringify(key));
      return `${JSON.stringify(key)}:${write(value[key as keyof typeof value], [...trail, key])}`;
    });
  return `{${members.join(',')}}`;
}

function invalid(trail: Trail, expected: string, got: string): InvalidEditError {
  return new InvalidEditError(['payload', ...trail].join('.'), expected, got);
}
