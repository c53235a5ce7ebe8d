// The state of a whole table as one number: the sum of a hash of each record. Sums do not mind the order, and what was
// added can be taken away again, so a full backup and a chain of changes, or a backup and a table, can be compared in
// constant memory, however many records there are and wherever the work was interrupted. It finds faults, not forgers.
import type { ExportedRecord } from './exported-records.ts';
import { recordPk } from './items.ts';

/** 32 bits each; a sum of one never carries into the next. */
const LANES = 8;

export class DigestSum {
  readonly #lanes = new Uint32Array(LANES);

  /** `hex` as {@link toString} gives it. @default the digest of nothing */
  constructor(hex?: string) {
    if (hex === undefined) return;
    if (!/^[0-9a-f]{64}$/.test(hex))
      throw new TypeError(`a digest: expected 64 hex digits, got ${JSON.stringify(hex)}`);
    for (let lane = 0; lane < LANES; lane += 1)
      this.#lanes[lane] = Number.parseInt(hex.slice(lane * 8, lane * 8 + 8), 16);
  }

  /** `sha256`: the 32 bytes of a hash as `binary`, one character each, which costs half of what a buffer does. */
  addHash(sha256: string): void {
    for (let lane = 0; lane < LANES; lane += 1)
      this.#lanes[lane] = (this.#lanes[lane] as number) + laneOf(sha256, lane);
  }

  removeHash(sha256: string): void {
    for (let lane = 0; lane < LANES; lane += 1)
      this.#lanes[lane] = (this.#lanes[lane] as number) - laneOf(sha256, lane);
  }

  /** This one's and another's together. */
  plus(other: DigestSum): DigestSum {
    const sum = new DigestSum();
    for (let lane = 0; lane < LANES; lane += 1)
      sum.#lanes[lane] = (this.#lanes[lane] as number) + (other.#lanes[lane] as number);
    return sum;
  }

  toString(): string {
    return Array.from(this.#lanes, (lane) => lane.toString(16).padStart(8, '0')).join('');
  }
}

/** Of a hash as `latin1`: its bytes as numbers of 32 bits. */
export function laneOf(bytes: string, lane: number): number {
  const at = lane * 4;
  return (
    (bytes.charCodeAt(at) << 24) |
    (bytes.charCodeAt(at + 1) << 16) |
    (bytes.charCodeAt(at + 2) << 8) |
    bytes.charCodeAt(at + 3)
  );
}

/** What is hashed of a record in a verdict's digest; the payload by its SHA-256, which is checked against it elsewhere. */
export function stateText({ key, version, commitVersion, content }: ExportedRecord): string {
  return `${recordPk(key)}\n${version}\n${commitVersion}\n${content?.sha256 ?? ''}`;
}

/** The same without the commit version, which a restore stamps anew (PROTOCOL 8.1). */
export function contentText({ key, version, content }: Omit<ExportedRecord, 'commitVersion'>): string {
  return `${recordPk(key)}\n${version}\n${content?.sha256 ?? ''}`;
}
