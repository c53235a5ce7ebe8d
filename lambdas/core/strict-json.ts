// Reads a body the way every node must agree on. JSON.parse judges the grammar; one more pass over the text refuses
// what it lets through silently: repeated keys, `__proto__`, numbers that a double cannot hold.
// (lossless-json 4.3.3 refuses a repeated key only when its two values differ.)
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
  return { value, unstorable: new Scan(text).run() };
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
class Scan {
  readonly #text: string;
  readonly #frames: Frame[] = [];
  readonly #unstorable: Unstorable[] = [];
  #index = 0;
  /** Whether the next string is a key. */
  #keyNext = false;

  constructor(text: string) {
    this.#text = text;
  }

  run(): readonly Unstorable[] {
    while (this.#index < this.#text.length) {
      const char = this.#text[this.#index] as string;
      if (char === '"') this.#string();
      else if (char === '-' || (char >= '0' && char <= '9')) this.#number();
      else this.#structure(char);
    }
    return this.#unstorable;
  }

  #string(): void {
    const end = stringEnd(this.#text, this.#index);
    const quoted = this.#text.slice(this.#index, end);
    const string = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
    if (this.#keyNext) this.#key(string);
    if (!string.isWellFormed()) this.#flag('holds half of a surrogate pair, which is no character');
    this.#index = end;
  }

  #key(key: string): void {
    const frame = this.#frames.at(-1);
    if (!frame?.keys) return;
    frame.at = key;
    if (frame.keys.has(key)) this.#refuse(`the key ${JSON.stringify(key)} is repeated`);
    if (key === '__proto__') this.#refuse('the key "__proto__" is not allowed');
    frame.keys.add(key);
    this.#keyNext = false;
  }

  #number(): void {
    const end = numberEnd(this.#text, this.#index);
    const number = this.#text.slice(this.#index, end);
    if (!survives(number)) this.#refuse(`the number ${brief(number)} does not survive as a double`);
    this.#index = end;
  }

  /** Brackets and commas; everything else is a literal, a colon or white space. */
  #structure(char: string): void {
    if (char === '{') this.#enter({ keys: new Set(), at: '' });
    else if (char === '[') this.#enter({ keys: undefined, at: 0 });
    else if (char === '}' || char === ']') {
      this.#frames.pop();
      this.#keyNext = false;
    } else if (char === ',') this.#next();
    this.#index += 1;
  }

  #enter(frame: Frame): void {
    if (this.#frames.length === JSON_DEPTH_MAX) this.#flag(`is nested deeper than ${JSON_DEPTH_MAX} levels`);
    this.#frames.push(frame);
    this.#keyNext = frame.keys !== undefined;
  }

  #next(): void {
    const frame = this.#frames.at(-1);
    if (typeof frame?.at === 'number') frame.at += 1;
    else this.#keyNext = true;
  }

  #path(): Path {
    return this.#frames.map(({ at }) => at);
  }

  #flag(detail: string): void {
    this.#unstorable.push({ path: this.#path(), detail });
  }

  #refuse(detail: string): never {
    throw new StrictJsonError(`${pointerOf(this.#path()) || 'the body'}: ${detail}`);
  }
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
