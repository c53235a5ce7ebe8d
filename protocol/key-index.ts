// Which records newer sources have spoken for, and up to which commit version, in 44 to 88 bytes a record, as full as
// the table is: keys as 128 bits of their SHA-256, in typed arrays, so that millions of them cost no objects; while it
// doubles, half as much again. As bytes, 33 a record, it goes to those who read the full backup elsewhere.
import { laneOf } from './digest-sums.ts';
import { isVersion, type Version } from './versions.ts';

/** SHA-256 of a text's UTF-8 bytes, as one character a byte or in hex: `(text, as) => hash('sha256', text, as)`. */
export type Sha256 = (text: string, as: 'binary' | 'hex') => string;

/** Of a key, and of a version: four times 32 bits each. */
const LANES = 4;
const CAPACITY_MIN = 1_024;
/** Three quarters: beyond that, looking becomes long. */
const FULL = 0.75;
const TAKEN = 1;
/** Of an entry as bytes: key and rank, big-endian, and its mark. */
export const KEY_ENTRY_BYTES = 2 * LANES * 4 + 1;

export class KeyIndex {
  readonly #sha256: Sha256;
  #keys = new Uint32Array(CAPACITY_MIN * LANES);
  #ranks = new Uint32Array(CAPACITY_MIN * LANES);
  /** 0: the place is free. */
  #marks = new Uint8Array(CAPACITY_MIN);
  #size = 0;

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
  }

  /** @throws {TypeError} the bytes are none of {@link toBytes} */
  static fromBytes(sha256: Sha256, bytes: Uint8Array): KeyIndex {
    if (bytes.length % KEY_ENTRY_BYTES !== 0)
      throw new TypeError(`an index: expected ${KEY_ENTRY_BYTES} bytes a key, got ${bytes.length} in all`);
    const index = new KeyIndex(sha256);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const words = new Uint32Array(2 * LANES);
    for (let from = 0; from < bytes.length; from += KEY_ENTRY_BYTES) {
      for (let word = 0; word < words.length; word += 1) words[word] = view.getUint32(from + word * 4);
      const at = index.#take(words.subarray(0, LANES));
      index.#ranks.set(words.subarray(LANES), at * LANES);
      index.#marks[at] = (bytes[from + KEY_ENTRY_BYTES - 1] as number) | TAKEN;
    }
    return index;
  }

  /** Everything that is in, in no order. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#size * KEY_ENTRY_BYTES);
    const view = new DataView(bytes.buffer);
    let to = 0;
    for (let at = 0; at < this.#marks.length; at += 1) {
      if (this.#marks[at] === 0) continue;
      for (let lane = 0; lane < LANES; lane += 1) {
        view.setUint32(to + lane * 4, this.#keys[at * LANES + lane] as number);
        view.setUint32(to + (LANES + lane) * 4, this.#ranks[at * LANES + lane] as number);
      }
      bytes[to + KEY_ENTRY_BYTES - 1] = this.#marks[at] as number;
      to += KEY_ENTRY_BYTES;
    }
    return bytes;
  }

  /** 16 hex digits that two indexes share when the same is in them, whatever the order it came in. Finds differences and
   * damage, not forgers. */
  get fingerprint(): string {
    let [low, high] = [this.#size, 0];
    for (let at = 0; at < this.#marks.length; at += 1) {
      const mark = this.#marks[at] as number;
      if (mark === 0) continue;
      let [a, b] = [mark, ~mark];
      for (let lane = 0; lane < LANES; lane += 1)
        for (const word of [this.#keys[at * LANES + lane], this.#ranks[at * LANES + lane]]) {
          a = mixed(a ^ (word as number), 0x85ebca6b);
          b = mixed(b + (word as number), 0xc2b2ae35);
        }
      low = (low + a) >>> 0;
      high = (high + b) >>> 0;
    }
    return [high, low].map((half) => half.toString(16).padStart(8, '0')).join('');
  }

  get size(): number {
    return this.#size;
  }

  /** Where the key is; undefined when it is not in. Holds until the next {@link add}. */
  find(pk: string): number | undefined {
    if (this.#size === 0) return undefined;
    const at = this.#placeOf(this.#lanesOf(pk));
    return this.#marks[at] === 0 ? undefined : at;
  }

  /** Where it is from now on; one that is in stays as it is. */
  add(pk: string): number {
    return this.#take(this.#lanesOf(pk));
  }

  #take(lanes: Uint32Array): number {
    if ((this.#size + 1) / this.#marks.length > FULL) this.#grow();
    const at = this.#placeOf(lanes);
    if (this.#marks[at] === 0) {
      this.#keys.set(lanes, at * LANES);
      this.#marks[at] = TAKEN;
      this.#size += 1;
    }
    return at;
  }

  /** Of what {@link setRank} was given; below 0 when that is lower than `version` with `stage`. */
  compareRank(at: number, version: Version, stage: number): number {
    const lanes = versionLanes(version);
    for (let lane = 0; lane < LANES; lane += 1) {
      const own = this.#ranks[at * LANES + lane] as number;
      if (own !== lanes[lane]) return own - (lanes[lane] as number);
    }
    return this.stageAt(at) - stage;
  }

  /** `stage`: 0 to 7. */
  setRank(at: number, version: Version, stage: number): void {
    this.#ranks.set(versionLanes(version), at * LANES);
    this.#marks[at] = ((this.#marks[at] as number) & ~STAGE_BITS) | (stage << STAGE_SHIFT);
  }

  stageAt(at: number): number {
    return ((this.#marks[at] as number) & STAGE_BITS) >> STAGE_SHIFT;
  }

  /** Unix ms in the version of its rank. */
  msAt(at: number): number {
    return (this.#ranks[at * LANES] as number) * 2 ** 16 + ((this.#ranks[at * LANES + 1] as number) >>> 16);
  }

  /** Whether it was settled before; it is from now on. */
  settle(at: number): boolean {
    const before = this.isSettled(at);
    this.#marks[at] = (this.#marks[at] as number) | SETTLED;
    return before;
  }

  isSettled(at: number): boolean {
    return ((this.#marks[at] as number) & SETTLED) !== 0;
  }

  #lanesOf(pk: string): Uint32Array {
    const bytes = this.#sha256(pk, 'binary');
    return Uint32Array.from({ length: LANES }, (_, lane) => laneOf(bytes, lane));
  }

  #placeOf(lanes: Uint32Array): number {
    const mask = this.#marks.length - 1;
    for (let at = (lanes[0] as number) & mask; ; at = (at + 1) & mask) {
      if (this.#marks[at] === 0) return at;
      const start = at * LANES;
      if (
        this.#keys[start] === lanes[0] &&
        this.#keys[start + 1] === lanes[1] &&
        this.#keys[start + 2] === lanes[2] &&
        this.#keys[start + 3] === lanes[3]
      )
        return at;
    }
  }

  #grow(): void {
    const [keys, ranks, marks] = [this.#keys, this.#ranks, this.#marks];
    const capacity = marks.length * 2;
    this.#keys = new Uint32Array(capacity * LANES);
    this.#ranks = new Uint32Array(capacity * LANES);
    this.#marks = new Uint8Array(capacity);
    for (let from = 0; from < marks.length; from += 1) {
      if (marks[from] === 0) continue;
      const key = keys.subarray(from * LANES, (from + 1) * LANES);
      const at = this.#placeOf(key);
      this.#keys.set(key, at * LANES);
      this.#ranks.set(ranks.subarray(from * LANES, (from + 1) * LANES), at * LANES);
      this.#marks[at] = marks[from] as number;
    }
  }
}

const STAGE_SHIFT = 1;
const STAGE_BITS = 0b1110;
const SETTLED = 0b10000;

function mixed(word: number, by: number): number {
  const spread = Math.imul(word ^ (word >>> 15), by);
  return spread ^ (spread >>> 13);
}

/** Compares as the version's text does. */
function versionLanes(version: Version): Uint32Array {
  if (!isVersion(version)) throw new TypeError(`expected a version, got ${JSON.stringify(version)}`);
  const digits = version.slice(0, 12) + version.slice(13, 17) + version.slice(18);
  return Uint32Array.from({ length: LANES }, (_, lane) =>
    Number.parseInt(digits.slice(lane * 8, lane * 8 + 8), 16),
  );
}
