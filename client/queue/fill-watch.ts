// Warns before the queue or its disk is full, once each time it gets near.
import type { FillWarning } from './contract.ts';
import type { DiskSpace } from './disk.ts';

const WARN_SHARE = 0.9;
/** Below this it may warn again. */
const CALM_SHARE = 0.85;
/** Asking the file system at every commit would cost more than it tells. */
const DISK_LOOK_COMMITS = 100;

export class FillWatch {
  readonly #bytesMax: number;
  readonly #onWarning: ((warning: FillWarning) => void) | undefined;
  readonly #space: () => DiskSpace | undefined;
  readonly #warned = new Set<FillWarning['reason']>();
  #looks = 0;

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
    if (this.#looks++ % DISK_LOOK_COMMITS > 0) return;
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
