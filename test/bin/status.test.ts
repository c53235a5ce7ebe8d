import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

const directory = await mkdtemp(join(tmpdir(), 'eden-status-'));
const nothing = join(directory, 'nothing.json');
let active = true;

const server = createServer((request, response) => {
  const path = request.url ?? '';
  if (path === '/health-checks')
    response.end(
      JSON.stringify({
        healthChecks: [
          { name: 'primary answers', healthy: true, since: 0, why: '3 of 3 checkers' },
          { name: 'standby answers', healthy: false, since: 0, why: 'ECONNREFUSED' },
        ],
      }),
    );
  else if (path.startsWith('/resolve?name=api.example.com&'))
    response.end(
      JSON.stringify(
        active
          ? { Status: 0, Answer: [{ TTL: 20, data: 'origin.example.com.' }], region: 'us-east-2' }
          : { Status: 3, Answer: [] },
      ),
    );
  else response.writeHead(500).end('out of order');
});
let resolver = '';

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  resolver = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
after(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

const status = (...args: string[]) =>
  promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../bin/status.ts'), ...args]);

const refused = (message: RegExp) => (error: { code: number; stdout: string; stderr: string }) => {
  assert.equal(error.code, 1);
  assert.equal(error.stdout, '');
  assert.match(error.stderr, message);
  return true;
};

test('finds the running rehearsal by itself and says who is active and what each check says', async () => {
  const file = join(directory, 'running.json');
  await writeFile(file, JSON.stringify({ resolver, failoverName: 'api.example.com' }));
  const { stdout } = await status('--state', file);
  assert.match(stdout, /^us-east-2 is active: api\.example\.com leads there \(TTL 20 s\)/);
  assert.match(stdout, /healthy {4}primary answers\n +3 of 3 checkers/);
  assert.match(stdout, /UNHEALTHY {2}standby answers\n +ECONNREFUSED; since 1970/);
});

test('asks the resolver it is given, and answers programs in JSON', async () => {
  const { stdout } = await status(
    '--resolver',
    `${resolver}/`,
    '--name',
    'api.example.com',
    '--state',
    nothing,
    '--json',
  );
  const said = JSON.parse(stdout);
  assert.deepEqual(said.active, { name: 'api.example.com', region: 'us-east-2', ttlS: 20 });
  assert.equal(said.healthChecks.length, 2);
});

test('says so when the name has no answer', async () => {
  active = false;
  const { stdout } = await status('--resolver', resolver, '--name', 'api.example.com', '--state', nothing);
  assert.match(stdout, /^nobody is active by DNS/);
});

test('says what to do when nothing runs, nothing answers, or the answer is an error', async () => {
  await assert.rejects(
    status('--state', nothing),
    refused(/no rehearsal runs here: start one with npm start/),
  );
  await assert.rejects(
    status('--resolver', 'http://127.0.0.1:1', '--state', nothing),
    refused(/http:\/\/127\.0\.0\.1:1 does not answer: is the rehearsal running\?/),
  );
  await assert.rejects(
    status('--resolver', resolver, '--name', 'other.example.com', '--state', nothing),
    refused(/answered 500: out of order/),
  );
  await assert.rejects(
    status('--resolver', 'here', '--state', nothing),
    refused(/is a URL, got "here"[\s\S]*npm run status/),
  );
  await assert.rejects(status('--region', 'x'), refused(/--region[\s\S]*npm run status/));
});
