// The durable queue on a file of this machine: the queue of queue/queue.ts with a real disk, clock and randomness.
import { randomBytes } from 'node:crypto';
import type { QueueOptions } from './queue/contract.ts';
import { openQueue, type Queue } from './queue/queue.ts';
import { type Recovery, recover } from './queue/recover.ts';
import { openSqliteDisk, type SqliteDiskOptions } from './queue/sqlite-disk.ts';

export type QueueFileOptions = Partial<QueueOptions> & SqliteDiskOptions & { readonly path: string };

const random = (bytes: number) => randomBytes(bytes).toString('hex');

/**
 * Opens or makes the queue file `path`; `<path>-wal`, `<path>-mark` and `<path>-reserve` belong
 * to it. What waited in
 * it waits again (`recovered`). Restoring a memory snapshot of a running process is not supported.
 * @throws QueueLockedError when it is open elsewhere
 * @throws QueueVersionError when a later release made it
 * @throws QueueCorruptError when it is not what was acknowledged; its content is left as it is then
 * @throws QueueDiskError, QueueFullError when the disk fails or is full
 */
export function openQueueFile({ path, ...options }: QueueFileOptions): Queue {
  const disk = openSqliteDisk(path, options);
  try {
    return openQueue(disk, { now: Date.now, random, defer: setImmediate, ...options });
  } catch (error) {
    disk.close();
    throw error;
  }
}

/**
 * By hand, after a QueueCorruptError, with the queue closed: saves what can be saved of `path` into the new file
 * `newPath` and lists what cannot. `path` stays as it is; never open it again beside the new one.
 * @throws QueueDiskError when `newPath` exists or a file cannot be read or written
 */
export function recoverQueueFile(path: string, newPath: string): Recovery {
  return recover(path, newPath, { now: Date.now, random });
}
