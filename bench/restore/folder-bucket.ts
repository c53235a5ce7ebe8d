// A corpus' folder as the bucket a restore reads: where nothing but the reading is measured, and memory above all.
import { createReadStream, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bucket } from '../../bin/buckets.ts';

/** Of known keys only: there is nothing to list, and nothing is put. */
export function folderBucket(folder: string): Bucket {
  const content = async (key: string) => {
    const path = join(folder, key);
    return existsSync(path) ? await readFile(path) : undefined;
  };
  return {
    async *keys() {},
    async *folders() {},
    content,
    text: async (key) => (await content(key))?.toString('utf8'),
    bytes: async (key) => createReadStream(join(folder, key)),
    put: async (key) => {
      throw new Error(`${key}: expected a corpus only to be read`);
    },
    close() {},
  };
}
