// The high-water mark in a file of its own. It is written after every commit and never waited for: what stands there,
// even after a power cut, is never ahead of what was durable before it. Two slots take turns, so that one is whole
// while the other is written; two more are synced now and then, for the case that a power cut tears both.
import { closeSync, fdatasyncSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { MARK_SLOTS } from './disk.ts';

/** A sector of most disks, so that a torn write leaves the neighbours alone. */
const SLOT_BYTES = 4096;
const TEXT_BYTES = 256;

export class MarkFile {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(TEXT_BYTES);

  /** Opens the file, made when missing; an existing one is left as it is. */
  constructor(path: string) {
    let fd: number;
    try {
      fd = openSync(path, 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      fd = openSync(path, 'wx+');
      // Room for all slots now: a full disk must not stop the mark later.
      writeSync(fd, Buffer.alloc(SLOT_BYTES * MARK_SLOTS), 0, SLOT_BYTES * MARK_SLOTS, 0);
      fsyncSync(fd);
      syncDirectory(dirname(path));
    }
    this.#fd = fd;
  }

  read(): readonly string[] {
    return Array.from({ length: MARK_SLOTS }, (_, slot) => {
      const length = readSync(this.#fd, this.#buffer, 0, TEXT_BYTES, slot * SLOT_BYTES);
      const end = this.#buffer.subarray(0, length).indexOf(0);
      return this.#buffer.toString('latin1', 0, end < 0 ? length : end);
    });
  }

  write(slot: number, text: string, durable: boolean): void {
    if (text.length > TEXT_BYTES)
      throw new RangeError(`a mark has at most ${TEXT_BYTES} bytes, got ${text.length}`);
    this.#buffer.fill(0, this.#buffer.write(text, 'latin1'));
    writeSync(this.#fd, this.#buffer, 0, TEXT_BYTES, slot * SLOT_BYTES);
    if (durable) fdatasyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Makes new names in a folder durable; Windows has no such call and needs none. */
export function syncDirectory(path: string): void {
  if (process.platform === 'win32') return;
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
