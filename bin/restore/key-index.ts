// Which records newer sources have spoken for, and up to which commit version, in some 37 bytes a record: keys as 128
// bits of their SHA-256, in one table of typed arrays, so that millions of them cost no objects.
import { hash } from 'node:crypto';
import { isVersion, type Version } from '../../protocol/versions.ts';

/** Of a key, and of a version: four times 32 bits each. */
const LANES = 4;
const CAPACITY_MIN = 1_024;
/** Three quarters: beyond that, looking becomes long. */
const FULL = 0.75;
const TAKEN = 1;

export class KeyIndex {
  #keys = new Uint32Array(CAPACITY_MIN * LANES);
  #ranks = new Uint32Array(CAPACITY_MIN * LANES);
  /** 0: the place is free. */
  #marks = new Uint8Array(CAPACITY_MIN);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Where the key is; undefined when it is not in. Holds until the next {@link add}. */
  find(pk: string): number | undefined {
    if (this.#size === 0) return undefined;
    const at = this.#placeOf(lanesOf(pk));
    return this.#marks[at] === 0 ? undefined : at;
  }

  /** Where it is from now on; one that is in stays as it is. */
  add(pk: string): number {
    if ((this.#size + 1) / this.#marks.length > FULL) this.#grow();
    const lanes = lanesOf(pk);
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
    const before = (this.#marks[at] as number) & SETTLED;
    this.#marks[at] = (this.#marks[at] as number) | SETTLED;
    return before !== 0;
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

function lanesOf(pk: string): Uint32Array {
  const bytes = hash('sha256', pk, 'buffer');
  return Uint32Array.from({ length: LANES }, (_, lane) => bytes.readUInt32BE(lane * 4));
}

/** Compares as the version's text does. */
function versionLanes(version: Version): Uint32Array {
  if (!isVersion(version)) throw new TypeError(`expected a version, got ${JSON.stringify(version)}`);
  const digits = version.slice(0, 12) + version.slice(13, 17) + version.slice(18);
  return Uint32Array.from({ length: LANES }, (_, lane) =>
    Number.parseInt(digits.slice(lane * 8, lane * 8 + 8), 16),
  );
}
