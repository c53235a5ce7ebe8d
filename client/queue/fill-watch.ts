// Warns before the queue or its disk is full, once each time it gets near.
import type { FillWarning } from './contract.ts';
import type { DiskSpace } from './disk.ts';

const WARN_SHARE = 0.9;
/** Below this it may warn again. */
const CALM_SHARE = 0.85;
/** Asking the file system at every commit would cost more than it tells; so many, or so much, may come in between. */
const DISK_LOOK_COMMITS = 100;
const DISK_LOOK_BYTES = 1024 ** 2;

export class FillWatch {
  readonly #bytesMax: number;
  readonly #onWarning: ((warning: FillWarning) => void) | undefined;
  readonly #space: () => DiskSpace | undefined;
  readonly #warned = new Set<FillWarning['reason']>();
  #commitsUnseen = DISK_LOOK_COMMITS;
  #usedBytesSeen = 0;

  constructor(
    bytesMax: number,
    onWarning: ((warning: FillWarning) => void) | undefined,
    space: () => DiskSpace | undefined,
  ) {
    this.#bytesMax = bytesMax;
    this.#onWarning = onWarning;
    this.#space = space;
  }

  look(usedBytes: number): void {
    if (this.#onWarning === undefined) return;
    this.#judge({ reason: 'limit', usedBytes, limitBytes: this.#bytesMax });
    const grownBytes = usedBytes - this.#usedBytesSeen;
    if (this.#commitsUnseen++ < DISK_LOOK_COMMITS && grownBytes < DISK_LOOK_BYTES) return;
    this.#commitsUnseen = 0;
    this.#usedBytesSeen = usedBytes;
    const space = this.#space();
    if (space === undefined) return;
    const { freeBytes, totalBytes } = space;
    this.#judge({ reason: 'disk', usedBytes: totalBytes - freeBytes, limitBytes: totalBytes });
  }

  #judge(warning: FillWarning): void {
    const share = warning.usedBytes / warning.limitBytes;
    if (share < CALM_SHARE) this.#warned.delete(warning.reason);
    if (share < WARN_SHARE || this.#warned.has(warning.reason)) return;
    this.#warned.add(warning.reason);
    this.#onWarning?.(warning);
  }
}
