// Reads a body the way every node must agree on. JSON.parse judges the grammar; one more pass over the text refuses
// what it lets through silently: repeated keys, `__proto__`, numbers that a double cannot hold.
// (lossless-json refuses a repeated key only when its two values differ.)
import { JSON_DEPTH_MAX } from '../../protocol/limits.ts';
import type { Json } from '../../protocol/operations.ts';

export type Path = readonly (string | number)[];

/** A value that is JSON but cannot be stored; only the operation that holds it is at fault. */
export interface Unstorable {
  readonly path: Path;
  readonly detail: string;
}

export interface StrictJson {
  readonly value: Json;
  readonly unstorable: readonly Unstorable[];
}

/** `message` names the place as a JSON pointer (RFC 6901) and never quotes the body. */
export class StrictJsonError extends Error {
  override readonly name = 'StrictJsonError';
}

/** @throws {StrictJsonError} not UTF-8, not JSON, a repeated or forbidden key, a number that would change */
export function parseStrictJson(bytes: Uint8Array): StrictJson {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new StrictJsonError('the body is not UTF-8', { cause });
  }
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (cause) {
    const position = /position (\d+)/.exec(String(cause))?.[1];
    throw new StrictJsonError(`the body is not JSON${position ? ` (at character ${position})` : ''}`);
  }
  return { value, unstorable: scan(text) };
}

export function pointerOf(path: Path): string {
  return path.map((segment) => `/${String(segment).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

interface Frame {
  /** Keys seen; undefined in an array. */
  readonly keys: Set<string> | undefined;
  /** Where in it the scan is. */
  at: string | number;
}

/** Walks text that JSON.parse has accepted, so only tokens have to be told apart. */
function scan(text: string): Unstorable[] {
  const frames: Frame[] = [];
  const unstorable: Unstorable[] = [];
  const path = (): Path => frames.map(({ at }) => at);
  const refuse = (detail: string): never => {
    throw new StrictJsonError(`${pointerOf(path()) || 'the body'}: ${detail}`);
  };
  let keyNext = false;
  let index = 0;
  while (index < text.length) {
    const char = text[index] as string;
    const frame = frames.at(-1);
    if (char === '"') {
      const end = stringEnd(text, index);
      const escaped = text.slice(index, end);
      const string = escaped.includes('\\') ? (JSON.parse(escaped) as string) : escaped.slice(1, -1);
      if (keyNext && frame?.keys) {
        frame.at = string;
        if (frame.keys.has(string)) refuse(`the key ${JSON.stringify(string)} is repeated`);
        if (string === '__proto__') refuse('the key "__proto__" is not allowed');
        frame.keys.add(string);
        keyNext = false;
      }
      if (!string.isWellFormed())
        unstorable.push({ path: path(), detail: 'holds half of a surrogate pair, which is no character' });
      index = end;
      continue;
    }
    if (char === '-' || (char >= '0' && char <= '9')) {
      const end = numberEnd(text, index);
      const number = text.slice(index, end);
      if (!survives(number)) refuse(`the number ${brief(number)} does not survive as a double`);
      index = end;
      continue;
    }
    if (char === '{' || char === '[') {
      if (frames.length === JSON_DEPTH_MAX)
        unstorable.push({ path: path(), detail: `is nested deeper than ${JSON_DEPTH_MAX} levels` });
      keyNext = char === '{';
      frames.push({ keys: keyNext ? new Set() : undefined, at: keyNext ? '' : 0 });
    } else if (char === '}' || char === ']') {
      frames.pop();
      keyNext = false;
    } else if (char === ',' && frame) {
      if (frame.keys) keyNext = true;
      else frame.at = (frame.at as number) + 1;
    }
    index += 1;
  }
  return unstorable;
}

/** Index after the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  for (let index = start + 1; ; index += 1) {
    const code = text.charCodeAt(index);
    if (code === 0x5c) index += 1;
    else if (code === 0x22) return index + 1;
  }
}

function numberEnd(text: string, start: number): number {
  let end = start + 1;
  while (end < text.length && '0123456789.eE+-'.includes(text[end] as string)) end += 1;
  return end;
}

/** Whether the decimal is exactly what JavaScript writes for the double it reads: 1.0 and 1e2 are, 2^53+1 is not. */
function survives(decimal: string): boolean {
  // Fifteen significant digits always fit a double.
  if (decimal.length <= 15 && !/[eE]/.test(decimal)) return true;
  const double = Number(decimal);
  return Number.isFinite(double) && normalized(decimal) === normalized(String(double));
}

/** A decimal as sign, digits without zeros at either end, and exponent of the last digit. */
function normalized(decimal: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(decimal) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}

function brief(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 40)}…`;
}
