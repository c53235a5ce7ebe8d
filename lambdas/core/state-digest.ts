// The state of a whole table as one number: the sum of a hash of each record. Sums do not mind the order, and what was
// added can be taken away again, so a full backup and a chain of changes can be compared in constant memory, however
// many records there are and wherever the work was interrupted. It finds faults, not forgers: files have checksums of
// their own.
import { hash } from 'node:crypto';
import type { ExportedRecord } from '../../protocol/exported-records.ts';
import { recordPk } from '../../protocol/items.ts';

/** 32 bits each; a sum of one never carries into the next. */
const LANES = 8;

export class StateDigest {
  readonly #lanes = new Uint32Array(LANES);

  /** `hex` as {@link toString} gives it. @default the digest of nothing */
  constructor(hex?: string) {
    if (hex === undefined) return;
    if (!/^[0-9a-f]{64}$/.test(hex))
      throw new TypeError(`a digest: expected 64 hex digits, got ${JSON.stringify(hex)}`);
    for (let lane = 0; lane < LANES; lane += 1)
      this.#lanes[lane] = Number.parseInt(hex.slice(lane * 8, lane * 8 + 8), 16);
  }

  add(record: ExportedRecord): void {
    const bytes = bytesOf(record);
    for (let lane = 0; lane < LANES; lane += 1)
      this.#lanes[lane] = (this.#lanes[lane] as number) + bytes.readUInt32BE(lane * 4);
  }

  remove(record: ExportedRecord): void {
    const bytes = bytesOf(record);
    for (let lane = 0; lane < LANES; lane += 1)
      this.#lanes[lane] = (this.#lanes[lane] as number) - bytes.readUInt32BE(lane * 4);
  }

  /** This one's and another's records together. */
  plus(other: StateDigest): StateDigest {
    const sum = new StateDigest();
    for (let lane = 0; lane < LANES; lane += 1)
      sum.#lanes[lane] = (this.#lanes[lane] as number) + (other.#lanes[lane] as number);
    return sum;
  }

  toString(): string {
    return Array.from(this.#lanes, (lane) => lane.toString(16).padStart(8, '0')).join('');
  }
}

/** The payload by its SHA-256, which is checked against it elsewhere. */
function bytesOf({ key, version, commitVersion, content }: ExportedRecord): Buffer {
  return hash('sha256', `${recordPk(key)}\n${version}\n${commitVersion}\n${content?.sha256 ?? ''}`, 'buffer');
}
