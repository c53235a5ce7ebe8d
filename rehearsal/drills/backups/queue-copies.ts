// Copies of a client's queue file, as a backup of a device or a cloned machine would make them: the file with everything
// that stands beside it under its name.
import { copyFile, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Puts a copy in place of whatever `to` was. Neither may be open. */
export async function copyQueueFile(from: string, to: string): Promise<void> {
  for (const name of await filesOf(to)) await rm(join(dirname(to), name));
  for (const name of await filesOf(from))
    await copyFile(
      join(dirname(from), name),
      join(dirname(to), basename(to) + name.slice(basename(from).length)),
    );
}

async function filesOf(path: string): Promise<readonly string[]> {
  const isOf = (name: string) => name === basename(path) || name.startsWith(`${basename(path)}-`);
  return (await readdir(dirname(path))).filter(isOf);
}
