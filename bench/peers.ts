// What the sync benchmark is measured against, with a lockfile of its own in peers/: installed there on first use, so
// that neither `npm ci` nor the package ever carries it. Install scripts are left out; leveldown brings its binaries.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, 'peers');
/** Written by npm when it is done. */
const INSTALLED = join(FOLDER, 'node_modules', '.package-lock.json');

/** Undefined when they are there; else why not. */
export function installPeers(): string | undefined {
  if (existsSync(INSTALLED)) return undefined;
  const { status, stderr, error } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: FOLDER,
    encoding: 'utf8',
  });
  return status === 0 ? undefined : `npm ci in bench/peers failed: ${error?.message ?? stderr.trim()}`;
}

/** As from within that folder. What comes has no types. */
export const requirePeer = createRequire(join(FOLDER, 'package.json'));
