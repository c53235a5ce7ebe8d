// Room kept back on the disk: when it is full, the reserve is given up so that settling, which frees room, can go on.
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DiskSpace } from './disk.ts';

const CHUNK_BYTES = 1024 * 1024;

export class ReserveFile {
  readonly #path: string;
  readonly #bytes: number;
  #held: boolean;

  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
    this.#held = bytes === 0 || sizeOf(path) === bytes;
  }

  /** Whether the room is kept back. */
  get isHeld(): boolean {
    return this.#held;
  }

  /** Takes the room, if the disk has that and half as much again. */
  take(): boolean {
    if (this.#held) return true;
    if ((spaceAt(dirname(this.#path))?.freeBytes ?? Number.POSITIVE_INFINITY) < this.#bytes * 1.5)
      return false;
    try {
      this.#fill();
      this.#held = true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      rmSync(this.#path, { force: true });
    }
    return this.#held;
  }

  /** Gives it up; false when there was none. */
  release(): boolean {
    if (!this.#held || this.#bytes === 0) return false;
    rmSync(this.#path, { force: true });
    this.#held = false;
    return true;
  }

  #fill(): void {
    const fd = openSync(this.#path, 'w');
    try {
      // Written, not only sized: a sparse file keeps nothing back.
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, this.#bytes));
      for (let at = 0; at < this.#bytes; at += chunk.length)
        writeSync(fd, chunk, 0, Math.min(chunk.length, this.#bytes - at), at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}

/** Undefined where the platform does not tell. */
export function spaceAt(folder: string): DiskSpace | undefined {
  try {
    const { bavail, blocks, bsize } = statfsSync(folder);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch {
    return undefined;
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
