// What `npm start` makes of its options before it starts anything, and which ports it takes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '../..');

test('ports that are all taken are named', async () => {
  const { nearPort, listen } = await import('../../rehearsal/supervisor/ports.ts');
  const server = createServer();
  const port = await listen(server, 0);
  const busy = Object.assign(new Error('taken'), { code: 'EADDRINUSE' });
  const tried: number[] = [];
  const refuse = (at: number) => {
    tried.push(at);
    return Promise.reject(busy);
  };
  await assert.rejects(
    nearPort(4_600, refuse),
    /ports 4600 to 4619 are all taken: choose others with --port/,
  );
  assert.equal(tried.length, 20);
  assert.notEqual(await nearPort(port, async (at) => (at === port ? Promise.reject(busy) : at)), port);
  server.close();
});

test('what it does not understand is answered with how it is used', async () => {
  for (const [args, message] of [
    [['--colour', 'red'], /--colour/],
    [['--port', 'high'], /--port is 0 or from 1024 to 65000, got "high"/],
    [['--port', '80'], /got "80"/],
    [['--stage', 'moon'], /one of dev, prod, gov, got "moon"/],
    [['--clock', '2026-01-01T00:00:00Z'], /a time to come, like .*, got "2026-01-01T00:00:00Z"/],
    [['--clock', 'midnight'], /got "midnight"/],
    [['--restorable-after', '1.5'], /a whole number of seconds, got "1.5"/],
  ] as const)
    await assert.rejects(
      promisify(execFile)(process.execPath, [join(ROOT, 'rehearsal/start.ts'), ...args]),
      (error: { code: number; stderr: string; stdout: string }) => {
        assert.equal(error.code, 1);
        assert.equal(error.stdout, '');
        assert.match(error.stderr, message);
        assert.match(error.stderr, /npm start -- \[--port/);
        return true;
      },
    );
});
