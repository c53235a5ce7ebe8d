// SQLite stops reading its log at the first frame whose checksum fails, and with it goes every commit behind. For
// saving what can be saved from a copy, all frames of the log's last generation are given checksums that hold: what
// is really damaged inside them, the queue's own seals find. Format: https://sqlite.org/fileformat2.html#walformat

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** Checksums over little-endian words. */
const MAGIC = 0x377f0682;
const FORMAT = 3_007_000;

/** A log for the pages of `wal` in which every frame of its generation counts; undefined when it has none. */
export function repairWal(wal: Buffer, pageBytes: number): Buffer | undefined {
  const frameBytes = FRAME_HEADER_BYTES + pageBytes;
  const frames = Math.floor((wal.length - HEADER_BYTES) / frameBytes);
  if (frames < 1) return undefined;
  const at = (frame: number) => HEADER_BYTES + frame * frameBytes;
  const salts = saltsOf(wal, frames, at);
  let last = frames - 1;
  // Behind the last frame of this generation stand those of an earlier one, in other salts.
  while (last >= 0 && !wal.subarray(at(last) + 8, at(last) + 16).equals(salts)) last--;
  if (last < 0) return undefined;
  const repaired = Buffer.from(wal.subarray(0, at(last + 1)));
  repaired.writeUInt32BE(MAGIC, 0);
  repaired.writeUInt32BE(FORMAT, 4);
  repaired.writeUInt32BE(pageBytes, 8);
  salts.copy(repaired, 16);
  let sums = checksum([0, 0], repaired.subarray(0, 24));
  writeSums(repaired, 24, sums);
  for (let frame = 0; frame <= last; frame++) {
    const start = at(frame);
    salts.copy(repaired, start + 8);
    sums = checksum(sums, repaired.subarray(start, start + 8));
    sums = checksum(sums, repaired.subarray(start + FRAME_HEADER_BYTES, start + frameBytes));
    writeSums(repaired, start + 16, sums);
  }
  return repaired;
}

/** The header's, unless it is damaged: then those that two neighbouring frames agree on. */
function saltsOf(wal: Buffer, frames: number, at: (frame: number) => number): Buffer {
  const ofHeader = wal.subarray(16, 24);
  const ofFrame = (frame: number) => wal.subarray(at(frame) + 8, at(frame) + 16);
  for (let frame = 0; frame < frames; frame++) if (ofFrame(frame).equals(ofHeader)) return ofHeader;
  for (let frame = 1; frame < frames; frame++)
    if (ofFrame(frame).equals(ofFrame(frame - 1))) return ofFrame(frame);
  return ofFrame(0);
}

function checksum([first, second]: readonly [number, number], bytes: Buffer): [number, number] {
  let a = first;
  let b = second;
  for (let at = 0; at < bytes.length; at += 8) {
    a = (a + bytes.readUInt32LE(at) + b) >>> 0;
    b = (b + bytes.readUInt32LE(at + 4) + a) >>> 0;
  }
  return [a, b];
}

function writeSums(wal: Buffer, at: number, [a, b]: readonly [number, number]): void {
  wal.writeUInt32BE(a, at);
  wal.writeUInt32BE(b, at + 4);
}
