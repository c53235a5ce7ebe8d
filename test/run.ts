// `npm test [-- FILE …]`: Node's own test runner, with the compile cache on. Each test file is a process of its own, and
// so are many of the commands under test; with the cache none of them strips and compiles the same sources again.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const files = process.argv.slice(2);

const { status, error } = spawnSync(
  process.execPath,
  ['--test', '--test-concurrency=2', ...(files.length > 0 ? files : ['test/**/*.test.ts'])],
  {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, NODE_COMPILE_CACHE: join(ROOT, '.cache', 'compile') },
  },
);
if (error) throw error;
process.exitCode = status ?? 1;
